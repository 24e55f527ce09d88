//! What crosses the boundary at the start of a call, read once: options, recipes, pixels, paths.
//!
//! Python's records (`qbg.options`, `qbg.recipe`) are read by attribute; an unknown word is a
//! ValueError that lists the valid ones. Pixels come as immutable `bytes`, so nothing that a
//! caller can write to is read without the GIL.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use qbg_core::image::Size;
use qbg_core::pipeline::{Background, FileOptions, Options};
use qbg_core::recipe::{Activation, Filter, Fit, Input, Output, Recipe, Rounding, Scale};
use qbg_core::simd::Level;
use qbg_core::trial::Trial;
use qbg_core::{composite, decode, encode, mapped, mask, topology};

/// (height, width, channels, bytes): the form in which Python hands over pixels.
pub type PixelTuple<'py> = (usize, usize, usize, Bound<'py, PyBytes>);

fn attr<'a, 'py, T>(object: &'a Bound<'py, PyAny>, name: &str) -> PyResult<T>
where
    T: for<'b> FromPyObject<'b, 'py>,
    for<'b> <T as FromPyObject<'b, 'py>>::Error: Into<PyErr>,
{
    let value = object.getattr(name)?;
    value.extract::<T>().map_err(|error| {
        let error: PyErr = error.into();
        PyTypeError::new_err(format!("`{name}`: {error}"))
    })
}

/// The value that `word` stands for.
fn choose<T: Copy>(what: &str, word: &str, choices: &[(&str, T)]) -> PyResult<T> {
    choices.iter().find(|(name, _)| *name == word).map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        PyValueError::new_err(format!("unknown {what} `{word}`: use {}", names.join(", ")))
    })
}

/// A resampling filter by name.
pub fn filter(word: &str) -> PyResult<Filter> {
    choose("filter", word, &[("bilinear", Filter::Bilinear), ("lanczos", Filter::Lanczos)])
}

/// A SIMD level by name; `auto` for the one that `QBG_SIMD` names, else the best one.
pub fn level(word: &str) -> PyResult<Level> {
    let level = if word == "auto" { Level::from_env() } else { Level::named(word) };
    level.map_err(PyValueError::new_err)
}

/// How workers are tied to CPUs, by name.
pub fn pin(word: &str) -> PyResult<topology::Pin> {
    topology::Pin::named(word).map_err(PyValueError::new_err)
}

/// A `qbg.recipe.Recipe`.
pub fn recipe(object: &Bound<'_, PyAny>) -> PyResult<Recipe> {
    let fit: String = attr(object, "fit")?;
    let size = Size { width: attr(object, "width")?, height: attr(object, "height")? };
    let side: usize = attr(object, "side")?;
    let multiple: usize = attr(object, "multiple")?;
    let fits = [
        ("squash", Fit::Squash { size }),
        ("letterbox", Fit::Letterbox { size, fill: attr(object, "fill")? }),
        ("short", Fit::ShortSide { side, multiple }),
        ("long", Fit::LongSide { side, multiple }),
    ];
    let fit = choose("fit", &fit, &fits)?;
    let sides = match fit {
        Fit::Squash { size } | Fit::Letterbox { size, .. } => [size.width, size.height],
        Fit::ShortSide { side, multiple } | Fit::LongSide { side, multiple } => [side, multiple],
    };
    if sides.iter().any(|&side| side == 0 || side > 16_384) {
        return Err(PyValueError::new_err("a recipe's sizes must be between 1 and 16384"));
    }
    let std: [f32; 3] = attr(object, "std")?;
    let mean: [f32; 3] = attr(object, "mean")?;
    if std.iter().chain(&mean).any(|x| !x.is_finite()) || std.contains(&0.0) {
        return Err(PyValueError::new_err("a recipe's mean and std must be finite, std not 0"));
    }
    let scales = [("full", Scale::Full), ("maximum", Scale::Maximum)];
    let activations = [
        ("none", Activation::None),
        ("sigmoid", Activation::Sigmoid),
        ("softmax", Activation::Softmax),
    ];
    let roundings = [("truncate", Rounding::Truncate), ("nearest", Rounding::Nearest)];
    let word = |name: &str| attr::<String>(object, name);
    Ok(Recipe {
        input: Input {
            fit,
            filter: filter(&word("filter")?)?,
            scale: choose("scale", &word("scale")?, &scales)?,
            mean,
            std,
        },
        output: Output {
            channel: attr(object, "channel")?,
            activation: choose("activation", &word("activation")?, &activations)?,
            min_max: attr(object, "min_max")?,
            rounding: choose("rounding", &word("rounding")?, &roundings)?,
            filter: filter(&word("output_filter")?)?,
            refine: attr(object, "refine")?,
        },
    })
}

/// A `qbg.options.Options`. Its `background_image` is not read here: see [`background_image`].
pub fn options(object: &Bound<'_, PyAny>) -> PyResult<Options> {
    let format: String = attr(object, "format")?;
    let format = encode::Format::from_name(&format).ok_or_else(|| {
        PyValueError::new_err(format!("unknown format `{format}`: use png, webp, jpeg, tiff"))
    })?;
    let background: Option<(u8, u8, u8, u8)> = attr(object, "background")?;
    Ok(Options {
        mapped: mapped::Options::default(),
        limits: decode::Limits {
            max_pixels: attr(object, "max_pixels")?,
            max_metadata_bytes: attr(object, "max_metadata_bytes")?,
        },
        edges: attr(object, "refine")?,
        refine: mask::refine::Options {
            threshold: attr(object, "threshold")?,
            invert: attr(object, "invert")?,
            feather_px: attr(object, "feather")?,
            post_process: attr(object, "post_process")?,
        },
        composite: composite::Options {
            keep_hidden: attr(object, "keep_hidden")?,
            decontaminate: attr(object, "decontaminate")?,
            only_mask: attr(object, "only_mask")?,
            premultiply: attr(object, "premultiply")?,
            crop: attr(object, "crop")?,
        },
        background: match background {
            Some((r, g, b, a)) => Background::Color([r, g, b, a]),
            None => Background::None,
        },
        encode: encode::Options {
            format,
            png_level: attr::<Option<u8>>(object, "png_level")?
                .unwrap_or(encode::Options::new(format).png_level),
            quality: attr(object, "quality")?,
        },
        memory: None,
    })
}

/// The path of the background picture, if there is one.
pub fn background_image(object: &Bound<'_, PyAny>) -> PyResult<Option<PathBuf>> {
    attr(object, "background_image")
}

/// The writing half of a `qbg.options.FolderOptions`.
pub fn file_options(folder: &Bound<'_, PyAny>, digest: String) -> PyResult<FileOptions> {
    Ok(FileOptions {
        overwrite: attr(folder, "overwrite")?,
        keep_foreign: attr(folder, "keep_foreign")?,
        fsync: attr(folder, "fsync")?,
        digest,
    })
}

/// Path of the journal, and whether it says what is done; None without one.
pub fn journal(folder: &Bound<'_, PyAny>) -> PyResult<Option<(PathBuf, bool)>> {
    let named = folder.getattr("journal")?;
    if named.is_none() {
        return Ok(None);
    }
    Ok(Some((path(&named)?, attr(folder, "resume")?)))
}

/// Whether the first failure stops the batch.
pub fn fail_fast(folder: &Bound<'_, PyAny>) -> PyResult<bool> {
    attr(folder, "fail_fast")
}

/// A `qbg.trial.Trial`; ValueError if it is impossible.
pub fn trial(object: &Bound<'_, PyAny>) -> PyResult<Trial> {
    let natural = |name: &str, number: i64| {
        u64::try_from(number)
            .map_err(|_| PyValueError::new_err(format!("`{name}` is {number}, less than 0")))
    };
    let count: Option<i64> = attr(object, "count")?;
    let arrivals: Option<Vec<i64>> = attr(object, "arrivals_ns")?;
    let arrivals = arrivals.map(|arrivals| {
        arrivals.into_iter().map(|at| natural("arrivals_ns", at)).collect::<PyResult<Arc<[u64]>>>()
    });
    let trial = Trial {
        count: count.map(|count| natural("count", count)).transpose()?,
        keep_every: natural("keep_every", attr(object, "keep_every")?)?,
        arrivals_ns: arrivals.transpose()?,
        pixels: attr(object, "pixels")?,
        stealing: attr(object, "stealing")?,
        lock_free: attr(object, "lock_free")?,
        ring: attr(object, "ring")?,
        reuse: attr(object, "reuse")?,
        mmap: attr(object, "mmap")?,
    };
    trial.check().map_err(PyValueError::new_err)?;
    Ok(trial)
}

/// A path given as text (with Python's surrogates for undecodable bytes) or as bytes.
pub fn path(object: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    match object.cast::<PyBytes>() {
        Ok(bytes) => path_from_bytes(bytes.as_bytes()),
        Err(_) => Ok(object.extract()?),
    }
}

#[cfg(unix)]
fn path_from_bytes(bytes: &[u8]) -> PyResult<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn path_from_bytes(bytes: &[u8]) -> PyResult<PathBuf> {
    Ok(PathBuf::from(std::str::from_utf8(bytes)?))
}
