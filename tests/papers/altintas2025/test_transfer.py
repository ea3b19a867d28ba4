"""Notebook 06: twins of fine-tuning measured again in plain steps, heads and classes by hand, claims either way."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from butterfly import data, models
from butterfly.evaluate import evaluate
from butterfly.interpolate import EPSILON
from butterfly.papers.altintas2025 import transfer
from butterfly.papers.altintas2025.transfer import HALVES, UNEQUAL, Params, study
from butterfly.perturb import Kick
from butterfly.strict import ParameterError
from butterfly.study import Kind, Origin, plain
from butterfly.train import Fork, Observer, train
from tests.conftest import verdicts

TINY = Params(
    settings=("digits",),
    steps=60,
    tuning=0.25,
    checkpoints=(0.0, 20.0, 100.0),
    seeds=2,
    seeds_per_shard=2,
    size=0.5,
    points=3,
    text_steps=40,
    text_seeds=1,
    text_times=(0.0, 20.0),
    text_sizes=(1e-2, 0.5),
)
SEED = 1
# Other networks of the shard change the blocks and so the last bits, which training amplifies a little.
NEAR = {"rel": 0.02, "abs": 1e-3}


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    keys = {
        "classes": (["setting", "direction", "checkpoint", "seed", "kind"], 4 * 3 * 2 * 2),
        "texts": (["text", "seed", "time", "size", "matched"], 1 + 4 + 2),
    }
    assert set(results) == set(keys)
    for name, (key, count) in keys.items():
        table = results[name]
        assert len(table) == count, name
        assert not table.duplicated(key).any(), name
        assert np.isfinite(table[["largest_difference", "distance", "barrier", "loss", "accuracy"]]).all(axis=None)
    classes, texts = results["classes"], results["texts"]
    assert set(classes.direction) == {*HALVES, *UNEQUAL}
    assert set(classes.checkpoint) == {0, 20, 100}
    assert (classes.time == 0).all()
    assert classes.matched.all()
    assert set(classes["size"]) == {0, 0.5}
    cells = sorted(texts[["time", "size", "matched", "kind"]].itertuples(index=False, name=None))
    assert cells == [
        (0.0, 0.0, False, "twin"),
        (0.0, 0.0, True, "control"),
        (0.0, 1e-2, True, "twin"),
        (0.0, 0.5, False, "twin"),
        (0.0, 0.5, True, "twin"),
        (20.0, 1e-2, True, "twin"),
        (20.0, 0.5, True, "twin"),
    ]


def test_controls_are_identical_to_their_parents(results):
    for table in results.values():
        control, twin = (table[table.kind == kind] for kind in ("control", "twin"))
        assert (control[["largest_difference", "distance", "size"]] == 0).all(axis=None)
        assert control.matched.all()
        assert control.barrier.max() < 1e-8
        assert (twin[["largest_difference", "distance"]] > 0).all(axis=None)


# --- twins in plain steps --------------------------------------------------------------------------------------------


def fresh_head(theta, source, target, names):
    """One network `[1, Q]`: what `names` lists is new, everything else as in `theta [1, P]`."""
    made, old = target.init([SEED]), source.layout.tensors(theta)
    for name, view in target.layout.tensors(made).items():
        if name not in names:
            view.copy_(old[name])
    return made


def compared(task, model, a, b):
    """Every column but the key, from parent and twin `[P]`."""
    line = torch.stack([a, (a + b) / 2, b])
    loss = evaluate(model, line, task.x, task.y)[0]
    return {
        "largest_difference": (b - a).abs().max().item(),
        "distance": (b - a).norm().item(),
        "barrier": max((loss[1] - (loss[0] + loss[2]) / 2).item(), 0),
        "loss": loss[0].item(),
        "accuracy": 1 - evaluate(model, a[None], task.x_test, task.y_test)[1].item(),
    }


@pytest.mark.parametrize(
    ("direction", "first", "second"),
    [
        ("first half to second", range(5), range(5, 10)),
        ("second half to first", range(5, 10), range(5)),
        ("many to few", range(7), range(7, 10)),
        ("few to many", range(7, 10), range(7)),
    ],
)
def test_a_twin_is_what_it_says(results, direction, first, second):
    recipe, task = plain("digits", 60).recipe, data.load("digits")
    before, after = (data.of_classes(task, [*some]) for some in (first, second))
    source, model = (models.build("mlp-2x64", (1, 8, 8), one.classes) for one in (before, after))
    tuned = recipe.model_copy(update={"steps": 15})
    for checkpoint, step in ((0, 0), (20, 12), (100, 60)):
        theta = source.init([SEED]) if step == 0 else pretrained(source, before, recipe, step)
        start = fresh_head(theta, source, model, ("linear2.weight", "linear2.bias"))
        a, b = train(model, after, tuned, [SEED], [Fork(SEED, 0, Kick(size=0.5))], init=start).theta
        where = "direction == @direction and checkpoint == @checkpoint and seed == @SEED and kind == 'twin'"
        (row,) = results["classes"].query(where).to_dict("records")
        expected = compared(after, model, a, b)
        assert {name: row[name] for name in expected} == pytest.approx(expected, **NEAR), checkpoint


def pretrained(model, task, recipe, step):
    """Seed 1 after `step` updates `[1, P]`."""
    copy = Observer("copy", lambda now: now.theta.clone(), frozenset({step}))
    return train(model, task, recipe, [SEED], observers=[copy]).records[0][2]


@pytest.fixture(scope="module")
def text():
    """Seed 0 of the language: tasks, model, recipe of fine-tuning, and where that starts."""
    recipe, before, after = plain("text", 40).recipe, data.load("language-a"), data.load("sums")
    model = models.build("transformer-2x32", before.input_shape, 10)
    theta = train(model, before, recipe, [0]).theta
    start = theta.clone()
    views, fresh = model.layout.tensors(start), model.layout.tensors(model.init([0]))
    for name in ("head.weight", "head.bias"):
        views[name].copy_(fresh[name])
    return after, model, recipe.model_copy(update={"steps": 10}), start


@pytest.mark.parametrize(
    ("time", "step", "size", "noise"),
    [(20, 2, 0.5, ""), (0, 0, 1e-2, ""), (0, 0, 0.0, "dropout"), (0, 0, 0.5, "dropout")],
)
def test_a_twin_of_the_language_is_what_it_says(results, text, time, step, size, noise):
    task, model, recipe, start = text
    assert recipe.dropout == 0.1
    a, b = train(model, task, recipe, [0], [Fork(0, step, Kick(size=size), noise)], init=start).theta
    here = results["texts"].query("time == @time and size == @size")
    (row,) = here[here.matched == (noise == "")].to_dict("records")
    expected = compared(task, model, a, b)
    assert {name: row[name] for name in expected} == pytest.approx(expected, **NEAR)


def test_dropout_of_its_own_parts_a_twin_without_a_kick(results):
    texts = results["texts"].set_index(["time", "size", "matched"]).distance
    assert texts[0, 0.0, False] > 10 * texts[0, 0.0, True]
    assert texts[0, 0.0, False] > 2 * texts[0, 1e-2, True]


# --- classes and heads -----------------------------------------------------------------------------------------------


def test_classes_of_every_direction():
    few, many = [7, 8, 9], [0, 1, 2, 3, 4, 5, 6]
    assert transfer.classes_of("first half to second", 10) == ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    assert transfer.classes_of("second half to first", 10) == ([5, 6, 7, 8, 9], [0, 1, 2, 3, 4])
    assert transfer.classes_of("many to few", 10) == (many, few)
    assert transfer.classes_of("few to many", 10) == (few, many)
    assert transfer.classes_of("first half to second", 5) == ([0, 1], [2, 3, 4])
    assert transfer.classes_of("few to many", 4) == ([3], [0, 1, 2])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp-2x16", (1, 12)),
        ("mlp-3x16-norm", (1, 12)),
        ("cnn-3x8", (1, 12)),
        ("resnet8-8", (3, 8, 8)),
        ("transformer-2x8", (12, 6)),
    ],
)
@pytest.mark.parametrize("classes", [(7, 3), (3, 7), (5, 5)])
def test_a_new_head_is_fresh_and_the_trunk_is_kept_to_the_bit(name, shape, classes):
    source, target = (models.build(name, shape, count) for count in classes)
    theta = torch.randn(2, source.layout.size)
    kept = theta.clone()
    found = target.layout.tensors(transfer.with_new_head(source, theta, target, [4, 9]))
    old, fresh = source.layout.tensors(theta), target.layout.tensors(target.init([4, 9]))
    head = [view for view in found if view.rpartition(".")[0] in ("head", f"linear{name[4]}")]
    assert len(head) == 2
    assert set(found) == set(old)
    for tensor, view in found.items():
        assert torch.equal(view, fresh[tensor] if tensor in head else old[tensor]), tensor
    assert torch.equal(theta, kept)


def test_a_new_head_has_the_precision_of_the_network():
    model = models.build("mlp-2x16", (1, 12), 3)
    theta = torch.randn(1, model.layout.size, dtype=torch.float64)
    assert transfer.with_new_head(model, theta, model, [0]).dtype == torch.float64


# --- parameters and shards -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"checkpoints": [0.0, 100.0]}, "three or more rising percentages from 0 to 100"),
        ({"checkpoints": [1.0, 50.0, 100.0]}, "rising percentages from 0 to 100"),
        ({"checkpoints": [0.0, 50.0, 99.0]}, "rising percentages from 0 to 100"),
        ({"checkpoints": [0.0, 50.0, 50.0, 100.0]}, "three or more rising"),
        ({"settings": []}, "give one or two different ones"),
        ({"settings": ["digits", "digits"]}, "give one or two different ones"),
        ({"settings": ["digits", "mnist1d", "mnist"]}, "give one or two different ones"),
        ({"settings": ["text"]}, "of images or signals"),
        ({"settings": ["mnist2d"]}, "unknown setting 'mnist2d'"),
        ({"text_times": [0.0]}, "two or more text_times from 0 on"),
        ({"text_times": [1.0, 50.0]}, "two or more text_times from 0 on"),
        ({"text_times": [50.0, 0.0]}, "text_times = .* rising percentages"),
        ({"text_times": [0.0, 100.0]}, "from 0 to below 100"),
        ({"text_sizes": [1e-3]}, "two or more text_sizes"),
        ({"text_sizes": [0.0, 1e-3]}, "text_sizes = .* rising sizes above 0"),
        ({"text_sizes": [1e-2, 1e-3]}, "rising sizes above 0"),
        ({"texts": []}, "give some of language-b, sums"),
        ({"texts": ["language-a"]}, "give some of language-b, sums"),
        ({"texts": ["sums", "sums"]}, "each once"),
        ({"tuning": 0.0}, "'tuning' = 0.0"),
        ({"seeds": 0}, "'seeds' = 0"),
        ({"text_seeds": 0}, "'text_seeds' = 0"),
        ({"points": 2}, "'points' = 2"),
        ({"size": 0.0}, "'size' = 0.0"),
        ({"text": ["sums"]}, "did you mean 'texts'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"checkpoints": (0.0, 0.1, 100.0)}, "checkpoints .* different updates"),
        ({"text_times": (0.0, 1.0)}, "kick times .* different updates before the last"),
        ({"tuning": 0.03}, "leaves none; give more of either"),
        ({"steps": 30, "text_steps": 600, "tuning": 0.02}, "of 30 steps leaves none"),
    ],
)
def test_runs_that_are_too_short_are_refused(changes, reason):
    with pytest.raises(ParameterError, match=reason):
        study.shards(TINY.model_copy(update=changes))


def keyed(params):
    return [
        (s.of, s.config.get("direction"), s.config["setting"]["data"], s.config["seeds"]) for s in study.shards(params)
    ]


def test_shards_hold_nothing_that_does_not_matter():
    few = study.shards(TINY)
    assert keyed(TINY) == [
        *(("digits", direction, "digits", [0, 1]) for direction in (*HALVES, *UNEQUAL)),
        ("sums", None, "language-a", [0]),
    ]
    changes = {"profile": "other", "seeds": 5, "text_seeds": 3, "texts": ("language-b", "sums")}
    many = study.shards(TINY.model_copy(update=changes))
    assert len(many) == 4 * 3 + 2 * 2
    assert few[:4] == many[:12:3]
    assert all({"text", "seeds"} <= set(shard.config) for shard in many[12:])
    # What only classes or only texts need is no part of the other.
    other = {"text_steps": 40, "text_sizes": (1e-3, 1e-2), "text_times": (0.0, 50.0)}
    assert study.shards(TINY.model_copy(update=other))[:4] == few[:4]
    other = {"steps": 50, "checkpoints": (0.0, 50.0, 100.0), "seeds": 1, "settings": ("mnist1d",)}
    assert study.shards(TINY.model_copy(update=other))[4] == few[4]
    both = TINY.model_copy(update={"settings": ("digits", "mnist1d")})
    assert [*study.shards(both)[:4], study.shards(both)[-1]] == few


def test_a_recipe_changes_the_main_setting_and_nothing_else():
    values = {"settings": ["mnist1d", "digits"]}
    was = study.shards(Params.read(values, "here"))
    own = {"recipe": {"lr": 0.03, "momentum": 0.5}, "data_set": "digits", "model": "cnn-2x8"}
    found = study.shards(Params.read(values | own, "here"))
    assert [shard.of for shard in found] == ["mnist1d"] * 4 + ["digits"] * 4 + ["sums"]
    assert found[4:] == was[4:]
    recipe = was[0].config["setting"]["recipe"] | own["recipe"]
    for shard in found[:4]:
        assert shard.config["setting"] == {"data": "digits", "model": "cnn-2x8", "recipe": recipe}


def test_fine_tuning_is_a_fraction_of_pretraining():
    tuned = transfer._tuned(plain("digits", 50), 0.5)
    assert tuned.model_dump() == plain("digits", 25).model_dump()
    assert transfer._tuned(plain("digits", 50), 0.04).recipe.steps == 2


# --- claims on made-up worlds ----------------------------------------------------------------------------------------


def classes(name="mnist1d", full=0.3, trend=0.7, unequal=0.6, gain=0.5):
    """Six seeds at four checkpoints; ratios and factors as in the claims."""
    random, rows = np.random.default_rng(0), []
    checkpoints = (0.0, 10.0, 50.0, 100.0)
    for seed in range(6):
        for direction, kind in [(d, k) for d in (*HALVES, *UNEQUAL) for k in ("twin", "control")]:
            for place, checkpoint in enumerate(checkpoints):
                if direction in HALVES:
                    # The two halves differ, more and more; only their mean counts.
                    skew = 2.0 ** (place + 1) if direction == HALVES[0] else 0.5 ** (place + 1)
                    barrier = (full * trend ** (place - 3) if place else 1.0) * skew
                else:
                    many = direction == UNEQUAL[0]
                    barrier = 0.2 * (unequal if many else 1.0)
                    if checkpoint == 0:
                        barrier *= 3 / (gain if many else 1.0)
                moved = barrier * random.uniform(0.98, 1.02) - EPSILON if kind == "twin" else 0.0
                rows.append((name, direction, checkpoint, seed, kind, float(kind == "twin"), moved, 0.1))
    columns = ["setting", "direction", "checkpoint", "seed", "kind", "largest_difference", "barrier", "loss"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0)


def texts(same=0.0, relation=1.0, floor=2.0, sized=1.0):
    """Six seeds on two texts with barriers tenfold apart: the twins with their own dropout relative to the others."""
    random, rows = np.random.default_rng(1), []
    for text, level in (("language-b", 0.1), ("sums", 1.0)):
        for seed in range(6):
            kicked = {}
            for place, (time, size) in enumerate([(0.0, 1e-4), (50.0, 1e-4), (50.0, 1e-2), (0.0, 1e-2)]):
                distance = 1.0 + place
                kicked[time, size] = level * (1 + relation * (distance - 2.5) / 4) * random.uniform(0.98, 1.02)
                rows.append((text, seed, time, size, True, "twin", 1.0, distance, kicked[time, size]))
            rows.append((text, seed, 0.0, 0.0, True, "control", same, 0.0, 0.0))
            parted = kicked[0.0, 1e-2] * floor
            rows.append((text, seed, 0.0, 0.0, False, "twin", 1.0, 9.0, parted * random.uniform(0.98, 1.02)))
            rows.append((text, seed, 0.0, 1e-2, False, "twin", 1.0, 9.0, parted * sized))
    columns = ["text", "seed", "time", "size", "matched", "kind", "largest_difference", "distance", "barrier"]
    found = pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0).assign(loss=0.1)
    return found.assign(barrier=found.barrier.where(found.kind == "control", found.barrier - EPSILON))


OF_TEXTS = {"B19", "B19b", "B19c", "B19d"}
OF_CLASSES = {"B17", "B17b", "B18", "B18b"}
CLAIMS = ["B17", "B17b", "B18", "B18b", "B19", "B19b", "B19c", "B19d"]


def world(**changes):
    of_texts = {key: changes.pop(key) for key in ("same", "relation", "floor", "sized") if key in changes}
    return dict(classes=classes(**changes), texts=texts(**of_texts))


def judge(**changes):
    return verdicts(study.judge(Params(), world(**changes)))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge() == dict.fromkeys(CLAIMS, "supported")


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("B17", {"full": 1.5}),
        ("B17b", {"trend": 1.3}),
        ("B18", {"unequal": 1.5}),
        ("B18b", {"gain": 1.5}),
        ("B19b", {"relation": -1.0}),
        ("B19c", {"floor": 0.5}),
        ("B19d", {"sized": 1.5}),
        ("B19d", {"sized": 0.6}),
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change):
    found = judge(**change)
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}


def test_twins_that_differ_without_a_kick_contradict_one_claim_and_void_the_rest():
    found = judge(same=1e-9)
    assert found["B19"] == "contradicted"
    assert {id for id, verdict in found.items() if verdict == "inconclusive"} == OF_TEXTS - {"B19"}
    assert all(found[id] == "supported" for id in OF_CLASSES)


def test_estimates_are_what_was_planted():
    made = study.judge(Params(), world(sized=1.1))
    expected = {"B17": 0.3, "B17b": 0.7, "B18": 0.6, "B18b": 0.5, "B19": 0, "B19b": 1, "B19c": 2, "B19d": 1.1}
    assert {c.id: c.estimate for c in made} == pytest.approx(expected, rel=0.02)
    assert {c.n for c in made} == {6}  # seeds, whatever the number of texts, directions and times
    assert [c.id for c in made] == CLAIMS
    ours = {c.id for c in made if c.origin == Origin.OURS}
    assert ours == {c.id for c in made if c.source == "this companion"} == OF_TEXTS | {"B18b"}
    assert [c.id for c in made if c.kind == Kind.CHECK] == ["B19"]


def test_ranks_are_taken_within_a_text():
    """Over both texts together, distance and barrier are unrelated: their levels differ."""
    tables = world()
    far = tables["texts"].text == "language-b"  # the lower barriers
    tables["texts"].loc[far, "distance"] += 100
    made = {c.id: c for c in study.judge(Params(), tables)}
    assert made["B19b"].estimate == pytest.approx(1)
    # Texts that disagree cancel.
    tables["texts"].loc[far, "distance"] *= -1
    made = {c.id: c for c in study.judge(Params(), tables)}
    assert made["B19b"].estimate == pytest.approx(0)


def lost(table, where, column, value):
    tables = world()
    rows = tables[table].query(where).index
    assert len(rows) == 1
    tables[table].loc[rows, column] = value
    made = study.judge(Params(), tables)
    return {c.id: c.void for c in made if c.verdict == "inconclusive"}


@pytest.mark.parametrize(
    ("kind", "column", "value", "why"),
    [
        ("control", "largest_difference", 1e-9, "control twins differ"),
        ("control", "largest_difference", np.nan, "control twins differ"),
        ("twin", "barrier", np.nan, "1 of .* no finite loss"),
        ("twin", "barrier", np.inf, "no finite loss"),
        ("twin", "loss", np.nan, "no finite loss"),
        ("control", "loss", np.nan, "no finite loss"),
    ],
)
def test_claims_are_void_where_controls_differ_or_numbers_are_lost(kind, column, value, why):
    found = lost(
        "classes", f"seed == 3 and kind == '{kind}' and checkpoint == 50 and direction == 'many to few'", column, value
    )
    assert set(found) == OF_CLASSES
    of_text = (
        f"seed == 3 and time == 0 and kind == '{kind}' and text == 'sums' and size == {1e-4 if kind == 'twin' else 0}"
    )
    texts = lost("texts", of_text, column, value)
    # That twins stay identical does not rest on their loss; a difference makes it false, and one not known leaves it.
    unknown = column == "largest_difference" and np.isnan(value)
    assert set(texts) == (OF_TEXTS if unknown else OF_TEXTS - {"B19"})
    for id, void in (found | texts).items():
        assert id == "B19" or re.search(why, void)


@pytest.mark.parametrize("checkpoint", [0.0, 50.0, 100.0])
def test_claims_are_void_where_every_twin_of_a_checkpoint_diverged(checkpoint):
    tables = world()
    one = tables["classes"]
    one.loc[(one.checkpoint == checkpoint) & (one.kind == "twin"), "barrier"] = np.nan
    found = verdicts(study.judge(Params(), tables))
    assert {id for id, verdict in found.items() if verdict == "inconclusive"} == OF_CLASSES


def test_one_seed_and_one_text_give_no_interval_and_no_warning():
    """Less than the smoke profile has."""
    tables = world()
    tables["classes"] = tables["classes"].query("seed == 0")
    tables["texts"] = tables["texts"].query("seed == 0 and text == 'sums'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = study.judge(Params(), tables)
    assert {c.n for c in made} == {1}
    assert {c.id for c in made if c.verdict == "inconclusive"} == set(CLAIMS) - {"B19"}


def test_a_second_setting_is_judged_on_its_own():
    params = Params(settings=("mnist1d", "digits"))
    other = classes("digits", full=1.5, trend=1.3, unequal=1.5, gain=1.5)
    tables = dict(classes=pd.concat([classes(), other], ignore_index=True), texts=texts())
    made = study.judge(params, tables)
    expected = dict.fromkeys(CLAIMS, "supported") | {f"{id}@digits": "contradicted" for id in OF_CLASSES}
    assert verdicts(made) == expected
    text = plain("text")
    scopes = dict.fromkeys(OF_CLASSES, "mnist1d, mlp-4x64") | dict.fromkeys(OF_TEXTS, f"{text.data}, {text.model}")
    scopes |= {f"{id}@digits": "digits, mlp-2x64" for id in OF_CLASSES}
    assert {c.id: c.scope for c in made} == scopes
    # What is void on one is not so on the other.
    one = tables["classes"]
    one.loc[(one.setting == "mnist1d") & (one.kind == "control"), "largest_difference"] = 1.0
    found = verdicts(study.judge(params, tables))
    assert found == expected | dict.fromkeys(OF_CLASSES, "inconclusive")


def test_a_setting_that_was_left_out_has_no_claims():
    made = study.judge(Params(settings=("digits",)), dict(classes=classes("digits"), texts=texts()))
    assert verdicts(made) == dict.fromkeys(CLAIMS, "supported")
