//! The doors that strangers' bytes come through, one function each, and what must hold behind them:
//! no panic, no more memory than the limits allow, and the same answer from every CPU level.
//!
//! Both the fuzz targets and the replay of their corpus call these. Must not know either.

#![allow(dead_code, reason = "each fuzz target calls one of them")]

use std::collections::HashSet;
use std::io::Cursor;
use std::path::{Component, Path, PathBuf};

use qbg_core::decode::{Decoder, Image, Limits};
use qbg_core::encode::{self, Encoder, Format, Meta};
use qbg_core::error::Kind;
use qbg_core::image::{Raster, Rgb8, Size};
use qbg_core::journal::{Entry, Journal, Outcome};
use qbg_core::meter::Stages;
use qbg_core::preprocess::{self, Preprocessor};
use qbg_core::recipe::{Filter, Fit, Input, Scale};
use qbg_core::simd::Level;
use qbg_core::source::{self, Job, OnCollision, Output, Source, Spec};

/// A function for bytes from outside.
pub type Door = fn(&[u8]);

/// All of them, by the name of their target and corpus.
pub const ALL: [(&str, Door); 13] = [
    ("jpeg", jpeg),
    ("png", png),
    ("webp", webp),
    ("tiff", tiff),
    ("bmp", bmp),
    ("gif", gif),
    ("pnm", pnm),
    ("metadata", metadata),
    ("inspect", inspect),
    ("list", list),
    ("glob", glob),
    ("preprocess", preprocess),
    ("journal", journal),
];

const LIMITS: Limits = Limits { max_pixels: 1 << 17, max_metadata_bytes: 1 << 14 };

/// Decodes twice, with buffers that are dirty from another picture, and at the least and the best
/// level: the answers must be equal, and within the limits.
fn decode(bytes: &[u8]) {
    let mut used = Decoder::new(Level::SCALAR);
    let mut first = Image::default();
    let _ = used.decode(GRAY_PIXEL, &LIMITS, &mut first);
    let one = used.decode(bytes, &LIMITS, &mut first);
    let mut second = Image::default();
    let two = Decoder::new(Level::detect()).decode(bytes, &LIMITS, &mut second);
    assert_eq!(one.is_ok(), two.is_ok(), "{one:?} {two:?}");
    if one.is_err() {
        return;
    }
    assert_eq!(first.size, second.size);
    assert!(first.rgb == second.rgb && first.alpha == second.alpha, "levels differ");
    let pixels = first.size.pixels();
    assert!(pixels > 0 && pixels as u64 <= LIMITS.max_pixels);
    assert_eq!(first.rgb.len(), 3 * pixels);
    assert!(first.alpha.is_empty() || first.alpha.len() == pixels);
    assert!(first.icc.len() <= LIMITS.max_metadata_bytes);
    if !first.icc.is_empty() {
        let mut colors = first.rgb;
        used.icc().to_srgb(&first.icc, &mut colors);
    }
}

/// `magic`, then the input: fuzzers take long to find a signature.
fn decode_as(magic: &[u8], data: &[u8]) {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(data.strip_prefix(magic).unwrap_or(data));
    decode(&bytes);
}

/// JPEG.
pub fn jpeg(data: &[u8]) {
    decode_as(b"\xff\xd8\xff", data);
}

/// PNG.
pub fn png(data: &[u8]) {
    decode_as(b"\x89PNG\r\n\x1a\n", data);
}

/// WebP; its first 12 bytes hold the length of the rest.
pub fn webp(data: &[u8]) {
    let body = data.get(12..).unwrap_or(data);
    let mut bytes = b"RIFF".to_vec();
    bytes.extend_from_slice(&(4 + body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(b"WEBP");
    bytes.extend_from_slice(body);
    decode(&bytes);
}

/// TIFF of either byte order.
pub fn tiff(data: &[u8]) {
    if data.starts_with(b"MM\0*") { decode(data) } else { decode_as(b"II*\0", data) }
}

/// BMP.
pub fn bmp(data: &[u8]) {
    decode_as(b"BM", data);
}

/// GIF.
pub fn gif(data: &[u8]) {
    decode_as(b"GIF89a", data);
}

/// PNM: all six kinds.
pub fn pnm(data: &[u8]) {
    if data.first() == Some(&b'P') { decode(data) } else { decode_as(b"P6", data) }
}

/// A JPEG of one gray pixel; what follows its first two bytes is where segments go.
const GRAY_PIXEL: &[u8] = include_bytes!("gray_pixel.jpg");

/// EXIF or a color profile, by the first byte, in a good picture.
pub fn metadata(data: &[u8]) {
    let Some((&kind, block)) = data.split_first() else { return };
    let (marker, intro): (u8, &[u8]) =
        if kind & 1 == 0 { (0xe1, b"Exif\0\0") } else { (0xe2, b"ICC_PROFILE\0\x01\x01") };
    let length = 2 + intro.len() + block.len();
    let Ok(length) = u16::try_from(length) else { return };
    let (start, rest) = GRAY_PIXEL.split_at(2);
    let [high, low] = length.to_be_bytes();
    let bytes = [start, &[0xff, marker, high, low], intro, block, rest].concat();
    decode(&bytes);
    // Whatever stood there, the picture is whole, and must be had.
    let mut image = Image::default();
    let decoded = Decoder::new(Level::SCALAR).decode(&bytes, &LIMITS, &mut image);
    assert!(decoded.is_ok(), "{decoded:?}");
}

/// A file that stands where an output goes: is it whole, and ours?
pub fn inspect(data: &[u8]) {
    let _ = encode::inspect(&mut Cursor::new(data));
    // Our own output, of a size that the data chooses, must be found whole, and cut, not whole.
    let (&[form, width, height, cut], pixels) = data.split_first_chunk().unwrap_or((&[0; 4], data));
    let size = Size { width: 1 + usize::from(width % 16), height: 1 + usize::from(height % 16) };
    let mut colors = pixels.to_vec();
    colors.resize(3 * size.pixels(), form);
    let Ok(rgb) = Rgb8::new(size, &colors) else { return };
    let format = [Format::Png, Format::Jpeg, Format::Webp, Format::Tiff][usize::from(form % 4)];
    let mut encoder = Encoder::new(Level::detect());
    let mut bytes = Vec::new();
    let meta = Meta { icc: None, density: None, digest: "qbg1:0123.4.5" };
    let done = encoder.run(Raster::Rgb(rgb), &meta, &encode::Options::new(format), &mut bytes);
    assert!(done.is_ok(), "{done:?}");
    let seen = encode::inspect(&mut Cursor::new(&bytes));
    assert!(seen.is_some_and(|seen| seen.whole && seen.digest.as_deref() == Some(meta.digest)));
    bytes.truncate(bytes.len() - 1 - usize::from(cut) % bytes.len());
    let seen = encode::inspect(&mut Cursor::new(&bytes));
    assert!(seen.is_none_or(|seen| !seen.whole), "cut, and yet whole");
}

/// A list of paths: every output lies in the output folder, and no two are one.
pub fn list(data: &[u8]) {
    let Some((&how, list)) = data.split_first() else { return };
    let out = Path::new("/nowhere/out");
    let fold_case = how & 2 != 0;
    let options = source::Options {
        output: Output::Folder(out.to_path_buf()),
        extension: "png",
        recursive: true,
        on_collision: if how & 1 == 0 { OnCollision::Fail } else { OnCollision::Rename },
        fold_case,
        shard: None,
    };
    let list = Spec::List(Box::new(Cursor::new(list.to_vec())));
    let Ok(jobs) = Source::new(list, options) else { return };
    let mut outputs: HashSet<PathBuf> = HashSet::new();
    for job in jobs.flatten() {
        let below = job.output.strip_prefix(out);
        assert!(below.is_ok_and(|below| {
            below.components().all(|part| matches!(part, Component::Normal(_)))
        }));
        let mut name = job.output.clone();
        if let (true, Some(text)) = (fold_case, job.output.to_str()) {
            name = text.to_lowercase().into();
        }
        assert!(outputs.insert(name), "two inputs, one output: {:?}", job.output);
    }
}

/// A pattern over a small tree: each match once, and below its base.
pub fn glob(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The tree below this folder is small and ours; elsewhere a walk could take for ever.
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/tree");
    if text.contains("..") {
        return;
    }
    let options = source::Options {
        output: Output::Folder(PathBuf::from("/nowhere/out")),
        extension: "png",
        recursive: true,
        on_collision: OnCollision::Rename,
        fold_case: false,
        shard: None,
    };
    let Ok(jobs) = Source::new(Spec::Glob(format!("{root}/{text}")), options) else { return };
    let mut inputs = HashSet::new();
    for job in jobs.flatten() {
        assert!(job.input.starts_with(root));
        assert!(inputs.insert(job.input.clone()), "{:?} twice", job.input);
    }
}

/// What a journal holds when a run takes it up: a stranger's file is left as it is; else its lines stay,
/// what can't be read is passed over and counted, and the lines that are added can be read.
pub fn journal(data: &[u8]) {
    let path = std::env::temp_dir().join(format!("qbg-door-journal-{}", std::process::id()));
    let there = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/tree/x.png"));
    let job = Job { id: 0, input: there.clone(), output: there };
    assert!(std::fs::write(&path, data).is_ok(), "no temporary file");
    let told = match Journal::open(&path, "digest", true) {
        Err(error) => {
            assert!(matches!(error, Kind::NotAJournal), "{error:?}");
            assert!(std::fs::read(&path).is_ok_and(|after| after == data), "touched");
            return;
        }
        Ok(journal) => journal,
    };
    let _ = told.is_done(&job);
    let stages = Stages::default();
    let outcome = Outcome::Done;
    let entry = Entry { job: &job, outcome, pixels: 1, stages: &stages, error: None };
    assert!(told.write(&entry).is_ok());
    let after = std::fs::read(&path).unwrap_or_default();
    assert!(after.starts_with(data) && after.last() == Some(&b'\n'));
    let again = Journal::open(&path, "digest", true);
    assert!(again.as_ref().is_ok_and(|again| again.is_done(&job)), "what was just written");
    assert!(again.is_ok_and(|again| again.unreadable() == told.unreadable()));
    let other = Journal::open(&path, "another digest", true);
    assert!(
        other.is_ok_and(|other| !other.is_done(&job))
            || data.windows(14).any(|part| part == b"another digest")
    );
}

/// A recipe and a picture's size: the tensor that the plan promises is filled, alike at all levels.
pub fn preprocess(data: &[u8]) {
    let (&[how, a, b, c, d, width, height, fill], pixels) =
        data.split_first_chunk().unwrap_or((&[0; 8], data));
    let side = |byte: u8| 1 + usize::from(byte % 96);
    let size = Size { width: side(a), height: side(b) };
    let multiple = 1 + usize::from(d % 33);
    let fit = match how % 4 {
        0 => Fit::Squash { size },
        1 => Fit::Letterbox { size, fill },
        2 => Fit::ShortSide { side: side(c) % 24 + 1, multiple },
        _ => Fit::LongSide { side: side(c), multiple },
    };
    let input = Input {
        fit,
        filter: if how & 4 == 0 { Filter::Bilinear } else { Filter::Lanczos },
        scale: if how & 8 == 0 { Scale::Full } else { Scale::Maximum },
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };
    let picture = Size { width: 1 + usize::from(width), height: 1 + usize::from(height) };
    let colors: Vec<u8> =
        pixels.iter().copied().chain([fill]).cycle().take(3 * picture.pixels()).collect();
    let Ok(rgb) = Rgb8::new(picture, &colors) else { return };
    let geometry = preprocess::geometry(&input, picture);
    let most = preprocess::largest(&input);
    let tensor = geometry.tensor;
    assert!(tensor.width.min(tensor.height) > 0);
    assert!(tensor.pixels() <= most.pixels(), "{tensor:?} {most:?}");
    let content = geometry.content;
    assert!(content.x + content.size.width <= tensor.width);
    assert!(content.y + content.size.height <= tensor.height);
    let fill_in = |level: Level| {
        let mut out = vec![f32::NAN; 3 * tensor.pixels()];
        let done = Preprocessor::new(level).run(rgb, &input, None, &mut out);
        assert!(done.is_ok(), "{done:?}");
        out
    };
    let (scalar, best) = (fill_in(Level::SCALAR), fill_in(Level::detect()));
    assert!(scalar.iter().all(|value| value.is_finite()), "a part was left out");
    assert!(scalar.iter().zip(&best).all(|(a, b)| a.to_bits() == b.to_bits()), "levels differ");
}
