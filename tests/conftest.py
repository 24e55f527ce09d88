"""What several tests share: a way to run the command line, a quick network, and where the pictures lie.

The tests run on the installed wheel; nothing here puts python/ on the path.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import graphs

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "tests" / "pictures"
SAMPLES = ROOT / "python" / "qbg" / "bench" / "samples"

BESIDE = Path(os.environ.get("QBG_SHARED", ROOT.parent / "shared"))
U2NETP = BESIDE / "models" / "u2netp.onnx"
"""The genuine network, where it lies beside the project: in a folder that rembg would know as its own."""
if U2NETP.is_file():
    os.environ.setdefault("U2NET_HOME", str(U2NETP.parent))
needs_u2netp = pytest.mark.skipif(
    not U2NETP.is_file(), reason=f"SKIPPED: no u2netp at {U2NETP}; QBG_SHARED says where"
)

hypothesis.settings.register_profile("quick", max_examples=50, deadline=None)
hypothesis.settings.register_profile("slow", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@dataclass(frozen=True)
class Outcome:
    """What one run of the command line left.

    Attributes:
        code: exit code.
        out: standard output.
        err: standard error.
    """

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        return json.loads(self.out)


def digests(folder: Path) -> dict[str, str]:
    """By path below the folder: the content of every regular file, and where every link leads."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = os.fsdecode(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def qbg_command() -> list[str]:
    """The installed command, beside the interpreter that runs the tests."""
    name = "qbg.exe" if os.name == "nt" else "qbg"
    return [str(Path(sys.executable).with_name(name))]


@pytest.fixture(scope="session")
def qbg() -> Callable[..., Outcome]:
    """Runs `qbg ARGUMENTS...` to its end; keywords go to subprocess.run."""

    def run(*arguments: str | Path, **options: Any) -> Outcome:
        command = qbg_command() + [str(argument) for argument in arguments]
        # A name that isn't UTF-8 goes to the terminal as bytes; here it has to become text again.
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=55, **options
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def quick_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that takes microseconds, for tests of everything but masks."""
    return graphs.brightness(tmp_path_factory.mktemp("model") / "brightness.onnx")


@pytest.fixture
def photos() -> Path:
    """The folder of sample photos."""
    return SAMPLES


@pytest.fixture
def odd() -> Path:
    """The folder of tiny pictures in odd formats."""
    return PICTURES / "odd"


PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


def _drop_override() -> None:
    """Between fork and exec: root without the right to pass over permissions, as any other user is."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            os._exit(97)


@pytest.fixture(scope="session")
def obeying() -> dict[str, Any]:
    """Keywords for subprocess that make permissions count, for root too. Skips where that can't be had."""
    if os.name != "posix":
        pytest.skip("SKIPPED: permissions of files are tested on POSIX systems only")
    if os.geteuid() != 0:
        return {}
    if sys.platform != "linux":
        pytest.skip("SKIPPED: root passes over permissions, and only Linux can take that away here")
    probe = subprocess.run([sys.executable, "-c", ""], preexec_fn=_drop_override, capture_output=True)
    if probe.returncode != 0:
        pytest.skip("SKIPPED: root passes over permissions, and this container may not give that right up")
    return {"preexec_fn": _drop_override}
