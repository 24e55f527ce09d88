//! Round trips through decoders that share no code with the encoders where there is one
//! (zune-png, zune-jpeg), else through the crate's own decoder; tags; limits; hostile bytes.

use std::io::Cursor;

use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use super::{Encoder, Format, Meta, Options, Seen, inspect};
use crate::error::Kind;
use crate::image::{Density, Pixels, Raster, Size};
use crate::simd::Level;

const DIGEST: &str = "qbg1:0123456789abcdef";

/// Bytes with flat parts, slopes, noise and empty stretches, the same each time.
fn bytes(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..len)
        .map(|i| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            match (i / 29) % 5 {
                0 => 0,
                1 => (i % 251) as u8,
                2 => state as u8,
                3 => 255,
                _ => (i / 3) as u8 ^ (state as u8 & 3),
            }
        })
        .collect()
}

/// A smooth picture, for lossy formats.
fn slope(size: Size, channels: usize) -> Vec<u8> {
    (0..size.pixels())
        .flat_map(|i| {
            let (x, y) = (i % size.width, i / size.width);
            [x * 255 / size.width, y * 255 / size.height, 128, 255 - x * 200 / size.width]
                .map(|v| v as u8)
                .into_iter()
                .take(channels)
        })
        .collect()
}

fn raster(size: Size, channels: usize, data: &[u8]) -> Raster<'_> {
    match channels {
        1 => Raster::Gray(Pixels::new(size, data).unwrap()),
        3 => Raster::Rgb(Pixels::new(size, data).unwrap()),
        _ => Raster::Rgba(Pixels::new(size, data).unwrap()),
    }
}

fn size(width: usize, height: usize) -> Size {
    Size { width, height }
}

/// A profile's header around `len` bytes.
fn profile(space: &[u8; 4], len: usize) -> Vec<u8> {
    let mut icc = bytes(len, 7);
    icc[..4].copy_from_slice(&(len as u32).to_be_bytes());
    icc[16..20].copy_from_slice(space);
    icc[36..40].copy_from_slice(b"acsp");
    icc
}

fn encode(raster: Raster<'_>, meta: &Meta<'_>, options: &Options) -> Result<Vec<u8>, Kind> {
    let mut out = b"left over".to_vec();
    Encoder::new(Level::detect()).run(raster, meta, options, &mut out)?;
    Ok(out)
}

fn decode_png(file: &[u8]) -> (Size, usize, Vec<u8>) {
    let mut decoder = zune_png::PngDecoder::new(Cursor::new(file));
    let pixels = decoder.decode().unwrap().u8().unwrap();
    let (width, height) = decoder.dimensions().unwrap();
    (size(width, height), decoder.colorspace().unwrap().num_components(), pixels)
}

fn decode_webp(file: &[u8]) -> (Size, usize, Vec<u8>) {
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(file)).unwrap();
    let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
    decoder.read_image(&mut pixels).unwrap();
    let (width, height) = decoder.dimensions();
    (size(width as usize, height as usize), if decoder.has_alpha() { 4 } else { 3 }, pixels)
}

fn decode_tiff(file: &[u8]) -> (Size, usize, Vec<u8>) {
    let mut decoder = tiff::decoder::Decoder::new(Cursor::new(file)).unwrap();
    let (width, height) = decoder.dimensions().unwrap();
    let channels = match decoder.colortype().unwrap() {
        tiff::ColorType::Gray(8) => 1,
        tiff::ColorType::RGB(8) => 3,
        tiff::ColorType::RGBA(8) => 4,
        other => panic!("{other:?}"),
    };
    let tiff::decoder::DecodingResult::U8(pixels) = decoder.read_image().unwrap() else {
        panic!("not 8 bits")
    };
    (size(width as usize, height as usize), channels, pixels)
}

fn decode_jpeg(file: &[u8]) -> (Size, usize, Vec<u8>) {
    let mut options = DecoderOptions::default().set_max_width(1 << 16).set_max_height(1 << 16);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(Cursor::new(file), options);
    decoder.decode_headers().unwrap();
    // By itself it makes gray to RGB.
    let channels = usize::from(decoder.info().unwrap().components);
    if channels == 1 {
        options = options.jpeg_set_out_colorspace(ColorSpace::Luma);
        decoder.set_options(options);
    }
    let pixels = decoder.decode().unwrap();
    let info = decoder.info().unwrap();
    (size(info.width.into(), info.height.into()), channels, pixels)
}

/// Each size, with 1, 3 and 4 channels.
fn sweep(sizes: impl Iterator<Item = Size>, mut check: impl FnMut(Size, usize, &[u8])) {
    for size in sizes {
        for channels in [1, 3, 4] {
            let seed = (size.width * 41 + size.height) as u32;
            check(size, channels, &bytes(size.pixels() * channels, seed));
        }
    }
}

fn all_to_40() -> impl Iterator<Item = Size> {
    (1..=40).flat_map(|height| (1..=40).map(move |width| size(width, height)))
}

#[test]
fn png_fast_round_trips_at_every_level_to_the_same_bytes() {
    let meta = Meta { digest: DIGEST, ..Meta::default() };
    let mut encoders: Vec<_> = Level::available().into_iter().map(Encoder::new).collect();
    let (mut first, mut other) = (Vec::new(), Vec::new());
    sweep(all_to_40(), |size, channels, data| {
        let raster = raster(size, channels, data);
        let options = Options::new(Format::Png);
        encoders[0].run(raster, &meta, &options, &mut first).unwrap();
        for encoder in &mut encoders[1..] {
            encoder.run(raster, &meta, &options, &mut other).unwrap();
            assert!(first == other, "levels differ at {size:?} with {channels} channels");
        }
        assert!(
            decode_png(&first) == (size, channels, data.to_vec()),
            "{size:?} with {channels} channels"
        );
    });
}

#[test]
fn png_levels_round_trip_and_shrink() {
    let size = size(97, 61);
    let data = slope(size, 4);
    let mut sizes = Vec::new();
    for png_level in [0, 1, 2, 6, 9, 200] {
        let options = Options { png_level, ..Options::new(Format::Png) };
        let file = encode(raster(size, 4, &data), &Meta::default(), &options).unwrap();
        assert_eq!(decode_png(&file), (size, 4, data.clone()), "level {png_level}");
        sizes.push(file.len());
    }
    assert!(sizes[0] > data.len() && sizes[1] < data.len() / 2, "{sizes:?}");
    assert!(sizes[4] <= sizes[2] && sizes[5] == sizes[4], "{sizes:?}");
}

#[test]
fn png_stores_noise_that_would_grow() {
    let size = size(200, 100);
    let mut state = 1u32;
    let noise: Vec<u8> = (0..size.pixels() * 3)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let file =
        encode(raster(size, 3, &noise), &Meta::default(), &Options::new(Format::Png)).unwrap();
    assert!(file.len() < noise.len() + size.height + 200, "{} bytes", file.len());
    assert_eq!(decode_png(&file).2, noise);
}

#[test]
fn webp_lossless_round_trips() {
    let mut encoder = Encoder::new(Level::detect());
    let meta = Meta { digest: DIGEST, ..Meta::default() };
    let mut out = Vec::new();
    sweep(all_to_40().filter(|s| s.width % 3 == 1 || s.height < 4), |size, channels, data| {
        encoder
            .run(raster(size, channels, data), &meta, &Options::new(Format::Webp), &mut out)
            .unwrap();
        let wanted =
            if channels == 1 { data.iter().flat_map(|&v| [v; 3]).collect() } else { data.to_vec() };
        let (found_size, found_channels, found) = decode_webp(&out);
        assert!(
            (found_size, found_channels) == (size, channels.max(3)) && found == wanted,
            "{size:?} with {channels} channels"
        );
    });
}

#[test]
fn tiff_round_trips() {
    let mut encoder = Encoder::new(Level::detect());
    let mut out = Vec::new();
    for png_level in [0, 6] {
        let options = Options { png_level, ..Options::new(Format::Tiff) };
        sweep(all_to_40().filter(|s| s.width % 5 == 1 || s.height < 3), |size, channels, data| {
            encoder
                .run(raster(size, channels, data), &Meta::default(), &options, &mut out)
                .unwrap();
            assert!(decode_tiff(&out) == (size, channels, data.to_vec()), "{size:?} {channels}");
        });
    }
    // Several strips.
    let size = size(700, 900);
    let data = bytes(size.pixels() * 4, 3);
    let file =
        encode(raster(size, 4, &data), &Meta::default(), &Options::new(Format::Tiff)).unwrap();
    assert!(decode_tiff(&file) == (size, 4, data));
}

#[test]
fn tiff_alpha_is_marked_straight() {
    let data = slope(size(9, 9), 4);
    let file = encode(raster(size(9, 9), 4, &data), &Meta::default(), &Options::new(Format::Tiff))
        .unwrap();
    let mut decoder = tiff::decoder::Decoder::new(Cursor::new(file)).unwrap();
    assert_eq!(decoder.get_tag_u32(tiff::tags::Tag::ExtraSamples).unwrap(), 2);
}

fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

#[test]
fn jpeg_is_close_at_every_size() {
    let mut encoder = Encoder::new(Level::detect());
    let meta = Meta { digest: DIGEST, ..Meta::default() };
    let options = Options { quality: Some(95), ..Options::new(Format::Jpeg) };
    let mut out = Vec::new();
    for size in all_to_40().filter(|s| s.width % 3 == 1 || s.height < 4) {
        for channels in [1, 3] {
            // Steep slopes on tiny pictures are noise: a fixed, gentle one instead.
            let data: Vec<u8> = (0..size.pixels())
                .flat_map(|i| [100 + (i % size.width) as u8 * 3; 3].into_iter().take(channels))
                .collect();
            encoder.run(raster(size, channels, &data), &meta, &options, &mut out).unwrap();
            let (found_size, found_channels, found) = decode_jpeg(&out);
            assert_eq!((found_size, found_channels), (size, channels));
            assert!(mean_difference(&data, &found) < 2.0, "{size:?} with {channels} channels");
        }
    }
}

#[test]
fn lossy_webp_keeps_alpha_and_comes_close() {
    for (width, height) in [(1, 1), (2, 3), (16, 16), (17, 33), (64, 48)] {
        let size = size(width, height);
        let options = Options { quality: Some(90), ..Options::new(Format::Webp) };
        for channels in [1, 3, 4] {
            let data: Vec<u8> = (0..size.pixels())
                .flat_map(|i| [120, 120, 120, (i % 200) as u8 + 50].into_iter().take(channels))
                .collect();
            let file = encode(raster(size, channels, &data), &Meta::default(), &options).unwrap();
            let (found_size, found_channels, found) = decode_webp(&file);
            assert_eq!((found_size, found_channels), (size, channels.max(3)));
            let alpha = |data: &[u8]| data.iter().skip(3).step_by(4).copied().collect::<Vec<_>>();
            if channels == 4 {
                assert_eq!(alpha(&data), alpha(&found));
            }
            let colors = found.chunks_exact(found_channels).flat_map(|p| &p[..3]);
            assert!(colors.copied().all(|level| level.abs_diff(120) <= 3), "{size:?} {channels}");
        }
    }
}

#[test]
fn lossy_webp_is_smaller_at_lower_quality() {
    let data = bytes(64 * 64 * 3, 5);
    let [low, high] = [5, 95].map(|quality| {
        let options = Options { quality: Some(quality), ..Options::new(Format::Webp) };
        encode(raster(size(64, 64), 3, &data), &Meta::default(), &options).unwrap().len()
    });
    assert!(low * 2 < high, "{low} {high}");
}

#[test]
fn the_profile_is_kept() {
    // Larger than one JPEG segment.
    let icc = profile(b"RGB ", 150_001);
    let meta = Meta { icc: Some(&icc), digest: DIGEST, ..Meta::default() };
    let data = slope(size(8, 8), 3);
    let file = |format| encode(raster(size(8, 8), 3, &data), &meta, &Options::new(format)).unwrap();

    let png = file(Format::Png);
    let reader = png::Decoder::new(Cursor::new(&png)).read_info().unwrap();
    assert!(reader.info().icc_profile.as_deref() == Some(&icc[..]));
    let jpeg = file(Format::Jpeg);
    let mut decoder = zune_jpeg::JpegDecoder::new(Cursor::new(&jpeg));
    decoder.decode().unwrap();
    assert!(decoder.icc_profile() == Some(icc.clone()));
    let webp = file(Format::Webp);
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(&webp)).unwrap();
    assert!(decoder.icc_profile().unwrap() == Some(icc.clone()));
    let tiff = file(Format::Tiff);
    let mut decoder = tiff::decoder::Decoder::new(Cursor::new(&tiff)).unwrap();
    assert!(decoder.get_tag_u8_vec(tiff::tags::Tag::IccProfile).unwrap() == icc);

    for format in Format::ALL {
        let seen = inspect(&mut Cursor::new(file(format))).unwrap();
        assert_eq!(seen, Seen { format, whole: true, digest: Some(DIGEST.into()) });
    }
}

#[test]
fn a_profile_of_other_channels_or_of_a_wrong_length_is_left_out() {
    let data = slope(size(8, 8), 1);
    let gray = raster(size(8, 8), 1, &data);
    let mut cut = profile(b"GRAY", 300);
    cut.truncate(200);
    let bare = encode(gray, &Meta::default(), &Options::new(Format::Png)).unwrap();
    for icc in [profile(b"RGB ", 300), cut, vec![], b"nonsense".to_vec()] {
        let meta = Meta { icc: Some(&icc), ..Meta::default() };
        assert_eq!(encode(gray, &meta, &Options::new(Format::Png)).unwrap(), bare);
    }
    let icc = profile(b"GRAY", 300);
    let meta = Meta { icc: Some(&icc), ..Meta::default() };
    assert_ne!(encode(gray, &meta, &Options::new(Format::Png)).unwrap(), bare);
}

#[test]
fn the_density_is_kept() {
    let density = Density { x_dpi: 300.0, y_dpi: 72.0 };
    let meta = Meta { density: Some(density), ..Meta::default() };
    let data = slope(size(8, 8), 3);
    let file = |format| encode(raster(size(8, 8), 3, &data), &meta, &Options::new(format)).unwrap();

    let png = file(Format::Png);
    let reader = png::Decoder::new(Cursor::new(&png)).read_info().unwrap();
    let dims = reader.info().pixel_dims.unwrap();
    assert_eq!((dims.xppu, dims.yppu, dims.unit), (11811, 2835, png::Unit::Meter));
    // JFIF header: unit 1 is inches.
    let jpeg = file(Format::Jpeg);
    assert_eq!(jpeg[13..18], [1, 1, 44, 0, 72]);
    let webp = file(Format::Webp);
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(&webp)).unwrap();
    let xmp = String::from_utf8(decoder.xmp_metadata().unwrap().unwrap()).unwrap();
    assert!(xmp.contains("tiff:XResolution=\"300000/1000\" tiff:YResolution=\"72000/1000\""));
    let tiff = file(Format::Tiff);
    let mut decoder = tiff::decoder::Decoder::new(Cursor::new(&tiff)).unwrap();
    let mut ratio = |tag| {
        let value = decoder.get_tag(tag).unwrap();
        let tiff::decoder::ifd::Value::Rational(n, d) = value else { panic!("{value:?}") };
        f64::from(n) / f64::from(d)
    };
    assert_eq!(ratio(tiff::tags::Tag::XResolution), 300.0);
    assert_eq!(ratio(tiff::tags::Tag::YResolution), 72.0);
    assert_eq!(decoder.get_tag_u32(tiff::tags::Tag::ResolutionUnit).unwrap(), 2);
}

#[test]
fn nonsense_densities_are_left_out() {
    let data = slope(size(4, 4), 3);
    for format in Format::ALL {
        let bare = encode(raster(size(4, 4), 3, &data), &Meta::default(), &Options::new(format));
        let bare = bare.unwrap();
        for x_dpi in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
            let meta = Meta { density: Some(Density { x_dpi, y_dpi: 72.0 }), ..Meta::default() };
            let file = encode(raster(size(4, 4), 3, &data), &meta, &Options::new(format)).unwrap();
            assert_eq!(file, bare, "{format:?} {x_dpi}");
        }
    }
}

#[test]
fn the_tag_is_read_back_and_absent_where_none_was_given() {
    let longest = format!("qbg{}", "x".repeat(117));
    let data = slope(size(5, 7), 3);
    for format in Format::ALL {
        for quality in [None, Some(50)] {
            for digest in ["", DIGEST, "qbg-", &longest] {
                let meta = Meta { digest, ..Meta::default() };
                let options = Options { quality, ..Options::new(format) };
                let file = encode(raster(size(5, 7), 3, &data), &meta, &options).unwrap();
                let wanted = (!digest.is_empty()).then(|| digest.to_owned());
                let seen = inspect(&mut Cursor::new(&file)).unwrap();
                assert_eq!(seen, Seen { format, whole: true, digest: wanted }, "{format:?}");
            }
        }
    }
}

#[test]
fn what_is_no_tag_is_refused() {
    let data = slope(size(2, 2), 3);
    let too_long = format!("qbg{}", "x".repeat(118));
    for digest in ["other", "qbg 1", "qbg\"", "qbg<", "qbgé", "qbg\n", "qbg\0", &too_long] {
        for format in Format::ALL {
            let meta = Meta { digest, ..Meta::default() };
            let result = encode(raster(size(2, 2), 3, &data), &meta, &Options::new(format));
            assert!(matches!(result, Err(Kind::Encode { .. })), "{digest:?}");
        }
    }
}

#[test]
fn a_refusal_empties_the_buffer_and_says_why() {
    let refused = |channels, width, format: Format, words: &str| {
        let size = size(width, 1);
        let data = vec![0; size.pixels() * channels];
        let mut out = vec![1, 2, 3];
        let error = Encoder::new(Level::SCALAR)
            .run(raster(size, channels, &data), &Meta::default(), &Options::new(format), &mut out)
            .unwrap_err();
        assert!(out.is_empty());
        assert!(matches!(error, Kind::Encode { .. }));
        assert!(error.to_string().contains(words), "{error}");
    };
    refused(4, 2, Format::Jpeg, "choose a background");
    refused(1, 65_536, Format::Jpeg, "65536x1 is larger than 65535 a side");
    refused(1, 16_384, Format::Webp, "16384x1 is larger than 16383 a side");
}

#[test]
fn the_longest_sides_are_written() {
    for (format, width) in [(Format::Jpeg, 65_535), (Format::Webp, 16_383)] {
        let data = vec![9; width];
        let file =
            encode(raster(size(width, 1), 1, &data), &Meta::default(), &Options::new(format));
        let decode = if format == Format::Jpeg { decode_jpeg } else { decode_webp };
        assert_eq!(decode(&file.unwrap()).0, size(width, 1));
    }
}

#[test]
fn no_orientation_is_written() {
    let data = slope(size(9, 5), 3);
    let meta =
        Meta { density: Some(Density { x_dpi: 72.0, y_dpi: 72.0 }), icc: None, digest: DIGEST };
    for format in Format::ALL {
        let file = encode(raster(size(9, 5), 3, &data), &meta, &Options::new(format)).unwrap();
        let exif = exif::Reader::new().read_from_container(&mut Cursor::new(&file));
        let orientation =
            exif.ok().and_then(|e| e.get_field(exif::Tag::Orientation, exif::In::PRIMARY).cloned());
        assert!(orientation.is_none(), "{format:?}");
    }
}

/// Small files of each format, and of lossy WebP.
fn samples() -> Vec<Vec<u8>> {
    let data = slope(size(33, 20), 4);
    let opaque = slope(size(33, 20), 3);
    let icc = profile(b"RGB ", 400);
    let meta = Meta { icc: Some(&icc), digest: DIGEST, ..Meta::default() };
    let mut files: Vec<_> = Format::ALL
        .iter()
        .map(|&format| {
            let raster = if format.has_alpha() {
                raster(size(33, 20), 4, &data)
            } else {
                raster(size(33, 20), 3, &opaque)
            };
            encode(raster, &meta, &Options::new(format)).unwrap()
        })
        .collect();
    let lossy = Options { quality: Some(70), ..Options::new(Format::Webp) };
    files.push(encode(raster(size(33, 20), 4, &data), &meta, &lossy).unwrap());
    files
}

#[test]
fn every_cut_is_seen() {
    for file in samples() {
        assert!(inspect(&mut Cursor::new(&file)).unwrap().whole);
        for len in 0..file.len() {
            let seen = inspect(&mut Cursor::new(&file[..len]));
            assert!(!seen.is_some_and(|seen| seen.whole), "cut to {len} of {}", file.len());
        }
        // The blocks of a crashed machine: the length is there, the end is not.
        let mut zeroed = file.clone();
        let half = file.len() / 2;
        zeroed[half..].fill(0);
        assert!(!inspect(&mut Cursor::new(&zeroed)).is_some_and(|seen| seen.whole));
    }
}

#[test]
fn hostile_bytes_are_looked_at_without_panic() {
    let mut state = 12345u32;
    for file in samples() {
        for _ in 0..3000 {
            let mut broken = file.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Mostly the headers, which hold the lengths.
                let at = (state >> 8) as usize
                    % broken.len().min(if state & 1 == 0 { 64 } else { 1 << 20 });
                broken[at] = if state & 2 == 0 { 0xFF } else { (state >> 24) as u8 };
            }
            // It may say what it likes, but not crash or run on.
            let _ = inspect(&mut Cursor::new(&broken));
        }
    }
    assert_eq!(inspect(&mut Cursor::new(b"")), None);
    assert_eq!(inspect(&mut Cursor::new(b"GIF89a and so on")), None);
}

#[test]
fn foreign_comments_are_no_tags() {
    let data = slope(size(3, 3), 3);
    let meta = Meta { digest: DIGEST, ..Meta::default() };
    for format in Format::ALL {
        let mut file = encode(raster(size(3, 3), 3, &data), &meta, &Options::new(format)).unwrap();
        let at = file.windows(6).position(|w| w == b"qbg1:0").unwrap();
        file[at] = b'x';
        assert_eq!(inspect(&mut Cursor::new(&file)).unwrap().digest, None, "{format:?}");
    }
}

#[test]
fn formats_are_found_by_name() {
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()), Some(format));
        assert_eq!(Format::from_name(format.extension()), Some(format));
    }
    assert_eq!(Format::from_name("TIF"), Some(Format::Tiff));
    assert_eq!(Format::from_name("jpeg"), Some(Format::Jpeg));
    assert_eq!(Format::from_name("gif"), None);
    assert_eq!(Format::from_name(""), None);
}
