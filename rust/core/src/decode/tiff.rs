//! TIFF through the `tiff` crate: the first page; gray, RGB, palette, CMYK, YCbCr; 1 to 16 bits.
//!
//! Departures and additions:
//! 1. The crate decodes no palettes. A palette picture is shown to it as a gray one (one field of
//!    the directory reads differently, see [`Patched`]) and its samples are looked up here.
//! 2. Associated alpha (colors multiplied by alpha) is divided out, rounded; unassociated alpha
//!    is taken as it is; an extra channel of unspecified meaning is ignored.
//! 3. 16-bit samples are scaled and rounded, `round(v * 255 / 65535)`.
//!
//! Left out: float and 32-bit samples, CIELab, further pages.

use std::io::{Cursor, ErrorKind, Read, Seek, SeekFrom};

use ::tiff::decoder::{BufferLayoutPreference, Decoder};
use ::tiff::tags::Tag;
use ::tiff::{ColorType, TiffError};

use super::{
    Format, Found, Image, Limits, Scratch, Space, admit, corrupt, exif, level16, truncated,
    unsupported,
};
use crate::error::Kind;
use crate::image::{Size, resize_buffer};

const FORMAT: Format = Format::Tiff;
const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const PHOTOMETRIC: u16 = 262;
const EXTRA_SAMPLES: u16 = 338;
const ICC_PROFILE: u16 = 34675;

/// The meaning of the samples of a pixel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Colors {
    Gray,
    Palette,
    Rgb,
    Cmyk,
    YCbCr,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alpha {
    None,
    Straight,
    Multiplied,
}

pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
    scratch: &mut Scratch,
    out: &mut Image,
) -> Result<Found, Kind> {
    let palette_field = exif::short_at(bytes, PHOTOMETRIC).filter(|&(at, little)| {
        bytes.get(at..at + 2) == Some(if little { &[3, 0] } else { &[0, 3] })
    });
    // The crate checks the whole directory before it tells the size, so it is read here first.
    if let (Some(width), Some(height)) =
        (exif::unsigned(bytes, WIDTH), exif::unsigned(bytes, HEIGHT))
    {
        admit(FORMAT, width.into(), height.into(), limits)?;
    }
    let source = Patched::new(bytes, palette_field);
    let mut decoder = Decoder::new(source).map_err(refused)?;
    let (width, height) = decoder.dimensions().map_err(refused)?;
    let size = admit(FORMAT, width.into(), height.into(), limits)?;
    let mut caps = ::tiff::decoder::Limits::default();
    // This cap holds for the directory's values too, so it leaves room for a palette.
    caps.decoding_buffer_size = size.pixels().saturating_mul(16).saturating_add(1 << 20);
    caps.intermediate_buffer_size = size.pixels().saturating_mul(16).max(1 << 20);
    caps.ifd_value_size = limits.max_metadata_bytes;
    decoder = decoder.with_limits(caps);

    let mut found = Found { space: Space::Rgb, orientation: 1 };
    metadata(&mut decoder, limits, &mut found, out)?;
    let (colors, channels, bits) = meaning(decoder.colortype().map_err(refused)?, palette_field)?;
    let own = match colors {
        Colors::Gray | Colors::Palette => 1,
        Colors::Rgb | Colors::YCbCr => 3,
        Colors::Cmyk => 4,
    };
    let alpha = match extra(&mut decoder) {
        Some(1) if channels > own => Alpha::Multiplied,
        Some(2) if channels > own => Alpha::Straight,
        _ => Alpha::None,
    };
    let lookup = if colors == Colors::Palette {
        decoder.get_tag_u16_vec(Tag::ColorMap).map_err(refused)?
    } else {
        Vec::new()
    };

    let layout = decoder.image_buffer_layout().map_err(refused)?;
    resize_buffer(&mut scratch.staging, layout.complete_len)?;
    decoder.read_image_bytes(&mut scratch.staging).map_err(refused)?;
    let samples = Samples::new(&scratch.staging, &layout, size, channels, bits)?;
    out.prepare(size, alpha != Alpha::None && colors != Colors::Cmyk)?;
    found.space = match colors {
        Colors::Gray => Space::Gray,
        Colors::Cmyk => Space::Cmyk,
        _ => Space::Rgb,
    };
    if colors == Colors::Cmyk {
        let mut ink = std::mem::take(&mut scratch.turned);
        resize_buffer(&mut ink, 4 * size.pixels())?;
        for (i, pixel) in ink.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *pixel = std::array::from_fn(|c| samples.level(i, c));
        }
        scratch.turned = std::mem::replace(&mut scratch.staging, ink);
        return Ok(found);
    }
    let mut alphas = out.alpha.iter_mut();
    for (i, pixel) in out.rgb.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        *pixel = match colors {
            Colors::Gray => [samples.level(i, 0); 3],
            Colors::Palette => entry(&lookup, samples.raw(i, 0), bits),
            Colors::YCbCr => super::jpeg::ycc_to_rgb([0, 1, 2].map(|c| samples.level(i, c))),
            _ => [0, 1, 2].map(|c| samples.level(i, c)),
        };
        if let Some(target) = alphas.next() {
            let a = samples.level(i, own);
            if alpha == Alpha::Multiplied {
                *pixel = pixel.map(|v| divide_out(v, a));
            }
            *target = a;
        }
    }
    Ok(found)
}

/// Undoes the multiplication by alpha, rounded.
fn divide_out(level: u8, alpha: u8) -> u8 {
    let (level, alpha) = (u32::from(level), u32::from(alpha));
    (level * 255 + alpha / 2).checked_div(alpha).unwrap_or(0).min(255) as u8
}

/// A palette's color: three planes of `2^bits` 16-bit levels. The high byte counts, since
/// writers fill the low one with zeros or with the same byte again.
fn entry(lookup: &[u16], index: u32, bits: u8) -> [u8; 3] {
    let count = 1usize << bits;
    [0, 1, 2].map(|c| lookup.get(c * count + index as usize).map_or(0, |&v| (v >> 8) as u8))
}

fn meaning(color: ColorType, palette: Option<(usize, bool)>) -> Result<(Colors, usize, u8), Kind> {
    let (colors, channels, bits) = match color {
        ColorType::Gray(bits @ (1 | 2 | 4 | 8)) if palette.is_some() => (Colors::Palette, 1, bits),
        ColorType::Gray(bits @ (1 | 2 | 4 | 8 | 16)) => (Colors::Gray, 1, bits),
        ColorType::Multiband { bit_depth: bits @ (8 | 16), num_samples: n @ 2..=8 }
            if palette.is_none() =>
        {
            (Colors::Gray, n.into(), bits)
        }
        ColorType::GrayA(bits @ (8 | 16)) => (Colors::Gray, 2, bits),
        ColorType::RGB(bits @ (8 | 16)) => (Colors::Rgb, 3, bits),
        ColorType::RGBA(bits @ (8 | 16)) => (Colors::Rgb, 4, bits),
        ColorType::CMYK(bits @ (8 | 16)) => (Colors::Cmyk, 4, bits),
        ColorType::CMYKA(bits @ (8 | 16)) => (Colors::Cmyk, 5, bits),
        ColorType::YCbCr(8) => (Colors::YCbCr, 3, 8),
        other => return Err(unsupported(FORMAT, format_args!("{other:?}"))),
    };
    Ok((colors, channels, bits))
}

/// Access to the decoded samples, however they are laid out.
struct Samples<'a> {
    data: &'a [u8],
    width: usize,
    bits: u8,
    row: usize,
    /// Bytes from a pixel to the next, and from a channel to the next.
    pixel: usize,
    channel: usize,
}

impl<'a> Samples<'a> {
    fn new(
        data: &'a [u8],
        layout: &BufferLayoutPreference,
        size: Size,
        channels: usize,
        bits: u8,
    ) -> Result<Self, Kind> {
        let bytes = usize::from(bits.div_ceil(8));
        let planar = layout.planes > 1;
        let per_pixel = if planar { 1 } else { channels };
        let row = (size.width * per_pixel * usize::from(bits)).div_ceil(8);
        let plane = row * size.height;
        let planes = if planar { channels } else { 1 };
        let as_said = layout.row_stride.is_none_or(|said| said.get() == row)
            && layout.plane_stride.is_none_or(|said| said.get() == plane)
            && (!planar || layout.planes >= channels);
        if !as_said || data.len() < plane * planes {
            return Err(unsupported(FORMAT, "this layout of samples"));
        }
        let channel = if planar { plane } else { bytes };
        Ok(Samples { data, width: size.width, bits, row, pixel: per_pixel * bytes, channel })
    }

    /// Sample `c` of pixel `i`, in the file's own range.
    fn raw(&self, i: usize, c: usize) -> u32 {
        let (y, x) = (i / self.width, i % self.width);
        if self.bits < 8 {
            let per_byte = 8 / usize::from(self.bits);
            let byte = self.data[y * self.row + x / per_byte];
            let shift = (per_byte - 1 - x % per_byte) * usize::from(self.bits);
            return u32::from(byte >> shift) & ((1 << self.bits) - 1);
        }
        let at = y * self.row + x * self.pixel + c * self.channel;
        if self.bits == 8 {
            self.data[at].into()
        } else {
            u16::from_ne_bytes([self.data[at], self.data[at + 1]]).into()
        }
    }

    /// Sample `c` of pixel `i` as 0..255.
    fn level(&self, i: usize, c: usize) -> u8 {
        let raw = self.raw(i, c);
        match self.bits {
            16 => level16(raw as u16),
            8 => raw as u8,
            bits => (raw * (255 / ((1 << bits) - 1))) as u8,
        }
    }
}

/// What ExtraSamples says of the first extra channel: 1 associated, 2 unassociated alpha.
fn extra<R: Read + Seek>(decoder: &mut Decoder<R>) -> Option<u16> {
    let tag = Tag::from_u16_exhaustive(EXTRA_SAMPLES);
    let values: Option<Vec<u16>> = decoder.find_tag_unsigned_vec(tag).ok().flatten();
    values?.first().copied()
}

fn metadata<R: Read + Seek>(
    decoder: &mut Decoder<R>,
    limits: &Limits,
    found: &mut Found,
    out: &mut Image,
) -> Result<(), Kind> {
    if let Ok(Some(value @ 1..=8)) = decoder.find_tag_unsigned::<u8>(Tag::Orientation) {
        found.orientation = value;
    }
    let unit = decoder.find_tag_unsigned::<u32>(Tag::ResolutionUnit).ok().flatten().unwrap_or(2);
    let mut resolution = |tag| match decoder.find_tag(tag) {
        Ok(Some(::tiff::decoder::ifd::Value::Rational(over, under))) => {
            Some(f64::from(over) / f64::from(under))
        }
        _ => None,
    };
    if let (Some(x), Some(y)) = (resolution(Tag::XResolution), resolution(Tag::YResolution)) {
        out.density = exif::in_dpi(x, y, unit);
    }
    let tag = Tag::from_u16_exhaustive(ICC_PROFILE);
    let mut directory = decoder.image_ifd();
    if let Some(entry) = directory.directory().get(tag) {
        let len = usize::try_from(entry.count()).unwrap_or(usize::MAX);
        let mut read = false;
        if len <= limits.max_metadata_bytes {
            resize_buffer(&mut out.icc, len)?;
            read =
                matches!(directory.find_tag_bytes(tag, &mut out.icc, 0), Ok(Some(n)) if n == len);
        }
        if !read {
            out.icc.clear();
            out.icc_ignored = true;
        }
    }
    out.animated = decoder.more_images();
    Ok(())
}

fn refused(error: TiffError) -> Kind {
    match error {
        TiffError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => truncated(FORMAT),
        TiffError::UnsupportedError(what) => unsupported(FORMAT, what),
        TiffError::LimitsExceeded => corrupt(FORMAT, "its parts are larger than the picture"),
        other => corrupt(FORMAT, other),
    }
}

/// The file with "palette" replaced by "black is zero" in its first directory.
struct Patched<'a> {
    inner: Cursor<&'a [u8]>,
    /// Where the byte stands that reads as 1 instead of 3.
    at: Option<u64>,
}

impl<'a> Patched<'a> {
    fn new(bytes: &'a [u8], field: Option<(usize, bool)>) -> Self {
        let at = field.map(|(at, little)| at as u64 + u64::from(!little));
        Patched { inner: Cursor::new(bytes), at }
    }
}

impl Read for Patched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let start = self.inner.position();
        let n = self.inner.read(buf)?;
        if let Some(at) = self.at
            && (start..start + n as u64).contains(&at)
        {
            buf[(at - start) as usize] = 1;
        }
        Ok(n)
    }
}

impl Seek for Patched<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.inner.seek(to)
    }
}
