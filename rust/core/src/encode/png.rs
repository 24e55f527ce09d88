//! PNG: a fast mode of our own, everything else through the `png` crate.
//!
//! The fast mode filters each row with Paeth (the first with Sub, which is what Paeth is without a
//! row above) and deflates it with `fdeflate`: one fixed Huffman table, runs of zeros, no search
//! for matches. Photos gain next to nothing from matches, and the cut-out's empty rows are runs.
//! Against the crate's own path to the same bytes it takes about 0.6 x the time, for it filters
//! with AVX2 and keeps its buffers. Choosing the filter row by row would take three times as long
//! and make cut-outs no smaller (measured on 24 photos of 640x480).
//!
//! Pictures made of repeated patterns (screenshots, text) come out larger than with zlib; the
//! levels from 2 on are for them. Noise that would grow is stored instead.
//! Source: PNG specification, third edition, 9 (filters) and 11.3 (tEXt, pHYs, iCCP).

use std::borrow::Cow;

use png::chunk::IDAT;
use png::text_metadata::TEXtChunk;
use png::{BitDepth, ColorType, DeflateCompression, Filter, Info, PixelDimensions, Unit};

use super::{Format, Meta, TAG_PREFIX, failed};
use crate::error::Kind;
use crate::image::{Density, Raster, resize_buffer};
use crate::simd::{Dispatch, Level};

/// The level that means the fast mode.
pub(super) const FAST: u8 = 1;

/// Chunks hold at most 2^31 - 1 bytes; a larger stream is cut into several.
const IDAT_BYTES: usize = 1 << 30;

/// The fast mode's buffers.
#[derive(Debug)]
pub(super) struct Scratch {
    level: Level,
    /// One row: its filter's number, then its bytes.
    row: Vec<u8>,
    /// The zlib stream.
    stream: Vec<u8>,
}

impl Scratch {
    pub(super) fn new(level: Level) -> Scratch {
        Scratch { level, row: Vec::new(), stream: Vec::new() }
    }

    pub(super) fn write(
        &mut self,
        raster: Raster<'_>,
        meta: &Meta<'_>,
        png_level: u8,
        out: &mut Vec<u8>,
    ) -> Result<(), Kind> {
        let fast = png_level == FAST && self.deflate(raster)?;
        self.container(raster, meta, png_level, fast, out).map_err(|error| match error {
            png::EncodingError::LimitsExceeded => {
                Kind::OutOfMemory { bytes: raster.data().len() as u64 }
            }
            other => failed(Format::Png, other),
        })
    }

    /// Fills `stream`; false if storing the rows takes less.
    fn deflate(&mut self, raster: Raster<'_>) -> Result<bool, Kind> {
        match raster {
            Raster::Gray(_) => self.rows::<1>(raster),
            Raster::Rgb(_) => self.rows::<3>(raster),
            Raster::Rgba(_) => self.rows::<4>(raster),
        }
    }

    fn rows<const C: usize>(&mut self, raster: Raster<'_>) -> Result<bool, Kind> {
        let stride = raster.size().width * C;
        let raw_bytes = raster.data().len().saturating_add(raster.size().height);
        resize_buffer(&mut self.row, stride + 1)?;
        self.stream.clear();
        // Room for what a cut-out usually takes, so that a lack of memory shows here.
        let usual_bytes = raw_bytes / 4;
        self.stream
            .try_reserve(usual_bytes)
            .map_err(|_| Kind::OutOfMemory { bytes: usual_bytes as u64 })?;

        let io = |error| failed(Format::Png, error);
        let mut compressor = fdeflate::Compressor::new(&mut self.stream).map_err(io)?;
        let mut above: &[u8] = &[];
        for current in raster.data().chunks_exact(stride) {
            let (kind, filtered) = self.row.split_at_mut(1);
            if above.is_empty() {
                kind[0] = 1;
                sub::<C>(current, filtered);
            } else {
                kind[0] = 4;
                paeth::<C>(self.level, current, above, filtered);
            }
            compressor.write_data(&self.row).map_err(io)?;
            above = current;
        }
        compressor.finish().map_err(io)?;
        Ok(self.stream.len() <= raw_bytes)
    }

    /// The file around the pixels; those are `stream` if `fast`, else deflated by the crate.
    fn container(
        &self,
        raster: Raster<'_>,
        meta: &Meta<'_>,
        png_level: u8,
        fast: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), png::EncodingError> {
        // Both sides are at most i32::MAX: checked by the caller.
        let mut info = Info::with_size(raster.size().width as u32, raster.size().height as u32);
        info.bit_depth = BitDepth::Eight;
        info.color_type = match raster {
            Raster::Gray(_) => ColorType::Grayscale,
            Raster::Rgb(_) => ColorType::Rgb,
            Raster::Rgba(_) => ColorType::Rgba,
        };
        info.icc_profile = meta.icc.map(Cow::Borrowed);
        info.pixel_dims = meta.density.map(per_meter);
        if !meta.digest.is_empty() {
            info.uncompressed_latin1_text.push(TEXtChunk::new(TAG_PREFIX, meta.digest));
        }

        let mut encoder = png::Encoder::with_info(out, info)?;
        if png_level <= FAST {
            encoder.set_filter(Filter::NoFilter);
            encoder.set_deflate_compression(DeflateCompression::NoCompression);
        } else {
            encoder.set_filter(Filter::Adaptive);
            encoder.set_deflate_compression(DeflateCompression::Level(png_level.min(9)));
        }
        let mut writer = encoder.write_header()?;
        if fast {
            for part in self.stream.chunks(IDAT_BYTES) {
                writer.write_chunk(IDAT, part)?;
            }
        } else {
            writer.write_image_data(raster.data())?;
        }
        writer.finish()
    }
}

/// Dots per inch to dots per meter.
fn per_meter(density: Density) -> PixelDimensions {
    const METERS_PER_INCH: f64 = 0.0254;
    PixelDimensions {
        xppu: (density.x_dpi / METERS_PER_INCH).round() as u32,
        yppu: (density.y_dpi / METERS_PER_INCH).round() as u32,
        unit: Unit::Meter,
    }
}

/// `out = current - left`, with nothing left of the first pixel.
fn sub<const C: usize>(current: &[u8], out: &mut [u8]) {
    out[..C].copy_from_slice(&current[..C]);
    for ((out, x), left) in out[C..].iter_mut().zip(&current[C..]).zip(current) {
        *out = x.wrapping_sub(*left);
    }
}

/// `out = current - the one of left, above and upper left that is nearest to left + above - upper left`.
fn paeth<const C: usize>(level: Level, current: &[u8], above: &[u8], out: &mut [u8]) {
    match level.dispatch() {
        Dispatch::Scalar => paeth_plain::<C>(current, above, out),
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx2 | Dispatch::Avx512 => {
            // SAFETY: a `Level` of AVX2 or above exists only where the CPU has AVX2 (simd.rs).
            unsafe { paeth_avx2::<C>(current, above, out) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Dispatch::Avx2 | Dispatch::Avx512 => paeth_plain::<C>(current, above, out),
    }
}

/// The same code, compiled with 32-byte vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn paeth_avx2<const C: usize>(current: &[u8], above: &[u8], out: &mut [u8]) {
    paeth_plain::<C>(current, above, out);
}

/// Written so that the compiler vectorizes it: 16-bit lanes, selects instead of branches.
#[inline(always)]
fn paeth_plain<const C: usize>(current: &[u8], above: &[u8], out: &mut [u8]) {
    // Without a left neighbor the nearest is always `above`.
    for ((out, x), above) in out.iter_mut().zip(current).zip(above).take(C) {
        *out = x.wrapping_sub(*above);
    }
    let pixels = out[C..].iter_mut().zip(&current[C..]).zip(current).zip(&above[C..]).zip(above);
    for ((((out, x), &left), &above), &corner) in pixels {
        let (left, above, corner) = (i16::from(left), i16::from(above), i16::from(corner));
        let to_left = (above - corner).abs();
        let to_above = (left - corner).abs();
        let to_corner = (left + above - 2 * corner).abs();
        let nearest = if to_left <= to_above && to_left <= to_corner {
            left
        } else if to_above <= to_corner {
            above
        } else {
            corner
        };
        *out = x.wrapping_sub(nearest as u8);
    }
}
