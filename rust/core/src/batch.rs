//! A batch: the pool's workers taking files from a source through their pipelines, and what the
//! front end may know of it: counts, failures, notes, times.
//!
//! Everything here is per batch or per drained record; nothing happens per image but one `Record`.
//! Memory is bounded: failures beyond [`MOST_FAILURES`] are counted and not kept, notes are
//! counted by kind; only a [`Trial`] keeps a row of numbers per image. Must not know the
//! interpreter: `enter` and the crew come from outside.
//!
//! What a trial adds to an image lies outside its stages: an output that isn't to stay is removed
//! after the end of the image was noted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::crew::{Crew, Loan};
use crate::error::{Error, Kind, Stage};
use crate::journal::{self, Journal};
use crate::meter::{self, Counters, Histogram, Stages};
use crate::pipeline::{FileOptions, Options, Pipeline, Status, Trace};
use crate::pool::{self, Control, Fault, Parts, Run, Work};
use crate::sink;
use crate::source::Job;
use crate::topology::Placement;
use crate::trial::{self, Outcome, Row, Times, Trial};

/// Failures that are kept with their text.
pub const MOST_FAILURES: usize = 100_000;

/// Outputs in a row for which there was no room, before a run stops by itself: one may have been
/// larger than what is left, more say that the disk is full.
pub const MOST_FULL: u64 = 3;

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
    /// Where finished images are noted, and what was finished before.
    pub journal: Option<Journal>,
    /// For measuring.
    pub trial: Option<Trial>,
}

/// What a batch works on.
pub enum Inputs {
    /// Files, as they are found.
    Files(Box<dyn Iterator<Item = Result<Job, Error>> + Send>),
    /// So many calls of the network, without pictures.
    Calls(u64),
}

/// Sums over finished images.
#[derive(Debug, Default)]
pub struct Progress {
    /// Outputs written.
    pub done: u64,
    /// Outputs that were up to date, or that another run was making.
    pub skipped: u64,
    /// Images that failed.
    pub failed: u64,
    /// Pixels of done inputs.
    pub pixels: u64,
    /// Bytes of done inputs.
    pub bytes_in: u64,
    /// Done inputs whose file was mapped, not read.
    pub mapped: u64,
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
    /// A row for each finished image, in the order in which they ended; None without a trial.
    pub rows: Option<Vec<Row>>,
}

impl Progress {
    fn add(&mut self, record: Record) {
        let trace = record.trace;
        if let Some(rows) = &mut self.rows {
            let outcome = match record.status {
                Status::Done => Outcome::Done,
                Status::Skipped | Status::Taken => Outcome::Skipped,
                Status::Failed(_) => Outcome::Failed,
            };
            let sizes = [trace.pixels, trace.bytes_in, trace.bytes_out];
            rows.push(trial::row(&record.times, outcome, sizes, &trace.stages));
        }
        match record.status {
            Status::Skipped | Status::Taken => self.skipped += 1,
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
                self.mapped += u64::from(trace.mapped);
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
    times: Times,
    /// The input, if `trace` has notes.
    noted: Option<PathBuf>,
}

struct Images {
    setup: Setup,
    brake: Arc<Brake>,
    started_ns: u64,
}

/// Lets a worker stop the run that it is part of, from the first moment on.
#[derive(Default)]
struct Brake {
    pulled: AtomicBool,
    control: OnceLock<Control>,
    /// Why, if it wasn't asked for.
    reason: OnceLock<String>,
    /// Outputs in a row for which there was no room.
    full: AtomicU64,
}

impl Brake {
    fn pull(&self) {
        self.pulled.store(true, Ordering::SeqCst);
        if let Some(control) = self.control.get() {
            control.cancel();
        }
    }

    fn pull_because(&self, reason: String) {
        // The first reason is the one to tell.
        let _ = self.reason.set(reason);
        self.pull();
    }

    /// The control is there once the workers are; they may have pulled before.
    fn attach(&self, control: &Control) {
        let _ = self.control.set(control.clone());
        if self.pulled.load(Ordering::SeqCst) {
            control.cancel();
        }
    }

    /// Counts outputs that found no room, and stops the run when there are too many in a row.
    fn watch_disk(&self, status: &Status) {
        let full = match status {
            Status::Done => return self.full.store(0, Ordering::Relaxed),
            Status::Skipped | Status::Taken => return,
            Status::Failed(error) => error.is_disk_full(),
        };
        if full && self.full.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_FULL {
            self.pull_because(format!(
                "there is no room for outputs ({MOST_FULL} failed in a row): \
                 free some space and run again, which goes on where this run stopped"
            ));
        }
    }
}

/// What a worker has: its pipeline and its number.
struct Seat {
    pipeline: Loan<Pipeline>,
    worker: usize,
}

/// What is to be done.
enum Task {
    File(Job),
    /// An input that could not be found or named.
    Failed(Box<Error>),
    /// One call of the network.
    Call,
    /// Nothing any more: its error has been reported.
    Reported,
}

/// A task, and what was seen on its way so far.
struct Item {
    task: Task,
    trace: Trace,
    times: Times,
}

/// The inputs as the pool's feed: numbered, and each at its time.
struct Arriving {
    inputs: Inputs,
    arrivals_ns: Option<Arc<[u64]>>,
    started_ns: u64,
    next: u64,
    sweeper: sink::Sweeper,
}

impl Arriving {
    fn arrival_ns(&self) -> Option<u64> {
        let arrivals = self.arrivals_ns.as_ref()?;
        arrivals.get(usize::try_from(self.next).ok()?).copied()
    }
}

impl pool::Feed<Item> for Arriving {
    fn next(&mut self) -> Option<Item> {
        let arrival_ns = self.arrival_ns().unwrap_or(0);
        let task = match &mut self.inputs {
            Inputs::Files(files) => match Iterator::next(files)? {
                Ok(job) => {
                    self.sweeper.look(&job.output);
                    Task::File(job)
                }
                Err(error) => Task::Failed(Box::new(error)),
            },
            Inputs::Calls(left) => {
                *left = left.checked_sub(1)?;
                Task::Call
            }
        };
        let times = Times { index: self.next, arrival_ns, ..Times::default() };
        self.next += 1;
        Some(Item { task, trace: Trace::default(), times })
    }

    fn due_ns(&mut self) -> Option<u64> {
        self.arrival_ns().map(|arrival_ns| self.started_ns.saturating_add(arrival_ns))
    }
}

impl Images {
    fn since_start_ns(&self) -> u64 {
        meter::now_ns().saturating_sub(self.started_ns)
    }

    /// Does the task; the second is the input's path if there are notes about it.
    fn perform(
        &self,
        pipeline: &mut Loan<Pipeline>,
        task: &mut Task,
        trace: &mut Trace,
    ) -> (Status, Option<PathBuf>) {
        match task {
            Task::File(job) => {
                let Setup { options, files, trial, journal, .. } = &self.setup;
                if journal.as_ref().is_some_and(|journal| journal.is_done(job)) {
                    return (Status::Skipped, None);
                }
                let reuse = trial.as_ref().is_none_or(|trial| trial.reuse);
                let status = pipeline.run(|pipeline| {
                    if !reuse {
                        pipeline.forget();
                    }
                    pipeline.file(job, options, files, trace)
                });
                self.note(job, &status, trace);
                let noted = trace.notes().next().is_some();
                (status, noted.then(|| std::mem::take(&mut job.input)))
            }
            Task::Call => (pipeline.run(|pipeline| pipeline.call(trace)), None),
            Task::Failed(_) | Task::Reported => match std::mem::replace(task, Task::Reported) {
                Task::Failed(error) => (Status::Failed(error), None),
                _ => (Status::Skipped, None),
            },
        }
    }

    /// A line in the journal, if there is one. A run whose journal can't be written stops: whoever
    /// asked for it relies on it.
    fn note(&self, job: &Job, status: &Status, trace: &Trace) {
        let Some(journal) = &self.setup.journal else { return };
        let (outcome, error) = match status {
            Status::Done => (journal::Outcome::Done, None),
            Status::Skipped => (journal::Outcome::Skipped, None),
            Status::Failed(error) => (journal::Outcome::Failed, Some(error.to_string())),
            // Whoever has it knows how it ends.
            Status::Taken => return,
        };
        let (stages, error) = (&trace.stages, error.as_deref());
        let entry = journal::Entry { job, outcome, pixels: trace.pixels, stages, error };
        if let Err(error) = journal.write(&entry) {
            self.brake.pull_because(format!("the journal can't be written: {error}"));
        }
    }

    /// Removes an output that isn't to stay.
    fn thin_out(&self, task: &Task, index: u64, status: Status, trace: &mut Trace) -> Status {
        let (Some(trial), Task::File(job), Status::Done) = (&self.setup.trial, task, &status)
        else {
            return status;
        };
        if trial.keeps(index) {
            return status;
        }
        match sink::remove(&job.output) {
            Ok(()) => status,
            Err(kind) => {
                trace.stage = Stage::Write;
                Status::Failed(Box::new(kind.at(Stage::Write, Some(&job.output))))
            }
        }
    }
}

impl Work for Images {
    type Job = Item;
    type Record = Record;
    type Seat = Seat;
    type Error = String;

    fn enter(&self, _place: &Placement, body: &mut dyn FnMut()) {
        (self.setup.enter)(body);
    }

    fn seat(&self, place: &Placement) -> Result<Seat, String> {
        Ok(Seat { pipeline: self.setup.crew.lend(place.worker)?, worker: place.worker })
    }

    fn work(&self, seat: &mut Seat, item: &mut Item, _stopped: &dyn Fn() -> bool) -> Record {
        let Item { task, trace, times } = item;
        times.worker = seat.worker as u64;
        times.begin_ns = self.since_start_ns();
        let (status, noted) = self.perform(&mut seat.pipeline, task, trace);
        times.end_ns = self.since_start_ns();
        let status = self.thin_out(task, times.index, status, trace);
        self.brake.watch_disk(&status);
        if self.setup.fail_fast && matches!(status, Status::Failed(_)) {
            self.brake.pull();
        }
        Record { status, trace: *trace, times: *times, noted }
    }

    fn panicked(&self, item: &Item, message: String) -> Record {
        let job = match &item.task {
            Task::File(job) => Some(job),
            _ => None,
        };
        let error =
            Kind::Panic { message }.at(item.trace.stage, job.map(|job| job.input.as_path()));
        let status = Status::Failed(Box::new(error));
        if let Some(job) = job {
            self.note(job, &status, &item.trace);
        }
        let times = Times { end_ns: self.since_start_ns(), ..item.times };
        Record { status, trace: item.trace, times, noted: None }
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
    brake: Arc<Brake>,
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
    /// Why it stopped by itself, if not for a fault: no room for outputs, no journal.
    pub stopped: Option<String>,
    /// From start to end.
    pub elapsed_ns: u64,
    /// Workers that the system wouldn't pin.
    pub unpinned: u64,
}

/// No count yet.
const UNKNOWN: u64 = u64::MAX;

impl Batch {
    /// Starts the workers on `inputs`, and `side_walk` beside them. A trial's count is believed:
    /// `inputs` must keep it.
    pub fn start(mut setup: Setup, inputs: Inputs, side_walk: Option<SideWalk>) -> Batch {
        let started_ns = meter::now_ns();
        let brake = Arc::new(Brake::default());
        let mut options = pool::Options::new(setup.places.clone());
        let arrivals_ns = setup.trial.as_ref().and_then(|trial| trial.arrivals_ns.clone());
        if let Some(&Trial { stealing, lock_free, ring, mmap, .. }) = setup.trial.as_ref() {
            options.parts = Parts { stealing, lock_free, ring };
            if !mmap {
                setup.options.mapped.threshold_bytes = u64::MAX;
            }
        }
        if arrivals_ns.is_some() {
            options.batch = Some(1); // a job that is there doesn't wait for the one after it
        }
        let rows = setup.trial.is_some().then(Vec::new);
        let count = setup.trial.as_ref().and_then(Trial::count);
        let sweeper = sink::Sweeper::default();
        let mut progress = Progress { rows, ..Progress::default() };
        if let Some(journal) = setup.journal.as_ref().filter(|journal| journal.unreadable() > 0) {
            let note = "lines that can't be read were passed over";
            progress.notes.insert(note, (1, journal.path().to_path_buf()));
        }
        let feed = Arriving { inputs, arrivals_ns, started_ns, next: 0, sweeper };
        let images = Images { setup, brake: Arc::clone(&brake), started_ns };
        let run = pool::start(images, feed, options);
        let total = Arc::new(AtomicU64::new(count.unwrap_or(UNKNOWN)));
        let stop_counting = Arc::new(AtomicBool::new(false));
        let counting = side_walk.and_then(|walk| {
            let (total, stop) = (Arc::clone(&total), Arc::clone(&stop_counting));
            count_beside(walk, total, stop)
        });
        let control = run.control();
        brake.attach(&control);
        Batch {
            run: Some(run),
            control,
            progress,
            drained: Vec::new(),
            total,
            stop_counting,
            counting,
            started_ns,
            brake,
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
        self.end = Some(End {
            workers: report.workers,
            fault,
            cancelled: report.cancelled,
            stopped: self.brake.reason.get().cloned(),
            elapsed_ns,
            unpinned: report.unpinned,
        });
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
