"""What can go wrong with a request, as one exception that knows its status. Must not know routes."""

from __future__ import annotations

from qbg.errors import EngineError, InputError, QbgError


class ProblemError(Exception):
    """Ends a request.

    Attributes:
        status: of HTTP.
        code: a word for machines, that doesn't change.
        message: a sentence for people.
        hint: what can be done about it, or None.
        headers: that belong to the status.
    """

    def __init__(
        self, status: int, code: str, message: str, *, hint: str | None = None, **headers: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def words(self) -> dict[str, str]:
        """For JSON."""
        hint = {} if self.hint is None else {"hint": self.hint}
        return {"code": self.code, "message": self.message, **hint}


class ClientLeftError(Exception):
    """Nobody waits for the answer any more."""


def of(error: Exception) -> ProblemError:
    """The problem that an error of the core is. The file's name is the server's own affair and left out."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, QbgError):
        text, hint = str(error.args[0]), error.hint
        if isinstance(error, InputError):
            return ProblemError(422, error.stage or "decode", text, hint=hint)
        if isinstance(error, EngineError):
            return ProblemError(500, "engine", text)
        return ProblemError(500, error.stage or "internal", text)
    if isinstance(error, MemoryError):
        return ProblemError(503, "memory", "no memory is left for this picture", Retry_After="10")
    return ProblemError(500, "internal", "something went wrong that shouldn't: the server's log tells what")
