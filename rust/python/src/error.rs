//! From the core's error to the classes of `qbg.errors`, which Python defines and this imports.
//! The match is by stage first, then by kind; a test in Python walks over it.

use std::io::ErrorKind;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use qbg_core::error::{Error, Kind, Stage, readable};

/// The class in `qbg.errors` that fits.
fn class_name(error: &Error) -> &'static str {
    let io = match &error.kind {
        Kind::Io { source, .. } => Some(source.kind()),
        _ => None,
    };
    match (&error.kind, error.stage) {
        (Kind::Panic { .. } | Kind::Cancelled | Kind::OutOfMemory { .. }, _) => "QbgError",
        (Kind::Infer { .. }, _) => "EngineError",
        (Kind::Tensor { .. }, Stage::Preprocess | Stage::Infer | Stage::Mask) => "ModelError",
        (_, Stage::Composite | Stage::Encode | Stage::Write) => match io {
            Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => "DiskFullError",
            Some(ErrorKind::PermissionDenied) => "OutputPermissionError",
            _ => "OutputError",
        },
        _ => match io {
            Some(ErrorKind::NotFound) => "InputNotFoundError",
            Some(ErrorKind::PermissionDenied) => "InputPermissionError",
            _ => "InputError",
        },
    }
}

/// The exception for `error`. Failing to import `qbg.errors` is itself the exception then.
pub fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let fields = PyDict::new(py);
        fields.set_item("stage", error.stage.name())?;
        fields.set_item("path", error.path.as_deref().map(readable))?;
        fields.set_item("hint", error.kind.hint())?;
        let class = py.import("qbg.errors")?.getattr(class_name(error))?;
        Ok(PyErr::from_value(class.call((error.kind.to_string(),), Some(&fields))?))
    };
    build().unwrap_or_else(|failed| failed)
}
