//! Every vector against Pillow's pixels, every refusal against its kind, and thousands of
//! damaged files against the promise that nothing panics.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::ZlibDecoder;

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/decode")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Expected samples, which are kept deflated.
fn expected(name: &str) -> Vec<u8> {
    let mut samples = Vec::new();
    ZlibDecoder::new(&file(name)[..]).read_to_end(&mut samples).unwrap();
    samples
}

fn decoded(bytes: &[u8]) -> Result<Image, Kind> {
    let mut image = Image::default();
    Decoder::default().decode(bytes, &Limits::default(), &mut image).map(|()| image)
}

fn kind_of(bytes: &[u8]) -> Kind {
    match decoded(bytes) {
        Ok(image) => panic!("decoded as {} {:?}", image.format, image.size),
        Err(kind) => kind,
    }
}

/// All planes in the order of the vectors: RGB, or RGBA if there is alpha.
fn interleaved(image: &Image) -> Vec<u8> {
    if image.alpha.is_empty() {
        return image.rgb.clone();
    }
    let pixels = image.rgb.chunks_exact(3).zip(&image.alpha);
    pixels.flat_map(|(rgb, &a)| [rgb[0], rgb[1], rgb[2], a]).collect()
}

struct Case {
    name: String,
    size: Size,
    channels: usize,
    tolerance: u8,
}

fn cases() -> Vec<Case> {
    let index = String::from_utf8(file("index.txt")).unwrap();
    let case = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| words[i].parse::<usize>().unwrap();
        Case {
            name: words[0].into(),
            size: Size { width: number(1), height: number(2) },
            channels: number(3),
            tolerance: number(4) as u8,
        }
    };
    index.lines().map(case).collect()
}

#[test]
fn every_vector_has_its_pixels() {
    for level in Level::available() {
        vectors_at(level);
    }
}

fn vectors_at(level: Level) {
    // One decoder and one image for all: what is left of a picture must not show in the next.
    let (mut decoder, mut image) = (Decoder::new(level), Image::default());
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    for case in cases {
        let name = &case.name;
        if let Err(kind) = decoder.decode(&file(name), &Limits::default(), &mut image) {
            wrong.push(format!("{name}: {kind}"));
            continue;
        }
        let channels = if image.alpha.is_empty() { 3 } else { 4 };
        if (image.size, channels) != (case.size, case.channels) {
            wrong.push(format!("{name}: {:?} with {channels} channels", image.size));
            continue;
        }
        let (seen, wanted) = (interleaved(&image), expected(&format!("{name}.raw")));
        assert_eq!(seen.len(), wanted.len(), "{name}");
        // A color under alpha 0 is nobody's business.
        let hidden = |i: usize| channels == 4 && i % 4 != 3 && wanted[i / 4 * 4 + 3] == 0;
        let differences = seen.iter().zip(&wanted).enumerate().filter(|&(i, _)| !hidden(i));
        let worst = differences.clone().map(|(_, (a, b))| a.abs_diff(*b)).max().unwrap_or(0);
        if worst > case.tolerance {
            let first = differences.clone().find(|(_, (a, b))| a.abs_diff(**b) > case.tolerance);
            let count = differences.filter(|(_, (a, b))| a != b).count();
            wrong.push(format!("{name}: {count} samples off by up to {worst}, first {first:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn buffers_are_reused() {
    let (mut decoder, mut image) = (Decoder::default(), Image::default());
    let limits = Limits::default();
    decoder.decode(&file("jpeg-orientation-6.jpg"), &limits, &mut image).unwrap();
    decoder.decode(&file("jpeg-orientation-6.jpg"), &limits, &mut image).unwrap();
    let before = [image.rgb.as_ptr(), decoder.scratch.turned.as_ptr()];
    decoder.decode(&file("jpeg-orientation-6.jpg"), &limits, &mut image).unwrap();
    let mut after = [decoder.scratch.turned.as_ptr(), image.rgb.as_ptr()];
    after.sort();
    let mut before = before;
    before.sort();
    assert_eq!(before, after, "the two buffers of a turned picture only change places");
}

#[test]
fn sixteen_bits_are_scaled_and_rounded() {
    for v in 0..=u16::MAX {
        assert_eq!(level16(v), (f64::from(v) * 255.0 / 65535.0).round() as u8, "{v}");
    }
    for v in 0..=255 * 255u32 {
        assert_eq!(div255(v), (f64::from(v) / 255.0).round() as u32, "{v}");
    }
}

#[test]
fn colors_are_kept_and_converted_on_demand() {
    for name in ["jpeg-wide.jpg", "png-wide-dpi.png"] {
        let mut decoder = Decoder::default();
        let mut image = Image::default();
        decoder.decode(&file(name), &Limits::default(), &mut image).unwrap();
        assert!(image.icc.len() > 300 && !image.icc_ignored, "{name}");
        assert_eq!(decoder.icc().outcome(&image.icc), Outcome::Converted);
        assert_eq!(decoder.icc().to_srgb(&image.icc, &mut image.rgb), Outcome::Converted);
        let wanted = expected(&format!("{name}.srgb.raw"));
        let worst = image.rgb.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(2), "{name}: off by {worst:?}");
    }
}

#[test]
fn srgb_is_recognized_and_broken_profiles_are_ignored() {
    let mut decoder = Decoder::default();
    let mut image = Image::default();
    decoder.decode(&file("jpeg-srgb.jpg"), &Limits::default(), &mut image).unwrap();
    let before = image.rgb.clone();
    assert_eq!(decoder.icc().to_srgb(&image.icc, &mut image.rgb), Outcome::AlreadySrgb);
    assert_eq!(decoder.icc().to_srgb(&[], &mut image.rgb), Outcome::AlreadySrgb);
    let cut = image.icc[..200].to_vec();
    assert_eq!(decoder.icc().to_srgb(&cut, &mut image.rgb), Outcome::Unusable);
    assert_eq!(decoder.icc().to_srgb(b"nonsense", &mut image.rgb), Outcome::Unusable);
    assert_eq!(image.rgb, before);
}

#[test]
fn gray_and_ink_profiles_are_used_up() {
    for name in ["jpeg-gray-icc.jpg", "jpeg-cmyk-icc.jpg", "tiff-cmyk-icc.tif"] {
        let image = decoded(&file(name)).unwrap();
        assert!(image.icc.is_empty() && !image.icc_ignored, "{name}");
    }
}

#[test]
fn a_profile_of_another_space_is_ignored() {
    // The gray picture's profile in an RGB picture.
    let gray = file("jpeg-gray-icc.jpg");
    let at = gray.windows(11).position(|w| w == b"ICC_PROFILE").unwrap();
    let length = usize::from(u16::from_be_bytes([gray[at - 2], gray[at - 1]]));
    let rgb = file("jpeg-444.jpg");
    let mixed = [&rgb[..2], &gray[at - 4..at - 2 + length], &rgb[2..]].concat();
    let image = decoded(&mixed).unwrap();
    assert!(image.icc_ignored && image.icc.is_empty());
    assert_eq!(image.rgb, decoded(&rgb).unwrap().rgb);
}

#[test]
fn densities() {
    let dpi = |name: &str| decoded(&file(name)).unwrap().density.map(|d| (d.x_dpi, d.y_dpi));
    let near = |name: &str, x: f64, y: f64| {
        let (a, b) = dpi(name).unwrap_or((0.0, 0.0));
        assert!((a - x).abs() < 0.05 && (b - y).abs() < 0.05, "{name}: {a} x {b}");
    };
    near("jpeg-dpi.jpg", 300.0, 200.0);
    near("png-wide-dpi.png", 300.0, 150.0);
    near("tiff-pages-dpi.tif", 72.0, 96.0);
    near("bmp-24.bmp", 120.0, 120.0);
    // From EXIF; a picture on its side has its two densities exchanged.
    near("jpeg-orientation-3.jpg", 150.0, 75.0);
    near("png-orientation-6.png", 75.0, 150.0);
    assert_eq!(dpi("jpeg-444.jpg"), None);
    assert_eq!(dpi("webp-lossy.webp"), None);
}

#[test]
fn further_frames_are_reported() {
    for case in cases() {
        let name = &case.name;
        let animated = name.contains("animated") || name.contains("pages");
        assert_eq!(decoded(&file(name)).unwrap().animated, animated, "{name}");
    }
}

#[test]
fn what_is_no_picture_is_refused_by_name() {
    assert!(matches!(kind_of(b""), Kind::Empty));
    assert!(matches!(kind_of(b"hello, this is a text, not a picture"), Kind::UnknownFormat));
    assert!(matches!(kind_of(b"BMW is a maker of cars and so on"), Kind::UnknownFormat));
    assert!(matches!(kind_of(b"P5x"), Kind::UnknownFormat));
    assert!(matches!(kind_of(&[0]), Kind::UnknownFormat));
    assert!(matches!(kind_of(b"\x89PN"), Kind::Truncated { .. }));
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    assert!(matches!(kind_of(heic), Kind::Unsupported { format: "HEIC", .. }));
    let avif = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf";
    assert!(matches!(kind_of(avif), Kind::Unsupported { format: "AVIF", .. }));
    assert!(matches!(kind_of(b"\0\0\0\x18ftypisom\0\0\0\0isommp41"), Kind::UnknownFormat));
}

/// Sets a byte of the first segment with this marker.
fn patched(name: &str, marker: u8, offset: usize, value: u8) -> Vec<u8> {
    let mut bytes = file(name);
    let at = bytes.windows(2).position(|w| w == [0xFF, marker]).unwrap();
    bytes[at + offset] = value;
    bytes
}

#[test]
fn rare_jpeg_variants_are_refused_by_name() {
    let what = |bytes: Vec<u8>| match kind_of(&bytes) {
        Kind::Unsupported { format: "JPEG", what } => what,
        other => panic!("{other}"),
    };
    assert_eq!(what(patched("jpeg-444.jpg", 0xC0, 4, 12)), "12-bit precision");
    assert_eq!(what(patched("jpeg-444.jpg", 0xC0, 1, 0xC3)), "lossless coding");
    assert_eq!(what(patched("jpeg-444.jpg", 0xC0, 1, 0xC9)), "arithmetic coding");
    assert_eq!(what(patched("jpeg-444.jpg", 0xC0, 1, 0xC5)), "hierarchical coding");
}

/// A header of each format that promises 60000x60000 pixels.
fn bombs() -> BTreeMap<&'static str, Vec<u8>> {
    let side = 60_000u32;
    let (le, be) = (side.to_le_bytes(), side.to_be_bytes());
    let mut bombs = BTreeMap::new();
    let mut png = file("png-rgb.png");
    png[16..20].copy_from_slice(&be);
    png[20..24].copy_from_slice(&be);
    bombs.insert("PNG", png);
    let mut jpeg = file("jpeg-444.jpg");
    let at = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    jpeg[at + 5..at + 9].copy_from_slice(&[be[2], be[3], be[2], be[3]]);
    bombs.insert("JPEG", jpeg);
    let mut gif = file("gif-plain.gif");
    gif[6..10].copy_from_slice(&[le[0], le[1], le[0], le[1]]);
    bombs.insert("GIF", gif);
    let mut bmp = file("bmp-24.bmp");
    bmp[18..22].copy_from_slice(&le);
    bmp[22..26].copy_from_slice(&le);
    bombs.insert("BMP", bmp);
    let mut webp = file("webp-orientation-8.webp");
    // WebP stores the sides less one.
    let less = (side - 1).to_le_bytes();
    webp[24..27].copy_from_slice(&less[..3]);
    webp[27..30].copy_from_slice(&less[..3]);
    bombs.insert("WebP", webp);
    let mut tiff = file("tiff-orientation-5.tif");
    for tag in [256u16, 257] {
        let at = tiff.windows(4).position(|w| w[..2] == tag.to_le_bytes() && w[2..] == [3, 0]);
        tiff[at.unwrap() + 8..][..4].copy_from_slice(&le);
    }
    bombs.insert("TIFF", tiff);
    bombs.insert("PNM", b"P6 60000 60000 255\n".to_vec());
    bombs
}

#[test]
fn header_bombs_are_refused_before_anything_is_allocated() {
    for (format, bytes) in bombs() {
        let mut image = Image::default();
        let error = Decoder::default().decode(&bytes, &Limits::default(), &mut image).unwrap_err();
        assert!(
            matches!(error, Kind::TooManyPixels { width: 60_000, height: 60_000, .. }),
            "{format}: {error}"
        );
        assert_eq!((image.rgb.capacity(), image.alpha.capacity()), (0, 0), "{format}");
    }
}

#[test]
fn a_file_too_short_for_its_header_is_refused_before_anything_is_allocated() {
    // 15000x15000 is within the limit, but can't be in a file of a kilobyte.
    for (format, mut bytes) in bombs() {
        let side = 15_000u32.to_be_bytes();
        match format {
            "PNG" => bytes[16..24].copy_from_slice(&[side, side].concat()),
            "JPEG" => {
                let at = bytes.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
                bytes[at + 5..at + 9].copy_from_slice(&[side[2], side[3], side[2], side[3]]);
            }
            _ => continue,
        }
        let mut image = Image::default();
        let error = Decoder::default().decode(&bytes, &Limits::default(), &mut image).unwrap_err();
        assert!(matches!(error, Kind::Truncated { .. }), "{format}: {error}");
        assert_eq!(image.rgb.capacity(), 0, "{format}");
    }
}

#[test]
fn the_limit_is_inclusive() {
    let bytes = file("png-rgb.png");
    let mut image = Image::default();
    let pixels = decoded(&bytes).unwrap().size.pixels() as u64;
    let at = |max_pixels| Limits { max_pixels, ..Limits::default() };
    assert!(Decoder::default().decode(&bytes, &at(pixels), &mut image).is_ok());
    let error = Decoder::default().decode(&bytes, &at(pixels - 1), &mut image).unwrap_err();
    assert!(matches!(error, Kind::TooManyPixels { .. }), "{error}");
}

/// A chunk of a PNG.
fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(data);
    let length = (data.len() as u32).to_be_bytes();
    let sum = crc.sum().to_be_bytes();
    [&length[..], name, data, &sum].concat()
}

/// A PNG with this chunk after its header.
fn png_with(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let png = file("png-rgb.png");
    [&png[..33], &chunk(name, data), &png[33..]].concat()
}

#[test]
fn a_palette_that_is_no_list_of_colors_is_refused() {
    let header = [0, 0, 0, 4, 0, 0, 0, 1, 8, 3, 0, 0, 0];
    // One row of four pixels, stored: filter 0, then entries 0 to 3.
    let stored = [0x78, 1, 1, 5, 0, 0xfa, 0xff, 0, 0, 1, 2, 3, 0, 0x0f, 0, 7];
    let with = |colors: usize| {
        let parts = [
            b"\x89PNG\r\n\x1a\n".to_vec(),
            chunk(b"IHDR", &header),
            chunk(b"PLTE", &vec![9; colors]),
            chunk(b"IDAT", &stored),
            chunk(b"IEND", &[]),
        ];
        decoded(&parts.concat())
    };
    assert_eq!(with(12).unwrap().rgb, [9; 12]);
    for broken in [0, 1, 11, 49, 769, 771] {
        assert!(matches!(with(broken), Err(Kind::Corrupt { .. })), "{broken}");
    }
}

#[test]
fn a_profile_bomb_is_left_out_and_the_picture_is_decoded() {
    use std::io::Write;
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        packed.write_all(&zeros).unwrap();
    }
    let chunk = [&b"bomb\0\0"[..], &packed.finish().unwrap()].concat();
    assert!(chunk.len() < 1 << 17);
    let bytes = png_with(b"iCCP", &chunk);
    let limits = Limits { max_metadata_bytes: 1 << 20, ..Limits::default() };
    let mut image = Image::default();
    Decoder::default().decode(&bytes, &limits, &mut image).unwrap();
    assert!(image.icc_ignored && image.icc.is_empty());
    assert!(image.icc.capacity() <= 1 << 20, "{} bytes kept", image.icc.capacity());
    assert_eq!(image.rgb, expected("png-rgb.png.raw"));
}

#[test]
fn a_jpeg_profile_in_pieces_is_put_together_in_order() {
    let original = file("jpeg-wide.jpg");
    let at = original.windows(11).position(|w| w == b"ICC_PROFILE").unwrap();
    let length = usize::from(u16::from_be_bytes([original[at - 2], original[at - 1]]));
    let profile = original[at + 14..at - 2 + length].to_vec();
    let piece = |number: u8, data: &[u8]| {
        let length = (data.len() as u16 + 16).to_be_bytes();
        [&[0xFF, 0xE2], &length[..], b"ICC_PROFILE\0", &[number, 3], data].concat()
    };
    let (a, b) = (100, 250);
    let pieces = [piece(2, &profile[a..b]), piece(3, &profile[b..]), piece(1, &profile[..a])];
    let around = |pieces: &[Vec<u8>]| {
        [&original[..at - 4], &pieces.concat(), &original[at - 2 + length..]].concat()
    };
    let image = decoded(&around(&pieces)).unwrap();
    assert_eq!(image.icc, profile);
    let incomplete = decoded(&around(&pieces[..2])).unwrap();
    assert!(incomplete.icc_ignored && incomplete.icc.is_empty());
}

#[test]
fn a_cut_file_is_an_error_at_every_length() {
    for name in [
        "jpeg-420.jpg",
        "jpeg-progressive-420.jpg",
        "jpeg-restart.jpg",
        "jpeg-gray.jpg",
        "jpeg-cmyk.jpg",
        "png-rgb.png",
        "png-interlaced.png",
        "webp-lossless.webp",
        "webp-lossy.webp",
        "tiff-rgb-raw.tif",
        "bmp-24.bmp",
        "bmp-rle8.bmp",
        "gif-plain.gif",
        "pnm-p5-16.pgm",
        "pnm-p6.ppm",
    ] {
        let bytes = file(name);
        let whole = decoded(&bytes).unwrap();
        for length in 1..bytes.len() {
            match decoded(&bytes[..length]) {
                // Nothing is missing but a mark or padding at the end.
                Ok(image) => assert_eq!(image.rgb, whole.rgb, "{name} cut at {length}"),
                Err(Kind::Truncated { .. }) => {}
                // A signature that is cut is not recognized; a TIFF's directory is at its end.
                Err(_) if length < 20 || name.starts_with("tiff") => {}
                Err(other) => panic!("{name} cut at {length} of {}: {other}", bytes.len()),
            }
        }
        let middle = decoded(&bytes[..bytes.len() / 2 + bytes.len() / 8]);
        assert!(middle.is_err(), "{name}");
    }
}

#[test]
fn a_jpeg_without_its_end_mark_or_with_more_after_it_is_decoded() {
    for name in ["jpeg-420.jpg", "jpeg-progressive-420.jpg", "jpeg-gray.jpg", "jpeg-cmyk.jpg"] {
        let bytes = file(name);
        let whole = decoded(&bytes).unwrap();
        let unended = decoded(&bytes[..bytes.len() - 2]).unwrap();
        assert_eq!(unended.rgb, whole.rgb, "{name}");
        let longer = [&bytes[..], b"garbage \xFF\xD8 after the end"].concat();
        assert_eq!(decoded(&longer).unwrap().rgb, whole.rgb, "{name}");
    }
}

/// A small generator of numbers (xorshift64*), seeded.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

#[test]
fn damaged_files_never_panic() {
    let (mut decoder, mut image) = (Decoder::default(), Image::default());
    // Damage may enlarge the size in the header; the limit keeps the test quick.
    let limits = Limits { max_pixels: 1 << 16, max_metadata_bytes: 1 << 16 };
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let (mut good, mut bad) = (0, 0);
    for case in cases() {
        let bytes = file(&case.name);
        for _ in 0..120 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + numbers.below(4) {
                let at = numbers.below(damaged.len());
                match numbers.below(5) {
                    0 => damaged[at] ^= 1 << numbers.below(8),
                    1 => damaged[at] = numbers.below(256) as u8,
                    2 => damaged[at] = [0, 0xFF, 0x7F, 0x80][numbers.below(4)],
                    3 => damaged.truncate(at.max(1)),
                    _ => {
                        damaged.remove(at);
                        if damaged.is_empty() {
                            damaged.push(0);
                        }
                    }
                }
            }
            match decoder.decode(&damaged, &limits, &mut image) {
                Ok(()) => {
                    good += 1;
                    assert_eq!(image.rgb.len(), 3 * image.size.pixels(), "{}", case.name);
                    assert!(image.pixels().is_ok() && image.alpha_plane().is_ok());
                }
                Err(_) => bad += 1,
            }
            let icc = std::mem::take(&mut image.icc);
            decoder.icc().to_srgb(&icc, &mut image.rgb);
            image.icc = icc;
        }
    }
    assert!(
        good > 1000 && bad > 1000,
        "{good} decoded, {bad} refused: the damage is too one-sided"
    );
}
