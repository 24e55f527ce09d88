//! How a batch is run when it is measured rather than used, and what each of its images leaves.
//!
//! [`Trial`] is plain data with one check; [`Rounds`] takes the inputs again and again until there
//! are enough; [`Row`] is an image's facts as numbers of one size, so that a batch of any length
//! keeps all of them. Must not know who measures what, nor how the switches are carried out.
//!
//! The index of an image counts what the inputs gave, from 0 and over all rounds: pictures and
//! inputs that failed to be found alike, so that no two rows of a batch share one. `count` counts
//! the same way.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Stage};
use crate::meter::Stages;
use crate::source::Job;

/// A measured batch. The default is a batch as anybody runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Inputs in all, taken again from the start until there are so many; None: each once.
    pub count: Option<u64>,
    /// Of the outputs those stay whose index is a multiple of this; 0: none stays.
    pub keep_every: u64,
    /// When each input arrives, in nanoseconds after the start; None: when a worker is free.
    pub arrivals_ns: Option<Arc<[u64]>>,
    /// False: no files and no pixels, each job is one call of the network.
    pub pixels: bool,
    /// False: each worker has a fixed share of the pictures.
    pub stealing: bool,
    /// False: pictures lie in a locked queue.
    pub lock_free: bool,
    /// False: records go through a locked list that grows.
    pub ring: bool,
    /// False: a worker's scratch memory is given back after each picture.
    pub reuse: bool,
    /// False: files are read, however large.
    pub mmap: bool,
}

impl Default for Trial {
    fn default() -> Self {
        Trial {
            count: None,
            keep_every: 1,
            arrivals_ns: None,
            pixels: true,
            stealing: true,
            lock_free: true,
            ring: true,
            reuse: true,
            mmap: true,
        }
    }
}

/// The most inputs of a trial: each leaves a [`Row`], and a slip of the finger shall not fill the
/// memory.
const MOST: u64 = 100_000_000;

impl Trial {
    /// How many inputs there shall be; None: each once.
    pub fn count(&self) -> Option<u64> {
        let arrivals = self.arrivals_ns.as_ref().map(|arrivals| arrivals.len() as u64);
        self.count.or(arrivals)
    }

    /// Whether the output of input `index` stays.
    pub fn keeps(&self, index: u64) -> bool {
        // 0 divides nothing, 1 everything.
        index.checked_rem(self.keep_every) == Some(0)
    }

    /// What is impossible about it, in words for whoever asked for it.
    pub fn check(&self) -> Result<(), String> {
        if let Some(count) = self.count().filter(|count| !(1..=MOST).contains(count)) {
            return Err(format!("a trial has 1 to {MOST} pictures, not {count}"));
        }
        if let Some(arrivals) = &self.arrivals_ns {
            if let Some(late) = arrivals.windows(2).position(|pair| pair[0] > pair[1]) {
                let next = late + 1;
                return Err(format!("arrivals must ascend, but {next} comes before {late}"));
            }
            if let Some(count) = self.count.filter(|&count| count != arrivals.len() as u64) {
                let given = arrivals.len();
                return Err(format!("{count} pictures with {given} arrivals: give one for each"));
            }
        }
        if !self.pixels && self.count().is_none() {
            return Err("without pixels `count` must say how many calls there shall be".to_owned());
        }
        Ok(())
    }
}

/// When and where one image was done. Times are nanoseconds since the batch's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Which input it was, over all rounds.
    pub index: u64,
    /// The worker that did it.
    pub worker: u64,
    /// When it was meant to arrive; 0 in a closed loop.
    pub arrival_ns: u64,
    /// When a worker began it.
    pub begin_ns: u64,
    /// When its output was in place.
    pub end_ns: u64,
}

/// What an image came to, as a row tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as in `pipeline::Status`
pub enum Outcome {
    Done = 0,
    Skipped = 1,
    Failed = 2,
}

const FACTS: [&str; 9] = [
    "index",
    "worker",
    "arrival_ns",
    "begin_ns",
    "end_ns",
    "status",
    "pixels",
    "bytes_in",
    "bytes_out",
];

/// Numbers in a row.
pub const COLUMNS: usize = FACTS.len() + Stage::ALL.len();

/// One finished image.
pub type Row = [u64; COLUMNS];

/// What the numbers of a row are, in its order.
pub fn columns() -> Vec<String> {
    let stages = Stage::ALL.iter().map(|stage| format!("{}_ns", stage.name()));
    FACTS.iter().map(|&name| name.to_owned()).chain(stages).collect()
}

/// A row of `columns`; `sizes` are pixels, bytes read, bytes written.
pub fn row(times: &Times, outcome: Outcome, sizes: [u64; 3], stages: &Stages) -> Row {
    let Times { index, worker, arrival_ns, begin_ns, end_ns } = *times;
    let facts = [index, worker, arrival_ns, begin_ns, end_ns, outcome as u64];
    let mut row = [0; COLUMNS];
    let numbers = facts.into_iter().chain(sizes).chain(stages.iter().map(|(_, ns)| ns));
    row.iter_mut().zip(numbers).for_each(|(place, number)| *place = number);
    row
}

/// The inputs, opened anew whenever they are exhausted, until `left` were given out.
///
/// What a round n > 0 writes lies below `round-n` in the output folder, with the structure that it
/// has below the folder itself in round 0. A round that gives nothing is the last. Nothing is
/// remembered of a round; an input that comes or goes between two rounds is in the later ones or
/// isn't.
pub struct Rounds<O, S> {
    open: O,
    output: PathBuf,
    round: u64,
    current: Option<S>,
    /// Whether the current round has given anything.
    fruitful: bool,
    left: u64,
}

impl<O, S> Rounds<O, S>
where
    O: FnMut() -> Result<S, Error>,
    S: Iterator<Item = Result<Job, Error>>,
{
    /// `first` and then what `open` gives, `count` inputs in all; `output` is the folder that all
    /// outputs lie below.
    pub fn new(first: S, open: O, output: PathBuf, count: u64) -> Self {
        Rounds { open, output, round: 0, current: Some(first), fruitful: false, left: count }
    }

    fn placed(&self, mut job: Job) -> Job {
        if let (1.., Ok(below)) = (self.round, job.output.strip_prefix(&self.output)) {
            job.output = self.output.join(format!("round-{}", self.round)).join(below);
        }
        job
    }
}

impl<O, S> Iterator for Rounds<O, S>
where
    O: FnMut() -> Result<S, Error>,
    S: Iterator<Item = Result<Job, Error>>,
{
    type Item = Result<Job, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        loop {
            if let Some(found) = self.current.as_mut()?.next() {
                self.fruitful = true;
                return Some(found.map(|job| self.placed(job)));
            }
            self.current = None;
            if !std::mem::take(&mut self.fruitful) {
                return None;
            }
            self.round += 1;
            match (self.open)() {
                Ok(next) => self.current = Some(next),
                // `current` stays empty: this is the last item.
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::error::Kind;

    fn job(name: &str) -> Result<Job, Error> {
        Ok(Job { id: 0, input: name.into(), output: Path::new("out").join(name) })
    }

    fn outputs(rounds: impl Iterator<Item = Result<Job, Error>>) -> Vec<String> {
        rounds
            .map(|found| match found {
                Ok(job) => job.output.to_str().unwrap().replace('\\', "/"),
                Err(error) => error.kind.to_string(),
            })
            .collect()
    }

    fn pictures() -> Vec<Result<Job, Error>> {
        vec![job("a.png"), Err(Kind::NotAFile.at(Stage::Discover, None)), job("deep/b.png")]
    }

    #[test]
    fn inputs_are_taken_again_until_there_are_enough() {
        let rounds = |count| {
            let open = || Ok(pictures().into_iter());
            outputs(Rounds::new(pictures().into_iter(), open, "out".into(), count))
        };
        let broken = "not a regular file";
        assert_eq!(
            rounds(8),
            [
                "out/a.png",
                broken,
                "out/deep/b.png",
                "out/round-1/a.png",
                broken,
                "out/round-1/deep/b.png",
                "out/round-2/a.png",
                broken,
            ]
        );
        assert_eq!(rounds(2), ["out/a.png", broken]);
        assert!(rounds(0).is_empty());
    }

    #[test]
    fn an_empty_round_is_the_last() {
        let mut opened = 0;
        let open = || {
            opened += 1;
            Ok(if opened < 2 { pictures() } else { vec![] }.into_iter())
        };
        let rounds = Rounds::new(pictures().into_iter(), open, "out".into(), 100);
        assert_eq!(outputs(rounds).len(), 6);
        assert_eq!(opened, 2);
        let never = || -> Result<std::vec::IntoIter<_>, Error> { panic!("opened again") };
        let rounds = Rounds::new(vec![].into_iter(), never, "out".into(), 100);
        assert!(outputs(rounds).is_empty());
    }

    #[test]
    fn inputs_that_cannot_be_opened_again_are_an_error_and_the_end() {
        let open = || Err::<std::vec::IntoIter<_>, _>(Kind::Empty.at(Stage::Discover, None));
        let rounds = Rounds::new(vec![job("a.png")].into_iter(), open, "out".into(), 9);
        assert_eq!(outputs(rounds), ["out/a.png", "the file is empty"]);
    }

    #[test]
    fn which_outputs_stay() {
        let kept = |keep_every| {
            let trial = Trial { keep_every, ..Trial::default() };
            (0..7).filter(|&index| trial.keeps(index)).collect::<Vec<_>>()
        };
        assert_eq!(kept(1), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(kept(3), [0, 3, 6]);
        assert_eq!(kept(100), [0]);
        assert!(kept(0).is_empty());
    }

    #[test]
    fn impossible_trials_are_told_why() {
        let base = Trial::default();
        let arrivals = |times: &[u64]| Some(Arc::from(times));
        for (trial, count, why) in [
            (base.clone(), None, ""),
            (Trial { count: Some(7), ..base.clone() }, Some(7), ""),
            (Trial { count: Some(0), ..base.clone() }, Some(0), "1 to"),
            (Trial { count: Some(MOST + 1), ..base.clone() }, Some(MOST + 1), "1 to"),
            (Trial { arrivals_ns: arrivals(&[0, 5, 5, 9]), ..base.clone() }, Some(4), ""),
            (Trial { arrivals_ns: arrivals(&[]), ..base.clone() }, Some(0), "1 to"),
            (Trial { arrivals_ns: arrivals(&[0, 5, 4]), ..base.clone() }, Some(3), "2 comes"),
            (
                Trial { arrivals_ns: arrivals(&[1, 2]), count: Some(3), ..base.clone() },
                Some(3),
                "one for each",
            ),
            (Trial { pixels: false, ..base.clone() }, None, "how many calls"),
            (Trial { pixels: false, count: Some(3), ..base }, Some(3), ""),
        ] {
            let said = trial.check().err().unwrap_or_default();
            assert_eq!(trial.count(), count);
            assert_eq!(said.is_empty(), why.is_empty(), "{said}");
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_row_is_in_the_order_of_its_columns() {
        let times = Times { index: 1, worker: 2, arrival_ns: 3, begin_ns: 4, end_ns: 5 };
        let mut stages = Stages::default();
        Stage::ALL.iter().zip(10..).for_each(|(&stage, ns)| stages.add(stage, ns));
        let row = row(&times, Outcome::Failed, [6, 7, 8], &stages);
        let named: Vec<(String, u64)> = columns().into_iter().zip(row).collect();
        let text: Vec<String> =
            named.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            text.join(" "),
            "index=1 worker=2 arrival_ns=3 begin_ns=4 end_ns=5 status=2 pixels=6 bytes_in=7 \
             bytes_out=8 discover_ns=10 map_ns=11 decode_ns=12 preprocess_ns=13 infer_ns=14 \
             mask_ns=15 composite_ns=16 encode_ns=17 write_ns=18"
        );
        assert_eq!(columns().len(), COLUMNS);
    }
}
