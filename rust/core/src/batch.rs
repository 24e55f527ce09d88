//! A batch: the pool's workers taking files from a source through their pipelines, and what the
//! front end may know of it: counts, failures, notes, times.
//!
//! Everything here is per batch or per drained record; nothing happens per image but one `Record`.
//! Memory is bounded: failures beyond [`MOST_FAILURES`] are counted and not kept, notes are
//! counted by kind. Must not know the interpreter: `enter` and the crew come from outside.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::crew::{Crew, Loan};
use crate::error::{Error, Kind};
use crate::meter::{self, Counters, Histogram, Stages};
use crate::pipeline::{FileOptions, Options, Pipeline, Status, Trace};
use crate::pool::{self, Control, Fault, Run, Work};
use crate::source::Job;
use crate::topology::Placement;

/// Failures that are kept with their text.
pub const MOST_FAILURES: usize = 100_000;

/// Wraps a worker thread's whole life, for what must live as long as the thread does.
pub type Enter = dyn Fn(&mut dyn FnMut()) + Send + Sync;

/// Counts the inputs beside the run; looks at the flag to stop early, and gives None then.
pub type SideWalk = Box<dyn FnOnce(&AtomicBool) -> Option<u64> + Send>;

/// What a batch is made of.
pub struct Setup {
    /// The workers' pipelines.
    pub crew: Arc<Crew<Pipeline>>,
    /// Where the workers run, one place each.
    pub places: Vec<Placement>,
    /// Wraps each worker's life.
    pub enter: Arc<Enter>,
    /// How images are done.
    pub options: Options,
    /// How files are written.
    pub files: FileOptions,
    /// Stop at the first failure.
    pub fail_fast: bool,
}

/// Sums over finished images.
#[derive(Debug, Default)]
pub struct Progress {
    /// Outputs written.
    pub done: u64,
    /// Outputs that were up to date.
    pub skipped: u64,
    /// Images that failed.
    pub failed: u64,
    /// Pixels of done inputs.
    pub pixels: u64,
    /// Bytes of done inputs.
    pub bytes_in: u64,
    /// Bytes of written outputs.
    pub bytes_out: u64,
    /// Nanoseconds per stage, over done images.
    pub stages: Stages,
    /// Nanoseconds from picked up to written, over done images.
    pub service: Histogram,
    /// Failures in the order in which they happened, at most [`MOST_FAILURES`].
    pub failures: Vec<Error>,
    /// Things worth a line that are no failure: how often, and the first file.
    pub notes: BTreeMap<&'static str, (u64, PathBuf)>,
}

impl Progress {
    fn add(&mut self, record: Record) {
        let trace = record.trace;
        match record.status {
            Status::Skipped => self.skipped += 1,
            Status::Failed(error) => {
                self.failed += 1;
                if self.failures.len() < MOST_FAILURES {
                    self.failures.push(*error);
                }
            }
            Status::Done => {
                self.done += 1;
                self.pixels += trace.pixels;
                self.bytes_in += trace.bytes_in;
                self.bytes_out += trace.bytes_out;
                self.stages.merge(&trace.stages);
                self.service.record(trace.stages.total_ns());
            }
        }
        if let Some(path) = record.noted {
            for note in trace.notes() {
                self.notes.entry(note).or_insert_with(|| (0, path.clone())).0 += 1;
            }
        }
    }
}

/// One finished image on its way to the front end.
struct Record {
    status: Status,
    trace: Trace,
    /// The input, if `trace` has notes.
    noted: Option<PathBuf>,
}

struct Images {
    setup: Setup,
    control: Arc<OnceLock<Control>>,
}

/// A found file, or why it can't be one, and what was seen on its way so far.
struct Item {
    /// `None` once an error has been reported.
    found: Option<Result<Job, Error>>,
    trace: Trace,
}

impl Work for Images {
    type Job = Item;
    type Record = Record;
    type Seat = Loan<Pipeline>;
    type Error = String;

    fn enter(&self, _place: &Placement, body: &mut dyn FnMut()) {
        (self.setup.enter)(body);
    }

    fn seat(&self, place: &Placement) -> Result<Self::Seat, String> {
        self.setup.crew.lend(place.worker)
    }

    fn work(&self, seat: &mut Self::Seat, item: &mut Item, _stopped: &dyn Fn() -> bool) -> Record {
        let Item { found, trace } = item;
        let mut noted = None;
        let status = match found {
            Some(Ok(job)) => {
                let Setup { options, files, .. } = &self.setup;
                let status = seat.run(|pipeline| pipeline.file(job, options, files, trace));
                if trace.notes().next().is_some() {
                    noted = Some(std::mem::take(&mut job.input));
                }
                status
            }
            failed => match failed.take() {
                Some(Err(error)) => Status::Failed(Box::new(error)),
                _ => Status::Skipped,
            },
        };
        let stop = self.setup.fail_fast && matches!(status, Status::Failed(_));
        if let Some(control) = self.control.get().filter(|_| stop) {
            control.cancel();
        }
        Record { status, trace: *trace, noted }
    }

    fn panicked(&self, item: &Item, message: String) -> Record {
        let path = match &item.found {
            Some(Ok(job)) => Some(job.input.as_path()),
            _ => None,
        };
        let error = Kind::Panic { message }.at(item.trace.stage, path);
        Record { status: Status::Failed(Box::new(error)), trace: item.trace, noted: None }
    }
}

/// A batch in progress. Dropping it stops it and waits for the images in hand.
pub struct Batch {
    run: Option<Run<Images>>,
    control: Control,
    progress: Progress,
    drained: Vec<Record>,
    total: Arc<AtomicU64>,
    stop_counting: Arc<AtomicBool>,
    counting: Option<JoinHandle<()>>,
    started_ns: u64,
    end: Option<End>,
}

/// How a batch ended.
#[derive(Debug)]
pub struct End {
    /// What each worker did.
    pub workers: Vec<Counters>,
    /// Why it ended early, if by itself: an engine that can't be made, a thread that can't start.
    pub fault: Option<String>,
    /// Whether it was asked to stop.
    pub cancelled: bool,
    /// From start to end.
    pub elapsed_ns: u64,
}

/// No count yet.
const UNKNOWN: u64 = u64::MAX;

impl Batch {
    /// Starts the workers on `source`, and `side_walk` beside them.
    pub fn start(
        setup: Setup,
        source: impl Iterator<Item = Result<Job, Error>> + Send + 'static,
        side_walk: Option<SideWalk>,
    ) -> Batch {
        let started_ns = meter::now_ns();
        let control = Arc::new(OnceLock::new());
        let options = pool::Options::new(setup.places.clone());
        let images = Images { setup, control: Arc::clone(&control) };
        let run = pool::start(
            images,
            source.map(|found| Item { found: Some(found), trace: Trace::default() }),
            options,
        );
        let total = Arc::new(AtomicU64::new(UNKNOWN));
        let stop_counting = Arc::new(AtomicBool::new(false));
        let counting = side_walk.and_then(|walk| {
            let (total, stop) = (Arc::clone(&total), Arc::clone(&stop_counting));
            count_beside(walk, total, stop)
        });
        let control = control.get_or_init(|| run.control()).clone();
        Batch {
            run: Some(run),
            control,
            progress: Progress::default(),
            drained: Vec::new(),
            total,
            stop_counting,
            counting,
            started_ns,
            end: None,
        }
    }

    /// Collects finished images until `wait` is over or the batch is; true once it is.
    pub fn poll(&mut self, wait: Duration) -> bool {
        let Some(run) = &mut self.run else { return true };
        let more = run.drain(wait, usize::MAX, &mut self.drained);
        self.collect();
        if !more {
            self.finish();
        }
        !more
    }

    /// Asks the workers to stop after the image in hand. Returns at once.
    pub fn cancel(&self) {
        self.control.cancel();
        self.stop_counting.store(true, Ordering::Relaxed);
    }

    /// A handle that can cancel while somebody polls.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Sums so far.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Inputs in all, once the side walk has counted them.
    pub fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Relaxed)).filter(|&total| total != UNKNOWN)
    }

    /// How it ended; None while it hasn't.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    fn collect(&mut self) {
        for record in self.drained.drain(..) {
            self.progress.add(record);
        }
    }

    fn finish(&mut self) {
        let Some(run) = self.run.take() else { return };
        let report = run.join(&mut self.drained);
        self.collect();
        let elapsed_ns = meter::now_ns().saturating_sub(self.started_ns);
        self.stop_counting.store(true, Ordering::Relaxed);
        if let Some(counting) = self.counting.take() {
            // It has nothing to report but the count; a panic there leaves the total unknown.
            let _ = counting.join();
        }
        let fault = report.fault.map(|fault| match fault {
            // The engine's own words, without the worker's number.
            Fault::Seat { error, .. } => error,
            other => other.to_string(),
        });
        self.end =
            Some(End { workers: report.workers, fault, cancelled: report.cancelled, elapsed_ns });
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.cancel();
        self.finish();
    }
}

/// The one thread that does no image. If it can't be started the total stays unknown.
#[allow(clippy::disallowed_methods)]
fn count_beside(
    walk: SideWalk,
    total: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> Option<JoinHandle<()>> {
    let count = move || {
        if let Some(counted) = walk(&stop) {
            total.store(counted, Ordering::Relaxed);
        }
    };
    std::thread::Builder::new().name("qbg-count".to_owned()).spawn(count).ok()
}
