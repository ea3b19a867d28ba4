"""Notebook 51: twins and networks trained again in plain PyTorch, and claims that can come out either way."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from butterfly import data, models
from butterfly.data.coloured import coloured
from butterfly.papers.pezeshki2023.environments import (
    ADOPT,
    APART,
    ASKED,
    DRAWN,
    FOUND,
    KNOWN,
    MAIN,
    NOISY,
    OWN,
    PALER,
    PLAIN,
    SHUFFLED,
    TIMES,
    TRAINING,
    UNDECIDED,
    VALIDATION,
    Params,
    by_group,
    mistakes,
    pale,
    percent,
    rank_correlation,
    shuffled,
    study,
)
from butterfly.papers.pezeshki2023.twins import OTHER, flip_chance, halves, minibatches, train_for_worst, train_twins
from butterfly.papers.pezeshki2023.worlds import COLOUR, SHAPE, draw, tinted
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.train import Recipe, train
from tests.conftest import verdicts

TINY = Params(
    steps=20,
    seeds=2,
    seeds_per_shard=2,
    other_seeds=2,
    other_seeds_per_shard=2,
    rates=(0.3,),
    tints=(0.03,),
    lrs=(1e-3, 1e-2),
    decays=(0.0,),
)
RECIPE = Recipe(steps=25, batch_size=20, lr=0.01, optimizer="adam", schedule="constant", warmup=0.0, weight_decay=0.01)
WORLD = {"breaking": 0.2, "moved": 0.0, "tint": 1.0, "asked": SHAPE}


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


@pytest.fixture(scope="module")
def part():
    """60 training images of seeds 3 and 5, labels and exceptions."""
    return draw(data.load("digits"), WORLD, [3, 5], 1237)["train"]


@pytest.fixture(scope="module")
def model():
    return models.build("mlp-1x16", (2, 8, 8), 2)


def network(model, seed):
    """The network of a seed as `torch.nn` has it, and its Adam."""
    start = {name: view[0] for name, view in model.layout.tensors(model.init([seed])).items()}
    own = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    for layer, k in ((own[1], 0), (own[3], 1)):
        layer.weight.data, layer.bias.data = start[f"linear{k}.weight"].T.clone(), start[f"linear{k}.bias"].clone()
    return own, torch.optim.Adam(own.parameters(), lr=RECIPE.lr, weight_decay=RECIPE.weight_decay)


# --- twins -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arm", "adopts"), [(0, True), (1, False)])
def test_twins_are_two_networks_of_plain_pytorch_that_change_labels(part, model, arm, adopts):
    found = train_twins(model, part.x, part.y, RECIPE, [3, 5], [True, False], {0, 25})
    assert torch.equal(found[0][1], part.y.expand(2, 2, 60))
    assert torch.equal(found[0][0][arm, 1, 1], model.init([5 + OTHER])[0])
    x, labels, row, seed = part.x[1], part.y[1].clone(), 1, 5
    first, coins = halves([seed], 60)[0], generator("flips", seed)
    twins = [network(model, seed), network(model, seed + OTHER)]
    for places in minibatches([seed], 60, RECIPE):
        at, now = places[0], labels[places[0]].clone()
        said = [twin(x[at]) for twin, _ in twins]
        for k, (_, optimizer) in enumerate(twins):
            mine = first[at] if k == 0 else ~first[at]
            optimizer.zero_grad()
            functional.cross_entropy(said[k][mine], now[mine]).backward()
            optimizer.step()
        coin = torch.rand(20, generator=coins)
        for j, example in enumerate(at):
            p = said[1 if first[example] else 0][j].softmax(0)  # by the twin that does not learn it
            if adopts and coin[j] < 2 * p.max() - 1:
                labels[example] = p.argmax()
    assert torch.equal(found[25][1][arm, row], labels)
    assert (labels != part.y[1]).any() == adopts
    for k, (twin, _) in enumerate(twins):
        weight = model.layout.tensors(found[25][0][arm, k, row : row + 1])["linear0.weight"][0]
        torch.testing.assert_close(weight, twin[1].weight.T, rtol=1e-3, atol=1e-4)


def test_the_undecided_start_without_opinion_and_learn(part, model):
    found = train_twins(model, part.x, part.y, RECIPE, [3, 5], [True], {0, 1, 25}, undecided=True)
    logits = [
        torch.stack([model.logits(theta[0, :, row], part.x[row]) for row in (0, 1)]) for theta, _ in found.values()
    ]
    assert (logits[0] == 0).all()
    assert torch.equal(found[1][1][0], part.y)  # nothing is flipped by a guess
    assert logits[2].abs().mean() > 0.1


def test_guesses_flip_nothing_and_certainty_all():
    assert flip_chance(torch.tensor([0.5, 0.75, 1.0]), 2).tolist() == [0.0, 0.5, 1.0]
    torch.testing.assert_close(flip_chance(torch.tensor([0.1, 1.0]), 10), torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)


def test_halves_are_tosses_of_a_coin_and_follow_the_seed():
    found = halves([0, 1], 4000)
    assert torch.equal(found[1], halves([1], 4000)[0])
    assert (found.float().mean(1) - 0.5).abs().max() < 0.04
    assert abs((found[0] == found[1]).float().mean() - 0.5) < 0.04


def test_minibatches_hold_every_example_once_an_epoch():
    found = torch.stack(list(minibatches([0, 7], 50, RECIPE)))
    assert found.shape == (25, 2, 20)
    for epoch in found[:24].view(12, 2, 2, 20).transpose(1, 2).flatten(2)[:, 1]:
        assert len(epoch.unique()) == 40  # the last ten of each order are left out
    assert not torch.equal(found[0, 0], found[0, 1])


# --- training for the worst group ------------------------------------------------------------------------------------


def test_one_group_is_plain_training(model):
    """With the same images for all seeds, as `train` has them, and no groups."""
    task, _ = coloured(data.load("digits"), 0.8, 0)
    task, seeds = task.subset(torch.arange(60)), [0, 1]
    x, y = task.x.expand(2, *task.x.shape), task.y.expand(2, 60)
    found = train_for_worst(model, x, y, torch.zeros(1, 2, 60, dtype=torch.long), RECIPE, seeds, {25}, 0.1)
    torch.testing.assert_close(found[25][0], train(model, task, RECIPE, seeds).theta, rtol=1e-4, atol=1e-5)


def test_the_worst_group_gains_weight_as_in_plain_pytorch(part, model):
    found = train_for_worst(model, part.x, part.y, part.groups[None], RECIPE, [3, 5], {10, 25}, 0.5)
    own, optimizer = network(model, 5)
    weight = torch.full((4,), 0.25)
    for places in minibatches([5], 60, RECIPE):
        at, optimizer_loss = places[0], torch.zeros(4)
        each = functional.cross_entropy(own(part.x[1][at]), part.y[1][at], reduction="none")
        losses = [each[part.groups[1][at] == g] for g in range(4)]
        losses = torch.stack([group.mean() if len(group) else optimizer_loss[g] for g, group in enumerate(losses)])
        weight = weight * torch.exp(0.5 * losses.detach())
        weight = weight / weight.sum()
        optimizer.zero_grad()
        (weight * losses).sum().backward()
        optimizer.step()
    last = model.layout.tensors(found[25][0, 1:2])["linear0.weight"][0]
    torch.testing.assert_close(last, own[1].weight.T, rtol=1e-3, atol=1e-4)
    assert not torch.equal(found[10], found[25])


def test_groups_without_images_have_no_weight(part, model):
    """Numbers of groups that nobody is in change nothing."""
    some = (2 * part.y)[None]
    one, other = (train_for_worst(model, part.x, part.y, g, RECIPE, [3, 5], {25}, 0.1)[25] for g in (some, some // 2))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# --- worlds ----------------------------------------------------------------------------------------------------------


def test_worlds_have_the_shares_they_say():
    task = data.load("digits")
    parts = draw(task, WORLD | {"breaking": 0.1}, [0, 1], 297)
    assert {name: own.x.shape[:2] for name, own in parts.items()} == {
        "train": (2, 1000), "validation": (2, 297), "test": (2, 500)}  # fmt: skip
    for row in (0, 1):
        breaks = torch.cat([parts["train"].breaks[row], parts["validation"].breaks[row]])
        assert breaks.sum() == 130
        assert parts["test"].breaks[row].sum() == 250
    assert not torch.equal(parts["train"].x[0], parts["train"].x[1])
    assert not torch.equal(parts["train"].breaks[0], parts["train"].breaks[1])


@pytest.mark.parametrize("asked", [SHAPE, COLOUR])
def test_the_cue_that_is_asked_gives_the_label_and_the_other_misleads_where_it_breaks(asked):
    part = draw(data.load("digits"), WORLD | {"asked": asked}, [4], 297)["train"]
    ink = part.x[0].flatten(2).sum(2)
    colour = ink.argmax(1)
    assert torch.equal(colour != part.y[0], part.breaks[0]) == (asked == SHAPE)
    assert torch.equal(colour, part.y[0]) == (asked == COLOUR)
    assert set(part.groups[0][part.breaks[0]].tolist()) == {1, 3}


def test_pale_colours_keep_the_picture_and_lose_the_difference():
    x = torch.randn(5, 2, 4, 4)
    torch.testing.assert_close(tinted(x, 1.0), x)
    half = tinted(x, 0.5)
    torch.testing.assert_close(half.mean(1), x.mean(1))
    torch.testing.assert_close(half[:, 0] - half[:, 1], (x[:, 0] - x[:, 1]) / 2)
    assert torch.equal(tinted(x, 0.0)[:, 0], tinted(x, 0.0)[:, 1])


# --- what is counted -------------------------------------------------------------------------------------------------


def test_mistakes_are_those_of_each_seed_on_its_own_images(part, model):
    theta = torch.stack([model.init([0, 1]), model.init([2, 3])])  # [2, S, P]
    found = mistakes(model, theta, part)
    assert found.shape == (2, 2, 60)
    for arm, row in np.ndindex(2, 2):
        said = model.logits(theta[arm, row][None], part.x[row])[0].argmax(1)
        assert torch.equal(found[arm, row], said != part.y[row])


def test_shares_by_group():
    right = torch.tensor([[[True, False, True, True]]])
    found = by_group(right, torch.tensor([[0, 0, 1, 3]]))[0, 0]
    torch.testing.assert_close(found, torch.tensor([0.5, 1.0, torch.nan, 1.0], dtype=torch.float64), equal_nan=True)


def test_drawn_groups_have_the_sizes_of_found_ones():
    random = generator("test-shuffled")
    y, found = torch.randint(2, (2, 500), generator=random), torch.rand(2, 500, generator=random) < 0.2
    drawn = shuffled(found, y, [0, 1])
    for label in (0, 1):
        assert torch.equal((drawn & (y == label)).sum(1), (found & (y == label)).sum(1))
    assert (drawn & found).sum() < 0.5 * found.sum()


def test_what_does_not_vary_orders_nothing():
    assert rank_correlation(pd.Series([1.0, 2.0, 3.0]), pd.Series([2.0, 2.0, 2.0])) == 0
    assert rank_correlation(pd.Series([1.0, 2.0, 3.0]), pd.Series([1.0, 4.0, 9.0])) == pytest.approx(1)


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    strong, other = 3, 2  # worlds
    looks = {MAIN: 5}
    cells = sum(3 * looks.get(world, 4) * 2 * 2 for world in TINY.strong) + other * 3 * 4 * 2
    keys = {
        "groups": (["world", "part", "time", "twins", "seed"], cells),
        "networks": (["world", "time", "arm", "seed"], strong * 4 * 4 * 2 + other * 4 * 3 * 2),
        "tuned": (["twins", "lr", "decay", "seed"], 3 * 2 * 2),
    }
    assert set(results) == set(keys)
    for name, (key, count) in keys.items():
        assert len(results[name]) == count, name
        assert not results[name].duplicated(key).any(), name
    assert set(results["groups"].world) == set(results["networks"].world) == {*TINY.strong, pale(0.03), ASKED}
    some = results["groups"][results["groups"].part != VALIDATION]
    assert (some.query("world == @MAIN").there - 100).abs().max() < 30
    assert (results["groups"].query("twins == @APART").flipped == 0).all()
    shares = ["train", "held", "held_worst", "worst", "agree", "part"]
    assert results["networks"][shares].stack().between(0, 1).all()


def test_the_same_twins_are_found_again(results):
    """One row of the tables from the beginning."""
    parts = draw(data.load("digits"), TINY.worlds[percent(0.3)], [0, 1], 297)
    model = models.build("mlp-1x64", (2, 8, 8), 2)
    recipe = TINY.chosen(TINY.setting, 20).recipe
    theta, labels = train_twins(model, parts["train"].x, parts["train"].y, recipe, [0, 1], [True], {20})[20]
    rows = results["groups"].query("world == '30 % break' and twins == @ADOPT and time == 1 and seed == 1")
    rows = rows.set_index("part")
    for name, own in ((TRAINING, parts["train"]), (VALIDATION, parts["validation"])):
        wrong = model.logits(theta[0, :, 1], own.x[1]).argmax(2) != own.y[1]
        taken = wrong[0] | wrong[1]
        assert rows.taken[name] == taken.sum()
        assert rows.hits[name] == (taken & own.breaks[1]).sum()
        assert rows.there[name] == own.breaks[1].sum()
    own = parts["train"]
    assert rows.flipped[TRAINING] == pytest.approx((labels[0, 1] != own.y[1]).double().mean().item())
    wrong = model.logits(theta[0, :, 1], own.x[1]).argmax(2) != own.y[1]
    assert rows.taken[OWN] == torch.where(halves([0, 1], 1000)[1], wrong[0], wrong[1]).sum()


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"rates": [0.6]}, "rates below 0.5"),
        ({"rates": [0.1, 0.3]}, "they hold breaking"),
        ({"tints": [0.3, 0.1]}, "tints"),
        ({"tints": []}, "tints below 1"),
        ({"lrs": [0.1]}, "two or more lrs"),
        ({"decays": [0.1, 0.1]}, "different decays"),
        ({"longer": 1.0}, "'longer' = 1"),
        ({"setting": "two-colour-digit"}, "did you mean 'two-colour-digits'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        study.shards(Params.read(values, "here"))


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

FINE = {
    "precision": 0.97, "recall": 0.98, "f1": 0.97, "noisy": 0.95, "apart": 0.5, "late": 0.97, "peak": 0.7, "end": 0.1,
    "validation": 0.95, "plain": 0.5, "found": 0.8, "known": 0.8, "drawn": 0.55, "noisy_plain": 0.1, "noisy_found": 0.6,
    "rank": 1, "untuned": 0.95, "paler": 1, "asked": 0.02, "pale": 0.2, "loss": 0.15, "reliance": 0.2, "chosen": True,
    "train": 0.99,
}  # fmt: skip


def world(**changed):
    """Tables of a made-up world of 14 seeds, with some noise; only what claims look at."""
    w, random = FINE | changed, np.random.default_rng(0)
    params = Params(rates=(0.3,), tints=(0.03, 0.1), longer=4.0)
    seeds = np.arange(14)

    def near(value, by=0.01):
        return np.clip(value + by * random.normal(size=len(seeds)), 0, 1)

    def table(rows):
        return pd.concat([pd.DataFrame({"seed": seeds, **row}) for row in rows], ignore_index=True)

    own = {"world": MAIN, "flipped": 0.1}
    groups = [
        own | {"twins": twins, "part": part, "time": time, "f1": near(value)}
        for time in TIMES[:6]
        for twins, part, value in (
            (ADOPT, TRAINING, w["f1"] if time <= 1 else w["late"]),
            (ADOPT, VALIDATION, w["validation"]),
            (APART, TRAINING, w["apart"]),
            (APART, OWN, w["peak"] if time == 0.25 else w["end"]),
        )
    ]
    f1 = {NOISY: w["noisy"], percent(0.3): w["f1"], pale(0.03): w["pale"], pale(0.1): 0.6, ASKED: w["asked"]}
    usual = {"twins": ADOPT, "part": TRAINING, "time": 1.0}
    groups += [usual | {"world": name, "f1": near(value)} for name, value in f1.items()]
    shares = [row | {"precision": near(w["precision"]), "recall": near(w["recall"])} for row in groups]

    usual = {PLAIN: w["plain"], FOUND: w["found"], SHUFFLED: w["drawn"], KNOWN: w["known"]}
    ends = dict.fromkeys([MAIN, *f1], usual)
    ends[NOISY] = usual | {PLAIN: w["noisy_plain"], FOUND: w["noisy_found"]}
    ends[pale(0.1)] = usual | {KNOWN: w["found"] + w["loss"]}
    networks = [
        {"world": name, "arm": arm, "time": time, "train": w["train"], "worst": near(worst, 0.03),
         "part": near(1 - w["reliance"]), "held": 0.9 if arm == FOUND else 0.95,
         "held_worst": (0.8 if w["chosen"] else 0.3) if arm == FOUND else 0.5}
        for name, own in ends.items() for arm, worst in own.items() for time in (TIMES[0], 1.0)
    ]  # fmt: skip
    tuned = [
        {"twins": twins, "lr": 10.0**place, "decay": 0.0, "flipped": near(0.1 + 0.1 * place),
         "f1": near(w["untuned"]), "worst": near(0.5 + 0.1 * place * rank, 0.03)}
        for twins, rank in ((DRAWN, w["rank"]), (UNDECIDED, 0), (PALER, w["paler"])) for place in range(3)
    ]  # fmt: skip
    return params, {"groups": table(shares), "networks": table(networks), "tuned": table(tuned)}


def test_a_world_as_the_paper_says_supports_all_claims():
    assert set(verdicts(study.judge(*world())).values()) == {"supported"}


FINDS = {"precision": 0.5, "recall": 0.5, "noisy": 0.6, "late": 0.5, "end": 0.65, "validation": 0.6}
REST = {
    "drawn": 0.85,
    "noisy_found": 0.3,
    "rank": -1,
    "untuned": 0.3,
    "paler": -1,
    "asked": 0.9,
    "pale": 0.9,
    "loss": 0,
}


@pytest.mark.parametrize(
    ("changed", "contradicted"),
    [
        (FINDS, {"XR01", "XR01b", "XR01c", "XR04", "XR04b", "XR05"}),
        (REST | {"apart": 0.99}, {"XR01d", "XR02c", "XR02d", "XR03", "XR03b", "XR03c", "XR06", "XR06b", "XR06c"}),
        ({"found": 0.7}, {"XR02"}),
        ({"known": 0.9}, {"XR02"}),
        ({"found": 0.4, "drawn": 0.3}, {"XR02", "XR02b", "XR05b"}),  # chosen by groups all the same
    ],
)
def test_each_claim_can_be_contradicted(changed, contradicted):
    found = verdicts(study.judge(*world(**changed)))
    assert {id for id, verdict in found.items() if verdict == "contradicted"} == contradicted


def test_networks_that_chance_would_equal_leave_claims_undecided():
    found = verdicts(study.judge(*world(apart=0.97, plain=0.8, drawn=0.8, chosen=False)))
    assert [found[id] for id in ("XR01d", "XR02b", "XR02c", "XR05b")] == ["inconclusive"] * 4


@pytest.mark.parametrize(
    ("changed", "void"),
    [
        ({"train": 0.6}, {"XR01", "XR02", "XR03", "XR04", "XR05"}),
        ({"plain": 0.79}, {"XR02"}),
        ({"rank": 0}, {"XR03"}),
        ({"paler": 0}, {"XR03c"}),
        ({"reliance": 0.8}, {"XR06", "XR06b"}),
    ],
)
def test_what_did_not_learn_or_leaves_nothing_to_gain_is_void(changed, void):
    claims = {claim.id: claim for claim in study.judge(*world(**changed))}
    for id in void:
        assert claims[id].void
        assert claims[id].verdict == "inconclusive"
    if "train" not in changed:
        assert {id for id, claim in claims.items() if claim.void} == void
