//! Where outputs go, decided once from what the user wrote: one pure function and its table.
//!
//! It looks at nothing itself; [`InputShape::of`] and [`OutputShape::of`] do the looking.

use std::path::{Path, PathBuf, is_separator};

use super::Spec;
use crate::error::Kind;

/// How many inputs there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputShape {
    /// One file (or a path that isn't there, which fails as one file would).
    File,
    /// A folder, a glob or a list.
    Many,
}

impl InputShape {
    /// Looks at the input.
    pub fn of(spec: &Spec) -> InputShape {
        match spec {
            Spec::Path(path) if !path.is_dir() => InputShape::File,
            _ => InputShape::Many,
        }
    }
}

/// What stands at the output's path before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputShape {
    /// Nothing, or nothing that can be seen.
    Missing,
    /// Anything but a folder.
    File,
    /// A folder.
    Folder,
}

impl OutputShape {
    /// Looks at the output.
    pub fn of(path: &Path) -> OutputShape {
        match path.metadata() {
            Ok(facts) if facts.is_dir() => OutputShape::Folder,
            Ok(_) => OutputShape::File,
            Err(_) => OutputShape::Missing,
        }
    }
}

/// Where outputs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Beside each input, as `<stem>.cutout.<ext>`.
    Beside,
    /// Below this folder, which need not exist yet.
    Folder(PathBuf),
    /// The one input's output.
    File(PathBuf),
}

/// Decides from the shape of the input, what the user named as output and what is there.
///
/// | input | named | there | result |
/// |---|---|---|---|
/// | any | nothing | | beside the inputs |
/// | any | a folder, or `name/` | | that folder |
/// | file | `name.ext` | nothing or a file | that file |
/// | file | `name` | a file | that file |
/// | file | `name` | nothing | a new folder |
/// | many | `name` or `name.ext` | nothing | a new folder |
/// | many | anything | a file | refused |
pub fn plan_output(
    input: InputShape,
    named: Option<&Path>,
    there: OutputShape,
) -> Result<Output, Kind> {
    let Some(named) = named else { return Ok(Output::Beside) };
    let bytes = named.as_os_str().as_encoded_bytes();
    let Some(&last) = bytes.last() else {
        return Err(Kind::Name { message: "the output's name is empty".to_owned() });
    };
    let names_a_folder = is_separator(char::from(last));
    let folder = || Ok(Output::Folder(named.to_path_buf()));
    match (input, there) {
        (_, OutputShape::Folder) => folder(),
        (InputShape::Many, OutputShape::File) => Err(Kind::Name {
            message: "the output is a file, but there may be many inputs: name a folder".to_owned(),
        }),
        (InputShape::File, OutputShape::File) if names_a_folder => {
            Err(Kind::Name { message: "the output is a file, not a folder".to_owned() })
        }
        (InputShape::File, OutputShape::File) => Ok(Output::File(named.to_path_buf())),
        (InputShape::File, OutputShape::Missing)
            if !names_a_folder && named.extension().is_some() =>
        {
            Ok(Output::File(named.to_path_buf()))
        }
        (_, OutputShape::Missing) => folder(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        use InputShape::{File, Many};
        use OutputShape::{File as IsFile, Folder as IsFolder, Missing};
        #[derive(Debug, PartialEq)]
        enum Want {
            Beside,
            Folder,
            File,
            Refused,
        }
        for (input, named, there, want) in [
            (File, None, Missing, Want::Beside),
            (Many, None, Missing, Want::Beside),
            (File, Some("out.png"), Missing, Want::File),
            (File, Some("out.png"), IsFile, Want::File),
            (File, Some("out.png"), IsFolder, Want::Folder),
            (File, Some("out.png/"), Missing, Want::Folder),
            (File, Some("out.png/"), IsFile, Want::Refused),
            (File, Some("out"), Missing, Want::Folder),
            (File, Some("out"), IsFile, Want::File),
            (File, Some("out"), IsFolder, Want::Folder),
            (File, Some("a/b.c/out"), Missing, Want::Folder),
            (File, Some(".hidden"), Missing, Want::Folder),
            (File, Some("."), IsFolder, Want::Folder),
            (File, Some(""), Missing, Want::Refused),
            (Many, Some(""), Missing, Want::Refused),
            (Many, Some("out"), Missing, Want::Folder),
            (Many, Some("out.png"), Missing, Want::Folder),
            (Many, Some("out"), IsFolder, Want::Folder),
            (Many, Some("out"), IsFile, Want::Refused),
            (Many, Some("out/"), IsFile, Want::Refused),
        ] {
            let got = plan_output(input, named.map(Path::new), there);
            if let (Ok(Output::Folder(path) | Output::File(path)), Some(named)) = (&got, named) {
                assert_eq!(path.as_os_str(), named, "the name is kept as written");
            }
            let got = match got {
                Ok(Output::Beside) => Want::Beside,
                Ok(Output::Folder(_)) => Want::Folder,
                Ok(Output::File(_)) => Want::File,
                Err(_) => Want::Refused,
            };
            assert_eq!(got, want, "{input:?} {named:?} {there:?}");
        }
    }
}
