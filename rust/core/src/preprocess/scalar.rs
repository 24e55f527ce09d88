//! The definition of normalizing a row: pixel by pixel. Also finishes what a vector kernel leaves.

use super::{Affine, Planes};

pub(super) fn normalize(rgb: &[u8], affine: &Affine, planes: Planes<'_>) {
    let [red, green, blue] = planes;
    let pixels = rgb.as_chunks::<3>().0.iter();
    for (((&[r, g, b], red), green), blue) in pixels.zip(red).zip(green).zip(blue) {
        *red = affine.apply(0, r);
        *green = affine.apply(1, g);
        *blue = affine.apply(2, b);
    }
}
