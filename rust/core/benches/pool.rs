//! What the pool costs per job when the job itself costs nothing: fed, spread, begun, recorded,
//! drained. Prints nanoseconds of wall time per job for 1, 2 and 4 workers.
//!
//! Each figure is the median of nine runs, the worker counts interleaved; threads are started and
//! joined outside what a job costs but inside the time, which 200,000 jobs make small. Not shown:
//! what a stalled or throttled CPU does, and contention on machines with many more cores.
//! Without cargo bench's `--bench` (as under `cargo test --benches`) a small run of each is only
//! checked.

use std::time::Duration;

use qbg_core::meter::now_ns;
use qbg_core::pool::{Options, Work, start};
use qbg_core::topology::Placement;

struct Nothing;

impl Work for Nothing {
    type Job = u64;
    type Record = u64;
    type Seat = ();
    type Error = ();

    fn seat(&self, _: &Placement) -> Result<(), ()> {
        Ok(())
    }

    fn work(&self, (): &mut (), job: &mut u64, _: &dyn Fn() -> bool) -> u64 {
        std::hint::black_box(*job)
    }

    fn panicked(&self, job: &u64, _: String) -> u64 {
        *job
    }
}

/// Nanoseconds per job, and how many of 100 jobs came from somebody's own deque.
fn once(workers: usize, jobs: u64, batch: Option<usize>) -> (u64, u64) {
    let places = (0..workers).map(|worker| Placement { worker, ..Placement::default() }).collect();
    let started = now_ns();
    let mut run = start(Nothing, 0..jobs, Options { batch, ..Options::new(places) });
    let (mut records, mut sum, mut count) = (Vec::with_capacity(1024), 0, 0);
    // As a front end drains: in large pieces.
    while run.drain(Duration::from_millis(50), 512, &mut records) {
        count += records.len() as u64;
        sum += records.drain(..).sum::<u64>();
    }
    let report = run.join(&mut records);
    let spent = now_ns() - started;
    count += records.len() as u64;
    sum += records.drain(..).sum::<u64>();
    assert_eq!((count, sum), (jobs, jobs * jobs.saturating_sub(1) / 2), "every job once");
    let own: u64 = report.workers.iter().map(|counters| counters.own_pops).sum();
    (spent / jobs, own * 100 / jobs)
}

#[allow(clippy::print_stdout)] // a bench's results are what it prints
fn main() {
    let cases = [(1, None), (2, None), (4, None), (1, Some(1)), (2, Some(1)), (4, Some(1))];
    if !std::env::args().any(|argument| argument == "--bench") {
        for (workers, batch) in cases {
            once(workers, 1000, batch);
        }
        println!("pool: every job once, in {} cases", cases.len());
        return;
    }
    let mut results: Vec<Vec<(u64, u64)>> = vec![Vec::new(); cases.len()];
    for _ in 0..9 {
        for (case, results) in cases.iter().zip(&mut results) {
            results.push(once(case.0, 200_000, case.1));
        }
    }
    println!("workers  batch  ns/job (min, median, max)  own pops");
    for ((workers, batch), mut runs) in cases.into_iter().zip(results) {
        runs.sort_unstable();
        let batch = batch.map_or("usual".to_owned(), |batch| batch.to_string());
        let (low, (middle, own), high) = (runs[0].0, runs[4], runs[8].0);
        println!("{workers:>7}  {batch:>5}  {low:>6} {middle:>7} {high:>7}           {own:>7} %");
    }
}
