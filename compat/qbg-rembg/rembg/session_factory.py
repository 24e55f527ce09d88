"""Where rembg keeps `new_session`."""

from qbg.compat.rembg import new_session

__all__ = ["new_session"]
