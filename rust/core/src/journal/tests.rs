use super::*;
use crate::error::Stage;
use std::path::Path;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A job whose input and output are there.
    fn job(&self, name: &str) -> Job {
        let (input, output) = (self.path(name), self.path(&format!("{name}.png")));
        fs::write(&input, name).unwrap();
        fs::write(&output, [name, "cut out"].concat()).unwrap();
        Job { id: 0, input, output }
    }

    fn open(&self, resume: bool) -> Journal {
        Journal::open(&self.path("run.jsonl"), "abc", resume).unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path("run.jsonl")).unwrap()
    }
}

fn entry<'a>(job: &'a Job, stages: &'a Stages) -> Entry<'a> {
    Entry { job, outcome: Outcome::Done, pixels: 7, stages, error: None }
}

#[test]
fn what_was_finished_is_done_when_resumed_and_only_then() {
    let place = Place::new();
    let (a, b) = (place.job("a"), place.job("b"));
    place.open(false).write(&entry(&a, &Stages::default())).unwrap();
    let resumed = place.open(true);
    assert!(resumed.is_done(&a) && !resumed.is_done(&b));
    assert!(!place.open(false).is_done(&a), "nobody asked to resume");
    let other = Journal::open(&place.path("run.jsonl"), "another model", true).unwrap();
    assert!(!other.is_done(&a));
    let elsewhere = Job { output: place.path("b.png"), ..a.clone() };
    assert!(!resumed.is_done(&elsewhere));
}

#[test]
fn time_stamps_do_not_count_but_lengths_do() {
    let place = Place::new();
    let job = place.job("a");
    place.open(false).write(&entry(&job, &Stages::default())).unwrap();
    let resumed = place.open(true);
    let old = std::time::SystemTime::UNIX_EPOCH;
    File::options().write(true).open(&job.output).unwrap().set_modified(old).unwrap();
    assert!(resumed.is_done(&job));
    fs::write(&job.input, "another picture").unwrap();
    assert!(!resumed.is_done(&job));
    fs::write(&job.input, "a").unwrap();
    assert!(resumed.is_done(&job));
    fs::remove_file(&job.output).unwrap();
    assert!(!resumed.is_done(&job));
}

#[test]
fn a_failure_is_no_result() {
    let place = Place::new();
    let job = place.job("a");
    let none = Stages::default();
    let failed = Entry {
        outcome: Outcome::Failed,
        error: Some("decode a: \"broken\"\n"),
        ..entry(&job, &none)
    };
    place.open(false).write(&failed).unwrap();
    assert!(!place.open(true).is_done(&job));
    assert_eq!(place.text().lines().count(), 1);
}

#[test]
fn a_line_is_json_with_what_was_seen() {
    let place = Place::new();
    let job = place.job("a");
    let mut stages = Stages::default();
    stages.add(Stage::Infer, 2_500_000);
    place.open(false).write(&entry(&job, &stages)).unwrap();
    let value: serde_json::Value = serde_json::from_str(&place.text()).unwrap();
    assert_eq!(value["input"], job.input.to_str().unwrap());
    assert_eq!(value["outcome"], "done");
    assert_eq!((value["bytes_in"].as_u64(), value["bytes_out"].as_u64()), (Some(1), Some(8)));
    assert_eq!(value["stage_ms"], serde_json::json!({"infer": 2.5}));
    assert_eq!(value["pixels"], 7);
    assert!(value["time"].as_f64().unwrap() > 1.7e9);
}

#[cfg(unix)]
#[test]
fn names_that_are_no_text_are_kept() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let input = place.folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9 \"\n"));
    let job = Job { input, ..place.job("a") };
    if fs::write(&job.input, "x").is_err() {
        return; // a file system that wants UTF-8
    }
    place.open(false).write(&entry(&job, &Stages::default())).unwrap();
    assert_eq!(place.text().lines().count(), 1);
    assert!(place.open(true).is_done(&job));
}

#[test]
fn a_relative_path_is_the_same_file() {
    let place = Place::new();
    let job = place.job("a");
    let here = std::env::current_dir().unwrap();
    let up = here.ancestors().skip(1).map(|_| "..").collect::<Vec<_>>().join("/");
    let relative = Path::new(&up).join(job.input.strip_prefix("/").unwrap());
    assert!(relative.exists());
    // Not cleaned of `..`: a link may lie there. So it is another name, and looked at again.
    place.open(false).write(&entry(&job, &Stages::default())).unwrap();
    assert!(!place.open(true).is_done(&Job { input: relative, ..job }));
}

#[test]
fn torn_lines_and_nonsense_are_skipped_and_the_next_line_is_whole() {
    let place = Place::new();
    let (a, b) = (place.job("a"), place.job("b"));
    place.open(false).write(&entry(&a, &Stages::default())).unwrap();
    let whole = place.text();
    for torn in (0..whole.len()).step_by(7) {
        let long = "x".repeat(3 << 20);
        let before = format!("{whole}{{}}\n[1]\nnull\n\n{long}\n{}", &whole[..torn]);
        fs::write(place.path("run.jsonl"), before).unwrap();
        let journal = place.open(true);
        assert!(journal.is_done(&a) && !journal.is_done(&b));
        assert_eq!(
            journal.unreadable(),
            4 + u64::from((1..whole.len() - 1).contains(&torn)),
            "{torn}"
        );
        journal.write(&entry(&b, &Stages::default())).unwrap();
        assert!(place.open(true).is_done(&b), "{torn}");
    }
}

#[test]
fn what_is_no_journal_is_refused_and_stays_as_it_is() {
    let place = Place::new();
    fs::write(place.path("run.jsonl"), "\u{fffd} a picture").unwrap();
    let refused = Journal::open(&place.path("run.jsonl"), "abc", false);
    assert!(matches!(refused, Err(Kind::NotAJournal)));
    assert_eq!(place.text(), "\u{fffd} a picture");
    assert!(Journal::open(place.folder.path(), "abc", false).is_err());
    assert!(Journal::open(&place.path("no/such/folder.jsonl"), "abc", false).is_err());
}

#[test]
#[allow(clippy::disallowed_methods)] // a test of threads makes threads
fn many_write_at_once() {
    let place = Place::new();
    let jobs: Vec<Job> = (0..8).map(|i| place.job(&i.to_string())).collect();
    let journals = [place.open(false), place.open(false)];
    std::thread::scope(|scope| {
        for (i, job) in jobs.iter().enumerate() {
            let journal = &journals[i % 2];
            scope.spawn(move || {
                for _ in 0..200 {
                    journal.write(&entry(job, &Stages::default())).unwrap();
                }
            });
        }
    });
    assert_eq!(place.text().lines().count(), 1600);
    let resumed = place.open(true);
    assert_eq!(resumed.unreadable(), 0);
    assert!(jobs.iter().all(|job| resumed.is_done(job)));
}
