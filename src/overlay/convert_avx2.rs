//! `convert` with AVX2: rows of Y'CbCr or RGB → BGRX, sixteen (RGB: eight) pixels at a time. Each function converts as
//! many whole vectors as there are pixels for and returns the number of pixels written; the rest is the caller's.
//! The same i32 sums as the reference: the constant parts (offsets, rounding) are gathered in one addend a channel.

use crate::frame::Tone;
use crate::overlay::convert::Coefficients;
use std::arch::x86_64::*;

const PIXELS: usize = 16;

struct Constants {
    cy: __m256i,
    /// Multiplies pairs (U, V).
    r: __m256i,
    g: __m256i,
    /// Exceeds 16 bits: multiplies U alone.
    b: __m256i,
    r_addend: __m256i,
    g_addend: __m256i,
    b_addend: __m256i,
    x: __m256i,
    interleave: __m256i,
    first_pairs: __m256i,
    last_pairs: __m256i,
}

impl Constants {
    #[target_feature(enable = "avx2")]
    fn new(k: &Coefficients) -> Self {
        let pair = |low: i32, high: i32| _mm256_set1_epi32((low & 0xffff) | (high << 16));
        let base = 8192 - k.cy * k.y_offset;
        Constants {
            cy: pair(k.cy, 0),
            r: pair(0, k.rv),
            g: pair(-k.gu, -k.gv),
            b: _mm256_set1_epi32(k.bu),
            r_addend: _mm256_set1_epi32(base - 128 * k.rv),
            g_addend: _mm256_set1_epi32(base + 128 * (k.gu + k.gv)),
            b_addend: _mm256_set1_epi32(base - 128 * k.bu),
            x: _mm256_set1_epi32(255),
            interleave: _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)),
            first_pairs: _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3),
            last_pairs: _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7),
        }
    }
}

/// Eight pixels from eight Y (as i32) and the chroma sums of each pixel.
#[inline]
#[target_feature(enable = "avx2")]
fn eight(c: &Constants, y: __m256i, r: __m256i, g: __m256i, b: __m256i) -> __m256i {
    let y = _mm256_madd_epi16(y, c.cy);
    let r = _mm256_srai_epi32::<14>(_mm256_add_epi32(y, r));
    let g = _mm256_srai_epi32::<14>(_mm256_add_epi32(y, g));
    let b = _mm256_srai_epi32::<14>(_mm256_add_epi32(y, b));
    // Saturating packs clamp; within each half: B×4 G×4 R×4 X×4, then interleaved.
    let packed = _mm256_packus_epi16(_mm256_packs_epi32(b, g), _mm256_packs_epi32(r, c.x));
    _mm256_shuffle_epi8(packed, c.interleave)
}

/// Sixteen pixels from sixteen Y and eight interleaved U V.
#[inline]
#[target_feature(enable = "avx2")]
fn sixteen(c: &Constants, y: __m128i, uv: __m128i, out: &mut [u8; 4 * PIXELS]) {
    let uv = _mm256_cvtepu8_epi16(uv);
    let u = _mm256_and_si256(uv, _mm256_set1_epi32(0xffff));
    let r = _mm256_add_epi32(_mm256_madd_epi16(uv, c.r), c.r_addend);
    let g = _mm256_add_epi32(_mm256_madd_epi16(uv, c.g), c.g_addend);
    let b = _mm256_add_epi32(_mm256_mullo_epi32(u, c.b), c.b_addend);
    let first = |v| _mm256_permutevar8x32_epi32(v, c.first_pairs);
    let last = |v| _mm256_permutevar8x32_epi32(v, c.last_pairs);
    let low = eight(c, _mm256_cvtepu8_epi32(y), first(r), first(g), first(b));
    let high = eight(c, _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(y)), last(r), last(g), last(b));
    // SAFETY: `out` is 64 bytes, two unaligned vectors of 32.
    unsafe {
        _mm256_storeu_si256(out.as_mut_ptr().cast(), low);
        _mm256_storeu_si256(out.as_mut_ptr().add(32).cast(), high);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: sixteen bytes are readable; the load is unaligned.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load8(bytes: &[u8; 8]) -> __m128i {
    // SAFETY: eight bytes are readable; the load is unaligned.
    unsafe { _mm_loadl_epi64(bytes.as_ptr().cast()) }
}

/// `uv` starts with the pair of the first Y, which stands at an even column.
#[target_feature(enable = "avx2")]
pub(super) fn nv12(k: &Coefficients, y: &[u8], uv: &[u8], out: &mut [u8]) -> usize {
    let c = Constants::new(k);
    let (y, uv, out) = (y.as_chunks::<16>().0, uv.as_chunks::<16>().0, out.as_chunks_mut::<64>().0);
    let mut pixels = 0;
    for ((y, uv), out) in y.iter().zip(uv).zip(out) {
        sixteen(&c, load16(y), load16(uv), out);
        pixels += PIXELS;
    }
    pixels
}

/// `u` and `v` start with the sample of the first Y, which stands at an even column.
#[target_feature(enable = "avx2")]
pub(super) fn i420(k: &Coefficients, y: &[u8], u: &[u8], v: &[u8], out: &mut [u8]) -> usize {
    let c = Constants::new(k);
    let (y, out) = (y.as_chunks::<16>().0, out.as_chunks_mut::<64>().0);
    let (u, v) = (u.as_chunks::<8>().0, v.as_chunks::<8>().0);
    let mut pixels = 0;
    for (((y, u), v), out) in y.iter().zip(u).zip(v).zip(out) {
        sixteen(&c, load16(y), _mm_unpacklo_epi8(load8(u), load8(v)), out);
        pixels += PIXELS;
    }
    pixels
}

/// Eight pixels at a time from two loads of sixteen bytes, of which twelve count.
#[target_feature(enable = "avx2")]
pub(super) fn rgb(rgb: &[u8], out: &mut [u8]) -> usize {
    let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(2, 1, 0, -1, 5, 4, 3, -1, 8, 7, 6, -1, 11, 10, 9, -1));
    let x = _mm256_set1_epi32(0xff00_0000_u32 as i32);
    let mut pixels = 0;
    for out in out.as_chunks_mut::<32>().0 {
        let Some((first, rest)) = rgb.get(3 * pixels..).and_then(|left| left.split_first_chunk::<12>()) else { break };
        let (Some(low), Some(high)) = (rgb[3 * pixels..].first_chunk::<16>(), rest.first_chunk::<16>()) else { break };
        debug_assert_eq!(first[..], low[..12]);
        let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(load16(low)), load16(high));
        let bgrx = _mm256_or_si256(_mm256_shuffle_epi8(both, order), x);
        // SAFETY: `out` is 32 bytes; the store is unaligned.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), bgrx) };
        pixels += 8;
    }
    pixels
}

/// What `frame::Tone` describes, eight pixels at a time. `uv` starts with the pair of the first Y, an even column.
#[target_feature(enable = "avx2")]
pub(super) fn tone(tone: &Tone, y: &[u16], uv: &[u16], out: &mut [u8]) -> usize {
    let m = &tone.matrix;
    let pair = |low: i32, high: i32| _mm256_set1_epi32((low & 0xffff) | (high << 16));
    let base = 8192 - m.cy * m.y_offset;
    let cy = _mm256_set1_epi32(m.cy);
    let (to_r, to_g, to_b) = (pair(0, m.rv), pair(-m.gu, -m.gv), _mm256_set1_epi32(m.bu));
    let r_addend = _mm256_set1_epi32(base - 512 * m.rv);
    let g_addend = _mm256_set1_epi32(base + 512 * (m.gu + m.gv));
    let b_addend = _mm256_set1_epi32(base - 512 * m.bu);
    // Light in pairs (R, G) and (B, 1): the rounding is the 1's factor.
    let gamut = tone.gamut.map(|[r, g, b]| (pair(r, g), pair(b, 8192)));
    let twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    let (zero, most_code, most_light) = (_mm256_setzero_si256(), _mm256_set1_epi32(1023), _mm256_set1_epi32(Tone::LIGHTS as i32 - 1));
    let light = |sum: __m256i| {
        let code = _mm256_min_epi32(_mm256_max_epi32(_mm256_srai_epi32::<14>(sum), zero), most_code);
        // SAFETY: every index lies in 0..=1023; the table has 1024 entries of four bytes.
        unsafe { _mm256_i32gather_epi32::<4>(tone.to_linear.as_ptr(), code) }
    };
    let shown = |sum: __m256i| {
        let light = _mm256_min_epi32(_mm256_max_epi32(_mm256_srai_epi32::<14>(sum), zero), most_light);
        // SAFETY: every index lies in 0..=32767; four bytes from there lie in the table of 32768 + 4.
        let four = unsafe { _mm256_i32gather_epi32::<1>(tone.to_display.as_ptr().cast(), light) };
        _mm256_and_si256(four, _mm256_set1_epi32(0xff))
    };
    let mut pixels = 0;
    for ((y, uv), out) in y.as_chunks::<8>().0.iter().zip(uv.as_chunks::<8>().0).zip(out.as_chunks_mut::<32>().0) {
        // SAFETY: eight words are readable; the loads are unaligned.
        let (y, uv) = unsafe { (_mm_loadu_si128(y.as_ptr().cast()), _mm_loadu_si128(uv.as_ptr().cast())) };
        let luma = _mm256_mullo_epi32(_mm256_cvtepu16_epi32(y), cy);
        let uv = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(uv), twice);
        let u = _mm256_and_si256(uv, _mm256_set1_epi32(0xffff));
        let r = light(_mm256_add_epi32(luma, _mm256_add_epi32(_mm256_madd_epi16(uv, to_r), r_addend)));
        let g = light(_mm256_add_epi32(luma, _mm256_add_epi32(_mm256_madd_epi16(uv, to_g), g_addend)));
        let b = light(_mm256_add_epi32(luma, _mm256_add_epi32(_mm256_mullo_epi32(u, to_b), b_addend)));
        let rg = _mm256_or_si256(r, _mm256_slli_epi32::<16>(g));
        let b1 = _mm256_or_si256(b, _mm256_set1_epi32(1 << 16));
        let [r, g, b] = gamut.map(|(of_rg, of_b1)| shown(_mm256_add_epi32(_mm256_madd_epi16(rg, of_rg), _mm256_madd_epi16(b1, of_b1))));
        let bg = _mm256_or_si256(b, _mm256_slli_epi32::<8>(g));
        let rx = _mm256_or_si256(_mm256_slli_epi32::<16>(r), _mm256_set1_epi32(0xff00_0000_u32 as i32));
        // SAFETY: `out` is 32 bytes; the store is unaligned.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_or_si256(bg, rx)) };
        pixels += 8;
    }
    pixels
}
