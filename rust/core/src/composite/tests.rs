//! Each kernel against its definition at every level of this CPU, the estimator against the
//! published algorithm in f64, and the rules a cut-out keeps.

use super::*;
use crate::composite::scalar::{Lanes, Scalar};

/// Deterministic bytes.
fn noise(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed | 1;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    }
}

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut next = noise(seed);
    (0..len).map(|_| next()).collect()
}

/// Alpha as masks have it: many 0, many 255, some between.
fn edgy(seed: u64, len: usize) -> Vec<u8> {
    let stretch = |a: u8| ((i32::from(a) - 128) * 3 + 128).clamp(0, 255) as u8;
    bytes(seed, len).into_iter().map(stretch).collect()
}

/// A scene: a disk of one color function on another, with an edge `soft_px` wide.
struct Scene {
    size: Size,
    rgb: Vec<u8>,
    alpha: Vec<u8>,
    front: Vec<[f64; 3]>,
}

fn scene(
    size: Size,
    soft_px: f64,
    front: impl Fn(f64, f64) -> [f64; 3],
    back: impl Fn(f64, f64) -> [f64; 3],
) -> Scene {
    let mut made = Scene { size, rgb: Vec::new(), alpha: Vec::new(), front: Vec::new() };
    let (cx, cy) = (size.width as f64 * 0.45, size.height as f64 * 0.55);
    let radius = size.width.min(size.height) as f64 * 0.33;
    for y in 0..size.height {
        for x in 0..size.width {
            let (x, y) = (x as f64, y as f64);
            let from_edge = radius - (x - cx).hypot(y - cy);
            let alpha = ((from_edge / soft_px + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8;
            let a = f64::from(alpha) / 255.0;
            let (f, b) = (front(x, y), back(x, y));
            made.alpha.push(alpha);
            made.front.push(f);
            made.rgb.extend((0..3).map(|c| (a * f[c] + (1.0 - a) * b[c]).round() as u8));
        }
    }
    made
}

fn waves(x: f64, y: f64, phase: f64) -> [f64; 3] {
    let wave = |a: f64, b: f64, c: f64| 127.0 + 90.0 * (x * a + y * b + c + phase).sin();
    [wave(0.031, 0.011, 0.0), wave(-0.017, 0.027, 1.0), wave(0.009, -0.04, 2.0)]
}

/// Sums of a plane over boxes of `reach` pixels to each side, cut at the picture's edge.
fn boxes(plane: &[f64], size: Size, reach: usize) -> Vec<f64> {
    let (w, h) = (size.width, size.height);
    let mut table = vec![0.0; (w + 1) * (h + 1)];
    for y in 0..h {
        for x in 0..w {
            table[(y + 1) * (w + 1) + x + 1] =
                plane[y * w + x] + table[y * (w + 1) + x + 1] + table[(y + 1) * (w + 1) + x]
                    - table[y * (w + 1) + x];
        }
    }
    let mut sums = Vec::new();
    for y in 0..h {
        for x in 0..w {
            let (top, bottom) = (y.saturating_sub(reach), (y + reach + 1).min(h));
            let (left, right) = (x.saturating_sub(reach), (x + reach + 1).min(w));
            let at = |y: usize, x: usize| table[y * (w + 1) + x];
            sums.push(at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left));
        }
    }
    sums
}

/// The published algorithm in f64 at full resolution: boxes of 91, then of 7 pixels.
fn oracle(rgb: &[u8], alpha: &[u8], size: Size) -> Vec<[f64; 3]> {
    let a: Vec<f64> = alpha.iter().map(|&a| f64::from(a) / 255.0).collect();
    let rest: Vec<f64> = a.iter().map(|a| 1.0 - a).collect();
    let mut made = vec![[0.0; 3]; a.len()];
    for c in 0..3 {
        let image: Vec<f64> = rgb.iter().skip(c).step_by(3).map(|&v| f64::from(v)).collect();
        let mut front = image.clone();
        let mut back = image.clone();
        for reach in [45, 3] {
            let mean = |plane: &[f64], weight: &[f64]| -> Vec<f64> {
                let product: Vec<f64> = plane.iter().zip(weight).map(|(p, w)| p * w).collect();
                let sums = boxes(&product, size, reach);
                let weights = boxes(weight, size, reach);
                sums.iter().zip(&weights).map(|(s, w)| s / (w + 1e-6)).collect()
            };
            let (f, b) = (mean(&front, &a), mean(&back, &rest));
            for i in 0..a.len() {
                let value = f[i] + a[i] * (image[i] - a[i] * f[i] - rest[i] * b[i]);
                front[i] = value.clamp(0.0, 255.0);
            }
            back = b;
        }
        made.iter_mut().zip(&front).for_each(|(made, f)| made[c] = *f);
    }
    made
}

fn cut(level: Level, rgb: &[u8], alpha: &[u8], size: Size, options: Options) -> Vec<u8> {
    let mut compositor = Compositor::new(level);
    let alpha = alpha.to_vec();
    let rgb = Rgb8::new(size, rgb).unwrap();
    let made = compositor.run(rgb, &alpha, None, Background::None, &options);
    made.unwrap().data().to_vec()
}

#[test]
fn products_of_all_alphas_are_exact_at_every_level() {
    let left: Vec<u8> = (0..65536).map(|i| (i >> 8) as u8).collect();
    let right: Vec<u8> = (0..65536).map(|i| i as u8).collect();
    for level in Level::available() {
        let mut got = left.clone();
        multiply(level, &mut got, &right);
        for i in 0..65536 {
            let exact = f64::from(left[i]) * f64::from(right[i]) / 255.0;
            assert_eq!(
                f64::from(got[i]),
                exact.round(),
                "{} {} {}",
                level.name(),
                left[i],
                right[i]
            );
        }
    }
}

#[test]
fn blends_of_all_colors_and_alphas_are_exact_at_every_level() {
    let alpha: Vec<u8> = (0..65536).map(|i| (i >> 8) as u8).collect();
    let front: Vec<u8> = (0..65536).flat_map(|i| [i as u8, 255 - i as u8, 77]).collect();
    for seed in 0..3 {
        let back = bytes(seed, 3 * 65536);
        for level in Level::available() {
            let mut out = vec![0; 3 * 65536];
            over(level, &front, &alpha, &back, &mut out);
            for i in 0..out.len() {
                let a = f64::from(alpha[i / 3]) / 255.0;
                let exact = f64::from(front[i]) * a + f64::from(back[i]) * (1.0 - a);
                assert_eq!(f64::from(out[i]), exact.round(), "{} at {i}", level.name());
            }
        }
    }
}

#[test]
fn every_level_equals_the_definition_at_every_length() {
    for len in (0..140).chain([251, 257, 509]) {
        let (rgb, alpha) = (bytes(len as u64, 3 * len), edgy(len as u64 + 9, len));
        let back = bytes(len as u64 + 5, 3 * len);
        for level in Level::available() {
            // Guard bytes behind each output show a write too far.
            for keep in [false, true] {
                let (mut wanted, mut got) = (vec![171; 4 * len + 64], vec![171; 4 * len + 64]);
                scalar::cutout(&rgb, &alpha, &mut wanted[..4 * len], keep);
                cutout(level, &rgb, &alpha, &mut got[..4 * len], keep);
                assert_eq!(got, wanted, "cutout {} {len}", level.name());
            }
            let (mut wanted, mut got) = (vec![171; 3 * len + 64], vec![171; 3 * len + 64]);
            scalar::over(&rgb, &alpha, &back, &mut wanted[..3 * len]);
            over(level, &rgb, &alpha, &back, &mut got[..3 * len]);
            assert_eq!(got, wanted, "over {} {len}", level.name());
            let (mut wanted, mut got) = (alpha.clone(), alpha.clone());
            scalar::multiply(&mut wanted, &back[..len]);
            multiply(level, &mut got, &back[..len]);
            assert_eq!(got, wanted, "multiply {} {len}", level.name());
        }
    }
}

/// A page of memory that ends where reading is forbidden: reading too far kills the test.
#[cfg(target_os = "linux")]
fn before_a_wall(content: &[u8]) -> &'static [u8] {
    const PAGE: usize = 4096;
    assert!(content.len() <= PAGE);
    // SAFETY: a fresh private mapping of two pages, never unmapped, of which the first stays
    // writable; the copy ends at its last byte.
    unsafe {
        let (mode, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let start = libc::mmap(std::ptr::null_mut(), 2 * PAGE, mode, kind, -1, 0).cast::<u8>();
        assert_ne!(start.cast(), libc::MAP_FAILED);
        assert_eq!(libc::mprotect(start.add(PAGE).cast(), PAGE, libc::PROT_NONE), 0);
        let at = start.add(PAGE - content.len());
        at.copy_from_nonoverlapping(content.as_ptr(), content.len());
        std::slice::from_raw_parts(at, content.len())
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_level_reads_past_the_end() {
    let (rgb, alpha) = (bytes(1, 300), edgy(2, 100));
    for len in 0..=100 {
        let (rgb, alpha) = (before_a_wall(&rgb[..3 * len]), before_a_wall(&alpha[..len]));
        for level in Level::available() {
            let mut wanted = vec![0; 4 * len];
            scalar::cutout(rgb, alpha, &mut wanted, false);
            let mut got = vec![1; 4 * len];
            cutout(level, rgb, alpha, &mut got, false);
            assert_eq!(got, wanted, "{} {len}", level.name());
        }
    }
}

#[test]
fn estimation_is_the_same_at_every_level() {
    // Widths around blocks, words of 64 blocks (1024) and cells; heights under and over a ring.
    for (width, height) in
        [(1, 1), (1, 40), (7, 9), (16, 3), (17, 8), (95, 61), (1023, 11), (1025, 9), (2100, 20)]
    {
        let size = Size { width, height };
        let rgb = bytes(width as u64, 3 * size.pixels());
        let smooth = scene(size, 9.0, |_, _| [0.0; 3], |_, _| [0.0; 3]).alpha;
        for alpha in [edgy(height as u64, size.pixels()), smooth] {
            let wanted = cut(Level::SCALAR, &rgb, &alpha, size, Options::default());
            for level in Level::available() {
                let got = cut(level, &rgb, &alpha, size, Options::default());
                assert!(got == wanted, "{} at {width}x{height}", level.name());
            }
        }
    }
}

#[test]
fn only_soft_pixels_change() {
    let size = Size { width: 301, height: 77 };
    let (rgb, alpha) = (bytes(1, 3 * 301 * 77), edgy(2, 301 * 77));
    let mut changed = 0;
    for keep_hidden in [false, true] {
        let options = Options { keep_hidden, ..Options::default() };
        let out = cut(Level::detect(), &rgb, &alpha, size, options);
        for ((o, f), &a) in out.chunks(4).zip(rgb.chunks(3)).zip(&alpha) {
            assert_eq!(o[3], a);
            match a {
                0 if !keep_hidden => assert_eq!(o[..3], [0; 3]),
                0 | 255 => assert_eq!(&o[..3], f),
                _ => changed += usize::from(&o[..3] != f),
            }
        }
    }
    assert!(changed > 1000, "noise has no soft pixel that is its own foreground");
    let plain = Options { decontaminate: false, keep_hidden: true, ..Options::default() };
    let out = cut(Level::detect(), &rgb, &alpha, size, plain);
    assert!(out.chunks(4).zip(rgb.chunks(3)).all(|(o, f)| &o[..3] == f));
}

/// Mean and largest difference from the oracle over soft pixels, in levels.
fn far_from_oracle(scene: &Scene) -> (f64, f64) {
    let got = cut(Level::detect(), &scene.rgb, &scene.alpha, scene.size, Options::default());
    let wanted = oracle(&scene.rgb, &scene.alpha, scene.size);
    let (mut sum, mut count, mut worst) = (0.0, 0.0, 0.0f64);
    for i in 0..scene.alpha.len() {
        if scene.alpha[i] == 0 || scene.alpha[i] == 255 {
            continue;
        }
        for c in 0..3 {
            let far = (f64::from(got[4 * i + c]) - wanted[i][c]).abs();
            sum += far;
            count += 1.0;
            worst = worst.max(far);
        }
    }
    (sum / count, worst)
}

#[test]
fn estimation_is_near_the_published_algorithm() {
    for (width, height) in [(400, 301), (640, 480), (123, 250)] {
        let size = Size { width, height };
        for soft_px in [1.5, 4.0, 12.0, 40.0] {
            let drawn = scene(size, soft_px, |x, y| waves(x, y, 0.0), |x, y| waves(y, x, 2.5));
            let (mean, worst) = far_from_oracle(&drawn);
            println!(
                "{width}x{height}, soft {soft_px} px: mean {mean:.3}, worst {worst:.1} levels"
            );
            assert!(mean <= 1.0 && worst <= 6.0, "{width}x{height} {soft_px}: {mean}, {worst}");
        }
    }
}

#[test]
fn constant_colors_are_recovered() {
    let size = Size { width: 400, height: 300 };
    let (red, blue) = ([220.0, 40.0, 30.0], [20.0, 60.0, 200.0]);
    for (soft_px, mean_limit) in [(2.0, 1.0), (4.0, 2.0), (8.0, 4.0)] {
        let drawn = scene(size, soft_px, |_, _| red, |_, _| blue);
        let got = cut(Level::detect(), &drawn.rgb, &drawn.alpha, size, Options::default());
        let (mut with, mut without, mut count) = (0.0, 0.0, 0.0);
        for (i, &a) in drawn.alpha.iter().enumerate() {
            if a == 0 || a == 255 {
                continue;
            }
            for c in 0..3 {
                let f = drawn.front[i][c];
                with += (f64::from(got[4 * i + c]) - f).abs();
                without += (f64::from(drawn.rgb[3 * i + c]) - f).abs();
                count += 1.0;
            }
        }
        println!("soft {soft_px} px: {:.2} levels, before {:.2}", with / count, without / count);
        assert!(with / count <= mean_limit, "{soft_px}: {} levels", with / count);
        assert!(with * 10.0 < without, "{soft_px}: {with} against {without}");
    }
}

#[test]
fn estimation_does_not_depend_on_what_came_before_or_on_the_crop() {
    let size = Size { width: 260, height: 190 };
    let drawn = scene(size, 6.0, |x, y| waves(x, y, 0.0), |x, y| waves(y, x, 1.0));
    let fresh = cut(Level::detect(), &drawn.rgb, &drawn.alpha, size, Options::default());
    let mut compositor = Compositor::new(Level::detect());
    let other = Size { width: 333, height: 100 };
    let noise_rgb = bytes(3, 3 * other.pixels());
    let noise_alpha = edgy(4, other.pixels());
    let none = Background::None;
    let view = Rgb8::new(other, &noise_rgb).unwrap();
    compositor.run(view, &noise_alpha, None, none, &Options::default()).unwrap();
    let view = Rgb8::new(size, &drawn.rgb).unwrap();
    let alpha = drawn.alpha.clone();
    let warm = compositor.run(view, &alpha, None, none, &Options::default()).unwrap();
    assert!(warm.data() == fresh);
    // Soft pixels at the picture's edges, where the boxes reach into the pads.
    let narrow = Size { width: 50, height: 190 };
    let (rough_rgb, rough) = (bytes(6, 3 * narrow.pixels()), edgy(7, narrow.pixels()));
    let fresh_rough = cut(Level::detect(), &rough_rgb, &rough, narrow, Options::default());
    let narrow_view = Rgb8::new(narrow, &rough_rgb).unwrap();
    let made =
        compositor.run(narrow_view, &rough.clone(), None, none, &Options::default()).unwrap();
    assert!(made.data() == fresh_rough);
    let options = Options { crop: Some(3), ..Options::default() };
    let rect = subject(Alpha8::new(size, &drawn.alpha).unwrap(), 3);
    assert!(rect.x > 0 && rect.y > 0 && rect.size.width < size.width);
    let cropped = compositor.run(view, &alpha, None, none, &options).unwrap();
    assert_eq!(cropped.size(), rect.size);
    for (y, row) in cropped.data().chunks(4 * rect.size.width).enumerate() {
        let at = 4 * ((rect.y + y) * size.width + rect.x);
        assert!(row == &fresh[at..at + row.len()], "row {y}");
    }
}

#[test]
fn crop_is_the_box_of_the_visible() {
    let size = Size { width: 40, height: 30 };
    let mut alpha = vec![CROP_LEVEL - 1; 1200];
    let whole = Rect { x: 0, y: 0, size };
    assert_eq!(subject(Alpha8::new(size, &alpha).unwrap(), 2), whole);
    for (x, y) in [(11, 9), (5, 20), (25, 14)] {
        alpha[y * 40 + x] = CROP_LEVEL;
    }
    let tight = Rect { x: 5, y: 9, size: Size { width: 21, height: 12 } };
    assert_eq!(subject(Alpha8::new(size, &alpha).unwrap(), 0), tight);
    let wide = Rect { x: 0, y: 3, size: Size { width: 32, height: 24 } };
    assert_eq!(subject(Alpha8::new(size, &alpha).unwrap(), 6), wide);
    assert_eq!(subject(Alpha8::new(size, &alpha).unwrap(), usize::MAX), whole);
}

#[test]
fn backgrounds_choose_the_raster() {
    let size = Size { width: 37, height: 5 };
    let (rgb, alpha, back) = (bytes(1, 555), edgy(2, 185), bytes(3, 555));
    let view = Rgb8::new(size, &rgb).unwrap();
    let options = Options { decontaminate: false, ..Options::default() };
    let mut compositor = Compositor::new(Level::detect());
    let mut run = |background: Background<'_>, options: Options| {
        let alpha = alpha.clone();
        let made = compositor.run(view, &alpha, None, background, &options).unwrap();
        (made.channels(), made.data().to_vec())
    };
    let (channels, none) = run(Background::None, options);
    assert_eq!(channels, 4);
    assert_eq!(run(Background::Color([9, 9, 9, 0]), options), (4, none));
    let mut wanted = vec![0; 555];
    scalar::over(&rgb, &alpha, &back, &mut wanted);
    let image = Background::Image(Rgb8::new(size, &back).unwrap());
    assert_eq!(run(image, options), (3, wanted.clone()));
    scalar::over(&rgb, &alpha, &[10, 200, 30].repeat(185), &mut wanted);
    assert_eq!(run(Background::Color([10, 200, 30, 255]), options), (3, wanted));
    let (channels, translucent) = run(Background::Color([10, 200, 30, 100]), options);
    assert_eq!(channels, 4);
    for ((o, f), &a) in translucent.chunks(4).zip(rgb.chunks(3)).zip(&alpha) {
        let (front, behind) = (f64::from(a) / 255.0, 100.0 / 255.0 * (1.0 - f64::from(a) / 255.0));
        assert_eq!(f64::from(o[3]), ((front + behind) * 255.0).round());
        for (c, back) in [10.0, 200.0, 30.0].into_iter().enumerate() {
            let color = (f64::from(f[c]) * front + back * behind) / (front + behind);
            assert!((f64::from(o[c]) - color).abs() <= 0.5 + 1e-9);
        }
    }
    let only_mask = Options { only_mask: true, ..options };
    assert_eq!(run(Background::None, only_mask), (1, alpha.clone()));
}

#[test]
fn colors_can_be_multiplied_before_they_meet_a_background() {
    let size = Size { width: 37, height: 5 };
    let (rgb, alpha) = (bytes(1, 555), edgy(2, 185));
    let view = Rgb8::new(size, &rgb).unwrap();
    let options = Options { decontaminate: false, premultiply: true, ..Options::default() };
    let mut compositor = Compositor::new(Level::detect());
    let product = |f: u8, a: u8| (f64::from(f) * f64::from(a) / 255.0).round();
    let made = compositor.run(view, &alpha, None, Background::None, &options).unwrap();
    for ((out, color), &a) in made.data().chunks(4).zip(rgb.chunks(3)).zip(&alpha) {
        assert_eq!(out[3], a);
        assert!((0..3).all(|c| f64::from(out[c]) == product(color[c], a)));
    }
    let white = Background::Color([255; 4]);
    let made = compositor.run(view, &alpha, None, white, &options).unwrap();
    for ((out, color), &a) in made.data().chunks(3).zip(rgb.chunks(3)).zip(&alpha) {
        for c in 0..3 {
            let over = product(color[c], a) * f64::from(a) / 255.0 + f64::from(255 - a);
            assert_eq!(f64::from(out[c]), over.round());
        }
    }
}

#[test]
fn the_inputs_own_alpha_is_multiplied_in() {
    let size = Size { width: 50, height: 4 };
    let (rgb, own) = (bytes(1, 600), bytes(5, 200));
    let alpha = edgy(2, 200);
    let wanted: Vec<u8> = alpha
        .iter()
        .zip(&own)
        .map(|(&a, &b)| (f64::from(a) * f64::from(b) / 255.0).round() as u8)
        .collect();
    let mut compositor = Compositor::new(Level::detect());
    let made = compositor.run(
        Rgb8::new(size, &rgb).unwrap(),
        &alpha,
        Some(Alpha8::new(size, &own).unwrap()),
        Background::None,
        &Options::default(),
    );
    assert!(made.unwrap().data().chunks(4).map(|pixel| pixel[3]).eq(wanted.iter().copied()));
}

#[test]
fn the_inputs_own_alpha_is_no_soft_edge() {
    let size = Size { width: 60, height: 50 };
    let rgb = bytes(3, size.pixels() * 3);
    let own: Vec<u8> = (0..size.pixels()).map(|i| (i % 254 + 1) as u8).collect();
    let mask = vec![255; size.pixels()];
    let mut compositor = Compositor::new(Level::detect());
    let own = Alpha8::new(size, &own).unwrap();
    let view = Rgb8::new(size, &rgb).unwrap();
    let made =
        compositor.run(view, &mask, Some(own), Background::None, &Options::default()).unwrap();
    for ((out, color), alpha) in made.data().chunks(4).zip(rgb.chunks(3)).zip(own.data()) {
        assert_eq!((&out[..3], out[3]), (color, *alpha));
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let size = Size { width: 6, height: 4 };
    let rgb = [0; 72];
    let view = Rgb8::new(size, &rgb).unwrap();
    let turned = Size { width: 4, height: 6 };
    let mut compositor = Compositor::new(Level::detect());
    let options = Options::default();
    let alpha = [255; 24];
    assert!(compositor.run(view, &alpha[..23], None, Background::None, &options).is_err());
    let own = Alpha8::new(turned, &[1; 24]).unwrap();
    assert!(compositor.run(view, &alpha, Some(own), Background::None, &options).is_err());
    assert_eq!(alpha, [255; 24]);
    let image = Background::Image(Rgb8::new(turned, &rgb).unwrap());
    let message = compositor.run(view, &alpha, None, image, &options).unwrap_err().to_string();
    assert_eq!(message, "the background picture is 4x6, the picture 6x4");
}

#[test]
fn lanes_are_what_their_documents_say() {
    let rgb: [u8; 48] = std::array::from_fn(|i| i as u8);
    let planes = Scalar::split(&rgb);
    assert_eq!(planes[1][5], 16);
    assert_eq!(Scalar::join(&planes), rgb);
    let mut alpha = [0; 16];
    (alpha[1], alpha[2], alpha[9]) = (255, 7, 254);
    assert_eq!(Scalar::soft(&alpha), 1 << 2 | 1 << 9);
    let mut sums = [[0; 8]; 2];
    Scalar::count(&mut sums, &rgb, &alpha);
    assert_eq!(sums[0], [262, 3 * 255 + 6 * 7, 4 * 255 + 7 * 7, 5 * 255 + 8 * 7, 84, 92, 100, 0]);
    assert_eq!(sums[1][0], 254);
    // 1 must come out as 1: opaque pixels count in the second pass as they are.
    let [a, _] = Scalar::widen(&[255; 16]);
    assert_eq!(Scalar::mul(a, Scalar::splat(1.0 / 255.0)), [1.0; 8]);
    let values = [[0.0, 0.49, 0.5, 1.5, 2.5, 254.5, 254.51, 255.0]; 2];
    assert_eq!(Scalar::levels(values)[..8], [0, 0, 0, 2, 2, 254, 255, 255]);
    assert_eq!(
        Scalar::clip([f32::NAN, -1.0, 300.0, 7.0, f32::INFINITY, 0.0, 255.0, -0.0])[..5],
        [0.0, 0.0, 255.0, 7.0, 255.0]
    );
}
