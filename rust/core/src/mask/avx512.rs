//! `scalar.rs` once more, compiled for AVX-512.

use super::{Stretch, scalar};

/// See [`scalar::sigmoid`].
///
/// # Safety
///
/// The CPU has `avx512f`, `avx512bw`, `avx512vl` and `avx512dq`, and all that AVX2 needs.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
pub(super) unsafe fn sigmoid(values: &mut [f32]) {
    scalar::sigmoid(values);
}

/// See [`scalar::quantize`].
///
/// # Safety
///
/// As for [`sigmoid`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
pub(super) unsafe fn quantize(values: &[f32], stretch: Stretch, levels: &mut [u8]) {
    scalar::quantize(values, stretch, levels);
}
