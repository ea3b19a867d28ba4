"""Notebook 15: relatives that differ in what they should, one shard measured again, claims that come out either way."""

import itertools
import json
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from butterfly import data, models
from butterfly.papers.kwok2024 import flips, inductive_bias, naming
from butterfly.papers.kwok2024 import flips_figures as figures
from butterfly.papers.kwok2024.flips import OTHER, SCORES, Params, measure, study
from butterfly.perturb import Kick
from butterfly.score import ScoreLogger
from butterfly.strict import ParameterError
from butterfly.study import Bench, plain, profiles
from butterfly.train import Fork, Observer, train
from tests.conftest import verdicts

MAIN, REAL = "mnist1d-scores/mlp-1x8", "digits-scores/mlp-1x8"
STEPS, LOOKS = 40, (10, 20, 30, 40)
TINY = Params(
    main=MAIN, real=REAL, steps=STEPS, seeds=4, seeds_per_shard=2, kick_times=(0, 60), size=3.0, looks=4, examples=60,
    compared=(),
)  # fmt: skip
LADDER = TINY.changed(looks=8, compared=("mlp-1x4", "cnn-1x4"), runs_per_shard=4)
TWIN = {"X48": "X48b", "X49": "X49b", "X50": "X50b", "X51": "X51c", "X51b": "X51d", "X52": "X52b", "X53": "X53b"}
TWIN |= {"X48c": "", "X48d": "X48e", "X48f": "X48g", "X48h": "X48i"}  # each claim and that within classes
CLAIMS = [id for id, *_ in flips.ALL]
ELSEWHERE = [f"{id}@digits" for id in CLAIMS]
KINDS = ["weight 0", "weight 60", "order", "init", "seed"]
FAR = 0.02  # networks that differ more are not the same


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


def configs(params, network=MAIN):
    """The configurations of the shards of a network."""
    return [shard.config for shard in study.shards(params) if shard.of == network]


@pytest.fixture(scope="module")
def shards():
    """The two shards of the first network, and every population that was trained for the second, in order."""
    seen = []

    def keep(model, task, recipe, seeds, twins, observers, init):
        run = train(model, task, recipe, seeds, twins, observers, init)
        seen.append((list(seeds), run.members, run.theta.clone(), init))
        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flips, "train", keep)
        found = [measure(Bench(config)) for config in configs(TINY)]
    return found, seen[len(seen) // 2 :]


@pytest.fixture(scope="module")
def alone():
    """Each relative of seeds 2 and 3 trained alone, {(kind, draw, seed): weights after each look [4, P]}."""
    setting, task = plain("mnist1d-scores", STEPS), data.load("mnist1d")
    model = models.build("mlp-1x8", task.input_shape, task.classes)

    def path(seed, fork=None, init=None):
        kept = []
        look = Observer("look", lambda now: kept.append(now.theta[-1].clone()), frozenset(LOOKS))
        train(model, task, setting.recipe, [seed], [fork] if fork else [], [look], init)
        return torch.stack(kept)

    found = {}
    for seed in (2, 3):
        found["parent", 0, seed] = path(seed)
        for draw in (0, 1):
            stranger = seed + (draw + 1) * OTHER
            for time, step in ((0, 0), (60, 24)):
                kick = Kick(weights=1, size=3.0, draw=draw)
                found[f"weight {time}", draw, seed] = path(seed, Fork(seed, step, kick))
            found["order", draw, seed] = path(seed, Fork(seed, 0, Kick(draw=draw), "order"))
            found["init", draw, seed] = path(seed, init=model.init([stranger]))
            found["seed", draw, seed] = path(stranger)
    return task, model, found


# --- who is related to whom ------------------------------------------------------------------------------------------


def test_relatives_are_those_trained_alone(shards, alone):
    """Parents, controls, another order, then kicks by time; other initial weights; other seeds: draw by draw."""
    _, populations = shards
    _, _, paths = alone
    family = ["parent", "parent", "order", "order", "weight 0", "weight 0", "weight 60", "weight 60"]
    expected = [[(kind, place % 2 if place > 1 else 0, seed) for place, kind in enumerate(family) for seed in (2, 3)]]
    expected += [[(kind, draw, seed) for seed in (2, 3)] for kind in ("init", "seed") for draw in (0, 1)]
    assert [len(theta) for _, _, theta, _ in populations] == [len(some) for some in expected]
    for (_, _, theta, _), some in zip(populations, expected, strict=True):
        torch.testing.assert_close(theta, torch.stack([paths[one][-1] for one in some]), rtol=0, atol=1e-3)
    ends = torch.stack([path[-1] for path in paths.values()])
    assert torch.pdist(ends).min() > FAR  # by far not each other


def test_relatives_share_what_they_should(shards):
    _, ((seeds, members, _, init), *others) = shards
    assert (seeds, init) == ([2, 3], None)
    kicks = [(m.fork.kick.weights, m.fork.kick.size, m.fork.unmatched) for m in members if m.fork]
    assert kicks == [(None, 0.0, "")] * 2 + [(None, 0.0, "order")] * 4 + [(1, 3.0, "")] * 8
    assert [one[0] for one in others] == [[2, 3], [2, 3], [100_002, 100_003], [200_002, 200_003]]
    model = models.build("mlp-1x8", (1, 40), 10)
    for draw in (0, 1):
        assert torch.equal(others[draw][3], model.init([seed + (draw + 1) * OTHER for seed in (2, 3)]))
        assert others[2 + draw][3] is None


def test_another_order_is_another_order_from_the_same_weights():
    task = data.load("mnist1d")
    model = models.build("mlp-1x8", task.input_shape, task.classes)
    start = []
    look = Observer("look", lambda now: start.append(now.theta.clone()), frozenset({0, 1}))
    recipe = plain("mnist1d-scores", STEPS).recipe
    train(model, task, recipe, [2], [Fork(2, 0, Kick(draw=draw), "order") for draw in (0, 1)], [look])
    assert torch.equal(start[0], start[0][:1].expand(3, -1))
    assert torch.pdist(start[1]).min() > 0


def test_control_twins_stay_where_their_parents_are(results, shards):
    assert [one["largest_difference"].tolist() for one in shards[0]] == [[0.0, 0.0]] * 2
    controls = results["controls"]
    assert controls[controls.network == MAIN].to_dict("list") == {
        "seed": [0, 1, 2, 3],
        "kind": ["control"] * 4,
        "largest_difference": [0.0] * 4,
        "network": [MAIN] * 4,
    }


def test_control_twins_that_differ_are_seen(monkeypatch):
    """Of each seed the largest difference of any weight, in the order of seeds."""

    def shaken(model, task, recipe, seeds, twins, observers, init):
        run = train(model, task, recipe, seeds, twins, observers, init)
        rows = [k for k, m in enumerate(run.members) if m.fork and not m.fork.unmatched and not m.fork.kick.size]
        for row, change in zip(rows, (0.5, -0.25), strict=bool(twins)):
            run.theta[row, 5] += change
        return run

    monkeypatch.setattr(flips, "train", shaken)
    found = measure(Bench(configs(TINY)[0]))
    assert found["largest_difference"] == pytest.approx([0.5, 0.25])


def test_before_its_fork_a_twin_is_scored_as_its_parent():
    """Against a logger fed by hand; forks are given out of the order of their steps."""
    task = data.load("mnist1d")
    model = models.build("mlp-1x8", task.input_shape, task.classes)
    x, y = task.x[:30], task.y[:30]
    forks = [Fork(5, 24, Kick(size=1.0)), Fork(7, 0, Kick(size=1.0)), Fork(7, 24, Kick(size=1.0)), Fork(5, 10, Kick())]
    parents = {2: 1, 3: 0, 4: 0, 5: 1}  # twins stand in the order of their steps
    loggers = [ScoreLogger(torch.arange(30), y, 6) for _ in range(2)]
    watch = flips._Watch(loggers[0], x, torch.tensor([0, 1, *parents.values()]))

    def by_hand(now):
        rows = [row if row < len(now.theta) else parents[row] for row in range(6)]
        answers = torch.stack([model.logits(now.theta[row][None], x)[0] for row in rows])
        loggers[1].log(torch.arange(30), answers, y)

    observers = [Observer("watch", watch, frozenset(LOOKS)), Observer("hand", by_hand, frozenset(LOOKS))]
    train(model, task, plain("mnist1d-scores", STEPS).recipe, [5, 7], forks, observers)
    watched, fed = (logger.scores() for logger in loggers)
    for name, values in fed.items():
        torch.testing.assert_close(watched[name], values, rtol=1e-4, atol=1e-4)
    assert (watched["el2n.mean"][4] - watched["el2n.mean"][0]).abs().max() > 1e-3  # a late twin is not its parent


# --- a shard measured again ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_hand(alone):
    """Answers and scores of each network that was trained alone: 60 training examples, then the test set."""
    task, model, paths = alone
    x, y = torch.cat([task.x[:60], task.x_test]), torch.cat([task.y[:60], task.y_test])
    truth = torch.eye(10)[y]
    answers, scores = {}, {}
    for key, path in paths.items():
        kind, _, seed = key
        # A twin that parts at update 24 was its parent at the looks before.
        assert kind != "weight 60" or torch.allclose(path[:2], paths["parent", 0, seed][:2], atol=1e-5)
        every = torch.stack([model.logits(theta[None], x)[0] for theta in path])
        distance = (every.softmax(2) - truth).norm(dim=2)
        answers[key] = every[-1].argmax(1).numpy()
        scores[key] = {"el2n.mean": distance.mean(0).numpy(), "el2n.last": distance[-1].numpy()}
    return answers, scores


def test_flips_are_counted_over_relatives(shards, by_hand):
    found, (answers, _) = shards[0][1], by_hand
    assert found["flips"].shape == (5, 2, 1060)
    assert (found["test"] == (np.arange(1060) >= 60)).all()
    for k, kind in enumerate(KINDS):
        for s, seed in enumerate((2, 3)):
            parent = answers["parent", 0, seed]
            expected = sum((answers[kind, draw, seed] != parent).astype(float) for draw in (0, 1)) / 2
            assert expected.mean() > 0
            # Rounding may turn over an example or two that lie on a border.
            assert (found["flips"][k, s] != expected).sum() <= 3


def test_noise_is_the_variance_of_ranks_over_a_parent_and_its_relatives(shards, by_hand):
    found, (_, scores) = shards[0][1], by_hand
    assert found["noise"].shape == (2, 5, 2, 2)
    for k, kind in enumerate(KINDS):
        for n, name in enumerate(SCORES):
            for s, seed in enumerate((2, 3)):
                some = [scores["parent", 0, seed], *(scores[kind, draw, seed] for draw in (0, 1))]
                label, whole = data.load("mnist1d").y[:60].numpy(), np.zeros(60)
                for inside, own in enumerate((whole, label)):
                    ranks = np.stack([pd.Series(one[name][:60]).groupby(own).rank() for one in some])
                    size = np.array([(own == one).sum() for one in own]) if inside else 59
                    middle = ranks.mean(0)
                    expected = (((ranks - middle) ** 2).sum(0) / 2 / size**2).mean()
                    assert found["noise"][inside, k, n, s] == pytest.approx(expected, rel=0.03)


def test_parts_of_a_correlation_add_up_to_it(shards, by_hand):
    found, (_, scores) = shards[0][1], by_hand
    assert found["parts"].shape == (2, 6, 2)
    for k, kind in enumerate([*KINDS, "itself"]):
        for s, seed in enumerate((2, 3)):
            parent = scores["parent", 0, seed]["el2n.mean"][:60]
            rho = [stats.spearmanr(parent, scores[kind, draw, seed]["el2n.mean"][:60]).statistic for draw in (0, 1)
                   if kind != "itself"]  # fmt: skip
            assert found["parts"][:, k, s].sum() == pytest.approx(np.mean(rho) if rho else 1.0, abs=0.01)
    # What classes alone decide has no part within them, and what knows nothing of classes none between.
    label = np.repeat(np.arange(4), 25)
    random = np.random.default_rng(0)
    between, within = flips.parts(label + 1e-9 * random.random(100), label.astype(float), label)
    assert (between, within) == pytest.approx((0.97, 0.0), abs=0.03)
    even = np.tile(np.arange(25.0), 4)
    assert flips.parts(even, even, label) == pytest.approx((0.0, 1.0))


def test_difficulty_is_that_of_unrelated_networks(shards, by_hand):
    found, (_, scores) = shards[0][1], by_hand
    assert found["difficulty"].shape == (2, 1060)
    for s, seed in enumerate((2, 3)):
        expected = (scores["seed", 0, seed]["el2n.mean"] + scores["seed", 1, seed]["el2n.mean"]) / 2
        np.testing.assert_allclose(found["difficulty"][s], expected, atol=1e-4)
    assert np.abs(found["difficulty"][0] - found["difficulty"][1]).max() > FAR


# --- tables ----------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    noise, examples = results["noise"], results["flips"]
    assert not noise.duplicated(["network", "in_class", "kind", "score", "seed"]).any()
    assert len(noise) == 2 * 2 * 5 * 2 * 4
    assert list(noise.kind.unique()) == KINDS == flips.kinds(TINY)
    assert set(noise.network) == {MAIN, REAL}
    assert np.isfinite(noise[["noise", "ratio"]]).all(axis=None)
    assert examples.groupby("network").size().to_dict() == {MAIN: 1060, REAL: 560}
    assert examples.groupby("network").test.sum().to_dict() == {MAIN: 1000, REAL: 500}
    agreement = results["agreement"].groupby(["network", "in_class"]).seed.agg(list)
    assert all(seeds == [0, 1, 2, 3] for seeds in agreement)
    assert len(agreement) == 4


def test_tables_hold_what_the_shards_hold(results, shards):
    """The second shard holds seeds 2 and 3; what is averaged is averaged over all seeds."""
    found, _ = shards
    noise = results["noise"][results["noise"].network == MAIN].set_index(["in_class", "kind", "score", "seed"])
    for inside, (k, kind), (n, name) in itertools.product((0, 1), enumerate(KINDS), enumerate(SCORES)):
        for seed in range(4):
            one = found[seed // 2]["noise"][inside, :, n, seed % 2]
            row = noise.loc[(bool(inside), kind, name, seed)]
            assert (row["noise"], row["ratio"]) == pytest.approx((one[k], one[k] / one[4]))
    examples = results["flips"][results["flips"].network == MAIN]
    for k, kind in enumerate(KINDS):
        expected = sum(one["flips"][k, s].astype(float) for one in found for s in (0, 1)) / 4
        np.testing.assert_allclose(examples[kind], expected, atol=1e-6)
    expected = sum(one["difficulty"][s].astype(float) for one in found for s in (0, 1)) / 4
    np.testing.assert_allclose(examples.difficulty, expected, atol=1e-6)


def test_agreement_is_with_other_seeds_on_test_examples(results, shards):
    kicked, unrelated, difficulty = (
        np.concatenate([pick(one) for one in shards[0]])[:, 60:]
        for pick in (lambda one: one["flips"][0], lambda one: one["flips"][4], lambda one: one["difficulty"])
    )
    table = results["agreement"][(results["agreement"].network == MAIN)].set_index(["in_class", "seed"])
    label = shards[0][0]["label"][60:]
    for seed in range(4):
        others, hit = [s for s in range(4) if s != seed], kicked[seed] > 0
        assert table.loc[(False, seed), "flipped"] == hit.sum()
        for name, values in (("difficulty", difficulty), ("twins", kicked), ("unrelated", unrelated)):
            said = sum(values[s].astype(float) for s in others) / 3
            for inside in (False, True):
                won = (said[hit][:, None] > said[~hit]) + 0.5 * (said[hit][:, None] == said[~hit])
                same = (label[hit][:, None] == label[~hit]) | (not inside)
                row = table.loc[(inside, seed)]
                assert row.pairs == same.sum()
                assert row[name] == pytest.approx((won * same).sum(), rel=1e-3)


def test_the_area_under_the_curve_is_that_of_sklearn():
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    values, hit = random.integers(0, 5, 60), random.random(60) < 0.3
    won, pairs = flips.in_order(values, hit)
    assert won / pairs == pytest.approx(roc_auc_score(hit, values))
    assert flips.in_order(values, np.zeros(60, bool)) == (0.0, 0)


def test_one_weight_moved_late_makes_less_noise_than_another_seed(results):
    ratio = results["noise"].query("score == 'el2n.mean' and not in_class").groupby("kind").ratio.mean()
    assert ratio["seed"] == 1
    assert ratio["weight 60"] < ratio["weight 0"] < ratio["init"]


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"kick_times": [10.0, 50.0]}, "give 0 and one or more later times"),
        ({"kick_times": [0.0]}, "give 0 and one or more later times"),
        ({"kick_times": [0.0, 50.0, 10.0]}, "rising percentages from 0 to below 100"),
        ({"kick_times": [0.0, 100.0]}, "from 0 to below 100"),
        ({"kick_times": []}, "rising percentages"),
        ({"main": "mnist1d-scores"}, "give a setting and an architecture, as in mnist1d-scores/mlp-4x64"),
        ({"main": "mnist2d/mlp-1x8"}, "unknown setting 'mnist2d'"),
        ({"main": "mnist1d-scores/resnet8-16"}, "resnet8-16"),
        ({"real": "digit/mlp-1x8"}, "unknown setting 'digit'"),
        ({"main": ""}, "give the first, and none twice"),
        ({"real": "mnist1d-scores/mlp-4x64"}, "give the first, and none twice"),
        ({"seeds": 3}, "'seeds' = 3"),
        ({"seeds_per_shard": 0}, "'seeds_per_shard' = 0"),
        ({"steps": 0}, "'steps' = 0"),
        ({"draws": 0}, "'draws' = 0"),
        ({"size": 0.0}, "'size' = 0.0"),
        ({"looks": 0}, "'looks' = 0"),
        ({"examples": 49}, "'examples' = 49"),
        ({"kick_time": [0.0]}, "did you mean 'kick_times'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_kicks_must_fall_on_different_updates():
    with pytest.raises(ParameterError, match="different updates before the last"):
        study.shards(TINY.model_copy(update={"kick_times": (0.0, 0.5)}))


def test_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="torch sees no GPU"):
        study.shards(TINY.model_copy(update={"device": "cuda"}))


def test_shards_hold_nothing_that_does_not_matter():
    few = study.shards(TINY.model_copy(update={"real": ""}))
    many = study.shards(TINY.model_copy(update={"profile": "other", "seeds": 5}))
    assert [shard.of for shard in few] == [MAIN] * 2
    assert [shard.of for shard in many] == [MAIN] * 3 + [REAL] * 3
    assert few == many[:2]
    assert [shard.config["seeds"] for shard in many[3:]] == [[0, 1], [2, 3], [4]]
    assert {shard.config["setting"]["model"] for shard in few} == {"mlp-1x8"}
    assert json.loads(json.dumps([shard.config for shard in few])) == [shard.config for shard in few]


def test_the_main_network_alone_follows_another_recipe_and_architecture():
    own = TINY.changed(recipe={"lr": 0.2}, model="mlp-1x4")
    assert {(c["setting"]["model"], c["setting"]["recipe"]["lr"]) for c in configs(own)} == {("mlp-1x4", 0.2)}
    assert configs(own, REAL) == configs(TINY, REAL)


@pytest.mark.parametrize(
    "change",
    [{"draws": 3}, {"size": 1.0}, {"examples": 70}, {"looks": 2}, {"steps": 50}, {"kick_times": (0.0, 50.0)}],
)
def test_shards_hold_all_that_matters(change):
    changed = TINY.model_copy(update=change)
    for network in (MAIN, REAL):
        assert all(a != b for a, b in zip(configs(TINY, network), configs(changed, network), strict=True))


def test_all_examples_are_scored_where_none_are_left_out():
    (config,) = configs(Params(main=REAL, steps=4, looks=2, examples=None, kick_times=(0, 50), compared=()), REAL)
    for examples, count in ((None, 1297), (5000, 1297), (90, 90)):
        found = measure(Bench(config | {"examples": examples, "seeds": [0], "draws": 1}))
        assert found["flips"].shape == (5, 1, count + 500)
        assert (~found["test"]).sum() == count


# --- claims on made-up worlds ----------------------------------------------------------------------------------------


STEP = {"families": 0.5, "family": 0.1, "size": 0.05, "seed": 0.25}  # what each step adds


def alike(number, step):
    """Correlations with the parent of a seed whose differences are those shares."""
    family = step["families"]
    size = family + step["family"]
    other = size + step["size"]
    found = {"family": family, "size": size, "seed": other, "itself": other + step["seed"], "init": 0.8, "order": 0.85}
    found["weight 0"] = 0.95
    shares = {"class": 0.6 + 0.001 * number, "within": 0.4 - 0.001 * number}
    both = itertools.product(found.items(), shares.items())
    return [{"seed": number, "differs": kind, "part": part, "alike": v * own} for (kind, v), (part, own) in both]


def world(networks=(MAIN,), inside=None, **changes):
    """Ten seeds and three kick times in each network; noise is in parts of that of another seed. `inside` changes what
    holds within classes."""
    random = np.random.default_rng(0)
    planted = {"early": 0.95, "late": 0.1, "order": 0.9, "init": 1.2, "area": 0.9, "gap": 0.0, "flipped": 20}
    planted |= {"early last": 0.9, "late last": 0.2}  # at the end of training
    noise, agreement, other, controls = [], [], [], []
    shares = {name: changes.pop(name) for name in STEP if name in changes}
    for network, seed, in_class in itertools.product(networks, range(10), (False, True)):
        now = planted | (inside or {} if in_class else changes)
        parts = {"weight 0": now["early"], "weight 10": 0.6, "weight 50": now["late"], "order": now["order"]}
        ends = {"weight 0": now["early last"], "weight 50": now["late last"]}
        for (kind, part), score in itertools.product((parts | {"init": now["init"], "seed": 1.0}).items(), SCORES):
            ratio = (part if score == "el2n.mean" else ends.get(kind, 0.7)) * random.uniform(0.99, 1.01)
            about = {"network": network, "kind": kind, "seed": seed, "score": score, "in_class": in_class}
            noise.append({**about, "noise": ratio, "ratio": ratio})
        about = {"network": network, "seed": seed, "in_class": in_class, "flipped": now["flipped"], "pairs": 1000}
        twins = 1000 * random.uniform(0.8, 0.82)
        said = {"difficulty": 1000 * now["area"] * random.uniform(0.99, 1.01), "twins": twins}
        agreement.append({**about, **said, "unrelated": twins + 1000 * (now["gap"] + random.uniform(-0.005, 0.005))})
        if not in_class:
            controls.append({"network": network, "seed": seed, "kind": "control", "largest_difference": 0.0})
            rows = alike(seed, {k: v * random.uniform(0.98, 1.02) for k, v in (STEP | shares).items()})
            other += [row | {"network": network} for row in rows]
    found = pd.DataFrame(other)
    ladders = [flips.ladder(own).assign(network=network) for network, own in found.groupby("network", sort=False)]
    made = {"noise": pd.DataFrame(noise), "agreement": pd.DataFrame(agreement), "controls": pd.DataFrame(controls)}
    return made | {"alike": found, "ladder": pd.concat(ladders, ignore_index=True)}


TIMES = (0.0, 10.0, 50.0)
HERE = Params(main=MAIN, kick_times=TIMES, size=1e-2)
BOTH = HERE.model_copy(update={"real": REAL})


def judge(tables):
    return verdicts(study.judge(HERE, tables))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge(world(families=1.1, seed=0.25, family=0.3)) == dict.fromkeys(CLAIMS, "supported")


HELD = {"families": 1.1, "family": 0.3}


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("X48", {"early": 0.6}),
        ("X48h", {"early last": 0.6}),
        ("X49", {"late last": 0.7}),
        ("X50", {"order": 0.6}),
        ("X52", {"area": 0.6}),
        ("X53", {"gap": 0.1}),
        ("X53", {"gap": -0.1}),
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change):
    found = judge(world(**HELD, **change))
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}
    found = judge(world(**HELD, inside=change))
    assert {other for other, verdict in found.items() if verdict != "supported"} == {TWIN[id]}


def test_initial_weights_are_held_against_another_seed_and_against_the_order():
    found = judge(world(**HELD, init=0.6))
    assert {other for other, verdict in found.items() if verdict == "contradicted"} == {"X51", "X51b"}
    found = judge(world(**HELD, inside={"init": 0.6}))
    assert {other for other, verdict in found.items() if verdict == "contradicted"} == {"X51c", "X51d"}


@pytest.mark.parametrize(
    ("ids", "change"),
    [
        ({"X48d", "X48e"}, {"family": 0.1}),
        ({"X48f", "X48g"}, {"size": 0.5, "family": 0.9}),
    ],
)
def test_claims_on_the_ladder_can_fail(ids, change):
    found = judge(world(**(HELD | change)))
    assert {other for other, verdict in found.items() if verdict == "contradicted"} == ids


def test_how_much_of_the_agreement_is_the_class_can_fail():
    for size, verdict in ((1.5, "supported"), (0.5, "contradicted")):
        tables = world(**HELD)
        tables["alike"].loc[tables["alike"].part == "class", "alike"] *= size
        found = {c.id: c for c in study.judge(HERE, tables)}["X48c"]
        assert found.verdict == verdict
        assert found.estimate == pytest.approx(size * 0.6045 / (size * 0.6045 + 0.3955), abs=0.001)


def test_late_kicks_are_judged_at_the_end_of_training():
    """Averaged over training, a twin that was its parent for long cannot differ much; that alone supports nothing."""
    found = judge(world(**HELD, **{"late": 0.1, "late last": 0.9}))
    assert found["X49"] == "contradicted"


def test_estimates_are_what_was_planted():
    made = {c.id: c for c in study.judge(HERE, world())}
    planted = {"X48": 0.95, "X49": 0.2, "X50": 0.9, "X51": 1.2, "X51b": 1.2 / 0.9, "X52": 0.9, "X53": 0.0}
    planted |= {"X48h": 0.9, "X48c": 0.6045, "X48d": -0.15, "X48f": -0.2, "X48e": -0.06, "X48g": -0.08}
    assert {id: made[id].estimate for id in planted} == pytest.approx(planted, rel=0.03, abs=0.005)
    assert {c.n for c in made.values()} == {10}
    assert {c.notebook for c in made.values()} == {"15_flips"}
    assert {c.source for c in made.values()} == {"this companion"}
    assert {c.origin for c in made.values()} == {"ours"}
    assert "one weight moved at 50 %" in made["X49"].statistic
    assert "moved by 0.01" in made["X48"].statistic
    assert "(CNN)" in made["X48d"].statement


def test_the_ladder_adds_up_and_knows_what_is_absent():
    table = world()["ladder"]
    whole = table[~table.step.str.endswith("alone")].groupby("seed").share.sum()
    np.testing.assert_allclose(whole, 0.9, atol=0.02)
    tables = world()
    tables["alike"] = tables["alike"][tables["alike"].differs != "family"]
    tables["ladder"] = flips.ladder(tables["alike"]).assign(network=MAIN)
    claims = {c.id: c for c in study.judge(HERE, tables)}
    assert {id for id, c in claims.items() if c.void} == {"X48d", "X48e", "X48f", "X48g"}
    assert "no other family" in claims["X48d"].void


def test_seeds_whose_twins_flip_nothing_are_left_out_and_few_are_not_enough():
    for seeds, void in ((9, False), (7, True)):
        tables = world(**HELD)
        none = tables["agreement"].seed >= seeds
        tables["agreement"].loc[none, ["flipped", "pairs", "difficulty", "twins", "unrelated"]] = 0
        claims = {c.id: c for c in study.judge(HERE, tables)}
        assert {id for id, c in claims.items() if c.void} == ({"X52", "X52b", "X53", "X53b"} if void else set())
        assert claims["X52"].n == seeds


def test_each_network_has_claims_of_its_own():
    tables = world(networks=(MAIN, REAL), **HELD)
    noise = tables["noise"]
    noise.loc[(noise.network == REAL) & (noise.kind == "order") & ~noise.in_class, "ratio"] *= 0.5
    made = {c.id: c for c in study.judge(BOTH, tables)}
    assert list(made) == [*CLAIMS, *ELSEWHERE]
    assert {id for id, c in made.items() if c.verdict != "supported"} == {"X50@digits"}
    assert {made[id].scope for id in CLAIMS} == {"mnist1d, mlp-1x8; this data set, seen in the exploration"}
    assert {made[id].scope for id in ELSEWHERE} == {"digits, mlp-1x8; this data set, seen in the exploration"}


@pytest.mark.parametrize(("value", "why"), [(1e-9, "control twins differ"), (np.nan, "no finite weights")])
def test_broken_control_twins_void_the_claims_of_their_network(value, why):
    tables = world(networks=(MAIN, REAL), **HELD)
    controls = tables["controls"]
    controls.loc[(controls.network == REAL) & (controls.seed == 3), "largest_difference"] = value
    for c in study.judge(BOTH, tables):
        assert c.verdict == ("inconclusive" if c.id.endswith("@digits") else "supported")
        assert (why in c.void) == c.id.endswith("@digits")


def test_claims_can_be_made_of_what_was_computed(results):
    made = study.judge(TINY, results)
    assert [c.id for c in made] == [*CLAIMS, *ELSEWHERE]
    assert {c.n for c in made if c.id in ("X48", "X50", "X48c")} == {4}
    assert all("no other" in c.void for c in made if c.id in ("X48d", "X48e", "X48f", "X48g"))


@pytest.fixture(scope="module")
def compared(own_store):
    return study.run(LADDER)


def test_other_sizes_and_families_are_compared_with_the_parents(compared):
    """By hand: the parent of each seed with the run of the one before, so that no pair shares the order of the data."""
    shards = study.compute(study.shards(LADDER))
    own = [shard for shard in shards if shard.of == MAIN]
    parents = np.concatenate([shard["parent"] for shard in own])
    label = own[0]["label"][: parents.shape[1]]
    for kind, model in (("size", "mlp-1x4"), ("family", "cnn-1x4")):
        (others,) = [shard for shard in shards if shard.of == f"{MAIN} {model}"]
        table = compared["alike"][(compared["alike"].network == MAIN) & (compared["alike"].differs == kind)]
        table = table.groupby("seed").alike.sum()
        for seed in range(4):
            rho = stats.spearmanr(parents[seed], others["el2n.mean"][seed - 1]).statistic
            assert table[seed] == pytest.approx(rho)
        assert len(label) == 60


def test_seeds_of_other_architectures_are_those_of_notebook_12():
    assert flips.APART == inductive_bias.APART
    fifteen, twelve = (profiles.parameters(t, s.parameters, "laptop")[0] for t, s in
                       (("15_flips", study), ("12_inductive_bias", inductive_bias.study)))  # fmt: skip
    every = (*twelve.first, *twelve.second, *twelve.third)
    assert fifteen.compared == every[: len(fifteen.compared)]


# --- figures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [figures.noise, figures.flips, figures.same, figures.ladder])
@pytest.mark.parametrize("networks", [1, 2])
def test_figures_draw_without_warnings(compared, draw, networks):
    tables = compared if networks == 2 else compared.at("network", MAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, numbers = draw(tables)
        figure.canvas.draw()
    assert len(figure.axes) == networks
    assert all(axis.get_xlabel() for axis in figure.axes)
    assert figure.axes[0].get_ylabel() or [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [axis.get_title(loc="left").split("\n")[0] for axis in figure.axes] == [
        "MLP 1x8, MNIST-1D",
        "MLP 1x8, handwritten digits",
    ][:networks]
    assert "n = 4 seeds" in figure.get_suptitle()
    assert len(numbers)
    plt.close(figure)


def test_a_figure_of_flips_by_difficulty_holds_tenths_of_the_test_examples(results):
    examples = results["flips"][(results["flips"].network == REAL) & results["flips"].test]
    hardest = examples.nlargest(50, "difficulty")
    figure, numbers = figures.flips(results)
    plt.close(figure)
    assert len(numbers) == 2 * 10 * len(KINDS)
    some = numbers[(numbers.network == REAL) & (numbers.decile == 10)].set_index("kind").flips
    assert list(some.index) == KINDS
    for kind in KINDS:
        assert some[kind] == pytest.approx(hardest[kind].mean(), abs=0.01)
    labels = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    others = ["another order of the data", "other initial weights", "another seed (both)"]
    assert labels == ["one weight at 0 %", "one weight at 60 %", *others]


def test_a_figure_of_the_same_examples_shows_test_examples_and_their_rank_correlation(results):
    figure, numbers = figures.same(results)
    plt.close(figure)
    assert numbers.test.all()
    for axis, network in zip(figure.axes, (MAIN, REAL), strict=True):
        some = numbers[numbers.network == network]
        rho = stats.spearmanr(some["seed"], some["weight 0"]).statistic
        assert axis.get_title(loc="left").endswith(f"rank correlation {rho:.2f}")
        assert len(axis.collections[0].get_offsets()) == len(some)


def test_levels_of_a_figure_are_means_over_seeds_by_the_same_score(results):
    figure, numbers = figures.noise(results.at("network", MAIN))
    plt.close(figure)
    mean = numbers[~numbers.in_class].groupby(["score", "kind"]).ratio.mean()
    for score in SCORES:
        levels = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_label().endswith(f", {score}")
                  and not line.get_label().startswith("one weight")]  # fmt: skip
        assert levels == pytest.approx([mean[score, kind] for kind in ("order", "init")])


def test_networks_have_names_for_people():
    assert naming.architecture("mlp-4x64") == "MLP 4x64"
    assert naming.architecture("resnet20-16") == "ResNet 20-16"
    assert naming.architecture("transformer-2x32") == "transformer 2x32"
    assert naming.network("digits-scores/gru-8") == "GRU 8, handwritten digits"
    colours = naming.palette(["a", "b", "c"])
    assert list(colours) == ["a", "b", "c"]
    assert len(set(colours.values())) == 3
