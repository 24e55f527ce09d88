//! Writes that go well, writes that can't, leftovers, races, and what counts as up to date.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Claim, Existing, Sink, Sweeper, existing, is_temporary};
use crate::encode::{Encoder, Format, Meta, Options};
use crate::error::Kind;
use crate::image::{Pixels, Raster, Size};
use crate::simd::Level;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("qbg-sink-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// The names inside, sorted.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(output: &Path, bytes: &[u8]) -> Result<(), Kind> {
    Sink::new(0).write(None, output, bytes, false)
}

#[test]
fn smoke() {
    let folder = Folder::new();
    let output = folder.path("a.png");
    for fsync in [false, true] {
        Sink::new(0).write(None, &output, b"one", fsync).unwrap();
        assert_eq!(fs::read(&output).unwrap(), b"one");
        Sink::new(0).write(None, &output, b"two!", fsync).unwrap();
        assert_eq!(fs::read(&output).unwrap(), b"two!");
        write(&output, b"").unwrap();
        assert_eq!(fs::read(&output).unwrap(), b"");
    }
    assert_eq!(folder.names(), ["a.png"]);
}

#[test]
fn missing_folders_are_made() {
    let folder = Folder::new();
    let output = folder.path("a/b/ç/d.png");
    Sink::new(0).write(None, &output, b"deep", true).unwrap();
    assert_eq!(fs::read(&output).unwrap(), b"deep");
    assert_eq!(fs::read_dir(folder.path("a/b/ç")).unwrap().count(), 1);
}

#[test]
fn long_and_strange_names() {
    let folder = Folder::new();
    let names = ["ä 猫 🙂.png", "a\nb.png", &format!("{}.png", "x".repeat(251))];
    for name in names {
        write(&folder.path(name), b"x").unwrap();
    }
    let mut wanted = names.map(str::to_owned);
    wanted.sort();
    assert_eq!(folder.names(), wanted);
    // One byte more than file systems take.
    let error = write(&folder.path(format!("{}.png", "x".repeat(252))), b"x").unwrap_err();
    assert!(matches!(error, Kind::Io { doing: "cannot write", .. }), "{error}");
    assert_eq!(folder.names().len(), 3);
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let output = folder.path(OsStr::from_bytes(b"\xff\xfe.png"));
    write(&output, b"x").unwrap();
    assert_eq!(fs::read(output).unwrap(), b"x");
}

#[test]
fn the_temporary_is_never_the_output_s_name_and_is_known_by_its_own() {
    let folder = Folder::new();
    let mut sink = Sink::new(3);
    sink.write(None, &folder.path("a.png"), b"x", false).unwrap();
    let first = sink.temporary.clone();
    sink.write(None, &folder.path("a.png"), b"x", false).unwrap();
    assert_ne!(first, sink.temporary);
    assert_eq!(sink.temporary.parent(), Some(&*folder.0));
    assert!(is_temporary(first.file_name().unwrap()));
    assert!(first.file_name().unwrap().len() < 64);
}

#[test]
fn only_our_temporaries_are_known() {
    assert!(is_temporary(OsStr::new(".qbg-1-0-99.tmp")));
    assert!(is_temporary(OsStr::new(".qbg-0123456789abcdef0123456789abcdef.tmp")));
    for name in [
        "a.png",
        ".qbg-.tmp",
        ".qbg-1-2.tmp",
        ".qbg-0123456789abcdef0123456789abcde.tmp",
        ".qbg-0123456789ABCDEF0123456789abcdef.tmp",
        ".qbg-1-2-3-4.tmp",
        ".qbg-1-2-x.tmp",
        ".qbg---.tmp",
        "qbg-1-2-3.tmp",
        ".qbg-1-2-3.tmp.png",
        ".qbg-1-2-3",
        ".qbg-1-+2-3.tmp",
        "",
    ] {
        assert!(!is_temporary(OsStr::new(name)), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_sweep_takes_what_nobody_writes_and_nothing_else() {
    let folder = Folder::new();
    let written = fs::File::create(folder.path(".qbg-1-0-1.tmp")).unwrap();
    written.try_lock().unwrap();
    fs::write(folder.path(".qbg-1-0-2.tmp"), b"left").unwrap();
    fs::write(folder.path(".qbg-1-0.tmp"), b"another's").unwrap();
    fs::write(folder.path("a.png"), b"x").unwrap();
    fs::create_dir(folder.path(".qbg-1-0-3.tmp")).unwrap();
    std::os::unix::fs::symlink(folder.path("a.png"), folder.path(".qbg-1-0-4.tmp")).unwrap();
    let mut sweeper = Sweeper::default();
    sweeper.look(&folder.path("b.png"));
    let kept = [".qbg-1-0-1.tmp", ".qbg-1-0-3.tmp", ".qbg-1-0-4.tmp", ".qbg-1-0.tmp", "a.png"];
    assert_eq!(folder.names(), kept);
    drop(written);
    sweeper.look(&folder.path("c.png"));
    assert_eq!(folder.names(), kept, "a folder is swept once a run");
    Sweeper::default().look(&folder.path("c.png"));
    assert_eq!(folder.names(), kept[1..]);
}

#[cfg(unix)]
#[test]
fn a_claim_is_held_by_one_and_ends_with_its_holder() {
    let folder = Folder::new();
    let (mut one, mut other) = (Claim::default(), Claim::default());
    let (a, b) = (folder.path("new/a.png"), folder.path("new/b.png"));
    assert!(one.take(&a));
    assert!(!other.take(&a) && other.take(&b));
    let names = fs::read_dir(folder.path("new")).unwrap();
    assert!(names.into_iter().all(|entry| is_temporary(&entry.unwrap().file_name())));
    Sweeper::default().look(&a);
    assert!(!other.take(&a), "a sweep leaves what is held");
    one.release();
    assert!(other.take(&a) && !one.take(&a));
    drop(other);
    assert!(one.take(&a) && one.take(&b), "a new claim lets go of the last");
    drop(one);
    assert!(!folder.path("new").exists());
}

#[cfg(unix)]
#[test]
fn a_dead_run_s_claim_holds_nobody_up() {
    let folder = Folder::new();
    let output = folder.path("a.png");
    let mut dead = Claim::default();
    assert!(dead.take(&output));
    dead.file = None; // as when its process is killed: unlocked, and not removed
    assert_eq!(folder.names().len(), 1);
    let mut next = Claim::default();
    assert!(next.take(&output));
    next.file = None;
    Sweeper::default().look(&output);
    assert!(folder.names().is_empty());
}

#[cfg(unix)]
#[test]
fn where_no_claim_can_be_made_all_are_granted() {
    let folder = Folder::new();
    fs::write(folder.path("file"), b"").unwrap();
    for output in [folder.path("file/a.png"), PathBuf::from("/"), PathBuf::from("/proc/none/a")] {
        assert!(Claim::default().take(&output));
    }
    assert_eq!(folder.names(), ["file"]);
}

/// Threads that claim, let go and sweep as fast as they can.
#[cfg(unix)]
#[test]
#[allow(clippy::disallowed_methods, reason = "threads of a test")]
fn no_two_hold_one_claim() {
    let folder = Folder::new();
    let outputs: Vec<_> = (0..3).map(|i| folder.path(format!("{i}.png"))).collect();
    let holders: Vec<_> = (0..3).map(|_| AtomicUsize::new(0)).collect();
    let granted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let (outputs, holders, granted, folder) = (&outputs, &holders, &granted, &folder);
            scope.spawn(move || {
                let mut claim = Claim::default();
                for round in 0..3_000 {
                    let i = (round * (thread + 1)) % 3;
                    if claim.take(&outputs[i]) {
                        assert_eq!(holders[i].fetch_add(1, Ordering::SeqCst), 0);
                        granted.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(holders[i].fetch_sub(1, Ordering::SeqCst), 1);
                        claim.release();
                    }
                    if round % 100 == thread {
                        super::claim::sweep(&folder.0);
                    }
                }
            });
        }
    });
    assert!(granted.load(Ordering::Relaxed) > 3_000);
    assert!(folder.names().is_empty());
}

/// Sweeps that fall between a temporary's making, locking, and renaming.
#[cfg(unix)]
#[test]
#[allow(clippy::disallowed_methods, reason = "threads of a test")]
fn no_sweep_takes_what_is_being_written() {
    let folder = Folder::new();
    let left = AtomicUsize::new(2);
    std::thread::scope(|scope| {
        for number in 0..2 {
            let (folder, left) = (&folder, &left);
            scope.spawn(move || {
                let mut sink = Sink::new(number);
                for i in 0..2_000 {
                    let output = folder.path(format!("{number}-{}.png", i % 5));
                    sink.write(None, &output, b"whole", false).unwrap();
                }
                left.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while left.load(Ordering::Relaxed) > 0 {
            super::claim::sweep(&folder.0);
        }
    });
    assert_eq!(folder.names().len(), 10);
}

#[test]
fn leftovers_of_a_crash_are_passed_over() {
    let folder = Folder::new();
    for count in 0..5 {
        let name = format!(".qbg-{}-7-{count}.tmp", std::process::id());
        fs::write(folder.path(name), b"left").unwrap();
    }
    Sink::new(7).write(None, &folder.path("a.png"), b"x", false).unwrap();
    let names = folder.names();
    assert_eq!(names.len(), 6);
    for name in names.iter().filter(|name| *name != "a.png") {
        assert_eq!(fs::read(folder.path(name)).unwrap(), b"left");
        assert!(is_temporary(OsStr::new(name)));
    }
}

#[test]
fn a_file_where_a_folder_should_be() {
    let folder = Folder::new();
    fs::write(folder.path("file"), b"keep").unwrap();
    for output in ["file/a.png", "file/b/a.png"] {
        let error = write(&folder.path(output), b"x").unwrap_err();
        assert!(matches!(error, Kind::Io { .. }), "{error}");
    }
    assert_eq!(fs::read(folder.path("file")).unwrap(), b"keep");
    assert_eq!(folder.names(), ["file"]);
}

#[test]
fn a_folder_is_not_replaced() {
    let folder = Folder::new();
    fs::create_dir(folder.path("a.png")).unwrap();
    for output in [folder.path("a.png"), folder.path(".."), PathBuf::from("/")] {
        let error = write(&output, b"x").unwrap_err();
        assert!(matches!(error, Kind::NotAFile), "{error}");
    }
    assert_eq!(folder.names(), ["a.png"]);
    assert_eq!(
        existing(&folder.0, &folder.path("a.png"), ""),
        Existing::Stale("not a regular file")
    );
}

#[cfg(unix)]
#[test]
fn a_device_is_not_replaced() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("/dev/null", folder.path("a.png")).unwrap();
    for output in [Path::new("/dev/null"), &folder.path("a.png")] {
        let error = write(output, b"x").unwrap_err();
        assert!(matches!(error, Kind::NotAFile), "{error}");
    }
}

#[test]
fn the_input_is_never_the_output() {
    let folder = Folder::new();
    let input = folder.path("in.png");
    fs::write(&input, b"precious").unwrap();
    let mut outputs = vec![input.clone(), folder.path("./in.png")];
    fs::hard_link(&input, folder.path("hard.png")).unwrap();
    outputs.push(folder.path("hard.png"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("in.png", folder.path("soft.png")).unwrap();
        std::os::unix::fs::symlink(&folder.0, folder.path("round")).unwrap();
        outputs.extend([folder.path("soft.png"), folder.path("round/in.png")]);
    }
    let before = folder.names();
    for output in outputs {
        let error = Sink::new(0).write(Some(&input), &output, b"x", false).unwrap_err();
        assert!(matches!(error, Kind::OverwritesInput), "{output:?}: {error}");
        assert_eq!(fs::read(&input).unwrap(), b"precious");
    }
    // The input itself may be a link.
    #[cfg(unix)]
    {
        let error =
            Sink::new(0).write(Some(&folder.path("soft.png")), &input, b"x", false).unwrap_err();
        assert!(matches!(error, Kind::OverwritesInput));
    }
    assert_eq!(folder.names(), before);
    Sink::new(0).write(Some(&input), &folder.path("out.png"), b"x", false).unwrap();
    Sink::new(0)
        .write(Some(&folder.path("gone.png")), &folder.path("out.png"), b"y", false)
        .unwrap();
    assert_eq!(fs::read(&input).unwrap(), b"precious");
}

#[cfg(unix)]
#[test]
fn a_link_is_replaced_and_its_target_kept() {
    let folder = Folder::new();
    fs::write(folder.path("other.txt"), b"other").unwrap();
    std::os::unix::fs::symlink("other.txt", folder.path("a.png")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path("b.png")).unwrap();
    for name in ["a.png", "b.png"] {
        write(&folder.path(name), b"x").unwrap();
        assert!(fs::symlink_metadata(folder.path(name)).unwrap().is_file());
    }
    assert_eq!(fs::read(folder.path("other.txt")).unwrap(), b"other");
    assert_eq!(folder.names(), ["a.png", "b.png", "other.txt"]);
}

#[cfg(unix)]
#[test]
fn permissions_follow_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    // What the umask makes of any new file.
    fs::write(folder.path("plain"), b"").unwrap();
    write(&folder.path("a.png"), b"x").unwrap();
    let mode = |name| fs::metadata(folder.path(name)).unwrap().permissions().mode();
    assert_eq!(mode("plain"), mode("a.png"));
}

#[cfg(unix)]
#[test]
fn a_folder_without_permission() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    fs::create_dir(folder.path("locked")).unwrap();
    fs::set_permissions(folder.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    // SAFETY: `geteuid` takes nothing and always succeeds.
    if unsafe { libc::geteuid() } == 0 {
        eprintln!("SKIPPED a_folder_without_permission: root may write anywhere");
        return;
    }
    let error = write(&folder.path("locked/a.png"), b"x").unwrap_err();
    assert_eq!(error.hint(), Some("check the permissions"));
}

/// A file system of 64 KiB that goes away with the test, also with one that fails.
#[cfg(target_os = "linux")]
struct SmallDisk(std::ffi::CString);

#[cfg(target_os = "linux")]
impl SmallDisk {
    /// Mounts it over `folder`, if this process may.
    fn over(folder: &Folder) -> std::io::Result<SmallDisk> {
        use std::os::unix::ffi::OsStrExt;
        let target = std::ffi::CString::new(folder.0.as_os_str().as_bytes())?;
        let (kind, options) = (c"tmpfs".as_ptr(), c"size=64k".as_ptr().cast());
        // SAFETY: all pointers are to strings that end with 0 and outlive the call.
        match unsafe { libc::mount(kind, target.as_ptr(), kind, 0, options) } {
            0 => Ok(SmallDisk(target)),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        // SAFETY: the path is the one that was mounted, and ends with 0.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_file_and_no_other() {
    let folder = Folder::new();
    let _disk = match SmallDisk::over(&folder) {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("SKIPPED a_full_disk_leaves_the_old_file_and_no_other: {error}");
            return;
        }
    };
    let output = folder.path("a.png");
    write(&output, b"old").unwrap();
    let error = write(&output, &vec![1; 200_000]).unwrap_err();
    assert_eq!(error.hint(), Some("free some space and run again"), "{error}");
    assert_eq!(fs::read(&output).unwrap(), b"old");
    assert_eq!(folder.names(), ["a.png"]);
    write(&output, b"small enough").unwrap();
}

#[cfg(unix)]
#[test]
fn a_failed_rename_removes_the_temporary() {
    let folder = Folder::new();
    // Nothing is there, so the check passes and the bytes are written; but the slash asks for a
    // folder, and the rename refuses.
    let error = write(&folder.path("a.png/"), b"x").unwrap_err();
    assert!(matches!(error, Kind::Io { doing: "cannot write", .. }), "{error}");
    assert!(folder.names().is_empty());
}

#[test]
#[allow(clippy::disallowed_methods, reason = "writers that race need threads; no pool here")]
fn parallel_writers_to_one_output() {
    let folder = Folder::new();
    let output = folder.path("a.png");
    std::thread::scope(|scope| {
        for number in 0..4usize {
            let output = &output;
            scope.spawn(move || {
                // Two share a number on purpose.
                let mut sink = Sink::new(number / 2);
                for round in 0..50 {
                    let bytes = vec![number as u8; 1000 + round * 100];
                    sink.write(None, output, &bytes, false).unwrap();
                    let seen = fs::read(output).unwrap();
                    assert!(seen.len() >= 1000 && seen.iter().all(|&byte| byte == seen[0]));
                }
            });
        }
    });
    assert_eq!(folder.names(), ["a.png"]);
}

fn cutout(digest: &str) -> Vec<u8> {
    let data = [9; 4 * 12];
    let raster = Raster::Rgba(Pixels::new(Size { width: 4, height: 3 }, &data).unwrap());
    let meta = Meta { digest, ..Meta::default() };
    let mut out = Vec::new();
    Encoder::new(Level::SCALAR).run(raster, &meta, &Options::new(Format::Png), &mut out).unwrap();
    out
}

#[test]
fn what_counts_as_up_to_date() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.jpg"), folder.path("out.png"));
    fs::write(&input, b"input").unwrap();
    let file = cutout("qbg1:same");
    let look = |digest| existing(&input, &output, digest);

    assert_eq!(look("qbg1:same"), Existing::None);
    write(&output, &file).unwrap();
    assert_eq!(look("qbg1:same"), Existing::UpToDate);
    assert_eq!(
        look("qbg1:other"),
        Existing::Stale("made from another input, or with another model or other options")
    );
    write(&output, &file[..file.len() - 1]).unwrap();
    assert_eq!(look("qbg1:same"), Existing::Stale("not whole"));
    write(&output, &cutout("")).unwrap();
    assert_eq!(look("qbg1:same"), Existing::Foreign);
    write(&output, b"text").unwrap();
    assert_eq!(look("qbg1:same"), Existing::Stale("not an image that qbg writes"));
    write(&output, b"").unwrap();
    assert_eq!(look("qbg1:same"), Existing::Stale("not an image that qbg writes"));

    write(&output, &file).unwrap();
    let set_age = |path: &Path, seconds| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    };
    set_age(&input, 2000);
    set_age(&output, 2000);
    assert_eq!(look("qbg1:same"), Existing::UpToDate);
    set_age(&output, 1999);
    assert_eq!(look("qbg1:same"), Existing::Stale("older than the input"));
    fs::remove_file(&input).unwrap();
    assert_eq!(look("qbg1:same"), Existing::Stale("of unknown age"));
}

#[test]
#[cfg(unix)]
fn a_claim_takes_away_the_folders_that_it_made_for_nothing() {
    let folder = Folder::new();
    fs::create_dir(folder.path("there")).unwrap();
    let mut claim = Claim::default();
    assert!(claim.take(&folder.path("there/a/b/out.png")));
    assert!(folder.path("there/a/b").is_dir());
    claim.release();
    assert!(!folder.path("there/a").exists());
    assert!(folder.path("there").is_dir(), "it was there before");

    assert!(claim.take(&folder.path("there/a/b/out.png")));
    fs::write(folder.path("there/a/b/out.png"), b"x").unwrap();
    claim.release();
    assert!(folder.path("there/a/b/out.png").is_file());

    let mut other = Claim::default();
    assert!(claim.take(&folder.path("c/one.png")));
    assert!(other.take(&folder.path("c/two.png")));
    claim.release();
    assert!(folder.path("c").is_dir(), "the other is in it");
    other.release();
}
