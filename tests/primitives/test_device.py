"""What training asks of a device, found without one: on `meta`, a tensor has a shape and no values.

Whatever waits for a value there (`.item()`, a boolean test, a copy to the host) fails, so an update that runs on it
never makes the host wait for a GPU. Copies from the host are counted.
"""

from itertools import pairwise

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from butterfly import models
from butterfly.augment import Augment
from butterfly.perturb import Kick
from butterfly.train import Fork, Observer, Recipe, train
from tests.conftest import make_task

RECIPE = Recipe(steps=12, batch_size=16, lr=0.05, warmup=0.1)


class Transfers(TorchDispatchMode):
    """Counts copies from the host to the device."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        given = [value for value in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        if isinstance(found, torch.Tensor) and found.is_meta and any(not value.is_meta for value in given):
            self.count += 1
        return found


def transfers(name, shape, recipe, seeds, forks=()):
    """Copies from the host at each update of a training on `meta`."""
    task = make_task(shape)
    model = models.build(name, task.input_shape, task.classes)
    seen = []
    with Transfers() as counter:
        look = Observer("look", lambda now: seen.append(counter.count), frozenset(range(recipe.steps + 1)))
        train(model, task.to("meta"), recipe, seeds, forks, [look])
    return [after - before for before, after in pairwise(seen)]


VARIANTS = {
    "sgd": {},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "rmsprop": {"optimizer": "rmsprop"},
    "dropout": {"dropout": 0.2},
}
NETWORKS = [
    *(("mlp-2x16", (1, 12)), ("mlp-2x16-norm", (1, 12)), ("cnn-2x4", (1, 12)), ("transformer-1x8", (12, 6))),
    *(("cnn-2x4", (3, 8, 8)), ("resnet8-4", (3, 8, 8)), ("vgg11-4", (3, 32, 32))),
]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("name", "shape"), NETWORKS)
def test_no_update_waits_for_the_device(name, shape, variant):
    recipe = RECIPE.changed(**VARIANTS[variant])
    each = transfers(name, shape, recipe, [3, 5])
    # At the start of an epoch its order; in each update the masks of each layer, where there is dropout.
    assert each[0] <= 3 + 8 * (variant == "dropout")
    assert all(count == each[1] <= each[0] for step, count in enumerate(each) if step % 6)


@pytest.mark.parametrize("members", [2, 8])
def test_copies_to_the_device_do_not_grow_with_the_members(members):
    recipe = RECIPE.changed(augment=Augment(flip=True, shift=1), dropout=0.2)
    forks = [Fork(3, 1, Kick(size=0.1, draw=draw)) for draw in range(members)]
    each = transfers("cnn-2x4", (3, 8, 8), recipe, [3], forks)
    assert each[2:6] == [1 + 2] * 4  # where images are taken from, and the masks of two layers


def test_what_waits_is_found():
    task = make_task((1, 12))
    model = models.build("mlp-2x16", task.input_shape, task.classes)

    def waits(logits, truth):
        return logits.sum(-1) * float(logits.detach().sum())

    with pytest.raises(RuntimeError, match="meta"):
        train(model, task.to("meta"), RECIPE, [3], objective=waits)
