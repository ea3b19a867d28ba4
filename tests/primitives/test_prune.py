"""Pruning by its definition: counts, order, nesting, and training that keeps pruned weights at zero."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from butterfly import models, prune
from butterfly.perturb import Kick
from butterfly.train import Fork, Recipe, train
from tests.conftest import make_task

MODEL = models.build("mlp-2x16", (1, 12), 3)
LAYOUT = MODEL.layout
WEIGHTS = LAYOUT.select()


@settings(max_examples=30, deadline=None)
@given(fraction=st.floats(0, 0.95, allow_subnormal=False), levels=st.integers(1, 4), seed=st.integers(0, 99))
def test_counts_are_exact_masks_nested_and_the_smallest_go(fraction, levels, seed):
    theta = MODEL.init([seed, seed + 1])
    mask = prune.dense(LAYOUT, 2)
    kept = int(WEIGHTS.sum())
    for _ in range(levels):
        before, mask = mask, prune.by_magnitude(LAYOUT, theta, mask, fraction)
        kept -= math.floor(fraction * kept + 1e-9)
        assert ((mask & WEIGHTS).sum(1) == kept).all()
        assert not (mask & ~before).any()
        assert mask[:, ~WEIGHTS].all()
        for row, keep in zip(theta.abs(), mask, strict=True):
            gone = row[WEIGHTS & ~keep]
            assert len(gone) == 0 or gone.max() <= row[WEIGHTS & keep].min()
    torch.testing.assert_close(prune.density(LAYOUT, mask), torch.full((2,), kept / int(WEIGHTS.sum())).double())


def test_29_percent_of_100_are_29():
    layout = models.build("mlp-1x10", (1, 5), 5).layout
    mask = prune.by_magnitude(layout, torch.rand(1, layout.size), prune.dense(layout, 1), 0.29)
    assert int((~mask).sum()) == 29


def test_pruning_agrees_with_torch():
    from torch.nn.utils import prune as theirs

    theta = MODEL.init([3])
    layers = {name: view[0] for name, view in LAYOUT.tensors(theta).items() if name.endswith("weight")}
    modules = [torch.nn.Linear(*tensor.T.shape) for tensor in layers.values()]
    for module, tensor in zip(modules, layers.values(), strict=True):
        module.weight.data = tensor.clone()
    count = int(0.3 * int(WEIGHTS.sum()))
    theirs.global_unstructured([(m, "weight") for m in modules], theirs.L1Unstructured, amount=count)
    mask = LAYOUT.tensors(prune.by_magnitude(LAYOUT, theta, prune.dense(LAYOUT, 1), 0.3))
    for module, name in zip(modules, layers, strict=True):
        assert torch.equal(module.weight_mask.bool(), mask[name][0])


def test_equals_are_pruned_in_order_and_nonsense_is_refused():
    theta = torch.ones(1, LAYOUT.size)
    mask = prune.by_magnitude(LAYOUT, theta, prune.dense(LAYOUT, 1), 0.25)
    places = WEIGHTS.nonzero().squeeze(1)
    assert not mask[0, places[: len(places) // 4]].any()
    assert mask[0, places[len(places) // 4 :]].all()
    with pytest.raises(ValueError, match="fraction to prune"):
        prune.by_magnitude(LAYOUT, theta, mask, 1.0)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_pruned_weights_stay_at_zero_and_the_rest_trains_as_a_smaller_network(optimizer):
    task = make_task((1, 12), dtype=torch.float64)
    recipe = Recipe(steps=30, batch_size=16, lr=0.02, warmup=0.1, optimizer=optimizer, weight_decay=0.01)
    init = MODEL.init([3, 5])
    mask = prune.by_magnitude(LAYOUT, init, prune.dense(LAYOUT, 2), 0.6)
    run = train(MODEL, task, recipe, [3, 5], [Fork(3, 10, Kick(size=0.1))], init=init, mask=mask)
    assert not run.theta[:2][~mask].any()
    assert not run.theta[2][~mask[0]].any()
    assert (run.theta[2] != run.theta[0]).any()
    everything = train(MODEL, task, recipe, [3, 5], init=init, mask=prune.dense(LAYOUT, 2)).theta
    assert torch.equal(everything, train(MODEL, task, recipe, [3, 5], init=init).theta)
    # A whole hidden unit cut off is a network without it.
    off = prune.dense(LAYOUT, 1)
    for name in ("linear0.weight", "linear0.bias"):
        LAYOUT.tensors(off)[name][:, ..., 0] = False
    cut = LAYOUT.tensors(train(MODEL, task, recipe, [3], init=init[:1], mask=off).theta)
    assert not cut["linear0.weight"][0, :, 0].any()


def test_a_rewound_run_is_the_end_of_a_whole_one_without_momentum():
    task = make_task((1, 12), dtype=torch.float64)
    recipe = Recipe(steps=30, batch_size=16, lr=0.05, warmup=0.1, momentum=0.0)
    from butterfly.train import Observer

    copy = Observer("copy", lambda now: now.theta.clone(), frozenset({12}))
    whole = train(MODEL, task, recipe, [3], observers=[copy])
    again = train(MODEL, task, recipe, [3], init=whole.recorded("copy")[0][1], start=12)
    assert torch.equal(whole.theta, again.theta)
    with pytest.raises(ValueError, match="start at step 31"):
        train(MODEL, task, recipe, [3], start=31)
    with pytest.raises(ValueError, match="mask has shape"):
        train(MODEL, task, recipe, [3], mask=torch.ones(2, 3, dtype=torch.bool))
