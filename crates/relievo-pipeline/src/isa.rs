//! The instruction set that kernels run with; it enters the keys.

use relievo_task::Isa;

/// `portable`, or the widest set that our kernels dispatch to here.
pub fn describe(isa: Isa) -> String {
    match isa {
        Isa::Portable => "portable".to_owned(),
        Isa::Native => native().to_owned(),
    }
}

#[cfg(target_arch = "x86_64")]
fn native() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx512vnni")
        && std::arch::is_x86_feature_detected!("avx512bw")
    {
        "x86-64 avx512vnni"
    } else if std::arch::is_x86_feature_detected!("avx512f") {
        "x86-64 avx512f"
    } else if std::arch::is_x86_feature_detected!("avx2") {
        "x86-64 avx2"
    } else {
        "x86-64"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn native() -> &'static str {
    std::env::consts::ARCH
}
