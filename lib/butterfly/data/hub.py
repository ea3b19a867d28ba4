"""Image data sets in the Hugging Face parquet layout, pinned by revision and checksum."""

import hashlib
import inspect
import io
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from butterfly.data.base import Data, DataError, assemble, versions
from butterfly.decoded import decoded, folder


@dataclass(frozen=True)
class Hub:
    """Where a data set lives on the Hugging Face hub, pinned, and what its files must hold."""

    name: str
    repository: str
    revision: str
    folder: str
    column: str
    shape: tuple[int, ...]  # of one image as stored: height, width[, channels]
    files: dict[str, tuple[str, int]] = field(hash=False)  # split -> sha256, number of examples

    def file(self, split: str) -> str:
        return f"{split}-00000-of-00001.parquet"

    def url(self, split: str) -> str:
        base = f"https://huggingface.co/datasets/{self.repository}/resolve/{self.revision}"
        return f"{base}/{self.folder}/{self.file(split)}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input `[channels, height, width]`; no file is read for it."""
        height, width, *channels = self.shape
        return (*(channels or [1]), height, width)


def provenance(hub: Hub) -> dict[str, str]:
    """Checksums of the files, read once a process."""
    return {split: _sha256(_locate(hub, split)) for split in hub.files}


@lru_cache
def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1)
def load(hub: Hub) -> Data:
    """The data set, from `BUTTERFLY_DATA` or the user's cache; decoded once, and then opened from a mapped copy."""
    source = provenance(hub)
    code = [inspect.getsource(part) for part in (_read_parquet, assemble)]
    tensors = decoded(hub.name, [*source.values(), *versions("pillow", "numpy").values(), *code], lambda: _decode(hub))
    return Data(hub.name, **tensors, classes=10, ids=torch.arange(len(tensors["y"])), source=source)


def _decode(hub: Hub) -> dict[str, Tensor]:
    arrays = {split: _read_parquet(_locate(hub, split), hub, count) for split, (_, count) in hub.files.items()}
    data = assemble(hub.name, arrays["train"], arrays["test"])
    return {name: getattr(data, name) for name in ("x", "y", "x_test", "y_test")}


def _locate(hub: Hub, split: str) -> Path:
    """The file in `BUTTERFLY_DATA` (any file of the right layout), or the pinned one, downloaded if need be."""
    local = os.environ.get("BUTTERFLY_DATA")
    if not local:
        return _download(hub, split)
    path = Path(local) / hub.name / hub.file(split)
    if not path.exists():
        raise DataError(f"{path} is missing; put it there, or unset BUTTERFLY_DATA to download it")
    return path


def _read_parquet(path: Path, hub: Hub, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images `[N, channels, H, W]` uint8 and labels `[N]`, checked for layout, number and shape."""
    from PIL import Image
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=[hub.column, "label"])
        records, labels = table[hub.column].to_pylist(), table["label"].to_numpy()
        images = np.stack([np.asarray(Image.open(io.BytesIO(record["bytes"]))) for record in records])
    except Exception as error:
        raise DataError(f"{path} is not a parquet file with columns '{hub.column}' and 'label': {error}") from error
    if len(images) != count or images.shape[1:] != hub.shape:
        raise DataError(f"{path} holds {images.shape}, expected {(count, *hub.shape)}; delete it and fetch it again")
    if set(np.unique(labels)) != set(range(10)):
        raise DataError(f"{path} has labels {np.unique(labels)[:20]}, expected 0 to 9")
    return images.reshape(*images.shape[:3], -1).transpose(0, 3, 1, 2), labels


def _download(hub: Hub, split: str) -> Path:
    """The pinned file in the user's cache; fetched with a progress bar and checked, if it is not there yet."""
    import pooch

    try:
        found = pooch.retrieve(
            hub.url(split),
            f"sha256:{hub.files[split][0]}",
            fname=hub.file(split),
            path=folder() / hub.name,
            progressbar=True,
        )
    except Exception as error:
        raise DataError(
            f"could not fetch {hub.name} ({split}): {error}\n"
            f"Without a network, put {hub.file(split)} into FOLDER/{hub.name}/ and set BUTTERFLY_DATA=FOLDER."
        ) from error
    return Path(found)
