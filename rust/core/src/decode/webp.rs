//! WebP through the `image-webp` crate: lossy, lossless, alpha; the first frame of an animation.
//!
//! The size is read here from the first chunk, so that it is checked before the crate allocates.
//! Left out: further frames, XMP.

use std::io::{Cursor, ErrorKind};

use image_webp::{DecodingError, WebPDecoder};

use super::{Format, Found, Image, Limits, Scratch, Space, admit, corrupt, truncated};
use crate::error::Kind;
use crate::image::resize_buffer;

const FORMAT: Format = Format::Webp;

pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
    scratch: &mut Scratch,
    out: &mut Image,
) -> Result<Found, Kind> {
    let (width, height) = header_size(bytes)?;
    let size = admit(FORMAT, width.into(), height.into(), limits)?;
    let refused = |error| refused(error, bytes);
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(refused)?;
    if decoder.dimensions() != (width, height) {
        return Err(corrupt(FORMAT, "two headers disagree about the size"));
    }
    decoder.set_memory_limit(limits.max_metadata_bytes);
    out.animated = decoder.is_animated() && decoder.num_frames() > 1;

    let mut found = Found { space: Space::Rgb, orientation: 1 };
    match decoder.icc_profile() {
        Ok(Some(profile)) => out.keep_icc(&profile, limits)?,
        Ok(None) => {}
        Err(_) => out.icc_ignored = true,
    }
    if let Ok(Some(exif)) = decoder.exif_metadata() {
        found.exif(&exif, out);
    }

    let with_alpha = decoder.has_alpha();
    out.prepare(size, with_alpha)?;
    if !with_alpha {
        decoder.read_image(&mut out.rgb).map_err(refused)?;
        return Ok(found);
    }
    resize_buffer(&mut scratch.staging, 4 * size.pixels())?;
    decoder.read_image(&mut scratch.staging).map_err(refused)?;
    let pixels = out.rgb.as_chunks_mut::<3>().0.iter_mut().zip(&mut out.alpha);
    for (&[r, g, b, a], (pixel, alpha)) in scratch.staging.as_chunks::<4>().0.iter().zip(pixels) {
        *pixel = [r, g, b];
        *alpha = a;
    }
    Ok(found)
}

/// Width and height from the first chunk, whichever of the three kinds it is.
fn header_size(bytes: &[u8]) -> Result<(u32, u32), Kind> {
    let name = bytes.get(12..16).ok_or(truncated(FORMAT))?;
    let data = bytes.get(20..30).ok_or(truncated(FORMAT))?;
    let u24 = |at: usize| u32::from_le_bytes([data[at], data[at + 1], data[at + 2], 0]);
    match name {
        b"VP8X" => Ok((u24(4) + 1, u24(7) + 1)),
        b"VP8L" => {
            let packed = u32::from_le_bytes([data[1], data[2], data[3], data[4]]);
            Ok(((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1))
        }
        b"VP8 " => {
            let side = |at: usize| u32::from(u16::from_le_bytes([data[at], data[at + 1]]) & 0x3FFF);
            Ok((side(6), side(8)))
        }
        _ => Err(corrupt(FORMAT, "the first chunk is of an unknown kind")),
    }
}

fn refused(error: DecodingError, bytes: &[u8]) -> Kind {
    // A file that is shorter than its own header says fails in many ways, for one reason.
    let promised = bytes.get(4..8).map_or(0, |n| u32::from_le_bytes([n[0], n[1], n[2], n[3]]));
    if (bytes.len() as u64) < u64::from(promised) + 8 {
        return truncated(FORMAT);
    }
    match error {
        DecodingError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => truncated(FORMAT),
        other => corrupt(FORMAT, other),
    }
}
