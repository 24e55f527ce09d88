//! TIFF through the `tiff` crate: deflate with the horizontal predictor, strips of 1 MB.
//!
//! Alpha is marked as straight (ExtraSamples 2), which the crate doesn't do by itself and without
//! which readers drop it or take it for premultiplied. The profile is tag 34675, the tag of a run
//! is Software. Source: TIFF 6.0; Adobe TIFF Technical Notes (deflate); ICC.1:2022 B.5.
//! Left out: BigTIFF, so 4 GB is the limit.

use std::borrow::Cow;
use std::io::Cursor;

use tiff::encoder::colortype::{ColorType, Gray8, RGB8, RGBA8};
use tiff::encoder::{Compression, DeflateLevel, Predictor, Rational, TiffEncoder, TiffValue};
use tiff::tags::{ExtraSamples, ResolutionUnit, Tag, Type};
use tiff::{TiffError, TiffResult};

use super::{Format, Meta, failed};
use crate::error::Kind;
use crate::image::Raster;

/// Offsets have 32 bits; deflate can add a little to what can't be compressed.
const LIMIT_BYTES: u64 = 4_000_000_000;

/// A value of type UNDEFINED, as profiles must be.
struct Undefined<'a>(&'a [u8]);

impl TiffValue for Undefined<'_> {
    const BYTE_LEN: u8 = 1;
    const FIELD_TYPE: Type = Type::UNDEFINED;

    fn count(&self) -> usize {
        self.0.len()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.0)
    }
}

pub(super) fn write(
    raster: Raster<'_>,
    meta: &Meta<'_>,
    level: u8,
    out: &mut Vec<u8>,
) -> Result<(), Kind> {
    let bytes = raster.data().len() as u64 + meta.icc.map_or(0, |icc| icc.len() as u64);
    if bytes > LIMIT_BYTES {
        return Err(failed(Format::Tiff, "the file would be larger than 4 GB"));
    }
    match raster {
        Raster::Gray(_) => image::<Gray8>(raster, meta, level, out),
        Raster::Rgb(_) => image::<RGB8>(raster, meta, level, out),
        Raster::Rgba(_) => image::<RGBA8>(raster, meta, level, out),
    }
    .map_err(|error| match error {
        TiffError::LimitsExceeded => Kind::OutOfMemory { bytes },
        other => failed(Format::Tiff, other),
    })
}

fn image<C: ColorType<Inner = u8>>(
    raster: Raster<'_>,
    meta: &Meta<'_>,
    level: u8,
    out: &mut Vec<u8>,
) -> TiffResult<()> {
    let (compression, predictor) = match level {
        0 => (Compression::Uncompressed, Predictor::None),
        _ => (Compression::Deflate(DeflateLevel::Balanced), Predictor::Horizontal),
    };
    let mut file =
        TiffEncoder::new(Cursor::new(out))?.with_compression(compression).with_predictor(predictor);
    // Both sides are at most i32::MAX: checked by the caller.
    let (width, height) = (raster.size().width as u32, raster.size().height as u32);
    let mut image = file.new_image::<C>(width, height)?;
    let tags = image.encoder();
    if let Raster::Rgba(_) = raster {
        tags.write_tag(Tag::ExtraSamples, ExtraSamples::UnassociatedAlpha.to_u16())?;
    }
    if let Some(density) = meta.density {
        let thousandths = |dpi: f64| Rational { n: (dpi * 1000.0).round() as u32, d: 1000 };
        tags.write_tag(Tag::XResolution, thousandths(density.x_dpi))?;
        tags.write_tag(Tag::YResolution, thousandths(density.y_dpi))?;
        tags.write_tag(Tag::ResolutionUnit, ResolutionUnit::Inch.to_u16())?;
    }
    if let Some(icc) = meta.icc {
        tags.write_tag(Tag::IccProfile, Undefined(icc))?;
    }
    if !meta.digest.is_empty() {
        tags.write_tag(Tag::Software, meta.digest)?;
    }
    image.write_data(raster.data())
}
