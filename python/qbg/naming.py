"""Names of outputs that Python gives: in an archive, or below a folder that the core can't reach.

For files on this machine the core names outputs. Must not touch files.
"""

from __future__ import annotations

from pathlib import PurePosixPath

APART = ("/", "..", ".")
"""Parts of a path that would lead out of the folder, or nowhere."""


class Names:
    """An output's name for each input's: another ending, safe below any folder, each once.

    Args:
        extension: of outputs, without a dot.
        fold_case: `A` and `a` are one name where outputs go.
    """

    def __init__(self, extension: str, *, fold_case: bool = False) -> None:
        self._extension = extension
        self._fold_case = fold_case
        self._seen: set[str] = set()

    def keep(self, given: str) -> None:
        """A name that was given before, in another run."""
        self._seen.add(self._key(given))

    def give(self, name: str) -> str:
        """`sub/photo.jpg` to `sub/photo.png`; where that is taken to `sub/photo.jpg.png`, then `.2.png`."""
        parts = [part for part in PurePosixPath(name).parts if part not in APART]
        path = PurePosixPath(*parts) if parts else PurePosixPath("picture")
        chosen = str(path.with_suffix(f".{self._extension}"))
        number = 1
        while self._key(chosen) in self._seen:
            chosen = f"{path}.{self._extension}" if number == 1 else f"{path}.{number}.{self._extension}"
            number += 1
        self._seen.add(self._key(chosen))
        return chosen

    def _key(self, name: str) -> str:
        return name.lower() if self._fold_case else name
