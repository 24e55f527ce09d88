"""The exception tree. Defined in Python so that it can be read and imported without the binary.

The native side raises these classes; nothing else in the package maps errors.
"""

from __future__ import annotations


class QbgError(Exception):
    """Anything that qbg reports about an image, a model or an engine.

    Attributes:
        stage: where it happened: discover, map, decode, preprocess, infer, mask, composite, encode,
            write; or model, engine.
        path: the file, or None for an image given as memory.
        hint: what can be done about it, or None.
    """

    def __init__(
        self, message: str, *, stage: str = "", path: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.stage = stage
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        where = " ".join(part for part in (self.stage, self.path) if part)
        text = f"{where}: {self.args[0]}" if where else str(self.args[0])
        return f"{text}\nhint: {self.hint}" if self.hint else text


class InputError(QbgError):
    """The input can't be found, read or decoded, or is larger than allowed."""


class InputNotFoundError(InputError, FileNotFoundError):
    """The input doesn't exist."""


class InputPermissionError(InputError, PermissionError):
    """The input may not be read."""


class ModelError(QbgError):
    """The model is absent, corrupt, or not of a kind that qbg can run."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """The model's file or name doesn't exist."""


class ModelDownloadError(ModelError, OSError):
    """The model's file can't be brought here: network, server, wrong bytes, or no room for it."""


class EngineError(QbgError):
    """The engine is absent or failed to run the network."""


class OutputError(QbgError):
    """The output can't be encoded or written."""


class OutputPermissionError(OutputError, PermissionError):
    """The output may not be written."""


class DiskFullError(OutputError, OSError):
    """No space is left for the output."""
