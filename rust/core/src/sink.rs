//! The write stage: bytes to the output file, whole or not at all. The only place that renames.
//!
//! Bytes go to a temporary sibling, which is renamed over the output when the system has taken
//! all of them; so a reader sees the old file or the new one, and a crash leaves at most a file
//! that [`is_temporary`] knows by its name. The sibling's name is short and never built from the
//! output's, so outputs may have names as long as the file system allows.
//!
//! Its writer holds a lock on it until it is renamed, and a lock ends with its process, however
//! that ends: a temporary that can be locked is a dead run's, and [`Sweeper`] removes it. A file
//! system without locks keeps its leftovers.
//!
//! Inputs are never touched: an output that is the input itself (by device and inode, also through
//! links) is refused. A link at the output's place is replaced, not followed.
//!
//! Must not know what the bytes are, beyond asking `encode` whether an existing file is finished.
//! Left out: permissions and owner of a replaced file (the new one follows the umask), and with
//! `fsync` the folders above the output's own.

mod claim;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

#[cfg(unix)]
use self::claim::is_linked;
pub use self::claim::{Claim, Sweeper};
use crate::encode;
use crate::error::Kind;

const PREFIX: &str = ".qbg-";
const SUFFIX: &str = ".tmp";

/// Names that are tried before giving up. One is taken only where another host's process with
/// our number writes into the same folder, or one with our number died there.
const TRIES: usize = 1000;

/// What is at the output's place before the work begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing.
    None,
    /// This very result: nothing needs to be done.
    UpToDate,
    /// Something else, for the reason given; it will be replaced.
    Stale(&'static str),
    /// A whole picture without a tag: somebody else's, which is not for us to replace unasked.
    Foreign,
}

/// Whether `output` already holds the result of `input` under the options that `digest` stands
/// for: a regular file, whole, not older than the input, tagged with `digest`.
pub fn existing(input: &Path, output: &Path, digest: &str) -> Existing {
    let found = match fs::metadata(output) {
        Ok(found) => found,
        // Also a dangling link, which the write replaces.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Existing::None,
        Err(_) => return Existing::Stale("unreadable"),
    };
    if !found.is_file() {
        return Existing::Stale("not a regular file");
    }
    let Ok(mut file) = File::open(output) else { return Existing::Stale("unreadable") };
    let seen = match encode::inspect(&mut file) {
        None => return Existing::Stale("not an image that qbg writes"),
        Some(seen) if !seen.whole => return Existing::Stale("not whole"),
        Some(seen) => seen,
    };
    let Some(tag) = seen.digest else { return Existing::Foreign };
    let times = fs::metadata(input).and_then(|input| Ok((input.modified()?, found.modified()?)));
    match times {
        Ok((input, output)) if output < input => return Existing::Stale("older than the input"),
        Ok(_) => {}
        Err(_) => return Existing::Stale("of unknown age"),
    }
    match tag == digest {
        true => Existing::UpToDate,
        false => Existing::Stale("made from another input, or with another model or other options"),
    }
}

/// Whether a file of this name is one that a [`Sink`] is writing or a [`Claim`] holds, or that one
/// of them left when it was killed.
pub fn is_temporary(name: &OsStr) -> bool {
    let number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let middle = name
        .to_str()
        .and_then(|name| name.strip_prefix(PREFIX))
        .and_then(|name| name.strip_suffix(SUFFIX));
    middle.is_some_and(|middle| {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if middle.len() == claim::DIGITS {
            return middle.bytes().all(hex);
        }
        let mut parts = middle.split('-');
        (0..3).all(|_| number(parts.next())) && parts.next().is_none()
    })
}

/// Writes outputs. One per worker.
#[derive(Debug)]
pub struct Sink {
    /// Tells this sink's temporary files from those of the process's other sinks.
    number: usize,
    /// How many names this sink has made.
    count: u64,
    /// The last name, and the path it stands in. Kept so that a warm sink allocates nothing.
    name: String,
    temporary: PathBuf,
}

impl Sink {
    /// A sink; `number` differs from the numbers of the process's other sinks (two with one
    /// number work, but get in each other's way).
    pub fn new(number: usize) -> Sink {
        Sink { number, count: 0, name: String::new(), temporary: PathBuf::new() }
    }

    /// Puts `bytes` at `output`, replacing what is there; makes the folders above it if they are
    /// missing. After an error the old file is untouched and the temporary one is gone.
    ///
    /// Fails with [`Kind::OverwritesInput`] if `output` is `input`, [`Kind::NotAFile`] if a folder
    /// or a device is there, else with [`Kind::Io`].
    pub fn write(
        &mut self,
        input: Option<&Path>,
        output: &Path,
        bytes: &[u8],
        fsync: bool,
    ) -> Result<(), Kind> {
        // `..`, `/` and the like have no name to give a file.
        if output.file_name().is_none() {
            return Err(Kind::NotAFile);
        }
        may_replace(input, output)?;
        let folder = output.parent().unwrap_or(Path::new(""));
        let file = self.create(folder)?;
        // The second descriptor keeps the lock until the rename, and the first can be closed
        // before it, which is when some file systems tell that the disk is full.
        let written = file.try_clone().and_then(|_locked| {
            fill(file, bytes, fsync)?;
            self.publish(output)
        });
        if let Err(source) = written {
            // The first error is the one to tell; a file that can't be removed is known by name.
            let _ = fs::remove_file(&self.temporary);
            return Err(Kind::Io { doing: "cannot write", source });
        }
        if fsync {
            sync_folder(folder).map_err(Kind::io("cannot sync the folder"))?;
        }
        Ok(())
    }

    /// Opens a new temporary file in `folder`, which is made if it is missing.
    fn create(&mut self, folder: &Path) -> Result<File, Kind> {
        let mut made = false;
        for _ in 0..TRIES {
            self.next_name(folder);
            // `create_new` never opens what is there, be it a file or a link. The descriptor is
            // closed on exec: std sees to it.
            match OpenOptions::new().write(true).create_new(true).open(&self.temporary) {
                Ok(file) if is_claimed(&file) => return Ok(file),
                // A sweep came between the making and the locking.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && !made => {
                    fs::create_dir_all(folder).map_err(Kind::io("cannot create the folder"))?;
                    made = true;
                }
                Err(source) => return Err(Kind::Io { doing: "cannot write", source }),
            }
        }
        let source = io::Error::from(io::ErrorKind::AlreadyExists);
        Err(Kind::Io { doing: "cannot find a free temporary name", source })
    }

    /// Sets `temporary` to a name in `folder` that this sink hasn't used yet.
    fn next_name(&mut self, folder: &Path) {
        let (process, number, count) = (std::process::id(), self.number, self.count);
        self.count = self.count.wrapping_add(1);
        self.name.clear();
        // Writing to a String can't fail.
        let _ = write!(self.name, "{PREFIX}{process}-{number}-{count}{SUFFIX}");
        let path = self.temporary.as_mut_os_string();
        path.clear();
        path.push(folder);
        self.temporary.push(&self.name);
    }

    #[allow(clippy::disallowed_methods, reason = "this is the module that renames")]
    fn publish(&self, output: &Path) -> io::Result<()> {
        fs::rename(&self.temporary, output)
    }
}

/// Locks a new temporary; false if a sweep was quicker.
#[cfg(unix)]
fn is_claimed(file: &File) -> bool {
    match file.try_lock() {
        Ok(()) => is_linked(file),
        Err(fs::TryLockError::WouldBlock) => false,
        // No locks here: then no sweep gets one either.
        Err(fs::TryLockError::Error(_)) => true,
    }
}

#[cfg(not(unix))]
fn is_claimed(_: &File) -> bool {
    true
}

/// Takes a finished output away again, for runs that only measure.
pub fn remove(output: &Path) -> Result<(), Kind> {
    fs::remove_file(output).map_err(Kind::io("cannot remove the output again"))
}

/// Refuses what must not be replaced: the input itself, folders, devices.
fn may_replace(input: Option<&Path>, output: &Path) -> Result<(), Kind> {
    let there = match fs::symlink_metadata(output) {
        Ok(there) => there,
        // The folder may be missing too: that shows, and is mended, when the file is made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Kind::Io { doing: "cannot write", source }),
    };
    let target = if there.is_symlink() {
        match fs::metadata(output) {
            Ok(target) => target,
            // It leads nowhere, so it can't lead to the input.
            Err(_) => return Ok(()),
        }
    } else {
        there
    };
    if !target.is_file() {
        return Err(Kind::NotAFile);
    }
    match input.map(|input| (input, fs::metadata(input))) {
        Some((input, Ok(metadata))) if same_file((input, &metadata), (output, &target)) => {
            Err(Kind::OverwritesInput)
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn same_file(a: (&Path, &Metadata), b: (&Path, &Metadata)) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.1.dev(), a.1.ino()) == (b.1.dev(), b.1.ino())
}

/// Without inodes the resolved paths decide; hard links go unseen.
#[cfg(not(unix))]
fn same_file(a: (&Path, &Metadata), b: (&Path, &Metadata)) -> bool {
    matches!((fs::canonicalize(a.0), fs::canonicalize(b.0)), (Ok(a), Ok(b)) if a == b)
}

fn fill(mut file: File, bytes: &[u8], fsync: bool) -> io::Result<()> {
    file.write_all(bytes)?;
    if fsync {
        file.sync_all()?;
    }
    close(file)
}

/// Closes and tells of errors: on network file systems a full quota may show only here, and
/// dropping a `File` would keep it silent.
#[cfg(unix)]
fn close(file: File) -> io::Result<()> {
    use std::os::fd::IntoRawFd;
    let descriptor = file.into_raw_fd();
    // SAFETY: the descriptor was owned by `file`, which has just given it up: it is open, and
    // nobody else will close it.
    match unsafe { libc::close(descriptor) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(unix))]
fn close(file: File) -> io::Result<()> {
    drop(file);
    Ok(())
}

/// Makes the rename itself lasting.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(or_here(folder))?.sync_all()
}

/// The empty path means the current folder.
#[cfg(unix)]
fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Elsewhere folders can't be opened as files.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
