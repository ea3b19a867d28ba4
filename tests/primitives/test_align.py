"""Alignment against planted answers, brute force, and the law that a permuted network is the same function."""

import math
from itertools import combinations, permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from butterfly import align, models
from butterfly.interpolate import barriers
from butterfly.streams import generator
from butterfly.train import Recipe, train
from tests.conftest import Largest, make_task

MODELS = [
    ("mlp-3x16", (1, 20)),
    ("mlp-3x16-norm", (1, 20)),
    ("cnn-3x9", (1, 20)),
    ("resnet8-4", (3, 8, 8)),
    ("resnet14-4", (3, 8, 8)),
    ("transformer-2x16", (12, 6)),
]


def networks(name, shape, count=3):
    """Untrained networks with every entry, biases and norms too, moved off its start."""
    model = models.build(name, shape, 5)
    noise = 0.1 * torch.randn(count, model.layout.count, generator=generator("noise"))
    theta = model.init(list(range(count)))
    theta[:, : model.layout.count] += noise
    return model, theta


def planted(layout, count, name="plant"):
    return align.shuffled(layout, [generator(name, row) for row in range(count)])


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[layer], other[layer]) for layer in one)


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_a_permuted_network_is_the_same_function(name, shape):
    model, theta = networks(name, shape)
    moved = align.permute(model.layout, theta, planted(model.layout, 3))
    assert not torch.allclose(moved, theta, atol=1e-3)
    x = torch.randn(8, *shape, generator=generator("x"))
    torch.testing.assert_close(model.logits(moved, x), model.logits(theta, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_every_axis_that_can_be_permuted_is_declared(name, shape):
    """Permuting one layer alone keeps the function, and moves that hidden layer's units by the same permutation."""
    model, theta = networks(name, shape)
    x = torch.randn(8, *shape, generator=generator("x"))
    before = model.features(theta, x)
    for layer in model.layout.groups:
        one = align.identity(model.layout, 3) | {layer: planted(model.layout, 3)[layer]}
        after = model.features(align.permute(model.layout, theta, one), x)
        torch.testing.assert_close(after["logits"], before["logits"], rtol=1e-4, atol=1e-4)
        expected = torch.stack([h[:, p] for h, p in zip(before[layer], one[layer], strict=True)])
        torch.testing.assert_close(after[layer], expected, rtol=1e-4, atol=1e-4)


def test_permuting_makes_nothing_larger_than_the_networks():
    model, theta = networks("mlp-3x16", (1, 20))
    plant = planted(model.layout, 3)
    with Largest() as largest:
        align.permute(model.layout, theta, plant)
    assert largest.bytes == theta.nbytes


def test_a_residual_stream_has_one_permutation():
    groups = models.build("resnet20-16", (3, 32, 32), 10).layout.groups
    streams = {layer: units for layer, units in groups.items() if not layer.endswith("inner")}
    assert streams == {"stage0.block2": 16, "stage1.block2": 32, "stage2.block2": 64}
    assert len(groups) == 12
    groups = models.build("transformer-3x16", (12, 6), 10).layout.groups
    assert groups == {"block2": 16} | {f"block{k}.inner": 64 for k in range(3)}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_permutations_form_a_group(seed):
    model, theta = networks("cnn-3x9", (1, 20))
    one, two = planted(model.layout, 3, f"one{seed}"), planted(model.layout, 3, f"two{seed}")
    layout = model.layout
    moved = align.permute(layout, theta, one)
    assert torch.equal(align.permute(layout, moved, align.inverse(one)), theta)
    assert torch.equal(align.permute(layout, moved, two), align.permute(layout, theta, align.compose(one, two)))
    assert same(align.compose(one, align.inverse(one)), align.identity(layout, 3))


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_planted_permutations_are_recovered(name, shape):
    model, theta = networks(name, shape)
    plant = planted(model.layout, 3)
    hidden = align.permute(model.layout, theta, plant)
    # With residual streams and random weights coordinate ascent may stop early: the best of several starts is taken.
    found = align.weight_matching(model.layout, theta, hidden, restarts=4)
    assert same(found.permutation, align.inverse(plant))
    assert torch.equal(align.permute(model.layout, hidden, found.permutation), theta)
    torch.testing.assert_close(found.objective, theta.double().square().sum(1))
    assert (found.sweeps > 1).all()


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_activation_matching_recovers_planted_permutations(name, shape):
    model, theta = networks(name, shape)
    plant = planted(model.layout, 3)
    x = torch.randn(300, *shape, generator=generator("x"))
    found = align.activation_matching(model, theta, align.permute(model.layout, theta, plant), x)
    features = model.features(theta, x)
    for layer, undo in align.inverse(plant).items():
        alive = features[layer].transpose(1, 2).flatten(2).std(2) > 0  # which units vary at all
        assert alive.double().mean() > 0.8
        assert torch.equal(found[layer][alive], undo[alive])


def test_units_that_never_vary_stay_where_they_are():
    model, theta = networks("mlp-2x16", (1, 6), count=1)
    model.layout.tensors(theta)["linear0.bias"][:, 4:9] = -1e3  # dead
    found = align.activation_matching(model, theta, theta.clone(), torch.randn(50, 1, 6, generator=generator("x")))
    assert same(found, align.identity(model.layout, 1))


def test_small_variations_about_a_large_mean_keep_their_correlations_and_constant_units_have_none():
    h = 1e6 + 0.01 * torch.randn(1, 400, 4, generator=generator("h"), dtype=torch.float64)
    h[..., 0] = 0.1  # not a number of base two
    moments = align._Moments.zeros(1, 4)
    for some in h.split(150, dim=1):
        moments.add(some, some)
    expected = torch.zeros(4, 4, dtype=torch.float64)
    expected[1:, 1:] = torch.corrcoef(h[0, :, 1:].T)
    torch.testing.assert_close(moments.correlation()[0], expected, rtol=0, atol=1e-6)


def test_two_narrow_layers_against_brute_force():
    """Against all 24 x 24 permutations: each found one is a local optimum, and with restarts mostly the global one."""
    model, theta = networks("mlp-2x4", (1, 6), count=12)
    a, b = theta[:6], theta[6:]
    orders = torch.tensor(list(permutations(range(4))))
    first, second = orders.repeat_interleave(24, 0), orders.repeat(24, 1)
    found = align.weight_matching(model.layout, a, b, restarts=8)
    optimal = 0
    for row in range(6):
        every = align.permute(model.layout, b[row].repeat(576, 1), {"hidden0": first, "hidden1": second})
        objectives = (every.double() @ a[row].double()).view(24, 24)
        i, j = ((orders == found.permutation[f"hidden{k}"][row]).all(1).nonzero().item() for k in (0, 1))
        torch.testing.assert_close(objectives[i, j], found.objective[row])
        assert objectives[i, j] >= max(objectives[i].max(), objectives[:, j].max()) - 1e-9
        optimal += bool(objectives[i, j] >= objectives.max() - 1e-9)
    assert optimal >= 4


def test_one_hidden_layer_needs_one_sweep():
    model, theta = networks("mlp-1x12", (1, 6), count=2)
    assert align.weight_matching(model.layout, theta[:1], theta[1:]).sweeps.tolist() == [1]


def test_restarts_never_lose_and_pairs_do_not_disturb_each_other():
    model, theta = networks("mlp-3x16", (1, 20), count=8)
    a, b = theta[:4], theta[4:]
    once = align.weight_matching(model.layout, a, b)
    best = align.weight_matching(model.layout, a, b, restarts=5)
    assert (best.objective >= once.objective).all()
    assert (best.objective > once.objective).any()
    alone = [align.weight_matching(model.layout, a[k, None], b[k, None]) for k in range(4)]
    for layer, index in once.permutation.items():
        assert torch.equal(index, torch.cat([one.permutation[layer] for one in alone]))
    before = (a.double() * b.double()).sum(1)
    assert (once.objective > before).all()


def test_restarts_find_more_in_a_network_of_two_layers():
    """From the identity alone there is hardly anything to vary there: which of two layers comes first."""
    model, theta = networks("mlp-2x16", (1, 20), count=20)
    a, b = theta[:10], theta[10:]
    once = align.weight_matching(model.layout, a, b)
    found = align.weight_matching(model.layout, a, b, restarts=10)
    assert (found.objective > once.objective + 1e-6).sum() >= 8
    moved = align.permute(model.layout, b, found.permutation)
    torch.testing.assert_close((a.double() * moved.double()).sum(1), found.objective)


def test_a_destroyed_network_is_left_as_it_is():
    model, theta = networks("mlp-2x16", (1, 20), count=4)
    theta[3, 5] = torch.nan
    found = align.weight_matching(model.layout, theta[:2], theta[2:], restarts=2)
    assert found.objective.isfinite().tolist() == [True, False]
    assert align.fixed_points(found.permutation)["hidden0"][1] == 1
    with pytest.raises(ValueError, match="at least one start"):
        align.weight_matching(model.layout, theta, theta, restarts=0)


def test_fixed_points_count_units():
    p = {"hidden0": torch.tensor([[0, 1, 2, 3], [1, 0, 2, 3]]), "hidden1": torch.tensor([[2, 0, 1], [0, 1, 2]])}
    assert align.fixed_points(p)["hidden0"].tolist() == [1.0, 0.5]
    assert align.fixed_points(p, p)["hidden1"].tolist() == [1.0, 1.0]


def test_alignment_lowers_the_barrier_of_trained_networks_and_common_permutations_do_not_change_it():
    task = make_task((1, 12))
    model = models.build("mlp-2x32", task.input_shape, task.classes)
    theta = train(model, task, Recipe(steps=200, batch_size=16, lr=0.1), [0, 1, 2, 3]).theta
    a, b = theta[:2], theta[2:]

    def barrier(one, other):
        return barriers(model, one, other, task.x, task.y).of_loss

    plain = barrier(a, b)
    matched = align.permute(model.layout, b, align.weight_matching(model.layout, a, b).permutation)
    active = align.permute(model.layout, b, align.activation_matching(model, a, b, task.x))
    assert (barrier(a, matched) < 0.5 * plain).all()
    assert (barrier(a, active) < 0.5 * plain).all()
    common = planted(model.layout, 2)
    moved = barrier(align.permute(model.layout, a, common), align.permute(model.layout, b, common))
    torch.testing.assert_close(moved, plain, rtol=1e-4, atol=1e-5)


# --- joint matching --------------------------------------------------------------------------------------------------


def family(name, shape, sets, count):
    """Unrelated networks `[sets, count, P]`."""
    model, theta = networks(name, shape, sets * count)
    return model, theta.view(sets, count, -1)


def rearranged(layout, sets, permutations):
    """Every network of every set in its new order."""
    return torch.stack([align.permute(layout, sets[:, k], p) for k, p in enumerate(permutations)], 1)


def pair_sum(sets):
    """Sum of inner products over all pairs of networks of each set, pair by pair."""
    pairs = list(combinations(range(sets.shape[1]), 2))
    return sum((sets[:, i].double() * sets[:, j].double()).sum(1) for i, j in pairs)


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_permuted_copies_are_brought_together(name, shape):
    model, theta = networks(name, shape)
    plants = [planted(model.layout, 3, f"plant{k}") for k in range(4)]
    sets = rearranged(model.layout, torch.stack([theta] * 4, 1), plants)
    assert not torch.allclose(sets[:, 0], sets[:, 1], atol=1e-3)
    found, objective = align.joint_matching(model.layout, sets, restarts=3)
    together = rearranged(model.layout, sets, found)
    for k in range(4):
        assert torch.equal(together[:, k], together[:, 0])
        # So each undoes its plant, up to an order that all have in common.
        common = align.compose(plants[0], found[0])
        assert same(align.compose(plants[k], found[k]), common)
    torch.testing.assert_close(objective, 6 * theta.double().square().sum(1))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 5), restarts=st.integers(1, 3))
def test_the_joint_objective_is_the_sum_over_pairs_and_no_less_than_before(seed, count, restarts):
    model = models.build("mlp-2x8", (1, 6), 3)
    sets = model.init(list(range(seed, seed + 2 * count))).view(2, count, -1)
    found, objective = align.joint_matching(model.layout, sets, restarts)
    torch.testing.assert_close(objective, pair_sum(rearranged(model.layout, sets, found)))
    assert (objective >= pair_sum(sets) - 1e-9).all()


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_jointly_matched_networks_are_closer_and_keep_their_functions(name, shape):
    model, sets = family(name, shape, 2, 3)
    before = sets.clone()
    found, objective = align.joint_matching(model.layout, sets)
    assert torch.equal(sets, before)
    for permutation in found:
        for layer, units in model.layout.groups.items():
            assert torch.equal(permutation[layer].sort(1).values, torch.arange(units).expand(2, -1))
    moved = rearranged(model.layout, sets, found)
    assert (objective > pair_sum(sets)).all()
    x = torch.randn(8, *shape, generator=generator("x"))
    was, now = (model.logits(some.flatten(0, 1), x) for some in (sets, moved))
    torch.testing.assert_close(now, was, rtol=1e-4, atol=1e-4)


def test_no_network_can_be_matched_better_to_the_others():
    model, sets = family("mlp-3x16", (1, 20), 2, 4)
    moved = rearranged(model.layout, sets, align.joint_matching(model.layout, sets)[0]).double()
    for k in range(4):
        again = align.weight_matching(model.layout, moved.sum(1) - moved[:, k], moved[:, k])
        assert same(again.permutation, align.identity(model.layout, 2))


def test_restarts_never_lower_the_joint_objective():
    model, sets = family("mlp-3x16", (1, 20), 3, 3)
    objectives = torch.stack([align.joint_matching(model.layout, sets, restarts)[1] for restarts in range(1, 6)])
    assert (objectives.diff(dim=0) >= 0).all()
    assert (objectives[-1] > objectives[0]).any()
    found, objective = align.joint_matching(model.layout, sets, 5)
    torch.testing.assert_close(objective, pair_sum(rearranged(model.layout, sets, found)))


def test_sets_do_not_disturb_each_other():
    """Not even one that needs nothing, or one with a destroyed network."""
    model, sets = family("mlp-3x16", (1, 20), 4, 3)
    sets[2] = sets[2, :1].clone()
    sets[3, 1, 5] = torch.nan
    found, objective = align.joint_matching(model.layout, sets, restarts=3)
    for row in range(3):
        alone, value = align.joint_matching(model.layout, sets[row, None], restarts=3)
        torch.testing.assert_close(value, objective[row, None])
        for permutation, own in zip(found, alone, strict=True):
            assert all(torch.equal(permutation[layer][row], index[0]) for layer, index in own.items())
    for permutation in found:
        assert all((share[2:] == 1).all() for share in align.fixed_points(permutation).values())
    assert objective.isfinite().tolist() == [True, True, True, False]


def test_three_narrow_networks_against_brute_force():
    """Against all 24 x 24 orders of two of them, the first held: never more than the best, and mostly the best."""
    model, sets = family("mlp-1x4", (1, 6), 6, 3)
    orders = torch.tensor(list(permutations(range(4))))
    _, objective = align.joint_matching(model.layout, sets, restarts=8)
    optimal = 0
    for networks_of_one, value in zip(sets.double(), objective, strict=True):
        first, second, third = networks_of_one
        second, third = (
            align.permute(model.layout, one.expand(24, -1), {"hidden0": orders}) for one in (second, third)
        )
        best = float(((second @ first)[:, None] + (third @ first)[None, :] + second @ third.T).max())
        assert value <= best + 1e-9
        optimal += bool(value >= best - 1e-9)
    assert optimal >= 4


def test_two_networks_are_matched_jointly_as_well_as_one_to_the_other():
    """With one hidden layer the best order is a linear assignment, so both find the same objective."""
    model, sets = family("mlp-1x12", (1, 6), 3, 2)
    one = align.weight_matching(model.layout, sets[:, 0], sets[:, 1])
    torch.testing.assert_close(align.joint_matching(model.layout, sets)[1], one.objective)


# --- looseness -------------------------------------------------------------------------------------------------------


def test_units_that_are_alike_are_loose_and_units_at_right_angles_are_not():
    model = models.build("mlp-1x4", (1, 4), 4)
    theta = torch.zeros(2, model.layout.size, dtype=torch.float64)
    into = model.layout.tensors(theta)["linear0.weight"]
    into[0] = 1.0  # all units the same
    into[1] = 7.0 * torch.eye(4)
    same, apart = align.looseness(model.layout, theta)
    assert same.item() == pytest.approx(1.0)
    # By hand: each row of the plan has e^10 / (e^10 + 3) at its own place and the rest elsewhere.
    own, other = (math.exp(v) / (math.exp(10) + 3) for v in (10, 0))
    assert apart.item() == pytest.approx(-(own * math.log(own) + 3 * other * math.log(other)) / math.log(4))


def test_looseness_is_that_of_the_soft_permutation():
    """A plain Sinkhorn on one layer, and no change under a permutation or a change of scale."""
    model = models.build("mlp-1x6", (1, 5), 3)
    theta = model.init([1, 2]).double()
    (found, _) = align.looseness(model.layout, theta, temperature=0.3)
    p = model.layout.tensors(theta[:1])
    units = torch.cat([p["linear0.weight"][0].T, p["linear0.bias"][0][:, None], p["linear1.weight"][0]], 1)
    units = units / units.norm(dim=1, keepdim=True)
    plan = (units @ units.T / 0.3).exp()
    for _ in range(500):
        plan = plan / plan.sum(0)
        plan = plan / plan.sum(1, keepdim=True)
    assert torch.allclose(plan.sum(0), torch.ones(6, dtype=torch.float64))
    joint = plan / 6
    excess = -(joint * joint.log()).sum() - math.log(6)  # beyond the entropy of the identity, with 1 / n at n places
    assert found.item() == pytest.approx(float(excess / math.log(6)))
    moved = align.permute(model.layout, 3.0 * theta, align.shuffled(model.layout, [generator("a"), generator("b")]))
    torch.testing.assert_close(
        align.looseness(model.layout, moved, temperature=0.3), align.looseness(model.layout, theta, temperature=0.3)
    )
