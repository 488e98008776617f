//! Compiling ordinary loops for the vector unit that the machine has.

/// Defines functions that are compiled twice, plainly and for AVX2, and run as the processor allows. What they call must be
/// `#[inline(always)]`, or it stays as it is. Results do not depend on it: no operations are fused or reordered.
///
/// (A function that takes the work as a closure does not do: the compiler need not inline the closure, which then is
/// compiled plainly.)
macro_rules! wide {
    ($($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {$(
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn any($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                any($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            if std::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2, asked just above, which is all that the function needs.
                return unsafe { avx2($($argument),*) };
            }
            any($($argument),*)
        }
    )*};
}

pub(crate) use wide;
