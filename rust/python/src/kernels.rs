//! Single stages at a chosen level: for tests, benches and power users. Each call makes its own
//! scratch; a batch doesn't come this way.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyBytesMethods};
use qbg_core::composite::{Background as On, Compositor};
use qbg_core::decode::{Decoder, Image};
use qbg_core::encode::{Encoder, Meta};
use qbg_core::error::{Kind, Stage};
use qbg_core::image::{Alpha8, Pixels as View, Raster, Rgb8, Size};
use qbg_core::mask::Masker;
use qbg_core::pipeline::Background;
use qbg_core::preprocess::{Preprocessor, geometry};
use qbg_core::resample::Resampler;
use qbg_core::simd::Level;
use qbg_core::slot::Tensor as CoreTensor;

use crate::convert::{self, PixelTuple};
use crate::enter::enter;
use crate::tensor::{Pixels, Tensor};

fn size_of(image: &PixelTuple<'_>) -> Size {
    Size { width: image.1, height: image.0 }
}

/// Pillow's two 8-bit passes.
#[pyfunction]
#[pyo3(signature = (image, height, width, filter, level = "auto"))]
pub fn resize(
    py: Python<'_>,
    image: PixelTuple<'_>,
    height: usize,
    width: usize,
    filter: &str,
    level: &str,
) -> PyResult<Pixels> {
    let (filter, level) = (convert::filter(filter)?, convert::level(level)?);
    let (from, to, channels) = (size_of(&image), Size { width, height }, image.2);
    let bytes = image.3.as_bytes();
    let work = || -> Result<Vec<u8>, Kind> {
        let mut out = vec![0; out_len(to, channels)?];
        let mut resampler = Resampler::new(level);
        match channels {
            1 => resampler.resize(View::<1>::new(from, bytes)?, to, filter, &mut out)?,
            3 => resampler.resize(View::<3>::new(from, bytes)?, to, filter, &mut out)?,
            4 => resampler.resize(View::<4>::new(from, bytes)?, to, filter, &mut out)?,
            _ => return Err(bad_channels(channels)),
        }
        Ok(out)
    };
    let out = enter(py, || work().map_err(|kind| kind.at(Stage::Preprocess, None)))?;
    Ok(Pixels::new(to, channels, out))
}

fn out_len(size: Size, channels: usize) -> Result<usize, Kind> {
    let pixels = size.width.checked_mul(size.height).and_then(|n| n.checked_mul(channels));
    let too_large =
        Kind::Tensor { message: "an output needs sides between 1 and 65535".to_owned() };
    pixels.filter(|&n| n > 0 && size.width <= 65_535 && size.height <= 65_535).ok_or(too_large)
}

fn bad_channels(channels: usize) -> Kind {
    Kind::Tensor { message: format!("{channels} channels are not 1, 3 or 4") }
}

/// RGB to the network's input.
#[pyfunction]
#[pyo3(signature = (image, recipe, level = "auto"))]
pub fn preprocess(
    py: Python<'_>,
    image: PixelTuple<'_>,
    recipe: &Bound<'_, PyAny>,
    level: &str,
) -> PyResult<Tensor> {
    let (recipe, level) = (convert::recipe(recipe)?, convert::level(level)?);
    let size = size_of(&image);
    let bytes = image.3.as_bytes();
    let work = || -> Result<(CoreTensor, Size), Kind> {
        let rgb = Rgb8::new(size, bytes)?;
        let tensor = geometry(&recipe.input, size).tensor;
        let len = tensor.pixels() * 3;
        let mut out = CoreTensor::new(len)?;
        let floats = out.get_mut(len).ok_or(Kind::OutOfMemory { bytes: len as u64 })?;
        Preprocessor::new(level).run(rgb, &recipe.input, None, floats)?;
        Ok((out, tensor))
    };
    let (out, tensor) = enter(py, || work().map_err(|kind| kind.at(Stage::Preprocess, None)))?;
    Ok(Tensor::new(out.memory().clone(), vec![1, 3, tensor.height, tensor.width]))
}

/// The network's output to alpha; with `image`, edges are moved to that picture's.
#[pyfunction]
#[pyo3(signature = (logits, recipe, height, width, level = "auto", image = None))]
pub fn mask(
    py: Python<'_>,
    logits: (usize, usize, usize, Bound<'_, PyBytes>),
    recipe: &Bound<'_, PyAny>,
    height: usize,
    width: usize,
    level: &str,
    image: Option<PixelTuple<'_>>,
) -> PyResult<Pixels> {
    let (recipe, level) = (convert::recipe(recipe)?, convert::level(level)?);
    let (channels, rows, columns, bytes) = logits;
    let tensor = Size { width: columns, height: rows };
    let wanted = tensor.width.checked_mul(tensor.height).and_then(|n| n.checked_mul(channels));
    let (quads, rest) = bytes.as_bytes().as_chunks::<4>();
    if wanted != Some(quads.len()) || !rest.is_empty() {
        return Err(PyValueError::new_err("logits must be C x h x w float32"));
    }
    let floats: Vec<f32> = quads.iter().map(|quad| f32::from_le_bytes(*quad)).collect();
    let size = Size { width, height };
    let photo = image.as_ref().map(|image| (size_of(image), image.3.as_bytes()));
    let mut alpha = Vec::new();
    enter(py, || {
        let mut work = || -> Result<(), Kind> {
            out_len(size, 1)?;
            let shown = geometry(&recipe.input, size);
            let mut masker = Masker::new(level);
            let output = &recipe.output;
            masker.run(&floats, channels, tensor, &shown, output, size, &mut alpha)?;
            let Some((size, colors)) = photo else { return Ok(()) };
            masker.sharpen(Rgb8::new(size, colors)?, &mut alpha)
        };
        work().map_err(|kind| kind.at(Stage::Mask, None))
    })?;
    Ok(Pixels::new(size, 1, alpha))
}

/// Colors and alpha to a cut-out.
#[pyfunction]
#[pyo3(signature = (image, alpha, options, level = "auto"))]
pub fn composite(
    py: Python<'_>,
    image: PixelTuple<'_>,
    alpha: PixelTuple<'_>,
    options: &Bound<'_, PyAny>,
    level: &str,
) -> PyResult<Pixels> {
    let (options, level) = (convert::options(options)?, convert::level(level)?);
    let (size, plane_size) = (size_of(&image), size_of(&alpha));
    let (colors, plane) = (image.3.as_bytes(), alpha.3.as_bytes());
    enter(py, || {
        let work = || -> Result<Pixels, Kind> {
            Alpha8::new(plane_size, plane)?;
            let background = match options.background {
                Background::Color(rgba) => On::Color(rgba),
                _ => On::None,
            };
            let mut compositor = Compositor::new(level);
            let rgb = Rgb8::new(size, colors)?;
            let raster = compositor.run(rgb, plane, None, background, &options.composite)?;
            Ok(Pixels::new(raster.size(), raster.channels(), raster.data().to_vec()))
        };
        work().map_err(|kind| kind.at(Stage::Composite, None))
    })
}

/// A file's bytes to RGB and the input's alpha.
#[pyfunction]
pub fn decode(
    py: Python<'_>,
    data: &Bound<'_, PyBytes>,
    options: &Bound<'_, PyAny>,
) -> PyResult<(Pixels, Option<Pixels>)> {
    let options = convert::options(options)?;
    let bytes = data.as_bytes();
    let mut image = Image::default();
    enter(py, || {
        let decoded = Decoder::default().decode(bytes, &options.limits, &mut image);
        decoded.map_err(|kind| kind.at(Stage::Decode, None))
    })?;
    let size = image.size;
    let alpha = (!image.alpha.is_empty()).then(|| Pixels::new(size, 1, image.alpha));
    Ok((Pixels::new(size, 3, image.rgb), alpha))
}

/// Pixels to a file's bytes.
#[pyfunction]
pub fn encode<'py>(
    py: Python<'py>,
    image: PixelTuple<'py>,
    options: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let options = convert::options(options)?;
    let (size, channels) = (size_of(&image), image.2);
    let bytes = image.3.as_bytes();
    let mut out = Vec::new();
    enter(py, || {
        let mut work = || -> Result<(), Kind> {
            let raster = match channels {
                1 => Raster::Gray(View::new(size, bytes)?),
                3 => Raster::Rgb(View::new(size, bytes)?),
                4 => Raster::Rgba(View::new(size, bytes)?),
                _ => return Err(bad_channels(channels)),
            };
            let meta = Meta::default();
            Encoder::new(Level::detect()).run(raster, &meta, &options.encode, &mut out)
        };
        work().map_err(|kind| kind.at(Stage::Encode, None))
    })?;
    Ok(PyBytes::new(py, &out))
}
