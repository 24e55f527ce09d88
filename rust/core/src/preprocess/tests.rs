//! Every level against the definition, the definition against float64, and the geometry's table.

use super::*;
use crate::image::Pixels;
use crate::recipe::Filter;
use crate::resample::testing::levels;

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn input(fit: Fit, scale: Scale) -> Input {
    Input { fit, filter: Filter::Lanczos, scale, mean: MEAN, std: STD }
}

const fn size(width: usize, height: usize) -> Size {
    Size { width, height }
}

/// Period 251: two swapped groups can't look alike.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i % 251) as u8).collect()
}

#[test]
fn every_level_normalizes_like_the_definition_and_nothing_outside_the_row() {
    let affine = Affine::new(&input(Fit::Squash { size: size(1, 1) }, Scale::Full), 255.0);
    for level in levels() {
        for width in (0..=35).chain([61, 127, 128, 131]) {
            for start in 0..4 {
                let bytes = pattern(start + width * 3);
                let rgb = &bytes[start..];
                let mut rows = vec![[7.5f32; 160]; 3];
                let [red, green, blue] = &mut rows[..] else { unreachable!() };
                let range = start..start + width;
                let planes =
                    [&mut red[range.clone()], &mut green[range.clone()], &mut blue[range.clone()]];
                normalize(level, rgb, &affine, planes);
                for (c, row) in rows.iter().enumerate() {
                    for (x, &value) in row.iter().enumerate() {
                        let want = match range.contains(&x) {
                            true => affine.apply(c, rgb[(x - start) * 3 + c]),
                            false => 7.5,
                        };
                        assert_eq!(value, want, "{} width {width} at {x}", level.name());
                    }
                }
            }
        }
    }
}

#[test]
fn the_definition_is_the_formula_within_1e_6() {
    for scale in [255.0, 1.0, 130.0] {
        let affine = Affine::new(&input(Fit::Squash { size: size(1, 1) }, Scale::Full), scale);
        for c in 0..3 {
            for level in 0..=(scale as u8) {
                let (mean, std) = (f64::from(MEAN[c]), f64::from(STD[c]));
                let want = (f64::from(level) / scale - mean) / std;
                assert!((f64::from(affine.apply(c, level)) - want).abs() <= 1e-6);
            }
        }
    }
}

#[test]
fn fused_equals_resize_then_normalize() {
    let from = size(53, 41);
    let data = pattern(from.pixels() * 3);
    for level in levels() {
        for scale in [Scale::Full, Scale::Maximum] {
            let input = input(Fit::Squash { size: size(37, 29) }, scale);
            let mut out = vec![0.0; 37 * 29 * 3];
            let image = Pixels::new(from, &data).unwrap();
            Preprocessor::new(level).run(image, &input, None, &mut out).unwrap();

            let mut small = vec![0; 37 * 29 * 3];
            let mut resampler = Resampler::new(Level::SCALAR);
            resampler.resize(image, size(37, 29), Filter::Lanczos, &mut small).unwrap();
            let most = small.iter().copied().max().unwrap();
            let divisor = if scale == Scale::Full { 255.0 } else { f64::from(most) };
            let affine = Affine::new(&input, divisor);
            for (i, &value) in out.iter().enumerate() {
                let (c, pixel) = (i / (37 * 29), i % (37 * 29));
                assert_eq!(value, affine.apply(c, small[pixel * 3 + c]));
            }
        }
    }
}

#[test]
fn colors_are_converted_after_resizing_in_both_ways() {
    let data = vec![10u8; 6 * 4 * 3];
    let image = Pixels::new(size(6, 4), &data).unwrap();
    for scale in [Scale::Full, Scale::Maximum] {
        let input = input(Fit::Squash { size: size(3, 2) }, scale);
        let mut out = vec![0.0; 18];
        let mut seen = 0;
        let mut convert = |rows: &mut [u8]| {
            seen += rows.len();
            rows.fill(200);
        };
        let mut preprocessor = Preprocessor::new(Level::SCALAR);
        preprocessor.run(image, &input, Some(&mut convert), &mut out).unwrap();
        assert_eq!(seen, 18);
        let affine = Affine::new(&input, if scale == Scale::Full { 255.0 } else { 200.0 });
        assert_eq!(out[0], affine.apply(0, 200));
    }
}

#[test]
fn a_black_picture_is_divided_by_a_millionth_and_stays_finite() {
    let data = vec![0u8; 4 * 4 * 3];
    let image = Pixels::new(size(4, 4), &data).unwrap();
    let input = input(Fit::Squash { size: size(2, 2) }, Scale::Maximum);
    let mut out = vec![0.0; 12];
    Preprocessor::new(Level::SCALAR).run(image, &input, None, &mut out).unwrap();
    assert!((out[0] - (-0.485 / 0.229)).abs() < 1e-6);
}

#[test]
fn a_letterbox_has_its_border() {
    let data = vec![255u8; 8 * 4 * 3];
    let image = Pixels::new(size(8, 4), &data).unwrap();
    let fit = Fit::Letterbox { size: size(6, 6), fill: 114 };
    let input = input(fit, Scale::Full);
    let mut out = vec![9.0; 6 * 6 * 3];
    let geometry = Preprocessor::new(Level::detect()).run(image, &input, None, &mut out).unwrap();
    assert_eq!(geometry.content, Rect { x: 0, y: 1, size: size(6, 3) });
    let affine = Affine::new(&input, 255.0);
    for (i, &value) in out.iter().enumerate() {
        let (c, y) = (i / 36, i % 36 / 6);
        let level = if (1..4).contains(&y) { 255 } else { 114 };
        assert_eq!(value, affine.apply(c, level), "plane {c} row {y}");
    }
}

#[test]
fn geometry_of_every_fit() {
    let of = |fit, image| geometry(&input(fit, Scale::Full), image).tensor;
    let long = Fit::LongSide { side: 384, multiple: 32 };
    let short = Fit::ShortSide { side: 384, multiple: 32 };
    assert_eq!(of(Fit::Squash { size: size(5, 7) }, size(640, 480)), size(5, 7));
    assert_eq!(of(long, size(640, 480)), size(384, 288));
    assert_eq!(of(long, size(1, 4000)), size(32, 384));
    assert_eq!(of(short, size(640, 480)), size(512, 384));
    assert_eq!(of(short, size(480, 640)), size(384, 512));
    assert_eq!(of(short, size(10, 60_000)), size(384, 3072));
    for fit in [long, short] {
        let most = largest(&input(fit, Scale::Full)).pixels();
        for image in [size(1, 1), size(1, 65_535), size(65_535, 1), size(317, 911)] {
            assert!(of(fit, image).pixels() <= most, "{fit:?} {image:?}");
        }
    }
}

#[test]
fn a_tensor_of_another_size_is_refused() {
    let data = vec![0u8; 12];
    let image = Pixels::new(size(2, 2), &data).unwrap();
    let input = input(Fit::Squash { size: size(2, 2) }, Scale::Full);
    let mut out = vec![0.0; 11];
    assert!(Preprocessor::new(Level::SCALAR).run(image, &input, None, &mut out).is_err());
}
