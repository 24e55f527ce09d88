//! The journal of a run: one line of JSON per finished image, appended as soon as it is finished,
//! and read again by a run that goes on where others stopped.
//!
//! A line is one `write` to a file opened for appending, so several processes may share a journal,
//! and a kill tears at most the last line; what can't be read is skipped and counted. Resuming by
//! a journal looks at no time stamp: an image is done if the journal says so for the same model and
//! options, and input and output still have the lengths that it tells. An input that was replaced
//! by one of equal length goes unseen.
//!
//! Paths are absolute, so that a run may go on from another folder; one that isn't UTF-8 is an
//! array of its bytes. Must not know what an image is made of, nor who works on it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Kind;
use crate::meter::{self, Stages};
use crate::source::Job;

/// A longer line is none of ours: two paths and a message are far below it.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// A path on a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    /// Not UTF-8.
    Bytes(Vec<u8>),
}

impl Name {
    fn of(path: &Path) -> Name {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        match path.into_os_string().into_string() {
            Ok(text) => Name::Text(text),
            Err(other) => Name::Bytes(other.as_encoded_bytes().to_vec()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Name::Text(text) => text.as_bytes(),
            Name::Bytes(bytes) => bytes,
        }
    }
}

/// How an image ended, as the journal tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The output is written.
    Done,
    /// The output was there, made by the same model and options.
    Skipped,
    /// Nothing was written.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    /// Seconds since 1970.
    time: f64,
    input: Name,
    output: Name,
    outcome: Outcome,
    /// Of model and options, as in the output's tag.
    digest: String,
    bytes_in: u64,
    bytes_out: u64,
    pixels: u64,
    /// Milliseconds by stage; those that took none are left out.
    #[serde(default)]
    stage_ms: serde_json::Map<String, serde_json::Value>,
    /// `stage path: what happened`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What is worth a line.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Input and output.
    pub job: &'a Job,
    /// How it ended.
    pub outcome: Outcome,
    /// Pixels of the input.
    pub pixels: u64,
    /// Nanoseconds by stage.
    pub stages: &'a Stages,
    /// Of a failure.
    pub error: Option<&'a str>,
}

/// Lengths that input and output had when the image was finished.
type Lengths = (u64, u64);

/// A journal that is being written, and what it told before.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    digest: String,
    /// By the hash of input and output: 128 bits, since a false match would lose an image.
    done: HashMap<u128, Lengths>,
    states: [RandomState; 2],
    unreadable: u64,
}

impl Journal {
    /// Opens `path` to append to it, made if need be. With `resume` what it holds under `digest` is
    /// read first; a journal that isn't there holds nothing.
    pub fn open(path: &Path, digest: &str, resume: bool) -> Result<Journal, Kind> {
        let opened = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = opened.map_err(Kind::io("cannot open the journal"))?;
        if !file.metadata().map_err(Kind::io("cannot open the journal"))?.is_file() {
            return Err(Kind::NotAFile);
        }
        // A slip of the hand must not append lines to a picture.
        let mut first = [0];
        let read = file.read(&mut first).map_err(Kind::io("cannot read the journal"))?;
        if read == 1 && first != [b'{'] {
            return Err(Kind::NotAJournal);
        }
        file.rewind().map_err(Kind::io("cannot read the journal"))?;
        let mut journal = Journal {
            path: path.to_path_buf(),
            file: file.try_clone().map_err(Kind::io("cannot open the journal"))?,
            digest: digest.to_owned(),
            done: HashMap::new(),
            states: [RandomState::new(), RandomState::new()],
            unreadable: 0,
        };
        if resume {
            journal.read(BufReader::new(&file)).map_err(Kind::io("cannot read the journal"))?;
        }
        end_line(&mut file).map_err(Kind::io("cannot write the journal"))?;
        Ok(journal)
    }

    /// Takes in all lines.
    fn read(&mut self, mut lines: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(());
            }
            if line.last() != Some(&b'\n') && read as u64 == MAX_LINE_BYTES {
                lines.skip_until(b'\n')?;
            }
            self.take(&line);
        }
    }

    fn take(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            self.unreadable += 1;
            return;
        };
        if line.digest == self.digest && line.outcome != Outcome::Failed {
            let key = self.key(&line.input, &line.output);
            self.done.insert(key, (line.bytes_in, line.bytes_out));
        }
    }

    fn key(&self, input: &Name, output: &Name) -> u128 {
        let [high, low] =
            self.states.each_ref().map(|state| state.hash_one((input.bytes(), output.bytes())));
        u128::from(high) << 64 | u128::from(low)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines that could not be understood when it was read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Whether it tells that this job is done, and nothing that can be seen at once says otherwise.
    pub fn is_done(&self, job: &Job) -> bool {
        if self.done.is_empty() {
            return false;
        }
        let key = self.key(&Name::of(&job.input), &Name::of(&job.output));
        self.done.get(&key).is_some_and(|&told| lengths(job) == Some(told))
    }

    /// Appends a line. From many threads at once, too.
    pub fn write(&self, entry: &Entry<'_>) -> io::Result<()> {
        let (bytes_in, bytes_out) = lengths(entry.job).unwrap_or_default();
        let stages = entry.stages.iter().filter(|&(_, ns)| ns > 0);
        let line = Line {
            time: meter::unix_s(),
            input: Name::of(&entry.job.input),
            output: Name::of(&entry.job.output),
            outcome: entry.outcome,
            digest: self.digest.clone(),
            bytes_in,
            bytes_out,
            pixels: entry.pixels,
            stage_ms: stages
                .map(|(stage, ns)| (stage.name().to_owned(), (ns as f64 / 1e6).into()))
                .collect(),
            error: entry.error.map(str::to_owned),
        };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        (&self.file).write_all(&bytes)
    }
}

/// Of input and output as they are now; None if one isn't there, or isn't a file.
fn lengths(job: &Job) -> Option<Lengths> {
    let length = |path: &PathBuf| {
        fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|facts| facts.len())
    };
    Some((length(&job.input)?, length(&job.output)?))
}

/// Ends the line that a killed run may have left torn, so that the next one is whole.
fn end_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == [b'\n'] { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(test)]
mod tests;
