"""`qbg doctor`: what this machine and this installation are. Must not run a network."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from qbg.cli.exits import DONE, UNUSABLE, USAGE, say, tell
from qbg.errors import QbgError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Bundle = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write a file for a bug report, without paths, names or pictures."),
]
ModelName = Annotated[str | None, typer.Option("-m", "--model", help="Name or path of the model to look at.")]


def command(model: ModelName = None, bundle: Bundle = None, as_json: Json = False) -> int:
    """Print what qbg finds: CPU, SIMD level, cores, NUMA, memory, engine, model."""
    from qbg import _native

    try:
        machine = _native.system()
    except ValueError as error:
        # QBG_SIMD names a level that doesn't exist or that this CPU hasn't got.
        say(str(error))
        return USAGE
    facts: dict[str, Any] = {
        "qbg": {"version": _native.__version__, "build_profile": _native.BUILD_PROFILE, "python": _python()},
        "machine": machine,
        "engines": {"onnxruntime": _onnxruntime()},
        "model": _model(model),
    }
    facts["usable"] = "error" not in facts["model"] and "error" not in facts["engines"]["onnxruntime"]
    if bundle is not None:
        _write_bundle(bundle, facts)
    if as_json:
        tell(json.dumps(facts, indent=2, default=str))
    else:
        for line in lines(facts):
            tell(line)
    return DONE if facts["usable"] else UNUSABLE


def _write_bundle(path: str, facts: dict[str, Any]) -> None:
    from pathlib import Path

    from qbg.whole import write_whole

    report = {**facts, "settings": _settings(), "packages": _packages()}
    text = json.dumps(private(report), indent=2, default=str) + "\n"
    write_whole(Path(path), text.encode(), durable=False)
    say(f"{path} is written: have a look at it before you send it")


def private(value: Any) -> Any:
    """The same without what tells who and where: of a path the file's name is left, of the names of user
    and machine nothing."""
    import re

    paths = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\\/\n:'\"]*)*[\\/](?=[^\\/\s]|$)")
    names = [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in _names()]

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [without(part) for part in value]
        if not isinstance(value, str):
            return value
        value = paths.sub("", value)
        for name in names:
            value = name.sub("...", value)
        return value

    return without(value)


def _names() -> set[str]:
    """What this user and this machine are called."""
    import getpass
    import platform
    from contextlib import suppress

    names = {platform.node()}
    with suppress(OSError, KeyError):  # a user without a name
        names.add(getpass.getuser())
    # `root` tells nobody anything, and neither do two letters; both would spoil the text.
    return {name for name in names if len(name) > 2 and name != "root"}


def _settings() -> dict[str, str]:
    """Variables that change what qbg and its engines do."""
    import os

    known = ("QBG_", "OMP_", "ORT_", "MALLOC_", "U2NET_HOME", "LD_PRELOAD")
    return {name: value for name, value in os.environ.items() if name.startswith(known)}


def _packages() -> dict[str, str]:
    from qbg.versions import installed

    names = ("numpy", "onnxruntime", "openvino", "onnx", "pillow", "rich", "scipy", "typer")
    return dict.fromkeys(names, "none") | installed(names)


def lines(facts: dict[str, Any]) -> list[str]:
    """The facts for people, a line each."""
    shown: list[str] = []
    for title in ("qbg", "machine", "model"):
        shown += [title, *(_line(name, value) for name, value in facts[title].items())]
    shown.append("onnxruntime")
    shown += [_line(name, value) for name, value in facts["engines"]["onnxruntime"].items()]
    return shown


def _line(name: str, value: Any) -> str:
    if value is None:
        text = "none"
    elif name == "nodes" and isinstance(value, list | tuple):
        ids = ", ".join(str(part) for part in value)
        text = f"{len(value)} (id{'' if len(value) == 1 else 's'} {ids})" if value else "none"
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif name.endswith("bytes") and isinstance(value, int):
        text = f"{value / 2**20:,.1f} MiB"
    elif isinstance(value, list | tuple):
        text = ", ".join(str(part) for part in value)
    else:
        text = str(value)
    return f"  {name.replace('_bytes', '').replace('_', ' '):<18}{text}"


def _python() -> str:
    import platform

    return f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}"


def _onnxruntime() -> dict[str, Any]:
    from qbg.engine.onnx import load_onnxruntime

    try:
        module = load_onnxruntime()
    except QbgError as error:
        return {"error": str(error)}
    return {"version": str(module.__version__), "providers": list(module.get_available_providers())}


def _model(name: str | None) -> dict[str, Any]:
    from pathlib import Path

    from qbg.models import resolve

    try:
        found = resolve(name)
    except QbgError as error:
        return {"error": str(error)}
    return {
        "name": found.name,
        "path": found.network.path,
        "bytes": Path(found.network.path).stat().st_size,
        "digest": found.network.digest,
        "input": found.network.input_shape,
        "license": found.license,
    }
