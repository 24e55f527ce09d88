//! The encode stage: a finished raster to the bytes of a file, in a buffer that is reused.
//!
//! One file per format; this one holds what they share: the options, what travels beside the
//! pixels, the checks, and the choice. Every output carries a short tag (the digest of the model
//! and the options) that [`inspect()`] reads back from a few hundred bytes, so that a second run
//! can tell finished work from work to be redone.
//!
//! Must not know where the bytes go, or how the pixels came to be. Orientation is never written:
//! the pixels have been turned already. EXIF is left out altogether; the profile and the physical
//! density are what the pixels need to be shown rightly.

mod inspect;
mod jpeg;
mod libwebp;
mod png;
mod tiff;
mod webp;

#[cfg(test)]
mod tests;

pub use inspect::{Seen, inspect};

use crate::error::Kind;
use crate::image::{Density, Raster};
use crate::simd::Level;

/// What every tag begins with; readers use it to tell our tags from other programs' comments.
const TAG_PREFIX: &str = "qbg";

/// The longest tag, so that a reader can bound what it fetches.
const TAG_LIMIT: usize = 120;

/// A file format that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Lossless, with alpha.
    Png,
    /// Lossless or lossy, with alpha.
    Webp,
    /// Lossy, without alpha.
    Jpeg,
    /// Lossless, with alpha.
    Tiff,
}

impl Format {
    /// All of them, the default first.
    pub const ALL: [Format; 4] = [Format::Png, Format::Webp, Format::Jpeg, Format::Tiff];

    /// The format called `name` (also `jpg` and `tif`), in any case.
    pub fn from_name(name: &str) -> Option<Format> {
        const NAMES: [(&str, Format); 6] = [
            ("png", Format::Png),
            ("webp", Format::Webp),
            ("jpeg", Format::Jpeg),
            ("jpg", Format::Jpeg),
            ("tiff", Format::Tiff),
            ("tif", Format::Tiff),
        ];
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, format)| format)
    }

    /// The extension of its files, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Webp => "webp",
            Format::Jpeg => "jpg",
            Format::Tiff => "tiff",
        }
    }

    /// Its name as people write it, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Png => "PNG",
            Format::Webp => "WebP",
            Format::Jpeg => "JPEG",
            Format::Tiff => "TIFF",
        }
    }

    /// Whether its pixels can be transparent.
    pub const fn has_alpha(self) -> bool {
        !matches!(self, Format::Jpeg)
    }

    /// The longest side it can hold, in pixels.
    pub const fn longest_side_px(self) -> usize {
        match self {
            Format::Png | Format::Tiff => i32::MAX as usize,
            // 16384 can be written, but libwebp, and so every browser, stops one short of it.
            Format::Webp => 16_383,
            Format::Jpeg => 65_535,
        }
    }
}

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which format.
    pub format: Format,
    /// PNG: 0 stores, 1 is the fast mode (the default), 2 to 9 are zlib's levels with a filter
    /// chosen for each row; more counts as 9. TIFF: 0 stores, the rest compresses.
    pub png_level: u8,
    /// WebP: None is lossless. JPEG: None is 90. Else 0 (worst) to 100; more counts as 100.
    pub quality: Option<u8>,
}

impl Options {
    /// The defaults of `format`.
    pub const fn new(format: Format) -> Options {
        Options { format, png_level: png::FAST, quality: None }
    }
}

/// What travels beside the pixels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meta<'a> {
    /// The colors' ICC profile. Left out where it is not one for the raster's channels (an RGB
    /// profile in a gray mask would make the file invalid).
    pub icc: Option<&'a [u8]>,
    /// Physical density. Left out where it is not a positive number that the format can hold.
    pub density: Option<Density>,
    /// The tag to find the file by: empty for none, else `qbg` and more printable ASCII without
    /// blanks, quotes, `<`, `>` and `&`, at most 120 bytes.
    pub digest: &'a str,
}

/// Encodes, and keeps the scratch of every format it was used for. One per worker.
#[derive(Debug)]
pub struct Encoder {
    png: png::Scratch,
    webp: webp::Scratch,
}

impl Encoder {
    /// An encoder whose kernels run at `level`.
    pub fn new(level: Level) -> Encoder {
        Encoder { png: png::Scratch::new(level), webp: webp::Scratch::default() }
    }

    /// Writes `raster` to `out`, which is emptied first; after an error it is empty.
    ///
    /// Fails with [`Kind::Encode`] if the format can't hold the raster (its size, or alpha in a
    /// JPEG) or the digest isn't a tag.
    pub fn run(
        &mut self,
        raster: Raster<'_>,
        meta: &Meta<'_>,
        options: &Options,
        out: &mut Vec<u8>,
    ) -> Result<(), Kind> {
        out.clear();
        let result = self.checked(raster, meta, options, out);
        if result.is_err() {
            out.clear();
        }
        result
    }

    fn checked(
        &mut self,
        raster: Raster<'_>,
        meta: &Meta<'_>,
        options: &Options,
        out: &mut Vec<u8>,
    ) -> Result<(), Kind> {
        let size = raster.size();
        let side_px = options.format.longest_side_px();
        if size.width > side_px || size.height > side_px {
            return Err(failed(
                options.format,
                format!("{}x{} is larger than {side_px} a side", size.width, size.height),
            ));
        }
        if !meta.digest.is_empty() && !is_tag(meta.digest.as_bytes()) {
            return Err(failed(options.format, format!("`{}` is not a tag", meta.digest)));
        }
        let meta = Meta {
            icc: meta.icc.filter(|icc| describes(icc, raster)),
            density: meta.density.filter(|d| is_printable(d.x_dpi) && is_printable(d.y_dpi)),
            digest: meta.digest,
        };
        match options.format {
            Format::Png => self.png.write(raster, &meta, options.png_level, out),
            Format::Webp => self.webp.write(raster, &meta, options.quality, out),
            Format::Jpeg => jpeg::write(raster, &meta, options.quality, out),
            Format::Tiff => tiff::write(raster, &meta, options.png_level, out),
        }
    }
}

/// An encoder's refusal.
fn failed(format: Format, message: impl ToString) -> Kind {
    Kind::Encode { format: format.name(), message: message.to_string() }
}

/// Whether `text` can stand unescaped in every format's tag.
fn is_tag(text: &[u8]) -> bool {
    text.len() <= TAG_LIMIT
        && text.starts_with(TAG_PREFIX.as_bytes())
        && text.iter().all(|byte| byte.is_ascii_graphic() && !b"\"'<>&".contains(byte))
}

/// Whether an ICC profile's header (ICC.1:2022, 7.2: the length at 0, the color space at 16, the
/// signature at 36) is that of a whole profile for as many channels as the raster has.
fn describes(icc: &[u8], raster: Raster<'_>) -> bool {
    let space: &[u8] = match raster {
        Raster::Gray(_) => b"GRAY",
        Raster::Rgb(_) | Raster::Rgba(_) => b"RGB ",
    };
    icc.len() >= 128
        && icc.get(..4)
            == u32::try_from(icc.len()).ok().map(u32::to_be_bytes).as_ref().map(|b| &b[..])
        && icc.get(16..20) == Some(space)
        && icc.get(36..40) == Some(b"acsp")
}

/// Whether a density is one that the formats' integers can hold: from 1 to a million dots per inch.
fn is_printable(dpi: f64) -> bool {
    (1.0..=1e6).contains(&dpi)
}
