"""Notebook 50: a pair of twins trained again in plain PyTorch, and claims that can come out either way."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import one_hot

from butterfly import data
from butterfly.papers.kim2023 import crosssplit
from butterfly.papers.kim2023.crosssplit import ARMS, CELL, OTHER, WHEN, WHO, Params, study
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.train import Recipe
from tests.conftest import verdicts

TINY = Params(model="mlp-1x8", steps=80, seeds=2, looks=2, warm_up=50.0)
PLAIN = Recipe(steps=9, batch_size=32, lr=0.2, momentum=0.0, schedule="constant", warmup=0.0)  # 3 epochs of 96 examples
NOISES = [("symmetric", 0.5)]
SEEDS = [3, 5]


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    course, areas = results["course"], results["areas"]
    key = ["arm", "noise", "seed", "epoch"]
    assert len(course) == 4 * 2 * 2 * 3
    assert not course.duplicated(key).any()
    assert set(course.epoch) == {0, 1, 2}
    split = course.arm.isin(("split only", "both"))
    assert course[["unseen", "decoy"]].notna().all(axis=1).equals(split)
    whole = course.drop(columns=["unseen", "decoy"]).select_dtypes("number")
    assert np.isfinite(whole).all(axis=None)
    assert len(areas) == (4 + 2) * 2 * 2 * 2  # no arm without a split has a peer's half
    assert not areas.duplicated(["arm", "noise", "seed", "who", "when"]).any()
    assert areas.area.between(0, 1).all()


def test_labels_are_mixed_after_the_warm_up_only_and_in_two_arms(results):
    course = results["course"]
    first, last = (course[course.epoch == epoch] for epoch in (0, 2))
    assert (first[["repaired", "spoiled"]] == 0).all(axis=None)
    mixed = last.arm.isin(("mixed only", "both"))
    assert (last[~mixed][["repaired", "spoiled"]] == 0).all(axis=None)
    assert (last[mixed].groupby("arm").repaired.mean() > 0).all()
    # What targets are right is what was right and was not spoiled, and what was wrong and was repaired.
    rate = 1 - course[course.arm == "plain"].groupby("noise").right.mean()
    share = last.noise.map(rate)
    whole = last[last.arm.isin(("plain", "mixed only"))].index  # halves hold a little more or less
    expected = (1 - share) * (1 - last.spoiled) + share * last.repaired
    np.testing.assert_allclose(last.right[whole], expected[whole], rtol=1e-6)


# --- noise, halves, targets ------------------------------------------------------------------------------------------


def test_symmetric_noise_moves_its_share_and_asymmetric_noise_some_classes():
    task = data.load("digits")
    label, decoy = crosssplit.mislabelled(task, "symmetric", 0.8, seed=4)
    assert int((label != task.y).sum()) == round(0.8 * len(task.y))
    other, drawn = crosssplit.mislabelled(task, "asymmetric", 0.4, seed=4)
    for true in range(10):
        own = task.y == true
        moved = other[own & (other != task.y)]
        assert len(moved) == (round(0.4 * int(own.sum())) if true in crosssplit.DIGITS else 0)
        assert set(moved.tolist()) <= {crosssplit.DIGITS.get(true)}
    for given, another in ((label, decoy), (other, drawn)):
        assert ((another != task.y) & (another != given)).all()
        # Every other class is as likely: a thousand draws from eight or nine.
        assert np.bincount(another, minlength=10).min() > 90
    again = crosssplit.mislabelled(task, "asymmetric", 0.4, seed=5)[0]
    assert (again != other).any()


def test_twins_have_the_two_halves_or_all_and_the_same_labels(task):
    twins = crosssplit.pairs(task, [("symmetric", 0.2), ("symmetric", 0.5)], SEEDS)
    assert twins.label.shape == (1, 2, 1, 2, 96)
    assert twins.own.shape == (4, 1, 2, 2, 96)
    own = twins.own[:, 0]
    for arm, split in enumerate((False, True, False, True)):
        assert bool(own[arm].all()) == (not split)
        assert bool((own[arm, 0] ^ own[arm, 1]).all()) == split
    assert own[1].sum(-1).tolist() == [[48, 48], [48, 48]]
    assert (own[1, 0, 0] != own[1, 0, 1]).any()
    assert twins.mixed.flatten().tolist() == [False, False, True, True]


def entropy(p):
    return -sum(float(q) * np.log2(float(q)) for q in p if q > 0)


def test_the_divergence_is_that_of_jensen_and_shannon():
    random = np.random.default_rng(0)
    for p in (*random.dirichlet(np.full(5, 0.5), 20), np.eye(5)[2], np.eye(5)[0]):
        label = np.eye(5)[2]
        expected = entropy((p + label) / 2) - (entropy(p) + entropy(label)) / 2
        assert float(crosssplit.divergence(torch.tensor(p[2]))) == pytest.approx(expected, abs=1e-12)


def test_mixing_keeps_a_label_that_the_peer_gives_and_yields_to_a_peer_that_is_sure_of_another():
    given, peer = torch.eye(4)[[1, 1, 1]], torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0], [0.4, 0.2, 0.2, 0.2]])
    mixed = crosssplit.mix(given, peer)
    torch.testing.assert_close(mixed[:2], peer[:2])
    torch.testing.assert_close(mixed.sum(-1), torch.ones(3))
    share = entropy([0.2, 0.6, 0.1, 0.1]) - entropy([0.4, 0.2, 0.2, 0.2]) / 2
    torch.testing.assert_close(mixed[2], (1 - share) * given[2] + share * peer[2])


# --- a pair in plain PyTorch -----------------------------------------------------------------------------------------


def followed(task, model, twins=None, warm_up=1):
    """Logits `[arms, noises, 2, S, N, C]` after every epoch."""
    twins = crosssplit.pairs(task, NOISES, SEEDS) if twins is None else twins
    return [z for *_, z in crosssplit.course(model, task, PLAIN, SEEDS, twins, warm_up)]


@pytest.mark.parametrize(("arm", "split", "mixed"), [("plain", 0, 0), ("split only", 1, 0), ("both", 1, 1)])
def test_a_pair_is_what_plain_pytorch_trains(task, model, arm, split, mixed):
    seed = SEEDS[1]
    label, _ = crosssplit.mislabelled(task, "symmetric", 0.5, seed)
    first = crosssplit.half(96, seed) if split else torch.ones(96, dtype=torch.bool)
    halves, given = (first, ~first if split else first), one_hot(label, 3).float()
    cell = ARMS.index(arm)  # of one noise
    starts = [model.init([seed + OTHER * twin])[0] for twin in (0, 1)]
    layers = [layers_of(model, theta) for theta in starts]
    for epoch in range(3):
        with torch.no_grad():
            predicted = [answers(own, task.x).softmax(1) for own in layers]
        for twin, own in enumerate(layers):
            share = crosssplit.divergence((predicted[1 - twin] * given).sum(1, keepdim=True)) * (mixed and epoch >= 1)
            target = (1 - share) * given + share * predicted[1 - twin]
            order = torch.randperm(96, generator=generator("order", seed + CELL * cell + OTHER * twin, epoch))
            for batch in order.split(32):
                some = batch[halves[twin][batch]]
                loss = -(target[some] * answers(own, task.x[some]).log_softmax(1)).sum(1).mean()
                for value, gradient in zip(own, torch.autograd.grad(loss, own), strict=True):
                    value.data -= 0.2 * gradient
    z = followed(task, model)[-1][cell, 0, :, 1]
    for twin, own in enumerate(layers):
        torch.testing.assert_close(z[twin], answers(own, task.x).detach(), rtol=1e-3, atol=1e-4)


def layers_of(model, theta):
    """Weights and biases, as leaves."""
    return [view[0].clone().requires_grad_() for view in model.layout.tensors(theta[None]).values()]


def answers(layers, x):
    h = x.flatten(1)
    for place in range(0, len(layers), 2):
        h = h @ layers[place] + layers[place + 1]
        h = h.relu() if place + 2 < len(layers) else h
    return h


def test_the_split_alone_hides_the_labels_of_the_other_half_and_mixing_does_not(task, model):
    """Other labels in the half of the second twin: the first does not notice, unless it listens to the second."""
    twins = crosssplit.pairs(task, NOISES, SEEDS)
    changed = torch.where(twins.own[1:2, :, 1:2], (twins.label + 1) % 3, twins.label)
    other = crosssplit.Twins(changed, twins.wrong, twins.decoy, twins.own, twins.mixed)
    before, after = followed(task, model)[-1], followed(task, model, other)[-1]
    same = [torch.equal(before[arm, :, 0], after[arm, :, 0]) for arm in range(4)]
    assert same == [False, True, False, False]
    assert not torch.equal(before[1, :, 1], after[1, :, 1])


# --- what is seen ----------------------------------------------------------------------------------------------------


def test_shares_are_counted_by_hand():
    # One arm, noise and seed; 6 examples of 4 classes, the first half of which is the first twin's.
    true = torch.tensor([0, 0, 1, 1, 2, 2])
    label, decoy = torch.tensor([3, 0, 2, 3, 2, 0]), torch.tensor([1, 1, 3, 2, 1, 3])
    own = torch.tensor([[True] * 3 + [False] * 3, [False] * 3 + [True] * 3])
    answer = torch.tensor([[3, 0, 1, 3, 2, 3], [0, 0, 3, 3, 0, 2]])
    aim = torch.tensor([[0, 1, 2, 1, 2, 2], [0, 0, 1, 3, 0, 2]])
    twins = crosssplit.Twins(*(v.view(1, 1, 1, 1, 6) for v in (label, label != true, decoy)),
                             own.view(1, 1, 2, 1, 6), torch.tensor(True))  # fmt: skip
    task = data.Data("made", torch.zeros(6, 1), true, torch.zeros(1, 1), true[:1], 4, torch.arange(6))
    z, targets = (one_hot(values, 4).float().view(1, 1, 2, 1, 6, 4) for values in (answer, aim))
    seen = {name: float(found.item()) for name, found in crosssplit.look(twins, task, targets, z).items()}
    # Wrong are 0, 2 of the first half and 3, 5 of the second.
    expected = {
        "memorised": 2 / 4,
        "unseen": 1 / 4,
        "decoy": 2 / 4,
        "repaired": 2 / 4,
        "spoiled": 2 / 2,
        "right": 2 / 6,
    }
    assert seen == pytest.approx(expected)


def test_areas_are_of_one_network_at_a_time(task):
    twins = crosssplit.pairs(task, NOISES, SEEDS)
    scores = torch.rand(4, 1, 2, 2, 96, generator=generator("scores"))
    found = crosssplit._areas(twins, scores, ~twins.own)
    assert np.isnan(found[[0, 2]]).all()
    each = []
    for twin in (0, 1):
        some = ~twins.own[1, 0, twin, 1]
        wrong = twins.wrong[0, 0, 0, 1][some]
        mine = scores[1, 0, twin, 1][some]
        pairs = (mine[wrong][:, None] > mine[~wrong]).double().mean()
        assert float(pairs) == pytest.approx(roc_auc_score(wrong, mine))
        each.append(float(pairs))
    assert found[1, 0, 1] == pytest.approx(np.mean(each))


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"noises": []}, "give one or more"),
        ({"noises": [["symmetric", 0.2], ["symmetric", 0.2]]}, "each once"),
        ({"noises": [["uniform", 0.2]]}, "noise uniform 0.2: give 'symmetric' or 'asymmetric'"),
        ({"noises": [["symmetric", 1.0]]}, "a share of the labels"),
        ({"setting": "mnist2d"}, "unknown setting 'mnist2d'"),
        ({"warm_up": 100.0}, "'warm_up' = 100"),
        ({"warmup": 10.0}, "did you mean 'warm_up'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"recipe": {"momentum": 0.9}}, "no momentum"),
        ({"recipe": {"schedule": "cosine"}}, "constant step"),
        ({"steps": 60}, "steps = 60: give two epochs or more"),
        ({"data_set": "mnist1d-draw-1"}, "no list of classes of mnist1d-draw-1"),
    ],
)
def test_what_cannot_go_on_where_it_stopped_is_refused_before_training(changes, reason):
    with pytest.raises(ParameterError, match=reason):
        study.shards(TINY.model_copy(update=changes))


def test_shards_hold_nothing_that_does_not_matter():
    few = study.shards(TINY.model_copy(update={"seeds_per_shard": 2}))
    many = study.shards(TINY.model_copy(update={"profile": "other", "seeds": 4, "seeds_per_shard": 2}))
    assert few == many[:1]
    assert [shard.config["seeds"] for shard in many] == [[0, 1], [2, 3]]


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

RATES = {"symmetric 20 %": 0.2, "symmetric 80 %": 0.8, "asymmetric 40 %": 0.2}


def world(
    memorised=0.99,  # of their own wrong labels, by networks of the split alone; 0.99 by plain ones
    plain_memorised=0.99,
    leak=0.0,  # of symmetric labels, by the split alone
    peer_leak=0.0,  # the same where labels are mixed
    asymmetric=0.35,  # wrong labels predicted unseen
    repaired=(0.9, 0.7),  # at a rate up to a half, above
    spoiled=0.05,
    without_split=0.4,  # repaired where the peer saw the labels
    pair=(0.6, 0.65, 0.7, 0.8),  # by arm
    best=0.72,  # plain, at its best
    area=(0.8, 0.85, 0.9, 0.9),  # of plain; split only on its own, of the peer; both
    deceived=0.75,  # the third of these under asymmetric noise
):
    """Eight seeds under three noises, at two looks."""
    random = np.random.default_rng(0)
    course, areas = [], []

    def near(value):
        return value + 0.005 * random.normal()

    for seed in range(8):
        for noise, rate in RATES.items():
            chance = 0.0 if noise.startswith("asym") else 0.05
            fixed = repaired[0] if rate < 0.5 else repaired[1]
            for arm, tested in zip(ARMS, pair, strict=True):
                own = {"plain": plain_memorised, "split only": memorised}.get(arm, 0.1)
                mended = {"mixed only": without_split, "both": fixed}.get(arm, 0.0)
                harmed = spoiled if arm == "both" else 0.0
                more = asymmetric if chance == 0 else leak if arm == "split only" else peer_leak
                seen = dict(memorised=near(own), unseen=near(chance + more), decoy=near(chance), repaired=near(mended))
                seen |= dict(spoiled=harmed, right=near((1 - rate) * (1 - harmed) + rate * mended))
                key = {"arm": arm, "noise": noise, "seed": seed}
                course.append(key | seen | {"epoch": 5, "pair": near(best if arm == "plain" else 0.5), "single": 0.5})
                course.append(key | seen | {"epoch": 10, "pair": near(tested), "single": 0.5})
            held = deceived if chance == 0 else area[2]
            cells = [("plain", WHO[0], WHEN, area[0]), ("split only", WHO[0], WHEN, area[1])]
            cells += [("split only", WHO[1], WHEN[:1], held), ("split only", WHO[1], WHEN[1:], area[2])]
            cells += [("both", WHO[1], WHEN, area[3])]
            areas += [(arm, noise, seed, who, when, near(value)) for arm, who, whens, value in cells for when in whens]
    columns = ["arm", "noise", "seed", "who", "when", "area"]
    return {"course": pd.DataFrame(course), "areas": pd.DataFrame(areas, columns=columns)}


CLAIMS = ["CS01", "CS01b", "CS01c", "CS01d", "CS02", "CS02b", "CS02c", "CS02d"]
CLAIMS += ["CS03", "CS03b", "CS03c", "CS03d", "CS03e", "CS04", "CS04b", "CS04c", "CS04d"]


def judge(**changes):
    return verdicts(study.judge(Params(), world(**changes)))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge() == dict.fromkeys(CLAIMS, "supported")


@pytest.mark.parametrize(
    ("id", "change", "related"),
    [
        ("CS01", {"memorised": 0.3}, ()),
        ("CS01b", {"leak": 0.1}, ()),
        ("CS01c", {"peer_leak": 0.1}, ()),
        ("CS01d", {"asymmetric": 0.0}, ()),
        ("CS02", {"repaired": (0.45, 0.7)}, ()),
        ("CS02b", {"repaired": (0.9, 0.45)}, ()),
        ("CS02c", {"spoiled": 0.4}, ()),
        ("CS02d", {"without_split": 0.95}, ()),
        ("CS03", {"pair": (0.85, 0.65, 0.7, 0.8), "best": 0.7}, ("CS03d", "CS03e")),
        ("CS03b", {"pair": (0.6, 0.85, 0.7, 0.8)}, ()),
        ("CS03c", {"pair": (0.6, 0.65, 0.85, 0.8)}, ()),
        ("CS03d", {"pair": (0.6, 0.55, 0.7, 0.8)}, ()),
        ("CS03e", {"best": 0.9}, ()),
        ("CS04", {"area": (0.8, 0.95, 0.9, 0.9)}, ()),
        ("CS04b", {"area": (0.87, 0.8, 0.83, 0.9)}, ()),
        ("CS04c", {"deceived": 0.85}, ()),
        ("CS04d", {"area": (0.8, 0.85, 0.9, 0.75)}, ()),
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change, related):
    found = judge(**change)
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} <= {id, *related}


def test_one_noise_that_goes_the_other_way_is_not_averaged_away():
    tables = world()
    course = tables["course"]
    course.loc[(course.arm == "both") & (course.noise == "symmetric 80 %"), "pair"] -= 0.3
    found = verdicts(study.judge(Params(), tables))
    assert [found[id] for id in ("CS03", "CS03b", "CS03c", "CS03e")] == ["contradicted"] * 4


def test_estimates_are_what_was_planted():
    claims = study.judge(Params(), world())
    found = {c.id: c.estimate for c in claims}
    planted = {"CS01": 0.94, "CS01b": 0.0, "CS01d": 0.35, "CS02": 0.9, "CS02b": 0.7, "CS02c": 0.14, "CS02d": 0.3}
    planted |= {"CS03": 0.2, "CS03b": 0.15, "CS03c": 0.1, "CS03d": 0.05, "CS03e": 0.08, "CS04": 0.05, "CS04b": 0.1}
    assert {id: found[id] for id in planted} == pytest.approx(planted, abs=0.01)
    assert {c.n for c in claims} == {8}


def test_claims_are_void_where_nothing_was_memorised_or_a_pair_diverged():
    assert set(judge(plain_memorised=0.3).values()) == {"inconclusive"}
    tables = world()
    tables["course"].loc[4, "pair"] = np.nan
    lost = study.judge(Params(), tables)
    assert {c.verdict for c in lost} == {"supported"}  # a look in between does not matter
    tables["course"].loc[5, "pair"] = np.nan
    assert {c.verdict for c in study.judge(Params(), tables)} == {"inconclusive"}


def test_without_a_rate_there_is_no_verdict():
    tables = {name: table[table.noise == "symmetric 20 %"] for name, table in world().items()}
    found = verdicts(study.judge(Params(), tables))
    assert (found["CS02b"], found["CS01d"]) == ("inconclusive", "inconclusive")
    assert found["CS02"] == "supported"
