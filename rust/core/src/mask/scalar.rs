//! The definition of the mask's kernels, as loops that a compiler can vectorize: no branches, no
//! calls that have no vector form. Inlined into `avx2.rs` and `avx512.rs`, which only add features.

use super::Stretch;

/// Values beyond this are cut, so that differences of two of them stay finite.
const LARGEST: f32 = 1e30;

/// e^x for x in -80..=80, within 2e-7 of its value.
///
/// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2, and e^r as its Taylor polynomial of
/// degree 7, whose remainder is below 6e-9. ln 2 comes in two parts, of which the first has so few
/// bits that n times it is exact.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4; // 355 / 512
    const LN2_LOW: f32 = -2.121_944_4e-4; // ln 2 - 355 / 512
    let n = (x * std::f32::consts::LOG2_E).round_ties_even();
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let mut sum = 1.0 / 5040.0;
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = r.mul_add(sum, term);
    }
    // SAFETY: |n| <= 116 for the stated range of x (and callers clip to it), so it fits an i32.
    let n: i32 = unsafe { n.to_int_unchecked() };
    sum * f32::from_bits(((n + 127) as u32) << 23)
}

/// Whether any value is not a number. The kernels below rely on there being none.
pub(super) fn has_nan(values: &[f32]) -> bool {
    values.chunks(64).any(|chunk| chunk.iter().fold(false, |found, value| found | value.is_nan()))
}

/// Cut to what [`exp`] takes.
#[inline(always)]
fn clip(x: f32) -> f32 {
    x.clamp(-80.0, 80.0)
}

/// In place: 1 / (1 + e^-x), within 1e-6.
#[inline(always)]
pub(super) fn sigmoid(values: &mut [f32]) {
    for value in values {
        *value = 1.0 / (1.0 + exp(clip(-*value)));
    }
}

/// The softmax of the channel in `row` against all channels of `logits`, whose planes have `plane`
/// values and whose part for this row begins at `start`.
pub(super) fn softmax(logits: &[f32], plane: usize, start: usize, row: &mut [f32]) {
    for (x, value) in row.iter_mut().enumerate() {
        let tamed = |x: f32| x.clamp(-LARGEST, LARGEST);
        let others = logits.iter().skip(start + x).step_by(plane);
        let sum: f32 = others.map(|&other| exp(clip(tamed(other) - tamed(*value)))).sum();
        *value = 1.0 / sum;
    }
}

/// In place: infinities become large numbers.
pub(super) fn tame(values: &mut [f32]) {
    for value in values {
        *value = value.clamp(-LARGEST, LARGEST);
    }
}

/// The smallest and the largest value. There is at least one, and all are numbers.
pub(super) fn range(values: &[f32]) -> (f32, f32) {
    // Eight pairs side by side, as one chain of comparisons can't be vectorized.
    let (mut low, mut high) = ([f32::INFINITY; 8], [f32::NEG_INFINITY; 8]);
    let (groups, rest) = values.as_chunks::<8>();
    for group in groups {
        for lane in 0..8 {
            low[lane] = low[lane].min(group[lane]);
            high[lane] = high[lane].max(group[lane]);
        }
    }
    for &value in rest {
        low[0] = low[0].min(value);
        high[0] = high[0].max(value);
    }
    (
        low.into_iter().fold(f32::INFINITY, f32::min),
        high.into_iter().fold(f32::NEG_INFINITY, f32::max),
    )
}

/// Probabilities to levels.
#[inline(always)]
pub(super) fn quantize(values: &[f32], stretch: Stretch, levels: &mut [u8]) {
    let Stretch { low, span, bias } = stretch;
    for (level, &value) in levels.iter_mut().zip(values) {
        let scaled = (value - low) / span * 255.0 + bias;
        let clipped = scaled.clamp(0.0, 255.0);
        // SAFETY: clipped to 0..=255, and no input is NaN (`has_nan`, asked before).
        let whole: i32 = unsafe { clipped.to_int_unchecked() };
        *level = whole as u8;
    }
}
