"""IN and OUT as people write them, to inputs, one output and a format. Must not read pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from qbg.cli.exits import UsageError
from qbg.summary import readable

INPUTS_SHOWN = 3
SEPARATORS = tuple(part for part in (os.sep, os.altsep) if part)
SUFFIXES = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg", ".tif": "tiff", ".tiff": "tiff"}


@dataclass(frozen=True, slots=True)
class Places:
    """Where pictures come from and go to.

    Attributes:
        inputs: paths, patterns, or the one list.
        inputs_are: as in `qbg.options.FolderOptions`.
        output: folder, file or `-`; None: beside each input.
        format: that OUT's name or `--format` asks for; None: the default.
        stream: whether one picture goes through standard input or output.
    """

    inputs: list[str]
    inputs_are: str
    output: str | None
    format: str | None
    stream: bool

    @property
    def count(self) -> int | None:
        """How many pictures at most; None where only a walk can tell."""
        if self.inputs_are != "paths" or any(Path(path).is_dir() for path in self.inputs):
            return None
        return len(self.inputs)


def read_places(
    paths: list[str],
    output: str | None,
    from_file: str | None,
    globs: bool,
    form: str | None,
) -> Places:
    """Sorts the arguments out as `cp` does: the last of several is OUT, unless -o names it.

    Raises:
        UsageError: they don't make sense together.
    """
    if from_file is not None and globs:
        raise UsageError("--from-file and --glob exclude each other")
    if from_file is not None:
        inputs, kind = [from_file], "list"
        if len(paths) > 1 or (paths and output is not None):
            raise UsageError("with --from-file there is only OUT to name")
        output = paths[0] if paths else output
    else:
        inputs, kind = list(paths), "globs" if globs else "paths"
        if output is None and len(inputs) > 1:
            output = inputs.pop()
            _check_last(inputs, output)
    if not inputs:
        raise UsageError("no input: name files, folders or `-`")
    stream = kind == "paths" and ("-" in inputs or output == "-")
    if output == "-" and kind != "paths":
        raise UsageError("only one picture can go to standard output")
    if stream:
        if len(inputs) != 1 or Path(inputs[0]).is_dir():
            raise UsageError("only one picture can go through standard input and output")
        output = "-" if output is None else output
        if output != "-" and (Path(output).is_dir() or output.endswith(SEPARATORS)):
            raise UsageError("a picture from standard input has no name: OUT must be a file or `-`")
    return _with_format(inputs, kind, output, form, stream)


def nothing_found(places: Places) -> str:
    """The line for a walk that met no picture."""
    shown = ", ".join(readable(path) for path in places.inputs[:INPUTS_SHOWN])
    more = len(places.inputs) - INPUTS_SHOWN
    return f"no pictures found in {shown}" + (f" and {more} more" if more > 0 else "")


def _check_last(inputs: list[str], output: str) -> None:
    """A shell's `*.jpg` must not make the last photo the output of the others.

    Where there are just two photos the core sees to it: it replaces no picture that qbg didn't make.
    """
    if output == "-" or Path(output).is_dir():
        return
    looks_like_file = Path(output).suffix.lower() in SUFFIXES and not output.endswith(SEPARATORS)
    if len(inputs) > 1 and (looks_like_file or Path(output).exists()):
        raise UsageError(f"the last of several, `{output}`, would be OUT and must be a folder: use -o OUT")


def _with_format(inputs: list[str], kind: str, output: str | None, form: str | None, stream: bool) -> Places:
    form = {"jpg": "jpeg", "tif": "tiff"}.get(form, form) if form is not None else None
    one_file = kind == "paths" and len(inputs) == 1 and not Path(inputs[0]).is_dir()
    if output is None or output == "-":
        return Places(inputs, kind, output, form, stream)
    if not one_file or Path(output).is_dir() or output.endswith(SEPARATORS):
        if Path(output).is_file():
            raise UsageError(f"`{output}` is a file, but there may be many inputs: name a folder")
        if (
            Path(output).suffix.lower() in SUFFIXES
            and not Path(output).is_dir()
            and not output.endswith(SEPARATORS)
        ):
            raise UsageError(
                f"`{output}` is the name of one picture, but there may be many inputs",
                hint=f"name a folder; one that is called so ends with {os.sep}",
            )
        # The separator says that a folder is meant, also where nothing is there yet.
        return Places(inputs, kind, os.path.join(output, ""), form, stream)
    suffix = Path(output).suffix.lower()
    if suffix in SUFFIXES:
        if form is not None and form != SUFFIXES[suffix]:
            raise UsageError(f"--format {form} doesn't fit the name `{output}`")
        form = SUFFIXES[suffix]
    elif suffix or stream:
        known = ", ".join(SUFFIXES)
        raise UsageError(f"`{output}` is no name of a picture that qbg writes ({known})")
    return Places(inputs, kind, output, form, stream)


def check_there(option: str, path: str | None) -> None:
    """A file that an option names. Whether it can be read shows later, with its own error."""
    if path is not None and not Path(path).exists():
        raise UsageError(f"{option} {readable(path)}: no such file", hint="check the path")
    if path is not None and Path(path).is_dir():
        raise UsageError(f"{option} {readable(path)}: it is a folder", hint="name a file")
