"""rembg's module, as qbg does it: `remove` and `new_session`."""

from qbg.compat.rembg import new_session, remove

__all__ = ["__version__", "new_session", "remove"]

__version__ = "2.0.86"
"""The version whose arguments are taken."""
