"""Data sets as tensors: normalised by train statistics, with example ids, weights and targets kept beside them."""

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from butterfly.stack import blocks
from butterfly.streams import generator
from butterfly.strict import UserError


class DataError(UserError):
    """A data set is missing, damaged or not what it claims to be; the message says what to do."""


@dataclass(frozen=True)
class Data:
    """One classification task, whole, on one device.

    `x [N, channels, *space]` and `y [N]` are the training set, `x_test`, `y_test` the test set. `ids [N]` are positions
    in the original order and survive subsetting. `weights` and `targets` are optional and per example, or per seed and
    example with a leading axis: `weights [N]` or `[S, N]` (0 masks an example out), `targets [N, C]` or `[S, N, C]`
    (soft labels; without them the labels `y` are learned).
    """

    name: str
    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int
    ids: Tensor
    weights: Tensor | None = None
    targets: Tensor | None = None
    source: dict[str, str] = field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    @property
    def label_hash(self) -> str:
        """A fingerprint of ids and labels, to refuse scores or records made with other labels."""
        return hashlib.sha256(torch.stack([self.ids, self.y]).cpu().numpy().tobytes()).hexdigest()[:16]

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> "Data":
        """The same data on a device, floating-point tensors in `dtype`."""
        moved = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                moved[name] = value.to(device, dtype if value.is_floating_point() else None)
        return replace(self, **moved)

    def subset(self, rows: Tensor) -> "Data":
        """The training examples at these positions, their ids, weights and targets with them; the test set whole."""
        weights = None if self.weights is None else self.weights[..., rows]
        targets = None if self.targets is None else self.targets[..., rows, :]
        return replace(self, x=self.x[rows], y=self.y[rows], ids=self.ids[rows], weights=weights, targets=targets)


def of_classes(data: Data, classes: Sequence[int]) -> Data:
    """The examples of some classes, training and test, labelled 0, 1, ... in the order given."""
    if not classes or len(set(classes)) != len(classes) or not set(classes) <= set(range(data.classes)):
        raise ValueError(f"classes {list(classes)} of {data.name}, which has 0 to {data.classes - 1}, each once")
    if data.targets is not None:
        raise ValueError(f"{data.name} has targets of its own, which cannot be restricted to some classes")
    place = torch.full((data.classes,), -1, device=data.y.device)
    place[list(classes)] = torch.arange(len(classes), device=data.y.device)
    kept, kept_test = (place[y] >= 0 for y in (data.y, data.y_test))
    some = data.subset(kept.nonzero().squeeze(1))
    x_test, y_test = data.x_test[kept_test], place[data.y_test[kept_test]]
    return replace(some, y=place[some.y], x_test=x_test, y_test=y_test, classes=len(classes))


def with_label_noise(data: Data, fraction: float, seed: int) -> tuple[Data, Tensor]:
    """Move a fraction of the training labels to another class; returns the data and the mask `[N]` of moved labels."""
    random = generator("label-noise", seed)
    count = len(data.y)
    moved = torch.zeros(count, dtype=torch.bool)
    moved[torch.randperm(count, generator=random)[: round(fraction * count)]] = True
    shift = torch.randint(1, data.classes, (count,), generator=random)
    moved, shift = moved.to(data.y.device), shift.to(data.y.device)
    return replace(data, y=torch.where(moved, (data.y + shift) % data.classes, data.y)), moved


def load(name: str) -> Data:
    """The data set of that name, on the CPU: `mnist1d`, `digits`, `mnist`, `cifar10`, or a made-up text."""
    if name not in _LOADERS:
        raise DataError(f"unknown data set '{name}'; known: {', '.join(_LOADERS)}")
    return _LOADERS[name]()


def input_shape(name: str) -> tuple[int, ...]:
    """Shape of one input of that data set; files are not read for it."""
    if name in HUBS:
        height, width, *channels = HUBS[name].shape
        return (*(channels or [1]), height, width)
    return load(name).input_shape


def provenance(name: str) -> dict[str, str]:
    """What a data set is made from, part of the identity of every result: file checksums, or versions of packages."""
    if name not in HUBS:
        return {package: version(package) for package in _MAKERS.get(name, ())}
    return {split: _sha256(_locate(name, split)) for split in HUBS[name].files}


def _assemble(name: str, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> Data:
    """Normalise each channel by its mean and standard deviation over the training set."""
    (x, y), (x_test, y_test) = train, test
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axes, keepdims=True, dtype=np.float64)
    # Channel by channel: of a large set, all deviations at once would not fit into a laptop's memory.
    std = np.stack([c.std(dtype=np.float64) for c in np.moveaxis(x, 1, 0)]).reshape(mean.shape)

    def tensor(a: np.ndarray) -> Tensor:
        found = torch.empty(a.shape)
        for some in blocks(len(a), 4096):
            found[some] = torch.from_numpy(((a[some] - mean) / std).astype(np.float32))
        return found

    return Data(
        name=name,
        x=tensor(x),
        y=torch.from_numpy(y.astype(np.int64)),
        x_test=tensor(x_test),
        y_test=torch.from_numpy(y_test.astype(np.int64)),
        classes=int(y.max()) + 1,
        ids=torch.arange(len(y)),
        source=provenance(name),
    )


@lru_cache(maxsize=1)
def _mnist1d() -> Data:
    """MNIST-1D (Greydanus and Kobak, ICML 2024): 4,000 + 1,000 signals of length 40, generated by its own package."""
    import random

    from mnist1d.data import make_dataset

    # The generator seeds and uses the global random states; they are put back as they were.
    states = random.getstate(), np.random.get_state()
    try:
        raw = make_dataset()
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
    train, test = (raw["x"][:, None], raw["y"]), (raw["x_test"][:, None], raw["y_test"])
    return _assemble("mnist1d", train, test)


@lru_cache(maxsize=1)
def _digits() -> Data:
    """Handwritten digits bundled with scikit-learn (Alpaydin and Kaynak 1998): 1,297 + 500 images of 8 x 8."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    x, y = raw.images[:, None], raw.target
    order = torch.randperm(len(y), generator=generator("digits-split")).numpy()
    train, test = order[500:], order[:500]
    return _assemble("digits", (x[train], y[train]), (x[test], y[test]))


# --- text, generated -------------------------------------------------------------------------------------------------

_LETTERS, _TOKENS, _PLACES = 10, 12, 6  # letters (or digits), these and two signs, length of a context


def _language(name: str) -> Data:
    """Contexts of 6 letters and the letter that follows, in a made-up language: 4,000 + 1,000, and each text a new one.

    After each pair of letters four letters may follow, with probabilities that are drawn once for the language.
    """
    random = generator("language", name)
    follow = torch.stack([torch.randperm(_LETTERS, generator=random)[:4] for _ in range(_LETTERS**2)])
    odds = torch.rand(_LETTERS**2, 4, generator=random).pow(2)
    text = torch.randint(_LETTERS, (5000, 2), generator=random)
    for _ in range(20 + _PLACES):
        pair = text[:, -2] * _LETTERS + text[:, -1]
        drawn = torch.multinomial(odds[pair], 1, generator=random)
        text = torch.cat([text, follow[pair].gather(1, drawn)], 1)
    return _of_tokens(name, text[:, -_PLACES - 1 : -1], text[:, -1], 4000)


def _sums() -> Data:
    """Modular arithmetic: `xa+by=` and the last digit of a + b, whatever x and y: 4,000 + 1,000 of the 10,000."""
    drawn = torch.randperm(10**4, generator=generator("sums"))[:5000]
    x, a, b, y = (drawn // 10**power % 10 for power in (3, 2, 1, 0))
    plus, equals = (torch.full_like(a, sign) for sign in (_LETTERS, _LETTERS + 1))
    return _of_tokens("sums", torch.stack([x, a, plus, b, y, equals], 1), (a + b) % 10, 4000)


def _of_tokens(name: str, tokens: Tensor, y: Tensor, train: int) -> Data:
    """Tokens `[N, places]` as one-hot inputs `[N, tokens, places]`, the first `train` of them to learn from."""
    x = torch.nn.functional.one_hot(tokens, _TOKENS).mT.float().contiguous()
    return Data(name, x[:train], y[:train], x[train:], y[train:], _LETTERS, torch.arange(train))


# --- Hugging Face parquet --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hub:
    """Where a data set lives on the Hugging Face hub, pinned, and what its files must hold."""

    repository: str
    revision: str
    folder: str
    column: str
    shape: tuple[int, ...]  # of one image as stored: height, width[, channels]
    files: dict[str, tuple[str, int]]  # split -> sha256, number of examples

    def file(self, split: str) -> str:
        return f"{split}-00000-of-00001.parquet"

    def url(self, split: str) -> str:
        base = f"https://huggingface.co/datasets/{self.repository}/resolve/{self.revision}"
        return f"{base}/{self.folder}/{self.file(split)}"


HUBS = {
    "mnist": Hub(
        repository="ylecun/mnist",
        revision="77f3279092a1c1579b2250db8eafed0ad422088c",
        folder="mnist",
        column="image",
        shape=(28, 28),
        files={
            "train": ("f2c01285a9f89399335b00ee4e8d499dc4e46db5e39c74903ce5618d895eb3bf", 60_000),
            "test": ("d49fcf556ce25b002b302e318ce4a11098bbfe5d4499c3f35d7c72297c52374b", 10_000),
        },
    ),
    "cifar10": Hub(
        repository="uoft-cs/cifar10",
        revision="0b2714987fa478483af9968de7c934580d0bb9a2",
        folder="plain_text",
        column="img",
        shape=(32, 32, 3),
        files={
            "train": ("8428b53a88a11ac374111006708df51469e315a22ac6d66470afd9c78d2ae883", 50_000),
            "test": ("841389e6f2d64f28bf17310e430aebac20ec3ba611a3c5e231dc93c645ce84de", 10_000),
        },
    ),
}


@lru_cache(maxsize=1)
def _from_hub(name: str) -> Data:
    hub = HUBS[name]
    arrays = {split: _read_parquet(_locate(name, split), hub, count) for split, (_, count) in hub.files.items()}
    return _assemble(name, arrays["train"], arrays["test"])


def _locate(name: str, split: str) -> Path:
    """The file in `BUTTERFLY_DATA` (any file of the right layout), or the pinned one, downloaded if need be."""
    local = os.environ.get("BUTTERFLY_DATA")
    if not local:
        return _download(name, split)
    path = Path(local) / name / HUBS[name].file(split)
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


def _download(name: str, split: str) -> Path:
    """The pinned file in the user's cache; fetched with a progress bar and checked, if it is not there yet."""
    import pooch

    hub = HUBS[name]
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "butterfly" / name
    try:
        found = pooch.retrieve(
            hub.url(split), f"sha256:{hub.files[split][0]}", fname=hub.file(split), path=folder, progressbar=True
        )
    except Exception as error:
        raise DataError(
            f"could not fetch {name} ({split}): {error}\n"
            f"Without a network, put {hub.file(split)} into FOLDER/{name}/ and set BUTTERFLY_DATA=FOLDER."
        ) from error
    return Path(found)


# --- what people say -------------------------------------------------------------------------------------------------

# Their licences (CC BY-NC 4.0 and CC BY-NC-SA 4.0) keep them out of this repository and of its downloads.
_HUMAN = {"cifar10n": "cifar10n_train_labels.npz", "cifar10h": "cifar10h_test_counts.npy"}


def human_file(name: str) -> Path | None:
    """The file of human labels in `BUTTERFLY_DATA/human`, or None where it is not there."""
    local = os.environ.get("BUTTERFLY_DATA")
    path = Path(local) / "human" / _HUMAN[name] if local else None
    return path if path and path.exists() else None


def wrong_votes() -> np.ndarray:
    """How many of three annotators mislabelled each CIFAR-10 training image `[50000]` (CIFAR-10N: Wei et al. 2022)."""
    with np.load(_human("cifar10n")) as labels:
        votes = [labels[name] for name in labels.files if name.startswith("random")]
        clean = next(labels[name] for name in labels.files if name.startswith("clean"))
    if len(votes) != 3 or clean.shape != (50_000,):
        raise DataError(f"{human_file('cifar10n')} does not hold three annotators' labels of 50,000 images")
    return sum((vote != clean).astype(int) for vote in votes)


def vote_counts() -> np.ndarray:
    """Votes of about 50 people for each class, of each CIFAR-10 test image `[10000, 10]` (CIFAR-10H: Peterson 2019)."""
    counts = np.load(_human("cifar10h"))
    if counts.shape != (10_000, 10):
        raise DataError(f"{human_file('cifar10h')} holds {counts.shape}, expected (10000, 10)")
    return counts.astype(int)


def _human(name: str) -> Path:
    found = human_file(name)
    if found is None:
        raise DataError(f"no human labels: put {_HUMAN[name]} into FOLDER/human/ and set BUTTERFLY_DATA=FOLDER")
    return found


@lru_cache
def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_MAKERS = {"mnist1d": ("mnist1d", "scipy", "numpy"), "digits": ("scikit-learn",)}

_LOADERS: dict[str, Callable[[], Data]] = {
    "mnist1d": _mnist1d,
    "digits": _digits,
    "language-a": lambda: _language("language-a"),
    "language-b": lambda: _language("language-b"),
    "sums": _sums,
    "mnist": lambda: _from_hub("mnist"),
    "cifar10": lambda: _from_hub("cifar10"),
}
