"""`qbg remove --dry-run`: prints what would be written. Must not load a model or open a picture."""

from __future__ import annotations

import json

from qbg.cli.exits import DONE, UsageError, say, tell
from qbg.cli.places import Places, nothing_found
from qbg.options import FolderOptions, Options


def print_plan(places: Places, options: Options, folder: FolderOptions, as_json: bool) -> int:
    """A line `input -> output` per picture, or one JSON object."""
    from qbg import _native
    from qbg.batch import native_path, native_paths
    from qbg.summary import printable, readable

    if places.stream:
        raise UsageError("--dry-run needs files or folders")
    output = None if places.output is None else native_path(places.output)
    pairs = _native.plan(native_paths(places.inputs), output, options, folder)
    if not pairs:
        say(nothing_found(places))
    if as_json:
        plan = [{"input": printable(source), "output": printable(target)} for source, target in pairs]
        tell(json.dumps({"images": len(plan), "plan": plan}, indent=2))
    else:
        for source, target in pairs:
            tell(f"{readable(source)} -> {readable(target)}")
    return DONE
