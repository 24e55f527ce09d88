//! `Core` and `Run`: workers whose network is a Python callable, single images, and batches.
//!
//! The GIL is taken once per image, for the callable alone. A worker thread keeps its Python
//! thread state for life: it attaches once, detaches at once, and does all its work inside.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyBytesMethods, PyDict};
use qbg_core::backdrop;
use qbg_core::batch::{Batch, Enter, Inputs, Setup};
use qbg_core::crew::Crew;
use qbg_core::error::{Error, Stage, readable};
use qbg_core::image::Size;
use qbg_core::journal::Journal;
use qbg_core::memory::Budget;
use qbg_core::pipeline::{
    Background, Infer, Input, Options, OutputShape, Picture, Pipeline, Trace,
};
use qbg_core::pool::Control;
use qbg_core::preprocess;
use qbg_core::recipe::{Fit, Recipe};
use qbg_core::simd::Level;
use qbg_core::topology::{Placement, Topology, place};

use crate::convert::{self, PixelTuple};
use crate::enter::enter;
use crate::error::to_py;
use crate::sources;
use crate::tensor::{Pixels, Slot};

/// A mutex whose holder can't leave its value half changed: a panic there is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The engine's callable, bound to one worker's slot.
struct PyInfer {
    callable: Py<PyAny>,
    dynamic: bool,
}

impl Infer for PyInfer {
    fn infer(&mut self, tensor: Size) -> Result<(), String> {
        Python::attach(|py| {
            let called = match self.dynamic {
                true => self.callable.call1(py, (tensor.height, tensor.width)),
                false => self.callable.call0(py),
            };
            called.map(drop).map_err(|error| text(py, &error))
        })
    }
}

/// An exception's type and text on one line.
fn text(py: Python<'_>, error: &PyErr) -> String {
    let name = error.get_type(py).name().map(|name| name.to_string());
    let value = error.value(py).to_string();
    format!("{}: {}", name.unwrap_or_default(), value.replace('\n', " "))
}

/// Makes the pipelines: a slot in Rust's memory, and Python's callable for it.
struct Maker {
    level: Level,
    recipe: Recipe,
    shape: OutputShape,
    places: Vec<Placement>,
    make_worker: Py<PyAny>,
}

impl Maker {
    fn make(&self, index: usize) -> Result<Pipeline, String> {
        let slot = Pipeline::slot(&self.recipe, self.shape).map_err(|kind| kind.to_string())?;
        let largest = preprocess::largest(&self.recipe.input);
        let output = self.shape.size.unwrap_or(largest);
        let fit = self.recipe.input.fit;
        let dynamic = matches!(fit, Fit::ShortSide { .. } | Fit::LongSide { .. });
        let node = self.places.get(index).and_then(|place| place.node);
        let view = Slot::new(index, node, dynamic, &slot, largest, self.shape.channels, output);
        let callable = Python::attach(|py| {
            self.make_worker.call1(py, (view,)).map_err(|error| text(py, &error))
        })?;
        let infer = Box::new(PyInfer { callable, dynamic });
        Ok(Pipeline::new(index, self.level, self.recipe, self.shape, slot, infer))
    }
}

/// The machine as told under `root`. Another root than this machine's describes CPUs that this
/// process can't have, so its own mask of CPUs doesn't count there.
fn topology(root: &str) -> Topology {
    let root = Path::new(root);
    if root == Path::new("/") { Topology::here() } else { Topology::read(root, None) }
}

/// Workers, their slots and their engine's callables.
#[pyclass(frozen, module = "qbg._native")]
pub struct Core {
    crew: Mutex<Option<Arc<Crew<Pipeline>>>>,
    places: Vec<Placement>,
    level: Level,
    /// What large pictures share.
    memory: Mutex<Option<Arc<Budget>>>,
    /// The last background picture, by path.
    picture: Mutex<Option<(PathBuf, Arc<backdrop::Picture>)>>,
}

impl Core {
    fn crew(&self) -> PyResult<Arc<Crew<Pipeline>>> {
        let closed = || PyRuntimeError::new_err("closed: make a new Remover");
        lock(&self.crew).clone().ok_or_else(closed)
    }

    /// The options, with the background picture decoded.
    fn options(&self, py: Python<'_>, object: &Bound<'_, PyAny>) -> PyResult<Options> {
        let mut options = convert::options(object)?;
        options.memory.clone_from(&lock(&self.memory));
        if let Some(path) = convert::background_image(object)? {
            let held = lock(&self.picture).clone();
            let picture = match held {
                Some((held, picture)) if held == path => picture,
                _ => enter(py, || backdrop::Picture::open(&path, &options.limits))?,
            };
            *lock(&self.picture) = Some((path, Arc::clone(&picture)));
            options.background = Background::Picture(picture);
        }
        Ok(options)
    }
}

#[pymethods]
impl Core {
    #[new]
    #[pyo3(signature = (
        recipe, output_shape, make_worker, *, workers, pin = "auto", simd = "auto", root = "/"
    ))]
    #[allow(clippy::too_many_arguments)] // Python names them
    fn new(
        recipe: &Bound<'_, PyAny>,
        output_shape: (usize, usize, usize),
        make_worker: Py<PyAny>,
        workers: usize,
        pin: &str,
        simd: &str,
        root: &str,
    ) -> PyResult<Self> {
        let recipe = convert::recipe(recipe)?;
        let level = convert::level(simd)?;
        let (channels, height, width) = output_shape;
        if workers == 0 || workers > 4096 {
            return Err(PyValueError::new_err("workers must be between 1 and 4096"));
        }
        if recipe.output.channel >= channels {
            return Err(PyValueError::new_err(format!(
                "the recipe reads channel {}, the network gives {channels}",
                recipe.output.channel
            )));
        }
        let size = (height > 0 && width > 0).then_some(Size { width, height });
        let places = place(&topology(root), workers, convert::pin(pin)?);
        let shape = OutputShape { channels, size };
        let maker = Maker { level, recipe, shape, places: places.clone(), make_worker };
        let crew = Crew::new(workers, Box::new(move |index| maker.make(index)));
        Ok(Self {
            crew: Mutex::new(Some(Arc::new(crew))),
            places,
            level,
            memory: Mutex::new(None),
            picture: Mutex::new(None),
        })
    }

    #[getter]
    fn workers(&self) -> usize {
        self.places.len()
    }

    fn limit_memory(&self, small_bytes: u64, bytes: u64) {
        *lock(&self.memory) = Some(Arc::new(Budget::new(small_bytes, bytes)));
    }

    #[getter]
    fn simd(&self) -> &'static str {
        self.level.name()
    }

    #[pyo3(signature = (image, options, *, encode = false, is_path = false))]
    fn process<'py>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyAny>,
        options: &Bound<'py, PyAny>,
        encode: bool,
        is_path: bool,
    ) -> PyResult<Outcome> {
        let crew = self.crew()?;
        let options = self.options(py, options)?;
        let path: PathBuf;
        let tuple: PixelTuple<'py>;
        let input = if is_path {
            path = convert::path(image)?;
            Input::Path(&path)
        } else if let Ok(bytes) = image.cast::<PyBytes>() {
            Input::Bytes(bytes.as_bytes())
        } else {
            tuple = image.extract()?;
            let size = Size { width: tuple.1, height: tuple.0 };
            Input::Pixels { size, channels: tuple.2, data: tuple.3.as_bytes() }
        };
        let engine_failed = Mutex::new(None);
        let finished = enter(py, || {
            let mut loan = match crew.lend_any() {
                Ok(loan) => loan,
                Err(message) => {
                    *lock(&engine_failed) = Some(message);
                    return Ok(None);
                }
            };
            loan.run(|pipeline| finish(pipeline, input, &options, encode)).map(Some)
        })?;
        match finished {
            Some(finished) => Outcome::new(py, finished),
            None => Err(engine_error(py, lock(&engine_failed).take().unwrap_or_default())),
        }
    }

    #[pyo3(signature = (inputs, output, options, folder, digest, trial = None))]
    #[allow(clippy::too_many_arguments)] // the interpreter and six that Python names
    fn run(
        &self,
        py: Python<'_>,
        inputs: Vec<Bound<'_, PyAny>>,
        output: Option<&Bound<'_, PyAny>>,
        options: &Bound<'_, PyAny>,
        folder: &Bound<'_, PyAny>,
        digest: String,
        trial: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Run> {
        let crew = self.crew()?;
        let trial = trial.map(convert::trial).transpose()?;
        let image = self.options(py, options)?;
        let (inputs, side_walk) = match &trial {
            Some(trial) if !trial.pixels => {
                if !inputs.is_empty() || output.is_some() {
                    let message = "without pixels there are no inputs and no output";
                    return Err(PyValueError::new_err(message));
                }
                (Inputs::Calls(trial.count().unwrap_or(0)), None)
            }
            _ => {
                let named = sources::Named::read(&inputs, output, folder, image.encode.format)?;
                named.inputs(py, trial.as_ref())?
            }
        };
        let journal = convert::journal(folder)?;
        let journal = journal.map(|(path, resume)| {
            enter(py, || {
                let opened = Journal::open(&path, &digest, resume);
                opened.map_err(|kind| kind.at(Stage::Write, Some(&path)))
            })
        });
        let journal = journal.transpose()?;
        let enter: Arc<Enter> = Arc::new(|body| {
            Python::attach(|py| {
                // `body` is not Send, and need not be: `detach` runs it on this same thread.
                let body = SameThread(body);
                py.detach(move || body.call());
            });
        });
        let setup = Setup {
            crew,
            places: self.places.clone(),
            enter,
            options: image,
            files: convert::file_options(folder, digest)?,
            fail_fast: convert::fail_fast(folder)?,
            journal,
            trial,
        };
        let batch = py.detach(|| Batch::start(setup, inputs, side_walk));
        Ok(Run { control: batch.control(), batch: Mutex::new(batch) })
    }

    fn close(&self, py: Python<'_>) {
        let crew = lock(&self.crew).take();
        // Dropping slots may wait for a worker that needs the GIL.
        py.detach(|| drop(crew));
    }
}

/// Lets a closure that is not `Send` pass `Python::detach`, which asks for `Send` to keep
/// GIL-bound values out.
struct SameThread<'a>(&'a mut dyn FnMut());

// SAFETY: `detach` calls its closure on the calling thread, so nothing crosses threads; and the
// closure is the pool's worker loop, which holds no value bound to the GIL.
unsafe impl Send for SameThread<'_> {}

impl SameThread<'_> {
    fn call(self) {
        (self.0)();
    }
}

/// What comes out of a pipeline, copied out of its scratch.
struct Finished {
    pixels: Option<Pixels>,
    encoded: Option<Vec<u8>>,
    icc: Option<Vec<u8>>,
    density: Option<(f64, f64)>,
    trace: Trace,
}

/// One image, copied out of the pipeline, which is then ready for the next.
fn finish(
    pipeline: &mut Pipeline,
    input: Input<'_>,
    options: &Options,
    encode: bool,
) -> Result<Finished, Error> {
    let finished = copy_out(pipeline, input, options, encode);
    pipeline.settle();
    finished
}

fn copy_out(
    pipeline: &mut Pipeline,
    input: Input<'_>,
    options: &Options,
    encode: bool,
) -> Result<Finished, Error> {
    let mut trace = Trace::default();
    let mut finished = Finished { pixels: None, encoded: None, icc: None, density: None, trace };
    if encode {
        finished.encoded = Some(pipeline.encoded(input, options, "", &mut trace)?.to_vec());
    } else {
        let Picture { raster, icc, density } = pipeline.raster(input, options, &mut trace)?;
        finished.density = density.map(|density| (density.x_dpi, density.y_dpi));
        finished.icc = icc.map(<[u8]>::to_vec);
        let pixels = Pixels::new(raster.size(), raster.channels(), raster.data().to_vec());
        finished.pixels = Some(pixels);
    }
    finished.trace = trace;
    Ok(finished)
}

/// One finished image.
#[pyclass(frozen, name = "Result", module = "qbg._native")]
pub struct Outcome {
    pixels: Option<Py<Pixels>>,
    encoded: Option<Py<PyBytes>>,
    icc: Option<Py<PyBytes>>,
    density: Option<(f64, f64)>,
    trace: Trace,
}

impl Outcome {
    fn new(py: Python<'_>, finished: Finished) -> PyResult<Self> {
        let bytes = |data: Vec<u8>| PyBytes::new(py, &data).unbind();
        Ok(Self {
            pixels: finished.pixels.map(|pixels| Py::new(py, pixels)).transpose()?,
            encoded: finished.encoded.map(bytes),
            icc: finished.icc.map(bytes),
            density: finished.density,
            trace: finished.trace,
        })
    }
}

#[pymethods]
impl Outcome {
    #[getter]
    fn pixels(&self, py: Python<'_>) -> Option<Py<Pixels>> {
        self.pixels.as_ref().map(|pixels| pixels.clone_ref(py))
    }

    #[getter]
    fn encoded(&self, py: Python<'_>) -> Option<Py<PyBytes>> {
        self.encoded.as_ref().map(|bytes| bytes.clone_ref(py))
    }

    #[getter]
    fn icc(&self, py: Python<'_>) -> Option<Py<PyBytes>> {
        self.icc.as_ref().map(|bytes| bytes.clone_ref(py))
    }

    #[getter]
    fn density(&self) -> Option<(f64, f64)> {
        self.density
    }

    #[getter]
    fn stage_ns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (stage, ns) in self.trace.stages.iter() {
            dict.set_item(stage.name(), ns)?;
        }
        Ok(dict)
    }

    #[getter]
    fn warnings(&self) -> Vec<&'static str> {
        self.trace.notes().collect()
    }
}

/// One image that failed.
#[pyclass(frozen, get_all, module = "qbg._native")]
pub struct Failure {
    file: OsString,
    stage: &'static str,
    message: String,
    hint: Option<&'static str>,
    line: String,
}

impl Failure {
    fn new(error: &Error) -> Self {
        Self {
            file: error.path.clone().unwrap_or_default().into_os_string(),
            stage: error.stage.name(),
            message: error.kind.to_string(),
            hint: error.kind.hint(),
            line: error.to_string(),
        }
    }
}

/// A batch that is being worked on.
#[pyclass(frozen, module = "qbg._native")]
pub struct Run {
    batch: Mutex<Batch>,
    /// Apart from the batch, so that `cancel` needn't wait for `poll`.
    control: Control,
}

/// How long one drain waits: a `cancel` from another thread is seen after this at the latest.
const SLICE: Duration = Duration::from_millis(50);

#[pymethods]
impl Run {
    fn poll(&self, py: Python<'_>, timeout_s: f64) -> PyResult<bool> {
        let wait = Duration::try_from_secs_f64(timeout_s)
            .map_err(|_| PyValueError::new_err("`timeout_s` must be 0 or more"))?;
        let over = py.detach(|| {
            let slices = (wait.as_secs_f64() / SLICE.as_secs_f64()).ceil().max(1.0) as u64;
            (0..slices).any(|_| lock(&self.batch).poll(wait.min(SLICE)))
        });
        let fault = lock(&self.batch).end().and_then(|end| end.fault.clone());
        match fault {
            Some(message) => Err(engine_error(py, message)),
            None => Ok(over),
        }
    }

    fn progress(&self, py: Python<'_>) -> (u64, u64, u64, Option<u64>) {
        self.read(py, |batch| {
            let progress = batch.progress();
            (progress.done, progress.skipped, progress.failed, batch.total())
        })
    }

    #[pyo3(signature = (start = 0))]
    fn failures(&self, py: Python<'_>, start: usize) -> Vec<Failure> {
        self.read(py, |batch| {
            batch.progress().failures.iter().skip(start).map(Failure::new).collect()
        })
    }

    #[pyo3(signature = (start = 0))]
    fn warnings(&self, py: Python<'_>, start: usize) -> Vec<String> {
        self.read(py, |batch| {
            let lines = batch.progress().notes.iter().map(|(note, (count, first))| match count {
                1 => format!("{}: {note}", readable(first)),
                _ => format!("{count} files: {note} (the first: {})", readable(first)),
            });
            lines.skip(start).collect()
        })
    }

    fn cancel(&self) {
        self.control.cancel();
    }

    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        // Asked after the end, when nobody polls: waiting for the lock with the GIL is harmless.
        let batch = lock(&self.batch);
        let progress = batch.progress();
        let end = batch.end();
        let dict = PyDict::new(py);
        dict.set_item("images", progress.done + progress.skipped + progress.failed)?;
        dict.set_item("done", progress.done)?;
        dict.set_item("skipped", progress.skipped)?;
        dict.set_item("failed", progress.failed)?;
        dict.set_item("cancelled", end.is_some_and(|end| end.cancelled))?;
        dict.set_item("stopped", end.and_then(|end| end.stopped.clone()))?;
        dict.set_item("seconds", end.map(|end| seconds(end.elapsed_ns)))?;
        dict.set_item("pixels", progress.pixels)?;
        dict.set_item("bytes_in", progress.bytes_in)?;
        dict.set_item("mapped", progress.mapped)?;
        dict.set_item("bytes_out", progress.bytes_out)?;
        let stages = PyDict::new(py);
        for (stage, ns) in progress.stages.iter() {
            stages.set_item(stage.name(), seconds(ns))?;
        }
        dict.set_item("stage_seconds", stages)?;
        let service = PyDict::new(py);
        for (name, percent) in [("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0)] {
            service.set_item(name, progress.service.percentile(percent))?;
        }
        service.set_item("max", progress.service.max())?;
        dict.set_item("service_ns", service)?;
        let workers = end.map(|end| end.workers.as_slice()).unwrap_or_default();
        let mut sum = qbg_core::meter::Counters::default();
        workers.iter().for_each(|counters| sum.merge(counters));
        let steals = PyDict::new(py);
        steals.set_item("own", sum.own_pops)?;
        steals.set_item("injector", sum.injector_steals)?;
        steals.set_item("local", sum.local_steals)?;
        steals.set_item("remote", sum.remote_steals)?;
        steals.set_item("stolen", sum.stolen)?;
        dict.set_item("steals", steals)?;
        dict.set_item("idle_seconds", seconds(sum.idle_ns))?;
        dict.set_item("busy_seconds", seconds(sum.busy_ns))?;
        dict.set_item("workers", workers.len())?;
        dict.set_item("unpinned", end.map(|end| end.unpinned))?;
        dict.set_item("jobs", workers.iter().map(|w| w.jobs).collect::<Vec<_>>())?;
        Ok(dict)
    }

    #[pyo3(signature = (start = 0))]
    fn samples<'py>(&self, py: Python<'py>, start: usize) -> PyResult<Bound<'py, PyBytes>> {
        let batch = lock(&self.batch);
        if batch.end().is_none() {
            return Err(PyRuntimeError::new_err("samples are there after the end of the batch"));
        }
        let Some(rows) = &batch.progress().rows else {
            return Err(PyValueError::new_err("samples are kept with a `trial` only"));
        };
        let rows = rows.get(start..).unwrap_or_default();
        PyBytes::new_with(py, std::mem::size_of_val(rows), |bytes| {
            let numbers = rows.as_flattened().iter();
            for (place, number) in bytes.chunks_exact_mut(size_of::<u64>()).zip(numbers) {
                place.copy_from_slice(&number.to_ne_bytes());
            }
            Ok(())
        })
    }
}

impl Run {
    /// Looks at the batch without keeping the GIL while another thread polls it.
    fn read<T: Send>(&self, py: Python<'_>, look: impl FnOnce(&Batch) -> T + Send) -> T {
        py.detach(|| look(&lock(&self.batch)))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // The batch waits for images in hand, whose callables need the GIL.
        self.control.cancel();
        Python::attach(|py| {
            py.detach(|| while !lock(&self.batch).poll(SLICE) {});
        });
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// The exception for an engine that could not make a worker.
fn engine_error(py: Python<'_>, message: String) -> PyErr {
    to_py(py, &qbg_core::error::Kind::Infer { message }.at(Stage::Infer, None))
}
