"""Where rembg keeps `remove`."""

from qbg.compat.rembg import remove

__all__ = ["remove"]
