//! Names: which files are images, what their outputs are called, and how clashes are settled.
//!
//! Pure functions over names, byte for byte, but for the probe of the file system's case rule.
//! It must not walk or open anything.
//!
//! One folder's names are settled together. The plain output of `x.jpg` is `x.<ext>`. Where two
//! plain names are equal, or a plain name is that of a sub-folder that is walked too, either all
//! members fail (`Fail`) or, in byte order, the first keeps the plain name and the others are
//! called after their full name: `x.jpg.<ext>`, and if that is taken `x.jpg.2.<ext>`, `.3` ...
//! (`Rename`). A name outside a clashing group never changes. Renaming depends on what else lies
//! in the folder: adding a file may move its neighbors' outputs.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::{OnCollision, identity};
use crate::error::Kind;

/// Extensions that count as images, in lower case. HEIC and AVIF are taken to be refused aloud.
const IMAGE_EXTENSIONS: [&str; 19] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "tif", "tiff", "bmp", "dib", "gif", "pbm",
    "pgm", "ppm", "pnm", "heic", "heif", "avif",
];

/// What our own outputs beside their inputs are called before the extension.
const CUTOUT: &str = ".cutout";

/// Whether a file of this name in a folder is an input.
pub fn is_image(name: &OsStr) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|e| IMAGE_EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// Hidden files and qbg's temporaries.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// `x.cutout.png`, `x.cutout.webp` ...: an output of this run or an earlier one.
pub(super) fn is_cutout(name: &OsStr) -> bool {
    is_image(name)
        && Path::new(name)
            .file_stem()
            .is_some_and(|stem| stem.as_encoded_bytes().ends_with(CUTOUT.as_bytes()))
}

/// How an output's name is made from its input's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suffix {
    pub extension: &'static str,
    /// `.cutout` between stem and extension: outputs that land among inputs.
    pub cutout: bool,
}

impl Suffix {
    fn after(self, start: &OsStr) -> OsString {
        let mut name = start.to_os_string();
        if self.cutout {
            name.push(CUTOUT);
        }
        name.push(".");
        name.push(self.extension);
        name
    }

    /// `x.jpg` to `x.png`.
    pub(super) fn plain(self, name: &OsStr) -> OsString {
        self.after(Path::new(name).file_stem().unwrap_or(name))
    }

    /// `x.jpg` to `x.jpg.png`; from the second try on `x.jpg.2.png`.
    pub(super) fn full(self, name: &OsStr, attempt: u64) -> OsString {
        if attempt <= 1 {
            return self.after(name);
        }
        let mut start = name.to_os_string();
        start.push(format!(".{attempt}"));
        self.after(&start)
    }
}

/// What an output file system takes two names to be equal by.
pub(super) fn key(name: &OsStr, fold_case: bool) -> OsString {
    if !fold_case {
        return name.to_os_string();
    }
    match name.to_str() {
        Some(text) => text.chars().flat_map(char::to_lowercase).collect::<String>().into(),
        None => name.to_ascii_lowercase(),
    }
}

/// How one input of a folder fares.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Takes [`Suffix::plain`].
    Plain,
    /// Takes this name.
    Named(OsString),
    /// Fails. Boxed: nearly all are `Plain`, and a folder may hold millions.
    Failed(Box<Kind>),
}

/// Settles the names of one folder.
pub(super) struct Settle<'a> {
    pub suffix: Suffix,
    pub fold_case: bool,
    pub on_collision: OnCollision,
    /// Names, in the output folder, that sub-folders will take.
    pub folders: &'a [OsString],
    /// The folders of input and output, for messages.
    pub input: &'a Path,
    pub output: &'a Path,
}

impl Settle<'_> {
    /// Turns the `Plain` verdicts that clash into others. `files` is sorted by name.
    pub(super) fn settle(&self, files: &mut [(OsString, Verdict)]) {
        let mut keys: Vec<(OsString, usize)> = files
            .iter()
            .enumerate()
            .filter(|(_, (_, verdict))| matches!(verdict, Verdict::Plain))
            .map(|(i, (name, _))| (key(&self.suffix.plain(name), self.fold_case), i))
            .collect();
        keys.sort_unstable();
        let mut folders: Vec<(OsString, &OsString)> =
            self.folders.iter().map(|name| (key(name, self.fold_case), name)).collect();
        folders.sort_unstable();
        let folder_of = |key: &OsString| {
            let found = folders.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
            folders.get(found).map(|(_, name)| *name)
        };
        let groups = keys.chunk_by(|a, b| a.0 == b.0);
        let clashing = groups
            .filter_map(|g| Some((g, folder_of(&g.first()?.0))))
            .filter(|(g, folder)| g.len() > 1 || folder.is_some());
        // Names given to renamed files; built only when there is a clash at all.
        let mut taken: Option<HashSet<OsString>> = None;
        for (group, folder) in clashing {
            match self.on_collision {
                OnCollision::Fail => self.fail(files, group, folder),
                OnCollision::Rename => {
                    let taken = taken.get_or_insert_with(|| {
                        let all = keys.iter().map(|(key, _)| key);
                        all.chain(folders.iter().map(|(key, _)| key)).cloned().collect()
                    });
                    let keeps = usize::from(folder.is_none());
                    for (_, i) in group.iter().skip(keeps) {
                        let (name, verdict) = &mut files[*i];
                        *verdict = Verdict::Named(self.rename(name, taken));
                    }
                }
            }
        }
    }

    fn fail(
        &self,
        files: &mut [(OsString, Verdict)],
        group: &[(OsString, usize)],
        folder: Option<&OsString>,
    ) {
        let first = group.first().map_or(0, |(_, i)| *i);
        for (_, i) in group {
            // The first names the second, the others name the first, all name a folder if any.
            let partner = if *i == first { group.get(1).map_or(first, |(_, j)| *j) } else { first };
            let other = self.input.join(folder.unwrap_or(&files[partner].0));
            let output = self.output.join(self.suffix.plain(&files[*i].0));
            files[*i].1 = Verdict::Failed(Box::new(Kind::Collision { output, other }));
        }
    }

    /// The first free full name; marks it as taken.
    fn rename(&self, name: &OsStr, taken: &mut HashSet<OsString>) -> OsString {
        let mut attempt = 1;
        loop {
            let candidate = self.suffix.full(name, attempt);
            if taken.insert(key(&candidate, self.fold_case)) {
                return candidate;
            }
            attempt += 1;
        }
    }
}

/// The part of a listed path that is kept below the output folder: all of a relative path without
/// `.` and `..`, the file name alone of an absolute one. Never leads out of the output folder.
/// None: the path names no file (`..`, `/`).
pub(super) fn kept_below_output(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    let rooted = path.components().any(|c| matches!(c, Component::Prefix(_) | Component::RootDir));
    if rooted {
        return Some(PathBuf::from(name));
    }
    let normal = path.components().filter(|c| matches!(c, Component::Normal(_)));
    Some(normal.collect())
}

/// Whether the file system around `folder` (which need not exist) takes `A` and `a` to be equal.
/// Looks for an existing folder above it whose name has a letter, and asks for it in the other
/// case; writes nothing. Says false where it can't tell, which is right on Linux by default.
pub fn is_case_insensitive(folder: &Path) -> bool {
    let Some(existing) = folder.ancestors().find_map(|f| f.canonicalize().ok()) else {
        return std::path::absolute(folder).is_ok_and(|f| f != folder && is_case_insensitive(&f));
    };
    existing.ancestors().any(|candidate| {
        let (Some(parent), Some(name)) =
            (candidate.parent(), candidate.file_name().and_then(OsStr::to_str))
        else {
            return false;
        };
        let swapped: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
            })
            .collect();
        swapped != name
            && identity(&parent.join(swapped))
                .is_ok_and(|other| identity(candidate).is_ok_and(|itself| itself == other))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: Suffix = Suffix { extension: "png", cutout: false };

    fn settled(
        files: &[&str],
        folders: &[&str],
        fold_case: bool,
        on_collision: OnCollision,
    ) -> Vec<String> {
        let folders: Vec<OsString> = folders.iter().map(OsString::from).collect();
        let mut files: Vec<_> = files.iter().map(|n| (OsString::from(n), Verdict::Plain)).collect();
        let settle = Settle {
            suffix: PNG,
            fold_case,
            on_collision,
            folders: &folders,
            input: Path::new("in"),
            output: Path::new("out"),
        };
        settle.settle(&mut files);
        files
            .into_iter()
            .map(|(name, verdict)| match verdict {
                Verdict::Plain => PNG.plain(&name).into_string().unwrap(),
                Verdict::Named(name) => name.into_string().unwrap(),
                Verdict::Failed(kind) => match *kind {
                    Kind::Collision { output, other } => {
                        format!("!{} {}", output.display(), other.display())
                    }
                    other => panic!("{other}"),
                },
            })
            .collect()
    }

    #[test]
    fn images_by_extension() {
        for name in ["a.jpg", "a.JPEG", "a.b.png", "a.Tif", "a.avif", "a.dib"] {
            assert!(is_image(OsStr::new(name)), "{name}");
        }
        for name in ["jpg", "a.txt", "a.jpg.part", "a.", "a", ".jpg", "a.jpgx"] {
            assert!(!is_image(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn cutouts_are_recognized() {
        for name in ["a.cutout.png", "a.jpg.cutout.WEBP", "a.b.cutout.jpg"] {
            assert!(is_cutout(OsStr::new(name)), "{name}");
        }
        for name in ["cutout.png", "a.cutout", "a.cutouts.png", "a.cutout.txt", "acutout.png"] {
            assert!(!is_cutout(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn suffixes() {
        let cutout = Suffix { extension: "webp", cutout: true };
        for (name, plain, full, second, beside) in [
            ("x.jpg", "x.png", "x.jpg.png", "x.jpg.2.png", "x.cutout.webp"),
            ("x", "x.png", "x.png", "x.2.png", "x.cutout.webp"),
            ("a.b.c", "a.b.png", "a.b.c.png", "a.b.c.2.png", "a.b.cutout.webp"),
            (".x.jpg", ".x.png", ".x.jpg.png", ".x.jpg.2.png", ".x.cutout.webp"),
        ] {
            let name = OsStr::new(name);
            assert_eq!(PNG.plain(name), plain);
            assert_eq!(PNG.full(name, 1), full);
            assert_eq!(PNG.full(name, 2), second);
            assert_eq!(cutout.plain(name), beside);
        }
    }

    #[test]
    fn only_the_clashing_group_fails() {
        let got = settled(&["a.jpg", "x.gif", "x.jpg", "x.png"], &[], false, OnCollision::Fail);
        assert_eq!(
            got,
            ["a.png", "!out/x.png in/x.jpg", "!out/x.png in/x.gif", "!out/x.png in/x.gif"]
        );
    }

    #[test]
    fn renaming_keeps_the_first_and_never_clashes_again() {
        let rename = OnCollision::Rename;
        assert_eq!(settled(&["x.jpg", "x.png"], &[], false, rename), ["x.png", "x.png.png"]);
        // The full name of one is the plain name of another.
        assert_eq!(
            settled(&["x.jpg", "x.png", "x.png.jpg"], &[], false, rename),
            ["x.png", "x.png.2.png", "x.png.png"]
        );
        assert_eq!(
            settled(&["X.gif", "x.jpg"], &["x.JPG.png"], true, rename),
            ["X.png", "x.jpg.2.png"]
        );
    }

    #[test]
    fn a_sub_folder_takes_its_name() {
        let folders = ["x.png"];
        assert_eq!(
            settled(&["a.jpg", "x.jpg"], &folders, false, OnCollision::Fail),
            ["a.png", "!out/x.png in/x.png"]
        );
        assert_eq!(
            settled(&["a.jpg", "x.jpg"], &folders, false, OnCollision::Rename),
            ["a.png", "x.jpg.png"]
        );
    }

    #[test]
    fn case_counts_where_the_file_system_says_so() {
        let files = ["STRASSE.jpg", "strasse.jpg", "ÄÖ.jpg", "äö.jpg"];
        assert!(settled(&files, &[], false, OnCollision::Fail).iter().all(|n| !n.starts_with('!')));
        assert!(settled(&files, &[], true, OnCollision::Fail).iter().all(|n| n.starts_with('!')));
    }

    #[test]
    fn listed_paths_never_lead_out() {
        for (path, kept) in [
            ("a/b/x.jpg", Some("a/b/x.jpg")),
            ("./a//x.jpg", Some("a/x.jpg")),
            ("../../x.jpg", Some("x.jpg")),
            ("a/../../b/x.jpg", Some("a/b/x.jpg")),
            ("/etc/a/x.jpg", Some("x.jpg")),
            ("..", None),
            ("a/..", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(kept_below_output(Path::new(path)), kept.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn the_probe_works_above_what_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("Letters");
        std::fs::create_dir(&here).unwrap();
        // The truth by another way: make a file and ask for it in the other case.
        std::fs::write(here.join("probe"), "").unwrap();
        let truth = here.join("PROBE").exists();
        assert_eq!(is_case_insensitive(&here), truth);
        assert_eq!(is_case_insensitive(&here.join("not/yet")), truth);
    }
}
