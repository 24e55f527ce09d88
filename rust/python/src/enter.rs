//! The one doorway into the core: lets other Python threads run, catches panics, maps errors.
//! Nothing else in this crate detaches from the interpreter or calls long-running core code.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use qbg_core::error::Error;
use qbg_core::pool::panic_message;

use crate::error::to_py;

/// Runs `work` without the GIL.
pub fn enter<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> PyResult<T> {
    // AssertUnwindSafe: whatever a panic leaves half done is dropped by its owner, never reused
    // (a worker's pipeline is rebuilt, a kernel's scratch is local).
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(to_py(py, &error)),
        Err(panic) => Err(PyRuntimeError::new_err(format!(
            "internal error: {}; this is a bug in qbg",
            panic_message(&*panic)
        ))),
    }
}
