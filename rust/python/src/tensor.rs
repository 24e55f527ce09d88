//! Memory that Rust owns and NumPy views: a worker's tensors, and finished pixels.
//!
//! Views are described by `__array_interface__`; NumPy keeps the describing object, and so the
//! memory, alive for as long as the view lives.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use qbg_core::image::Size;
use qbg_core::slot::{Slot as CoreSlot, TensorMemory};

/// The dictionary that NumPy reads.
fn interface<'py>(
    py: Python<'py>,
    shape: &[usize],
    typestr: &str,
    address: usize,
    read_only: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("version", 3)?;
    dict.set_item("shape", PyTuple::new(py, shape)?)?;
    dict.set_item("typestr", typestr)?;
    dict.set_item("data", (address, read_only))?;
    Ok(dict)
}

/// A worker's float32 memory.
#[pyclass(frozen, module = "qbg._native")]
pub struct Tensor {
    memory: Arc<TensorMemory>,
    shape: Vec<usize>,
}

impl Tensor {
    /// A view of the first elements of `memory`; the shape must fit its capacity.
    pub fn new(memory: Arc<TensorMemory>, shape: Vec<usize>) -> Self {
        Self { memory, shape }
    }
}

#[pymethods]
impl Tensor {
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape)
    }

    #[getter]
    fn address(&self) -> usize {
        self.memory.address()
    }

    #[getter]
    fn capacity(&self) -> usize {
        self.memory.capacity()
    }

    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        interface(py, &self.shape, "<f4", self.memory.address(), false)
    }
}

/// What an engine gets to make one worker.
#[pyclass(frozen, module = "qbg._native")]
pub struct Slot {
    #[pyo3(get)]
    index: usize,
    #[pyo3(get)]
    node: Option<usize>,
    #[pyo3(get)]
    dynamic: bool,
    input: (Arc<TensorMemory>, Size),
    output: (Arc<TensorMemory>, usize, Size),
}

impl Slot {
    /// Of worker `index`; `input` and `output` are the largest sizes that can happen.
    pub fn new(
        index: usize,
        node: Option<usize>,
        dynamic: bool,
        slot: &CoreSlot,
        input: Size,
        channels: usize,
        output: Size,
    ) -> Self {
        Self {
            index,
            node,
            dynamic,
            input: (Arc::clone(slot.input.memory()), input),
            output: (Arc::clone(slot.output.memory()), channels, output),
        }
    }
}

#[pymethods]
impl Slot {
    #[getter]
    fn input(&self) -> Tensor {
        let (memory, size) = &self.input;
        Tensor::new(Arc::clone(memory), vec![1, 3, size.height, size.width])
    }

    #[getter]
    fn output(&self) -> Tensor {
        let (memory, channels, size) = &self.output;
        Tensor::new(Arc::clone(memory), vec![1, *channels, size.height, size.width])
    }
}

/// An 8-bit image that Rust made.
#[pyclass(frozen, module = "qbg._native")]
pub struct Pixels {
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Pixels {
    /// `channels` = 1 gives (H, W), else (H, W, C).
    pub fn new(size: Size, channels: usize, data: Vec<u8>) -> Self {
        let mut shape = vec![size.height, size.width];
        if channels > 1 {
            shape.push(channels);
        }
        Self { shape, data }
    }
}

#[pymethods]
impl Pixels {
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape)
    }

    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        interface(py, &self.shape, "|u1", self.data.as_ptr() as usize, true)
    }

    fn tobytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.data)
    }
}
