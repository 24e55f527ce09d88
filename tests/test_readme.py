"""README's examples run as written: its Python blocks and the `qbg` lines of its shell blocks.

The folder holds what the examples speak of: photo.jpg and a folder photos.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, qbg_command

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """The contents of README's blocks in `language`."""
    return [body for name, body in BLOCK.findall(README) if name == language]


def commands() -> list[str]:
    """Every `qbg ...` line of the shell blocks."""
    return [line for body in blocks("sh") for line in body.splitlines() if line.startswith("qbg ")]


@pytest.fixture
def place(tmp_path: Path, photos: Path) -> Path:
    """A working folder with photo.jpg and photos/."""
    shutil.copy(photos / "coat.jpg", tmp_path / "photo.jpg")
    (tmp_path / "photos").mkdir()
    for name in ("clogs.jpg", "heels.jpg"):
        shutil.copy(photos / name, tmp_path / "photos" / name)
    return tmp_path


def test_the_promised_number_of_examples() -> None:
    made = [line for body in blocks("sh") for line in body.splitlines() if line.startswith("make ")]
    assert made == ["make run", "make test"]
    assert len(commands()) == 5
    assert len(blocks("python")) == 3


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_example(number: int, place: Path) -> None:
    program = [sys.executable, "-W", "error", "-c", blocks("python")[number]]
    done = subprocess.run(program, cwd=place, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", commands())
def test_command_line_example(line: str, place: Path) -> None:
    before = set(place.rglob("*"))
    arguments = shlex.split(line, comments=True)
    done = subprocess.run(
        qbg_command() + arguments[1:], cwd=place, capture_output=True, text=True, timeout=55
    )
    assert done.returncode == 0, done.stderr
    assert [path for path in place.rglob("*") if path.is_file() and path not in before]


def test_numbers_name_their_record() -> None:
    """A figure without a record file that it can be traced to has no place in README."""
    table = README.split("<!-- numbers:begin -->")[1].split("<!-- numbers:end -->")[0].strip()
    if table:
        named = re.findall(r"benches/record/[\w./-]+\.json", table)
        assert named
        assert all((ROOT / name).is_file() for name in named)


def test_the_table_is_that_of_the_records_it_names() -> None:
    """No figure that can't be traced to a record."""
    records = re.findall(r"Record: `([^`]+)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert records
    script = [
        sys.executable,
        str(ROOT / "scripts" / "readme_numbers.py"),
        *(str(ROOT / name) for name in records),
    ]
    assert subprocess.run([*script, "--check"], check=False).returncode == 0
