"""The trainer against programs written from scratch in plain PyTorch, and against its own laws."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from butterfly import models
from butterfly.augment import Augment, augment
from butterfly.batches import Minibatches, spread
from butterfly.data import Data
from butterfly.perturb import Kick
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.train import Crossing, Fork, Member, Observer, Recipe, learning_rate, train
from tests.conftest import make_task

RECIPE = Recipe(steps=40, batch_size=16, lr=0.05, warmup=0.1)


# --- an independent implementation -----------------------------------------------------------------------------------


def plain_mlp(model, theta):
    """The same network as a `torch.nn.Sequential`."""
    p = {name: tensor[0] for name, tensor in model.layout.tensors(theta[None]).items()}
    layers = [nn.Flatten()]
    for i in range(model.depth + 1):
        w, b = p[f"linear{i}.weight"], p[f"linear{i}.bias"]
        layer = nn.Linear(*w.shape)
        layer.weight.data, layer.bias.data = w.T.clone(), b.clone()
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def plain_loop(model, task, recipe, seed, loss=None, unmatched="", since=0):
    """Train one network with torch's own optimiser and a loop over minibatches.

    From step `since` on, the noise named `unmatched` comes from a stream of its own.
    """

    def stream(what, step, *key):
        return generator(what, seed, *(["own", since, 0] if what == unmatched and step >= since else []), *key)

    net = plain_mlp(model, model.init([seed])[0].to(task.x))
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(net.parameters(), 1.0, recipe.momentum, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.AdamW(net.parameters(), 1.0, recipe.betas, recipe.eps, recipe.weight_decay)
    per_epoch = len(task.y) // recipe.batch_size
    for step in range(recipe.steps):
        order = torch.randperm(len(task.y), generator=stream("order", step, step // per_epoch))
        at = order[step % per_epoch * recipe.batch_size :][: recipe.batch_size]
        h, masks = task.x[at], stream("dropout", step, step)
        if recipe.augment.active:
            h = augment(h, recipe.augment, stream("augment", step, step))
        if unmatched == "within" and step >= since:
            places = torch.randperm(len(at), generator=stream("within", step, step))
            h, at = h[places], at[places]
        for layer in net:
            h = layer(h)
            if isinstance(layer, nn.ReLU) and recipe.dropout:
                h = h * (torch.rand(h.shape, generator=masks) >= recipe.dropout) / (1 - recipe.dropout)
        optimizer.param_groups[0]["lr"] = learning_rate(recipe, step)
        optimizer.zero_grad()
        (loss or (lambda z, at: F.cross_entropy(z, task.y[at])))(h, at).backward()
        optimizer.step()
    tensors = {}
    for i, layer in enumerate(m for m in net if isinstance(m, nn.Linear)):
        tensors |= {f"linear{i}.weight": layer.weight.data.T[None], f"linear{i}.bias": layer.bias.data[None]}
    return model.layout.stack(tensors)[0]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"momentum": 0.0, "schedule": "constant"},
        {"weight_decay": 0.01, "schedule": "cosine"},
        {"optimizer": "adamw", "lr": 0.003, "weight_decay": 0.05},
        {"first_lr_zero": True},
        {"dropout": 0.3},
    ],
)
def test_a_stack_trains_to_the_numbers_of_plain_loops(change):
    task = make_task((1, 12), dtype=torch.float64)
    model = models.build("mlp-2x16", task.input_shape, task.classes)
    recipe = RECIPE.model_copy(update=change)
    stack = train(model, task, recipe, seeds=[3, 5, 8]).theta
    plain = torch.stack([plain_loop(model, task, recipe, seed) for seed in (3, 5, 8)])
    torch.testing.assert_close(stack, plain, rtol=0, atol=1e-11)


def test_float32_agrees_with_a_plain_loop_within_rounding(task, model):
    short = RECIPE.model_copy(update={"steps": 10})
    stack = train(model, task, short, seeds=[3, 5]).theta
    plain = torch.stack([plain_loop(model, task, short, seed) for seed in (3, 5)])
    torch.testing.assert_close(stack, plain, rtol=0, atol=1e-5)


def test_weights_and_soft_targets_enter_the_loss():
    task = make_task((1, 12), dtype=torch.float64)
    model = models.build("mlp-2x16", task.input_shape, task.classes)
    random = generator("test-weights")
    weights = torch.rand(96, generator=random, dtype=torch.float64)
    targets = torch.rand(96, 3, generator=random, dtype=torch.float64).softmax(1)

    def loss(logits, at):
        each = -(targets[at] * logits.log_softmax(1)).sum(1)
        return (weights[at] * each).sum() / weights[at].sum()

    ours = train(model, replace(task, weights=weights, targets=targets), RECIPE, [3]).theta[0]
    torch.testing.assert_close(ours, plain_loop(model, task, RECIPE, 3, loss), rtol=0, atol=1e-11)
    # One row of weights and targets a seed: the second seed must not feel the first one's.
    both = replace(
        task,
        weights=torch.stack([torch.ones_like(weights), weights]),
        targets=torch.stack([targets.flip(1), targets]),
    )
    torch.testing.assert_close(train(model, both, RECIPE, [7, 3]).theta[1], ours, rtol=0, atol=1e-11)


def test_a_masked_example_changes_nothing(task, model):
    weights = torch.ones(96)
    weights[::7] = 0
    other = task.y.clone()
    other[::7] = (other[::7] + 1) % 3
    masked = train(model, replace(task, weights=weights), RECIPE, [1]).theta
    relabelled = train(model, replace(task, weights=weights, y=other), RECIPE, [1]).theta
    assert torch.equal(masked, relabelled)


def test_a_batch_of_weight_zero_moves_nothing(task, model):
    still = train(model, replace(task, weights=torch.zeros(96)), RECIPE, [1]).theta
    assert torch.equal(still, model.init([1]))


# --- forks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_fork_equals_training_both_from_scratch(optimizer):
    task = make_task((1, 12), dtype=torch.float64)
    model = models.build("mlp-2x16", task.input_shape, task.classes)
    recipe = RECIPE.model_copy(update={"optimizer": optimizer, "lr": 0.01})
    kick = Kick(size=0.3)
    forked = train(model, task, recipe, [3], [Fork(3, 17, kick)]).theta
    # From scratch: the twin exists from the start, unkicked, and is kicked at the same step by hand.
    kicked = {}

    def wing(now):
        from butterfly.perturb import displacement

        now.theta[1] += displacement(model, now.theta[1], kick, 3, lambda random: None)
        kicked["done"] = True

    scratch = train(model, task, recipe, [3], [Fork(3, 0, Kick())], [Observer("wing", wing, frozenset({17}))]).theta
    assert kicked
    torch.testing.assert_close(forked, scratch, rtol=0, atol=1e-11)
    assert (forked[0] - forked[1]).norm() > 0.01


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *(("mlp-2x16", (1, 12)), ("mlp-2x16-norm", (1, 12)), ("cnn-3x4", (1, 12)), ("transformer-1x8", (12, 6))),
        *(("cnn-2x4", (3, 8, 8)), ("cnn-2x25", (3, 11, 7)), ("resnet8-4", (3, 8, 8)), ("resnet8-5", (3, 8, 8))),
    ],
)
@pytest.mark.parametrize("block", [1, 3, 64])
def test_an_unkicked_twin_stays_bit_identical(name, shape, block):
    task = make_task(shape)
    model = models.build(name, task.input_shape, task.classes)
    forks = [Fork(seed, step, Kick()) for seed in (3, 5) for step in (0, 11, 39)]
    run = train(model, task, RECIPE.model_copy(update={"dropout": 0.2}), [3, 5], forks, block=block)
    for row, member in enumerate(run.members):
        assert torch.equal(run.theta[row], run.theta[[3, 5].index(member.seed)])


class Narrow(type(models.build("mlp-2x16", (1, 4, 4), 3))):
    """An MLP on a device with room for three networks."""

    def gradient(self, theta, x, loss, drop=models.keep):
        if len(theta) > 3:
            raise torch.OutOfMemoryError("no room")
        return super().gradient(theta, x, loss, drop)


def test_where_memory_is_short_fewer_go_on_at_once_and_nothing_else_changes():
    task, model = noisy_task()
    forks = [Fork(seed, step, Kick(size=0.1)) for seed in (3, 5) for step in (0, 11, 39)]
    roomy = train(model, task, NOISY, [3, 5], forks, block=3).theta
    with pytest.warns(UserWarning, match="too short for 4 networks at once; 2 go on"):
        small = train(Narrow(task.input_shape, task.classes, 2, 16), task, NOISY, [3, 5], forks).theta
    torch.testing.assert_close(small, roomy, rtol=0, atol=1e-5)
    parents = train(Narrow(task.input_shape, task.classes, 2, 16), task, NOISY, [3, 5], block=1).theta
    torch.testing.assert_close(small[:2], parents, rtol=0, atol=1e-5)


def test_where_not_even_one_network_has_room_it_says_so(monkeypatch):
    task, model = noisy_task()

    def full(self, *args):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(type(model), "gradient", full)
    with pytest.raises(torch.OutOfMemoryError, match="no room"), pytest.warns(UserWarning, match="1 go on at once"):
        train(model, task, NOISY, [3, 5])


def test_members_do_not_feel_one_another(task, model):
    alone = train(model, task, RECIPE, [3]).theta[0]
    crowd = train(model, task, RECIPE, [5, 3, 8], [Fork(8, 4, Kick(size=1.0))]).theta[1]
    torch.testing.assert_close(alone, crowd, rtol=0, atol=1e-5)


def test_a_kick_before_the_end_and_at_the_end(task, model):
    run = train(model, task, RECIPE, [3], [Fork(3, 40, Kick(size=0.1))])
    unit = float(model.layout.scale[model.layout.select()].norm())
    assert (run.theta[1] - run.theta[0]).norm().item() == pytest.approx(0.1 * unit, rel=1e-5)


# --- forks whose noise is their own ----------------------------------------------------------------------------------

NOISES = ("order", "within", "augment", "dropout")
NOISY = RECIPE.model_copy(update={"dropout": 0.2, "augment": Augment(flip=True, shift=1)})


def noisy_task(dtype=torch.float32):
    task = make_task((1, 4, 4), dtype=dtype)
    return task, models.build("mlp-2x16", task.input_shape, task.classes)


@pytest.mark.parametrize("unmatched", NOISES)
@pytest.mark.parametrize("since", [0, 11, 12, 39])  # an epoch has 6 steps
def test_a_twin_with_noise_of_its_own_departs_at_once_and_alone(unmatched, since):
    task, model = noisy_task()
    forks = [Fork(5, since, Kick(), unmatched), *(Fork(seed, step, Kick()) for seed in (3, 5) for step in (since, 20))]
    seen = {}
    look = Observer("look", lambda now: seen.update({now.step: now.theta.clone()}), frozenset(range(41)))
    members = train(model, task, NOISY, [3, 5], forks, [look], block=3).members
    stray = members.index(Member(5, forks[0]))
    for step, theta in seen.items():
        for row, member in enumerate(members[: len(theta)]):
            together = torch.equal(theta[row], theta[[3, 5].index(member.seed)])
            assert together == (row != stray or step <= since), (step, member)


def test_twins_with_noise_of_their_own_train_to_the_numbers_of_plain_loops():
    task, model = noisy_task(torch.float64)
    forks = [Fork(seed, step, Kick(), what) for step in (23, 4) for what in ("", *NOISES) for seed in (5, 3)]
    runs = [train(model, task, NOISY, [3, 8, 5], forks, block=block) for block in (1, 4, 64)]
    plain = [
        plain_loop(
            model, task, NOISY, one.seed, None, one.fork.unmatched if one.fork else "", one.fork and one.fork.step
        )
        for one in runs[0].members
    ]
    for run in runs:
        torch.testing.assert_close(run.theta, torch.stack(plain), rtol=0, atol=1e-11)
    apart = torch.pdist(runs[0].theta)
    assert (apart > 1e-3).sum() == len(apart) - 2 * 3  # but for twins without noise of their own: two of two seeds


@pytest.mark.parametrize("unmatched", ["dropout", "augment"])
def test_noise_that_the_recipe_lacks_cannot_be_unmatched(unmatched, task, model):
    for block in (1, 64):
        twin = train(model, task, RECIPE, [3, 5], [Fork(5, 11, Kick(), unmatched)], block=block).theta[1:]
        assert torch.equal(twin[0], twin[1])


def test_another_order_within_the_minibatches_changes_rounding_alone():
    task = make_task((1, 12), dtype=torch.float64)
    model = models.build("mlp-2x16", task.input_shape, task.classes)
    parent, twin = train(model, task, RECIPE, [3], [Fork(3, 5, Kick(), "within")]).theta
    assert 0 < (twin - parent).abs().max() < 1e-11


def test_a_twin_in_another_order_keeps_the_weights_targets_and_mask_of_its_seed():
    task = make_task((1, 12), dtype=torch.float64)
    model = models.build("mlp-2x16", task.input_shape, task.classes)
    random = generator("test-own")
    weights = torch.rand(2, 96, generator=random, dtype=torch.float64)
    targets = torch.rand(2, 96, 3, generator=random, dtype=torch.float64).softmax(2)
    of_both = replace(task, weights=weights, targets=targets)

    def loss(place):
        def of_one(logits, at):
            each = F.cross_entropy(logits, targets[place, at], reduction="none")
            return (weights[place, at] * each).sum() / weights[place, at].sum()

        return of_one

    forks = [Fork(3, 9, Kick(), "order"), Fork(7, 20, Kick(), "order")]
    twins = train(model, of_both, RECIPE, [7, 3], forks).theta[2:]
    plain = [
        plain_loop(model, task, RECIPE, 3, loss(1), "order", 9),
        plain_loop(model, task, RECIPE, 7, loss(0), "order", 20),
    ]
    torch.testing.assert_close(twins, torch.stack(plain), rtol=0, atol=1e-11)
    kept = torch.rand(2, model.layout.size, generator=random) < 0.5
    sparse = train(model, of_both, RECIPE, [7, 3], forks, mask=kept).theta
    assert not sparse[~kept[[0, 1, 1, 0]]].any()
    assert not torch.equal(sparse[1], sparse[2])


def counted(count=24):
    """Examples that say which they are: input, target and weight of number i of seed s are i, (i, s) and 100 s + i."""
    number = torch.arange(count)
    targets = torch.stack([torch.stack([number, torch.full_like(number, s)], 1) for s in range(3)])
    weights = torch.stack([100 * s + number for s in range(3)])
    x = number.view(-1, 1, 1).float()
    return Data("counted", x, number, x, number, 2, number, weights.float(), targets.float())


def test_a_branch_in_another_order_still_shows_every_example_once_an_epoch():
    batches = Minibatches(counted(), 6, Augment(), [7, 3, 5])
    before = batches.at(1)
    branch = batches.branch(1, "order")
    assert branch == 3
    orders = []
    for epoch in range(3):
        seen = [batches.at(4 * epoch + place) for place in range(4)]
        orders += [torch.cat([batch.x[row].flatten() for batch in seen]) for row in range(4)]
    for i, order in enumerate(orders):
        assert torch.equal(order.sort().values, torch.arange(24.0))
        assert not any(torch.equal(order, other) for other in orders[:i])
    assert torch.equal(batches.at(1).x[:3], before.x)


def test_targets_and_weights_of_a_branch_are_those_of_its_examples_and_seed():
    data = counted()
    batches = Minibatches(data, 6, Augment(), [7, 3, 5])
    rows = [batches.branch(row, what) for row, what in ((2, "order"), (1, "augment"), (2, "within"), (0, "order"))]
    assert rows == [3, 4, 5, 6]
    shared = Minibatches(replace(data, weights=data.weights[0], targets=None), 6, Augment(), [7, 3, 5])
    shared.branch(1, "order")
    for step in (0, 3, 4, 30):
        batch = batches.at(step)
        for row, place in enumerate([0, 1, 2, 2, 1, 2, 0]):
            number = batch.x[row].flatten()
            assert torch.equal(batch.target[row], torch.stack([number, torch.full_like(number, place)], 1))
            assert torch.equal(batch.weight[row], 100 * place + number)
        one = shared.at(step)
        assert torch.equal(one.target.float(), one.x.flatten(1))
        assert torch.equal(one.weight, one.x.flatten(1))


def test_a_branch_in_another_order_within_has_the_minibatches_of_its_seed():
    batches = Minibatches(counted(), 6, Augment(), [7, 3])
    row = batches.branch(1, "within")
    for step in (0, 1, 5):
        parent, own = (batches.at(step).x[k].flatten() for k in (1, row))
        assert torch.equal(parent.sort().values, own.sort().values)
        assert not torch.equal(parent, own)


def test_a_branch_changes_the_noise_it_names_and_no_other():
    images = make_task((1, 6, 6))
    batches = Minibatches(images, 16, Augment(flip=True, shift=2), [3, 5])
    view, order = batches.branch(1, "augment"), batches.branch(1, "order")
    both = batches.branch(order, "augment")
    for step in (0, 7):
        batch = batches.at(step)
        at = torch.stack(
            [torch.randperm(96, generator=generator("order", *key, step // 6)) for key in ((5,), (5, "own"))]
        )
        at = at[:, step % 6 * 16 :][:, :16]
        for row, which in ((1, 0), (view, 0), (order, 1), (both, 1)):
            assert torch.equal(batch.target[row], images.y[at[which]])
        again = augment(images.x[at[1]], batches.augment, generator("augment", 5, step))
        assert torch.equal(batch.x[order], again)  # another order, augmented with the same draws
        assert not torch.equal(batch.x[view], batch.x[1])
        assert not torch.equal(batch.x[both], batch.x[order])


# --- streams, dropout, augmentation ----------------------------------------------------------------------------------


def test_dropout_is_shared_in_a_family_and_differs_between_seeds(task, model):
    recipe = RECIPE.model_copy(update={"dropout": 0.5})
    same_start = model.init([3]).expand(2, -1)
    run = train(model, task, recipe, [3, 5], [Fork(3, 0, Kick())], init=same_start)
    assert torch.equal(run.theta[0], run.theta[2])
    assert not torch.equal(run.theta[0], train(model, task, RECIPE, [3], init=same_start[:1]).theta[0])


def test_masks_and_augmentation_differ_between_seeds_and_steps():
    from butterfly.train import _Dropout

    ones = torch.ones(2, 8, 50)
    masks = [_Dropout(0.5, [(3,), (5,)], step).of(torch.tensor([0, 1]))(ones) for step in (0, 1)]
    drawn = [mask[row] for mask in masks for row in (0, 1)]
    same_images = make_task((1, 6, 6))
    same_images = replace(same_images, x=same_images.x[:1].expand(96, -1, -1, -1).clone())
    batches = Minibatches(same_images, 16, Augment(flip=True, shift=2), [3, 5])
    moved = [batches.at(step).x[row] for step in (0, 1) for row in (0, 1)]
    orders = [batches.at(step).target[row] for step in (0, 1) for row in (0, 1)]
    for several in (drawn, moved, orders):
        for i, a in enumerate(several):
            assert not any(torch.equal(a, b) for b in several[:i])


def test_a_batch_kick_in_training_uses_the_minibatch_of_its_own_stream(task, model):
    from butterfly.perturb import displacement

    kick = Kick(kind="batch", size=0.5)
    twin, parent = train(model, task, RECIPE, [3], [Fork(3, 40, kick)]).theta.flip(0)

    def by_hand(random):
        at = torch.randperm(96, generator=random)[:16]
        return task.x[at], task.y[at]

    torch.testing.assert_close(twin - parent, displacement(model, parent, kick, 3, by_hand), rtol=0, atol=1e-6)


def test_dropout_keeps_the_mean_and_drops_the_rate():
    from butterfly.train import _Dropout

    ones = torch.ones(1, 200, 50)
    dropped = _Dropout(0.3, [(0,)], step=0).of(torch.tensor([0]))(ones)
    assert (dropped == 0).double().mean().item() == pytest.approx(0.3, abs=0.02)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.03)


def test_streams_are_named_and_repeatable():
    draw = lambda *key: torch.rand(4, generator=generator(*key)).tolist()  # noqa: E731
    assert draw("order", 1, 2) == draw("order", 1, 2)
    assert len({tuple(draw(name, *key)) for name in ("init", "order") for key in ((1, 2), (12,), (2, 1))}) == 6


def test_global_random_state_is_left_alone(task, model):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    train(model, task, RECIPE.model_copy(update={"dropout": 0.1}), [1], [Fork(1, 3, Kick(size=0.1))])
    assert torch.equal(before, torch.random.get_rng_state())


def test_augmentation_moves_images_as_it_says():
    image = torch.zeros(64, 1, 7, 7)
    image[:, 0, 2, 4] = 1.0
    random = lambda: generator("test-augment")  # noqa: E731
    assert torch.allclose(augment(image, Augment(), random()), image, atol=1e-6)
    flipped = augment(image, Augment(flip=True), random())
    columns = flipped[:, 0, 2].argmax(1)
    assert set(columns.tolist()) == {2, 4}
    shifted = augment(image, Augment(shift=1), random())
    places = {divmod(int(i), 7) for i in shifted.flatten(1).argmax(1)}
    assert places == {(r, c) for r in (1, 2, 3) for c in (3, 4, 5)}
    assert shifted.flatten(1).amax(1).min() > 0.999
    turned = augment(torch.rand(8, 1, 7, 7, generator=random()), Augment(rotate=30.0), random())
    assert turned.shape == (8, 1, 7, 7)


def test_rotation_turns_by_the_angle_drawn():
    line = torch.zeros(200, 1, 21, 21)
    line[:, 0, 10, :] = 1.0
    turned = augment(line, Augment(rotate=20.0), generator("test-turn"))
    rows = torch.arange(21.0) - 10
    weight = turned[:, 0]
    height = (weight * rows[:, None]).sum(1) / weight.sum(1)  # row of the line in each column
    slope = (height[:, 16] - height[:, 4]) / 12
    angles = torch.rad2deg(torch.atan(slope))
    assert angles.abs().max() < 20.5
    assert angles.abs().max() > 17
    assert angles.mean().abs() < 3


def test_augmentation_refuses_signals():
    with pytest.raises(ValueError, match="augmentation is for images"):
        augment(torch.zeros(2, 1, 40), Augment(flip=True), generator("x"))


def test_twins_share_augmentation(model):
    task = make_task((1, 4, 4))
    net = models.build("mlp-1x8", task.input_shape, task.classes)
    recipe = RECIPE.model_copy(update={"augment": Augment(flip=True, shift=1, rotate=10.0)})
    run = train(net, task, recipe, [3], [Fork(3, 0, Kick())])
    assert torch.equal(run.theta[0], run.theta[1])
    assert not torch.equal(run.theta[0], train(net, task, RECIPE, [3]).theta[0])


# --- schedules -------------------------------------------------------------------------------------------------------


def test_schedules_in_closed_form():
    triangle = Recipe(steps=100, batch_size=1, lr=2.0, warmup=0.1)
    rates = [learning_rate(triangle, k) for k in range(100)]
    assert rates[0] == pytest.approx(0.2)  # the first update already moves
    assert rates[9] == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(2.0 / 90)
    zero = triangle.model_copy(update={"first_lr_zero": True})
    assert learning_rate(zero, 0) == 0.0
    assert learning_rate(zero, 1) == pytest.approx(0.2)
    cosine = triangle.model_copy(update={"schedule": "cosine"})
    assert learning_rate(cosine, 40) == pytest.approx(1 + math.cos(math.pi / 3))
    constant = triangle.model_copy(update={"schedule": "constant", "warmup": 0.0})
    assert {learning_rate(constant, k) for k in range(100)} == {2.0}


def test_the_rate_falls_by_ten_at_a_half_and_at_three_quarters():
    recipe = Recipe(steps=110, batch_size=1, lr=2.0, warmup=1 / 11, schedule="step")
    rates = [learning_rate(recipe, k) for k in range(110)]
    assert rates[:10] == pytest.approx([0.2 * (k + 1) for k in range(10)])
    assert rates[10:60] == [2.0] * 50  # of the 100 updates after warm-up
    assert rates[60:85] == pytest.approx([0.2] * 25)
    assert rates[85:] == pytest.approx([0.02] * 25)
    plain = recipe.model_copy(update={"warmup": 0.0, "steps": 8})
    assert [learning_rate(plain, k) for k in range(8)] == pytest.approx([2.0] * 4 + [0.2] * 2 + [0.02] * 2)


def test_first_rate_of_zero_does_nothing_in_the_first_update(task, model):
    recipe = RECIPE.model_copy(update={"first_lr_zero": True})
    kept = []
    look = Observer("look", lambda now: kept.append(now.theta.clone()), frozenset({0, 1, 2}))
    train(model, task, recipe, [1], observers=[look])
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[1], kept[2])


def test_first_rate_of_zero_needs_a_warmup():
    with pytest.raises(ParameterError, match="warm-up of at least one step"):
        Recipe.read({"steps": 10, "batch_size": 1, "lr": 1.0, "warmup": 0.0, "first_lr_zero": True})


# --- observers -------------------------------------------------------------------------------------------------------


def test_observers_see_the_steps_asked_for(task, model):
    look = Observer("look", lambda now: (now.step, len(now.theta)), frozenset({0, 7, 40}))
    run = train(model, task, RECIPE, [1], [Fork(1, 7, Kick())], [look])
    assert run.recorded("look") == [(0, (0, 1)), (7, (7, 2)), (40, (40, 2))]
    assert run.members == (Member(1), Member(1, Fork(1, 7, Kick())))


@pytest.mark.parametrize(("metric", "level"), [("loss", 0.5), ("accuracy", 0.9)])
def test_crossings_are_recorded_once_a_member_and_in_time(task, model, metric, level):
    from butterfly.evaluate import evaluate

    values = {}

    def watch(now):
        loss, error = evaluate(model, now.theta, task.x, task.y)
        values[now.step] = (loss if metric == "loss" else error - 1).tolist()

    everywhere = Observer("watch", watch, frozenset(range(41)))
    crossing = Crossing("cross", lambda now, rows: rows.tolist(), metric, level, every=1)
    run = train(model, task, RECIPE, [1, 2, 3], observers=[everywhere, crossing])
    seen = {row: step for step, rows in run.recorded("cross") for row in rows}
    bound = level if metric == "loss" else -level
    expected = {
        row: min(step for step, v in values.items() if v[row] <= bound)
        for row in range(3)
        if any(v[row] <= bound for v in values.values())
    }
    assert seen == expected
    assert len(expected) == 3
    assert sum(len(rows) for _, rows in run.recorded("cross")) == 3


# --- faults of the user ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "one or more different"),
        ({"seeds": [1, 1]}, "one or more different"),
        ({"recipe": RECIPE.model_copy(update={"batch_size": 97})}, "larger than the 96"),
        ({"forks": [Fork(2, 0, Kick())]}, "seed 2, which is not trained"),
        ({"init": torch.zeros(2, 512)}, "init has shape"),
        ({"forks": [Fork(1, 41, Kick())]}, "step 41 of a run of 40"),
        ({"forks": [Fork(1, 4, Kick(), "ordr")]}, "unmatched 'ordr'; give one of order, within"),
    ],
)
def test_impossible_runs_are_refused(task, model, change, message):
    given = {"seeds": [1], "recipe": RECIPE} | change
    with pytest.raises(ValueError, match=message):
        train(model, task, **given)


def test_weights_and_targets_for_other_seeds_are_refused(task, model):
    for change in ({"weights": torch.ones(3, 96)}, {"targets": torch.ones(3, 96, 3) / 3}):
        with pytest.raises(ValueError, match="3 rows for 1 seeds"):
            train(model, replace(task, **change), RECIPE, [1])


def test_a_model_of_another_shape_is_refused(task):
    with pytest.raises(ValueError, match="expects inputs"):
        train(models.build("mlp-1x4", (1, 13), 3), task, RECIPE, [1])


def test_a_batch_of_several_generators_is_augmented_run_by_run():
    x, config = torch.rand(12, 3, 8, 6, generator=generator("test-runs")), Augment(flip=True, shift=1, rotate=10.0)
    together = augment(x, config, *(generator("test-run", k) for k in range(3)))
    apart = [augment(x[4 * k : 4 * k + 4], config, generator("test-run", k)) for k in range(3)]
    assert torch.equal(together, torch.cat(apart))


@pytest.mark.parametrize("count", [1, 5, 6, 7, 20])
@pytest.mark.parametrize("block", [1, 3, 4, 64])
def test_blocks_have_one_size_and_every_member_is_done_once(task, model, count, block):
    forks = [Fork(3, 0, Kick(size=0.1, draw=draw)) for draw in range(count - 1)]
    sizes = []
    counted = type(model)(model.input_shape, model.classes, model.depth, model.width)

    def gradient(theta, x, loss, drop):
        sizes.append(len(theta))
        return type(model).gradient(model, theta, x, loss, drop)

    object.__setattr__(counted, "gradient", gradient)
    found = train(counted, task, RECIPE.changed(steps=2), [3], forks, block=block).theta
    assert len(set(sizes)) == 1
    assert sizes[0] <= block
    torch.testing.assert_close(found, train(model, task, RECIPE.changed(steps=2), [3], forks).theta)


@pytest.mark.parametrize("family", [[2, 2, 2], [1, 2, 3], [0, 2, 1], [3], [1, 3]])
def test_members_find_the_rows_of_their_seeds(family):
    rows = torch.arange(8).view(4, 2)
    assert torch.equal(spread(rows, torch.tensor(family)), rows[family])
