//! `rows` with AVX2. Each function reads as many whole vectors as there are samples for and returns the number of pixels
//! done; the rest is the caller's. `y` and `uv` have 16 places more than pixels are read.

use std::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx2")]
fn load32(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes are readable; the load is unaligned.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store32(value: __m256i, bytes: &mut [u8; 32]) {
    // SAFETY: 32 bytes are writable; the store is unaligned.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), value) }
}

/// Sixteen-bit lanes of `a`, then of `b`, saturated to bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn bytes_of(a: __m256i, b: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi16(a, b))
}

/// Packed 4:2:2; `LUMA_FIRST`: YUY2, else UYVY.
#[target_feature(enable = "avx2")]
pub(super) fn split<const LUMA_FIRST: bool>(row: &[u8], y: &mut [u8], uv: &mut [u8]) -> usize {
    let low = _mm256_set1_epi16(0xff);
    let mut pixels = 0;
    let out = y.as_chunks_mut::<32>().0.iter_mut().zip(uv.as_chunks_mut::<32>().0);
    for ((y, uv), [a, b]) in out.zip(row.as_chunks::<32>().0.as_chunks::<2>().0) {
        let (a, b) = (load32(a), load32(b));
        let first = bytes_of(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
        let second = bytes_of(_mm256_srli_epi16::<8>(a), _mm256_srli_epi16::<8>(b));
        let (luma, chroma) = if LUMA_FIRST { (first, second) } else { (second, first) };
        store32(luma, y);
        store32(chroma, uv);
        pixels += 32;
    }
    pixels
}

/// P010's words to bytes; returns how many.
#[target_feature(enable = "avx2")]
pub(super) fn narrow(row: &[u8], out: &mut [u8]) -> usize {
    let two = _mm256_set1_epi16(2);
    let eight_bits = |words| _mm256_srli_epi16::<2>(_mm256_add_epi16(_mm256_srli_epi16::<6>(words), two));
    let mut samples = 0;
    for (out, [a, b]) in out.as_chunks_mut::<32>().0.iter_mut().zip(row.as_chunks::<32>().0.as_chunks::<2>().0) {
        store32(bytes_of(eight_bits(load32(a)), eight_bits(load32(b))), out);
        samples += 32;
    }
    samples
}

/// Shuffles the two bytes that hold each sample into a lane; the factor lifts the sample to the lane's upper ten bits.
struct Groups {
    y_bytes: __m256i,
    y_lift: __m256i,
    uv_bytes: __m256i,
    uv_lift: __m256i,
}

impl Groups {
    #[target_feature(enable = "avx2")]
    fn new() -> Self {
        let both = |half| _mm256_broadcastsi128_si256(half);
        Groups {
            y_bytes: both(_mm_setr_epi8(1, 2, 4, 5, 6, 7, 9, 10, 12, 13, 14, 15, -1, -1, -1, -1)),
            y_lift: both(_mm_setr_epi16(16, 64, 4, 16, 64, 4, 0, 0)),
            uv_bytes: both(_mm_setr_epi8(0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 13, 14, -1, -1, -1, -1)),
            uv_lift: both(_mm_setr_epi16(64, 4, 16, 64, 4, 16, 0, 0)),
        }
    }

    /// Y and U V of two groups, six 10-bit samples in each half.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn samples(&self, two: __m256i) -> (__m256i, __m256i) {
        let take = |bytes, lift| _mm256_srli_epi16::<6>(_mm256_mullo_epi16(_mm256_shuffle_epi8(two, bytes), lift));
        (take(self.y_bytes, self.y_lift), take(self.uv_bytes, self.uv_lift))
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn v210_to_8(row: &[u8], y: &mut [u8], uv: &mut [u8]) -> usize {
    let groups = Groups::new();
    let put = |samples: __m256i, out: &mut [u8; 14]| {
        let rounded = _mm256_srli_epi16::<2>(_mm256_add_epi16(samples, _mm256_set1_epi16(2)));
        let bytes = _mm256_packus_epi16(rounded, rounded);
        // SAFETY: 8 bytes at 0 and at 6 lie within 14; the stores are unaligned.
        unsafe {
            _mm_storel_epi64(out.as_mut_ptr().cast(), _mm256_castsi256_si128(bytes));
            _mm_storel_epi64(out.as_mut_ptr().add(6).cast(), _mm256_extracti128_si256::<1>(bytes));
        }
    };
    let mut pixels = 0;
    for two in row.as_chunks::<32>().0 {
        let (Some(y), Some(uv)) = (y[pixels..].first_chunk_mut(), uv[pixels..].first_chunk_mut()) else { break };
        let (luma, chroma) = groups.samples(load32(two));
        put(luma, y);
        put(chroma, uv);
        pixels += 12;
    }
    pixels
}

#[target_feature(enable = "avx2")]
pub(super) fn v210_to_10(row: &[u8], y: &mut [u16], uv: &mut [u16]) -> usize {
    let groups = Groups::new();
    let put = |samples: __m256i, out: &mut [u16; 14]| {
        // SAFETY: 8 words at 0 and at 6 lie within 14; the stores are unaligned.
        unsafe {
            _mm_storeu_si128(out.as_mut_ptr().cast(), _mm256_castsi256_si128(samples));
            _mm_storeu_si128(out.as_mut_ptr().add(6).cast(), _mm256_extracti128_si256::<1>(samples));
        }
    };
    let mut pixels = 0;
    for two in row.as_chunks::<32>().0 {
        let (Some(y), Some(uv)) = (y[pixels..].first_chunk_mut(), uv[pixels..].first_chunk_mut()) else { break };
        let (luma, chroma) = groups.samples(load32(two));
        put(luma, y);
        put(chroma, uv);
        pixels += 12;
    }
    pixels
}
