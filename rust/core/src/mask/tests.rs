//! The kernels against float64, every level against the definition, and hostile numbers.

use super::*;
use crate::recipe::Filter;
use crate::resample::testing::levels;

const fn size(width: usize, height: usize) -> Size {
    Size { width, height }
}

fn whole(tensor: Size) -> Geometry {
    Geometry { tensor, content: Rect { x: 0, y: 0, size: tensor } }
}

fn output(activation: Activation, min_max: bool, rounding: Rounding) -> Output {
    Output { channel: 0, activation, min_max, rounding, filter: Filter::Lanczos, refine: false }
}

/// Alpha at the map's own size.
fn alpha(level: Level, logits: &[f32], output: &Output) -> Vec<u8> {
    let map = size(logits.len(), 1);
    let mut alpha = Vec::new();
    let mut masker = Masker::new(level);
    masker.run(logits, 1, map, &whole(map), output, map, &mut alpha).unwrap();
    alpha
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 37.7) % 24.0 - 12.0).collect()
}

#[test]
fn sigmoid_is_within_1e_6_of_float64() {
    let mut values: Vec<f32> = (-200_000..200_000).map(|i| i as f32 * 5e-4).collect();
    let inputs = values.clone();
    scalar::sigmoid(&mut values);
    for (x, got) in inputs.iter().zip(values) {
        let want = 1.0 / (1.0 + (-f64::from(*x)).exp());
        assert!((f64::from(got) - want).abs() <= 1e-6, "{x}: {got} {want}");
    }
}

#[test]
fn every_level_equals_the_definition_bit_for_bit() {
    for level in levels() {
        for count in (1..70).chain([127, 255, 1009]) {
            let logits = ramp(count);
            for activation in [Activation::None, Activation::Sigmoid] {
                for rounding in [Rounding::Truncate, Rounding::Nearest] {
                    for min_max in [false, true] {
                        let output = output(activation, min_max, rounding);
                        let got = alpha(level, &logits, &output);
                        let want = alpha(Level::SCALAR, &logits, &output);
                        assert_eq!(got, want, "{} {count} {output:?}", level.name());
                    }
                }
            }
        }
    }
}

#[test]
fn min_max_and_rounding_follow_the_formula_in_float32() {
    let logits = [0.25f32, 0.5, 0.75, 0.4, 0.31];
    let truncated =
        alpha(Level::detect(), &logits, &output(Activation::None, true, Rounding::Truncate));
    let nearest =
        alpha(Level::detect(), &logits, &output(Activation::None, true, Rounding::Nearest));
    for (i, &p) in logits.iter().enumerate() {
        let stretched = (p - 0.25) / 0.5 * 255.0;
        assert_eq!(truncated[i], stretched as u8);
        assert_eq!(nearest[i], (stretched + 0.5) as u8);
    }
}

#[test]
fn infinities_are_large_numbers_and_what_is_no_number_is_refused() {
    let map = size(70, 1);
    for place in [0, 8, 69] {
        let mut logits = ramp(70);
        logits[place] = f32::NAN;
        let output = output(Activation::Sigmoid, true, Rounding::Nearest);
        let mut masker = Masker::new(Level::detect());
        let ran = masker.run(&logits, 1, map, &whole(map), &output, map, &mut Vec::new());
        assert!(matches!(ran, Err(Kind::Tensor { .. })));
    }
    let logits = [f32::NEG_INFINITY, f32::INFINITY, f32::NEG_INFINITY, 0.0, 1.0];
    for level in levels() {
        let none = alpha(level, &logits, &output(Activation::None, false, Rounding::Nearest));
        assert_eq!(none, [0, 255, 0, 0, 255]);
        let sigmoid = alpha(level, &logits, &output(Activation::Sigmoid, false, Rounding::Nearest));
        assert_eq!(sigmoid, [0, 255, 0, 128, 186]);
        let stretched =
            alpha(level, &logits, &output(Activation::Sigmoid, true, Rounding::Nearest));
        assert_eq!(stretched[..3], [0, 255, 0]);
    }
}

#[test]
fn a_constant_map_is_not_stretched() {
    for value in [0.0, 0.3, 1.0, 7.0] {
        let got =
            alpha(Level::detect(), &[value; 9], &output(Activation::None, true, Rounding::Nearest));
        assert_eq!(got, [(value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8; 9]);
    }
}

#[test]
fn softmax_takes_its_channel_against_the_others() {
    let logits = [1.0f32, 90.0, f32::INFINITY, /* second channel */ 3.0, -90.0, f32::INFINITY];
    let mut output = output(Activation::Softmax, false, Rounding::Nearest);
    for (channel, want) in [(0, [30, 255, 128]), (1, [225, 0, 128])] {
        output.channel = channel;
        let mut alpha = Vec::new();
        let mut masker = Masker::new(Level::detect());
        let map = size(3, 1);
        masker.run(&logits, 2, map, &whole(map), &output, map, &mut alpha).unwrap();
        assert_eq!(alpha, want);
    }
}

#[test]
fn only_the_letterboxed_part_is_shown_and_stretched() {
    // A 4x4 map of an 8x8 tensor whose rows 2..6 show the picture: map rows 1 and 2.
    let geometry = Geometry { tensor: size(8, 8), content: Rect { x: 0, y: 2, size: size(8, 4) } };
    let mut logits = vec![100.0f32; 16];
    logits[4..8].fill(0.25);
    logits[8..12].fill(0.75);
    let output = output(Activation::None, true, Rounding::Nearest);
    let mut alpha = Vec::new();
    let mut masker = Masker::new(Level::detect());
    masker.run(&logits, 1, size(4, 4), &geometry, &output, size(4, 2), &mut alpha).unwrap();
    assert_eq!(alpha, [0, 0, 0, 0, 255, 255, 255, 255]);
}

#[test]
fn outputs_of_another_shape_are_refused() {
    let map = size(2, 2);
    let mut masker = Masker::new(Level::SCALAR);
    let mut run = |logits: &[f32], channels, map, channel| {
        let mut output = output(Activation::None, false, Rounding::Nearest);
        output.channel = channel;
        masker.run(logits, channels, map, &whole(size(2, 2)), &output, size(4, 4), &mut Vec::new())
    };
    assert!(run(&[0.0; 4], 1, map, 0).is_ok());
    assert!(run(&[0.0; 5], 1, map, 0).is_err());
    assert!(run(&[0.0; 4], 1, map, 1).is_err());
    assert!(run(&[], 0, map, 0).is_err());
    assert!(run(&[], 1, size(0, 0), 0).is_err());
}

/// A soft disc, and noise for a picture, both from a seed.
fn scene(map: Size, picture: Size, seed: u32) -> (Vec<f32>, Vec<u8>) {
    let radius = 0.2 + (seed % 5) as f32 * 0.05;
    let level = |i: usize| {
        let x = (i % map.width) as f32 / map.width as f32 - 0.5;
        let y = (i / map.width) as f32 / map.height as f32 - 0.5;
        ((radius - x.hypot(y)) * 8.0 + 0.5).clamp(0.0, 1.0)
    };
    let mut state = seed | 1;
    let noise = (0..picture.pixels() * 3).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    ((0..map.pixels()).map(level).collect(), noise.collect())
}

#[test]
fn sharpened_alpha_is_the_same_whatever_was_sharpened_before() {
    let output = output(Activation::None, false, Rounding::Nearest);
    let mut used = Masker::new(Level::detect());
    for (seed, map, picture) in [
        (1, size(32, 24), size(200, 100)),
        (2, size(40, 40), size(90, 130)),
        (3, size(16, 16), size(13, 7)),
        (4, size(32, 24), size(200, 100)),
    ] {
        let (logits, colors) = scene(map, picture, seed);
        let photo = Pixels::<3>::new(picture, &colors).unwrap();
        let run = |masker: &mut Masker| {
            let mut alpha = Vec::new();
            masker.run(&logits, 1, map, &whole(map), &output, picture, &mut alpha).unwrap();
            let before = alpha.clone();
            masker.sharpen(photo, &mut alpha).unwrap();
            assert_ne!(alpha, before);
            alpha
        };
        let fresh = run(&mut Masker::new(Level::detect()));
        assert_eq!(run(&mut used), fresh);
    }
}

#[test]
fn only_alpha_of_the_pictures_size_is_sharpened() {
    let (map, picture) = (size(8, 8), size(20, 10));
    let (logits, colors) = scene(map, picture, 1);
    let photo = Pixels::<3>::new(picture, &colors).unwrap();
    let output = output(Activation::None, false, Rounding::Nearest);
    let mut masker = Masker::new(Level::SCALAR);
    assert!(masker.sharpen(photo, &mut [0; 200]).is_err(), "there is no map yet");
    masker.run(&logits, 1, map, &whole(map), &output, picture, &mut Vec::new()).unwrap();
    assert!(masker.sharpen(photo, &mut [0; 199]).is_err());
}
