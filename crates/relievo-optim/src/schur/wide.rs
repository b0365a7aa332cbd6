//! Code compiled twice: for the target's baseline and for AVX2, chosen at run time.
//!
//! Nothing is fused, so both round alike.

/// Declares `fn name(args…)` that runs `body(args…)` with the widest registers that the
/// processor has.
macro_rules! widest {
    (
        $(#[doc = $doc:literal])*
        fn $name:ident $(<$p:ident: $bound:path>)? ($($arg:ident: $ty:ty),* $(,)?)
        $(-> $ret:ty)? = $body:ident
    ) => {
        $(#[doc = $doc])*
        fn $name $(<$p: $bound>)? ($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2 $(<$p: $bound>)? ($($arg: $ty),*) $(-> $ret)? {
                    $body($($arg),*)
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has it.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}
pub(super) use widest;
