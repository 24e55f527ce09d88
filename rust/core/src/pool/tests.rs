//! The pool on real threads. Small cases of the same code are model-checked in `model/`.
//!
//! Nothing here waits for a time to pass: jobs wait for each other, so a broken promise shows as a
//! hang (the runner's time limit) or as a wrong count. Panics go through `resume_unwind`, which
//! doesn't call the hook that prints.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, mpsc};

use super::*;

const LONG: Duration = Duration::from_secs(3600);

/// Counts itself while it lives.
struct Token(Arc<AtomicUsize>);

impl Token {
    fn new(alive: &Arc<AtomicUsize>) -> Token {
        alive.fetch_add(1, Ordering::Relaxed);
        Token(Arc::clone(alive))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Job {
    id: usize,
    _token: Option<Token>,
}

#[derive(Clone, Debug, PartialEq)]
struct Record {
    id: usize,
    worker: usize,
    panic: Option<String>,
}

type Body = Box<dyn Fn(&mut Seat, usize, &dyn Fn() -> bool) + Send + Sync>;
type Enter = Box<dyn Fn(usize, &mut dyn FnMut()) + Send + Sync>;

struct Seat {
    worker: usize,
    _token: Token,
}

/// Work whose parts a test can replace.
struct Script {
    body: Body,
    seats: Arc<AtomicUsize>,
    built: Arc<AtomicUsize>,
    build: Box<dyn Fn(usize) -> Result<(), String> + Send + Sync>,
    enter: Enter,
}

impl Script {
    fn new(body: impl Fn(&mut Seat, usize, &dyn Fn() -> bool) + Send + Sync + 'static) -> Script {
        Script {
            body: Box::new(body),
            seats: Arc::default(),
            built: Arc::default(),
            build: Box::new(|_| Ok(())),
            enter: Box::new(|_, body| body()),
        }
    }
}

impl Work for Script {
    type Job = Job;
    type Record = Record;
    type Seat = Seat;
    type Error = String;

    fn enter(&self, place: &Placement, body: &mut dyn FnMut()) {
        (self.enter)(place.worker, body);
    }

    fn seat(&self, place: &Placement) -> Result<Seat, String> {
        self.built.fetch_add(1, Ordering::Relaxed);
        (self.build)(place.worker)?;
        Ok(Seat { worker: place.worker, _token: Token::new(&self.seats) })
    }

    fn work(&self, seat: &mut Seat, job: &mut Job, stopped: &dyn Fn() -> bool) -> Record {
        (self.body)(seat, job.id, stopped);
        Record { id: job.id, worker: seat.worker, panic: None }
    }

    fn panicked(&self, job: &Job, message: String) -> Record {
        Record { id: job.id, worker: usize::MAX, panic: Some(message) }
    }
}

fn jobs(count: usize) -> impl Iterator<Item = Job> + Send {
    (0..count).map(|id| Job { id, _token: None })
}

fn tokens(count: usize, alive: &Arc<AtomicUsize>) -> impl Iterator<Item = Job> + Send + use<> {
    let alive = Arc::clone(alive);
    (0..count).map(move |id| Job { id, _token: Some(Token::new(&alive)) })
}

/// Unpinned workers, alternating between nodes if `nodes` is 2.
fn places(workers: usize, nodes: usize) -> Vec<Placement> {
    (0..workers)
        .map(|worker| Placement { worker, node: Some(worker % nodes), cpus: vec![] })
        .collect()
}

fn options(workers: usize) -> Options {
    Options::new(places(workers, 1))
}

fn ids(records: &[Record]) -> Vec<usize> {
    let mut ids: Vec<usize> = records.iter().map(|record| record.id).collect();
    ids.sort_unstable();
    ids
}

fn sum(report: &Report<String>) -> Counters {
    let mut sum = Counters::default();
    report.workers.iter().for_each(|counters| sum.merge(counters));
    sum
}

/// Whole runs, for which every job must be done once and the books must balance.
fn check(script: Script, count: usize, options: Options) -> (Vec<Record>, Report<String>) {
    let (alive, seats) = (Arc::default(), Arc::clone(&script.seats));
    let mut records = Vec::new();
    let report = start(script, tokens(count, &alive), options).join(&mut records);
    assert_eq!(ids(&records), (0..count).collect::<Vec<_>>());
    assert!(report.fault.is_none() && !report.cancelled, "{:?}", report.fault);
    assert_eq!((report.left, report.unpinned), (0, 0));
    let all = sum(&report);
    assert_eq!((all.fed, all.jobs), (count as u64, count as u64));
    assert_eq!(alive.load(Ordering::Relaxed), 0, "every job is dropped");
    assert_eq!(seats.load(Ordering::Relaxed), 0, "every seat is dropped");
    (records, report)
}

#[test]
fn smoke() {
    for workers in [1, 2, 4] {
        for nodes in [1, 2] {
            let options = Options::new(places(workers, nodes));
            let (records, report) = check(Script::new(|_, _, _| ()), 1000, options);
            assert_eq!(report.workers.len(), workers);
            let mut per_worker = vec![0; workers];
            records.iter().for_each(|record| per_worker[record.worker] += 1);
            assert!(per_worker.iter().eq(report.workers.iter().map(|c| &c.jobs)));
        }
    }
}

#[test]
fn one_worker_keeps_the_order_and_steals_from_nobody() {
    let (records, report) = check(Script::new(|_, _, _| ()), 500, options(1));
    assert!(records.iter().map(|record| record.id).eq(0..500));
    let counters = report.workers[0];
    assert_eq!((counters.local_steals, counters.remote_steals, counters.stolen), (0, 0, 0));
    assert_eq!(counters.own_pops + counters.injector_steals, 500);
}

#[test]
fn an_empty_feed_ends_at_once() {
    for workers in [1, 4] {
        check(Script::new(|_, _, _| ()), 0, options(workers));
    }
    // No places: one worker.
    let (_, report) = check(Script::new(|_, _, _| ()), 3, Options::new(vec![]));
    assert_eq!(report.workers.len(), 1);
}

/// One of two workers stalls in a job until all other jobs are done, with a batch in its deque.
/// Whoever takes the plug holds it until the other stalls, so that the other has a batch.
fn steal(nodes: usize) -> Report<String> {
    const COUNT: usize = 34;
    let (stalled, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let script = Script::new(move |_, id, _| {
        if id == 0 {
            while !stalled.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        } else if !stalled.swap(true, Ordering::AcqRel) {
            while done.load(Ordering::Acquire) < COUNT - 1 {
                std::thread::yield_now();
            }
        }
        done.fetch_add(1, Ordering::AcqRel);
    });
    let options = Options { batch: Some(COUNT + 1), ..Options::new(places(2, nodes)) };
    let (_, report) = check(script, COUNT, options);
    let mut jobs: Vec<u64> = report.workers.iter().map(|counters| counters.jobs).collect();
    jobs.sort_unstable();
    assert_eq!(jobs, [1, COUNT as u64 - 1], "the stalled worker loses its whole queue");
    let all = sum(&report);
    // Batches: more jobs changed hands than were begun on the spot. (At least 8 lie there.)
    assert!(all.stolen > all.local_steals + all.remote_steals);
    report
}

#[test]
fn steal_from_the_same_node_and_from_another() {
    for _ in 0..50 {
        let all = sum(&steal(1));
        assert!(all.local_steals > 0 && all.remote_steals == 0);
        let all = sum(&steal(2));
        assert!(all.remote_steals > 0 && all.local_steals == 0);
    }
}

#[test]
fn stampede() {
    for (batch, ring) in [(1, 1), (2, 4), (64, 1024), (1000, 2)] {
        let options = Options { ring, batch: Some(batch), ..Options::new(places(8, 2)) };
        check(Script::new(|_, _, _| ()), 5000, options);
    }
    for _ in 0..200 {
        // The end is where the races are: few jobs, many workers.
        check(Script::new(|_, _, _| ()), 3, options(4));
    }
}

/// Each group of as many jobs as workers meets at a barrier: it opens only if no job waits in a
/// deque or the injector while a worker sleeps or starves.
#[test]
fn no_starvation() {
    const WORKERS: usize = 4;
    for batch in [1, 4, 7, 64] {
        let barrier = Barrier::new(WORKERS);
        let script = Script::new(move |_, _, _| {
            barrier.wait();
        });
        let options = Options { batch: Some(batch), ..options(WORKERS) };
        let (_, report) = check(script, WORKERS * 100, options);
        assert!(report.workers.iter().all(|counters| counters.jobs == 100));
    }
}

#[test]
fn panic_fails_its_job_alone() {
    for workers in [1, 3] {
        let script = Script::new(|_, id, _| match id % 7 {
            0 => resume_unwind(Box::new(format!("job {id} is bad"))),
            1 => resume_unwind(Box::new("bad")),
            2 => resume_unwind(Box::new(17)),
            _ => (),
        });
        let built = Arc::clone(&script.built);
        let (records, report) = check(script, 700, options(workers));
        for record in records {
            let want = match record.id % 7 {
                0 => Some(format!("job {} is bad", record.id)),
                1 => Some("bad".to_owned()),
                2 => Some("panic without a message".to_owned()),
                _ => None,
            };
            assert_eq!(record.panic, want);
        }
        assert_eq!(sum(&report).panics, 300);
        assert_eq!(built.load(Ordering::Relaxed), workers + 300, "a fresh seat after each");
    }
}

fn fault_of(script: Script, feed: impl Feed<Job> + 'static) -> (Fault<String>, Report<String>) {
    let mut records = Vec::new();
    let mut report = start(script, feed, options(3)).join(&mut records);
    let fault = report.fault.take().unwrap();
    assert!(report.cancelled);
    assert_eq!(records.len() as u64, sum(&report).jobs, "jobs that were begun have their record");
    (fault, report)
}

#[test]
fn a_seat_that_fails_ends_the_run() {
    // The feed never ends by itself.
    let endless = || std::iter::repeat_with(|| Job { id: 0, _token: None });
    let mut script = Script::new(|_, _, _| ());
    script.build = Box::new(|worker| if worker == 1 { Err("no model".into()) } else { Ok(()) });
    let (fault, _) = fault_of(script, endless());
    assert_eq!(fault.to_string(), "worker 1: no model");

    let mut script = Script::new(|_, _, _| ());
    script.build = Box::new(|worker| match worker {
        2 => resume_unwind(Box::new("no memory")),
        _ => Ok(()),
    });
    let (fault, _) = fault_of(script, endless());
    assert_eq!(fault.to_string(), "worker 2 panicked: no memory");

    // A seat that can't be had again after a panic in a job.
    let mut script = Script::new(|_, _, _| resume_unwind(Box::new("bad")));
    let built = Arc::clone(&script.built);
    script.build = Box::new(move |_| match built.load(Ordering::Relaxed) {
        0..=3 => Ok(()),
        _ => Err("gone".into()),
    });
    let (fault, _) = fault_of(script, endless());
    assert!(matches!(fault, Fault::Seat { error, .. } if error == "gone"));
}

#[test]
fn panics_outside_of_jobs_end_the_run() {
    let endless = || std::iter::repeat_with(|| Job { id: 0, _token: None });
    let mut script = Script::new(|_, _, _| ());
    script.enter = Box::new(|worker, body| {
        if worker != 2 {
            body()
        }
    });
    let (fault, _) = fault_of(script, endless());
    assert_eq!(fault.to_string(), "worker 2 was never entered");

    let mut script = Script::new(|_, _, _| ());
    script.enter = Box::new(|worker, body| {
        body();
        if worker == 0 {
            resume_unwind(Box::new("on the way out"));
        }
    });
    let (fault, report) = fault_of(script, jobs(10));
    assert_eq!(fault.to_string(), "worker 0 panicked: on the way out");
    assert_eq!(sum(&report).jobs + report.left, sum(&report).fed);

    let mut calls = 0;
    let feed = std::iter::repeat_with(move || {
        calls += 1;
        if calls == 100 {
            resume_unwind(Box::new("walk"));
        }
        Job { id: calls, _token: None }
    });
    let (fault, report) = fault_of(Script::new(|_, _, _| ()), feed);
    assert_eq!(fault.to_string(), "the source of jobs panicked: walk");
    assert_eq!(sum(&report).fed, 99);
}

#[test]
fn entering_wraps_the_whole_life() {
    thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });
    let mut script = Script::new(|seat, _, _| {
        assert!(INSIDE.get());
        assert_eq!(std::thread::current().name(), Some(&*format!("qbg-{}", seat.worker)));
    });
    script.build = Box::new(|_| INSIDE.get().then_some(()).ok_or("outside".to_owned()));
    script.enter = Box::new(|_, body| {
        INSIDE.set(true);
        body();
        body(); // a second call does nothing
        INSIDE.set(false);
    });
    let (records, _) = check(script, 100, options(3));
    assert!(records.iter().all(|record| record.panic.is_none()));
}

#[test]
fn cancel() {
    for workers in [1, 4] {
        let alive = Arc::default();
        let begun = Arc::new(Barrier::new(workers + 1));
        let meet = Arc::clone(&begun);
        // Every job runs until it is told to stop; the feed would go on for ever.
        let script = Script::new(move |_, _, stopped| {
            meet.wait();
            while !stopped() {
                std::thread::yield_now();
            }
        });
        let run = start(script, tokens(usize::MAX, &alive), options(workers));
        let control = run.control();
        begun.wait();
        assert!(!control.cancelled());
        control.cancel();
        let mut records = Vec::new();
        let report = run.join(&mut records);
        assert!(report.cancelled && report.fault.is_none());
        assert_eq!(records.len(), workers, "the jobs in hand, and no other");
        let all = sum(&report);
        assert_eq!((all.jobs, all.fed), (workers as u64, workers as u64 + report.left));
        assert_eq!(alive.load(Ordering::Relaxed), 0, "unbegun jobs are dropped");
        assert_eq!(control.counters(), report.workers);
        control.cancel();
    }
}

#[test]
fn cancel_wakes_the_workers_that_wait_for_the_feed() {
    let (sender, receiver) = mpsc::channel::<Job>();
    let gone = Arc::new(AtomicUsize::new(0));
    let mut script = Script::new(|_, _, _| ());
    let count = Arc::clone(&gone);
    script.enter = Box::new(move |_, body| {
        body();
        count.fetch_add(1, Ordering::Release);
    });
    let run = start(script, receiver.into_iter(), options(3));
    run.control().cancel();
    // All but the one that may be stuck in the feed.
    while gone.load(Ordering::Acquire) < 2 {
        std::thread::yield_now();
    }
    drop(sender);
    assert!(run.join(&mut Vec::new()).cancelled);
}

#[test]
fn drain_with_a_small_ring_loses_nothing() {
    let options = Options { ring: 3, ..options(2) };
    let mut run = start(Script::new(|_, _, _| ()), jobs(200), options);
    let (mut records, mut more) = (Vec::new(), true);
    while more {
        let before = records.len();
        more = run.drain(LONG, 2, &mut records);
        assert!(records.len() - before <= 3, "at most one ring full");
        assert!(!more || records.len() - before >= 2, "woken only when there are enough");
    }
    assert_eq!(ids(&records), (0..200).collect::<Vec<_>>());
    assert!(!run.drain(LONG, 1, &mut records), "the end stays the end");
    let report = run.join(&mut records);
    assert_eq!((records.len(), sum(&report).jobs), (200, 200));
}

#[test]
fn drain_comes_back_when_its_time_is_over() {
    let (sender, receiver) = mpsc::channel();
    let mut run = start(Script::new(|_, _, _| ()), receiver.into_iter(), options(2));
    let mut records = Vec::new();
    assert!(run.drain(Duration::ZERO, 1, &mut records));
    assert!(run.drain(Duration::from_millis(5), 1, &mut records));
    assert!(records.is_empty());
    sender.send(Job { id: 5, _token: None }).unwrap();
    assert!(run.drain(LONG, 1, &mut records));
    assert_eq!(ids(&records), [5]);
    drop(sender);
    assert!(!run.drain(LONG, 1, &mut records));
}

/// A feed slower than the workers: what it has given is done while it makes up its mind.
#[test]
fn a_feed_that_waits_for_records() {
    for (workers, batch) in [(1, 1), (2, 64), (4, 1)] {
        let (sender, receiver) = mpsc::channel();
        let options = Options { batch: Some(batch), ..options(workers) };
        let mut run = start(Script::new(|_, _, _| ()), receiver.into_iter(), options);
        let mut records = Vec::new();
        for id in 0..100 {
            sender.send(Job { id, _token: None }).unwrap();
            while records.len() <= id {
                assert!(run.drain(LONG, 1, &mut records));
            }
        }
        drop(sender);
        let report = run.join(&mut records);
        assert!(records.iter().map(|record| record.id).eq(0..100));
        assert_eq!(sum(&report).jobs, 100);
    }
}

#[test]
fn drops() {
    for round in 0..50 {
        let (alive, done) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&done);
        let script = Script::new(move |_, id, _| {
            if id % 5 == 0 {
                resume_unwind(Box::new("bad"));
            }
            count.fetch_add(1, Ordering::Relaxed);
        });
        let seats = Arc::clone(&script.seats);
        // A ring of 1 that nobody drains: workers wait in it when the handle goes.
        let options = Options { ring: 1, ..options(3) };
        let mut run = start(script, tokens(usize::MAX, &alive), options);
        let mut records = Vec::new();
        (0..round % 7).for_each(|_| assert!(run.drain(LONG, 1, &mut records)));
        drop(run);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
        assert_eq!(seats.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn work_in_progress_can_be_watched() {
    let (sender, receiver) = mpsc::channel();
    let mut run = start(Script::new(|_, _, _| ()), receiver.into_iter(), options(2));
    let control = run.control();
    sender.send(Job { id: 0, _token: None }).unwrap();
    let mut records = Vec::new();
    assert!(run.drain(LONG, 1, &mut records));
    let begun: u64 = control.counters().iter().map(|counters| counters.jobs).sum();
    assert_eq!(begun, 1);
    drop(sender);
    run.join(&mut records);
}

#[test]
#[cfg(target_os = "linux")]
fn workers_run_where_they_are_placed() {
    use crate::topology::{Pin, Topology, affinity, place};

    let topology = Topology::here();
    let seen: Arc<Mutex<BTreeMap<usize, Option<Vec<usize>>>>> = Arc::default();
    let mut script = Script::new(|_, _, _| ());
    let seats = Arc::clone(&seen);
    script.build = Box::new(move |worker| {
        seats.lock().unwrap().insert(worker, affinity());
        Ok(())
    });
    let places = place(&topology, topology.cpus.len(), Pin::Cpu);
    check(script, 10, Options::new(places.clone()));
    let seen = seen.lock().unwrap();
    assert!(places.iter().all(|place| seen[&place.worker] == Some(place.cpus.clone())));
}

#[test]
#[cfg(target_os = "linux")]
fn a_refused_pin_is_counted_and_not_fatal() {
    let far = Placement { worker: 0, node: None, cpus: vec![60_000] };
    let mut records = Vec::new();
    let run = start(Script::new(|_, _, _| ()), jobs(5), Options::new(vec![far]));
    let report = run.join(&mut records);
    assert_eq!((records.len(), report.unpinned), (5, 1));
    assert!(report.fault.is_none());
}

#[test]
fn an_exhausted_feed_is_dropped_while_jobs_still_run() {
    let feeds = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&feeds);
    let script = Script::new(move |_, _, _| {
        while seen.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
    });
    let token = Token::new(&feeds);
    let feed = jobs(3).inspect(move |_| _ = &token);
    let report = start(script, feed, options(2)).join(&mut Vec::new());
    assert_eq!(sum(&report).jobs, 3);
}

#[test]
fn handles_may_go_to_other_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Run<Script>>();
    shared::<Control>();
}

/// A worker that comes to a run that was stopped already makes no seat.
#[test]
fn a_stopped_run_makes_no_more_seats() {
    let (open, door) = mpsc::channel::<()>();
    let door = Mutex::new(door);
    let mut script = Script::new(|_, _, _| ());
    let built = Arc::clone(&script.built);
    script.enter = Box::new(move |_, body| {
        let _ = door.lock().unwrap().recv();
        body();
    });
    let run = start(script, jobs(9), options(3));
    run.control().cancel();
    drop(open);
    let report = run.join(&mut Vec::new());
    assert_eq!((built.load(Ordering::Relaxed), sum(&report).jobs), (0, 0));
}

#[test]
fn victims_begin_with_the_next_number_on_the_own_node() {
    use super::steal::Victims;
    let nodes = [Some(0), Some(1), Some(0), Some(1), Some(0), None];
    let order = |me| format!("{:?}", Victims::new(me, &nodes));
    assert_eq!(order(2), "Victims { local: [4, 0], remote: [3, 5, 1] }");
    assert_eq!(order(3), "Victims { local: [1], remote: [4, 5, 0, 2] }");
    assert_eq!(order(5), "Victims { local: [], remote: [0, 1, 2, 3, 4] }");
    assert_eq!(format!("{:?}", Victims::new(0, &[None])), "Victims { local: [], remote: [] }");
}

const ALL: Parts = Parts { stealing: true, lock_free: true, ring: true };

/// A stalled worker keeps its share: it waits in its first job for all that aren't its own.
#[test]
fn without_stealing_each_has_its_share() {
    const WORKERS: usize = 3;
    for lock_free in [true, false] {
        let others = Arc::new(AtomicUsize::new(0));
        let script = Script::new(move |_, id, _| match id % WORKERS {
            0 => {
                while others.load(Ordering::Acquire) < 60 {
                    std::thread::yield_now();
                }
            }
            _ => _ = others.fetch_add(1, Ordering::AcqRel),
        });
        let parts = Parts { stealing: false, lock_free, ..ALL };
        let (records, report) = check(script, 90, Options { parts, ..options(WORKERS) });
        assert!(records.iter().all(|record| record.worker == record.id % WORKERS));
        for worker in 0..WORKERS {
            let ids = records.iter().filter(|record| record.worker == worker);
            assert!(ids.map(|record| record.id).is_sorted(), "a share keeps the feed's order");
        }
        let all = sum(&report);
        assert_eq!((all.own_pops, all.stolen), (90, 0));
    }
}

#[test]
fn a_locked_queue_serves_all() {
    for workers in [1, 4] {
        let parts = Parts { lock_free: false, ..ALL };
        let options = Options { parts, batch: Some(64), ..options(workers) };
        let (_, report) = check(Script::new(|_, _, _| ()), 1000, options);
        let all = sum(&report);
        assert_eq!((all.injector_steals, all.own_pops, all.stolen), (1000, 0, 0));
    }
}

/// Nobody drains until every job is done, with room for one record in a ring.
#[test]
fn without_the_ring_records_pile_up() {
    let parts = Parts { ring: false, ..ALL };
    let run = start(Script::new(|_, _, _| ()), jobs(500), Options { ring: 1, parts, ..options(2) });
    let control = run.control();
    while control.counters().iter().map(|counters| counters.jobs).sum::<u64>() < 500 {
        std::thread::yield_now();
    }
    let mut records = Vec::new();
    let report = run.join(&mut records);
    assert_eq!(ids(&records), (0..500).collect::<Vec<_>>());
    assert_eq!(sum(&report).blocked_ns, 0);
}

#[test]
fn simpler_parts_survive_panics_and_cancel() {
    for parts in [
        Parts { stealing: false, ..ALL },
        Parts { lock_free: false, ..ALL },
        Parts { stealing: false, lock_free: false, ring: false },
    ] {
        let script = Script::new(|_, id, _| {
            if id % 3 == 0 {
                resume_unwind(Box::new("bad"));
            }
        });
        let (_, report) = check(script, 300, Options { parts, ..options(3) });
        assert_eq!(sum(&report).panics, 100);

        let alive = Arc::default();
        let run = start(
            Script::new(|_, _, _| ()),
            tokens(usize::MAX, &alive),
            Options { parts, ..options(3) },
        );
        run.control().cancel();
        let mut records = Vec::new();
        let report = run.join(&mut records);
        assert_eq!(records.len() as u64, sum(&report).jobs);
        assert_eq!(alive.load(Ordering::Relaxed), 0, "unbegun jobs are dropped");
    }
}

/// Due now, and then so late that only a stop can end the wait.
struct Timed {
    next: usize,
    late_from: usize,
    pulled: Arc<Mutex<Vec<u64>>>,
}

impl Feed<Job> for Timed {
    fn next(&mut self) -> Option<Job> {
        self.pulled.lock().unwrap().push(crate::meter::now_ns());
        self.next += 1;
        Some(Job { id: self.next - 1, _token: None })
    }

    fn due_ns(&mut self) -> Option<u64> {
        Some(if self.next < self.late_from { 3_000_000 * self.next as u64 } else { u64::MAX })
    }
}

#[test]
fn jobs_are_pulled_when_they_are_due_and_a_stop_ends_the_wait() {
    let pulled: Arc<Mutex<Vec<u64>>> = Arc::default();
    let feed = Timed { next: 0, late_from: 6, pulled: Arc::clone(&pulled) };
    let run_options = Options { batch: Some(1), ..options(2) };
    let mut run = start(Script::new(|_, _, _| ()), feed, run_options);
    let mut records = Vec::new();
    while records.len() < 6 {
        assert!(run.drain(LONG, 1, &mut records));
    }
    run.control().cancel();
    let report = run.join(&mut records);
    assert_eq!(ids(&records), [0, 1, 2, 3, 4, 5]);
    assert!(report.cancelled && report.fault.is_none());
    let pulled = pulled.lock().unwrap();
    assert!(pulled.iter().enumerate().all(|(id, &at_ns)| at_ns >= 3_000_000 * id as u64));
}
