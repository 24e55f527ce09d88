//! Every way an image can fail, in one enum, and the text a person reads.
//!
//! A stage returns a bare [`Kind`]: it doesn't know which file it works on. The pipeline adds
//! the [`Stage`] and the path and so makes an [`Error`]. Text is `stage path: what happened`,
//! then, where there is something to do about it, a hint on a line of its own.
//! This file must not know what a stage does.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The stages of an image's way, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Finding inputs and naming outputs.
    Discover,
    /// Making the file's bytes readable.
    Map,
    /// Bytes to RGB8.
    Decode,
    /// Resize and normalise into the tensor slot.
    Preprocess,
    /// The network.
    Infer,
    /// Logits to alpha.
    Mask,
    /// Alpha and colours to the cut-out.
    Composite,
    /// The cut-out to bytes.
    Encode,
    /// Bytes to the output file.
    Write,
}

impl Stage {
    /// All stages in the order of the flow.
    pub const ALL: [Stage; 9] = [
        Stage::Discover,
        Stage::Map,
        Stage::Decode,
        Stage::Preprocess,
        Stage::Infer,
        Stage::Mask,
        Stage::Composite,
        Stage::Encode,
        Stage::Write,
    ];

    /// The stage's name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Discover => "discover",
            Stage::Map => "map",
            Stage::Decode => "decode",
            Stage::Preprocess => "preprocess",
            Stage::Infer => "infer",
            Stage::Mask => "mask",
            Stage::Composite => "composite",
            Stage::Encode => "encode",
            Stage::Write => "write",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happened, without where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Kind {
    /// The operating system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, as in "cannot open".
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// A folder, socket or device where a file was expected.
    #[error("not a regular file")]
    NotAFile,
    /// The first bytes are those of no format we know.
    #[error("not an image that qbg can read (JPEG, PNG, WebP, TIFF, BMP, GIF, PNM)")]
    UnknownFormat,
    /// A known format, but a variant that we don't decode or encode.
    #[error("{format}: {what} is not supported")]
    Unsupported {
        /// The format's name.
        format: &'static str,
        /// The variant.
        what: String,
    },
    /// The header promises more pixels than allowed.
    #[error("{width}x{height} is {} pixels, more than the limit of {limit_px}", width.saturating_mul(*height))]
    TooManyPixels {
        /// Width in the header.
        width: u64,
        /// Height in the header.
        height: u64,
        /// The limit, in pixels.
        limit_px: u64,
    },
    /// The picture would take more memory than this run may.
    #[error(
        "{width}x{height} needs about {} MiB, more than the {} MiB that this run has for one picture",
        bytes >> 20, budget_bytes >> 20
    )]
    OverBudget {
        /// Width in the header.
        width: u64,
        /// Height in the header.
        height: u64,
        /// What it needs.
        bytes: u64,
        /// What there is for one picture.
        budget_bytes: u64,
    },
    /// A metadata block or a decoded buffer would exceed its cap.
    #[error("{what} needs more than {limit_bytes} bytes")]
    TooManyBytes {
        /// What is too large, as in "ICC profile".
        what: &'static str,
        /// The cap.
        limit_bytes: u64,
    },
    /// The file ends before the picture does.
    #[error("{format}: the file ends before the picture does")]
    Truncated {
        /// The format's name.
        format: &'static str,
    },
    /// The decoder gave up.
    #[error("{format}: {message}")]
    Corrupt {
        /// The format's name.
        format: &'static str,
        /// The decoder's reason.
        message: String,
    },
    /// The file became shorter while it was being read.
    #[error("the file shrank while it was being read")]
    Shrunk,
    /// The network's callable failed.
    #[error("{message}")]
    Infer {
        /// The engine's reason.
        message: String,
    },
    /// The network gave something that the recipe can't use.
    #[error("{message}")]
    Tensor {
        /// What is wrong with it.
        message: String,
    },
    /// Two inputs want the same output.
    #[error("`{}` would also be written for `{}`", output.display(), other.display())]
    Collision {
        /// The output both want.
        output: PathBuf,
        /// The other input.
        other: PathBuf,
    },
    /// The output is the input itself.
    #[error("the output would overwrite an input")]
    OverwritesInput,
    /// A file is there, but not of the kind that is to be added to.
    #[error("this is no journal: it doesn't begin as one")]
    NotAJournal,
    /// A link leads back to a folder above it.
    #[error("a link leads back to a folder that is being walked")]
    LinkLoop,
    /// The name is not valid on this system or not valid UTF-8 where it must be.
    #[error("{message}")]
    Name {
        /// What is wrong with it.
        message: String,
    },
    /// An encoder gave up.
    #[error("{format}: {message}")]
    Encode {
        /// The format's name.
        format: &'static str,
        /// The encoder's reason.
        message: String,
    },
    /// A bug of ours, caught.
    #[error("internal error: {message}")]
    Panic {
        /// The panic's message.
        message: String,
    },
    /// Memory could not be had.
    #[error("out of memory for {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
    },
    /// The file grew or was written to while it was being read.
    #[error("the file changed while it was being read")]
    Changed,
    /// A whole picture that qbg didn't make stands where the output goes.
    #[error("a picture that qbg did not make is there")]
    Foreign,
    /// The run was stopped before this image was done.
    #[error("stopped before it was done")]
    Cancelled,
}

impl Kind {
    /// Shorthand for `map_err` on I/O.
    pub fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Kind {
        move |source| Kind::Io { doing, source }
    }

    /// Adds the stage and the path.
    pub fn at(self, stage: Stage, path: Option<&Path>) -> Error {
        Error { stage, path: path.map(Path::to_path_buf), kind: self }
    }

    /// What the reader can do about it, if anything.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Kind::TooManyPixels { .. } => Some("raise --max-pixels, or skip the file"),
            Kind::OverBudget { .. } => Some("raise --max-memory, or use fewer --workers"),
            Kind::Empty | Kind::Truncated { .. } | Kind::Shrunk | Kind::Changed => {
                Some("the file may still be being copied; run again to pick it up")
            }
            Kind::NotAFile => Some("name a file, or a folder to walk"),
            Kind::UnknownFormat | Kind::Unsupported { .. } => {
                Some("convert it to PNG or JPEG first")
            }
            Kind::TooManyBytes { .. } | Kind::Corrupt { .. } => {
                Some("the file is damaged, or no picture; get it again, or convert it")
            }
            Kind::Infer { .. } => Some("try the model on another picture, or another engine"),
            Kind::Tensor { .. } => Some("model and recipe may not fit each other: see --recipe"),
            Kind::Collision { .. } => Some("rename one of them, or pass --on-collision rename"),
            Kind::OverwritesInput => Some("choose another output folder or format"),
            Kind::Foreign => Some("pass --overwrite to replace it, or choose another output"),
            Kind::NotAJournal => Some("name another file, which may be new"),
            Kind::LinkLoop => Some("remove the link, or name the folders without it"),
            Kind::Name { .. } => Some("rename the file or the folder"),
            Kind::Encode { .. } => Some("choose another --format, or a smaller picture"),
            Kind::Panic { .. } => Some("this is a bug in qbg: please report it with the file"),
            Kind::OutOfMemory { .. } => Some("use fewer workers, or lower --max-pixels"),
            Kind::Cancelled => Some("run again to do the rest"),
            Kind::Io { source, .. } => Some(match source.kind() {
                io::ErrorKind::PermissionDenied => "check the permissions",
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space and run again"
                }
                io::ErrorKind::NotFound => {
                    "check the name; the file may have been moved or removed"
                }
                io::ErrorKind::NotADirectory => "a file stands where a folder is needed",
                io::ErrorKind::InvalidFilename => "the name is too long for this file system",
                _ => "check the disk or the network drive, and run again",
            }),
        }
    }
}

/// One image's failure: where, which file, what.
#[derive(Debug)]
pub struct Error {
    /// The stage that failed.
    pub stage: Stage,
    /// The input file; for `write`, the output file. None for images given as memory.
    pub path: Option<PathBuf>,
    /// What happened.
    pub kind: Kind,
}

impl Error {
    /// Whether there was no room for an output.
    pub fn is_disk_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        self.stage == Stage::Write
            && matches!(&self.kind, Kind::Io { source, .. } if full.contains(&source.kind()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            // Debug of a path escapes newlines and broken UTF-8, so that a line stays a line.
            Some(path) => write!(f, "{} {}: {}", self.stage, readable(path), self.kind),
            None => write!(f, "{}: {}", self.stage, self.kind),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.kind)
    }
}

/// The path as text on one line: plain where it can be, quoted and escaped where it must be.
pub fn readable(path: &Path) -> String {
    match path.to_str() {
        Some(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("{path:?}"),
    }
}
