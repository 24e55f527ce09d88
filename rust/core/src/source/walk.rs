//! The lazy walk of one folder tree, for folders and for globs.
//!
//! A folder is read whole, sorted by bytes and settled; its files come first, then its
//! sub-folders, depth first. In memory are the names of the folders on the way down, never more.
//! Files that are no images are passed over in silence; what looks like an image but can't be
//! had, and a folder that can't be read, is an error item, and the walk goes on.
//!
//! Links: to files followed; to folders followed, unless the folder is one of those on the way
//! down (`LinkLoop`), told by its identity. A folder reached by two ways is walked twice, to two
//! outputs; links that fan out at every level therefore multiply the work.
//!
//! Outputs among inputs: the walk never enters the output folder. Where outputs would land in
//! the folder being walked or elsewhere in the walked tree (output = input, output above input,
//! no output named), they are called `<stem>.cutout.<ext>`, and files of that name that carry our
//! tag are never inputs, so nothing is overwritten or eaten, in this run or the next. Somebody's
//! own picture of such a name is an input like any other.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::glob::Pattern;
use super::naming::{Settle, Suffix, Verdict, is_cutout, is_hidden, is_image, key};
use super::{Identity, Item, OnCollision, Options, Output, Step, identity, resolve};
use crate::encode::inspect;
use crate::error::{Error, Kind, Stage};

pub(super) struct Walk {
    options: Options,
    pattern: Option<Pattern>,
    root: Option<PathBuf>,
    stack: Vec<Frame>,
    ground: Ground,
}

/// How input tree and output folder lie to each other.
struct Ground {
    /// None: beside the inputs.
    output: Option<PathBuf>,
    /// Known once the folder exists; the run may create it after the walk began.
    output_identity: Option<Identity>,
    real_input: PathBuf,
    real_output: PathBuf,
}

struct Frame {
    folder: PathBuf,
    target: PathBuf,
    identity: Identity,
    suffix: Suffix,
    files: std::vec::IntoIter<(OsString, Verdict)>,
    folders: std::vec::IntoIter<Sub>,
}

/// A sub-folder to come.
struct Sub {
    name: OsString,
    /// Its name below the output folder, or why it is not walked.
    target: Result<OsString, Box<Kind>>,
    state: u64,
}

/// A folder as read.
#[derive(Default)]
struct Listing {
    files: Vec<(OsString, Verdict)>,
    folders: Vec<(OsString, u64)>,
    broken: Option<std::io::Error>,
}

fn at(kind: Kind, path: &Path) -> Error {
    kind.at(Stage::Discover, Some(path))
}

/// The empty path means the current folder.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn cannot(doing: &'static str, source: std::io::Error) -> Kind {
    #[cfg(unix)]
    if source.raw_os_error() == Some(libc::ELOOP) {
        return Kind::LinkLoop;
    }
    Kind::Io { doing, source }
}

impl Walk {
    pub(super) fn new(root: PathBuf, pattern: Option<Pattern>, options: Options) -> Walk {
        let output = match &options.output {
            Output::Folder(folder) => Some(folder.clone()),
            Output::Beside | Output::File(_) => None,
        };
        let ground = Ground {
            real_input: resolve(or_here(&root)),
            real_output: output.as_deref().map(resolve).unwrap_or_default(),
            output,
            output_identity: None,
        };
        Walk { options, pattern, root: Some(root), stack: Vec::new(), ground }
    }

    /// One item, or the opening of one folder, or the end.
    pub(super) fn step(&mut self) -> Step {
        if let Some(root) = self.root.take() {
            let target = self.ground.output.clone().unwrap_or_else(|| root.clone());
            let state = self.pattern.as_ref().map_or(0, Pattern::start);
            return self.enter(root, target, state);
        }
        let Some(frame) = self.stack.last_mut() else { return Step::Done };
        if let Some((name, verdict)) = frame.files.next() {
            return Step::Item(frame.item(&name, verdict));
        }
        let Some(sub) = frame.folders.next() else {
            self.stack.pop();
            return Step::Working;
        };
        let folder = frame.folder.join(&sub.name);
        match sub.target {
            Ok(name) => {
                let target = match &self.ground.output {
                    Some(_) => frame.target.join(name),
                    None => folder.clone(),
                };
                self.enter(folder, target, sub.state)
            }
            Err(kind) => Step::Item(Err(at(*kind, &folder))),
        }
    }

    fn enter(&mut self, folder: PathBuf, target: PathBuf, state: u64) -> Step {
        match self.open(&folder, target, state) {
            Ok(Some((frame, broken))) => {
                self.stack.push(frame);
                match broken {
                    Some(source) => Step::Item(Err(at(
                        cannot("cannot read all of the folder", source),
                        &folder,
                    ))),
                    None => Step::Working,
                }
            }
            Ok(None) => Step::Working,
            Err(kind) => Step::Item(Err(at(kind, &folder))),
        }
    }

    /// Reads and settles a folder. None: it is the output folder.
    #[allow(clippy::type_complexity)] // a frame, and what kept it from being whole
    fn open(
        &mut self,
        folder: &Path,
        target: PathBuf,
        state: u64,
    ) -> Result<Option<(Frame, Option<std::io::Error>)>, Kind> {
        let itself =
            identity(or_here(folder)).map_err(|e| cannot("cannot look at the folder", e))?;
        if self.stack.iter().any(|frame| frame.identity == itself) {
            return Err(Kind::LinkLoop);
        }
        if !self.stack.is_empty() && self.ground.is_output(&itself) {
            return Ok(None);
        }
        let among_inputs = self.ground.lands_among_inputs(&target, &itself);
        let skip_cutouts = among_inputs || self.ground.output_is_at_or_above_input();
        let mut listing = self.list(folder, state, skip_cutouts)?;
        let suffix = Suffix { extension: self.options.extension, cutout: among_inputs };
        let subs = self.name_folders(folder, &target, listing.folders);
        let taken: Vec<OsString> =
            subs.iter().filter_map(|sub| sub.target.as_ref().ok().cloned()).collect();
        let settle = Settle {
            suffix,
            fold_case: self.options.fold_case,
            on_collision: self.options.on_collision,
            folders: &taken,
            input: folder,
            output: &target,
        };
        settle.settle(&mut listing.files);
        let frame = Frame {
            folder: folder.to_path_buf(),
            target,
            identity: itself,
            suffix,
            files: listing.files.into_iter(),
            folders: subs.into_iter(),
        };
        Ok(Some((frame, listing.broken)))
    }

    fn list(&self, folder: &Path, state: u64, skip_cutouts: bool) -> Result<Listing, Kind> {
        let mut listing = Listing::default();
        let entries =
            fs::read_dir(or_here(folder)).map_err(|e| cannot("cannot read the folder", e))?;
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(source) => {
                    listing.broken = Some(source);
                    break;
                }
            };
            let name = entry.file_name();
            if is_hidden(&name) {
                continue;
            }
            let wanted = self.accepts(&name, state)
                && !(is_cutout(&name) && earlier_output(&entry.path(), skip_cutouts));
            let below = self.below(&name, state);
            if !wanted && below.is_none() {
                continue;
            }
            // Only a link costs a look at the file; the rest the folder itself knows.
            let kind = entry.file_type().and_then(|kind| match kind.is_symlink() {
                true => fs::metadata(entry.path()).map(|facts| facts.file_type()),
                false => Ok(kind),
            });
            match kind {
                Ok(kind) if kind.is_dir() => listing.folders.extend(below.map(|b| (name, b))),
                _ if !wanted => {}
                Ok(kind) if kind.is_file() => listing.files.push((name, Verdict::Plain)),
                Ok(_) => listing.files.push((name, Verdict::Failed(Box::new(Kind::NotAFile)))),
                Err(source) => {
                    let kind = cannot("cannot follow the link", source);
                    listing.files.push((name, Verdict::Failed(Box::new(kind))));
                }
            }
        }
        listing.files.sort_unstable_by(|a, b| a.0.as_encoded_bytes().cmp(b.0.as_encoded_bytes()));
        listing.folders.sort_unstable_by(|a, b| a.0.as_encoded_bytes().cmp(b.0.as_encoded_bytes()));
        Ok(listing)
    }

    fn accepts(&self, name: &OsStr, state: u64) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.accepts(name, state),
            None => is_image(name),
        }
    }

    /// The state of a sub-folder, if it is to be walked.
    fn below(&self, name: &OsStr, state: u64) -> Option<u64> {
        match &self.pattern {
            Some(pattern) => Some(pattern.below(name, state)).filter(|&below| below != 0),
            None => self.options.recursive.then_some(0),
        }
    }

    /// Sub-folders keep their names, but two that the output file system takes to be one clash.
    fn name_folders(&self, folder: &Path, target: &Path, names: Vec<(OsString, u64)>) -> Vec<Sub> {
        let mut groups: HashMap<OsString, Vec<usize>> = HashMap::new();
        if self.options.fold_case && self.ground.output.is_some() {
            for (i, (name, _)) in names.iter().enumerate() {
                groups.entry(key(name, true)).or_default().push(i);
            }
        }
        let mut given: Vec<OsString> = Vec::new();
        let mut subs = Vec::with_capacity(names.len());
        for (i, (name, state)) in names.iter().enumerate() {
            let group = groups.get(&key(name, true)).filter(|group| group.len() > 1);
            let first = group.and_then(|group| group.first().copied()).unwrap_or(i);
            let sub_target = match (group, self.options.on_collision) {
                (Some(group), OnCollision::Fail) => {
                    let partner = if first == i { group.get(1).copied() } else { Some(first) };
                    let other = folder.join(partner.map_or(name, |p| &names[p].0));
                    Err(Box::new(Kind::Collision { output: target.join(name), other }))
                }
                (Some(_), OnCollision::Rename) if first != i => {
                    let mut attempt = 2_u64;
                    Ok(loop {
                        let mut candidate = name.clone();
                        candidate.push(format!(".{attempt}"));
                        let folded = key(&candidate, true);
                        if !groups.contains_key(&folded) && !given.contains(&folded) {
                            given.push(folded);
                            break candidate;
                        }
                        attempt += 1;
                    })
                }
                _ => Ok(name.clone()),
            };
            subs.push(Sub { name: name.clone(), target: sub_target, state: *state });
        }
        subs
    }
}

impl Frame {
    fn item(&self, name: &OsStr, verdict: Verdict) -> Item {
        let input = self.folder.join(name);
        match verdict {
            Verdict::Plain => Ok((input, self.target.join(self.suffix.plain(name)))),
            Verdict::Named(output) => Ok((input, self.target.join(output))),
            Verdict::Failed(kind) => Err(at(*kind, &input)),
        }
    }
}

impl Ground {
    fn is_output(&mut self, folder: &Identity) -> bool {
        if self.output_identity.is_none()
            && let Some(output) = &self.output
        {
            self.output_identity = identity(output).ok();
        }
        self.output_identity.as_ref() == Some(folder)
    }

    fn output_is_at_or_above_input(&self) -> bool {
        self.output.is_none() || self.real_input.starts_with(&self.real_output)
    }

    /// Whether what is written to `target` becomes a neighbor of inputs.
    fn lands_among_inputs(&self, target: &Path, folder: &Identity) -> bool {
        if self.output.is_none() || identity(target).is_ok_and(|there| there == *folder) {
            return true;
        }
        let real = resolve(target);
        let apart = !self.output_is_at_or_above_input() && real.starts_with(&self.real_output);
        real.starts_with(&self.real_input) && !apart
    }
}

/// Whether a file that is named like one of our outputs is one: it carries our tag. A file that is
/// no picture of a format we write is judged by its name, where outputs land among inputs.
fn earlier_output(path: &Path, among_inputs: bool) -> bool {
    let seen = File::open(path).ok().and_then(|mut file| inspect(&mut file));
    seen.map_or(among_inputs, |seen| seen.digest.is_some())
}
