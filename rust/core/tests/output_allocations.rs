//! Counts the allocations of encoding and writing after warm-up.
//!
//! The sink makes none. Encoders may make some of their own (their crates', printed here), but
//! none of the fast PNG mode may grow with the picture. What libwebp takes from C is not seen.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use qbg_core::encode::{Encoder, Format, Meta, Options};
use qbg_core::image::{Pixels, Raster, Size};
use qbg_core::simd::Level;
use qbg_core::sink::Sink;

thread_local! {
    /// Allocations of this thread: how many, and the bytes of the largest.
    static SEEN: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(bytes: usize) {
    // A thread that is ending has no counter any more.
    let _ = SEEN.try_with(|seen| {
        let (count, largest) = seen.get();
        seen.set((count + 1, largest.max(bytes)));
    });
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations, and the largest one's bytes, of `work`.
fn counted(work: impl FnOnce()) -> (usize, usize) {
    SEEN.set((0, 0));
    work();
    SEEN.get()
}

#[test]
fn a_warm_sink_allocates_nothing() {
    let folder = std::env::temp_dir().join(format!("qbg-allocations-{}", std::process::id()));
    let outputs = [folder.join("first.png"), folder.join("second.png")];
    let mut sink = Sink::new(0);
    for output in &outputs {
        sink.write(Some(&folder), output, b"warm up", false).unwrap();
    }
    let (count, _) = counted(|| {
        for output in &outputs {
            sink.write(Some(&folder), output, b"again", false).unwrap();
        }
    });
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(count, 0);
}

#[test]
fn fast_png_allocates_nothing_that_grows_with_the_picture() {
    let meta = Meta { digest: "qbg1:0123456789abcdef", ..Meta::default() };
    let mut largest_of = Vec::new();
    for side in [64, 640] {
        let size = Size { width: side, height: side };
        let data: Vec<u8> = (0..size.pixels() * 4).map(|i| (i / 7 % 251) as u8).collect();
        let rgba = Raster::Rgba(Pixels::new(size, &data).unwrap());
        let rgb = Raster::Rgb(Pixels::new(size, &data[..size.pixels() * 3]).unwrap());
        let mut encoder = Encoder::new(Level::detect());
        let mut out = Vec::new();
        for (name, format, quality) in [
            ("PNG", Format::Png, None),
            ("WebP lossless", Format::Webp, None),
            ("WebP lossy", Format::Webp, Some(80)),
            ("JPEG", Format::Jpeg, None),
            ("TIFF", Format::Tiff, None),
        ] {
            let raster = if format.has_alpha() { rgba } else { rgb };
            let options = Options { quality, ..Options::new(format) };
            encoder.run(raster, &meta, &options, &mut out).unwrap();
            let (count, largest) =
                counted(|| encoder.run(raster, &meta, &options, &mut out).unwrap());
            println!("{name} {side}x{side}: {count} allocations, the largest of {largest} bytes");
            if format == Format::Png {
                largest_of.push((count, largest));
            }
        }
    }
    assert_eq!(largest_of[0], largest_of[1]);
    assert!(largest_of[1].0 <= 16 && largest_of[1].1 <= 4096, "{largest_of:?}");
}
