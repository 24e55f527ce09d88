"""One process at a time: a lock on a file, which the system lets go of when its holder dies.

So a second process waits for the first, and takes over what it left if it was killed. The lock's file
goes away with the last holder. Where a file system has no locks, as some network ones, nothing is locked:
two downloads at once may then spoil each other, which the checksum finds. Must not know what is guarded.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

POLL_S = 0.1


@contextmanager
def only_one(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock on `path`, which need not exist. `waiting` is called once if another holds it.

    Raises:
        OSError: the lock's file can't be made.
    """
    file = _acquire(path, waiting)
    try:
        yield
    finally:
        # Removed while held: who has opened it meanwhile sees that it is no longer there, and tries again.
        with suppress(OSError):
            path.unlink()
        os.close(file)


def _acquire(path: Path, waiting: Callable[[], None]) -> int:
    told = False
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            held = _try(file)
            if held and _is_still(path, file):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if not held:
            if not told:
                told = True
                waiting()
            time.sleep(POLL_S)


def _is_still(path: Path, file: int) -> bool:
    """Whether the open file is the one that lies at `path` now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import errno
    import fcntl

    def _try(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # No locks here at all: go on without.
            return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR)
        return True
