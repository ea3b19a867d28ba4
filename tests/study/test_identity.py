"""What a result is kept under: all code that decides it, and nothing else. Tried on changed copies of the sources."""

import ast
import random

import pytest

from butterfly import SOURCES, registry
from butterfly.strict import UserError
from butterfly.study import folders, identity, notebooks, runs
from butterfly.study.bench import Bench
from butterfly.study.identity import Program, StaleError, reach

LIB = next(path for path in SOURCES if path.name == "registry.py").parent
TOPICS = [topic for topic in folders.topics() if topic != "00_index"]


def roots() -> dict[str, list]:
    """For every computation of every study, at the defaults: what its identity is walked from."""
    found = {}
    for topic in TOPICS:
        study = notebooks.study(topic)
        configs = [shard.config for shard in study.shards(study.parameters())]
        files = sorted(identity.named(configs))
        for compute in study.computations:
            names = [(root.__module__, root.__name__) for root in (compute, Bench, runs.prepare)]
            found[f"{topic} {compute.__name__}"] = names + [(file, None) for file in files]
    return found


ROOTS = roots()


def hashes(changes: dict[str, str]) -> dict[str, str]:
    """The identity of every computation in a copy of the sources in which some files have other texts."""
    program = Program(SOURCES | {LIB / file: text for file, text in changes.items()})
    return {name: reach(own, program).hash for name, own in ROOTS.items()}


BEFORE = hashes({})
TRAINED = {name for name, own in ROOTS.items() if "butterfly.train:train" in reach(own, Program(SOURCES)).statements}


def changed(file: str, old: str, new: str) -> set[str]:
    """The computations whose identity changes when one text of one file is replaced."""
    text = SOURCES[LIB / file]
    assert old in text, f"this test is out of date: {old!r} is not in {file}"
    after = hashes({file: text.replace(old, new, 1)})
    return {name for name in ROOTS if after[name] != BEFORE[name]}


def test_every_study_has_computations_and_they_differ():
    assert {name.split()[0] for name in ROOTS} == set(TOPICS)


def test_nearly_every_computation_trains():
    assert {name for name in ROOTS if name < "30"} - TRAINED == {"11_one_notion measure_initial"}


@pytest.mark.parametrize("name", ROOTS)
def test_what_drives_studies_is_no_part_of_what_they_compute(name):
    """Profiles, ledgers, executors, figures and plans can change, and no result is computed anew."""
    own = {"bench", "identity", "runs", "settings"}
    statements = reach(ROOTS[name], Program(SOURCES)).statements
    modules = {place.partition(":")[0].rpartition("butterfly.study.")[2] for place in statements if ".study." in place}
    assert modules <= own, modules - own


FILES = sorted(str(path.relative_to(LIB)) for path in SOURCES)


@pytest.mark.parametrize("file", [file for file in FILES if not file.endswith("__init__.py")])
def test_what_nobody_uses_changes_nothing(file):
    """An unused function, class and constant, at the top and at the end of every module, and another comment."""
    extra = '\n\nclass Unused:\n    x = 1\n\n\ndef unused(x=3):\n    """Nothing."""\n    return x\n\n\n_UNUSED = 4\n'
    text = SOURCES[LIB / file]
    last_import = max(
        (n.end_lineno for n in ast.parse(text).body if isinstance(n, ast.Import | ast.ImportFrom)), default=1
    )
    lines = text.splitlines(keepends=True)
    both = (
        "".join(lines[:last_import])
        + extra
        + "# a comment\n"
        + "".join(lines[last_import:])
        + extra.replace("nused", "nused2").replace("_UNUSED", "_UNUSED2")
    )
    after = hashes({file: both})
    used = {name for name in ROOTS if after[name] != BEFORE[name]}
    served = f"butterfly.{file.removesuffix('.py').replace('/', '.')}"
    # Of an architecture or data set that is used, the whole file counts.
    assert used == {name for name, own in ROOTS.items() if (served, None) in own}


def test_an_unused_architecture_data_set_setting_or_score_changes_nothing():
    mlp = SOURCES[LIB / "models/mlp.py"].replace("class MLP", "class Maxout").replace("mlp-", "maxout-")
    digits = SOURCES[LIB / "data/digits.py"]
    assert hashes({"models/maxout.py": mlp, "data/unseen.py": digits}) == BEFORE
    assert not changed(
        "papers/kwok2024/settings.py", "SETTINGS = {", 'SETTINGS = {\n    "more": COMMON["mnist1d"].changed(lr=0.3),'
    )
    assert not changed("study/settings.py", "COMMON = {", 'COMMON = {\n    "more": None,')
    assert not changed(
        "score.py",
        '        Score("c_score"',
        '        Score("new", "f", "high", "end", "none", "nobody"),\n        Score("c_score"',
    )


def test_tables_claims_and_figures_change_nothing():
    for file in FILES:
        if not file.startswith("papers/") or f"butterfly.{file.removesuffix('.py').replace('/', '.')}" not in {
            own[0][0] for own in ROOTS.values()
        }:
            continue
        tree = ast.parse(SOURCES[LIB / file])
        for node in tree.body:
            marks = [ast.unparse(d).partition("(")[0] for d in getattr(node, "decorator_list", [])]
            if any(mark in ("study.tables", "study.claim", "study.unless", "study.plan") for mark in marks):
                node.body.insert(0, ast.parse("changed = 1").body[0])
                node.decorator_list = [ast.parse("study.claim('new')").body[0].value, *node.decorator_list]
        assert hashes({file: ast.unparse(tree)}) == BEFORE, file
    for file in ("study/claims.py", "study/ledger.py", "study/figures.py", "study/captions.py", "study/report.py"):
        assert hashes({file: "UNLIKE = 1\n"}) == BEFORE, file


@pytest.mark.parametrize("family", ["mlp", "cnn", "gru", "transformer", "resnet", "vgg"])
def test_an_architecture_counts_exactly_where_it_is_trained(family):
    text = SOURCES[LIB / f"models/{family}.py"]
    after = hashes({f"models/{family}.py": text.replace("return linear(", "return 2 * linear(", 1)})
    where = {name for name in ROOTS if after[name] != BEFORE[name]}
    assert where == {name for name, own in ROOTS.items() if (f"butterfly.models.{family}", None) in own}
    # At the defaults of the notebooks: text is learned in 06 alone, GRUs in 12 and 13, no residual network anywhere; 70 to 72
    # train recurrent networks alone.
    topics = {name.split()[0][:2] for name in where}
    expected = {
        "transformer": {"06", "81"},
        "gru": {"12", "13"},
        "cnn": {"12", "13", "15", "80"},
        "resnet": set(),
        "vgg": set(),
    }
    assert topics == expected.get(family, {topic[:2] for topic in TOPICS} - {"70", "71", "72"})


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("optim.py", "alpha=-lr)", "alpha=-2 * lr)"),
        ("streams.py", '"/".join', '"-".join'),
        ("stack.py", "_PAD = 16", "_PAD = 32"),
        ("evaluate.py", "loss / len(y)", "loss / (len(y) + 1)"),
        ("batches.py", "order[:, begin", "order[:, 1 + begin"),
        ("objective.py", 'reduction="none"', 'reduction="mean"'),
        ("models/base.py", "self.layout.init(", "2 * self.layout.init("),
        ("data/base.py", "mean) / std", "mean) / (2 * std)"),
        ("study/bench.py", "self.setting.model)", "'mlp-1x2')"),
        ("train.py", "1 - rest)", "2 - rest)"),
        ("study/runs.py", "set_num_threads(1)", "set_num_threads(2)"),
    ],
)
def test_what_all_use_counts_everywhere(file, old, new):
    wanted = {name for name in ROOTS if name < "30"}
    if file in ("optim.py", "batches.py", "objective.py", "train.py"):
        wanted = TRAINED
    if file == "evaluate.py":  # some studies never ask for a loss
        wanted = {name for name in ROOTS if name.split()[0][:2] in ("01", "02", "05", "20", "21", "23")}
    assert changed(file, old, new) >= {n for n in wanted if file != "data/base.py" or "text" not in n}


KICKED = {"01", "02", "03", "04", "05", "06", "07", "08", "15", "23"}


@pytest.mark.parametrize(
    ("file", "old", "new", "topics"),
    [
        ("align.py", "linear_sum_assignment(", "linear_sum_assignment(1 * ", {"02", "07", "20", "21", "23", "81"}),
        ("represent.py", "def angle(", "@cache\ndef angle(", {"02", "07", "22", "23", "42"}),
        ("prune.py", "math.floor(fraction", "math.floor(2 * fraction", {"14", "20"}),
        ("geometry.py", "def projection(", "@cache\ndef projection(", set()),
        ("curvature.py", "clamp_min(1e-300)", "clamp_min(1e-200)", {"03", "30", "31"}),
        ("probe.py", "def prediction_depth(", "@cache\ndef prediction_depth(", {"10", "11", "12", "13"}),
        ("papers/altintas2025/twins.py", "** 2 * steps", "** 3 * steps", {"01", "03", "05"}),
        (
            "papers/kwok2024/score_runs.py",
            "recipe.steps * look",
            "recipe.steps * 2 * look",
            {"10", "11", "12", "13", "14", "15", "16"},
        ),
    ],
)
def test_a_helper_far_down_counts_for_those_who_use_it_and_nobody_else(file, old, new, topics):
    assert {name.split()[0][:2] for name in changed(file, old, new)} == topics


def test_a_kick_counts_for_all_who_train():
    assert {name.split()[0][:2] for name in changed("perturb.py", "kick.size * unit", "2 * kick.size * unit")} >= KICKED


# --- mutations -------------------------------------------------------------------------------------------------------


class _Mutation(ast.NodeTransformer):
    """Changes the number-th constant or operator that can decide a number."""

    def __init__(self, number: int):
        self.left = number

    def visit_Raise(self, node):
        return node  # texts of errors do not count

    def visit_arg(self, node):
        return node

    def visit_Constant(self, node):
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            return node
        self.left -= 1
        return ast.Constant(node.value + 1) if self.left == -1 else node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        other = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}.get(type(node.op))
        if other is None:
            return node
        self.left -= 1
        return ast.BinOp(node.left, other(), node.right) if self.left == -1 else node


def test_random_mutations_of_reachable_code_all_count():
    dice = random.Random(0)
    program = Program(SOURCES)
    places = []
    for name, own in ROOTS.items():
        for place in sorted(reach(own, program).statements):
            module, _, defined = place.partition(":")
            if module.startswith("butterfly") and defined:
                places.append((name, module, defined))
    done = 0
    while done < 30:
        name, module, defined = dice.choice(places)
        path = program[module].path
        tree = ast.parse(SOURCES[path])
        nodes = [n for n in tree.body if defined in identity._bound(n)]
        counter = _Mutation(10**6)
        for node in nodes:
            counter.visit(node)
        sites = 10**6 - counter.left
        if not sites:
            continue
        tree = ast.parse(SOURCES[path])
        mutation = _Mutation(dice.randrange(sites))
        tree.body = [mutation.visit(n) if defined in identity._bound(n) else n for n in tree.body]
        after = hashes({str(path.relative_to(LIB)): ast.unparse(tree)})
        assert after[name] != BEFORE[name], (name, module, defined)
        done += 1


def test_of_a_script_what_it_calls_counts_and_not_what_stands_beside():
    script = "from butterfly import data\nfrom butterfly.train import train\ntask = data.load('digits')"
    text = SOURCES[LIB / "data/__init__.py"]

    def called(changed: str) -> str:
        return identity.called(script, Program(SOURCES | {LIB / "data/__init__.py": changed}))

    assert called(
        text.replace('    "load",', '    "load",\n    "another",') + "\n\ndef another():\n    pass\n"
    ) == called(text)
    assert called(text.replace(".load(name)", ".load(name, 1)")) != called(text)


# --- what is indirect ------------------------------------------------------------------------------------------------


def walked(tmp_path, **modules: str) -> str:
    """The identity of `f` in module `a` of a made-up package that replaces the primitives."""
    sources = dict(SOURCES) | {LIB / f"{name}.py": text for name, text in modules.items()}
    return reach([("butterfly.a", "f")], Program(sources)).hash


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # (the text of a.py, of b.py), and what must count
        (("from butterfly import b\ndef f():\n    return b.g()", "def g():\n    return 1"), "def g():\n    return 2"),
        (("from butterfly.b import g as h\ndef f():\n    return h()", "def g():\n    return 1"), "def g():\n    return 2"),
        (("from .b import g\ndef f():\n    return g()", "def g():\n    return 1"), "def g():\n    return 2"),
        (("from butterfly.b import *\ndef f():\n    return g()", "def g():\n    return 1"), "def g():\n    return 2"),
        (("def f():\n    from butterfly.b import g\n    return g()", "def g():\n    return 1"), "def g():\n    return 2"),
        (("def f():\n    import butterfly.b\n    return butterfly.b.g()", "def g():\n    return 1"), "def g():\n    return 2"),
        (("from butterfly import b\ndef f():\n    return apply(b)", "def g():\n    return 1"), "def g():\n    return 2"),
        (("from butterfly.b import R\ndef f():\n    return R['x']()", "R = {}\ndef g():\n    return 1\nR['x'] = g"),
         "R = {}\ndef g():\n    return 2\nR['x'] = g"),
        (("from butterfly.b import K\ndef f(x=K):\n    return x", "K = 1"), "K = 2"),
        (("from butterfly.b import deco\n@deco\ndef f():\n    return 1", "def deco(f):\n    return f"), "def deco(f):\n    return g"),
        (("from butterfly.b import Base\nclass C(Base):\n    pass\ndef f():\n    return C()", "class Base:\n    x = 1"), "class Base:\n    x = 2"),
        (("from butterfly.b import K\ndef f():\n    return [k for k in (K, 2)]", "K = 1"), "K = 2"),
        (("from butterfly.b import K\ndef f():\n    return lambda k: K + k", "K = 1"), "K = 2"),
        (("from butterfly.b import K\nclass C:\n    K = 3\n    def m(self):\n        return K\ndef f():\n    return C().m()", "K = 1"), "K = 2"),
        (("from butterfly.b import T\nT['y'] = 5\ndef f():\n    return T['x']", "T = {'x': 1}"), "T = {'x': 2}"),
        (("def f():\n    try:\n        from butterfly.b import g\n    except ImportError:\n        from butterfly.c import g\n    return g()",
          "def g():\n    return 1"), "def g():\n    return 2"),
        (("import butterfly.b\ndef f():\n    return 1", "import torch\ntorch.set_default_dtype(torch.float64)"), "import torch"),
        (("from butterfly.b import K\nclass C:\n    K = K\ndef f():\n    return C.K", "K = 1"), "K = 2"),
        (("from butterfly.b import cache\n@cache\ndef f():\n    return 1", "def cache(f):\n    return f"), "def cache(f):\n    return g"),
        (("import functools\nfrom butterfly.b import K\n@functools.partial(int, K)\ndef f():\n    return 1", "K = 1"), "K = 2"),
        (("from butterfly.b import g\ndef f():\n    return g()", "def g():\n    raise StopIteration(x)\nx = 1"),
         "def g():\n    raise StopIteration(x)\nx = 2"),
        (("from butterfly.b import g\ndef f():\n    return g()", "def g():\n    return globals()['h']()\ndef h():\n    return 1"),
         "def g():\n    return globals()['h']()\ndef h():\n    return 2"),
        (("from butterfly.b import g\ndef f():\n    return g()", "K = 1\nK += 1\ndef g():\n    return K"),
         "K = 1\nK += 2\ndef g():\n    return K"),
        (("from butterfly.b import g\ndef f():\n    return g()", "import sys\nsys.setrecursionlimit(100)\ndef g():\n    return 1"),
         "import sys\nsys.setrecursionlimit(200)\ndef g():\n    return 1"),
        (("from butterfly.b import g\ndef f():\n    return g()", "R = []\ndef enter(x):\n    R.append(x)\n    return x\n@enter\ndef h():\n    return 1\ndef g():\n    return R"),
         "R = []\ndef enter(x):\n    R.append(x)\n    return x\n@enter\ndef h():\n    return 2\ndef g():\n    return R"),
    ],
)  # fmt: skip
def test_what_is_used_indirectly_counts(tmp_path, before, after):
    a, b = before
    assert walked(tmp_path, a=a, b=b) != walked(tmp_path, a=a, b=after)


@pytest.mark.parametrize(
    ("a", "before", "after"),
    [
        ("from butterfly.b import g\ndef f(K):\n    return g(K)", "K = 1\ndef g(x):\n    return x", "K = 2\ndef g(x):\n    return x"),
        ("from butterfly.b import K\ndef f():\n    K = 3\n    return K", "K = 1", "K = 2"),
        ("from butterfly.b import K\ndef f():\n    return [K for K in (1, 2)]", "K = 1", "K = 2"),
        ("from butterfly.b import K\ndef f(x: K) -> K:\n    return x", "K = 1", "K = 2"),
        ("from butterfly.b import g\ndef f():\n    return g()", "def g():\n    '''One.'''\n    return 1", "def g():\n    '''Two.'''\n    return 1"),
        ("from butterfly.b import g\ndef f():\n    return g()", "def g():\n    raise ValueError('one')", "def g():\n    raise ValueError('two')"),
        ("from butterfly.b import g\ndef f():\n    return g()", "def g():\n    return 1", "import os\nX = 3\ndef h():\n    pass\n\ndef g():\n    return 1"),
    ],
)  # fmt: skip
def test_what_only_looks_alike_does_not(tmp_path, a, before, after):
    assert walked(tmp_path, a=a, b=before) == walked(tmp_path, a=a, b=after)


@pytest.mark.parametrize(
    "told",
    [
        "study.claim('T01', by='x')(g)",
        "for name in ('T01', 'T02'):\n    study.claim(name, by='x')(g)",
        "@study.claim('T01', by='x')\ndef h():\n    return K",
        "study.unless(g)",
    ],
)
def test_what_a_study_is_told_does_not_count(tmp_path, told):
    a = "from butterfly.b import K\ndef g():\n    return K\n@study.shard\ndef f():\n    return 1\n"
    assert walked(tmp_path, a=a + told, b="K = 1") == walked(tmp_path, a=a, b="K = 2")


def made(number):
    return lambda bench: {"x": number}


anonymous = made(1)


@pytest.mark.parametrize("name", ["compute", "anonymous"])
def test_a_computation_that_has_no_definition_of_its_own_is_refused(name):
    names = {}
    exec("def compute(bench):\n    return {}", {"__name__": "nowhere"}, names)
    with pytest.raises(UserError, match=r"is no definition of its own in a file \(.*\): its code cannot be told"):
        identity.code((names.get(name, anonymous),))


def test_versions_of_the_packages_that_are_used_count():
    packages = dict(
        identity.code((notebooks.study("23_chaos_paths").computations[0], Bench), ["butterfly.data.mnist1d"])
    )
    assert {"code", "torch", "numpy", "mnist1d"} <= set(packages)
    assert "matplotlib" not in packages
    scored = notebooks.study("10_noise").computations[0]
    assert "scikit-learn" in identity.code((scored, Bench))  # k-means


def test_what_a_configuration_names_is_found():
    config = {"setting": {"data": "digits", "model": "mlp-2x64"}, "others": ["resnet20-16", "no-such"], "n": 3}
    assert identity.named(config) == {"butterfly.data.digits", "butterfly.models.mlp", "butterfly.models.resnet"}
    assert registry.file_of("models", "base") is None


def test_code_that_was_edited_since_the_start_is_refused(monkeypatch, tmp_path):
    compute = notebooks.study("23_chaos_paths").computations[0]
    path = LIB / "represent.py"
    monkeypatch.setattr(identity, "_running", lambda: Program(SOURCES | {path: SOURCES[path] + "\n# as it was\n"}))
    identity._code.cache_clear()
    with pytest.raises(StaleError, match=r"represent.py changed since this program started.*restart the kernel"):
        identity.code((compute, Bench))
    identity._code.cache_clear()
