//! PNG through the `png` crate; the default picture of an APNG.
//!
//! The chunks are walked once here before the crate sees them: the size is checked, and the
//! metadata is taken from the walk, so that a compressed profile is inflated only up to the cap
//! (the crate would inflate it first and ask afterwards) and texts are never inflated at all.
//! 16-bit samples are scaled and rounded, `round(v * 255 / 65535)`; Pillow takes the high byte,
//! which is up to one level darker.
//! Left out: gAMA and cHRM without a profile (rare, and browsers disagree on them).

use std::io::{Cursor, ErrorKind, Read};

use ::png::{BitDepth, ColorType, DecodingError, Transformations};
use flate2::read::ZlibDecoder;

use super::{
    Format, Found, Image, Limits, Scratch, Space, admit, corrupt, density, level16, truncated,
};
use crate::error::Kind;
use crate::image::resize_buffer;

const FORMAT: Format = Format::Png;

/// The color type of pictures with a palette.
const INDEXED: u8 = 3;

pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
    scratch: &mut Scratch,
    out: &mut Image,
) -> Result<Found, Kind> {
    let Some(Ok((b"IHDR", header))) = Chunks::new(bytes).next() else {
        return Err(match bytes.len() {
            0..33 => truncated(FORMAT),
            _ => corrupt(FORMAT, "the first chunk is not IHDR"),
        });
    };
    let [w0, w1, w2, w3, h0, h1, h2, h3, _, color, ..] = *header else {
        return Err(corrupt(FORMAT, "the IHDR chunk is too short"));
    };
    let width = u32::from_be_bytes([w0, w1, w2, w3]);
    let height = u32::from_be_bytes([h0, h1, h2, h3]);
    let size = admit(FORMAT, width.into(), height.into(), limits)?;

    // Deflate packs at most 1032 to 1, and a pixel is at least a bit.
    if size.pixels() / 8 / 1032 > bytes.len() {
        return Err(truncated(FORMAT));
    }
    if color == INDEXED {
        check_palette(bytes)?;
    }
    let mut found = Found { space: Space::Rgb, orientation: 1 };
    metadata(bytes, limits, &mut found, out)?;

    let mut decoder = ::png::Decoder::new_with_limits(
        Cursor::new(bytes),
        // Rows and their filter state; the picture itself goes to our buffer.
        ::png::Limits { bytes: size.width.saturating_mul(64).saturating_add(64 << 20) },
    );
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(refused)?;
    let len = reader.output_buffer_size().ok_or(Kind::OutOfMemory { bytes: u64::MAX })?;
    resize_buffer(&mut scratch.staging, len)?;
    let info = reader.next_frame(&mut scratch.staging).map_err(refused)?;
    if (info.width, info.height) != (width, height) {
        return Err(corrupt(FORMAT, "the first frame has another size than the picture"));
    }
    let gray = matches!(info.color_type, ColorType::Grayscale | ColorType::GrayscaleAlpha);
    found.space = if gray { Space::Gray } else { Space::Rgb };
    let with_alpha = matches!(info.color_type, ColorType::GrayscaleAlpha | ColorType::Rgba);
    out.prepare(size, with_alpha)?;
    let samples = &scratch.staging[..info.buffer_size()];
    match (info.color_type, info.bit_depth) {
        (ColorType::Rgb, BitDepth::Eight) => out.rgb.copy_from_slice(samples),
        (ColorType::Rgb, _) => wide::<3>(samples, out, |s, _| s),
        (ColorType::Rgba, BitDepth::Eight) => narrow::<4>(samples, out),
        (ColorType::Rgba, _) => wide::<4>(samples, out, |s, a| {
            *a = s[3];
            [s[0], s[1], s[2]]
        }),
        (ColorType::Grayscale, BitDepth::Eight) => {
            for (pixel, &v) in out.rgb.as_chunks_mut::<3>().0.iter_mut().zip(samples) {
                *pixel = [v; 3];
            }
        }
        (ColorType::Grayscale, _) => wide::<1>(samples, out, |s, _| [s[0]; 3]),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => narrow::<2>(samples, out),
        (ColorType::GrayscaleAlpha, _) => wide::<2>(samples, out, |s, a| {
            *a = s[1];
            [s[0]; 3]
        }),
        (ColorType::Indexed, _) => return Err(corrupt(FORMAT, "there is no palette")),
    }
    Ok(found)
}

/// Refuses a palette that is no list of 1 to 256 colors: the crate takes it on trust, and panics.
fn check_palette(bytes: &[u8]) -> Result<(), Kind> {
    for (name, data) in Chunks::new(bytes).map_while(Result::ok) {
        if name == b"PLTE" && (data.is_empty() || data.len() > 768 || data.len() % 3 != 0) {
            return Err(corrupt(FORMAT, format_args!("a palette of {} bytes", data.len())));
        }
    }
    Ok(())
}

/// 8-bit samples with alpha last, split into colors and alpha.
fn narrow<const C: usize>(samples: &[u8], out: &mut Image) {
    let pixels = samples.as_chunks::<C>().0.iter();
    let targets = out.rgb.as_chunks_mut::<3>().0.iter_mut().zip(&mut out.alpha);
    for (s, (pixel, alpha)) in pixels.zip(targets) {
        *pixel = if C == 4 { [s[0], s[1], s[2]] } else { [s[0]; 3] };
        *alpha = s[C - 1];
    }
}

/// 16-bit big-endian samples, brought to 8 bits and handed to `split` pixel by pixel.
fn wide<const C: usize>(
    samples: &[u8],
    out: &mut Image,
    split: impl Fn([u8; C], &mut u8) -> [u8; 3],
) {
    let mut unused = 0;
    let mut alphas = out.alpha.iter_mut();
    let pixels = samples.as_chunks::<2>().0.as_chunks::<C>().0;
    for (pixel, s) in out.rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
        let levels = s.map(|pair| level16(u16::from_be_bytes(pair)));
        *pixel = split(levels, alphas.next().unwrap_or(&mut unused));
    }
}

fn refused(error: DecodingError) -> Kind {
    match error {
        DecodingError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => truncated(FORMAT),
        DecodingError::LimitsExceeded => {
            Kind::TooManyBytes { what: "the decoder", limit_bytes: 64 << 20 }
        }
        other => corrupt(FORMAT, other),
    }
}

/// Profile, density, orientation, and whether there are more frames.
fn metadata(bytes: &[u8], limits: &Limits, found: &mut Found, out: &mut Image) -> Result<(), Kind> {
    // A chunk that is cut off ends the walk; whether pixels are missing is the decoder's to say.
    for (name, data) in Chunks::new(bytes).map_while(Result::ok) {
        match (name, data) {
            (b"iCCP", data) if out.icc.is_empty() => profile(data, limits, out)?,
            (b"pHYs", &[a, b, c, d, e, f, g, h, 1]) => {
                let x = f64::from(u32::from_be_bytes([a, b, c, d]));
                let y = f64::from(u32::from_be_bytes([e, f, g, h]));
                out.density = density(x * 0.0254, y * 0.0254);
            }
            (b"acTL", &[a, b, c, d, ..]) => out.animated = u32::from_be_bytes([a, b, c, d]) > 1,
            _ => {}
        }
    }
    // Last, because the format's own density goes before that of EXIF.
    let exif = Chunks::new(bytes).map_while(Result::ok).find(|(name, _)| *name == b"eXIf");
    if let Some((_, block)) = exif {
        found.exif(block, out);
    }
    Ok(())
}

/// Inflates an iCCP chunk, at most to the cap.
fn profile(data: &[u8], limits: &Limits, out: &mut Image) -> Result<(), Kind> {
    let packed = data.iter().take(80).position(|&b| b == 0).and_then(|end| data.get(end + 2..));
    let Some(packed) = packed else {
        out.icc_ignored = true;
        return Ok(());
    };
    let cap = limits.max_metadata_bytes as u64;
    let inflated = ZlibDecoder::new(packed).take(cap.saturating_add(1)).read_to_end(&mut out.icc);
    if inflated.is_err() || out.icc.len() as u64 > cap {
        out.icc.clear();
        // The buffer of a bomb isn't kept for the worker's life.
        out.icc.shrink_to(1 << 20);
        out.icc_ignored = true;
    }
    Ok(())
}

/// Walks the chunks: name and data. Ends after IEND, or with an error where the file is cut off.
struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Chunks<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Chunks { rest: bytes.get(8..).unwrap_or(&[]) }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<(&'a [u8; 4], &'a [u8]), Kind>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        let Some((&[a, b, c, d, ref name @ ..], after)) = rest.split_first_chunk::<8>() else {
            return Some(Err(truncated(FORMAT)));
        };
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some((data, after)) = after.split_at_checked(len) else {
            return Some(Err(truncated(FORMAT)));
        };
        if name != b"IEND" {
            self.rest = after.get(4..).unwrap_or(&[]);
        }
        Some(Ok((name, data)))
    }
}
