//! Inputs named one per line, from a file or a pipe.
//!
//! Lines end with a newline (a carriage return before it is dropped, as is a byte order mark at
//! the start); if the first chunk holds a NUL, entries end with NUL and every other byte counts.
//! Empty entries are skipped. Nothing is looked up: what isn't there fails when it is opened.
//!
//! A list is not held in memory, so an output that was handed out can't be taken back: of a
//! clashing group the first keeps its name, with `Fail` too. Outputs handed out are remembered as
//! 64-bit hashes of their names: 8 bytes each, doubled at worst by the table's slack. Two
//! different names with one hash are taken for a clash (one chance in 10^7 at a million entries):
//! one image fails or is renamed needlessly, none is overwritten. Left out: an entry's output
//! that is a folder on another's way; writing it fails.

use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use super::naming::{Suffix, kept_below_output, key};
use super::{Item, OnCollision, Options, Output, same_folder};
use crate::error::{Kind, Stage};

/// Longer than any path a system takes; a line beyond it is not a path.
const MAX_ENTRY_BYTES: usize = 64 << 10;

/// Keeps a hash as it is.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

pub(super) struct List {
    reader: Box<dyn BufRead + Send>,
    /// Known once the first chunk was seen.
    separator: Option<u8>,
    ended: bool,
    entry: Vec<u8>,
    seen: HashSet<u64, BuildHasherDefault<Same>>,
    options: Options,
    /// The last input folder, and whether its outputs land in it.
    last: Option<(PathBuf, bool)>,
}

impl List {
    pub(super) fn new(reader: Box<dyn BufRead + Send>, options: Options) -> List {
        List {
            reader,
            separator: None,
            ended: false,
            entry: Vec::new(),
            seen: HashSet::default(),
            options,
            last: None,
        }
    }

    /// The next entry; None at the end.
    pub(super) fn next(&mut self) -> Option<Item> {
        while !self.ended {
            match self.read_entry() {
                Ok(false) if self.entry.is_empty() => {}
                Ok(too_long) => return Some(self.item(too_long)),
                Err(source) => {
                    self.ended = true;
                    let kind = Kind::Io { doing: "cannot read the list", source };
                    return Some(Err(kind.at(Stage::Discover, None)));
                }
            }
        }
        None
    }

    /// Fills `entry`; true if it was too long and is cut.
    fn read_entry(&mut self) -> io::Result<bool> {
        self.entry.clear();
        let mut too_long = false;
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let mut skip = 0;
            let separator = *self.separator.get_or_insert_with(|| {
                let nul = chunk.contains(&0);
                skip = if !nul && chunk.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
                if nul { 0 } else { b'\n' }
            });
            if chunk.is_empty() {
                self.ended = true;
                break;
            }
            let end = chunk.iter().position(|&b| b == separator);
            let part = chunk.get(skip..end.unwrap_or(chunk.len())).unwrap_or_default();
            let room = MAX_ENTRY_BYTES - self.entry.len();
            too_long |= part.len() > room;
            self.entry.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(chunk.len(), |i| i + 1);
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if self.separator == Some(b'\n') && self.entry.last() == Some(&b'\r') {
            self.entry.pop();
        }
        Ok(too_long)
    }

    fn item(&mut self, too_long: bool) -> Item {
        if too_long {
            let message = format!("an entry of the list is longer than {MAX_ENTRY_BYTES} bytes");
            return Err(Kind::Name { message }.at(Stage::Discover, None));
        }
        let input = match path_of(&self.entry) {
            Ok(input) => input,
            Err(kind) => return Err(kind.at(Stage::Discover, None)),
        };
        match self.name(&input) {
            Ok(output) => Ok((input, output)),
            Err(kind) => Err(kind.at(Stage::Discover, Some(&input))),
        }
    }

    /// The output of `input`, marked as handed out.
    fn name(&mut self, input: &Path) -> Result<PathBuf, Kind> {
        let kept = kept_below_output(input).ok_or(Kind::NotAFile)?;
        let name = kept.file_name().ok_or(Kind::NotAFile)?;
        let home = input.parent().unwrap_or(Path::new(""));
        let folder = match &self.options.output {
            Output::Folder(out) => out.join(kept.parent().unwrap_or(Path::new(""))),
            Output::Beside | Output::File(_) => home.to_path_buf(),
        };
        let suffix =
            Suffix { extension: self.options.extension, cutout: self.lands_at_home(home, &folder) };
        let plain = folder.join(suffix.plain(name));
        if self.take(&plain) {
            return Ok(plain);
        }
        if self.options.on_collision == OnCollision::Fail {
            let other = PathBuf::from("an earlier entry of the list");
            return Err(Kind::Collision { output: plain, other });
        }
        let mut attempt = 1;
        loop {
            let output = folder.join(suffix.full(name, attempt));
            if self.take(&output) {
                return Ok(output);
            }
            attempt += 1;
        }
    }

    fn take(&mut self, output: &Path) -> bool {
        let mut hasher = DefaultHasher::new();
        key(output.as_os_str(), self.options.fold_case).hash(&mut hasher);
        self.seen.insert(hasher.finish())
    }

    /// Whether outputs of `home` land in it. Neighbors in a list mostly share their folder.
    fn lands_at_home(&mut self, home: &Path, folder: &Path) -> bool {
        match &self.last {
            Some((known, lands)) if known == home => *lands,
            _ => {
                let lands = home == folder || same_folder(home, folder);
                self.last = Some((home.to_path_buf(), lands));
                lands
            }
        }
    }
}

fn path_of(entry: &[u8]) -> Result<PathBuf, Kind> {
    if entry.contains(&0) {
        return Err(Kind::Name { message: "an entry of the list holds a NUL".to_owned() });
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt;
        Ok(PathBuf::from(OsString::from_vec(entry.to_vec())))
    }
    #[cfg(not(unix))]
    match std::str::from_utf8(entry) {
        Ok(text) => Ok(PathBuf::from(OsString::from(text))),
        Err(_) => Err(Kind::Name { message: "an entry of the list is not UTF-8".to_owned() }),
    }
}
