//! The tests of both ways, of files that change, and (in children of this very test binary, which
//! may die) of what the signal handler does with faults that aren't ours.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const MAP_ALL: Options = Options { threshold_bytes: 0, max_bytes: 1 << 30 };
const READ_ALL: Options = Options { threshold_bytes: u64::MAX, max_bytes: 1 << 30 };
/// More than the largest page in use (64 KiB on some aarch64 kernels).
const PAGE: usize = 64 << 10;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 + 1).collect()
}

fn file_of(folder: &TempDir, name: &str, len: usize) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, pattern(len)).unwrap();
    path
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open_kind(path: &Path, options: Options) -> Kind {
    Mapped::open(path, &mut Vec::new(), options).err().expect("must fail")
}

/// Moves a file's modification time, so that tests need not wait for the clock to tick.
fn age(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
}

#[test]
fn small_files_are_read_and_keep_their_bytes() {
    let folder = folder();
    for len in [1, 2, 4095, 4096, 4097, 100_000] {
        let path = file_of(&folder, "a", len);
        let mut scratch = vec![9; 7];
        let mapped = Mapped::open(&path, &mut scratch, Options::default()).unwrap();
        assert!(!mapped.is_mapped());
        assert_eq!(mapped.bytes(), pattern(len));
        mapped.check().unwrap();
    }
}

#[test]
fn scratch_keeps_its_high_water_mark() {
    let folder = folder();
    let (large, small) = (file_of(&folder, "large", 5000), file_of(&folder, "small", 10));
    let mut scratch = Vec::new();
    Mapped::open(&large, &mut scratch, READ_ALL).unwrap().check().unwrap();
    let (at, len) = (scratch.as_ptr(), scratch.len());
    let mapped = Mapped::open(&small, &mut scratch, READ_ALL).unwrap();
    assert_eq!(mapped.bytes(), pattern(10));
    assert_eq!(mapped.bytes().as_ptr(), at);
    mapped.check().unwrap();
    assert_eq!(scratch.len(), len);
}

#[test]
fn limits_are_checked_before_anything_is_read() {
    let folder = folder();
    let path = file_of(&folder, "a", 1000);
    let at = Options { max_bytes: 1000, ..READ_ALL };
    Mapped::open(&path, &mut Vec::new(), at).unwrap().check().unwrap();
    for options in [
        Options { max_bytes: 999, ..READ_ALL },
        Options { max_bytes: 999, ..MAP_ALL },
        Options { max_bytes: 0, ..READ_ALL },
    ] {
        let mut scratch = Vec::new();
        let kind = Mapped::open(&path, &mut scratch, options).err().unwrap();
        assert!(
            matches!(kind, Kind::TooManyBytes { limit_bytes, .. } if limit_bytes == options.max_bytes)
        );
        assert_eq!(scratch.capacity(), 0);
    }
}

#[test]
fn what_is_no_file_says_so() {
    let folder = folder();
    let path = file_of(&folder, "empty", 0);
    assert!(matches!(open_kind(&path, MAP_ALL), Kind::Empty));
    assert!(matches!(open_kind(folder.path(), MAP_ALL), Kind::NotAFile));
    let absent = open_kind(&folder.path().join("absent"), MAP_ALL);
    assert!(
        matches!(&absent, Kind::Io { source, .. } if source.kind() == io::ErrorKind::NotFound),
        "{absent}"
    );
}

#[test]
fn growing_or_rewriting_is_noticed_on_the_read_way() {
    let folder = folder();
    let path = file_of(&folder, "a", 1000);
    let mut scratch = Vec::new();
    let mapped = Mapped::open(&path, &mut scratch, READ_ALL).unwrap();
    File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
    assert!(matches!(mapped.check(), Err(Kind::Changed)));

    let mapped = Mapped::open(&path, &mut scratch, READ_ALL).unwrap();
    age(&path);
    assert!(matches!(mapped.check(), Err(Kind::Changed)));

    let mapped = Mapped::open(&path, &mut scratch, READ_ALL).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    assert!(matches!(mapped.check(), Err(Kind::Shrunk)));
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixListener;

    #[test]
    #[allow(clippy::disallowed_methods)] // a test's own threads
    fn a_fifo_is_read_to_its_end_within_the_limit() {
        let folder = folder();
        let path = folder.path().join("fifo");
        let c_path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: a valid C string.
        assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o600) }, 0);
        // Around the first room (64 KiB), around the limit, and an empty stream.
        for (len, limit, fits) in [
            (1, 1 << 30, true),
            (65_535, 1 << 30, true),
            (65_536, 1 << 30, true),
            (300_000, 1 << 30, true),
            (1000, 1000, true),
            (1001, 1000, false),
            (0, 1000, false),
        ] {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut fifo = File::options().write(true).open(&path).unwrap();
                    // The reader may leave first when the limit is passed.
                    let _ = fifo.write_all(&pattern(len));
                });
                let mut scratch = Vec::new();
                let options = Options { max_bytes: limit, ..MAP_ALL };
                match Mapped::open(&path, &mut scratch, options) {
                    Ok(mapped) => {
                        assert!(fits, "{len} bytes passed a limit of {limit}");
                        assert!(!mapped.is_mapped());
                        assert_eq!(mapped.bytes(), pattern(len));
                        mapped.check().unwrap();
                    }
                    Err(kind) => {
                        assert!(!fits, "{len} bytes: {kind}");
                        let wanted = if len == 0 {
                            matches!(kind, Kind::Empty)
                        } else {
                            matches!(kind, Kind::TooManyBytes { limit_bytes: 1000, .. })
                        };
                        assert!(wanted, "{len} bytes: {kind}");
                    }
                };
            });
        }
    }

    #[test]
    fn endless_devices_stop_at_the_limit_and_sockets_are_refused() {
        let options = Options { max_bytes: 100_000, ..MAP_ALL };
        assert!(matches!(
            open_kind(Path::new("/dev/zero"), options),
            Kind::TooManyBytes { limit_bytes: 100_000, .. }
        ));
        assert!(matches!(open_kind(Path::new("/dev/null"), options), Kind::Empty));
        let folder = folder();
        let path = folder.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(matches!(open_kind(&path, options), Kind::Io { .. } | Kind::NotAFile));
    }
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};

    fn sum(bytes: &[u8]) -> u64 {
        bytes.iter().map(|&b| u64::from(b)).sum()
    }

    #[test]
    fn the_threshold_decides() {
        let folder = folder();
        let path = file_of(&folder, "a", 10_000);
        for (threshold_bytes, mapped_wanted) in [(9_999, true), (10_000, true), (10_001, false)] {
            let options = Options { threshold_bytes, ..MAP_ALL };
            let mut scratch = Vec::new();
            let mapped = Mapped::open(&path, &mut scratch, options).unwrap();
            assert_eq!(mapped.is_mapped(), mapped_wanted, "threshold {threshold_bytes}");
            assert_eq!(mapped.bytes(), pattern(10_000));
            mapped.check().unwrap();
            assert_eq!(scratch.is_empty(), mapped_wanted);
        }
    }

    #[test]
    fn truncated_under_the_mapping_is_that_files_error() {
        let folder = folder();
        for keep in [0, 1, PAGE, PAGE + 5, 15 * PAGE] {
            let path = file_of(&folder, "a", 16 * PAGE);
            let mut scratch = Vec::new();
            let mapped = Mapped::open(&path, &mut scratch, MAP_ALL).unwrap();
            assert!(mapped.is_mapped());
            File::options().write(true).open(&path).unwrap().set_len(keep as u64).unwrap();
            // Every byte can be read, what was kept is right, what is gone is zero.
            assert_eq!(&mapped.bytes()[..keep], &pattern(16 * PAGE)[..keep]);
            assert!(mapped.bytes()[keep..].iter().all(|&b| b == 0));
            assert!(matches!(mapped.check(), Err(Kind::Shrunk)), "kept {keep}");
        }
    }

    #[test]
    fn a_file_that_shrank_and_grew_back_is_not_trusted() {
        let folder = folder();
        let path = file_of(&folder, "a", 4 * PAGE);
        let mut scratch = Vec::new();
        let mapped = Mapped::open(&path, &mut scratch, MAP_ALL).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(0).unwrap();
        sum(mapped.bytes());
        file.set_len(4 * PAGE as u64).unwrap();
        // Whatever the clock's tick hides, the mark remembers the missing page.
        assert!(mapped.check().is_err());

        let mapped = Mapped::open(&path, &mut scratch, MAP_ALL).unwrap();
        sum(mapped.bytes());
        age(&path);
        assert!(matches!(mapped.check(), Err(Kind::Changed)));
    }

    #[test]
    fn a_replaced_file_stays_readable() {
        let folder = folder();
        let path = file_of(&folder, "a", 4 * PAGE);
        let other = folder.path().join("b");
        fs::write(&other, b"new").unwrap();
        let mut scratch = Vec::new();
        let mapped = Mapped::open(&path, &mut scratch, MAP_ALL).unwrap();
        assert!(mapped.is_mapped());
        #[allow(clippy::disallowed_methods)] // plays the other program
        fs::rename(&other, &path).unwrap();
        assert_eq!(mapped.bytes(), pattern(4 * PAGE));
        mapped.check().unwrap();
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // a test's own threads
    fn many_guards_at_once_each_see_only_their_own_file() {
        let folder = folder();
        let paths: Vec<_> =
            (0..64).map(|i| file_of(&folder, &i.to_string(), (4 + i % 5) * PAGE)).collect();
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for group in paths.chunks(8) {
                let start = &start;
                scope.spawn(move || {
                    let mut scratches = vec![Vec::new(); group.len()];
                    let mapped: Vec<_> = group
                        .iter()
                        .zip(&mut scratches)
                        .map(|(path, scratch)| Mapped::open(path, scratch, MAP_ALL).unwrap())
                        .collect();
                    start.wait(); // all 64 are mapped
                    for path in group.iter().step_by(2) {
                        File::options().write(true).open(path).unwrap().set_len(10).unwrap();
                    }
                    for (i, mapped) in mapped.into_iter().enumerate() {
                        assert!(mapped.is_mapped());
                        let whole = mapped.bytes() == pattern(mapped.bytes().len());
                        assert_eq!(whole, i % 2 == 1);
                        match mapped.check() {
                            Ok(()) => assert_eq!(i % 2, 1),
                            Err(Kind::Shrunk) => assert_eq!(i % 2, 0),
                            Err(kind) => panic!("{kind}"),
                        }
                    }
                });
            }
        });
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // a test's own threads
    fn truncation_races_with_reading() {
        let folder = folder();
        for round in 0..20 {
            let path = file_of(&folder, "a", 16 * PAGE);
            let mut scratch = Vec::new();
            let mapped = Mapped::open(&path, &mut scratch, MAP_ALL).unwrap();
            let shared = &mapped;
            std::thread::scope(|scope| {
                // Two readers of one mapping, forwards and backwards, may patch it both.
                scope.spawn(move || sum(shared.bytes()));
                scope
                    .spawn(move || shared.bytes().iter().rev().map(|&b| u64::from(b)).sum::<u64>());
                File::options().write(true).open(&path).unwrap().set_len(round * 997).unwrap();
            });
            assert!(matches!(mapped.check(), Err(Kind::Shrunk)));
        }
    }

    #[test]
    fn a_special_file_that_cannot_be_mapped_is_read() {
        // sysfs promises a page, gives a few bytes and refuses to be mapped.
        let path = Path::new("/sys/kernel/mm/transparent_hugepage/enabled");
        if !path.exists() {
            eprintln!("skipped: no {}", path.display());
            return;
        }
        match Mapped::open(path, &mut Vec::new(), MAP_ALL) {
            Ok(mapped) => assert!(!mapped.is_mapped()),
            Err(kind) => assert!(matches!(kind, Kind::Shrunk), "{kind}"),
        };
    }

    // Children. Each is an ignored test that a parent runs in a process of its own.

    const CHILD: &str = "QBG_MAPPED_TEST_CHILD";

    fn run_child(name: &str) -> ExitStatus {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--test-threads=1"])
            .arg(format!("mapped::tests::linux::{name}"))
            .env(CHILD, "1")
            .output()
            .unwrap();
        println!("{}", String::from_utf8_lossy(&output.stdout));
        println!("{}", String::from_utf8_lossy(&output.stderr));
        output.status
    }

    /// A mapping that isn't ours, past the end of its file.
    fn touch_a_foreign_broken_page(folder: &TempDir) {
        let path = file_of(folder, "foreign", 4 * PAGE);
        let file = File::options().read(true).write(true).open(path).unwrap();
        // SAFETY: this test wants the fault.
        #[allow(clippy::disallowed_methods)]
        let map = unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file) }.unwrap();
        file.set_len(0).unwrap();
        std::hint::black_box(sum(&map));
    }

    /// Opens a file the mapped way, with a truncation that the guard catches.
    fn use_the_guard(folder: &TempDir) {
        let path = file_of(folder, "ours", 4 * PAGE);
        let mut scratch = Vec::new();
        let mapped = Mapped::open(&path, &mut scratch, MAP_ALL).unwrap();
        assert!(mapped.is_mapped());
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert_eq!(sum(mapped.bytes()), 0);
        assert!(matches!(mapped.check(), Err(Kind::Shrunk)));
    }

    fn set_handler(handler: usize, flags: libc::c_int) {
        // SAFETY: a zeroed `sigaction` is valid; the handlers passed match the flags.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = flags;
            assert_eq!(libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()), 0);
        }
    }

    extern "C" fn exit_42(_signal: libc::c_int) {
        // SAFETY: async-signal-safe.
        unsafe { libc::_exit(42) }
    }

    extern "C" fn exit_43_for_an_address(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // SAFETY: called as an SA_SIGINFO handler for a fault.
        let address = unsafe { (*info).si_addr() };
        let complete = signal == libc::SIGBUS && !address.is_null() && !context.is_null();
        // SAFETY: async-signal-safe.
        unsafe { libc::_exit(if complete { 43 } else { 1 }) }
    }

    macro_rules! child {
        ($name:ident, $body:expr) => {
            #[test]
            #[ignore = "run by its parent test in a process of its own"]
            fn $name() {
                if std::env::var_os(CHILD).is_some() {
                    let run: fn(&TempDir) = $body;
                    run(&folder());
                }
            }
        };
    }

    // The previous handler is the Rust runtime's, which restores the default and returns.
    child!(child_foreign_fault, |folder| {
        use_the_guard(folder);
        touch_a_foreign_broken_page(folder);
    });
    child!(child_foreign_fault_default, |folder| {
        set_handler(libc::SIG_DFL, 0);
        use_the_guard(folder);
        touch_a_foreign_broken_page(folder);
    });
    child!(child_foreign_fault_ignored, |folder| {
        set_handler(libc::SIG_IGN, 0);
        use_the_guard(folder);
        touch_a_foreign_broken_page(folder);
    });
    child!(child_plain_previous, |folder| {
        set_handler(exit_42 as *const () as usize, 0);
        use_the_guard(folder);
        touch_a_foreign_broken_page(folder);
    });
    child!(child_siginfo_previous, |folder| {
        set_handler(exit_43_for_an_address as *const () as usize, libc::SA_SIGINFO);
        use_the_guard(folder);
        touch_a_foreign_broken_page(folder);
    });
    child!(child_sent_default, |folder| {
        set_handler(libc::SIG_DFL, 0);
        use_the_guard(folder);
        // SAFETY: async-signal-safe.
        unsafe { libc::raise(libc::SIGBUS) };
    });
    child!(child_sent_ignored, |folder| {
        set_handler(libc::SIG_IGN, 0);
        use_the_guard(folder);
        // SAFETY: async-signal-safe.
        unsafe { libc::raise(libc::SIGBUS) };
        use_the_guard(folder);
        std::process::exit(44);
    });
    child!(child_replaced_handler, |folder| {
        use_the_guard(folder);
        set_handler(exit_42 as *const () as usize, 0);
        let path = file_of(folder, "a", 4 * PAGE);
        let mut scratch = Vec::new();
        let mapped = Mapped::open(&path, &mut scratch, MAP_ALL).unwrap();
        assert!(!mapped.is_mapped(), "mapped under somebody else's handler");
        assert_eq!(mapped.bytes(), pattern(4 * PAGE));
        mapped.check().unwrap();
        std::process::exit(45);
    });
    child!(child_blocked_signal, |folder| {
        // SAFETY: plain calls on a valid set.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&raw mut set, libc::SIGBUS);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        }
        let path = file_of(folder, "a", 4 * PAGE);
        let mut scratch = Vec::new();
        assert!(!Mapped::open(&path, &mut scratch, MAP_ALL).unwrap().is_mapped());
        std::process::exit(46);
    });
    child!(child_full_table, |folder| {
        let path = file_of(folder, "a", 10);
        let mut scratches = vec![Vec::new(); super::super::guard::ROWS];
        let all: Vec<_> = scratches
            .iter_mut()
            .map(|scratch| Mapped::open(&path, scratch, MAP_ALL).unwrap())
            .collect();
        assert!(all.iter().all(Mapped::is_mapped));
        let mut scratch = Vec::new();
        assert!(!Mapped::open(&path, &mut scratch, MAP_ALL).unwrap().is_mapped());
        drop(all);
        assert!(Mapped::open(&path, &mut scratch, MAP_ALL).unwrap().is_mapped());
        std::process::exit(47);
    });

    #[test]
    fn a_fault_that_is_not_ours_kills_as_before() {
        for name in [
            "child_foreign_fault",
            "child_foreign_fault_default",
            "child_foreign_fault_ignored",
            "child_sent_default",
        ] {
            assert_eq!(run_child(name).signal(), Some(libc::SIGBUS), "{name}");
        }
    }

    #[test]
    fn a_previous_handler_is_called_with_all_its_arguments() {
        assert_eq!(run_child("child_plain_previous").code(), Some(42));
        assert_eq!(run_child("child_siginfo_previous").code(), Some(43));
        assert_eq!(run_child("child_sent_ignored").code(), Some(44));
    }

    #[test]
    fn without_protection_files_are_read() {
        assert_eq!(run_child("child_replaced_handler").code(), Some(45));
        assert_eq!(run_child("child_blocked_signal").code(), Some(46));
        assert_eq!(run_child("child_full_table").code(), Some(47));
    }
}
