//! GIF through the `gif` crate: the first frame, laid onto the screen that the header describes.
//!
//! What the frame leaves free, and its transparent index, become alpha 0. The alpha plane exists
//! only if one of the two occurs. A frame that reaches over the screen's edge is cut there.
//! Left out: further frames, the aspect ratio byte, the background color (browsers ignore it).

use std::io::{Cursor, ErrorKind};
use std::num::NonZeroU64;

use ::gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use super::{Format, Found, Image, Limits, Scratch, Space, admit, corrupt, truncated};
use crate::error::Kind;
use crate::image::resize_buffer;

const FORMAT: Format = Format::Gif;

pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
    scratch: &mut Scratch,
    out: &mut Image,
) -> Result<Found, Kind> {
    let &[_, _, _, _, _, _, w0, w1, h0, h1, ..] = bytes else { return Err(truncated(FORMAT)) };
    let size = admit(
        FORMAT,
        u16::from_le_bytes([w0, w1]).into(),
        u16::from_le_bytes([h0, h1]).into(),
        limits,
    )?;
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(
        NonZeroU64::new(limits.max_pixels).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes),
    );
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(refused)?;
    let frame = decoder.next_frame_info().map_err(refused)?.ok_or(truncated(FORMAT))?;
    let (frame_w, frame_h) = (usize::from(frame.width), usize::from(frame.height));
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let transparent = frame.transparent;
    admit(FORMAT, frame.width.into(), frame.height.into(), limits)?;
    resize_buffer(&mut scratch.staging, frame_w * frame_h)?;
    decoder.read_into_buffer(&mut scratch.staging).map_err(refused)?;

    let covers = left == 0 && top == 0 && frame_w >= size.width && frame_h >= size.height;
    let indices = &scratch.staging;
    let with_alpha = !covers || transparent.is_some_and(|t| indices.contains(&t));
    out.prepare(size, with_alpha)?;
    if with_alpha {
        out.alpha.fill(0);
    }
    if !covers {
        out.rgb.fill(0);
    }
    // An index that the palette doesn't reach is black, as in Pillow.
    let mut colors = [[0; 3]; 256];
    let palette = decoder.palette().map_err(refused)?;
    for (color, entry) in colors.iter_mut().zip(palette.as_chunks::<3>().0) {
        *color = *entry;
    }
    let visible = frame_w.min(size.width.saturating_sub(left));
    let rows = if visible == 0 { 0 } else { frame_h.min(size.height.saturating_sub(top)) };
    for y in 0..rows {
        let row = &indices[y * frame_w..][..visible];
        let start = (top + y) * size.width + left;
        let targets = &mut out.rgb.as_chunks_mut::<3>().0[start..start + visible];
        for (pixel, &index) in targets.iter_mut().zip(row) {
            *pixel = colors[usize::from(index)];
        }
        if with_alpha {
            for (alpha, &index) in out.alpha[start..start + visible].iter_mut().zip(row) {
                *alpha = if transparent == Some(index) { 0 } else { 255 };
            }
        }
    }
    out.animated = matches!(decoder.next_frame_info(), Ok(Some(_)));
    Ok(Found { space: Space::Rgb, orientation: 1 })
}

fn refused(error: DecodingError) -> Kind {
    match error {
        DecodingError::UnexpectedEof => truncated(FORMAT),
        DecodingError::Io(e) if e.kind() == ErrorKind::UnexpectedEof => truncated(FORMAT),
        other => corrupt(FORMAT, other),
    }
}
