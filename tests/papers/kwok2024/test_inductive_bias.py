"""Notebook 12: planted differences between architectures are found and others are not, claims come out either way."""

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
from butterfly.papers.kwok2024.inductive_bias import GROUP, Params, study
from butterfly.reliability import ranks
from butterfly.strict import ParameterError
from butterfly.study import Tables, plain, profiles
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
            assert max(seeds) < score_runs.HELD_OUT
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
    assert len(ours) == 2 * 10 * 3


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


def test_names_of_architectures_are_read():
    assert inductive_bias.layout(TINY.first) == dict(zip(TINY.first, [(1, 8), (1, 16), (2, 8), (2, 16)], strict=True))
    some = ("resnet20-16", "resnet20-32", "resnet32-16", "resnet32-32")
    assert list(inductive_bias.layout(some).values()) == [(20, 16), (20, 32), (32, 16), (32, 32)]
    assert [inductive_bias.family(name) for name in ("mlp-2x16", "resnet20-16", "vgg11-8")] == ["mlp", "resnet", "vgg"]
    assert TINY.largest == FAMILIES
    assert TINY.models == (*TINY.first, *TINY.second, *TINY.third)
    assert TINY.architectures == "mlp, cnn, gru"
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


# --- tables of made-up runs ------------------------------------------------------------------------------------------

COUNT = 400
TOUCHED = abs(np.arange(COUNT) - 199.5) < 50  # a quarter of the examples, of middle ranks


def made(family=0.0, depth=0.0, width=0.0, runs=16):
    """Scores of every architecture, which on some examples depend on what is planted."""
    random = np.random.default_rng(0)
    signal, directions = np.linspace(-2, 2, COUNT), random.choice([-1.0, 1.0], size=(3, COUNT)) * TOUCHED
    found = {}
    for models_ in (TINY.first, TINY.second, TINY.third):
        # Families lie at -1, 0 and 1; depths and widths at -1 and 1.
        of_family = list(FAMILIES).index(inductive_bias.family(models_[0])) - 1
        for place, model in enumerate(models_):
            deep, wide = (2 * (place // 2) - 1, 2 * (place % 2) - 1) if len(models_) == 4 else (1, 2 * place - 1)
            shift = family * of_family * directions[0] + depth * deep * directions[1] + width * wide * directions[2]
            level = random.normal(size=(runs, 1))  # of a run, which ranks take out
            found[model] = signal + shift + level + 0.3 * random.normal(size=(runs, COUNT))
    return found


def tabulate(runs=16, **planted):
    values = made(runs=runs, **planted)
    some = {
        "label": np.arange(COUNT) % 10,
        "train_accuracy": np.linspace(0.5, 0.9, runs),
        "test_accuracy": np.linspace(0.4, 0.8, runs),
    }
    scored = {model: {"el2n.mean": v, **some} for model, v in values.items()}
    return inductive_bias.tables_of(TINY.model_copy(update={"runs": runs}), MAIN, scored)


@pytest.fixture(scope="module")
def other_families():
    return tabulate(family=1.0, runs=32)


def kinds(tables, column="share"):
    return tables["contrasts"].groupby("kind")[column].mean()


def test_contrasts_find_what_differs_between_families(other_families):
    contrasts = other_families["contrasts"]
    assert len(contrasts) == 4 * 11
    assert not contrasts.duplicated(["group", "kind", "one", "two"]).any()
    share = kinds(other_families)
    assert share["family"] == pytest.approx(0.3, abs=0.05)  # the rest moves a little as ranks are relative
    assert (share[["depth", "width", "nothing"]] < 0.01).all()
    shuffled = kinds(other_families, "shuffled")
    np.testing.assert_allclose(shuffled.drop("family"), 1, atol=0.25)
    assert kinds(other_families, "inflation")["nothing"] == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("what", ["depth", "width"])
def test_contrasts_find_what_differs_within_families(what):
    tables = tabulate(**{what: 1.0})
    share = kinds(tables)
    assert share[what] == pytest.approx(0.25, abs=0.05)
    rest = [kind for kind in share.index if kind not in (what, "family")]
    assert (share[rest] < 0.01).all()
    factors = tables["factors"].groupby("factor").share.mean()
    assert factors.idxmax() == what


def test_where_nothing_differs_nothing_is_found():
    tables = tabulate()
    assert (kinds(tables) < 0.005).all()
    np.testing.assert_allclose(kinds(tables, "inflation"), 1, atol=0.3)
    np.testing.assert_allclose(kinds(tables, "shuffled"), 1, atol=0.3)
    sensitivity = tables["sensitivity"]
    assert sensitivity.sensitive.mean() == pytest.approx(0.01, abs=0.012)
    assert sensitivity.insensitive.mean() == pytest.approx(0.5, abs=0.06)
    assert list(sensitivity.group) == [0, 1]


def test_a_comparison_is_that_of_the_groups_of_its_runs():
    """Sixteen and eight runs more: group by group, and of one architecture with the group beside it."""
    random = np.random.default_rng(0)
    few = [{model: random.uniform(size=(GROUP, 60)) for model in TINY.models} for _ in range(4)]
    few[2]["mlp-2x16"] = few[2]["mlp-2x16"] + np.where(np.arange(60) < 30, 5, 0)
    tables = pd.DataFrame([row for g in range(4) for row in inductive_bias._contrasts(TINY, few, g)])
    big = tables[tables.share > 0.3]
    expected = {("family", 2), ("depth", 2), ("width", 2), ("nothing", 2), ("nothing", 3)}
    assert set(zip(big.kind, big.group, strict=True)) == expected
    assert (big[["one", "two"]] == "mlp-2x16").any(axis=1).all()
    same = tables[tables.kind == "nothing"].pivot(index="group", columns="one", values="share")
    np.testing.assert_allclose(same.loc[[0, 2]], same.loc[[1, 3]])
    # One example by hand, of equal variances: the p-value is that of an F test but for the prior.
    (row,) = tables.query("group == 1 and kind == 'depth' and one == 'cnn-1x8'").to_dict("records")
    p = [stats.f_oneway(few[1]["cnn-1x8"][:, n], few[1]["cnn-2x8"][:, n]).pvalue for n in range(60)]
    assert row["inflation"] == pytest.approx(np.median(stats.chi2.isf(p, 1)) / stats.chi2.median(1), rel=0.15)


def test_shuffled_runs_hide_what_differs():
    random = np.random.default_rng(0)
    few = [{model: random.uniform(size=(GROUP, 60)) for model in TINY.models} for _ in range(2)]
    few[0]["gru-8"] = few[0]["gru-8"] + 5.0
    (row,) = (row for row in inductive_bias._contrasts(TINY, few, 0) if row["one"] == "gru-4")
    assert row["share"] == 1
    assert row["inflation"] > 100 > 10 * row["shuffled"]


@pytest.mark.parametrize("factor", ["family", "depth", "width"])
def test_factors_are_shares_of_what_was_planted(factor):
    """Effects of +-1 and noise of variance 1 explain a half; what chance explains is one or two of 64 values."""
    random = np.random.default_rng(0)
    few = {}
    for sign, models_ in ((-1, TINY.first), (1, TINY.second)):
        for place, model in enumerate(models_):
            size = {"family": sign, "depth": 2 * (place // 2) - 1, "width": 2 * (place % 2) - 1}[factor]
            few[model] = size + random.normal(size=(GROUP, 500))
    rows = inductive_bias._factors(TINY, few, 3)
    assert [(row["group"], row["factor"]) for row in rows] == [(3, "family"), (3, "depth"), (3, "width")]
    share = {row["factor"]: row["share"] for row in rows}
    assert share.pop(factor) == pytest.approx(0.5, abs=0.03)
    chance = {"family": 1, "depth": 2, "width": 2}
    assert share == pytest.approx({name: 0.5 * chance[name] / 63 for name in share}, abs=0.004)


def test_factors_without_noise_explain_everything_by_hand():
    """Three examples: depth 3 and width 2 in one family, a difference of families, and one that never varies."""
    few = {model: np.zeros((GROUP, 3)) for model in (*TINY.first, *TINY.second)}
    for place, model in enumerate(TINY.first):
        few[model] = (
            few[model] + np.array([3 * (2 * (place // 2) - 1), 0, 0]) + np.array([2 * (2 * (place % 2) - 1), 0, 0])
        )
        few[model] = few[model] + np.array([0, 4, 0])
    share = {row["factor"]: row["share"] for row in inductive_bias._factors(TINY, few, 0)}
    # The last does not count; of the first, 9 and 4 parts of 13.
    assert share == pytest.approx({"family": 1 / 2, "depth": 9 / 26, "width": 4 / 26})


def test_sensitive_examples_are_counted(other_families):
    sensitivity = other_families["sensitivity"]
    assert list(sensitivity.group) == [0, 1, 2, 3]
    assert sensitivity.sensitive.mean() > 0.25
    assert 0.2 < sensitivity.insensitive.mean() < 0.45


def test_variance_is_split_by_what_is_compared(other_families):
    split = other_families["split"].set_index("contrast")
    assert list(split.index) == [
        "three families", "MLPs of two depths", "CNNs of two depths",
        "MLPs of two widths", "CNNs of two widths", "GRUs of two widths",
    ]  # fmt: skip
    np.testing.assert_allclose(split.sum(axis=1), 1)
    interaction = split["architecture x example"]
    assert interaction["three families"] > 0.1
    assert (interaction.drop("three families") < 0.005).all()
    deep = tabulate(depth=1.0)["split"].set_index("contrast")["architecture x example"]
    assert (deep[["MLPs of two depths", "CNNs of two depths"]] > 0.1).all()
    assert (deep.filter(like="widths") < 0.005).all()


def test_examples_are_tested_over_all_runs(other_families):
    examples = other_families["examples"]
    values = {model: ranks(v) for model, v in made(family=1.0, runs=32).items()}
    np.testing.assert_array_equal(examples.id, np.arange(COUNT))
    np.testing.assert_array_equal(examples.label, np.arange(COUNT) % 10)
    for column in ("p_families", "p_pair"):
        assert (examples[column][TOUCHED] < 1e-6).all()
        assert (examples[column][~TOUCHED] < 1e-3).mean() < 0.3  # ranks are relative: others move a little
    assert stats.kstest(examples.p_halves, "uniform").pvalue > 1e-3
    for name, model in FAMILIES.items():
        np.testing.assert_allclose(examples[f"rank_{name}"], values[model].mean(0))

    def eta(groups):
        total = np.concatenate(groups)
        between = sum(len(g) * (g.mean(0) - total.mean(0)) ** 2 for g in groups)
        return between / ((total - total.mean(0)) ** 2).sum(0)

    mlp, cnn, gru = (values[model] for model in FAMILIES.values())
    np.testing.assert_allclose(examples.eta_families, eta([mlp, cnn, gru]))
    np.testing.assert_allclose(examples.eta_pair, eta([mlp, cnn]))
    np.testing.assert_allclose(examples.eta_halves, eta([mlp[:16], mlp[16:]]), atol=1e-9)
    assert examples.eta_chance.mean() == pytest.approx(2 / 95, abs=0.01)


def test_chance_is_of_runs_dealt_at_random():
    values = np.random.default_rng(0).normal(size=(3, GROUP, 50)) + 10 * np.arange(3)[:, None, None]
    chance = inductive_bias._chance(values, 0)
    assert chance.shape == (inductive_bias.NULL * 50,)
    assert chance.mean() == pytest.approx(2 / 23, abs=0.03)
    assert not np.array_equal(chance, inductive_bias._chance(values, 1))
    again = inductive_bias._chance(values, 0).reshape(inductive_bias.NULL, 50)
    assert len(np.unique(again[:, 0])) == inductive_bias.NULL  # no shuffling twice
    assert not np.isin(inductive_bias._chance(values, 1), chance).any()


def test_shown_are_the_most_and_of_the_hard_the_least_sensitive(other_families):
    examples, shown = other_families["examples"], other_families["shown"]
    task = data.load("mnist1d")
    ids = {kind: list(dict.fromkeys(some.id)) for kind, some in shown.groupby("kind")}
    assert ids["most"] == list(examples.sort_values("eta_families", ascending=False).id[:6])
    hard = examples[(examples.rank_mlp + examples.rank_cnn + examples.rank_gru) / 3 > 0.75]
    assert ids["least"] == list(hard.sort_values("eta_families").id[:6])
    for kind, some in shown.groupby("kind"):
        for place, one in some.groupby("place"):
            assert set(one.id) == {ids[kind][place]}
            np.testing.assert_array_equal(one.value, task.x[ids[kind][place]].flatten())


def test_where_nothing_is_hard_the_sensitive_are_shown_alone():
    examples = pd.DataFrame({"id": range(8), "rank_mlp": 0.5, "rank_cnn": 0.6, "eta_families": np.arange(8) / 8})
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


def world(
    settings=(MAIN,), family=0.4, inside=0.15, nothing=0.0, sensitive=0.5, insensitive=0.2, by_family=0.3,
    by_depth=0.1, by_width=0.03, shuffled=1.0,
):  # fmt: skip
    """Six groups; every kind has its pairs, some of more examples and some of fewer than the kind."""
    random = np.random.default_rng(0)
    rows, factors, sensitivity = [], [], []
    for name in settings:
        for group in range(6):
            share = {"family": family, "depth": inside + 0.03, "width": inside - 0.03, "nothing": nothing}
            for kind, some in inductive_bias.pairs(TINY).items():
                for place, (one, two) in enumerate(some):
                    tilt = 0.05 * (place - (len(some) - 1) / 2) * (kind != "nothing")
                    noise = random.uniform(-0.003, 0.003)
                    # The odd groups of one architecture repeat their neighbours' comparison.
                    told = share[kind] if kind == "nothing" else share[kind] + tilt + noise
                    rows.append((group, kind, one, two, told, 9.0, shuffled + noise, name))
            noise = random.uniform(-0.01, 0.01, 5)
            planted = {"family": by_family, "depth": by_depth, "width": by_width}
            factors += [(group, k, v + noise[place], name) for place, (k, v) in enumerate(planted.items())]
            sensitivity.append((group, sensitive + noise[3], insensitive + noise[4], name))
    return dict(
        contrasts=pd.DataFrame(
            rows, columns=["group", "kind", "one", "two", "share", "inflation", "shuffled", "setting"]
        ).sample(frac=1),
        factors=pd.DataFrame(factors, columns=["group", "factor", "share", "setting"]).sample(frac=1),
        sensitivity=pd.DataFrame(sensitivity, columns=["group", "sensitive", "insensitive", "setting"]),
    )


def judge(tables, params=None):
    return verdicts(study.judge(params or Params(), tables))


IDS = ["D10", "D10b", "D10c", "D11", "D11b", "D20", "D20b", "X40"]


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge(world()) == dict.fromkeys(IDS, "supported")


CHANGES = [
    ("D10", {"family": 0.05}),
    ("D10b", {"inside": -0.05}),
    ("D10c", {"nothing": 0.05}),
    ("D11", {"sensitive": 0.05}),
    ("D11b", {"insensitive": 0.02}),
    ("D20", {"by_depth": 0.01}),
    ("D20b", {"by_family": 0.01}),
    ("X40", {"shuffled": 1.5}),
    ("X40", {"shuffled": 0.6}),
]


@pytest.mark.parametrize(("id", "change"), CHANGES)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change):
    found = judge(world(**change))
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}


def test_estimates_are_what_was_planted():
    assert {id for id, _ in CHANGES} == set(IDS)
    made = {c.id: c for c in study.judge(Params(), world(nothing=0.01))}
    planted = {"D10": 0.25, "D10b": 0.14, "D10c": 0.01, "D11": 0.5, "D11b": 0.2, "D20": -0.07, "D20b": -0.27, "X40": 1}
    assert {id: c.estimate for id, c in made.items()} == pytest.approx(planted, abs=0.01)
    assert {id: c.n for id, c in made.items()} == {id: {"D10b": 3, "D10c": 9}.get(id, 6) for id in IDS}
    assert {c.notebook for c in made.values()} == {"12_inductive_bias"}
    said = {"authors' notebook": ["D10"], "abstract": ["D11", "D11b"], "ours": ["D10b", "D10c", "D20", "D20b", "X40"]}
    assert {says: [id for id, c in made.items() if c.origin == says] for says in said} == said
    assert {c.source for c in made.values() if c.origin != "ours"} == {PAPER.cite}
    assert [id for id, c in made.items() if c.kind == "check"] == ["D10c", "X40"]
    assert {c.scope for c in made.values()} == {"mnist1d, mlp, cnn, gru"}


def test_one_architecture_that_is_told_from_itself_is_counted_once():
    """Of nine comparisons of an architecture with itself, each stands in two groups."""
    tables = world()
    contrasts = tables["contrasts"]
    for group in (2, 3):
        rows = (contrasts.group == group) & (contrasts.kind == "nothing") & (contrasts.one == "gru-8")
        contrasts.loc[rows, "share"] = 0.9
    (made,) = (c for c in study.judge(Params(), tables) if c.id == "D10c")
    assert made.estimate == pytest.approx(0.1)
    assert made.n == 9


def test_the_claims_of_every_setting_rest_on_its_own_numbers():
    together = [world([MAIN]), world([REAL], insensitive=0.01, shuffled=2.0)]
    tables = {name: pd.concat([one[name] for one in together]) for name in together[0]}
    found = judge(tables, Params(real=REAL))
    assert list(found) == [f"{id}{label}" for label in ("", "@digits") for id in IDS]
    assert {id for id, verdict in found.items() if verdict != "supported"} == {"D11b@digits", "X40@digits"}
    made = {c.id: c for c in study.judge(Params(real=REAL), tables)}
    assert made["D11@digits"].statement == made["D11"].statement
    assert made["D11@digits"].scope == "digits, mlp, cnn, gru"


def test_too_little_and_lost_numbers_leave_claims_open():
    tables = {name: table[table.group == 0] for name, table in world().items()}
    found = judge(tables)
    assert {id for id, verdict in found.items() if verdict != "inconclusive"} == {"D10c"}  # of three architectures
    for name, column, touched in (
        ("sensitivity", "sensitive", {"D11"}),
        ("sensitivity", "insensitive", {"D11b"}),
        ("factors", "share", {"D20", "D20b"}),
    ):
        tables = world()
        table = tables[name]
        rows = (table.group == 4) & (table.factor == "width" if name == "factors" else True)
        table.loc[rows, column] = np.nan
        assert {id for id, verdict in judge(tables).items() if verdict == "inconclusive"} == touched


def test_claims_can_be_made_of_what_was_computed(results):
    made = study.judge(TINY, results)
    assert [c.id for c in made] == [f"{id}{label}" for label in ("", "@digits") for id in IDS]
    assert {c.id: c.n for c in made if c.id.startswith("D10")} == {
        "D10": 2, "D10b": 1, "D10c": 3, "D10@digits": 2, "D10b@digits": 1, "D10c@digits": 3,
    }  # fmt: skip


# --- figures ---------------------------------------------------------------------------------------------------------

DRAW = [figures.split, figures.contrasts, figures.manhattan, figures.sensitivity, figures.pictures]


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
        assert len(figure.axes) == (2 if draw is figures.manhattan else len(settings))
        assert all(axis.get_xlabel() for axis in figure.axes)
        first = figure.axes[0]
        assert first.get_ylabel() or [t.get_text() for t in first.get_yticklabels()]
        assert all(axis.get_title("left") for axis in figure.axes)
    plt.close(figure)


def test_pictures_show_the_numbers(results):
    figure, numbers = figures.split(results)
    for axis, name in zip(figure.axes, (MAIN, REAL), strict=True):
        some = numbers[numbers.setting == name].set_index("contrast")[::-1]
        names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
        assert names == list(some.index)
        bars = axis.patches
        widths = np.array([bar.get_width() for bar in bars]).reshape(3, -1)
        np.testing.assert_allclose(widths, some[["example", "architecture x example", "run"]].T)
        np.testing.assert_allclose([bar.get_x() for bar in bars[-6:]], widths[:2].sum(0))
    plt.close(figure)
    figure, numbers = figures.contrasts(results)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()][-1] == "GRU 8 | itself"
    assert len(numbers) == len(results["contrasts"])
    plt.close(figure)


def test_evidence_is_drawn_by_class_with_the_line_of_discoveries(other_families):
    tables = Tables({name: table.assign(setting=MAIN) for name, table in other_families.items()}, TINY)
    figure, numbers = figures.manhattan(tables)
    assert numbers.label.is_monotonic_increasing
    height = figure.axes[0].collections[0].get_offsets()[:, 1]
    np.testing.assert_allclose(height, -np.log10(numbers.p_pair.clip(1e-40)))
    (line,) = figure.axes[0].get_lines()
    found = stats.false_discovery_control(numbers.p_pair) <= 0.05
    assert line.get_ydata()[0] == height[found].min()
    assert figure.axes[0].get_title("left") == f"MLP against CNN: {found.mean():.1%} of the examples"
    height = figure.axes[1].collections[0].get_offsets()[:, 1]
    np.testing.assert_allclose(height, -np.log10(numbers.p_halves))
    plt.close(figure)


def test_examples_are_drawn_with_their_ranks(results):
    figure, shown = figures.pictures(results)
    examples = results["examples"].set_index(["setting", "id"])
    first = shown[(shown.setting == REAL) & (shown.kind == "most") & (shown.place == 2)]
    known = examples.loc[(REAL, first.id.iloc[0])]
    expected = " ".join(f"{100 * known[f'rank_{name}']:.0f}" for name in FAMILIES)
    axis = figure.axes[12 + 2]
    assert axis.get_title("left") == f"a {int(known.label)}: {expected}"
    np.testing.assert_array_equal(axis.images[0].get_array(), first.value.to_numpy().reshape(8, 8))
    plt.close(figure)


def test_sensitive_examples_stand_above_insensitive_ones(other_families):
    tables = Tables({name: table.assign(setting=MAIN) for name, table in other_families.items()}, TINY)
    figure, shown = figures.pictures(tables)
    for row, kind in enumerate(("most", "least")):
        assert figure.axes[6 * row].get_ylabel() == f"MNIST-1D\n{kind} sensitive"
        for place in range(6):
            (line,) = figure.axes[6 * row + place].get_lines()
            some = shown[(shown.kind == kind) & (shown.place == place)]
            np.testing.assert_array_equal(line.get_ydata(), some.value)
    plt.close(figure)


def test_the_table_of_factors_is_a_mean_over_groups(results):
    table = figures.factors(results)
    some = results["factors"].query("setting == @REAL and factor == 'depth'").share
    assert table.loc[REAL, "depth"] == pytest.approx(some.mean(), abs=6e-4)
    assert list(table.columns) == ["depth", "family", "width"]
