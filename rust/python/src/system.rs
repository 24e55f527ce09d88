//! What `qbg doctor` prints of the machine, and how fast its memory is.

use std::collections::BTreeMap;
use std::path::Path;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use qbg_core::simd::Level;
use qbg_core::topology::{Pin, Topology, affinity, place};
use qbg_core::{bandwidth, meter};

use crate::enter::enter;

/// The machine as qbg sees it. ValueError if `QBG_SIMD` names a level that this CPU lacks.
#[pyfunction]
#[pyo3(signature = (root = "/"))]
pub fn system<'py>(py: Python<'py>, root: &str) -> PyResult<Bound<'py, PyDict>> {
    let root = Path::new(root);
    let topology = match root == Path::new("/") {
        true => Topology::here(),
        false => Topology::read(root, affinity().as_deref()),
    };
    let dict = PyDict::new(py);
    dict.set_item("cpu", cpu_name(root))?;
    dict.set_item("cpus_online", topology.online)?;
    dict.set_item("cpus_allowed", topology.cpus.iter().map(|cpu| cpu.id).collect::<Vec<_>>())?;
    dict.set_item("quota_cpus", topology.quota_cpus)?;
    dict.set_item("cores", topology.cores())?;
    dict.set_item("nodes", topology.nodes())?;
    let mut by_node = BTreeMap::<_, Vec<_>>::new();
    for cpu in &topology.cpus {
        by_node.entry(cpu.node).or_default().push(cpu.id);
    }
    dict.set_item("cpus_by_node", by_node)?;
    dict.set_item("numa", topology.numa)?;
    dict.set_item("memory_bytes", topology.memory_bytes)?;
    dict.set_item("memory_limit_bytes", topology.memory_limit_bytes)?;
    let level = Level::from_env().map_err(PyValueError::new_err)?;
    dict.set_item("simd", level.name())?;
    let levels: Vec<_> = Level::available().iter().map(|level| level.name()).collect();
    dict.set_item("simd_levels", levels)?;
    dict.set_item("default_workers", topology.workers())?;
    Ok(dict)
}

/// The processor's own name; None where the system doesn't tell.
fn cpu_name(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join("proc/cpuinfo")).ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

/// High-water mark of resident memory.
#[pyfunction]
pub fn peak_rss_bytes() -> u64 {
    meter::peak_rss_bytes().unwrap_or(0)
}

/// More are a slip: a repeat on arrays that leave the caches takes milliseconds.
const MOST_REPEATS: usize = 100_000;

/// Bandwidth in bytes per second, of each repeat. ValueError for nothing to do, or for arrays that take
/// more than a quarter of the memory that this process may have.
#[pyfunction]
pub fn triad(
    py: Python<'_>,
    threads: usize,
    bytes_per_array: usize,
    repeats: usize,
) -> PyResult<Vec<f64>> {
    let topology = Topology::here();
    let limit = topology.memory_limit_bytes.or(topology.memory_bytes).unwrap_or(u64::MAX);
    if bytes_per_array as u64 > limit / 12 {
        let message =
            format!("three arrays of {bytes_per_array} bytes are more than a quarter of memory");
        return Err(PyValueError::new_err(message));
    }
    if threads > topology.cpus.len() {
        let message = format!("{threads} threads on {} CPUs", topology.cpus.len());
        return Err(PyValueError::new_err(message));
    }
    if !(1..=MOST_REPEATS).contains(&repeats) {
        let message = format!("`repeats` is {repeats}, but must be from 1 to {MOST_REPEATS}");
        return Err(PyValueError::new_err(message));
    }
    let places = place(&topology, threads, Pin::Cpu);
    let rates = enter(py, || Ok(bandwidth::triad(&places, bytes_per_array, repeats)))?;
    rates.ok_or_else(|| PyValueError::new_err("each thread needs an element to work on"))
}
