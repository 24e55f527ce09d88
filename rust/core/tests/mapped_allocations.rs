//! Opening a file allocates nothing once the worker is warm, whichever way it goes.
//! A test binary of its own: the counting allocator belongs to the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use qbg_core::mapped::{Mapped, Options};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: passes everything on to the system's allocator; the counter is thread-local plain data
// without a destructor, so it can be used at any time.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, len) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_warm_open_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = [("small", 3000), ("medium", 50_000), ("large", 300_000)].map(|(name, len)| {
        let path = folder.path().join(name);
        std::fs::write(&path, vec![7; len]).unwrap();
        path
    });
    let options = Options { threshold_bytes: 200_000, ..Options::default() };
    let mut scratch = Vec::new();
    let mut round = || {
        let mut ways = [false; 3];
        for (path, way) in files.iter().zip(&mut ways) {
            let mapped = Mapped::open(path, &mut scratch, options).unwrap();
            assert!(mapped.bytes().iter().all(|&b| b == 7));
            *way = mapped.is_mapped();
            mapped.check().unwrap();
        }
        ways
    };
    round();
    let before = COUNT.get();
    let ways = round();
    assert_eq!(COUNT.get() - before, 0);
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        assert_eq!(ways, [false, false, true]);
    }
    // The counter counts: else the line above proves nothing.
    let before = COUNT.get();
    drop(std::hint::black_box(vec![1u8; 10]));
    assert_eq!(COUNT.get() - before, 1);
}
