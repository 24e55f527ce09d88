//! The way of one image, on one thread: map, decode, preprocess, infer, mask, composite, encode,
//! write. This is the only file that names all stages, and it names them in this order.
//!
//! A `Pipeline` belongs to one worker. It owns the worker's tensors and every scratch buffer, so
//! a warm one allocates nothing of its own. It must not know threads, queues, or who calls it;
//! the network is behind [`Infer`].

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::backdrop::{self, Backdrop};
use crate::composite::{self, Compositor};
use crate::decode::{self, Decoder, icc};
use crate::encode::{self, Encoder};
use crate::error::{Error, Kind, Stage};
use crate::image::{Density, Raster, Size};
use crate::mapped::{self, Mapped};
use crate::mask::Masker;
use crate::mask::refine::{self, Refiner};
use crate::memory::{self, Budget, Share};
use crate::meter::{Stages, Stopwatch};
use crate::preprocess::{self, Preprocessor, ToSrgb};
use crate::recipe::{Geometry, Recipe};
use crate::resample::Resampler;
use crate::simd::Level;
use crate::sink::{self, Claim, Existing, Sink};
use crate::slot::{Slot, Tensor};
use crate::source::Job;

/// The network, bound to one worker's slot.
pub trait Infer: Send {
    /// Runs it on the input tensor, which is filled as (1, 3, `tensor.height`, `tensor.width`).
    /// The error is the engine's own text.
    fn infer(&mut self, tensor: Size) -> Result<(), String>;
}

/// What lies behind the subject.
#[derive(Clone, Debug, Default)]
pub enum Background {
    /// Nothing: the cut-out is transparent.
    #[default]
    None,
    /// Red, green, blue, alpha.
    Color([u8; 4]),
    /// A picture, cover-fitted.
    Picture(Arc<backdrop::Picture>),
}

/// Everything a caller can ask for, for one image.
#[derive(Clone, Debug)]
pub struct Options {
    /// When files are mapped, and the longest that is taken.
    pub mapped: mapped::Options,
    /// Caps, checked before anything is allocated.
    pub limits: decode::Limits,
    /// Whether alpha's edges are moved to the picture's; None: as the recipe has it.
    pub edges: Option<bool>,
    /// What is done to alpha after that.
    pub refine: refine::Options,
    /// How colors and alpha meet.
    pub composite: composite::Options,
    /// What lies behind.
    pub background: Background,
    /// The output's format.
    pub encode: encode::Options,
    /// What large pictures share; None: as much as they like.
    pub memory: Option<Arc<Budget>>,
}

impl Options {
    /// What a picture of this format takes.
    fn bytes_per_pixel(&self, format: &str) -> u64 {
        let jpeg = format == "JPEG";
        let lossy = self.encode.format == encode::Format::Webp && self.encode.quality.is_some();
        let before = if jpeg { memory::JPEG_BYTES_PER_PIXEL } else { memory::BYTES_PER_PIXEL };
        before + if lossy { memory::LOSSY_WEBP_BYTES_PER_PIXEL } else { 0 }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mapped: mapped::Options::default(),
            limits: decode::Limits::default(),
            edges: None,
            refine: refine::Options::default(),
            composite: composite::Options::default(),
            background: Background::None,
            encode: encode::Options::new(encode::Format::Png),
            memory: None,
        }
    }
}

/// Options of writing files.
#[derive(Clone, Debug, Default)]
pub struct FileOptions {
    /// Redo outputs that are up to date.
    pub overwrite: bool,
    /// Pass over inputs whose output is somebody else's picture, in place of failing on them.
    pub keep_foreign: bool,
    /// Make each output durable before it is renamed.
    pub fsync: bool,
    /// Tag of model and options, written into every output with the input's length and time of
    /// change behind it, so that another input's output isn't taken for this one's.
    pub digest: String,
}

/// The network's output shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputShape {
    /// Channels.
    pub channels: usize,
    /// Height and width; None when they are the input tensor's.
    pub size: Option<Size>,
}

/// One image, however it comes.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A file.
    Path(&'a Path),
    /// A file's bytes.
    Bytes(&'a [u8]),
    /// Interleaved 8-bit pixels.
    Pixels {
        /// Width and height.
        size: Size,
        /// 3 (RGB) or 4 (RGB and straight alpha).
        channels: usize,
        /// `size.pixels() * channels` bytes.
        data: &'a [u8],
    },
}

impl<'a> Input<'a> {
    fn path(&self) -> Option<&'a Path> {
        match self {
            Input::Path(path) => Some(path),
            _ => None,
        }
    }
}

/// What was seen on the way of one image.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    /// The stage that was begun last.
    pub stage: Stage,
    /// Nanoseconds per stage.
    pub stages: Stages,
    /// Pixels of the input.
    pub pixels: u64,
    /// Bytes of the input file.
    pub bytes_in: u64,
    /// The input file was mapped, not read.
    pub mapped: bool,
    /// Bytes of the output file.
    pub bytes_out: u64,
    /// The input is an animation; only its first frame was used.
    pub animated: bool,
    /// The input's color profile is unusable and was ignored.
    pub broken_profile: bool,
    /// Why an existing output was redone.
    pub redone: Option<&'static str>,
    /// Another run was making the output.
    pub taken: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            stage: Stage::Discover,
            stages: Stages::default(),
            pixels: 0,
            bytes_in: 0,
            mapped: false,
            bytes_out: 0,
            animated: false,
            broken_profile: false,
            redone: None,
            taken: false,
        }
    }
}

impl Trace {
    /// Things worth a line that are no failure.
    pub fn notes(&self) -> impl Iterator<Item = &'static str> {
        let animated = self.animated.then_some("animation: only the first frame was used");
        let profile = self.broken_profile.then_some("unusable color profile: ignored");
        let taken = self.taken.then_some("left to another run, which is making its output");
        [animated, profile, self.redone, taken].into_iter().flatten()
    }

    /// Runs one stage, books its time, and adds stage and path to what it may report.
    fn step<T>(
        &mut self,
        stage: Stage,
        path: Option<&Path>,
        work: impl FnOnce() -> Result<T, Kind>,
    ) -> Result<T, Error> {
        self.stage = stage;
        let mut stopwatch = Stopwatch::start();
        let result = work();
        #[cfg(feature = "faults")]
        crate::faults::panic_now_and_then(stage);
        stopwatch.lap(stage, &mut self.stages);
        result.map_err(|kind| kind.at(stage, path))
    }
}

/// A finished picture, in the pipeline's memory until the next one.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// The cut-out, or alpha.
    pub raster: Raster<'a>,
    /// The RGB profile that the colors are in; None: sRGB.
    pub icc: Option<&'a [u8]>,
    /// The input's physical density.
    pub density: Option<Density>,
}

/// How one file ended.
#[derive(Debug)]
pub enum Status {
    /// The output is written.
    Done,
    /// The output was up to date.
    Skipped,
    /// Another run is making the output at this moment.
    Taken,
    /// Nothing was written.
    Failed(Box<Error>),
}

/// One worker's stages, tensors and scratch.
pub struct Pipeline {
    front: Front,
    encoder: Encoder,
    encoded: Vec<u8>,
    sink: Sink,
    claim: Claim,
    tag: String,
}

/// Everything up to the raster, apart from the encoder so that both can be borrowed.
struct Front {
    level: Level,
    recipe: Recipe,
    shape: OutputShape,
    slot: Slot,
    infer: Box<dyn Infer>,
    file: Vec<u8>,
    decoder: Decoder,
    image: decode::Image,
    preprocessor: Preprocessor,
    masker: Masker,
    refiner: Refiner,
    alpha: Vec<u8>,
    backdrop: Backdrop,
    resampler: Resampler,
    compositor: Compositor,
    /// A large picture's, from its header to [`Pipeline::settle`].
    share: Option<Share>,
}

impl Pipeline {
    /// A slot that fits the recipe and the network's output.
    pub fn slot(recipe: &Recipe, shape: OutputShape) -> Result<Slot, Kind> {
        let largest = preprocess::largest(&recipe.input);
        let floats = |size: Size, channels: usize| {
            size.width.saturating_mul(size.height).saturating_mul(channels)
        };
        Ok(Slot {
            input: Tensor::new(floats(largest, 3))?,
            output: Tensor::new(floats(shape.size.unwrap_or(largest), shape.channels))?,
        })
    }

    /// A pipeline whose network is bound to `slot`, which [`Pipeline::slot`] made for the same
    /// recipe and shape. `number` tells it from the process's other pipelines.
    pub fn new(
        number: usize,
        level: Level,
        recipe: Recipe,
        shape: OutputShape,
        slot: Slot,
        infer: Box<dyn Infer>,
    ) -> Self {
        let front = Front {
            level,
            recipe,
            shape,
            slot,
            infer,
            file: Vec::new(),
            decoder: Decoder::new(level),
            image: decode::Image::default(),
            preprocessor: Preprocessor::new(level),
            masker: Masker::new(level),
            refiner: Refiner::new(),
            alpha: Vec::new(),
            backdrop: Backdrop::default(),
            resampler: Resampler::new(level),
            compositor: Compositor::new(level),
            share: None,
        };
        Self {
            front,
            encoder: Encoder::new(level),
            encoded: Vec::new(),
            sink: Sink::new(number),
            claim: Claim::default(),
            tag: String::new(),
        }
    }

    /// File to file. Nothing is written unless all of it succeeds.
    pub fn file(
        &mut self,
        job: &Job,
        options: &Options,
        files: &FileOptions,
        trace: &mut Trace,
    ) -> Status {
        self.make_tag(&job.input, &files.digest);
        if let Some(status) = self.settled(job, files, trace) {
            return status;
        }
        if !self.claim.take(&job.output) {
            trace.taken = true;
            return Status::Taken;
        }
        // Looked at again: its maker may have let go of it since.
        let status = match self.settled(job, files, trace) {
            Some(status) => status,
            None => match self.write(job, options, files, trace) {
                Ok(()) => Status::Done,
                Err(error) => Status::Failed(Box::new(error)),
            },
        };
        self.claim.release();
        self.settle();
        status
    }

    /// To be called when a picture's result is no longer needed: gives back the memory that a large
    /// one took, and its part of the budget.
    pub fn settle(&mut self) {
        if let Some(share) = self.front.share.take() {
            self.forget();
            drop(share);
        }
    }

    /// How the file ends because of what is there already; None: it is to be done.
    fn settled(&self, job: &Job, files: &FileOptions, trace: &mut Trace) -> Option<Status> {
        if files.overwrite {
            return None;
        }
        match sink::existing(&job.input, &job.output, &self.tag) {
            Existing::UpToDate => return Some(Status::Skipped),
            Existing::Stale(reason) => trace.redone = Some(reason),
            Existing::Foreign if files.keep_foreign => return Some(Status::Skipped),
            Existing::Foreign => {
                let error = Kind::Foreign.at(Stage::Write, Some(&job.output));
                return Some(Status::Failed(Box::new(error)));
            }
            Existing::None => trace.redone = None,
        }
        None
    }

    /// One call of the network on whatever its input tensor holds, taken to be as large as can be.
    /// For measuring all that isn't a picture.
    pub fn call(&mut self, trace: &mut Trace) -> Status {
        let tensor = preprocess::largest(&self.front.recipe.input);
        match self.front.infer(None, tensor, trace) {
            Ok(()) => Status::Done,
            Err(error) => Status::Failed(Box::new(error)),
        }
    }

    fn write(
        &mut self,
        job: &Job,
        options: &Options,
        files: &FileOptions,
        trace: &mut Trace,
    ) -> Result<(), Error> {
        let tag = std::mem::take(&mut self.tag);
        let encoded = self.encoded(Input::Path(&job.input), options, &tag, trace).map(drop);
        self.tag = tag;
        encoded?;
        let Self { sink, encoded, .. } = self;
        trace.step(Stage::Write, Some(&job.output), || {
            sink.write(Some(&job.input), &job.output, encoded, files.fsync)
        })
    }

    /// `qbg1:`, the digest, the input's length and its time of change in nanoseconds, in hex.
    fn make_tag(&mut self, input: &Path, digest: &str) {
        self.tag.clear();
        // An input that can't be looked at fails at the map stage, with its reason.
        let (length, changed_ns) = std::fs::metadata(input).map_or((0, 0), |found| {
            let since = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            (found.len(), since.map_or(0, |since| since.as_nanos()))
        });
        // Writing to a string can't fail.
        let _ = write!(self.tag, "qbg1:{digest}.{length:x}.{changed_ns:x}");
    }

    /// Gives all scratch memory back: the next image makes it anew. The slot, which the network is
    /// bound to, stays. To measure what keeping it is worth.
    pub fn forget(&mut self) {
        let Front { level, file, decoder, image, preprocessor, masker, .. } = &mut self.front;
        let level = *level;
        (*file, *image) = (Vec::new(), decode::Image::default());
        *decoder = Decoder::new(level);
        *preprocessor = Preprocessor::new(level);
        *masker = Masker::new(level);
        let Front { refiner, alpha, backdrop, resampler, compositor, .. } = &mut self.front;
        *refiner = Refiner::new();
        (*alpha, *backdrop) = (Vec::new(), Backdrop::default());
        *resampler = Resampler::new(level);
        *compositor = Compositor::new(level);
        self.encoder = Encoder::new(level);
        self.encoded = Vec::new();
    }

    /// One image to a file's bytes, tagged with `digest` unless that is empty.
    pub fn encoded(
        &mut self,
        input: Input<'_>,
        options: &Options,
        digest: &str,
        trace: &mut Trace,
    ) -> Result<&[u8], Error> {
        let Self { front, encoder, encoded, .. } = self;
        let Picture { raster, icc, density } = front.raster(input, options, trace)?;
        let meta = encode::Meta { icc, density, digest };
        trace.step(Stage::Encode, input.path(), || {
            encoder.run(raster, &meta, &options.encode, encoded)
        })?;
        trace.bytes_out = encoded.len() as u64;
        Ok(encoded)
    }

    /// One image to the pixels of its cut-out, and the profile that they are in.
    pub fn raster(
        &mut self,
        input: Input<'_>,
        options: &Options,
        trace: &mut Trace,
    ) -> Result<Picture<'_>, Error> {
        self.front.raster(input, options, trace)
    }
}

impl Front {
    fn raster(
        &mut self,
        input: Input<'_>,
        options: &Options,
        trace: &mut Trace,
    ) -> Result<Picture<'_>, Error> {
        let path = input.path();
        self.share = None; // a result that nobody settled
        self.load(input, options, trace)?;
        let geometry = self.preprocess(path, trace)?;
        self.infer(path, geometry.tensor, trace)?;
        self.mask(path, geometry, options, trace)?;
        self.composite(path, options, trace)
    }

    /// Map and decode.
    fn load(
        &mut self,
        input: Input<'_>,
        options: &Options,
        trace: &mut Trace,
    ) -> Result<(), Error> {
        let Self { file, decoder, image, share, .. } = self;
        let mapping = &options.mapped;
        let mut decode = |bytes: &[u8]| decode_within(bytes, options, decoder, image, share);
        match input {
            Input::Path(path) => {
                let at = Some(path);
                let mapped = trace.step(Stage::Map, at, || Mapped::open(path, file, *mapping))?;
                trace.bytes_in = mapped.bytes().len() as u64;
                trace.mapped = mapped.is_mapped();
                let decoded = trace.step(Stage::Decode, at, || decode(mapped.bytes()));
                // A file that shrank explains whatever the decoder made of it.
                trace.step(Stage::Map, at, || mapped.check())?;
                decoded?;
            }
            Input::Bytes(bytes) => {
                trace.bytes_in = bytes.len() as u64;
                trace.step(Stage::Decode, None, || decode(bytes))?;
            }
            Input::Pixels { size, channels, data } => {
                // Whoever made the pixels had room for them.
                let limits = &options.limits;
                trace
                    .step(Stage::Decode, None, || image.set_pixels(size, channels, data, limits))?;
            }
        }
        trace.pixels = image.size.pixels() as u64;
        trace.animated = image.animated;
        trace.broken_profile = image.icc_ignored;
        Ok(())
    }

    fn preprocess(&mut self, path: Option<&Path>, trace: &mut Trace) -> Result<Geometry, Error> {
        let Self { recipe, slot, decoder, image, preprocessor, .. } = self;
        let result = trace.step(Stage::Preprocess, path, || {
            let rgb = image.pixels()?;
            let wanted = preprocess::geometry(&recipe.input, image.size).tensor;
            let tensor =
                slot.input.get_mut(wanted.pixels() * 3).ok_or_else(|| too_large(wanted))?;
            let mut broken = false;
            let mut to_srgb = |rows: &mut [u8]| {
                broken |= decoder.icc().to_srgb(&image.icc, rows) == icc::Outcome::Unusable;
            };
            let convert: Option<&mut ToSrgb<'_>> =
                if image.icc.is_empty() { None } else { Some(&mut to_srgb) };
            let geometry = preprocessor.run(rgb, &recipe.input, convert, tensor)?;
            Ok((geometry, broken))
        });
        let (geometry, broken) = result?;
        trace.broken_profile |= broken;
        Ok(geometry)
    }

    fn infer(&mut self, path: Option<&Path>, tensor: Size, trace: &mut Trace) -> Result<(), Error> {
        trace.step(Stage::Infer, path, || {
            self.infer.infer(tensor).map_err(|message| Kind::Infer { message })
        })
    }

    fn mask(
        &mut self,
        path: Option<&Path>,
        geometry: Geometry,
        options: &Options,
        trace: &mut Trace,
    ) -> Result<(), Error> {
        let Self { recipe, shape, slot, image, masker, refiner, alpha, .. } = self;
        trace.step(Stage::Mask, path, || {
            let size = shape.size.unwrap_or(geometry.tensor);
            let logits = slot.output.get(size.pixels() * shape.channels);
            let logits = logits.ok_or_else(|| too_large(size))?;
            masker.run(
                logits,
                shape.channels,
                size,
                &geometry,
                &recipe.output,
                image.size,
                alpha,
            )?;
            if options.edges.unwrap_or(recipe.output.refine) {
                masker.sharpen(image.pixels()?, alpha)?;
            }
            refiner.run(alpha, image.size, &options.refine)
        })
    }

    fn composite(
        &mut self,
        path: Option<&Path>,
        options: &Options,
        trace: &mut Trace,
    ) -> Result<Picture<'_>, Error> {
        let Self { image, alpha, backdrop, resampler, compositor, .. } = self;
        let raster = trace.step(Stage::Composite, path, || {
            let rgb = image.pixels()?;
            let own_alpha = image.alpha_plane()?;
            let background = match &options.background {
                Background::None => composite::Background::None,
                Background::Color(rgba) => composite::Background::Color(*rgba),
                Background::Picture(picture) => {
                    composite::Background::Image(backdrop.fit(picture, image.size, resampler)?)
                }
            };
            compositor.run(rgb, alpha, own_alpha, background, &options.composite)
        })?;
        let icc = (!image.icc.is_empty()).then_some(image.icc.as_slice());
        Ok(Picture { raster, icc, density: image.density })
    }
}

/// Decodes; a picture that is large takes its part of the budget first.
///
/// Its size is learned from the decoder's refusal, which comes before anything is allocated.
fn decode_within(
    bytes: &[u8],
    options: &Options,
    decoder: &mut Decoder,
    image: &mut decode::Image,
    share: &mut Option<Share>,
) -> Result<(), Kind> {
    let limits = &options.limits;
    let Some(budget) = &options.memory else { return decoder.decode(bytes, limits, image) };
    let max_pixels = limits.max_pixels.min(budget.small_px());
    let first = decoder.decode(bytes, &decode::Limits { max_pixels, ..*limits }, image);
    match first {
        Err(Kind::TooManyPixels { width, height, .. })
            if width.saturating_mul(height) <= limits.max_pixels =>
        {
            *share = budget.take(width, height, options.bytes_per_pixel(image.format))?;
            decoder.decode(bytes, limits, image)
        }
        Err(Kind::TooManyPixels { width, height, .. }) => {
            Err(Kind::TooManyPixels { width, height, limit_px: limits.max_pixels })
        }
        other => other,
    }
}

fn too_large(size: Size) -> Kind {
    let message = format!("a {}x{} tensor does not fit the slot", size.width, size.height);
    Kind::Tensor { message }
}
