//! Compiling ordinary loops for the vector unit that the machine has.

/// Runs `work`, compiled for AVX2 where the processor has it. What is called inside must be `#[inline(always)]`, or it
/// stays as it is. Results do not depend on it: no operations are fused or reordered.
#[inline(always)]
pub fn wide<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, asked just above, which is all that the function needs.
        return unsafe { wide_avx2(work) };
    }
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn wide_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}
