//! Area averaging: which source samples, with which weights, make one output sample. The picture is read once, rows
//! first, in loops that the compiler turns into SIMD.

/// The box of one output sample on one axis: `first` and `last` count in part, what lies between counts whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    pub first: usize,
    pub last: usize,
    pub first_weight: f32,
    pub last_weight: f32,
}

/// One axis: `extent` source samples (may end inside a sample, as chroma of odd sizes does) onto `count` outputs.
#[derive(Debug, Clone, Default)]
pub struct Axis {
    pub spans: Vec<Span>,
    /// What makes a sum of weights 1.
    pub scale: f32,
}

impl Axis {
    /// `samples` exist; every span stays within them.
    pub fn new(extent: f64, samples: usize, count: usize) -> Self {
        let size = extent / count as f64;
        let spans = (0..count)
            .map(|i| {
                let (start, end) = (i as f64 * size, ((i + 1) as f64 * size).min(samples as f64));
                let first = (start as usize).min(samples - 1);
                let last = ((end.ceil() as usize).max(first + 1) - 1).min(samples - 1);
                if first == last {
                    return Span { first, last, first_weight: (end - start) as f32, last_weight: 0.0 };
                }
                Span { first, last, first_weight: ((first + 1) as f64 - start) as f32, last_weight: (end - last as f64) as f32 }
            })
            .collect();
        Axis { spans, scale: (1.0 / size) as f32 }
    }
}

/// Bytes that are summed together: the sums stay in registers.
const BLOCK: usize = 64;
/// Rows of bytes whose sum fits 16 bits.
const ROWS_A_SUM: usize = 256;

/// Sums the rows of one span, byte column by byte column: `out[x] = Σ weight·row[x]`, `out.len()` columns.
#[inline(always)]
pub fn sum_rows(plane: &[u8], stride: usize, span: Span, out: &mut [f32]) {
    let columns = out.len();
    let first = &plane[span.first * stride..][..columns];
    let last = &plane[span.last * stride..][..columns];
    let (from, to) = (span.first + 1, span.last);
    let few = from < to && to - from <= ROWS_A_SUM;
    let mut start = 0;
    while start + BLOCK <= columns {
        let mut sum = [0u16; BLOCK];
        if few {
            for row in from..to {
                add_block(&mut sum, &plane[row * stride + start..][..BLOCK]);
            }
        }
        let (first, last) = (&first[start..][..BLOCK], &last[start..][..BLOCK]);
        let out = &mut out[start..][..BLOCK];
        for i in 0..BLOCK {
            out[i] = f32::from(sum[i]) + f32::from(first[i]) * span.first_weight + f32::from(last[i]) * span.last_weight;
        }
        start += BLOCK;
    }
    for x in start..columns {
        let whole = if few { (from..to).map(|row| u32::from(plane[row * stride + x])).sum::<u32>() } else { 0 };
        out[x] = whole as f32 + f32::from(first[x]) * span.first_weight + f32::from(last[x]) * span.last_weight;
    }
    if !few {
        // More rows than 16 bits can sum (or none): one by one.
        for row in from..to {
            for (out, &value) in out.iter_mut().zip(&plane[row * stride..][..columns]) {
                *out += f32::from(value);
            }
        }
    }
}

#[inline(always)]
fn add_block(sum: &mut [u16; BLOCK], row: &[u8]) {
    for i in 0..BLOCK {
        sum[i] += u16::from(row[i]);
    }
}

/// Sums along a row of interleaved channels: `out[i] = scale · Σ weight·row[x·STEP + channel]`.
#[inline(always)]
pub fn sum_columns<const STEP: usize>(row: &[f32], channel: usize, axis: &Axis, scale: f32, out: &mut [f32]) {
    for (out, span) in out.iter_mut().zip(&axis.spans) {
        let first = row[span.first * STEP + channel] * span.first_weight;
        let last = row[span.last * STEP + channel] * span.last_weight;
        let mut sum = first + last;
        for x in span.first + 1..span.last {
            sum += row[x * STEP + channel];
        }
        *out = sum * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Weights of a span sum to the box's size, spans cover the extent without gap, and stay inside the samples.
        #[test]
        fn spans_partition_the_axis(samples in 8usize..3000, half in proptest::bool::ANY, count in 16usize..700) {
            let extent = if half { samples as f64 - 0.5 } else { samples as f64 };
            let axis = Axis::new(extent, samples, count);
            let mut total = 0.0;
            for span in &axis.spans {
                prop_assert!(span.first <= span.last && span.last < samples);
                prop_assert!(span.first_weight >= -1e-4 && span.first_weight <= 1.0001 && span.last_weight >= -1e-4 && span.last_weight <= 1.0001);
                let inner = span.last.saturating_sub(span.first + 1) as f64;
                total += inner + f64::from(span.first_weight) + f64::from(span.last_weight);
            }
            prop_assert!((total - extent).abs() < 1e-3 * extent);
        }

        #[test]
        fn row_sums_are_exact(rows in 1usize..600, columns in 1usize..150, seed in any::<u8>()) {
            let plane: Vec<u8> = (0..rows * columns).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed) ^ (i >> 3) as u8).collect();
            let span = Span { first: 0, last: rows - 1, first_weight: 0.5, last_weight: if rows == 1 { 0.0 } else { 0.25 } };
            let mut out = vec![0.0; columns];
            sum_rows(&plane, columns, span, &mut out);
            for x in 0..columns {
                let at = |row: usize| f64::from(plane[row * columns + x]);
                let inner: f64 = (1..rows.saturating_sub(1)).map(at).sum();
                let last = if rows == 1 { 0.0 } else { 0.25 * at(rows - 1) };
                prop_assert!((f64::from(out[x]) - (inner + 0.5 * at(0) + last)).abs() < 0.05);
            }
        }
    }
}
