"""Finished shards on disk: written whole or not at all, verified when read."""

import contextlib
import hashlib
import io
import json
import os
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from butterfly.strict import UserError

Config = dict[str, Any]
Arrays = dict[str, np.ndarray]

_PREFIX = "array "  # of the names of arrays, that none of them is taken for an argument of numpy's
# What reading a file that is not a shard can raise.
_UNSOUND = (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError, zipfile.BadZipFile)


class DamagedError(LookupError):
    """A file of the store is truncated, corrupted, foreign or unreadable."""


@dataclass(frozen=True)
class Store:
    """A folder of finished shards, one file each: a line of JSON that describes and checks the rest, then an npz."""

    folder: Path

    def file(self, key: str) -> Path:
        return self.folder / f"{key}.shard"

    def save(self, key: str, arrays: Arrays, about: Config) -> None:
        """Write a shard whole or not at all."""
        body = io.BytesIO()
        np.savez(body, allow_pickle=False, **{_PREFIX + name: values for name, values in arrays.items()})
        payload = body.getvalue()
        head = {"key": key, "sha256": hashlib.sha256(payload).hexdigest(), **about}
        write_whole(self.file(key), json.dumps(head, sort_keys=True).encode() + b"\n" + payload)

    def load(self, key: str) -> tuple[Arrays, Config]:
        """The arrays of a shard and what is written about it; `KeyError` if absent, `DamagedError` if not sound."""
        try:
            head, _, payload = self.file(key).read_bytes().partition(b"\n")
            about = json.loads(head)
            if about["key"] != key or about["sha256"] != hashlib.sha256(payload).hexdigest():
                raise ValueError("another key or checksum")
            with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
                found = {name.removeprefix(_PREFIX): values for name, values in arrays.items()}
        except FileNotFoundError:
            raise KeyError(key) from None
        except _UNSOUND as error:
            raise DamagedError(f"{self.file(key)} is truncated, corrupted or not a shard ({error})") from None
        with contextlib.suppress(OSError):
            os.utime(self.file(key))  # asked for today: `clean` spares it
        return found, about

    def sweep(self, older_than: float = 3600.0) -> None:
        """Remove what writers that were killed left behind."""
        for path in self.folder.rglob(".*.part"):
            with contextlib.suppress(OSError):  # another driver may have been faster
                if time.time() - path.stat().st_mtime > older_than:
                    path.unlink()

    def forget(self, key: str) -> None:
        """Remove a shard, if it is there."""
        with contextlib.suppress(OSError):
            self.file(key).unlink(missing_ok=True)

    def clean(self, days: float) -> int:
        """Remove the shards that nobody asked for in the last `days` days, also unfinished ones; how many they were."""
        old = [p for p in self.folder.rglob("*.shard") if time.time() - p.stat().st_mtime > days * 86_400]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there complete or not at all, readable by colleagues; `UserError` where that fails."""
    draft = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, 0o666 & ~_umask())
        os.replace(draft, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; what was finished before is kept") from None
    finally:
        if draft:
            Path(draft).unlink(missing_ok=True)


def _umask() -> int:
    """The permissions that this user withholds; there is no way to read them without setting them."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
