"""Which versions of distributions are installed. Must not know who asks, nor import any of them."""

from __future__ import annotations

from collections.abc import Iterable


def installed(names: Iterable[str]) -> dict[str, str]:
    """By name; those that aren't installed are left out."""
    import importlib.metadata

    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
