"""What people say about CIFAR-10: labels of three annotators, votes of fifty."""

import os
from pathlib import Path

import numpy as np

from butterfly.data.base import DataError

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
