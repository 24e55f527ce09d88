//! Time and counts: the clock, an image's stage times, a histogram that can be merged, what a
//! worker did, and how much memory the process took.
//!
//! The only caller of the clock. Everything else here is plain data that allocates nothing while
//! it records. It must not know what is measured, nor print.
//!
//! The histogram is log-linear as in HdrHistogram (Tene): each power of two is cut into 128 equal
//! buckets. Left out: corrections for coordinated omission (the caller knows the intended start)
//! and resizing (the table covers all of u64).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::error::Stage;

/// Nanoseconds since the first call in this process; never runs backwards. The base it is
/// counted from is fixed once and then only read.
pub fn now_ns() -> u64 {
    static BASE: OnceLock<Instant> = OnceLock::new();
    let now = instant();
    let base = *BASE.get_or_init(|| now);
    // Another thread may have set a base later than `now`: duration_since gives 0 then. 2^64 ns
    // are 584 years.
    now.duration_since(base).as_nanos() as u64
}

#[allow(clippy::disallowed_methods)] // this module is where the clock is read
fn instant() -> Instant {
    Instant::now()
}

/// Seconds since 1970, for what is read by people and other machines.
#[allow(clippy::disallowed_methods)] // this module is where the clock is read
pub fn unix_s() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |since| since.as_secs_f64())
}

/// How long each stage of one image took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages([u64; Stage::ALL.len()]);

impl Stages {
    /// Adds to one stage.
    pub fn add(&mut self, stage: Stage, ns: u64) {
        let sum = &mut self.0[stage as usize];
        *sum = sum.saturating_add(ns);
    }

    /// Nanoseconds of one stage.
    pub fn get(&self, stage: Stage) -> u64 {
        self.0[stage as usize]
    }

    /// Nanoseconds of all stages together.
    pub fn total_ns(&self) -> u64 {
        self.0.iter().fold(0, |sum, &ns| sum.saturating_add(ns))
    }

    /// Adds another image's times, stage by stage.
    pub fn merge(&mut self, other: &Stages) {
        for stage in Stage::ALL {
            self.add(stage, other.get(stage));
        }
    }

    /// The stages with their nanoseconds, in the order of the flow.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, u64)> + '_ {
        Stage::ALL.into_iter().map(|stage| (stage, self.get(stage)))
    }
}

/// Splits the time since its start into stages without gaps.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    started_ns: u64,
    mark_ns: u64,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Stopwatch {
        let now = now_ns();
        Stopwatch { started_ns: now, mark_ns: now }
    }

    /// Books the time since the last lap (or the start) on `stage`.
    pub fn lap(&mut self, stage: Stage, stages: &mut Stages) {
        let now = now_ns();
        stages.add(stage, now.saturating_sub(self.mark_ns));
        self.mark_ns = now;
    }

    /// Nanoseconds since the start.
    pub fn elapsed_ns(&self) -> u64 {
        now_ns().saturating_sub(self.started_ns)
    }
}

/// log2 of the buckets per power of two.
const SPLIT_BITS: u32 = 7;
const SPLIT: usize = 1 << SPLIT_BITS;
/// Values below SPLIT have a bucket each; above, one row of SPLIT for each further power of two.
const BUCKETS: usize = SPLIT * (1 + (u64::BITS - SPLIT_BITS) as usize);

/// Counts of values (any u64; here nanoseconds or bytes) in 7,424 buckets of 8 bytes.
///
/// A value is known to within 1/256 (0.4 %) of itself, and exactly below 256 and at both ends:
/// a bucket that starts at `lo >= 128` is at most `lo / 128` wide and is reported by its middle.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: Box::new([0; BUCKETS]), count: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

impl Histogram {
    /// Counts `value` once.
    pub fn record(&mut self, value: u64) {
        self.buckets[bucket(value)] += 1;
        self.count += 1;
        self.sum += u128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds all of `other`'s counts; the same as having recorded its values here.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Values counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest value, exactly; None while empty.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest value, exactly; None while empty.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The mean, exactly but for the division; None while empty.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The nearest-rank percentile: the smallest counted value that at least `percent` of all
    /// values don't exceed. `percent` is clamped to 0..=100; None while empty.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let share = (percent / 100.0).clamp(0.0, 1.0); // NaN stays NaN and becomes rank 1
        let rank = ((share * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut below = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= rank {
                // The ends are known exactly: nothing is reported outside them.
                return Some(middle(index).clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }
}

/// The bucket of `value`: its leading bit chooses the row, the next SPLIT_BITS bits the place.
fn bucket(value: u64) -> usize {
    let Some(shift) = value.max(1).ilog2().checked_sub(SPLIT_BITS) else {
        return value as usize;
    };
    SPLIT * (shift as usize + 1) + ((value >> shift) as usize - SPLIT)
}

/// The middle of a bucket, rounded down.
fn middle(index: usize) -> u64 {
    let Some(shift) = (index / SPLIT).checked_sub(1) else {
        return index as u64;
    };
    let lowest = ((SPLIT + index % SPLIT) as u64) << shift;
    lowest + ((1 << shift) - 1) / 2
}

/// What one worker has done so far. Each job that was begun came from exactly one place, so that
/// `jobs` = `own_pops` + `injector_steals` + `local_steals` + `remote_steals`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Jobs begun.
    pub jobs: u64,
    /// Jobs begun from the worker's own deque.
    pub own_pops: u64,
    /// Jobs begun straight from the injector.
    pub injector_steals: u64,
    /// Jobs begun straight from the deque of a worker on the same node.
    pub local_steals: u64,
    /// Jobs begun straight from the deque of a worker on another node.
    pub remote_steals: u64,
    /// Jobs taken out of other workers' deques: those begun at once and the rest of the batches,
    /// which count as own pops when they are begun.
    pub stolen: u64,
    /// Jobs pulled from the feed.
    pub fed: u64,
    /// Panics caught.
    pub panics: u64,
    /// Nanoseconds in jobs.
    pub busy_ns: u64,
    /// Nanoseconds in the feed.
    pub feed_ns: u64,
    /// Nanoseconds looking or waiting for a job.
    pub idle_ns: u64,
    /// Nanoseconds waiting for the front end to take records.
    pub blocked_ns: u64,
}

impl Counters {
    /// Adds another worker's counts.
    pub fn merge(&mut self, other: &Counters) {
        self.jobs += other.jobs;
        self.own_pops += other.own_pops;
        self.injector_steals += other.injector_steals;
        self.local_steals += other.local_steals;
        self.remote_steals += other.remote_steals;
        self.stolen += other.stolen;
        self.fed += other.fed;
        self.panics += other.panics;
        self.busy_ns += other.busy_ns;
        self.feed_ns += other.feed_ns;
        self.idle_ns += other.idle_ns;
        self.blocked_ns += other.blocked_ns;
    }
}

/// A count that one thread raises and others read while it runs. Readers get each count whole,
/// but counts read one after another may belong to different moments.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Raises it.
    pub fn add(&self, more: u64) {
        // Relaxed: nothing else is published by a count.
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The most memory this process has had resident, in bytes; None where the system doesn't tell.
pub fn peak_rss_bytes() -> Option<u64> {
    // VmHWM first: getrusage's figure survives exec, so a small program started by a large one
    // would report the large one's peak.
    status_bytes("VmHWM:").or_else(rusage_bytes)
}

/// The memory this process has resident now, in bytes; None where the system doesn't tell.
pub fn rss_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

fn status_bytes(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    field_bytes(&text, field)
}

fn field_bytes(text: &str, field: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(unix)]
fn rusage_bytes() -> Option<u64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is a whole rusage that the call may write.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0;
    if failed {
        return None;
    }
    // SAFETY: the struct holds only integers, was zeroed above and filled by the call.
    let usage = unsafe { usage.assume_init() };
    // Apple counts bytes, the others KiB.
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    u64::try_from(usage.ru_maxrss).ok()?.checked_mul(unit)
}

#[cfg(not(unix))]
fn rusage_bytes() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reproducible values without a crate: xorshift (Marsaglia 2003).
    fn noise(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    fn exact(sorted: &[u64], percent: f64) -> u64 {
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    #[test]
    fn percentiles_are_within_one_in_256_of_sorted_lists() {
        let mut state = 0x9E37_79B9_7F4A_7C15;
        let shapes: [&dyn Fn(u64) -> u64; 5] = [
            &|x| x % 100,                                                       // exact rows
            &|x| x % 1_000_000,                                                 // uniform
            &|x| 1 << (x % 64),                                                 // edges of rows
            &|x| (x >> (x % 60)).wrapping_sub(1), // all sizes, u64::MAX included
            &|x| 5_000_000 + (x % 7) * 1_000_000_000 * u64::from(x % 100 == 0), // a long tail
        ];
        for (number, shape) in shapes.iter().enumerate() {
            for length in [1, 2, 10, 999, 20_000] {
                let mut values: Vec<u64> = (0..length).map(|_| shape(noise(&mut state))).collect();
                let mut histogram = Histogram::default();
                values.iter().for_each(|&value| histogram.record(value));
                values.sort_unstable();
                for percent in [0.0, 0.1, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0] {
                    let (want, got) =
                        (exact(&values, percent), histogram.percentile(percent).unwrap());
                    let off = want.abs_diff(got);
                    assert!(
                        off <= want / 256,
                        "shape {number}, {length}, P{percent}: {want} {got}"
                    );
                }
                assert_eq!(histogram.min(), values.first().copied());
                assert_eq!(histogram.max(), values.last().copied());
                let mean = values.iter().map(|&v| v as f64).sum::<f64>() / length as f64;
                assert!((histogram.mean().unwrap() - mean).abs() <= mean * 1e-9);
            }
        }
    }

    #[test]
    fn buckets_tile_the_whole_range() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        for index in 0..BUCKETS {
            assert_eq!(bucket(middle(index)), index);
        }
        for shift in 0..64 {
            let edge = 1u64 << shift;
            assert!(bucket(edge) == bucket(edge - 1) + 1, "row starts at a bucket of its own");
        }
    }

    #[test]
    fn merging_equals_recording() {
        let (mut left, mut right, mut both) =
            (Histogram::default(), Histogram::default(), Histogram::default());
        let mut state = 7;
        for turn in 0..1000 {
            let value = noise(&mut state) >> (turn % 50);
            if turn % 3 == 0 {
                left.record(value)
            } else {
                right.record(value)
            }
            both.record(value);
        }
        left.merge(&right);
        left.merge(&Histogram::default());
        assert_eq!(left.buckets, both.buckets);
        assert_eq!(
            (left.count, left.sum, left.min, left.max),
            (1000, both.sum, both.min, both.max)
        );
    }

    #[test]
    fn an_empty_histogram_knows_nothing() {
        let empty = Histogram::default();
        assert_eq!((empty.percentile(50.0), empty.min(), empty.max()), (None, None, None));
        assert_eq!((empty.mean(), empty.count()), (None, 0));
    }

    #[test]
    fn laps_leave_no_gaps() {
        let mut stages = Stages::default();
        let mut watch = Stopwatch::start();
        for stage in Stage::ALL {
            std::hint::black_box((0..1000).sum::<u64>());
            watch.lap(stage, &mut stages);
        }
        assert_eq!(stages.total_ns(), watch.mark_ns - watch.started_ns);
        assert!(watch.elapsed_ns() >= stages.total_ns());
        let mut twice = stages;
        twice.merge(&stages);
        assert_eq!(twice.total_ns(), 2 * stages.total_ns());
        assert!(stages.iter().map(|(stage, _)| stage).eq(Stage::ALL));
        twice.add(Stage::Infer, u64::MAX);
        assert_eq!((twice.get(Stage::Infer), twice.total_ns()), (u64::MAX, u64::MAX));
    }

    #[test]
    fn the_clock_never_runs_backwards() {
        let times: Vec<u64> = (0..1000).map(|_| now_ns()).collect();
        assert!(times.is_sorted());
    }

    #[test]
    fn merged_counters_add_up_field_by_field() {
        let one = Counters {
            jobs: 1,
            own_pops: 2,
            injector_steals: 3,
            local_steals: 4,
            ..Default::default()
        };
        let mut sum = Counters { remote_steals: 5, stolen: 6, fed: 7, panics: 8, ..one };
        sum.merge(&Counters { busy_ns: 9, feed_ns: 10, idle_ns: 11, blocked_ns: 12, ..one });
        let want = Counters {
            jobs: 2,
            own_pops: 4,
            injector_steals: 6,
            local_steals: 8,
            remote_steals: 5,
            stolen: 6,
            fed: 7,
            panics: 8,
            busy_ns: 9,
            feed_ns: 10,
            idle_ns: 11,
            blocked_ns: 12,
        };
        assert_eq!(sum, want);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn peak_memory_follows_an_allocation() {
        let size = 64 << 20;
        let block = vec![1u8; size];
        std::hint::black_box(&block);
        let (peak, now) = (peak_rss_bytes().unwrap(), rss_bytes().unwrap());
        assert!(peak >= now.min(size as u64) && peak >= size as u64);
        assert!(rusage_bytes().unwrap() >= size as u64);
        assert_eq!(field_bytes("VmHWM:\t  12 kB\nVmRSS:\t 7 kB", "VmRSS:"), Some(7 * 1024));
        assert_eq!(field_bytes("VmHWM: many kB", "VmHWM:"), None);
    }
}
