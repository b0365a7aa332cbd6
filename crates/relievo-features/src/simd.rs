//! One body, several instruction sets, chosen at run time.
//!
//! A kernel is plain Rust over fixed-size arrays, `#[inline(always)]`, with
//! `const FMA: bool`. [`multiversion!`] compiles it once per instruction set
//! and calls the one that was chosen. The vector width changes nothing in the
//! arithmetic of an element, so that AVX2 and AVX-512 give equal bits; only
//! fused multiply-add (absent from the portable version) rounds differently.

use relievo_task::Isa;

/// The instruction set that the kernels of one run use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstructionSet {
    /// Plain Rust, the target's baseline.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ, VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// The best that the processor has, or the portable one where asked for.
    pub(crate) fn choose(isa: Isa) -> Self {
        if isa == Isa::Portable {
            return Self::Portable;
        }
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 {
                return Self::Avx512;
            }
            if avx2 {
                return Self::Avx2;
            }
        }
        Self::Portable
    }
}

/// a·b + c, fused where the instruction set has it.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Declares `fn name(set, args…)` that runs `body::<FMA>(args…)` compiled for
/// the chosen instruction set.
///
/// `= body of registers` adds a second constant: how many columns each of four sums
/// has in registers, sixteen or, where there are 32 wide ones, twice as many.
macro_rules! multiversion {
    ($(#[doc = $doc:literal])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $crate::simd::multiversion! {
            $(#[doc = $doc])* fn $name($($arg: $ty),*) $(-> $ret)? =
                $body::<true>, $body::<true>, $body::<false>
        }
    };
    ($(#[doc = $doc:literal])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident of registers) => {
        $crate::simd::multiversion! {
            $(#[doc = $doc])* fn $name($($arg: $ty),*) $(-> $ret)? =
                $body::<true, 32>, $body::<true, 16>, $body::<false, 16>
        }
    };
    ($(#[doc = $doc:literal])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $avx512:expr, $avx2:expr, $portable:expr) => {
        $(#[doc = $doc])*
        pub(crate) fn $name(set: $crate::simd::InstructionSet, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $avx2($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    $avx512($($arg),*)
                }
                match set {
                    // SAFETY: `InstructionSet::choose` saw these features.
                    $crate::simd::InstructionSet::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: `InstructionSet::choose` saw these features.
                    $crate::simd::InstructionSet::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::simd::InstructionSet::Portable => {}
                }
            }
            let _ = set;
            $portable($($arg),*)
        }
    };
}
pub(crate) use multiversion;
