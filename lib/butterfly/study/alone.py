"""One command at a time in a folder of results, which finds it without the drafts of commands that were killed."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other command works in a folder; then remove what those that were killed left there.

    The system gives the lock back however a command ends, and it is no file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, folder)
        for draft in folder.glob(".*.part"):
            remove(draft)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"another command works in {folder}; this one waits for it", file=sys.stderr, flush=True)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # a file system that has no locks, as some of networks
        pass


@contextmanager
def swept(folder: Path) -> Iterator[None]:
    """Remove the drafts that are in a folder of many writers before and after: theirs live for a moment only.

    Time stamps are not asked: clocks jump.
    """
    before = list(folder.glob(".*.part"))
    yield
    for draft in before:
        remove(draft)


def remove(draft: Path) -> None:
    """Remove a file or a folder, if it is still there and may be removed."""
    if draft.is_dir() and not draft.is_symlink():
        shutil.rmtree(draft, ignore_errors=True)
        return
    with suppress(OSError):
        draft.unlink()
