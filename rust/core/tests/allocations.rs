//! Proves that a warm pipeline allocates nothing of its own.
//!
//! The allocations of decoding and encoding are other people's code: they are counted apart, by
//! running the same decoder and encoder alone on the same image, and printed. Whatever the whole
//! way of an image allocates beyond them is ours, and must be nothing. The same count shows that a
//! trial which gives scratch memory back does so.

#![allow(clippy::unwrap_used)] // a test may

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qbg_core::batch::{Batch, Inputs, Setup};
use qbg_core::crew::Crew;
use qbg_core::decode::{Decoder, Image};
use qbg_core::encode::{self, Encoder, Meta};
use qbg_core::image::{Pixels, Raster, Size};
use qbg_core::pipeline::{FileOptions, Infer, Options, OutputShape, Pipeline, Status, Trace};
use qbg_core::recipe::{Activation, Filter, Fit, Input, Output, Recipe, Rounding, Scale};
use qbg_core::simd::Level;
use qbg_core::source::Job;
use qbg_core::topology::Placement;
use qbg_core::trial::Trial;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // A thread that is ending has no counter any more.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn counted(work: impl FnOnce()) -> usize {
    COUNT.set(0);
    work();
    COUNT.get()
}

/// A network that does nothing: the output tensor keeps the ellipse that the test put there.
struct Still;

impl Infer for Still {
    fn infer(&mut self, _tensor: Size) -> Result<(), String> {
        Ok(())
    }
}

const SIDE: usize = 64;

fn recipe(scale: Scale) -> Recipe {
    Recipe {
        input: Input {
            fit: Fit::Squash { size: Size { width: SIDE, height: SIDE } },
            filter: Filter::Lanczos,
            scale,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        },
        output: Output {
            channel: 0,
            activation: Activation::Sigmoid,
            min_max: true,
            rounding: Rounding::Truncate,
            filter: Filter::Lanczos,
            refine: true,
        },
    }
}

fn pipeline(scale: Scale) -> Pipeline {
    let shape = OutputShape { channels: 1, size: Some(Size { width: SIDE, height: SIDE }) };
    let mut slot = Pipeline::slot(&recipe(scale), shape).unwrap();
    for (index, value) in slot.output.get_mut(SIDE * SIDE).unwrap().iter_mut().enumerate() {
        let (x, y) = ((index % SIDE) as f32 - 32.0, (index / SIDE) as f32 - 32.0);
        *value = 6.0 - (x * x + y * y) / 60.0;
    }
    Pipeline::new(0, Level::detect(), recipe(scale), shape, slot, Box::new(Still))
}

/// Pictures of two sizes, in every format that has an encoder here.
fn inputs(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (name, format) in [
        ("a.png", encode::Format::Png),
        ("b.jpg", encode::Format::Jpeg),
        ("c.webp", encode::Format::Webp),
        ("d.tiff", encode::Format::Tiff),
    ] {
        for (width, height) in [(160, 120), (97, 131)] {
            let size = Size { width, height };
            let rgb: Vec<u8> = (0..size.pixels() * 3).map(|i| (i * 7 % 251) as u8).collect();
            let raster = Raster::Rgb(Pixels::new(size, &rgb).unwrap());
            let options = encode::Options::new(format);
            let mut out = Vec::new();
            let mut encoder = Encoder::new(Level::detect());
            encoder.run(raster, &Meta::default(), &options, &mut out).unwrap();
            let path = folder.join(format!("{width}-{name}"));
            std::fs::write(&path, out).unwrap();
            paths.push(path);
        }
    }
    paths
}

#[test]
fn a_warm_pipeline_allocates_nothing_of_its_own() {
    let folder = std::env::temp_dir().join(format!("qbg-warm-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let paths = inputs(&folder);
    let files = FileOptions {
        overwrite: true,
        keep_foreign: false,
        fsync: false,
        digest: "00ff".to_owned(),
    };
    let options = Options::default();
    for scale in [Scale::Full, Scale::Maximum] {
        let mut pipeline = pipeline(scale);
        let mut jobs: Vec<Job> = Vec::new();
        for path in &paths {
            let output = folder.join("out").join(path.file_name().unwrap()).with_extension("png");
            jobs.push(Job { id: jobs.len() as u64, input: path.clone(), output });
        }
        let mut run = |job: &Job| {
            let mut trace = Trace::default();
            let status = pipeline.file(job, &options, &files, &mut trace);
            assert!(matches!(status, Status::Done), "{status:?}");
        };
        for _ in 0..2 {
            jobs.iter().for_each(&mut run);
        }
        for job in &jobs {
            let whole = counted(|| run(job));
            let (decoding, encoding) = codecs_alone(job);
            println!("{}: decoder {decoding}, encoder {encoding}", job.input.display());
            assert_eq!(whole, decoding + encoding, "{}", job.input.display());
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Allocations of a warm decoder on the input, and of a warm encoder on the output's pixels.
fn codecs_alone(job: &Job) -> (usize, usize) {
    let options = Options::default();
    let (bytes, written) =
        (std::fs::read(&job.input).unwrap(), std::fs::read(&job.output).unwrap());
    let (mut decoder, mut image) = (Decoder::default(), Image::default());
    let mut decode = || decoder.decode(&bytes, &options.limits, &mut image).unwrap();
    decode();
    let decoding = counted(&mut decode);

    let (mut decoder, mut image) = (Decoder::default(), Image::default());
    decoder.decode(&written, &options.limits, &mut image).unwrap();
    let pixels = image.rgb.chunks(3).zip(&image.alpha);
    let rgba: Vec<u8> = pixels.flat_map(|(rgb, &alpha)| [rgb[0], rgb[1], rgb[2], alpha]).collect();
    let raster = Raster::Rgba(Pixels::new(image.size, &rgba).unwrap());
    let changed = std::fs::metadata(&job.input).unwrap().modified().unwrap();
    let since = changed.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let tag = format!("qbg1:00ff.{:x}.{since:x}", bytes.len());
    let meta = Meta { digest: &tag, ..Meta::default() };
    let mut encoder = Encoder::new(Level::detect());
    let mut out = Vec::new();
    let mut encode = || encoder.run(raster, &meta, &options.encode, &mut out).unwrap();
    encode();
    (decoding, counted(&mut encode))
}

/// A network that notes how often its thread has allocated since the call before.
struct Noting(Arc<Mutex<Vec<usize>>>);

impl Infer for Noting {
    fn infer(&mut self, _tensor: Size) -> Result<(), String> {
        self.0.lock().unwrap().push(COUNT.get());
        COUNT.set(0);
        Ok(())
    }
}

/// Allocations between one picture's network and the next one's, and how many files were mapped, of
/// a batch of one worker that does the same picture 12 times.
fn repeated(picture: &Path, trial: Trial) -> (Vec<usize>, u64) {
    let counts: Arc<Mutex<Vec<usize>>> = Arc::default();
    let shape = OutputShape { channels: 1, size: Some(Size { width: SIDE, height: SIDE }) };
    let notes = Arc::clone(&counts);
    let make = move |number| {
        let slot = Pipeline::slot(&recipe(Scale::Full), shape).map_err(|kind| kind.to_string())?;
        let infer = Box::new(Noting(Arc::clone(&notes)));
        Ok(Pipeline::new(number, Level::detect(), recipe(Scale::Full), shape, slot, infer))
    };
    let setup = Setup {
        crew: Arc::new(Crew::new(1, Box::new(make))),
        places: vec![Placement::default()],
        enter: Arc::new(|body| body()),
        options: Options::default(),
        files: FileOptions {
            overwrite: true,
            keep_foreign: false,
            fsync: false,
            digest: "00ff".to_owned(),
        },
        fail_fast: true,
        journal: None,
        trial: Some(trial),
    };
    let job = Job { id: 0, input: picture.to_owned(), output: picture.with_extension("out.png") };
    let files = std::iter::repeat_n(job, 12).map(Ok);
    let mut batch = Batch::start(setup, Inputs::Files(Box::new(files)), None);
    while !batch.poll(Duration::from_secs(1)) {}
    assert_eq!(batch.progress().done, 12, "{:?}", batch.progress().failures);
    let mapped = batch.progress().mapped;
    // The first picture makes the scratch in any case, and the second may still let it grow.
    (counts.lock().unwrap().split_off(2), mapped)
}

/// 1000 x 800 pixels of three bytes: more than the 2 MiB from which on files are mapped.
fn large_picture(folder: &Path) -> PathBuf {
    let mut bytes = b"P6 1000 800 255\n".to_vec();
    bytes.extend((0..2_400_000).map(|i| (i % 251) as u8));
    let path = folder.join("large.ppm");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_trial_that_keeps_no_scratch_makes_it_anew_for_each_picture() {
    let folder = tempfile::tempdir().unwrap();
    let picture = large_picture(folder.path());
    let (kept, _) = repeated(&picture, Trial::default());
    let (given_back, _) = repeated(&picture, Trial { reuse: false, ..Trial::default() });
    println!("kept {kept:?}, given back {given_back:?}");
    let (most, least) = (kept.iter().max().unwrap(), given_back.iter().min().unwrap());
    // File, pixels, alpha, cut-out, encoded bytes and the rows of the stages between them.
    assert!(most + 6 <= *least, "kept {kept:?}, given back {given_back:?}");
}

#[test]
fn a_trial_that_maps_nothing_reads_large_files() {
    let folder = tempfile::tempdir().unwrap();
    let picture = large_picture(folder.path());
    let (_, mapped) = repeated(&picture, Trial::default());
    let possible =
        cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));
    assert_eq!(mapped, if possible { 12 } else { 0 });
    assert_eq!(repeated(&picture, Trial { mmap: false, ..Trial::default() }).1, 0);
}
