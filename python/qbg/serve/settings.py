"""What an operator decides, checked when it is made. Must not know how it is carried out."""

from __future__ import annotations

from dataclasses import dataclass, field

from qbg.options import number, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of one server.

    Attributes:
        models: names or paths; the first is the default.
        workers: pictures worked on at once. None: one per CPU that this process may use.
        queue: pictures that may wait. None: 16 per worker. Whoever comes then is told to come again.
        max_upload_bytes: of one request's body.
        max_batch_bytes: of one batch's body, and of what it unpacks to.
        max_batch_pictures: in one batch.
        max_pixels: of one picture.
        max_memory: see `qbg.Remover`.
        deadline_s: from a request's arrival to its answer.
        upload_s: within which a body has to be here.
        header_s: within which a request's head has to be here.
        origins: of pages elsewhere that may ask from a browser; `*` for all.
        allow_urls: fetch pictures from public addresses.
        keys: name by SHA-256 of the key. Empty: no key is asked for.
        rate: requests per second and key, as a mean; up to ten seconds' worth at once. None: no limit.
        page: show the page at `/`.
    """

    models: tuple[str, ...] = ("qbg-base",)
    workers: int | None = None
    queue: int | None = None
    max_upload_bytes: int = 32 << 20
    max_batch_bytes: int = 512 << 20
    max_batch_pictures: int = 1000
    max_pixels: int = 100_000_000
    max_memory: int | None = None
    deadline_s: float = 60.0
    upload_s: float = 30.0
    header_s: float = 10.0
    origins: tuple[str, ...] = ()
    allow_urls: bool = False
    keys: dict[bytes, str] = field(default_factory=dict)
    rate: float | None = None
    page: bool = True

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("a server needs a model")
        for name in ("workers", "queue"):
            value = getattr(self, name)
            if value is not None:
                whole("option", name, value, 0 if name == "queue" else 1, 1 << 20)
        for name in ("max_upload_bytes", "max_batch_bytes", "max_pixels", "max_batch_pictures"):
            whole("option", name, getattr(self, name), 1, 1 << 40)
        for name in ("deadline_s", "upload_s", "header_s"):
            number(name, getattr(self, name))
            if not 0.0 < getattr(self, name) <= 86_400.0:
                raise ValueError(
                    f"option `{name}` is {getattr(self, name)}, but must be from 0 to 86400 seconds"
                )
        if self.rate is not None and not self.rate > 0:
            raise ValueError(f"option `rate` is {self.rate}, but must be more than 0 requests per second")
        if self.rate is not None and not self.keys:
            raise ValueError("option `rate` counts by key, but there are no `keys`")
