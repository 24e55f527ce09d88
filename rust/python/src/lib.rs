//! The native module of qbg: a list of exports. What they do is in `qbg-core`; this crate
//! converts, and has one doorway ([`enter`]).

mod convert;
mod core;
mod enter;
mod error;
mod kernels;
mod sources;
mod system;
mod tensor;

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use qbg_core::trial::columns;

#[pymodule(gil_used = true)]
mod _native {
    use super::*;

    #[pymodule_export]
    use crate::core::{Core, Failure, Outcome, Run};
    #[pymodule_export]
    use crate::kernels::{composite, decode, encode, mask, preprocess, resize};
    #[pymodule_export]
    use crate::sources::{is_picture, plan_pairs};
    #[pymodule_export]
    use crate::system::{peak_rss_bytes, system, triad};
    #[pymodule_export]
    use crate::tensor::{Pixels, Slot, Tensor};

    #[pymodule_export]
    const BUILD_PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("SAMPLE_COLUMNS", PyTuple::new(module.py(), columns())?)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
