"""Shared pieces of the tests: a small task, and one thread."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from butterfly import models
from butterfly.data import Data
from butterfly.streams import generator
from butterfly.study import runs


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    runs.prepare()


@pytest.fixture
def task() -> Data:
    """A learnable task of 96 + 40 examples: 3 classes, inputs of shape (1, 12)."""
    return make_task((1, 12))


@pytest.fixture
def model(task: Data) -> models.Model:
    return models.build("mlp-2x16", task.input_shape, task.classes)


def make_task(shape: tuple[int, ...], classes: int = 3, dtype: torch.dtype = torch.float32) -> Data:
    random = generator("test-task", *shape)
    centres = torch.randn(classes, *shape, generator=random)
    y = torch.arange(136) % classes
    x = (centres[y] + 0.7 * torch.randn(136, *shape, generator=random)).to(dtype)
    return Data("test", x[:96], y[:96], x[96:], y[96:], classes, torch.arange(96))


@pytest.fixture(scope="module")
def own_store(tmp_path_factory):
    """A store of finished shards for one test module, computed in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUTTERFLY_RUNS", str(tmp_path_factory.mktemp("runs")))
        patch.setenv("BUTTERFLY_JOBS", "1")
        yield


def verdicts(made) -> dict[str, str]:
    """The verdict of each claim by id."""
    return {c.id: c.verdict for c in made}


class Largest(TorchDispatchMode):
    """Remembers the largest tensor, in bytes, that any operation made; not what one wrote or looked at in place."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        given = [value.untyped_storage().data_ptr() for value in args if isinstance(value, torch.Tensor)]
        if isinstance(found, torch.Tensor) and found.untyped_storage().data_ptr() not in given:
            self.bytes = max(self.bytes, found.untyped_storage().nbytes())
        return found
