//! Turns and mirrors a decoded picture as its EXIF orientation says.
//!
//! Each orientation is a walk through the source with two constant strides, so one loop serves
//! all eight. Where rows become columns it goes by square tiles, so that a tile's source lines
//! stay in the first-level cache. Must not know where the number came from.
//! Source of the meanings: Exif 2.32, tag 274; compared with Pillow's `exif_transpose`.

use super::Image;
use crate::error::Kind;
use crate::image::{Density, Size, resize_buffer};

/// Side of a tile: 32 lines of 32 RGB pixels are 3 KB of source and 3 KB of target.
const TILE: usize = 32;

/// Applies `orientation` (1 to 8, others mean 1) to both planes, the size and the density.
pub(super) fn apply(orientation: u8, turned: &mut Vec<u8>, image: &mut Image) -> Result<(), Kind> {
    if !(2..=8).contains(&orientation) {
        return Ok(());
    }
    turn::<3>(orientation, image.size, &image.rgb, turned)?;
    std::mem::swap(&mut image.rgb, turned);
    if !image.alpha.is_empty() {
        turn::<1>(orientation, image.size, &image.alpha, turned)?;
        std::mem::swap(&mut image.alpha, turned);
    }
    if orientation >= 5 {
        image.size = Size { width: image.size.height, height: image.size.width };
        image.density = image.density.map(|d| Density { x_dpi: d.y_dpi, y_dpi: d.x_dpi });
    }
    Ok(())
}

/// Writes the upright picture to `to`: target (x, y) is source `first + x * right + y * down`.
fn turn<const C: usize>(
    orientation: u8,
    size: Size,
    from: &[u8],
    to: &mut Vec<u8>,
) -> Result<(), Kind> {
    let (w, h) = (size.width, size.height);
    resize_buffer(to, from.len())?;
    let (from, _) = from.as_chunks::<C>();
    let (to, _) = to.as_chunks_mut::<C>();
    // (source index of target 0, 0; step to the right; step down), in pixels
    let (first, right, down) = match orientation {
        2 => (w - 1, -1, w as isize),
        3 => (w * h - 1, -1, -(w as isize)),
        4 => (w * (h - 1), 1, -(w as isize)),
        5 => (0, w as isize, 1),
        6 => (w * (h - 1), -(w as isize), 1),
        7 => (w * h - 1, -(w as isize), -1),
        _ => (w - 1, w as isize, -1),
    };
    let (out_w, out_h) = if orientation >= 5 { (h, w) } else { (w, h) };
    for top in (0..out_h).step_by(TILE) {
        for left in (0..out_w).step_by(TILE) {
            for y in top..(top + TILE).min(out_h) {
                let row = first.wrapping_add_signed(down * y as isize);
                let end = (left + TILE).min(out_w);
                for (x, target) in (left..end).zip(&mut to[y * out_w + left..y * out_w + end]) {
                    *target = from[row.wrapping_add_signed(right * x as isize)];
                }
            }
        }
    }
    Ok(())
}
