//! How runs that write to one folder, in one process or on several machines, share the work: an
//! image is begun by whoever locks the file that stands for its output. And how a run removes what
//! dead ones left. Must not know what is written.
//!
//! A claim makes the output's folder where there is none, and takes it away again if nothing was
//! written into it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use super::{PREFIX, SUFFIX, TRIES, is_temporary, or_here};

/// The right to make one output, against other runs that would make it too. Reusable: one per
/// worker.
///
/// It is a lock on an empty file beside the output, whose name is a hash of the output's (128 bits:
/// two outputs with one hash would keep each other from being made). It ends with the process; the
/// file is removed by its holder, else by a [`Sweeper`]. Where no file can be made or locked every
/// claim is granted: then two runs may do one image twice, and each output is whole all the same.
#[derive(Debug, Default)]
pub struct Claim {
    pub(super) file: Option<File>,
    name: String,
    path: PathBuf,
    /// Folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

/// Hex digits in a claim's name. No other temporary's middle part is so long: process numbers have
/// seven digits.
pub(super) const DIGITS: usize = 32;

impl Claim {
    /// Claims `output`, and lets go of what was claimed before; false if another run has it.
    #[cfg(unix)]
    pub fn take(&mut self, output: &Path) -> bool {
        use std::os::unix::fs::OpenOptionsExt;
        self.release();
        let (Some(name), folder) = (output.file_name(), output.parent().unwrap_or(Path::new("")))
        else {
            return true;
        };
        self.set_path(name, folder);
        for _ in 0..TRIES {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW);
            let file = match options.open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let absent = folder.ancestors().take_while(|at| !or_here(at).exists());
                    self.made.extend(absent.map(Path::to_owned));
                    if fs::create_dir_all(folder).is_err() {
                        return true;
                    }
                    continue;
                }
                Err(_) => return true,
            };
            match file.try_lock() {
                // Else its holder, or a sweep, removed it after it was opened here.
                Ok(()) if is_linked(&file) => {
                    self.file = Some(file);
                    return true;
                }
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return false,
                Err(fs::TryLockError::Error(_)) => return true,
            }
        }
        true
    }

    /// Elsewhere locks keep others from reading and open files can't be removed: all is granted.
    #[cfg(not(unix))]
    pub fn take(&mut self, _output: &Path) -> bool {
        true
    }

    /// Lets go.
    pub fn release(&mut self) {
        if let Some(locked) = self.file.take() {
            // Removed while it is locked, so that nobody's claim is removed but this one.
            let _ = fs::remove_file(&self.path);
            drop(locked);
        }
        for folder in self.made.drain(..) {
            // Fails where there is something in it.
            let _ = fs::remove_dir(folder);
        }
    }

    #[cfg(unix)]
    fn set_path(&mut self, name: &OsStr, folder: &Path) {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new(); // its keys are fixed: all processes agree
            (salt, name).hash(&mut hasher);
            hasher.finish()
        };
        self.name.clear();
        // Writing to a String can't fail.
        let _ = write!(self.name, "{PREFIX}{:016x}{:016x}{SUFFIX}", half(0), half(1));
        let path = self.path.as_mut_os_string();
        path.clear();
        path.push(folder);
        self.path.push(&self.name);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

/// Removes what dead runs left, in each folder that a run writes to, once.
#[derive(Debug, Default)]
pub struct Sweeper {
    /// Hashes, so that a million folders take little.
    seen: HashSet<u64>,
    state: RandomState,
}

impl Sweeper {
    /// To be called for each output before it is written.
    pub fn look(&mut self, output: &Path) {
        let folder = output.parent().unwrap_or(Path::new(""));
        if self.seen.insert(self.state.hash_one(folder)) {
            sweep(folder);
        }
    }
}

/// Removes the temporaries in `folder` that nobody is writing. What can't be looked at or removed
/// stays: it is in nobody's way.
#[cfg(unix)]
pub(super) fn sweep(folder: &Path) {
    use std::os::unix::fs::OpenOptionsExt;
    let Ok(entries) = fs::read_dir(or_here(folder)) else { return };
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || !is_temporary(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        let opened = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(&path);
        // Removed while it is locked, so that a writer who made it a moment ago sees either that
        // it is taken or that it is gone.
        if let Ok(file) = opened
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Elsewhere an open file can't be removed, and locks keep others from reading.
#[cfg(not(unix))]
pub(super) fn sweep(_: &Path) {}

/// Whether an open file still has a name.
#[cfg(unix)]
pub(super) fn is_linked(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|facts| facts.nlink() > 0)
}
