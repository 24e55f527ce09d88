"""A stage for Ray Data: pictures' bytes in, cut-outs' bytes out (extra qbg[ray]).

    ds = ray.data.read_binary_files("s3://bucket/photos", include_paths=True)
    ds = ds.map_batches(
        qbg.ray.Cutout,
        fn_constructor_kwargs={"only_mask": True},
        num_cpus=7,
        compute=ray.data.ActorPoolStrategy(size=4),
    )
    ds.write_parquet("s3://bucket/cutouts")

One Cutout per node, or per NUMA node, with as many CPUs as it may use, less one for Ray's own reading, which
else never begins; its model is loaded once. This module imports no Ray: a Cutout is a plain class. Must not
know clusters.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from qbg.errors import QbgError
from qbg.remover import Remover

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Cutout"]


class Cutout:
    """For `Dataset.map_batches`, with batches of NumPy.

    Args:
        model: name or path; see `qbg.Remover`.
        column: with pictures' bytes.
        output: column for the results: encoded files, None where a picture failed.
        error: column for what went wrong; the empty text where nothing did.
        workers: pictures at once. None: as many as the CPUs that Ray gives this actor, else one per CPU.
        keep_input: leave `column` in the batch.
        options: fields of `qbg.options.Options`, such as `only_mask=True`.

    Raises:
        ModelError, EngineError, TypeError, ValueError: see `qbg.Remover`.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        column: str = "bytes",
        output: str = "cutout",
        error: str = "error",
        workers: int | None = None,
        keep_input: bool = False,
        **options: Any,
    ) -> None:
        self._names = (column, output, error)
        self._keep = keep_input
        self._remover = Remover(model, workers=workers if workers is not None else _given_cpus(), **options)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """One batch: the same rows in the same order."""
        import numpy as np

        column, output, error = self._names
        made: NDArray[np.object_] = np.empty(len(batch[column]), object)
        said: NDArray[np.object_] = np.full(len(batch[column]), "", object)
        results = self._remover.encoded_many((bytes(item) for item in batch[column]), errors="return")
        for number, result in enumerate(results):
            if isinstance(result, Exception):
                made[number] = None
                said[number] = str(result.args[0]) if isinstance(result, QbgError) else str(result)
            else:
                made[number] = result
        rest = {name: values for name, values in batch.items() if self._keep or name != column}
        return {**rest, output: made, error: said}


def _given_cpus() -> int | None:
    """What Ray tells the libraries that it starts: the actor's CPUs. None outside of Ray."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if "RAY_JOB_ID" in os.environ and text.isdecimal() and int(text) > 0 else None
