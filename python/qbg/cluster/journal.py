"""What is done, as Parquet files in OUT/_qbg_journal: one row per input, written by the driver alone.

A row is written once its chunk is whole; a chunk that a lost node had in hand leaves none, and is done again
by another node, to the same outputs. So each input has one row, however often it was begun. Must not know
Ray.
"""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qbg.cluster.places import JOURNAL, Place, Rows

if TYPE_CHECKING:
    import pyarrow as pa

DONE, FAILED = "done", "failed"

ROWS_PER_FILE = 5_000
LONGEST_S = 20.0
"""Rows are written at the latest so long after the first of them."""


def schema() -> pa.Schema:
    """Of a row."""
    import pyarrow as pa

    return pa.schema(
        [
            ("input", pa.string()),
            ("output", pa.string()),
            ("outcome", pa.string()),
            ("stage", pa.string()),
            ("message", pa.string()),
            ("digest", pa.string()),
            ("bytes_in", pa.int64()),
            ("bytes_out", pa.int64()),
            ("seconds", pa.float64()),
            ("node", pa.string()),
            ("time", pa.float64()),
        ]
    )


class Journal:
    """Writes rows as they come.

    Args:
        out: the output's place.
        digest: of model and options; rows with another one don't count as done.
    """

    def __init__(self, out: Place, digest: str) -> None:
        self._out = out
        self._digest = digest
        self._run = uuid.uuid4().hex[:12]
        self._rows: Rows = []
        self._since = 0.0
        self._number = 0

    def done(self) -> dict[str, str]:
        """Inputs that an earlier run has done with the same model and options, and their outputs' names."""
        return {
            str(row["input"]): str(row["output"])
            for row in read(self._out)
            if row["outcome"] == DONE and row["digest"] == self._digest
        }

    def add(self, rows: Rows) -> None:
        """A chunk's rows."""
        now = time.time()
        if not self._rows:
            self._since = now
        self._rows += [{**row, "digest": self._digest, "time": now} for row in rows]
        if len(self._rows) >= ROWS_PER_FILE or now - self._since >= LONGEST_S:
            self.flush()

    def flush(self) -> None:
        """Writes what is there."""
        if not self._rows:
            return
        import pyarrow as pa
        from pyarrow import parquet

        stream = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(self._rows, schema()), stream, compression="zstd")
        self._out.write(f"{JOURNAL}/{self._run}-{self._number:06d}.parquet", stream.getvalue())
        self._number += 1
        self._rows = []


def read(out: Place) -> Iterator[dict[str, Any]]:
    """All rows of all runs. A file that can't be read is an error: who guesses does work twice or never."""
    from pyarrow import fs, parquet

    folder = f"{out.root}/{JOURNAL}"
    if out.system.get_file_info(folder).type != fs.FileType.Directory:
        return
    for info in sorted(out.system.get_file_info(fs.FileSelector(folder)), key=lambda item: str(item.path)):
        if info.path.endswith(".parquet"):
            with out.system.open_input_file(info.path) as stream:
                for batch in parquet.ParquetFile(stream).iter_batches():
                    yield from batch.to_pylist()
