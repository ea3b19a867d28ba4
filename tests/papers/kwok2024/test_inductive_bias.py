"""Notebook 12: planted differences between architectures are found and others are not, claims come out either way."""

import itertools
import json
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch.nn.functional as F
from scipy import stats

from butterfly import data, models
from butterfly.papers.kwok2024 import PAPER, fingerprints, inductive_bias, score_runs
from butterfly.papers.kwok2024 import inductive_bias_figures as figures
from butterfly.papers.kwok2024.inductive_bias import (
    ALL,
    CLASS,
    GROUP,
    OTHERS,
    PAIRS,
    SCORE,
    Params,
    effect,
    ranked,
    study,
)
from butterfly.reliability import ranks
from butterfly.strict import ParameterError
from butterfly.study import Tables, plain, profiles
from butterfly.study.claims import possible
from butterfly.train import Observer, train
from tests.conftest import verdicts

MAIN, REAL = "mnist1d-scores", "digits-scores"
TINY = Params(steps=16, examples=100, real=REAL)
FAMILIES = {"mlp": "mlp-2x16", "cnn": "cnn-2x8", "gru": "gru-8"}


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


def laptop(of=study):
    """The parameters of the reference run."""
    return profiles.parameters(of.notebook, of.parameters, "laptop")[0]


# --- shards ----------------------------------------------------------------------------------------------------------


def test_the_runs_of_an_architecture_are_those_that_train_alone(results):
    """One seed of the second family, trained by itself and scored at every eighth of training."""
    model_name, seed = "cnn-1x8", 5003
    found = inductive_bias.scored(TINY, study.compute(study.shards(TINY)))[MAIN][model_name]
    setting, task = plain(MAIN, 16), data.load("mnist1d")
    model = models.build(model_name, task.input_shape, task.classes)
    keep = Observer("theta", lambda now: now.theta.clone(), frozenset(range(2, 17, 2)))
    run = train(model, task, setting.recipe, [seed], observers=[keep])
    looks = [model.logits(theta, task.x[:100])[0].softmax(1) for _, theta in run.recorded("theta")]
    el2n = sum((p - F.one_hot(task.y[:100], 10)).norm(dim=1) for p in looks) / 8
    np.testing.assert_allclose(found["el2n.mean"][3], el2n, atol=1e-3)
    rows = results["runs"].query("setting == @MAIN and model == @model_name")
    for half, x, y in (("train", task.x, task.y), ("test", task.x_test, task.y_test)):
        right = (model.logits(run.theta, x)[0].argmax(1) == y).double().mean().item()
        assert rows[f"{half}_accuracy"].iloc[3] == pytest.approx(right, abs=2e-3)


def test_no_two_architectures_share_a_seed():
    """Nor, with the runs of other notebooks that are compared with them, anything but their setting."""
    for params in (TINY, laptop()):
        shards = study.shards(params)
        networks = [f"{name}/{model}" for name in (MAIN, REAL) for model in params.models]
        assert list(dict.fromkeys(shard.of for shard in shards)) == networks
        for name in (MAIN, REAL):
            seeds = [s for shard in shards if shard.of.startswith(f"{name}/") for s in shard.config["seeds"]]
            assert len(seeds) == len(set(seeds)) == params.runs * len(params.models)
            assert max(seeds) - params.first_seed < score_runs.HELD_OUT
        for shard in shards:
            assert shard.config["setting"]["model"] == shard.of.partition("/")[2]
            assert shard.config["setting"]["data"] == ("mnist1d" if shard.of.startswith(MAIN) else "digits")
            assert not shard.config["probed"]


def test_runs_of_notebook_13_are_those_of_notebook_12():
    """The same function of the same configurations: computed only once between them."""
    ours, theirs = study.shards(laptop()), fingerprints.study.shards(laptop(fingerprints.study))
    assert ours == theirs
    assert [shard.key for shard in ours] == [shard.key for shard in theirs]
    assert {shard.compute for shard in ours} == {score_runs.measure_scores}
    assert len(ours) == 2 * 10 * 4


def test_shards_do_not_depend_on_how_many_runs_there_are():
    few = study.shards(TINY.model_copy(update={"runs_per_shard": 8}))
    many = study.shards(TINY.model_copy(update={"runs_per_shard": 8, "runs": 32, "profile": "other", "real": ""}))
    for network in {shard.of for shard in many}:
        more = [shard for shard in many if shard.of == network]
        assert more[:2] == [shard for shard in few if shard.of == network]
    configs = [shard.config for shard in few]
    assert json.loads(json.dumps(configs)) == configs
    assert study.shards(TINY.model_copy(update={"steps": 24})) != study.shards(TINY)
    assert study.shards(TINY.model_copy(update={"looks": 16})) != study.shards(TINY)
    assert study.shards(TINY.model_copy(update={"examples": None})) != study.shards(TINY)


def test_changes_are_of_the_main_setting_alone():
    changed = TINY.changed(recipe={"lr": 0.03}, data_set="digits")
    assert [changed.at(name).data for name in (MAIN, REAL)] == ["digits", "digits"]
    assert TINY.at(MAIN).data == "mnist1d"
    for before, after in zip(study.shards(TINY), study.shards(changed), strict=True):
        if before.of.startswith(REAL):
            assert after == before
        else:
            setting = after.config["setting"]
            assert (setting["data"], setting["recipe"]["lr"]) == ("digits", 0.03)
            assert setting["model"] == before.config["setting"]["model"]


# --- parameters ------------------------------------------------------------------------------------------------------

GRID = "give two depths times two widths, as in mlp-1x8, mlp-1x16, mlp-2x8, mlp-2x16"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"runs": 24}, "runs = 24: give a multiple of 16, for two halves of whole groups"),
        ({"runs": 8}, "'runs' = 8"),
        ({"setting": "mnist2d"}, "unknown setting 'mnist2d'; did you mean 'mnist1d'"),
        ({"real": "digit"}, "unknown setting 'digit'"),
        ({"third": ["gru-4", "gruu-8"]}, "unknown model 'gruu-8'"),
        ({"third": ["resnet8-4", "resnet8-8"]}, "'resnet8-4' does not fit inputs of shape"),
        ({"first": ["mlp-1x8", "mlp-1x16", "mlp-2x8"]}, GRID),
        ({"first": ["mlp-1x8", "mlp-1x16", "mlp-2x8", "mlp-2x32"]}, GRID),
        ({"first": ["mlp-1x8", "mlp-2x8", "mlp-1x16", "mlp-2x16"]}, GRID),
        ({"first": ["mlp-1x8", "mlp-2x8", "mlp-3x8", "mlp-4x8"]}, GRID),
        ({"second": ["cnn-1x4", "cnn-1x4", "cnn-1x4", "cnn-1x4"]}, GRID),
        ({"second": ["gru-4", "gru-8", "gru-16", "gru-32"]}, GRID),
        ({"third": ["gru-4"]}, r"third = \['gru-4'\]: give two rising widths"),
        ({"third": ["gru-8", "gru-8"]}, "give two rising widths"),
        ({"third": ["gru-8", "gru-4"]}, "give two rising widths"),
        ({"third": ["mlp-3x8", "gru-4"]}, "give two rising widths"),
        ({"first": ["cnn-1x8", "mlp-1x16", "mlp-2x8", "mlp-2x16"]}, "give three families, each in its own list"),
        ({"runs": 1008}, "'runs' = 1008"),
        ({"real": "mnist1d-scores"}, "give the first, and none twice"),
        ({"setting": ""}, "give the first, and none twice"),
        ({"third": ["gru-4", "gru-8", "gru-16"]}, "give two rising widths"),
        ({"third": ["mlp-3x8", "mlp-3x16"]}, "mlp-3x16: give three families"),
        ({"looks": 0}, "'looks' = 0"),
        ({"model": []}, "did you mean 'models'|'model' is not a parameter"),
        (
            {"setting": REAL, "data_set": "mnist1d", "third": ["resnet8-4", "resnet8-8"]},
            "'resnet8-4' does not fit inputs",
        ),
        ({"recipe": {"steps": 5}}, "give the number of updates as 'steps'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_looks_must_have_an_eighth():
    with pytest.raises(ParameterError, match="looks = 12: give a multiple of 8"):
        study.shards(TINY.model_copy(update={"looks": 12}))


def test_confirmation_shares_no_network_with_exploration():
    """Other first seed, other networks, other groups, other draws by lot."""
    later = TINY.model_copy(update={"first_seed": 1_000_000})
    seeds = [{seed for shard in study.shards(params) for seed in shard.config["seeds"]} for params in (TINY, later)]
    assert not seeds[0] & seeds[1]
    ranks_of = {model: np.random.default_rng(0).uniform(size=(16, 600)) for model in TINY.models}
    one, other = (pd.DataFrame(inductive_bias._contrasts(params, ranks_of)) for params in (TINY, later))
    assert not set(one.group) & set(other.group)
    np.testing.assert_array_equal(one.share, other.share)
    assert (one.shuffled != other.shuffled).all()
    ranks_of["gru-8"] += np.linspace(0, 1, 600)  # more and more sensitive, so that the lot decides how many
    pseudo = [inductive_bias._sensitivity(params, ranks_of)[0]["sensitive"] for params in (TINY, later)]
    assert pseudo[0] != pseudo[1]


def test_names_of_architectures_are_read():
    assert inductive_bias.layout(TINY.first) == dict(zip(TINY.first, [(1, 8), (1, 16), (2, 8), (2, 16)], strict=True))
    some = ("resnet20-16", "resnet20-32", "resnet32-16", "resnet32-32")
    assert list(inductive_bias.layout(some).values()) == [(20, 16), (20, 32), (32, 16), (32, 32)]
    assert [inductive_bias.family(name) for name in ("mlp-2x16", "resnet20-16", "vgg11-8")] == ["mlp", "resnet", "vgg"]
    assert TINY.largest == FAMILIES
    assert TINY.models == (*TINY.first, *TINY.second, *TINY.third)
    assert TINY.architectures == "mlp, cnn, gru"
    assert TINY.depths == "MLP 1 to 2, CNN 1 to 2"
    assert TINY.widths == "MLP 8 to 16, CNN 4 to 8"
    assert TINY.places == {"": MAIN, "digits": REAL}
    assert Params().places == {"": MAIN}


def test_pairs_differ_in_one_thing():
    found = inductive_bias.pairs(TINY)
    assert found == {
        "family": [("mlp-2x16", "cnn-2x8"), ("mlp-2x16", "gru-8"), ("cnn-2x8", "gru-8")],
        "depth": [("mlp-1x16", "mlp-2x16"), ("cnn-1x8", "cnn-2x8")],
        "width": [("mlp-2x8", "mlp-2x16"), ("cnn-2x4", "cnn-2x8"), ("gru-4", "gru-8")],
        "nothing": [("mlp-2x16", "mlp-2x16"), ("cnn-2x8", "cnn-2x8"), ("gru-8", "gru-8")],
    }


# --- ranks and effects -----------------------------------------------------------------------------------------------


def test_ranks_within_classes_know_nothing_of_classes():
    """A class made harder as a whole moves ranks among all examples, and none within classes."""
    random = np.random.default_rng(0)
    values, label = random.normal(size=(5, 60)), np.arange(60) % 4
    harder = values + 3.0 * (label == 2)
    np.testing.assert_array_equal(ranked(values, label, CLASS), ranked(harder, label, CLASS))
    assert not np.array_equal(ranked(values, label, ALL), ranked(harder, label, ALL))
    np.testing.assert_array_equal(ranked(values, label, ALL), ranks(values))
    for own in range(4):
        np.testing.assert_array_equal(ranked(values, label, CLASS)[:, label == own], ranks(values[:, label == own]))
    assert (ranked(values[:, :3], np.array([0, 0, 1]), CLASS)[:, 2] == 0.5).all()


def test_an_effect_by_hand():
    values = np.array([[[1.0, 5.0], [3.0, 5.0]], [[5.0, 5.0], [7.0, 5.0]]])  # two architectures, runs, examples
    found = effect(values)
    # Means 2 and 6 about 4: between 2 * (4 + 4); within 4 * 1; one degree of freedom of a variance of 2.
    np.testing.assert_allclose([found.between[0], found.total[0], found.chance[0]], [16, 20, 2])
    np.testing.assert_allclose(found.eta, [0.8, 0.0])
    np.testing.assert_allclose(found.epsilon, [0.7, 0.0])
    assert found.pooled == pytest.approx(0.7)
    assert found.row() == pytest.approx({"eta": 0.8, "epsilon": 0.7, "pooled": 0.7})  # of what varies


@pytest.mark.parametrize("runs", [8, 32])
def test_epsilon_squared_does_not_depend_on_the_number_of_runs(runs):
    """Nothing, and effects of +-1 beside noise of variance 1, which are a half; eta squared is above both."""
    noise = np.random.default_rng(0).normal(size=(2, runs, 4000))
    nothing, half = effect(noise).row(), effect(noise + np.array([-1, 1])[:, None, None]).row()
    assert nothing["epsilon"] == pytest.approx(0, abs=0.005)
    assert nothing["eta"] == pytest.approx(1 / (2 * runs - 1), abs=0.005)
    assert half["epsilon"] == pytest.approx(0.5, abs=0.02)
    assert half["eta"] > half["epsilon"]


# --- tables of made-up runs ------------------------------------------------------------------------------------------

COUNT = 400
LABEL = np.arange(COUNT) % 10
TOUCHED = abs(np.arange(COUNT) - 199.5) < 50  # a quarter of the examples, of middle ranks


def made(family=0.0, depth=0.0, width=0.0, runs=16, by_class=0.0):
    """Scores of every architecture, which on some examples, or some classes, depend on what is planted."""
    random = np.random.default_rng(0)
    signal, directions = np.linspace(-2, 2, COUNT), random.choice([-1.0, 1.0], size=(3, COUNT)) * TOUCHED
    found = {}
    for models_ in (TINY.first, TINY.second, TINY.third):
        # Families lie at -1, 0 and 1; depths and widths at -1 and 1.
        of_family = list(FAMILIES).index(inductive_bias.family(models_[0])) - 1
        for place, model in enumerate(models_):
            deep, wide = (2 * (place // 2) - 1, 2 * (place % 2) - 1) if len(models_) == 4 else (1, 2 * place - 1)
            shift = family * of_family * directions[0] + depth * deep * directions[1] + width * wide * directions[2]
            shift = shift + by_class * of_family * (LABEL < 3)
            level = random.normal(size=(runs, 1))  # of a run, which ranks take out
            found[model] = signal + shift + level + 0.3 * random.normal(size=(runs, COUNT))
    return found


def tabulate(runs=16, **planted):
    values = made(runs=runs, **planted)
    some = {"label": LABEL, "train_accuracy": np.linspace(0.5, 0.9, runs), "test_accuracy": np.linspace(0.4, 0.8, runs)}
    scored = {model: {score: v for score in (SCORE, *OTHERS)} | some for model, v in values.items()}
    return inductive_bias.tables_of(TINY.model_copy(update={"runs": runs}), MAIN, scored)


@pytest.fixture(scope="module")
def other_families():
    return tabulate(family=1.0, runs=32)


@pytest.fixture(scope="module")
def other_classes():
    return tabulate(by_class=1.0)


def kinds(tables, column="share", among=ALL):
    rows = tables["contrasts"].query("score == @SCORE and among == @among")
    return rows.groupby("kind")[column].mean()


def test_contrasts_find_what_differs_between_families(other_families):
    contrasts = other_families["contrasts"]
    assert len(contrasts) == 2 * (1 + len(OTHERS)) * (4 * 8 + 2 * 3)
    assert not contrasts.duplicated(["score", "among", "group", "kind", "one", "two"]).any()
    for among in (ALL, CLASS):
        share = kinds(other_families, among=among)
        assert share["family"] == pytest.approx(0.3, abs=0.06)  # the rest moves a little as ranks are relative
        assert (share[["depth", "width", "nothing"]] < 0.01).all()
        assert kinds(other_families, "epsilon", among)["nothing"] == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(kinds(other_families, "shuffled").drop("family"), 1, atol=0.3)
    assert kinds(other_families, "inflation")["nothing"] == pytest.approx(1, abs=0.3)


def test_families_that_find_other_classes_hard_differ_among_all_examples_only(other_classes):
    """The confound: nothing is planted within classes, and nothing is found there."""
    assert kinds(other_classes)["family"] > 0.3
    assert kinds(other_classes, among=CLASS)["family"] < 0.01
    assert kinds(other_classes, "epsilon", CLASS)["family"] == pytest.approx(0, abs=0.02)
    split = other_classes["split"].set_index(["among", "contrast"])
    assert split.loc[(ALL, "three families"), "part of architecture x class"] > 0.9
    assert split.loc[(CLASS, "three families"), "architecture x example"] < 0.005


@pytest.mark.parametrize("what", ["depth", "width"])
def test_contrasts_find_what_differs_within_families(what):
    tables = tabulate(**{what: 1.0})
    share = kinds(tables)
    assert share[what] == pytest.approx(0.25, abs=0.06)
    rest = [kind for kind in share.index if kind not in (what, "family")]
    assert (share[rest] < 0.01).all()
    factors = tables["factors"].query("among == @ALL").groupby("factor").epsilon.mean()
    assert factors[["family", "depth", "width"]].idxmax() == what
    assert (factors.filter(like=f"{what} of") > 0.1).all()


def test_where_nothing_differs_nothing_is_found():
    tables = tabulate()
    for among in (ALL, CLASS):
        assert (kinds(tables, among=among) < 0.005).all()
        np.testing.assert_allclose(kinds(tables, "inflation", among), 1, atol=0.3)
        np.testing.assert_allclose(kinds(tables, "epsilon", among), 0, atol=0.02)
        sensitivity = tables["sensitivity"].query("among == @among")
        assert sensitivity.sensitive.mean() < 0.02
        assert sensitivity.insensitive.mean() > 0.8
        assert list(sensitivity.group) == [0, 1]
    assert tables["factors"].epsilon.abs().max() < 0.03


def test_a_comparison_is_that_of_the_groups_of_its_runs():
    """Sixteen and eight runs more: group by group, and of one architecture with the group beside it."""
    random = np.random.default_rng(0)
    values = {model: random.uniform(size=(4 * GROUP, 60)) for model in TINY.models}
    values["mlp-2x16"][2 * GROUP : 3 * GROUP, :30] += 5
    tables = pd.DataFrame(inductive_bias._contrasts(TINY, values))
    big = tables[tables.share > 0.3]
    assert set(zip(big.kind, big.group, strict=True)) == {(kind, 2) for kind in ("family", "depth", "width", "nothing")}
    assert (big[["one", "two"]] == "mlp-2x16").any(axis=1).all()
    assert sorted(set(tables[tables.kind == "nothing"].group)) == [0, 2]
    # One comparison by hand, of equal variances: the p-value is that of an F test but for the prior.
    (row,) = tables.query("group == 1 and kind == 'depth' and one == 'cnn-1x8'").to_dict("records")
    one, two = values["cnn-1x8"][8:16], values["cnn-2x8"][8:16]
    p = [stats.f_oneway(one[:, n], two[:, n]).pvalue for n in range(60)]
    assert row["inflation"] == pytest.approx(np.median(stats.chi2.isf(p, 1)) / stats.chi2.median(1), rel=0.25)
    assert row["epsilon"] == pytest.approx(effect(np.stack([one, two])).epsilon.mean())


def test_shuffled_runs_hide_what_differs():
    random = np.random.default_rng(0)
    values = {model: random.uniform(size=(2 * GROUP, 60)) for model in TINY.models}
    values["gru-8"][:GROUP] += 5.0
    (row,) = (r for r in inductive_bias._contrasts(TINY, values) if r["one"] == "gru-4" and r["group"] == 0)
    assert row["share"] == 1
    assert row["inflation"] > 100 > 10 * row["shuffled"]


@pytest.mark.parametrize("factor", ["family", "depth", "width"])
def test_factors_are_shares_of_what_was_planted(factor):
    """Effects of +-1 and noise of variance 1 explain a half; what chance explains is taken off the others."""
    random = np.random.default_rng(0)
    values = {model: random.normal(size=(GROUP, 800)) for model in TINY.models}
    for sign, models_ in ((-1, TINY.first), (1, TINY.second)):
        for place, model in enumerate(models_):
            values[model] += {"family": sign, "depth": 2 * (place // 2) - 1, "width": 2 * (place % 2) - 1}[factor]
    found = pd.DataFrame(inductive_bias._factors(TINY, values)).set_index("factor")
    assert set(found.group) == {0}
    share = found.epsilon
    assert share[factor] == pytest.approx(0.5, abs=0.03)
    ends = share.filter(like=f"{factor} of")
    np.testing.assert_allclose(ends, 0.5, atol=0.03)
    np.testing.assert_allclose(share.drop([factor, *ends.index]), 0, atol=0.01)
    chance = {"family": 1, "depth": 2, "width": 2}
    for name in chance.keys() - {factor}:
        assert found.eta[name] == pytest.approx(0.5 * chance[name] / 63, abs=0.004)


def test_depth_and_width_that_interact_are_seen_at_the_ends():
    """Depth that matters in narrow networks only: two of the four comparisons see it."""
    random = np.random.default_rng(0)
    values = {model: random.normal(size=(GROUP, 800)) for model in TINY.models}
    for models_ in (TINY.first, TINY.second):
        values[models_[2]] += 2.0  # deep and narrow
    share = pd.DataFrame(inductive_bias._factors(TINY, values)).set_index("factor").epsilon
    np.testing.assert_allclose(share[["depth of narrow", "width of deep"]], 0.5, atol=0.03)
    np.testing.assert_allclose(share[["depth of wide", "width of shallow"]], 0, atol=0.02)


def sensitive_world(seed, runs=48, count=400):
    """Ranks in which the family explains 0.6 of the variance of 30 % of the examples, and nothing of the others."""
    random = np.random.default_rng(seed)
    of_family = np.array([-1.0, 0, 1])[:, None] * (random.random(count) < 0.3) * 1.5
    return {model: random.normal(size=(runs, count)) + of_family[k] for k, model in enumerate(TINY.largest.values())}


def test_sensitive_examples_are_counted_with_the_spread_of_runs_and_examples():
    """Pseudo-values are about the truth, whatever the number of runs, and their interval covers it."""
    hits = []
    for seed in range(40):
        table = pd.DataFrame(inductive_bias._sensitivity(TINY, sensitive_world(seed)))
        found = inductive_bias.intervals.mean(table.sensitive)
        hits.append(found.low < 0.3 < found.high)
    assert np.mean(hits) > 0.85
    few, many = (
        pd.DataFrame(inductive_bias._sensitivity(TINY, sensitive_world(1, runs, 4000))).mean() for runs in (24, 48)
    )
    assert few.sensitive == pytest.approx(0.3, abs=0.03)
    assert many.sensitive == pytest.approx(0.3, abs=0.03)
    assert many.insensitive == pytest.approx(0.7, abs=0.07)


def test_variance_is_split_by_what_is_compared(other_families):
    split = other_families["split"].query("among == @ALL").set_index("contrast")
    assert list(split.index) == [
        "three families", "MLPs of two depths", "CNNs of two depths",
        "MLPs of two widths", "CNNs of two widths", "GRUs of two widths",
    ]  # fmt: skip
    np.testing.assert_allclose(split[["example", "architecture x example", "run"]].sum(axis=1), 1)
    interaction = split["architecture x example"]
    assert interaction["three families"] > 0.1
    assert (interaction.drop("three families") < 0.005).all()
    assert split["part of architecture x class"]["three families"] < 0.1
    deep = tabulate(depth=1.0)["split"].query("among == @ALL").set_index("contrast")["architecture x example"]
    assert (deep[["MLPs of two depths", "CNNs of two depths"]] > 0.1).all()
    assert (deep.filter(like="widths") < 0.005).all()


def test_the_part_of_classes_is_what_was_planted():
    """Classes that differ with variance 1, examples within them with variance 3: a quarter."""
    random = np.random.default_rng(0)
    label = np.repeat(np.arange(100), 40)
    values = random.normal(size=100)[label] + 3**0.5 * random.normal(size=4000)
    stack = values + 0.5 * random.normal(size=(2, GROUP, 4000))
    assert inductive_bias._of_classes(stack, label)["part of class"] == pytest.approx(0.25, abs=0.05)
    assert inductive_bias._between(random.normal(size=4000), label) == pytest.approx(0, abs=0.02)


def test_examples_are_tested_over_all_runs(other_families):
    examples = other_families["examples"]
    values = {model: ranks(v) for model, v in made(family=1.0, runs=32).items()}
    np.testing.assert_array_equal(examples.id, np.arange(COUNT))
    np.testing.assert_array_equal(examples.label, LABEL)
    for column in ("p_pair", "p_pair_in_class"):
        assert (examples[column][TOUCHED] < 1e-6).mean() > 0.95
        assert (examples[column][~TOUCHED] < 1e-3).mean() < 0.35  # ranks are relative: others move a little
    assert stats.kstest(examples.p_halves, "uniform").pvalue > 1e-3
    for name, model in FAMILIES.items():
        np.testing.assert_allclose(examples[f"rank_{name}"], values[model].mean(0))
    stack = np.stack([values[model] for model in FAMILIES.values()])
    np.testing.assert_allclose(examples.epsilon_families, effect(stack).epsilon)
    assert examples.epsilon_chance.mean() == pytest.approx(0, abs=0.01)


def test_shown_are_the_most_and_of_the_hard_the_least_sensitive(other_families):
    examples, shown = other_families["examples"], other_families["shown"]
    task = data.load("mnist1d")
    ids = {kind: list(dict.fromkeys(some.id)) for kind, some in shown.groupby("kind")}
    assert ids["most"] == list(examples.sort_values("epsilon_families", ascending=False).id[:6])
    hard = examples[(examples.rank_mlp + examples.rank_cnn + examples.rank_gru) / 3 > 0.75]
    assert ids["least"] == list(hard.sort_values("epsilon_families").id[:6])
    for kind, some in shown.groupby("kind"):
        for place, one in some.groupby("place"):
            assert set(one.id) == {ids[kind][place]}
            np.testing.assert_array_equal(one.value, task.x[ids[kind][place]].flatten())


def test_where_nothing_is_hard_the_sensitive_are_shown_alone():
    examples = pd.DataFrame({"id": range(8), "rank_mlp": 0.5, "rank_cnn": 0.6, "epsilon_families": np.arange(8) / 8})
    assert set(inductive_bias._shown(data.load("mnist1d").x, examples).kind) == {"most"}


def test_tables_of_every_setting_are_whole(results):
    assert set(results) == {"runs", "contrasts", "split", "factors", "sensitivity", "examples", "shown"}
    for table in results.values():
        assert list(table.setting.unique()) == [MAIN, REAL]
        assert np.isfinite(table.select_dtypes("number")).all(axis=None)
    assert (results["runs"].groupby(["setting", "model"], sort=False).size() == 16).all()
    assert list(results["runs"].model.unique()) == list(TINY.models)
    assert (results["examples"].groupby("setting").size() == 100).all()
    labels = data.load("digits").y[:100]
    np.testing.assert_array_equal(results["examples"].query("setting == @REAL").label, labels)


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

TWINS = {"D10": "D10f", "D10d": "D10g", "D10e": "D10h", "D10b": "D10i", "D11": "D11c", "D11b": "D11d",
         "D20": "D20e", "D20b": "D20f", "D20d": "D20h"}  # fmt: skip
OF_SCORES = ["D10j", "D10k", "D10l"]
IDS = [*TWINS, *TWINS.values(), *OF_SCORES, "D20g", "D10c", "X40"]


def world(settings=(MAIN,), among=(ALL, CLASS), learned=0.9, told=(0.4, 0.3, 0.35), other_told=None, inside=0.1,
          size_effect=0.05, nothing=0.0, sensitive=0.5, insensitive=0.2, shuffled=1.0, **factors):  # fmt: skip
    """Six groups; `told` are the pairs of families. What is changed is changed in ranks of `among`, else it is good."""
    random = np.random.default_rng(0)
    explained = {"family": 0.3, "depth": 0.1, "width": 0.05, "width of deep": 0.04, "depth of wide": 0.08,
                 "depth of narrow": 0.12}  # fmt: skip
    rows, factor_rows, sensitivity = [], [], []
    for name, kind, group in itertools.product(settings, (ALL, CLASS), range(6)):
        changed = kind in among
        for score in (SCORE, *OTHERS):
            of_pairs = (told if score == SCORE else other_told or (0.4, 0.3, 0.35)) if changed else (0.4, 0.3, 0.35)
            for what, couples in inductive_bias.pairs(TINY).items():
                for place, (one, two) in enumerate(couples):
                    share = of_pairs[place] if what == "family" else inside + 0.02 * place
                    epsilon = nothing if what == "nothing" else size_effect if changed else 0.05
                    noise = random.uniform(-0.003, 0.003)
                    rows.append((name, score, kind, group, what, one, two, share + noise, epsilon + noise,
                                 shuffled + 10 * noise))  # fmt: skip
        for factor, share in (explained | (factors if changed else {})).items():
            factor_rows.append((name, kind, group, factor, share + random.uniform(-0.003, 0.003)))
        counts = (sensitive, insensitive) if changed else (0.5, 0.2)
        sensitivity.append((name, kind, group, *(count + random.uniform(-0.01, 0.01) for count in counts)))
    columns = ["setting", "score", "among", "group", "kind", "one", "two", "share", "epsilon", "shuffled"]
    runs = [(name, model, learned) for name in settings for model in TINY.models]
    tables = dict(
        contrasts=pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0),
        factors=pd.DataFrame(factor_rows, columns=["setting", "among", "group", "factor", "epsilon"]),
        sensitivity=pd.DataFrame(sensitivity, columns=["setting", "among", "group", "sensitive", "insensitive"]),
        runs=pd.DataFrame(runs, columns=["setting", "model", "train_accuracy"]),
    )
    return Tables(tables, TINY if len(settings) > 1 else Params())


def judge(tables, params=None):
    return verdicts(study.judge(params or Params(), tables))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge(world()) == dict.fromkeys(judge(world()), "supported")
    assert set(judge(world())) == set(IDS)


CHANGES = [
    ("D10", {"told": (0.12, 0.3, 0.35)}),
    ("D10d", {"told": (0.4, 0.12, 0.35)}),
    ("D10e", {"told": (0.4, 0.3, 0.12)}),
    ("D10b", {"size_effect": 0.0}),
    ("D11", {"sensitive": 0.02}),
    ("D11b", {"insensitive": 0.02}),
    ("D20", {"width": 0.12}),
    ("D20b", {"family": 0.01}),
    ("D20d", {"depth of narrow": 0.07}),
]


@pytest.mark.parametrize(("id", "change"), CHANGES)
@pytest.mark.parametrize("among", [ALL, CLASS])
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change, among):
    """Changed among all examples it is the claim that falls, changed within classes its twin."""
    found = judge(world(among=(among,), **change))
    fallen = id if among == ALL else TWINS[id]
    assert {other for other, verdict in found.items() if verdict != "supported"} == {fallen}
    assert found[fallen] == "contradicted"


@pytest.mark.parametrize(
    ("ids", "change"),
    [
        (OF_SCORES[:1], {"other_told": (0.12, 0.3, 0.35)}),
        (OF_SCORES[1:], {"other_told": (0.4, 0.12, 0.12)}),
        (["D20g"], {"width of deep": 0.09}),
        ([], {"width of deep": 0.09, "among": (ALL,)}),
        (["D10c"], {"nothing": 0.05}),
        (["X40"], {"shuffled": 1.5}),
        (["X40"], {"shuffled": 0.6}),
    ],
)
def test_claims_without_a_twin_can_be_contradicted(ids, change):
    found = judge(world(**change))
    assert {other for other, verdict in found.items() if verdict != "supported"} == set(ids)


def test_one_score_that_disagrees_is_enough():
    tables = world()
    contrasts = tables["contrasts"]
    rows = (contrasts.score == OTHERS[1]) & (contrasts.kind == "family") & (contrasts.among == CLASS)
    contrasts.loc[rows, "share"] -= 0.25
    found = judge(tables)
    assert {id for id, verdict in found.items() if verdict != "supported"} == set(OF_SCORES)


def test_a_pair_is_held_against_sizes_of_its_own_families():
    """Sizes of the third family tell everything apart: the first pair does not mind."""
    tables = world()
    contrasts = tables["contrasts"]
    contrasts.loc[contrasts.one == "gru-4", "share"] = 1.0
    values = [inductive_bias.beyond_sizes(tables, pair, SCORE, ALL).mean() for pair in PAIRS]
    assert values[0] == pytest.approx(0.4 - 0.115, abs=0.02)
    assert values[1] < 0
    assert values[2] < 0


def test_origins_and_reaches_are_true():
    made = {c.id: c for c in study.judge(Params(), world())}
    assert {id for id, c in made.items() if c.origin == "abstract"} == {"D11", "D11b"}
    assert {id for id, c in made.items() if c.origin == "authors' notebook"} == {"D10"}
    assert {c.source for c in made.values() if c.origin != "ours"} == {PAPER.cite}
    assert [id for id, c in made.items() if c.kind == "check"] == ["D10c", "X40"]
    assert {c.scope for c in made.values()} == {"mnist1d, mlp, cnn, gru; this data set, seen in the exploration"}
    assert all(possible(c) for c in made.values())
    assert all(np.isfinite(c.power) for c in made.values() if c.kind != "check")
    assert (
        made["D20"].statement
        == "Width (MLP 8 to 16, CNN 4 to 8) changes the ranks less than depth (MLP 1 to 2, CNN 1 to 2)"
    )
    assert made["D10e"].statement.startswith("CNN and GRU rank more examples otherwise")
    assert {c.n for id, c in made.items() if id != "D10c"} == {6}


def test_networks_that_did_not_learn_decide_nothing():
    tables = world()
    tables["runs"].loc[tables["runs"].model == "cnn-2x8", "train_accuracy"] = 0.3
    found = study.judge(Params(), tables)
    assert {c.verdict for c in found} == {"inconclusive"}
    assert {c.void for c in found} == {"cnn-2x8 did not learn"}
    tables["runs"].loc[0, "train_accuracy"] = np.nan
    assert "mlp-1x8" in study.judge(Params(), tables)[0].void


def test_the_claims_of_every_setting_rest_on_its_own_numbers():
    together = [world([MAIN]), world([REAL], insensitive=0.01, shuffled=2.0)]
    tables = {name: pd.concat([one[name] for one in together]) for name in together[0]}
    params = Params(real=REAL)
    made = {c.id: c for c in study.judge(params, tables)}
    fallen = {"D11b@digits", "D11d@digits", "X40@digits"}
    assert {id for id, c in made.items() if c.verdict != "supported"} == fallen
    assert made["D11@digits"].statement == made["D11"].statement
    assert made["D11@digits"].scope == "digits, mlp, cnn, gru; this data set, seen in the exploration"


def test_too_little_and_lost_numbers_leave_claims_open():
    tables = world()
    few = {name: table[table.group == 0] if "group" in table else table for name, table in tables.items()}
    found = judge(few)
    assert {id for id, verdict in found.items() if verdict != "inconclusive"} <= {"D10c"}  # of three architectures
    for name, column, touched in (
        ("sensitivity", "sensitive", {"D11", "D11c"}),
        ("sensitivity", "insensitive", {"D11b", "D11d"}),
        ("factors", "epsilon", {"D20", "D20e", "D20b", "D20f"}),
    ):
        tables = world()
        table = tables[name]
        rows = (table.group == 4) & (table.factor == "width" if name == "factors" else True)
        table.loc[rows, column] = np.nan
        assert {id for id, verdict in judge(tables).items() if verdict == "inconclusive"} == touched


def test_claims_can_be_made_of_what_was_computed(results):
    made = study.judge(TINY, results)
    assert {c.id for c in made} == {f"{id}{label}" for label in ("", "@digits") for id in IDS}
    assert {c.n for c in made} == {2, 3}


# --- figures ---------------------------------------------------------------------------------------------------------

DRAW = [
    figures.split, figures.contrasts, figures.manhattan, figures.sensitivity, figures.pictures, figures.factors,
    figures.scores,
]  # fmt: skip


@pytest.mark.parametrize("settings", [(MAIN,), (MAIN, REAL)])
@pytest.mark.parametrize("draw", DRAW)
def test_figures_are_drawn_of_one_setting_and_of_two(results, draw, settings):
    tables = Tables({name: table[table.setting.isin(settings)] for name, table in results.items()}, TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, numbers = draw(tables)
        figure.canvas.draw()
    assert figure.get_suptitle()
    assert len(numbers) > 5
    assert set(numbers.setting) == ({MAIN} if draw is figures.manhattan else set(settings))
    if draw is figures.pictures:
        assert len(figure.axes) == 12 * len(settings)
        assert all(axis.get_ylabel() for axis in figure.axes[::6])
    else:
        assert len(figure.axes) == (3 if draw is figures.manhattan else len(settings))
        assert all(axis.get_xlabel() for axis in figure.axes)
        first = figure.axes[0]
        assert first.get_ylabel() or [t.get_text() for t in first.get_yticklabels()]
        assert all(axis.get_title("left") for axis in figure.axes)
    plt.close(figure)


def test_pictures_show_the_numbers(results):
    figure, numbers = figures.split(results)
    np.testing.assert_allclose(numbers[figures.PARTS].sum(axis=1), 1)
    for axis, name in zip(figure.axes, (MAIN, REAL), strict=True):
        some = numbers[numbers.setting == name].set_index("contrast")[::-1]
        assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(some.index)
        widths = np.array([bar.get_width() for bar in axis.patches]).reshape(len(figures.PARTS), -1)
        np.testing.assert_allclose(widths, some[figures.PARTS].T)
        np.testing.assert_allclose([bar.get_x() for bar in axis.patches[-6:]], widths[:-1].sum(0))
    plt.close(figure)
    figure, numbers = figures.contrasts(results)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()][-1] == "GRU 8 | itself"
    assert len(numbers) == len(results["contrasts"].query("score == @SCORE"))
    plt.close(figure)


def test_means_have_intervals_from_six_groups_on():
    table = pd.DataFrame({"kind": "a", "group": np.arange(6), "share": np.arange(6.0)})
    (six,) = figures._means(table, ["kind"], "share").itertuples()
    (five,) = figures._means(table[:5], ["kind"], "share").itertuples()
    assert six.estimate == 2.5
    assert six.low < 2.5 < six.high
    assert np.isnan(five.low)


def test_evidence_is_drawn_by_class_with_the_line_of_discoveries(other_families):
    tables = Tables({name: table.assign(setting=MAIN) for name, table in other_families.items()}, TINY)
    tables["examples"].loc[7, "p_pair"] = 0.0  # beyond every axis
    figure, numbers = figures.manhattan(tables)
    assert numbers.label.is_monotonic_increasing
    inside, beyond = (points.get_offsets() for points in figure.axes[0].collections)
    evidence = -np.log10(numbers.p_pair.clip(1e-300))
    np.testing.assert_allclose(inside[:, 1], evidence[evidence <= figures.HIGHEST])
    assert set(beyond[:, 1]) == {figures.HIGHEST}
    assert len(inside) + len(beyond) == COUNT
    assert len(beyond) >= 1
    (line,) = figure.axes[0].get_lines()
    found = stats.false_discovery_control(numbers.p_pair) <= 0.05
    assert line.get_ydata()[0] == evidence[found].min()
    assert figure.axes[0].get_title("left") == f"MLP against CNN, among all: {found.mean():.1%} told apart"
    np.testing.assert_allclose(figure.axes[2].collections[0].get_offsets()[:, 1], -np.log10(numbers.p_halves))
    plt.close(figure)


def test_examples_are_drawn_with_their_ranks(results):
    figure, numbers = figures.pictures(results)
    shown, examples = results["shown"], results["examples"].set_index(["setting", "id"])
    assert len(numbers) == sum(bool(axis.get_title("left")) for axis in figure.axes)
    assert list(numbers.columns) == ["setting", "kind", "place", "id", "label", *(f"rank_{name}" for name in FAMILIES)]
    first = shown[(shown.setting == REAL) & (shown.kind == "most") & (shown.place == 2)]
    known = examples.loc[(REAL, first.id.iloc[0])]
    expected = " ".join(f"{100 * known[f'rank_{name}']:.0f}" for name in FAMILIES)
    axis = figure.axes[12 + 2]
    assert axis.get_title("left") == f"label {int(known.label)}: {expected}"
    np.testing.assert_array_equal(axis.images[0].get_array(), first.value.to_numpy().reshape(8, 8))
    plt.close(figure)


def test_sensitive_examples_stand_above_insensitive_ones(other_families):
    tables = Tables({name: table.assign(setting=MAIN) for name, table in other_families.items()}, TINY)
    figure, _ = figures.pictures(tables)
    shown = tables["shown"]
    for row, kind in enumerate(("most", "least")):
        assert figure.axes[6 * row].get_ylabel().split() == ["MNIST-1D,", kind, "sensitive"]
        for place in range(6):
            (line,) = figure.axes[6 * row + place].get_lines()
            some = shown[(shown.kind == kind) & (shown.place == place)]
            np.testing.assert_array_equal(line.get_ydata(), some.value)
    plt.close(figure)


def test_images_are_drawn_in_their_colours():
    figure, axis = plt.subplots()
    figures._draw(axis, np.arange(12.0) - 4, (2, 2))  # the red of four pixels, then their green, then their blue
    np.testing.assert_allclose(axis.images[0].get_array()[0, 1] * 11, [1, 5, 9])
    plt.close(figure)


def test_the_table_of_factors_is_a_mean_over_groups(results):
    table = figures.explained(results)
    some = results["factors"].query("setting == @REAL and factor == 'depth' and among == @CLASS").epsilon
    assert table.loc[(REAL, CLASS), "depth"] == pytest.approx(some.mean(), abs=6e-4)
    assert set(table.columns) == {"depth", "family", "width"}
