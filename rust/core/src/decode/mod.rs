//! Bytes of an image file to RGB8, upright, with an alpha plane where the input has one.
//!
//! The first bytes choose the decoder, never the file's name. Every format does the same three
//! things: it reads its header with checked arithmetic and refuses what is over the [`Limits`]
//! before anything is allocated; it decodes into the caller's buffers; it reports what it found
//! beside the pixels. Here, once for all formats, the colors of gray and CMYK pictures are then
//! brought to sRGB through their own profile, and the orientation of the camera is applied.
//!
//! An RGB picture keeps its colors and its profile: the output should have the input's colors.
//! Who needs sRGB (the network) asks [`IccCache::to_srgb`].
//!
//! Must not know: files, threads, networks. Left out on purpose: every frame but the first, HDR
//! gain maps, float samples, HEIC and AVIF (recognized and refused by name).

mod bmp;
mod exif;
mod gif;
pub mod icc;
mod jpeg;
mod orient;
mod png;
mod pnm;
mod tiff;
mod webp;

#[cfg(test)]
mod tests;

pub use icc::{IccCache, Outcome};

use crate::error::Kind;
use crate::image::{Alpha8, Density, Rgb8, Rgba8, Size, resize_buffer};
use crate::simd::Level;

/// What a file may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest width times height.
    pub max_pixels: u64,
    /// Largest ICC profile or EXIF block, after inflating. A larger one is left out.
    pub max_metadata_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_pixels: 250_000_000, max_metadata_bytes: 16 << 20 }
    }
}

/// A decoded picture. Its buffers grow to the largest picture seen and are reused.
#[derive(Debug)]
pub struct Image {
    /// Width and height, after orientation.
    pub size: Size,
    /// Interleaved red, green, blue: `3 * width * height` bytes, in the colors of `icc`, or sRGB
    /// when that is empty.
    pub rgb: Vec<u8>,
    /// `width * height` bytes, straight; empty when the input has no alpha or is opaque all over.
    pub alpha: Vec<u8>,
    /// The RGB profile as it stood in the file; empty when there is none or it was used up.
    pub icc: Vec<u8>,
    /// Physical density, after orientation.
    pub density: Option<Density>,
    /// The format's name, as in error messages.
    pub format: &'static str,
    /// There are further frames, which were not decoded.
    pub animated: bool,
    /// A profile was there and was ignored: broken, too large, or of another color space.
    pub icc_ignored: bool,
}

impl Default for Image {
    fn default() -> Self {
        Image {
            size: Size { width: 0, height: 0 },
            rgb: Vec::new(),
            alpha: Vec::new(),
            icc: Vec::new(),
            density: None,
            format: "",
            animated: false,
            icc_ignored: false,
        }
    }
}

impl Image {
    /// The colors as a view.
    pub fn pixels(&self) -> Result<Rgb8<'_>, Kind> {
        Rgb8::new(self.size, &self.rgb)
    }

    /// The alpha plane as a view, if there is one.
    pub fn alpha_plane(&self) -> Result<Option<Alpha8<'_>>, Kind> {
        if self.alpha.is_empty() { Ok(None) } else { Alpha8::new(self.size, &self.alpha).map(Some) }
    }

    /// Takes pixels that need no decoding: interleaved, 3 (RGB) or 4 (RGB and straight alpha)
    /// channels, sRGB.
    pub fn set_pixels(
        &mut self,
        size: Size,
        channels: usize,
        data: &[u8],
        limits: &Limits,
    ) -> Result<(), Kind> {
        self.clear("pixels");
        let (width, height) = (size.width as u64, size.height as u64);
        if width.saturating_mul(height) > limits.max_pixels {
            return Err(Kind::TooManyPixels { width, height, limit_px: limits.max_pixels });
        }
        match channels {
            3 => {
                let rgb = Rgb8::new(size, data)?;
                self.prepare(size, false)?;
                self.rgb.copy_from_slice(rgb.data());
            }
            4 => {
                let rgba = Rgba8::new(size, data)?;
                self.prepare(size, true)?;
                let pixels = rgba.data().as_chunks::<4>().0.iter();
                let colors = self.rgb.as_chunks_mut::<3>().0.iter_mut();
                for ((&[r, g, b, a], color), alpha) in pixels.zip(colors).zip(&mut self.alpha) {
                    (*color, *alpha) = ([r, g, b], a);
                }
            }
            _ => {
                let message = format!("{channels} channels are not 3 (RGB) or 4 (RGBA)");
                return Err(Kind::Tensor { message });
            }
        }
        Ok(())
    }

    fn clear(&mut self, format: &'static str) {
        self.size = Size { width: 0, height: 0 };
        // The planes keep their length: growing again would fill them with zeros first.
        self.icc.clear();
        self.density = None;
        self.format = format;
        self.animated = false;
        self.icc_ignored = false;
    }

    /// Sizes the planes for `size`.
    fn prepare(&mut self, size: Size, with_alpha: bool) -> Result<(), Kind> {
        self.size = size;
        let rgb_bytes =
            size.pixels().checked_mul(3).ok_or(Kind::OutOfMemory { bytes: u64::MAX })?;
        resize_buffer(&mut self.rgb, rgb_bytes)?;
        resize_buffer(&mut self.alpha, if with_alpha { size.pixels() } else { 0 })
    }

    /// Takes a profile over, if it is not too large.
    fn keep_icc(&mut self, profile: &[u8], limits: &Limits) -> Result<(), Kind> {
        self.icc.clear();
        if profile.len() > limits.max_metadata_bytes {
            self.icc_ignored = true;
            return Ok(());
        }
        resize_buffer(&mut self.icc, profile.len())?;
        self.icc.copy_from_slice(profile);
        Ok(())
    }
}

/// The color space in which a decoder left the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    /// `Image::rgb` holds the picture's own RGB.
    Rgb,
    /// `Image::rgb` holds a gray level three times.
    Gray,
    /// `Scratch::staging` holds ink, 4 bytes per pixel, 0 is no ink; `Image::rgb` is sized only.
    Cmyk,
}

/// What a decoder found beside the pixels.
#[derive(Clone, Copy, Debug)]
struct Found {
    space: Space,
    /// EXIF orientation, 1 to 8.
    orientation: u8,
}

impl Found {
    /// Reads an EXIF block; the density counts only if the format itself gave none.
    fn exif(&mut self, block: &[u8], out: &mut Image) {
        let exif = exif::read(block);
        self.orientation = exif.orientation;
        out.density = out.density.or(exif.density);
    }
}

/// Buffers between a format's samples and `Image`.
#[derive(Debug)]
struct Scratch {
    level: Level,
    staging: Vec<u8>,
    turned: Vec<u8>,
    jpeg: jpeg::Planes,
    jpeg_rows: [Vec<u8>; 4],
}

/// A worker's decoder: scratch and the cache of ICC transforms.
#[derive(Debug)]
pub struct Decoder {
    scratch: Scratch,
    icc: IccCache,
}

impl Default for Decoder {
    /// With the best level of this CPU.
    fn default() -> Self {
        Decoder::new(Level::detect())
    }
}

impl Decoder {
    /// With empty buffers; our own kernels run at `level`.
    pub fn new(level: Level) -> Self {
        let scratch = Scratch {
            level,
            staging: Vec::new(),
            turned: Vec::new(),
            jpeg: jpeg::Planes::default(),
            jpeg_rows: Default::default(),
        };
        Decoder { scratch, icc: IccCache::default() }
    }

    /// The cache of ICC transforms, for who wants sRGB.
    pub fn icc(&mut self) -> &mut IccCache {
        &mut self.icc
    }

    /// Decodes the first picture of `bytes` into `out`. After an error `out` holds nothing useful.
    pub fn decode(&mut self, bytes: &[u8], limits: &Limits, out: &mut Image) -> Result<(), Kind> {
        let format = sniff(bytes)?;
        out.clear(format.name());
        let scratch = &mut self.scratch;
        let found = match format {
            Format::Jpeg => jpeg::decode(bytes, limits, scratch, out),
            Format::Png => png::decode(bytes, limits, scratch, out),
            Format::Webp => webp::decode(bytes, limits, scratch, out),
            Format::Tiff => tiff::decode(bytes, limits, scratch, out),
            Format::Bmp => bmp::decode(bytes, limits, out),
            Format::Gif => gif::decode(bytes, limits, scratch, out),
            Format::Pnm => pnm::decode(bytes, limits, out),
        }?;
        self.settle_colors(found.space, out);
        // An alpha plane that says nothing is none; most don't get past the first pixels here.
        if out.alpha.iter().all(|&a| a == 255) {
            out.alpha.clear();
        }
        orient::apply(found.orientation, &mut self.scratch.turned, out)
    }

    /// Makes `out` say what its colors are: gray and CMYK become sRGB, a foreign profile goes.
    fn settle_colors(&mut self, space: Space, out: &mut Image) {
        let profile_space = icc::space(&out.icc);
        match space {
            Space::Cmyk => {
                let ink = &self.scratch.staging;
                let by_profile = profile_space == Some(icc::ProfileSpace::Cmyk)
                    && self.icc.cmyk_to_srgb(&out.icc, ink, &mut out.rgb);
                if !by_profile {
                    out.icc_ignored |= !out.icc.is_empty();
                    naive_cmyk(ink, &mut out.rgb);
                }
                out.icc.clear();
            }
            Space::Gray if profile_space == Some(icc::ProfileSpace::Gray) => {
                out.icc_ignored |= !self.icc.gray_to_srgb(&out.icc, &mut out.rgb);
                out.icc.clear();
            }
            Space::Gray | Space::Rgb => {
                if !out.icc.is_empty() && profile_space != Some(icc::ProfileSpace::Rgb) {
                    out.icc_ignored = true;
                    out.icc.clear();
                }
            }
        }
    }
}

/// Ink to light without a profile, as Pillow does it: light = (255 - k) - ink * (255 - k) / 255.
fn naive_cmyk(ink: &[u8], rgb: &mut [u8]) {
    for (cmyk, pixel) in ink.chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
        let white = 255 - u32::from(cmyk[3]);
        for (level, &c) in pixel.iter_mut().zip(cmyk) {
            *level = (white - div255(u32::from(c) * white)) as u8;
        }
    }
}

/// `round(v / 255)` for `v` up to 255 * 255, without a division.
fn div255(v: u32) -> u32 {
    let t = v + 128;
    (t + (t >> 8)) >> 8
}

/// A 16-bit level as the nearest 8-bit level: `round(v * 255 / 65535)`.
fn level16(v: u16) -> u8 {
    // 65535 / 255 is 257; adding half of it and multiplying by 2^16 / 257 is exact over the range.
    ((u32::from(v) * 255 + 32_895) >> 16) as u8
}

/// The formats that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Jpeg,
    Png,
    Webp,
    Tiff,
    Bmp,
    Gif,
    Pnm,
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::Webp => "WebP",
            Format::Tiff => "TIFF",
            Format::Bmp => "BMP",
            Format::Gif => "GIF",
            Format::Pnm => "PNM",
        }
    }
}

/// Tells the format from the first bytes.
fn sniff(bytes: &[u8]) -> Result<Format, Kind> {
    match bytes {
        [] => Err(Kind::Empty),
        [0xFF, 0xD8, 0xFF, ..] => Ok(Format::Jpeg),
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Ok(Format::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Format::Webp),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Format::Tiff),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Format::Gif),
        // The reserved words and a plausible header length keep texts that begin with BM out.
        [b'B', b'M', _, _, _, _, _, _, _, _, _, _, _, _, 12..=124, 0, 0, 0, ..] => Ok(Format::Bmp),
        [b'P', b'1'..=b'6', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..] => Ok(Format::Pnm),
        [b'P', b'7', b'\n', ..] => {
            Err(Kind::Unsupported { format: "PNM", what: "the PAM variant (P7)".into() })
        }
        _ if bytes.get(4..8) == Some(b"ftyp") => Err(iso_media(bytes)),
        // The beginning of a known signature and nothing more: a copy that has only started.
        _ if bytes.len() < 12 && starts_like_an_image(bytes) => {
            Err(Kind::Truncated { format: "image" })
        }
        _ => Err(Kind::UnknownFormat),
    }
}

fn starts_like_an_image(bytes: &[u8]) -> bool {
    [&b"\xFF\xD8\xFF"[..], b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF89a", b"GIF87a", b"II*\0", b"MM\0*"]
        .iter()
        .any(|magic| bytes.len() >= 2 && (magic.starts_with(bytes) || bytes.starts_with(magic)))
}

/// The error for an ISO base media file: HEIC and AVIF by their brands, else unknown.
fn iso_media(bytes: &[u8]) -> Kind {
    let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    let header = &bytes[8..length.clamp(8, 256).min(bytes.len()).max(8)];
    // The major brand stands first; the minor version after it is no brand and matches none.
    let refused = header.chunks_exact(4).find_map(|brand| match brand {
        b"avif" | b"avis" => Some("AVIF"),
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1" => {
            Some("HEIC")
        }
        _ => None,
    });
    // `mif1` alone says only "an image in ISO media": look whether AVIF comes after it.
    let avif = header.chunks_exact(4).any(|brand| brand == b"avif" || brand == b"avis");
    match refused {
        Some(_) if avif => Kind::Unsupported { format: "AVIF", what: "this format".into() },
        Some(format) => Kind::Unsupported { format, what: "this format".into() },
        None => Kind::UnknownFormat,
    }
}

/// Checks a header's size against the limits: the gate before every allocation.
fn admit(format: Format, width: u64, height: u64, limits: &Limits) -> Result<Size, Kind> {
    if width == 0 || height == 0 {
        return Err(corrupt(format, format_args!("the header says {width}x{height}")));
    }
    if width.checked_mul(height).is_none_or(|pixels| pixels > limits.max_pixels) {
        return Err(Kind::TooManyPixels { width, height, limit_px: limits.max_pixels });
    }
    match (usize::try_from(width), usize::try_from(height)) {
        // Eight channels of 16 bits must stay addressable.
        (Ok(w), Ok(h)) if w.checked_mul(h).and_then(|n| n.checked_mul(16)).is_some() => {
            Ok(Size { width: w, height: h })
        }
        _ => Err(Kind::TooManyPixels { width, height, limit_px: limits.max_pixels }),
    }
}

fn corrupt(format: Format, message: impl std::fmt::Display) -> Kind {
    Kind::Corrupt { format: format.name(), message: message.to_string() }
}

fn truncated(format: Format) -> Kind {
    Kind::Truncated { format: format.name() }
}

fn unsupported(format: Format, what: impl std::fmt::Display) -> Kind {
    Kind::Unsupported { format: format.name(), what: what.to_string() }
}

/// Dots per inch from two numbers in the file, if both make sense.
fn density(x_dpi: f64, y_dpi: f64) -> Option<Density> {
    let sane = |dpi: f64| dpi.is_finite() && dpi > 0.0 && dpi < 1e7;
    (sane(x_dpi) && sane(y_dpi)).then_some(Density { x_dpi, y_dpi })
}
