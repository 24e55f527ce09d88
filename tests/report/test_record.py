"""Records as files: whole or not at all, and devices stay what they are."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from qbg.report import record as records
from records import record


def test_a_record_comes_back(tmp_path: Path) -> None:
    records.save(record(), tmp_path / "r.json")
    assert records.load(tmp_path / "r.json") == records.as_saved(record())
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"], "no temporary file is left"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="SKIPPED: this system has no named pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    records.save(record(), pipe)
    reader.join(timeout=10)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert read == [records.dumps(record())]
