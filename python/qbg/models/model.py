"""What an entry of the registry is: a file, where it comes from, what proves it, and how it is fed.

Plain records, so that code can treat every model alike. Must not know any model, open files or reach
the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qbg.recipe import Recipe


class Evidence(StrEnum):
    """What the expected checksum of a file rests on, best first. The value says it in words."""

    OWN = "SHA-256 of the file that this version of qbg was released with"
    MEASURED = "SHA-256 measured on the file itself, whose MD5 equals the one in rembg's source"
    PUBLISHED = "SHA-256 as pinned in the source of rembg, which distributes the file"
    COPIES = "SHA-256 as two or more independent public copies have it"
    MD5 = "MD5 in rembg's source only: it finds damage, not forgery"
    BUILT = "built on this machine: there is nothing to compare it with"
    NONE = "no checksum is known: neither damage nor forgery can be found"

    @property
    def verified(self) -> bool:
        """Whether a file that passes is surely the one that its publisher meant."""
        return self in (Evidence.OWN, Evidence.MEASURED, Evidence.PUBLISHED, Evidence.COPIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class License:
    """Under what terms weights may be used.

    Attributes:
        name: SPDX name where there is one.
        terms: what it means for a user, in plain words.
        commercial: whether commercial use is allowed; None where nobody says.
    """

    name: str
    terms: str
    commercial: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One known network.

    Attributes:
        name: what `-m` takes.
        description: one line.
        license: of the weights, as an SPDX name where there is one.
        recipe: how to feed it and how to read it.
        file: the file's name in qbg's folder. Two entries that share it are two ways to feed one file.
        sha256: of the file, in hex; None where it isn't known.
        bytes: the file's size; None where it isn't known.
        url: where it can be had; None for the built-in one, and for one that must be built.
        builtin: whether it comes with qbg.
        input_name: of the graph, where known without opening it.
        output_name: likewise, of the output that holds the subject.
        output: index of that output in the graph.
        mirrors: further addresses of the same bytes.
        md5: of the file, in hex, where its distributor pins one.
        evidence: what `sha256` and `md5` rest on.
        terms: the license in plain words.
        commercial: whether commercial use is allowed; None where nobody says.
        origin: where the weights' authors publish them; None for qbg's own.
        departures: where qbg's way differs from the authors' or from rembg's, in words.
        how: the command that makes the file, for one that can't be downloaded.
        rembg: whether rembg keeps this file, under the name `file` without its suffix.
    """

    name: str
    description: str
    license: str
    recipe: Recipe
    file: str
    sha256: str | None
    bytes: int | None
    url: str | None
    builtin: bool = False
    input_name: str | None = None
    output_name: str | None = None
    output: int = 0
    mirrors: tuple[str, ...] = ()
    md5: str | None = None
    evidence: Evidence = Evidence.NONE
    terms: str = ""
    commercial: bool | None = None
    origin: str | None = None
    departures: str | None = None
    how: str | None = None
    rembg: bool = False

    @property
    def warning(self) -> str | None:
        """What a user must be told of the license before using the masks; None for a free one."""
        if self.commercial:
            return None
        return f"license of {self.name}: {self.license}; {self.terms}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """A name that users of other programs know, and why qbg doesn't run it.

    Attributes:
        name: as the other program has it.
        reason: one line.
        instead: what to use, as a hint.
        like: for a name that stands for a file of one's own: the model whose recipe it takes; else None.
    """

    name: str
    reason: str
    instead: str
    like: str | None = None
