//! Sources on real folders: each input once, outputs that never clash, escape or eat inputs.

use std::collections::HashSet;
use std::fs;
use std::io::Cursor;

use tempfile::TempDir;

use super::*;

fn folder_of(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        put(&folder.path().join(file));
    }
    folder
}

fn put(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "").unwrap();
}

fn options(output: Output) -> Options {
    Options {
        output,
        extension: "png",
        recursive: true,
        on_collision: OnCollision::Fail,
        fold_case: false,
        shard: None,
    }
}

fn source(spec: Spec, options: &Options) -> Source {
    Source::new(spec, options.clone()).unwrap()
}

/// `input -> output` or `input ! kind` per item, relative to `root`, and the total of `count`.
fn lines(root: &Path, spec: Spec, options: &Options) -> Vec<String> {
    let total = count(&spec, options, &AtomicBool::new(false));
    let below = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    let lines: Vec<String> = source(spec, options)
        .map(|item| match item {
            Ok(job) => format!("{} -> {}", below(&job.input), below(&job.output)),
            Err(error) => {
                assert_eq!(error.stage, Stage::Discover);
                let kind = format!("{:?}", error.kind);
                let kind = kind.split([' ', '{', '(']).next().unwrap().to_owned();
                format!("{} ! {kind}", error.path.map_or(String::new(), |p| below(&p)))
            }
        })
        .collect();
    if let Some(total) = total {
        assert_eq!(total, lines.len() as u64, "count disagrees");
    }
    lines
}

fn walk(root: &TempDir, input: &str, output: &str) -> Vec<String> {
    let options = options(Output::Folder(root.path().join(output)));
    lines(root.path(), Spec::Path(root.path().join(input)), &options)
}

#[test]
fn a_folder_keeps_its_structure_and_order() {
    let root = folder_of(&[
        "in/b.jpg",
        "in/a.PNG",
        "in/notes.txt",
        "in/.hidden.jpg",
        "in/.git/x.jpg",
        "in/z/x.jpg",
        "in/b.d/y/w.webp",
        "in/folder.jpg/x.tif",
    ]);
    let want = [
        "in/a.PNG -> out/a.png",
        "in/b.jpg -> out/b.png",
        "in/b.d/y/w.webp -> out/b.d/y/w.png",
        "in/folder.jpg/x.tif -> out/folder.jpg/x.png",
        "in/z/x.jpg -> out/z/x.png",
    ];
    assert_eq!(walk(&root, "in", "out"), want);
    let mut flat = options(Output::Folder(root.path().join("out")));
    flat.recursive = false;
    assert_eq!(lines(root.path(), Spec::Path(root.path().join("in")), &flat), &want[..2]);
}

#[test]
fn ids_count_jobs_alone() {
    let root = folder_of(&["in/a.jpg", "in/b.jpg", "in/b.png", "in/c.jpg"]);
    let options = options(Output::Folder(root.path().join("out")));
    let ids: Vec<_> = source(Spec::Path(root.path().join("in")), &options)
        .map(|item| item.ok().map(|job| job.id))
        .collect();
    assert_eq!(ids, [Some(0), None, None, Some(1)]);
}

#[test]
fn the_output_folder_is_never_entered() {
    let root = folder_of(&["in/a.jpg", "in/out/a.png", "in/out/deep/b.png", "in/sub/c.jpg"]);
    assert_eq!(
        walk(&root, "in", "in/out"),
        ["in/a.jpg -> in/out/a.png", "in/sub/c.jpg -> in/out/sub/c.png"]
    );
}

#[test]
fn an_output_folder_made_during_the_walk_is_not_entered_either() {
    let root = folder_of(&["in/a.jpg", "in/sub/c.jpg"]);
    let options = options(Output::Folder(root.path().join("in/sub/out")));
    let mut source = source(Spec::Path(root.path().join("in")), &options);
    put(&source.next().unwrap().unwrap().output);
    let rest: Vec<_> = source.map(|item| item.unwrap().input).collect();
    assert_eq!(rest, [root.path().join("in/sub/c.jpg")]);
}

#[test]
fn input_folder_as_output_eats_nothing() {
    let root = folder_of(&["in/a.jpg", "in/b.png", "in/b.cutout.webp", "in/s/c.jpg"]);
    let want = [
        "in/a.jpg -> in/a.cutout.png",
        "in/b.png -> in/b.cutout.png",
        "in/s/c.jpg -> in/s/c.cutout.png",
    ];
    let spec = || Spec::Path(root.path().join("in"));
    for output in [Output::Folder(root.path().join("in")), Output::Beside] {
        let options = options(output);
        // As it runs: outputs appear while the walk goes on.
        for item in source(spec(), &options) {
            put(&item.unwrap().output);
        }
        // And once more, over the outputs of the first run.
        assert_eq!(lines(root.path(), spec(), &options), want);
    }
}

#[test]
fn output_above_input_overwrites_nothing() {
    let root = folder_of(&["in/x.jpg", "in/in/z/x.jpg", "in/z/x.png"]);
    assert_eq!(
        walk(&root, "in", "."),
        [
            "in/x.jpg -> x.png",
            // Would land on in/z/x.png, which is an input.
            "in/in/z/x.jpg -> in/z/x.cutout.png",
            "in/z/x.png -> z/x.png",
        ]
    );
}

#[test]
fn collisions_fail_alone_or_are_renamed() {
    let root = folder_of(&["in/a.jpg", "in/x.jpg", "in/x.png", "in/s/x.jpg"]);
    assert_eq!(
        walk(&root, "in", "out"),
        [
            "in/a.jpg -> out/a.png",
            "in/x.jpg ! Collision",
            "in/x.png ! Collision",
            "in/s/x.jpg -> out/s/x.png"
        ]
    );
    let mut rename = options(Output::Folder(root.path().join("out")));
    rename.on_collision = OnCollision::Rename;
    assert_eq!(
        lines(root.path(), Spec::Path(root.path().join("in")), &rename),
        [
            "in/a.jpg -> out/a.png",
            "in/x.jpg -> out/x.png",
            "in/x.png -> out/x.png.png",
            "in/s/x.jpg -> out/s/x.png"
        ]
    );
}

#[test]
fn single_files() {
    let root = folder_of(&["p/photo.jpg", "p/photo.png", "p/data"]);
    let at = |name: &str| root.path().join(name);
    for (input, output, want) in [
        ("p/photo.jpg", Output::Beside, "p/photo.jpg -> p/photo.cutout.png"),
        ("p/photo.jpg", Output::File(at("x.png")), "p/photo.jpg -> x.png"),
        ("p/photo.jpg", Output::Folder(at("out")), "p/photo.jpg -> out/photo.png"),
        ("p/photo.jpg", Output::Folder(at("p")), "p/photo.jpg -> p/photo.cutout.png"),
        ("p/photo.png", Output::File(at("p/photo.png")), "p/photo.png ! OverwritesInput"),
        ("p/data", Output::Folder(at("out")), "p/data -> out/data.png"),
        ("p/absent.jpg", Output::Beside, "p/absent.jpg ! Io"),
    ] {
        assert_eq!(lines(root.path(), Spec::Path(at(input)), &options(output)), [want]);
    }
    let refused = Source::new(Spec::Path(at("p")), options(Output::File(at("x.png"))));
    assert!(matches!(refused.err(), Some(Kind::Name { .. })));
}

#[test]
fn globs_keep_the_structure_below_the_first_wildcard() {
    let root = folder_of(&["in/a/x.jpg", "in/a/y.png", "in/a/d/z.jpg", "in/b/x.jpg", "in/a/t.txt"]);
    let run = |pattern: &str| {
        let text = root.path().join(pattern).to_str().unwrap().to_owned();
        let options = options(Output::Folder(root.path().join("out")));
        lines(root.path(), Spec::Glob(text), &options)
    };
    assert_eq!(
        run("in/**/*.jpg"),
        ["in/a/x.jpg -> out/a/x.png", "in/a/d/z.jpg -> out/a/d/z.png", "in/b/x.jpg -> out/b/x.png"]
    );
    assert_eq!(run("in/a/*"), ["in/a/x.jpg -> out/x.png", "in/a/y.png -> out/y.png"]);
    assert_eq!(run("in/*/{x,t}.*"), ["in/a/x.jpg -> out/a/x.png", "in/b/x.jpg -> out/b/x.png"]);
    assert_eq!(run("in/*/*.txt"), ["in/a/t.txt -> out/a/t.png"]);
    assert_eq!(run("in/a/x.jpg"), ["in/a/x.jpg -> out/x.png"]);
    assert!(run("in/*/*.gif").is_empty());
    assert_eq!(run("absent/*.jpg"), ["absent ! Io"]);
}

fn list(bytes: &[u8], options: &Options) -> Vec<String> {
    lines(Path::new("/base"), Spec::List(Box::new(Cursor::new(bytes.to_vec()))), options)
}

#[test]
fn lists_by_lines_and_by_nul() {
    let options = options(Output::Folder(PathBuf::from("/base/out")));
    let want = ["a/x.jpg -> out/a/x.png", "/q/y.jpg -> out/y.png", "../../z -> out/z.png"];
    for text in [
        &b"a/x.jpg\n/q/y.jpg\n../../z"[..],
        b"\xef\xbb\xbfa/x.jpg\r\n\r\n/q/y.jpg\r\n../../z\r\n",
        b"a/x.jpg\0/q/y.jpg\0\0../../z\0",
    ] {
        assert_eq!(list(text, &options), want);
    }
    assert_eq!(list(b"a\nb.jpg\0", &options), ["a\nb.jpg -> out/a\nb.png"]);
    assert_eq!(list(b"..\n/\n", &options), [".. ! NotAFile", "/ ! NotAFile"]);
    assert!(list(b"", &options).is_empty());
}

#[test]
fn list_entries_across_chunks_and_overlong_ones() {
    let options = options(Output::Folder(PathBuf::from("/base/out")));
    let mut text = b"first.jpg\n".to_vec();
    text.resize(text.len() + (70 << 10), b'x');
    text.extend_from_slice(b"\nlast.jpg");
    for chunk in [1, 7, 8192, 1 << 20] {
        let reader = io::BufReader::with_capacity(chunk, Cursor::new(text.clone()));
        let got = lines(Path::new("/base"), Spec::List(Box::new(reader)), &options);
        assert_eq!(got, ["first.jpg -> out/first.png", " ! Name", "last.jpg -> out/last.png"]);
    }
}

#[test]
fn clashes_in_lists() {
    let mut options = options(Output::Folder(PathBuf::from("/base/out")));
    let text = b"/a/x.jpg\n/b/x.jpg\nx.png\nX.png\n";
    assert_eq!(
        list(text, &options),
        [
            "/a/x.jpg -> out/x.png",
            "/b/x.jpg ! Collision",
            "x.png ! Collision",
            "X.png -> out/X.png"
        ]
    );
    options.fold_case = true;
    options.on_collision = OnCollision::Rename;
    assert_eq!(
        list(text, &options),
        [
            "/a/x.jpg -> out/x.png",
            "/b/x.jpg -> out/x.jpg.png",
            "x.png -> out/x.png.png",
            "X.png -> out/X.png.2.png"
        ]
    );
}

#[test]
fn listed_files_are_not_overwritten_in_place() {
    let root = folder_of(&["p/x.jpg", "p/x.png"]);
    let text = format!("{0}/p/x.png\n{0}/p/x.jpg\n", root.path().display());
    let mut options = options(Output::Folder(root.path().join("p")));
    options.on_collision = OnCollision::Rename;
    for output in [Output::Folder(root.path().join("p")), Output::Beside] {
        options.output = output;
        let spec = Spec::List(Box::new(Cursor::new(text.clone().into_bytes())));
        assert_eq!(
            lines(root.path(), spec, &options),
            ["p/x.png -> p/x.cutout.png", "p/x.jpg -> p/x.jpg.cutout.png"]
        );
    }
}

#[test]
fn a_list_that_breaks_off_says_so_and_ends() {
    struct Broken(bool);
    impl io::Read for Broken {
        fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::Error::other("gone"));
            }
            target[..6].copy_from_slice(b"a.jpg\n");
            Ok(6)
        }
    }
    let options = options(Output::Folder(PathBuf::from("/base/out")));
    let reader = Box::new(io::BufReader::new(Broken(false)));
    let got = lines(Path::new("/base"), Spec::List(reader), &options);
    assert_eq!(got, ["a.jpg -> out/a.png", " ! Io"]);
}

#[test]
fn folders_that_differ_in_case_clash_where_case_does_not_count() {
    let root = folder_of(&["in/A/x.jpg", "in/a/x.jpg", "in/b/X.jpg", "in/b/x.png"]);
    if is_case_insensitive(root.path()) {
        eprintln!("skipped: this file system can't hold `A` and `a`");
        return;
    }
    let mut options = options(Output::Folder(root.path().join("out")));
    options.fold_case = true;
    let spec = || Spec::Path(root.path().join("in"));
    assert_eq!(
        lines(root.path(), spec(), &options),
        [
            "in/A ! Collision",
            "in/a ! Collision",
            "in/b/X.jpg ! Collision",
            "in/b/x.png ! Collision"
        ]
    );
    options.on_collision = OnCollision::Rename;
    assert_eq!(
        lines(root.path(), spec(), &options),
        [
            "in/A/x.jpg -> out/A/x.png",
            "in/a/x.jpg -> out/a.2/x.png",
            "in/b/X.jpg -> out/b/X.png",
            "in/b/x.png -> out/b/x.png.png"
        ]
    );
}

#[test]
fn stopping_ends_the_walk_and_the_count() {
    let root = folder_of(&["in/a.jpg", "in/b.jpg"]);
    let options = options(Output::Beside);
    let spec = Spec::Path(root.path().join("in"));
    let stop = AtomicBool::new(true);
    assert_eq!(count(&spec, &options, &stop), None);
    let mut source = source(spec, &options);
    assert!(source.next_unless(&stop).is_none());
    stop.store(false, Ordering::Relaxed);
    assert!(source.next_unless(&stop).is_some(), "a stop loses nothing");
}

/// A small generator (Steele, Lea and Flood's SplitMix64), so that trees are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// Fills a folder with names that love to clash.
fn grow(folder: &Path, depth: u64, random: &mut Random, images: &mut HashSet<PathBuf>) {
    for _ in 0..random.below(8) {
        let stem = random.pick(&["x", "X", "y", "x.png", "x.jpg", "y\n", "é", "É", "x.2"]);
        let extension = random.pick(&["jpg", "png", "JPG", "webp", "txt"]);
        let path = folder.join(format!("{stem}.{extension}"));
        if !path.exists() {
            put(&path);
            if extension != "txt" {
                images.insert(path);
            }
        }
    }
    for _ in 0..if depth == 0 { 0 } else { random.below(4) } {
        let path = folder.join(random.pick(&["x.png", "y.png", "X.png", "d", "D", "out", "in"]));
        if !path.is_file() && !path.is_dir() {
            fs::create_dir(&path).unwrap();
            grow(&path, depth - 1, random, images);
        }
    }
}

#[test]
fn random_trees() {
    let (mut jobs_seen, mut failures_seen) = (0, 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let root = tempfile::tempdir().unwrap();
        let input = root.path().join("in");
        fs::create_dir(&input).unwrap();
        let mut images = HashSet::new();
        grow(&input, 3, &mut random, &mut images);
        let out = root.path().join(random.pick(&["out", "in/out", "in", "."]));
        let mut options = options(Output::Folder(out.clone()));
        options.fold_case = random.below(2) == 0;
        options.on_collision =
            if random.below(2) == 0 { OnCollision::Fail } else { OnCollision::Rename };
        if options.output == Output::Folder(input.join("out")) {
            images.retain(|path| !path.starts_with(input.join("out")));
        }
        let run = || lines(Path::new(""), Spec::Path(input.clone()), &options);
        assert_eq!(run(), run(), "seed {seed}: the order is not stable");

        let mut outputs = HashSet::new();
        let mut met = HashSet::new();
        let mut failed_folders = Vec::new();
        for item in source(Spec::Path(input.clone()), &options) {
            match item {
                Ok(job) => {
                    jobs_seen += 1;
                    assert!(job.output.starts_with(&out), "seed {seed}: {job:?} escapes");
                    assert!(!images.contains(&job.output), "seed {seed}: {job:?} overwrites");
                    let key = naming::key(job.output.as_os_str(), options.fold_case);
                    assert!(outputs.insert(key), "seed {seed}: {job:?} clashes");
                    assert!(met.insert(job.input), "seed {seed}: met twice");
                }
                Err(error) => {
                    failures_seen += 1;
                    assert!(matches!(error.kind, Kind::Collision { .. }), "seed {seed}: {error}");
                    let path = error.path.unwrap();
                    if path.is_dir() {
                        failed_folders.push(path);
                    } else {
                        assert!(met.insert(path), "seed {seed}: met twice");
                    }
                }
            }
        }
        if options.on_collision == OnCollision::Rename {
            assert_eq!(met, images, "seed {seed}");
        }
        images.retain(|path| !failed_folders.iter().any(|folder| path.starts_with(folder)));
        assert_eq!(met, images, "seed {seed}");
        // No output is another output's folder.
        for output in &outputs {
            let mut above = Path::new(output).ancestors().skip(1);
            assert!(!above.any(|p| outputs.contains(p.as_os_str())), "seed {seed}: {output:?}");
        }
    }
    assert!(jobs_seen > 200 && failures_seen > 20, "{jobs_seen} jobs, {failures_seen} failures");
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn links() {
        let root = folder_of(&["in/a/x.jpg", "in/real.jpg", "else/y.jpg"]);
        let at = |name: &str| root.path().join(name);
        symlink(at("in"), at("in/a/up")).unwrap();
        symlink(at("in/a"), at("in/twice")).unwrap();
        symlink(at("else"), at("in/outside")).unwrap();
        symlink(at("in/real.jpg"), at("in/same.jpg")).unwrap();
        symlink("gone", at("in/dangling.jpg")).unwrap();
        symlink("gone", at("in/dangling")).unwrap();
        symlink("self.jpg", at("in/self.jpg")).unwrap();
        assert_eq!(
            walk(&root, "in", "out"),
            [
                "in/dangling.jpg ! Io",
                "in/real.jpg -> out/real.png",
                "in/same.jpg -> out/same.png",
                "in/self.jpg ! LinkLoop",
                "in/a/x.jpg -> out/a/x.png",
                "in/a/up ! LinkLoop",
                "in/outside/y.jpg -> out/outside/y.png",
                "in/twice/x.jpg -> out/twice/x.png",
                "in/twice/up ! LinkLoop",
            ]
        );
        // The output folder by another name.
        symlink(at("in"), at("alias")).unwrap();
        assert!(
            walk(&root, "in", "alias").contains(&"in/real.jpg -> alias/real.cutout.png".into())
        );
    }

    #[test]
    fn an_output_folder_that_leads_back_into_the_input_is_seen_through() {
        let root = folder_of(&["in/a/x.jpg", "in/a/x.gif", "in/b/x.png", "out/keep"]);
        symlink(root.path().join("in/b"), root.path().join("out/a")).unwrap();
        fs::remove_file(root.path().join("in/a/x.gif")).unwrap();
        assert_eq!(
            walk(&root, "in", "out"),
            ["in/a/x.jpg -> out/a/x.cutout.png", "in/b/x.png -> out/b/x.png"]
        );
    }

    #[test]
    fn odd_names_go_in_and_out_as_bytes() {
        let root = folder_of(&["in/line\nbreak.jpg"]);
        let odd = OsStr::from_bytes(b"bad\xff.jpg");
        fs::write(root.path().join("in").join(odd), "").unwrap();
        let options = options(Output::Folder(root.path().join("out")));
        let outputs: Vec<_> = source(Spec::Path(root.path().join("in")), &options)
            .map(|item| item.unwrap().output.file_name().unwrap().to_os_string().into_vec())
            .collect();
        assert_eq!(outputs, [&b"bad\xff.png"[..], b"line\nbreak.png"]);
        let spec = Spec::List(Box::new(Cursor::new(b"a/bad\xff.jpg\n".to_vec())));
        let job = source(spec, &options).next().unwrap().unwrap();
        assert_eq!(job.output.file_name().unwrap().as_bytes(), b"bad\xff.png");
    }

    #[test]
    fn what_is_no_file_is_an_error_if_it_looks_like_an_image() {
        let root = folder_of(&["in/a.jpg"]);
        let _image = UnixListener::bind(root.path().join("in/s.jpg")).unwrap();
        let _other = UnixListener::bind(root.path().join("in/s")).unwrap();
        assert_eq!(walk(&root, "in", "out"), ["in/a.jpg -> out/a.png", "in/s.jpg ! NotAFile"]);
    }

    #[test]
    fn a_folder_that_vanishes_is_an_error_and_the_walk_goes_on() {
        let root = folder_of(&["in/a.jpg", "in/b/x.jpg", "in/c/y.jpg"]);
        let options = options(Output::Folder(root.path().join("out")));
        let mut source = source(Spec::Path(root.path().join("in")), &options);
        source.next().unwrap().unwrap();
        fs::remove_dir_all(root.path().join("in/b")).unwrap();
        let error = source.next().unwrap().unwrap_err();
        assert_eq!(error.path.unwrap(), root.path().join("in/b"));
        assert!(matches!(error.kind, Kind::Io { .. }));
        assert_eq!(source.next().unwrap().unwrap().input, root.path().join("in/c/y.jpg"));
        assert!(source.next().is_none());
    }

    /// Permissions don't bind root; on Linux a thread can give up root's eyes for itself.
    #[cfg(target_os = "linux")]
    #[test]
    #[allow(clippy::disallowed_methods)] // a test's own thread
    fn an_unreadable_folder_is_an_error_and_the_walk_goes_on() {
        use std::os::unix::fs::PermissionsExt;
        let root = folder_of(&["in/a.jpg", "in/b/x.jpg", "in/c/y.jpg"]);
        let allow = |name: &str, mode| {
            fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        allow("", 0o755);
        allow("in/b", 0o000);
        let root = &root;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // SAFETY: changes this thread's view of files alone; nobody is uid 65534.
                unsafe { libc::setfsuid(65534) };
                assert_eq!(
                    walk(root, "in", "out"),
                    ["in/a.jpg -> out/a.png", "in/b ! Io", "in/c/y.jpg -> out/c/y.png"]
                );
            });
        });
        allow("in/b", 0o755);
    }
}

#[test]
fn a_second_choice_of_name_is_like_the_first() {
    for (input, output, names) in [
        ("a/x.jpg", "out/x.png", ["x.jpg.png", "x.jpg.2.png"]),
        ("a/x.jpg", "a/x.cutout.png", ["x.jpg.cutout.png", "x.jpg.2.cutout.png"]),
        ("a/x.cutout.jpg", "out/x.cutout.png", ["x.cutout.jpg.png", "x.cutout.jpg.2.png"]),
    ] {
        let job = Job { id: 0, input: PathBuf::from(input), output: PathBuf::from(output) };
        assert_eq!([1, 2].map(|attempt| other_name(&job, "png", attempt)), names);
    }
}
