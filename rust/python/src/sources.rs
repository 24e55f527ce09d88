//! From what a caller names (files, folders, globs, lists) to the core's source and side walk.
//!
//! Several inputs become several sources, one after the other. A source settles clashes of names
//! within itself; between them a set of 64-bit hashes of output names does, as for lists.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use qbg_core::batch::{Inputs, SideWalk};
use qbg_core::encode::Format;
use qbg_core::error::{Error, Kind, Stage};
use qbg_core::source::{
    self, InputShape, Job, OnCollision, Options, Output, OutputShape, Shard, Source, Spec,
    plan_output,
};
use qbg_core::trial::{Rounds, Trial};

use crate::convert;
use crate::enter::enter;
use crate::error::to_py;

/// One source after the other, each output once.
pub struct Sources {
    rest: std::vec::IntoIter<Source>,
    current: Option<Source>,
    /// Hashes of the outputs so far; None for a single source, which sees to it by itself.
    seen: Option<(RandomState, HashSet<u64>)>,
    on_collision: OnCollision,
    extension: &'static str,
}

impl Sources {
    fn new(sources: Vec<Source>, wish: &Wish) -> Self {
        let seen = (sources.len() > 1).then(|| (RandomState::new(), HashSet::new()));
        let Wish { on_collision, extension, .. } = *wish;
        Self { rest: sources.into_iter(), current: None, seen, on_collision, extension }
    }

    fn admit(&mut self, mut job: Job) -> Result<Job, Error> {
        let Some((state, seen)) = &mut self.seen else { return Ok(job) };
        if seen.insert(state.hash_one(&job.output)) {
            return Ok(job);
        }
        if self.on_collision == OnCollision::Rename {
            for attempt in 1.. {
                let name = source::other_name(&job, self.extension, attempt);
                job.output.set_file_name(name);
                if seen.insert(state.hash_one(&job.output)) {
                    return Ok(job);
                }
            }
        }
        let other = PathBuf::from("an earlier input");
        let kind = Kind::Collision { output: job.output, other };
        Err(kind.at(Stage::Discover, Some(&job.input)))
    }
}

impl Iterator for Sources {
    type Item = Result<Job, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(item) = self.current.as_mut().and_then(Iterator::next) else {
                self.current = Some(self.rest.next()?);
                continue;
            };
            let item = item.and_then(|job| self.admit(job));
            // After names were settled among all parts.
            if self.current.as_ref().is_none_or(|source| source.keeps(&item)) {
                return Some(item);
            }
        }
    }
}

/// What the caller's `inputs_are` makes of one input.
fn spec(input: PathBuf, inputs_are: &str) -> Result<Spec, Error> {
    match inputs_are {
        "globs" => match input.to_str() {
            Some(text) => Ok(Spec::Glob(text.to_owned())),
            None => {
                let message = "a glob must be valid UTF-8".to_owned();
                Err(Kind::Name { message }.at(Stage::Discover, Some(&input)))
            }
        },
        "list" => Ok(Spec::List(list(&input)?)),
        _ => Ok(Spec::Path(input)),
    }
}

/// A list's lines; `-` is standard input.
fn list(path: &Path) -> Result<Box<dyn BufRead + Send>, Error> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let opened = File::open(path).map_err(Kind::io("cannot open the list"));
    let file = opened.map_err(|kind| kind.at(Stage::Discover, Some(path)))?;
    Ok(Box::new(BufReader::new(file)))
}

/// The parts of `folder` that this file needs.
struct Wish {
    inputs_are: String,
    recursive: bool,
    on_collision: OnCollision,
    extension: &'static str,
    shard: Option<Shard>,
}

impl Wish {
    fn read(folder: &Bound<'_, PyAny>, format: Format) -> PyResult<Self> {
        let on_collision: String = folder.getattr("on_collision")?.extract()?;
        let shard: Option<(u64, u64)> = folder.getattr("shard")?.extract()?;
        let shard = shard.map(|(index, count)| {
            Shard::new(index, count).ok_or_else(|| {
                PyValueError::new_err(format!("there is no part {index} of {count} parts"))
            })
        });
        Ok(Self {
            inputs_are: folder.getattr("inputs_are")?.extract()?,
            recursive: folder.getattr("recursive")?.extract()?,
            on_collision: match on_collision.as_str() {
                "fail" => OnCollision::Fail,
                "rename" => OnCollision::Rename,
                _ => {
                    return Err(PyValueError::new_err(format!(
                        "unknown on_collision `{on_collision}`: use fail, rename"
                    )));
                }
            },
            extension: format.extension(),
            shard: shard.transpose()?,
        })
    }
}

/// An input's spec, once for the run and once for the side walk, with its options.
fn plan(
    input: PathBuf,
    several: bool,
    output: Option<&Path>,
    wish: &Wish,
) -> Result<(Spec, Option<Spec>, Options), Error> {
    let at = |kind: Kind| kind.at(Stage::Discover, Some(&input));
    let spec = spec(input.clone(), &wish.inputs_are)?;
    let again = match &spec {
        Spec::Path(path) => Some(Spec::Path(path.clone())),
        Spec::Glob(text) => Some(Spec::Glob(text.clone())),
        Spec::List(_) => None,
    };
    let shape = if several { InputShape::Many } else { InputShape::of(&spec) };
    let there = output.map_or(OutputShape::Missing, OutputShape::of);
    let planned = plan_output(shape, output, there).map_err(at)?;
    let fold_case = match &planned {
        Output::Folder(folder) => source::is_case_insensitive(folder),
        _ => source::is_case_insensitive(input.parent().unwrap_or(Path::new("."))),
    };
    let options = Options {
        output: planned,
        extension: wish.extension,
        recursive: wish.recursive,
        on_collision: wish.on_collision,
        fold_case,
        shard: wish.shard,
    };
    Ok((spec, again, options))
}

/// What a caller named, read once; opened as often as a trial needs it.
pub struct Named {
    paths: Vec<PathBuf>,
    output: Option<PathBuf>,
    wish: Wish,
}

impl Named {
    /// Reads the arguments of a run.
    pub fn read(
        inputs: &[Bound<'_, PyAny>],
        output: Option<&Bound<'_, PyAny>>,
        folder: &Bound<'_, PyAny>,
        format: Format,
    ) -> PyResult<Self> {
        Ok(Self {
            paths: inputs.iter().map(convert::path).collect::<PyResult<Vec<_>>>()?,
            output: output.map(convert::path).transpose()?,
            wish: Wish::read(folder, format)?,
        })
    }

    /// The sources, and the walk that counts them (None if there is a list among them).
    fn open(&self) -> Result<(Sources, Option<SideWalk>), Error> {
        let Self { paths, output, wish } = self;
        let several = paths.len() > 1;
        let mut sources = Vec::with_capacity(paths.len());
        let mut walks = Vec::new();
        for path in paths {
            let (spec, again, options) = plan(path.clone(), several, output.as_deref(), wish)?;
            walks.push(again.map(|again| (again, options.clone())));
            let source = Source::new(spec, options);
            sources.push(source.map_err(|kind| kind.at(Stage::Discover, Some(path)))?);
        }
        let walks: Option<Vec<_>> = walks.into_iter().collect();
        let side_walk = walks.map(|walks| -> SideWalk {
            Box::new(move |stop: &AtomicBool| {
                walks.iter().map(|(spec, options)| source::count(spec, options, stop)).sum()
            })
        });
        Ok((Sources::new(sources, wish), side_walk))
    }

    /// Why these inputs can't be taken again, or the folder that every round writes below.
    fn repeatable(&self) -> Result<PathBuf, &'static str> {
        let Some(output) = &self.output else {
            return Err("pictures in a number of their own need an output folder");
        };
        let list = self.wish.inputs_are == "list";
        if list && self.paths.iter().any(|path| path == Path::new("-")) {
            return Err("standard input can't be read again: name a file");
        }
        // A single picture may be written to a file; one that doesn't exist yet is told by its name.
        let single = self.wish.inputs_are != "list"
            && matches!(self.paths.as_slice(), [one] if !one.is_dir());
        let shape = if single { InputShape::File } else { InputShape::Many };
        match plan_output(shape, Some(output), OutputShape::of(output)) {
            Ok(Output::File(_)) => Err("pictures in a number of their own need an output folder"),
            // What is wrong with the output is told when it is opened.
            _ => Ok(output.clone()),
        }
    }

    /// The inputs of a run: each once, or as many as `trial` wants.
    pub fn inputs(
        self,
        py: Python<'_>,
        trial: Option<&Trial>,
    ) -> PyResult<(Inputs, Option<SideWalk>)> {
        let Some(count) = trial.and_then(Trial::count) else {
            let (sources, side_walk) = enter(py, || self.open())?;
            return Ok((Inputs::Files(Box::new(sources)), side_walk));
        };
        let folder = self.repeatable().map_err(PyValueError::new_err)?;
        let (first, _) = enter(py, || self.open())?;
        let again = move || self.open().map(|(sources, _)| sources);
        Ok((Inputs::Files(Box::new(Rounds::new(first, again, folder, count))), None))
    }
}

/// Whether a file of this name in a folder is taken for a picture.
#[pyfunction]
pub fn is_picture(name: OsString) -> bool {
    source::is_image(&name)
}

/// The (input, output) pairs of a run, without doing it.
#[pyfunction]
#[pyo3(name = "plan")]
pub fn plan_pairs(
    py: Python<'_>,
    inputs: Vec<Bound<'_, PyAny>>,
    output: Option<&Bound<'_, PyAny>>,
    options: &Bound<'_, PyAny>,
    folder: &Bound<'_, PyAny>,
) -> PyResult<Vec<(OsString, OsString)>> {
    let format = convert::options(options)?.encode.format;
    let named = Named::read(&inputs, output, folder, format)?;
    let (sources, _) = enter(py, || named.open())?;
    let pairs = py.detach(|| sources.collect::<Result<Vec<Job>, Error>>());
    let jobs = pairs.map_err(|error| to_py(py, &error))?;
    let pair = |job: Job| (job.input.into_os_string(), job.output.into_os_string());
    Ok(jobs.into_iter().map(pair).collect())
}
