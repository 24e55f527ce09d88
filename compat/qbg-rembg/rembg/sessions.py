"""The names of rembg's models that qbg runs."""

from qbg.compat.rembg import OWN_FILES
from qbg.models import MODELS

__all__ = ["sessions_names"]

sessions_names = [*MODELS, *OWN_FILES]
