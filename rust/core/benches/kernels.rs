//! The pixel kernels at each level of this CPU: median and least time, and bytes per second.
//!
//! `cargo bench -p qbg-core --bench kernels`. Pictures are drawn, with soft edges and noise. Each
//! case runs round by round over all levels, so that a slow moment of the machine hits all alike.
//! Compare levels within one run; rates against other programs are `benches/spine.py`'s business.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a bench may

use qbg_core::composite::{self, Compositor};
use qbg_core::decode::{Decoder, Image, Limits};
use qbg_core::encode::{self, Encoder, Meta};
use qbg_core::image::{Pixels, Raster, Rect, Size};
use qbg_core::mask::Masker;
use qbg_core::meter::now_ns;
use qbg_core::preprocess::Preprocessor;
use qbg_core::recipe::{Activation, Filter, Fit, Geometry, Input, Output, Rounding, Scale};
use qbg_core::simd::Level;

const ROUNDS: usize = 9;
const SMALL: Size = Size { width: 640, height: 480 };
const LARGE: Size = Size { width: 4032, height: 3024 };
const TENSOR: Size = Size { width: 320, height: 320 };

/// A picture with gradients and noise of a few levels, as a photo has.
fn photo(size: Size) -> Vec<u8> {
    let mut state = 1u32;
    let mut rgb = Vec::with_capacity(size.pixels() * 3);
    for y in 0..size.height {
        for x in 0..size.width {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 29) as usize;
            let wave = (x * 400 / size.width) ^ (y * 300 / size.height);
            rgb.extend(
                [wave + noise, x * 200 / size.width + noise, y * 200 / size.height + noise]
                    .map(|level| (level % 256) as u8),
            );
        }
    }
    rgb
}

/// An ellipse whose edge is soft over about 2 % of the width.
fn alpha(size: Size) -> Vec<u8> {
    let mut plane = Vec::with_capacity(size.pixels());
    for y in 0..size.height {
        for x in 0..size.width {
            let dx = x as f32 / size.width as f32 - 0.5;
            let dy = y as f32 / size.height as f32 - 0.5;
            let inside = 0.35 - (dx * dx * 1.8 + dy * dy).sqrt();
            plane.push((inside * 50.0 * 255.0).clamp(0.0, 255.0) as u8);
        }
    }
    plane
}

/// Times `work` once for each level and round, after one round that isn't counted.
fn case<W: FnMut()>(name: &str, bytes: usize, mut make: impl FnMut(Level) -> W) {
    let levels = Level::available();
    let mut works: Vec<W> = levels.iter().map(|&level| make(level)).collect();
    let mut times = vec![Vec::new(); levels.len()];
    for round in 0..=ROUNDS {
        for (work, times) in works.iter_mut().zip(&mut times) {
            let before = now_ns();
            work();
            if round > 0 {
                times.push(now_ns() - before);
            }
        }
    }
    for (level, mut times) in levels.iter().zip(times) {
        times.sort_unstable();
        let (median, least) = (times[ROUNDS / 2], times[0]);
        let rate = bytes as f64 / median as f64;
        let (median, least) = (median as f64 / 1e6, least as f64 / 1e6);
        println!(
            "{name:<34} {:<7} {median:>9.3} ms  least {least:>9.3}  {rate:>6.2} GB/s",
            level.name()
        );
    }
}

fn main() {
    println!("{ROUNDS} rounds, medians; rate: bytes of the picture's RGB over the median");
    let input = Input {
        fit: Fit::Squash { size: TENSOR },
        filter: Filter::Lanczos,
        scale: Scale::Maximum,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };
    let output = Output {
        channel: 0,
        activation: Activation::Sigmoid,
        min_max: true,
        rounding: Rounding::Truncate,
        filter: Filter::Lanczos,
        refine: false,
    };
    let whole = Geometry { tensor: TENSOR, content: Rect { x: 0, y: 0, size: TENSOR } };
    // Without cargo bench's `--bench` (as under `cargo test --benches`) the small ones are enough.
    let all = std::env::args().any(|argument| argument == "--bench");
    let sizes = if all { &[SMALL, LARGE][..] } else { &[SMALL][..] };
    for &size in sizes {
        let (rgb, plane) = (photo(size), alpha(size));
        let bytes = rgb.len();
        let label = |what: &str| format!("{what} {}x{}", size.width, size.height);
        let view = Pixels::<3>::new(size, &rgb).unwrap();

        case(&label("preprocess"), bytes, |level| {
            let mut preprocessor = Preprocessor::new(level);
            let mut tensor = vec![0.0; TENSOR.pixels() * 3];
            let input = &input;
            move || {
                preprocessor.run(view, input, None, &mut tensor).unwrap();
            }
        });
        let logits: Vec<f32> =
            alpha(TENSOR).iter().map(|&level| f32::from(level) / 16.0 - 8.0).collect();
        case(&label("mask"), bytes, |level| {
            let mut masker = Masker::new(level);
            let mut alpha = Vec::new();
            let (logits, whole, output) = (&logits, &whole, &output);
            move || masker.run(logits, 1, TENSOR, whole, output, size, &mut alpha).unwrap()
        });
        case(&label("sharpen"), bytes, |level| {
            let mut masker = Masker::new(level);
            let mut alpha = Vec::new();
            masker.run(&logits, 1, TENSOR, &whole, &output, size, &mut alpha).unwrap();
            move || masker.sharpen(view, &mut alpha).unwrap()
        });
        case(&label("composite"), bytes, |level| {
            let mut compositor = Compositor::new(level);
            let (alpha, options) = (&plane, composite::Options::default());
            move || {
                let background = composite::Background::None;
                compositor.run(view, alpha, None, background, &options).unwrap();
            }
        });
        let rgba: Vec<u8> = rgb
            .chunks(3)
            .zip(&plane)
            .flat_map(|(rgb, &a)| if a == 0 { [0; 4] } else { [rgb[0], rgb[1], rgb[2], a] })
            .collect();
        let png = encode::Options::new(encode::Format::Png);
        case(&label("encode png"), bytes, |level| {
            let (mut encoder, mut out) = (Encoder::new(level), Vec::new());
            let raster = Raster::Rgba(Pixels::new(size, &rgba).unwrap());
            move || encoder.run(raster, &Meta::default(), &png, &mut out).unwrap()
        });
        let mut jpeg = Vec::new();
        let options = encode::Options::new(encode::Format::Jpeg);
        Encoder::new(Level::detect())
            .run(Raster::Rgb(view), &Meta::default(), &options, &mut jpeg)
            .unwrap();
        case(&label("decode jpeg"), bytes, |level| {
            let (mut decoder, mut image) = (Decoder::new(level), Image::default());
            let jpeg = &jpeg;
            move || decoder.decode(jpeg, &Limits::default(), &mut image).unwrap()
        });
    }
}
