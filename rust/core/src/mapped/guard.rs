//! Mappings whose bus errors are survived: a table of guarded ranges and one SIGBUS handler.
//!
//! Touching a mapped page that lies beyond the end of its file (someone truncated it) or that the
//! disk can't deliver raises SIGBUS, whose default kills the process. The protocol:
//!
//! 1. `map` maps the file and claims a row of a fixed static table for the range.
//! 2. On a fault the handler looks the address up. In a guarded range it maps anonymous zero
//!    pages from the faulting page to the range's end, marks the row and returns: the faulting
//!    load is repeated and reads zeros. Anywhere else it hands over to whoever was there before.
//! 3. After the last use of the bytes the owner reads the mark; then the row is freed, and only
//!    then the range is unmapped.
//!
//! Why it holds:
//! - The handler uses atomics of a static table and raw system calls: no locks, no allocation,
//!   no thread-local storage of ours, so it may interrupt anything.
//! - A row is a seqlock: `version` is odd while its owner changes it; a reader takes start and
//!   end only if the version was even and the same before and after, so it never mixes two
//!   ranges. A row in motion may be skipped: the faulting thread's own row stands still, because
//!   rows change only before the bytes are handed out and after their last use.
//! - A row is claimed after mapping and freed before unmapping, so a row that is up always names
//!   memory of ours. Zero pages therefore never replace anybody else's memory.
//! - Only faults (`BUS_ADRERR`, `BUS_MCEERR_AR`) carry an address; a SIGBUS sent by `kill` goes
//!   straight to the previous owner.
//! - The previous handler is stored before ours is in place and is called with all its arguments
//!   under its own signal mask; a default action is restored and the fault repeated, so that the
//!   process dies of the true cause with a core dump. CPython's faulthandler, enabled before us,
//!   prints its traceback and dies as it would without us.
//! - If the handler is no longer ours (faulthandler enabled later, say), or SIGBUS is blocked in
//!   this thread, nothing is mapped and the caller reads. We never install twice: two handlers
//!   that call each other would spin.
//!
//! Left out: a handler installed by somebody while a mapping is in use; giving the handler back.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering, fence};

use libc::{c_int, c_void, siginfo_t};

/// Rows: one per image in work; a process with more workers than this reads what it can't guard.
pub(super) const ROWS: usize = 1024;

/// One guarded range, alone on its cache line so that workers don't slow each other.
#[repr(align(64))]
struct Row {
    /// Odd while the owner changes the row; grows by two with each change.
    version: AtomicU64,
    start: AtomicUsize,
    /// 0 when the row is free.
    end: AtomicUsize,
    hit: AtomicBool,
}

impl Row {
    const fn new() -> Self {
        Row {
            version: AtomicU64::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            hit: AtomicBool::new(false),
        }
    }

    /// Takes the row if it is free.
    fn claim(&self, start: usize, end: usize) -> bool {
        let version = self.version.load(Ordering::Acquire);
        if version % 2 == 1 || self.end.load(Ordering::Relaxed) != 0 {
            return false;
        }
        // Success proves that nobody changed the row since `end` was read as 0.
        if self
            .version
            .compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        fence(Ordering::Release); // a reader that sees a new field below also sees the odd version
        self.hit.store(false, Ordering::Relaxed);
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
        true
    }

    /// Gives the row back. Only its owner calls this.
    fn free(&self) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.start.store(0, Ordering::Relaxed);
        self.end.store(0, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }

    /// The end of the range if it holds `address`.
    fn end_around(&self, address: usize) -> Option<usize> {
        let before = self.version.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Relaxed);
        let end = self.end.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let after = self.version.load(Ordering::Relaxed);
        let steady = before == after && before.is_multiple_of(2);
        (steady && start <= address && address < end).then_some(end)
    }
}

static TABLE: [Row; ROWS] = [const { Row::new() }; ROWS];
/// Where the next claim starts to look, so that rows are found at once.
static NEXT: AtomicUsize = AtomicUsize::new(0);
/// Bytes per page, set before the handler is in place.
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);
/// What handled SIGBUS before us: `sa_sigaction` and `sa_flags`.
static PREVIOUS_HANDLER: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static PREVIOUS_FLAGS: AtomicI32 = AtomicI32::new(0);

/// A claimed row; frees itself.
struct Claim(&'static Row);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.free();
    }
}

/// A guarded read-only mapping of a whole file. The fields drop in order: row, then mapping.
pub(super) struct Region {
    claim: Claim,
    map: memmap2::Mmap,
}

impl Region {
    /// Maps the first `len` bytes of `file`; None says "read it instead".
    pub(super) fn map(file: &File, len: usize) -> Option<Region> {
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        if !*INSTALLED.get_or_init(install) || !armed() || is_remote(file) {
            return None;
        }
        #[allow(clippy::disallowed_methods)] // this is the one place
        // SAFETY: a mapping needs bytes that don't change. Shrinking is made harmless by the row
        // claimed below, before the bytes are handed out; what another process's writes mean is
        // argued in the head of `mapped.rs`.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map_copy_read_only(file) }.ok()?;
        // Advice only: a kernel that refuses it reads ahead as it always does.
        let _ = map.advise(memmap2::Advice::Sequential);
        let start = map.as_ptr() as usize;
        let page_bytes = PAGE_BYTES.load(Ordering::Relaxed);
        let claim = claim(start, start.checked_add(len)?.checked_next_multiple_of(page_bytes)?)?;
        Some(Region { claim, map })
    }

    /// The file's bytes; zeros from the first page that could not be had.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Whether a fault was patched. Call it after the last use of the bytes.
    pub(super) fn was_hit(&self) -> bool {
        // Keeps the compiler from sinking loads of the bytes below the load of the mark.
        fence(Ordering::SeqCst);
        self.claim.0.hit.load(Ordering::Relaxed)
    }
}

/// Finds a free row. None: the table is full.
fn claim(start: usize, end: usize) -> Option<Claim> {
    let first = NEXT.fetch_add(1, Ordering::Relaxed);
    (0..ROWS)
        .map(|i| &TABLE[first.wrapping_add(i) % ROWS])
        .find(|row| row.claim(start, end))
        .map(Claim)
}

/// Puts the handler in place; false if the system refuses.
fn install() -> bool {
    // SAFETY: plain queries; `old` is a valid place to write to, and an all-zero `sigaction` is a
    // valid value of that C struct.
    let (page, mut old, asked) = unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        let asked = libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut old);
        (libc::sysconf(libc::_SC_PAGESIZE), old, asked)
    };
    let Ok(page) = usize::try_from(page) else { return false };
    if asked != 0 || !page.is_power_of_two() {
        return false;
    }
    PAGE_BYTES.store(page, Ordering::SeqCst);
    remember(&old);
    let mut ours = old; // its mask, so that the previous handler runs under the mask it asked for
    ours.sa_sigaction = handler_address();
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | (old.sa_flags & libc::SA_RESTART);
    // SAFETY: `ours` is fully initialised and names a function of the SA_SIGINFO signature.
    let done = unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, &raw mut old) } == 0;
    if done {
        remember(&old); // the same, unless somebody came in between
    }
    done
}

fn remember(action: &libc::sigaction) {
    PREVIOUS_FLAGS.store(action.sa_flags, Ordering::SeqCst);
    PREVIOUS_HANDLER.store(action.sa_sigaction, Ordering::SeqCst);
}

fn handler_address() -> usize {
    on_bus_error as *const () as usize
}

/// Whether a SIGBUS of this thread would reach our handler.
fn armed() -> bool {
    // SAFETY: plain queries into valid places; all-zero is a valid value of both C structs.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut now) == 0
            && now.sa_sigaction == handler_address()
            && libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut blocked) == 0
            && libc::sigismember(&raw const blocked, libc::SIGBUS) == 0
    }
}

/// Network and user-space file systems: a fault may wait for a server for ever, and sizes may be
/// stale, so their files are read. Unknown ones count as local. Numbers: Linux `magic.h`, statfs(2).
fn is_remote(file: &File) -> bool {
    const REMOTE: [u32; 18] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB2
        0x6573_5546, // FUSE
        0x0102_1997, // 9P
        0x00c3_6400, // Ceph
        0x5346_414f, // AFS (OpenAFS)
        0x6b41_4653, // AFS (kernel)
        0x7375_7245, // Coda
        0x564c,      // NCP
        0x7461_636f, // OCFS2
        0x0116_1970, // GFS2
        0x4750_4653, // GPFS
        0x0bd0_0bd0, // Lustre
        0x786f_4256, // VirtualBox shared folder
        0xbacb_acbc, // VMware shared folder
        0x1983_0326, // BeeGFS
    ];
    // SAFETY: the descriptor is open, the struct is plain data and a valid place to write to.
    let (asked, facts) = unsafe {
        let mut facts: libc::statfs = std::mem::zeroed();
        (libc::fstatfs(file.as_raw_fd(), &raw mut facts), facts)
    };
    // The field's type differs between C libraries; the numbers fit 32 bits.
    asked != 0 || REMOTE.contains(&(facts.f_type as u32))
}

/// The handler. Runs in whatever the fault interrupted: only atomics and raw system calls.
extern "C" fn on_bus_error(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler; the address is read
    // only for the codes that carry one.
    let (code, address) = unsafe {
        let code = (*info).si_code;
        let faulted = matches!(code, libc::BUS_ADRERR | libc::BUS_MCEERR_AR);
        (code, faulted.then(|| (*info).si_addr() as usize))
    };
    if address.is_some_and(patch) {
        return;
    }
    pass_on(signal, code, info, context);
}

/// Replaces the pages from `address` to the end of its guarded range by zeros.
fn patch(address: usize) -> bool {
    let Some((row, end)) = TABLE.iter().find_map(|row| Some((row, row.end_around(address)?)))
    else {
        return false;
    };
    let page = address & !(PAGE_BYTES.load(Ordering::Relaxed) - 1);
    // SAFETY: [page, end) is the tail of a live mapping of ours: the row is up, and the thread
    // that faulted here still borrows the bytes, so its owner can't be unmapping them. The raw
    // call, because C libraries may lock in `mmap`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mmap,
            page,
            end - page,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    if result == -1 {
        return false;
    }
    row.hit.store(true, Ordering::SeqCst);
    true
}

/// Does what would have happened without us.
fn pass_on(signal: c_int, code: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let handler = PREVIOUS_HANDLER.load(Ordering::SeqCst);
    let sent = code <= 0 || code == libc::BUS_MCEERR_AO; // not by the instruction we return to
    if handler == libc::SIG_IGN && sent {
        return;
    }
    if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
        // An ignored fault is fatal too: the kernel does the same.
        // SAFETY: both calls are async-signal-safe; all-zero is SIG_DFL with an empty mask.
        unsafe {
            let default: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, &raw const default, ptr::null_mut());
            if sent {
                libc::raise(signal); // pending until we return
            }
        }
        return; // a fault repeats itself now
    }
    if PREVIOUS_FLAGS.load(Ordering::SeqCst) & libc::SA_SIGINFO != 0 {
        // SAFETY: the address was in force as an SA_SIGINFO handler.
        let call: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
            unsafe { std::mem::transmute(handler) };
        call(signal, info, context);
    } else {
        // SAFETY: the address was in force as a plain handler.
        let call: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
        call(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_answers_for_its_range_only_while_claimed() {
        let row = Row::new();
        assert_eq!(row.end_around(0), None);
        assert!(row.claim(4096, 12288));
        assert!(!row.claim(0, 4096), "a taken row was claimed again");
        assert_eq!(row.end_around(4095), None);
        assert_eq!(row.end_around(4096), Some(12288));
        assert_eq!(row.end_around(12287), Some(12288));
        assert_eq!(row.end_around(12288), None);
        row.free();
        assert_eq!(row.end_around(4096), None);
        assert!(row.claim(0, 4096));
    }

    #[test]
    fn a_row_in_motion_is_skipped() {
        let row = Row::new();
        assert!(row.claim(4096, 8192));
        row.version.fetch_add(1, Ordering::SeqCst);
        assert_eq!(row.end_around(4096), None);
        assert!(!row.claim(0, 4096));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // a test's own threads
    fn ranges_are_never_mixed_and_rows_never_shared() {
        // Two owners flip a row between disjoint ranges; a reader in the gap must never match.
        let row = Row::new();
        let owners = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for (start, end) in [(100, 200), (300, 400)] {
                let (row, owners) = (&row, &owners);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if row.claim(start, end) {
                            assert_eq!(owners.fetch_add(1, Ordering::SeqCst), 0);
                            owners.fetch_sub(1, Ordering::SeqCst);
                            row.free();
                        }
                    }
                });
            }
            for _ in 0..40_000 {
                assert_eq!(row.end_around(250), None);
            }
        });
    }
}
