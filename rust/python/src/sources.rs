//! From what a caller names (files, folders, globs, lists) to the core's source and side walk.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use qbg_core::batch::SideWalk;
use qbg_core::encode::Format;
use qbg_core::source::{self, Source};
