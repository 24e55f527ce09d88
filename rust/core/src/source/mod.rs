//! Discover inputs lazily and name their outputs: [`Source`] is the one iterator of jobs.
//!
//! Workers pull from it under a lock, so a step is cheap: it hands out a name, or reads one
//! folder. Nothing is opened, no output is created. It must not know formats beyond extensions,
//! workers, or whether an output is already done.
//!
//! - `walk.rs` folders and globs: order, links, outputs among inputs.
//! - `naming.rs` what counts as an image, output names, collisions.
//! - `glob.rs` patterns. `list.rs` lists of paths. `plan.rs` where outputs go.
//! - `shard.rs` which part of many an image belongs to; whoever settles clashes between sources asks it.
//!
//! Output names: below a folder, or below the part of a glob before its first wildcard, the
//! structure is kept: `IN/a/x.jpg` to `OUT/a/x.<ext>`. A list's relative paths keep theirs without
//! `..`; absolute ones keep the file name alone. An output never lies outside OUT.
//!
//! Left out: Unicode normalization (macOS takes two spellings of an accent to be one name), and
//! lists whose outputs land on a file that a later line names as input.

mod glob;
mod list;
mod naming;
mod plan;
mod shard;
mod walk;

use std::ffi::OsString;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub use naming::{is_case_insensitive, is_image};
pub use plan::{InputShape, Output, OutputShape, plan_output};
pub use shard::Shard;

use crate::error::{Error, Kind, Stage};
use glob::Pattern;
use list::List;
use naming::Suffix;
use walk::Walk;

/// One image to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Counts jobs from 0 in the order of discovery; failed inputs have none.
    pub id: u64,
    /// The file to read.
    pub input: PathBuf,
    /// The file to write; its folder may not exist yet.
    pub output: PathBuf,
}

/// What the user named as input.
pub enum Spec {
    /// A file or a folder. A file is taken whatever its name is.
    Path(PathBuf),
    /// A pattern; its syntax stands in `glob.rs`. Without a wildcard it is a path.
    Glob(String),
    /// One path per line; NUL-separated if the first chunk has a NUL.
    List(Box<dyn BufRead + Send>),
}

/// What becomes of inputs that want the same output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCollision {
    /// All of them fail (in a list: all but the first).
    Fail,
    /// The first keeps the name, the others get `<full name>.<ext>`.
    Rename,
}

/// How to discover and to name.
#[derive(Clone, Debug)]
pub struct Options {
    /// From [`plan_output`].
    pub output: Output,
    /// The outputs' extension, without a dot.
    pub extension: &'static str,
    /// Walk sub-folders. Globs say so themselves, with `**`.
    pub recursive: bool,
    /// What to do about clashes.
    pub on_collision: OnCollision,
    /// `A` and `a` are one name where outputs go; from [`is_case_insensitive`].
    pub fold_case: bool,
    /// The part of the images that [`count`] counts; a source yields all of them, since names are
    /// settled among all. None: every image.
    pub shard: Option<Shard>,
}

/// Input and output, or why an input has none.
type Item = Result<(PathBuf, PathBuf), Error>;

/// What one bounded piece of work gave.
enum Step {
    Item(Item),
    Working,
    Done,
}

enum Inputs {
    One(Option<PathBuf>),
    Walk(Box<Walk>),
    List(Box<List>),
}

/// Yields each input once, in a stable order, as a job or as an error of stage `discover`.
pub struct Source {
    inputs: Inputs,
    options: Options,
    next_id: u64,
}

impl Source {
    /// Looks at the input's shape only. Fails on a malformed glob, and if many inputs would go to
    /// one file.
    pub fn new(spec: Spec, options: Options) -> Result<Source, Kind> {
        if InputShape::of(&spec) == InputShape::Many && matches!(options.output, Output::File(_)) {
            return Err(Kind::Name {
                message: "many inputs can't be written to one file".to_owned(),
            });
        }
        let inputs = match spec {
            Spec::Path(path) => Source::path(path, &options),
            Spec::Glob(text) => match Pattern::parse(&text)? {
                Some(pattern) => {
                    let base = pattern.base.clone();
                    Inputs::Walk(Box::new(Walk::new(base, Some(pattern), options.clone())))
                }
                None => Source::path(PathBuf::from(text), &options),
            },
            Spec::List(reader) => Inputs::List(Box::new(List::new(reader, options.clone()))),
        };
        Ok(Source { inputs, options, next_id: 0 })
    }

    fn path(path: PathBuf, options: &Options) -> Inputs {
        if path.is_dir() {
            Inputs::Walk(Box::new(Walk::new(path, None, options.clone())))
        } else {
            Inputs::One(Some(path))
        }
    }

    /// Whether an item belongs to the part that the options ask for. Asked by whoever settles names
    /// among sources, afterwards.
    pub fn keeps(&self, item: &Result<Job, Error>) -> bool {
        self.options.shard.is_none_or(|shard| shard.keeps(item, &self.options.output))
    }

    /// As `next`, but returns None soon after `stop` is set, between two folders at the latest.
    pub fn next_unless(&mut self, stop: &AtomicBool) -> Option<Result<Job, Error>> {
        while !stop.load(Ordering::Relaxed) {
            let step = match &mut self.inputs {
                Inputs::One(path) => match path.take() {
                    Some(path) => Step::Item(one(path, &self.options)),
                    None => Step::Done,
                },
                Inputs::Walk(walk) => walk.step(),
                Inputs::List(list) => list.next().map_or(Step::Done, Step::Item),
            };
            match step {
                Step::Working => {}
                Step::Done => return None,
                Step::Item(Err(error)) => return Some(Err(error)),
                Step::Item(Ok((input, output))) => {
                    let id = self.next_id;
                    self.next_id += 1;
                    return Some(Ok(Job { id, input, output }));
                }
            }
        }
        None
    }
}

impl Iterator for Source {
    type Item = Result<Job, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_unless(&AtomicBool::new(false))
    }
}

/// The name that a job's output takes when its first choice is taken: `x.jpg.png`, from the second
/// try on `x.jpg.2.png`; with `.cutout` before the extension if the first choice has it.
pub fn other_name(job: &Job, extension: &'static str, attempt: u64) -> OsString {
    let input = job.input.file_name().unwrap_or_default();
    let among_inputs = naming::Suffix { extension, cutout: true };
    let cutout = job.output.file_name() == Some(among_inputs.plain(input).as_os_str());
    naming::Suffix { extension, cutout }.full(input, attempt)
}

/// How many items a source of this spec yields, jobs and errors, by a walk of its own: the total
/// of a progress bar. None: stopped, or a list, which can be read only once.
pub fn count(spec: &Spec, options: &Options, stop: &AtomicBool) -> Option<u64> {
    let spec = match spec {
        Spec::Path(path) => Spec::Path(path.clone()),
        Spec::Glob(text) => Spec::Glob(text.clone()),
        Spec::List(_) => return None,
    };
    let mut source = Source::new(spec, options.clone()).ok()?;
    let mut total = 0;
    while let Some(item) = source.next_unless(stop) {
        total += u64::from(source.keeps(&item));
    }
    (!stop.load(Ordering::Relaxed)).then_some(total)
}

/// The job of a single file.
fn one(input: PathBuf, options: &Options) -> Item {
    match name_one(&input, options) {
        Ok(output) => Ok((input, output)),
        Err(kind) => Err(kind.at(Stage::Discover, Some(&input))),
    }
}

fn name_one(input: &Path, options: &Options) -> Result<PathBuf, Kind> {
    let itself = identity(input).map_err(Kind::io("cannot look at the file"))?;
    let name = input.file_name().ok_or(Kind::NotAFile)?;
    let home = input.parent().unwrap_or(Path::new(""));
    let output = match &options.output {
        Output::File(output) => output.clone(),
        Output::Beside => {
            home.join(Suffix { extension: options.extension, cutout: true }.plain(name))
        }
        Output::Folder(folder) => {
            let cutout = same_folder(home, folder);
            folder.join(Suffix { extension: options.extension, cutout }.plain(name))
        }
    };
    match identity(&output) {
        Ok(there) if there == itself => Err(Kind::OverwritesInput),
        _ => Ok(output),
    }
}

/// What tells whether two paths lead to one file or folder.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = PathBuf;

/// Follows links.
#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().map(|facts| (facts.dev(), facts.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<Identity> {
    path.canonicalize()
}

/// Whether both exist and are one. The empty path is the current folder.
fn same_folder(a: &Path, b: &Path) -> bool {
    let of = |path: &Path| {
        identity(if path.as_os_str().is_empty() { Path::new(".") } else { path }).ok()
    };
    of(a).is_some_and(|a| Some(a) == of(b))
}

/// The path without links, as far as it exists, and what doesn't exist yet as it is written.
fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for existing in absolute.ancestors() {
        if let Ok(real) = existing.canonicalize() {
            let rest = absolute.strip_prefix(existing).unwrap_or(Path::new(""));
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    absolute
}

#[cfg(test)]
mod tests;
