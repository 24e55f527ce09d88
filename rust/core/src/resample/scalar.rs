//! The definition: every other level gives these very bytes.
//!
//! See the head of `mod.rs` for the algorithm. Sums wrap: with the weights that plans hold they
//! never leave 32 bits (a test of `plan.rs` sweeps it), and wrapping keeps the checks of the
//! release profile out of the inner loop.

use super::plan::{PRECISION_BITS, Plan, Taps};
use super::{Block, Turned};

/// Rows that [`across`] wants at a time.
pub const ROWS: usize = 8;

/// A sum of products, half rounded up and cut to 0..=255.
fn level(sum: i32) -> u8 {
    (sum.wrapping_add(1 << (PRECISION_BITS - 1)) >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Blends the rows of `window`, each as long as `out`, into `out`. Returns the bytes done: all.
pub fn blend(window: &[u8], taps: Taps<'_>, out: &mut [u8]) -> usize {
    let stride = out.len();
    blend_from(0, window, stride, taps, out);
    stride
}

/// The same for the bytes of `out` from `done` on: what the vectors left over.
pub fn blend_from(done: usize, window: &[u8], stride: usize, taps: Taps<'_>, out: &mut [u8]) {
    for (column, byte) in out.iter_mut().enumerate().skip(done) {
        let pixels = window[column..].iter().step_by(stride);
        let sum = taps.weights.iter().zip(pixels).fold(0i32, |sum, (weight, pixel)| {
            sum.wrapping_add(weight.wrapping_mul(i32::from(*pixel)))
        });
        *byte = level(sum);
    }
}

/// Resamples each row of `block` into a row of `out`. Nothing needs turning here.
pub fn across(block: Block<'_>, plan: &Plan, _: &mut Turned, out: &mut [u8]) {
    let rows = block.pixels.chunks_exact(block.stride);
    for (row, line) in rows.zip(out.chunks_exact_mut(plan.outputs() * block.channels)) {
        for (x, pixel) in line.chunks_exact_mut(block.channels).enumerate() {
            let taps = plan.taps(x);
            let window = &row[taps.start * block.channels..];
            blend_from(0, window, block.channels, taps, pixel);
        }
    }
}
