//! `scalar.rs` once more, compiled for AVX2.

use super::{Stretch, scalar};

/// See [`scalar::sigmoid`].
///
/// # Safety
///
/// The CPU has `avx2` and `fma`.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn sigmoid(values: &mut [f32]) {
    scalar::sigmoid(values);
}

/// See [`scalar::quantize`].
///
/// # Safety
///
/// As for [`sigmoid`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn quantize(values: &[f32], stretch: Stretch, levels: &mut [u8]) {
    scalar::quantize(values, stretch, levels);
}
