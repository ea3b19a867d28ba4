"""The rooms agree: notebooks, parameters, papers, figures, README, environment; and arrows go one way."""

import ast
import json
import math
import re
import statistics
import subprocess
import sys
import tomllib

import pandas as pd
import pytest
import yaml

from butterfly.study import claims, elsewhere, folders, ledger, notebooks, profiles, registration, report

TOPICS = folders.topics()
STUDIES = [topic for topic in TOPICS if topic != "00_index"]
LIB = folders.ROOT / "lib" / "butterfly"
README = (folders.ROOT / "README.md").read_text()
REFERENCE = folders.reference("laptop")
CLAIMS = ledger.read(REFERENCE / "claims.json")


# --- notebooks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", TOPICS)
def test_the_notebook_cell_holds_the_defaults_of_the_study(topic):
    study = notebooks.study(topic)
    assert notebooks.parameters(topic) == study.parameters().model_dump(mode="json")
    assert topic == study.notebook


@pytest.mark.parametrize("profile", profiles.known())
@pytest.mark.parametrize("topic", STUDIES)
def test_every_profile_is_valid_and_says_only_what_differs(topic, profile):
    _, values = profiles.parameters(topic, notebooks.study(topic).parameters, profile)
    defaults = notebooks.parameters(topic)
    same = [k for k, value in values.items() if k not in ("profile", "first_seed") and defaults[k] == value]
    assert not same, f"params/{profile}.yaml repeats defaults of {topic}: {same}"


@pytest.mark.parametrize("topic", TOPICS)
def test_the_committed_notebook_is_its_source_executed(topic):
    source = notebooks.read(topic)
    file = folders.NOTEBOOKS / f"{topic}.ipynb"
    assert file.stat().st_size < 450_000
    committed = json.loads(file.read_text())
    assert [cell["source"] for cell in committed["cells"]] == [cell.source for cell in source.cells], (
        f"notebooks/{topic}.ipynb is not made from its source; run 'make notebooks'"
    )
    assert [cell["id"] for cell in committed["cells"]] == [cell.id for cell in source.cells]
    code = [cell for cell in committed["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not any("execution" in cell["metadata"] for cell in committed["cells"])
    streams = [output.get("name") for cell in code for output in cell["outputs"]]
    assert "stderr" not in streams
    assert not any(output["output_type"] == "error" for cell in code for output in cell["outputs"])


def code_cells(topic):
    """The code of a notebook, cell by cell, but for its parameters."""
    cells = notebooks.read(topic).cells
    return [c.source for c in cells if c.cell_type == "code" and "parameters" not in c.metadata.get("tags", [])]


@pytest.mark.parametrize("topic", TOPICS)
def test_code_cells_are_short_and_define_nothing(topic):
    cells = code_cells(topic)
    for source in cells:
        assert len(source.splitlines()) <= 12, source
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(ast.parse(source)))
    assert statistics.median(len(source.splitlines()) for source in cells) <= 4


@pytest.mark.parametrize("topic", TOPICS)
def test_one_cell_shows_the_idea_in_ten_lines_of_primitives(topic):
    """A cell that only uses names of the primitives and trains, compares, scores or aligns by itself."""
    ideas = [source for source in code_cells(topic) if "study." not in source and "import" not in source]
    assert any(3 <= len(source.splitlines()) <= 10 for source in ideas)


@pytest.mark.parametrize("topic", STUDIES)
def test_every_reference_figure_is_shown_and_every_shown_figure_is_there(topic):
    text = (folders.NOTEBOOKS / f"{topic}.py").read_text()
    shown = set(re.findall(r"\.\./figures/reference/laptop/(\S+\.png)\)", text))
    there = {path.name for path in REFERENCE.glob(f"{topic[:2]}_*.png")}
    assert shown == there
    for name in there:
        assert (REFERENCE / name).stat().st_size < 100_000
        assert (REFERENCE / name).with_suffix(".csv").exists()


@pytest.mark.parametrize("topic", STUDIES)
def test_the_reference_comes_before_ones_own(topic):
    """Each image of the reference stands before the cell that draws the same figure at the reader's parameters."""
    text = (folders.NOTEBOOKS / f"{topic}.py").read_text()
    for letter in re.findall(r'study\.show\("(\w)"', text):
        assert text.index(f"laptop/{topic[:2]}_{letter}_") < text.index(f'study.show("{letter}"')
    typed = [line for line in text.splitlines() if re.search(r"\bn = \d", line)]
    assert not typed, "n is filled in from the data, not typed"


# --- README and ledger -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", TOPICS)
def test_the_readme_and_the_index_name_every_notebook(topic):
    assert f"notebooks/{topic}.ipynb" in README
    if topic != "00_index":
        assert f"({topic}.ipynb)" in (folders.NOTEBOOKS / "00_index.py").read_text()


def test_the_readme_is_one_page_and_a_line_a_paper_and_every_path_in_it_exists():
    table = re.search(r"<!-- papers: .*?<!-- end of papers -->", README, re.S)[0]
    assert len(README.replace(table, "").encode()) <= 7680
    assert all(len(row.encode()) <= 256 + 48 * row.count("](notebooks/") for row in table.splitlines())
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (folders.ROOT / target).exists(), target


def test_the_readme_and_the_ledger_are_made_from_the_reference():
    assert report.papers_table(CLAIMS) in README
    assert (folders.ROOT / "LEDGER.md").read_text() == report.ledger_text(CLAIMS)


def test_what_the_readme_says_did_not_reproduce_did_not():
    part = re.search(r"<!-- headlines -->(.*)<!-- end of headlines -->", README, re.S)[1]
    cited = re.findall(r"\b([A-Z]{1,2}\d\d[a-z]?(?:@\w+)?)\b", part)
    verdicts = {claim.id: claim.verdict for claim in CLAIMS}
    assert len(cited) >= 5
    assert {id: verdicts[id] for id in cited} == dict.fromkeys(cited, "contradicted")
    assert not elsewhere.shaky(CLAIMS, elsewhere.read("laptop")) & set(cited)


CITATION = re.compile(r"\b([A-Z]{1,2}\d\d[a-z]?(?:@[\w-]+)?) (supported|contradicted|inconclusive)\b")


@pytest.mark.parametrize("topic", ["README", *TOPICS])
def test_what_prose_says_of_a_claim_is_its_verdict(topic):
    text = README if topic == "README" else (folders.NOTEBOOKS / f"{topic}.py").read_text().replace("\n# ", " ")
    others = [claim for profile in report.others() for claim in report.named(profile)]
    verdicts = {claim.id: claim.verdict for claim in [*CLAIMS, *others]}
    wrong = {id: (said, verdicts.get(id)) for id, said in CITATION.findall(text) if verdicts.get(id) != said}
    assert not wrong, f"{topic} says of claims (said, is): {wrong}"


@pytest.mark.parametrize("topic", ["README", *TOPICS])
def test_prose_says_where_the_verdict_of_a_claim_hangs_on_the_instructions_of_a_processor(topic):
    text = README if topic == "README" else (folders.NOTEBOOKS / f"{topic}.py").read_text().replace("\n# ", " ")
    shaky = elsewhere.shaky(CLAIMS, elsewhere.read("laptop"))
    cited = [(*found.groups(), text[found.end() :].lstrip()) for found in CITATION.finditer(text)]
    silent = [
        id
        for id, verdict, after in cited
        if id in shaky and verdict != "inconclusive" and not after.startswith(", though not under all instruction sets")
    ]
    assert not silent, f"{topic}: say of {silent} 'though not under all instruction sets'"


@pytest.mark.parametrize("topic", STUDIES)
def test_progress_and_verdicts_are_not_held_against_the_committed_output(topic):
    """They tell seconds, and how many shards were there already."""
    for cell in notebooks.read(topic).cells:
        if cell.cell_type == "code" and cell.source.startswith(("study.open(", "study.verdicts(")):
            assert "nbval-ignore-output" in cell.metadata.get("tags", []), cell.source


@pytest.mark.parametrize("topic", STUDIES)
def test_each_notebook_says_in_short_what_came_out_and_cites_the_claims_it_rests_on(topic):
    first = notebooks.read(topic).cells[0].source
    short = re.search(r"\*\*In short\*\*(.*?)(\n\n|$)", first, re.S)
    assert short, "a paragraph that begins with **In short**"
    assert CITATION.search(short[1].replace("\n", " ")), "with claims, as in (B01 supported)"


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", README, re.S))
def test_the_examples_of_the_readme_run(example, capsys):
    exec(compile(example, "README", "exec"), {})
    assert capsys.readouterr().out


def test_every_claim_says_where_it_comes_from():
    for claim in CLAIMS:
        assert claim.origin, claim.id
        assert claim.kind in ("finding", "machine", "check")
        assert claim.scope, claim.id
        assert claim.paper == notebooks.study(claim.notebook).paper.key
        assert claim.source.startswith("this companion") == (claim.origin == "ours"), claim.id


def test_every_claim_could_have_come_out_otherwise():
    for claim in CLAIMS:
        if claim.kind != "check":
            assert claims.possible(claim), f"{claim.id}: {claim.region}, reach {claim.reach}"
            known = claim.n > 1 and math.isfinite(claim.low + claim.high)
            assert not known or not math.isnan(claim.power), f"{claim.id} needs a margin"


def test_every_claim_was_written_down_before_the_run_that_counts():
    explored = registration.exploration()
    if not explored:
        assert not any(claim.registered for claim in CLAIMS)
        assert "None of them has been confirmed" in (folders.ROOT / "LEDGER.md").read_text()
        return
    for claim in CLAIMS:
        assert claim.registered, claim.id
        assert claim.id in explored, claim.id
    for topic in STUDIES:
        params, _ = profiles.parameters(topic, notebooks.study(topic).parameters, "laptop")
        assert params.first_seed >= registration.FIRST, topic


def test_the_reference_has_the_claims_that_the_studies_ask():
    asked = {(q.id, topic) for topic in STUDIES for q in notebooks.study(topic).questions}
    assert {(claim.id.partition("@")[0], claim.notebook) for claim in CLAIMS} == asked
    ids = [claim.id for claim in CLAIMS]
    assert len(set(ids)) == len(ids)


def test_every_claim_names_figures_that_its_notebook_has():
    for claim in CLAIMS:
        for letter in claim.figure:
            assert list(REFERENCE.glob(f"{claim.notebook[:2]}_{letter}_*.png")), (claim.id, letter)


def test_the_reference_claims_follow_from_the_reference_data():
    """Judged again from the committed table, every claim comes out as committed."""
    study = notebooks.study("01_butterfly_effect")
    params, _ = profiles.parameters(study.notebook, study.parameters, "laptop")
    tables = {name: pd.read_csv(REFERENCE / f"01_{name}.csv") for name in ("twins", "longer")}
    again = {c.id: c for c in study.judge(params, tables)}
    kept = {c.id: c for c in CLAIMS if c.notebook == study.notebook}
    assert again.keys() == kept.keys()
    assert {"B01", "B01@digits"} <= kept.keys()
    for id, c in kept.items():
        assert again[id].verdict == c.verdict
        for field in ("estimate", "low", "high"):
            expected = pytest.approx(getattr(c, field), rel=1e-3, abs=1e-5, nan_ok=True)
            assert getattr(again[id], field) == expected


def test_the_reference_says_on_what_it_was_made():
    machine = json.loads((REFERENCE / "machine.json").read_text())
    assert {"processor", "cores", "python", "versions", "commit", "notebooks"} <= set(machine)
    facts = machine["notebooks"]["01_butterfly_effect"]
    if registration.exploration():
        assert facts["compute_seconds"] > 30, "the run that counts must start from an empty store"
    assert 0 < facts["peak_memory_mb"] < 4096


# --- arrows ----------------------------------------------------------------------------------------------------------


def imported(path) -> set[str]:
    """The modules of this package that a file imports, by their full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("butterfly"):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("butterfly")}
    return found


FILES = sorted(path.relative_to(LIB) for path in LIB.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_arrows_go_one_way(file):
    """Primitives know no study, `study` knows no paper, and no paper knows another."""
    found = imported(LIB / file)
    room = file.parts[0]
    if room not in ("study", "papers", "__main__.py"):
        assert not {name for name in found if name.startswith(("butterfly.study", "butterfly.papers"))}
    elif room == "study":
        assert not {name for name in found if name.startswith("butterfly.papers")}
    elif room == "papers" and len(file.parts) > 2:
        own = f"butterfly.papers.{file.parts[1]}"
        assert not {name for name in found if name.startswith("butterfly.papers.") and not name.startswith(own)}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_functions_are_of_a_length_that_can_be_read(file):
    functions = [n for n in ast.walk(ast.parse((LIB / file).read_text())) if isinstance(n, ast.FunctionDef)]
    long = {n.name: n.end_lineno - n.lineno + 1 for n in functions if n.end_lineno - n.lineno >= 60}
    assert not long


# --- environment -----------------------------------------------------------------------------------------------------

PROJECT = tomllib.loads((folders.ROOT / "pyproject.toml").read_text())["project"]
LISTED = yaml.safe_load((folders.ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
LOCK = (folders.ROOT / "requirements.lock").read_text().lower().splitlines()


def name_of(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9_-]+", requirement)[0].lower()


def test_the_library_needs_little_and_pins_nothing():
    needed = {"numpy", "pandas", "pydantic", "scikit-learn", "scipy", "torch"}
    assert {name_of(requirement) for requirement in PROJECT["dependencies"]} == needed
    everything = [*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)]
    assert not [r for r in everything if "==" in r]


def test_the_conda_environment_pins_what_the_project_needs_and_installs_it_torch_first():
    *pinned, own = LISTED
    assert pinned[0].startswith("torch==")
    assert own == "--editable ."
    extras = ("data", "notebooks", "cluster", "book", "test")
    needed = [r for r in PROJECT["dependencies"]] + [r for e in extras for r in PROJECT["optional-dependencies"][e]]
    assert {name_of(pin) for pin in pinned} == {name_of(r) for r in needed if not r.startswith("butterfly")}
    assert all(pin.count("==") == 1 for pin in pinned)


def test_the_lock_holds_every_pin_but_torch():
    for pin in LISTED[:-1]:
        assert (pin.lower() in LOCK) != pin.startswith("torch=="), pin
    assert not any(line.startswith(("torch==", "-e", "butterfly")) or "file:" in line for line in LOCK)


def test_make_and_conda_name_the_same_torch():
    makefile = (folders.ROOT / "Makefile").read_text()
    assert re.search(r"^TORCH\s*:= (torch==\S+)$", makefile, re.M).group(1) in LISTED


def test_the_primitives_import_without_the_extras():
    """In a fresh process, none of the primitives needs notebooks, plots or parameter files."""
    heavy = ["IPython", "matplotlib", "seaborn", "yaml", "papermill", "jupytext"]
    names = [f"butterfly.{path.stem}" for path in LIB.glob("[a-z]*.py")]
    names += ["butterfly.models.mlp", "butterfly.data.digits"]
    code = f"import sys, importlib; [importlib.import_module(name) for name in {names}]"
    code += f"; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- make ------------------------------------------------------------------------------------------------------------


def make(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["make", "-C", str(folders.ROOT), *arguments], capture_output=True, text=True, check=False)


def test_plain_make_explains_every_target():
    text = make("--no-print-directory").stdout
    targets = ["env", "figures", "figure-NN", "notebooks", "test", "lint", "bench", "lab", "claims", "compare", "clean"]
    for target in [*targets, "clean-runs", "reference"]:
        assert f"make {target} " in text
    for setting in ("PROFILE=", "DEVICE=", "JOBS=", "EXECUTOR=", "SET="):
        assert setting in text


def test_what_users_give_to_make_never_runs(tmp_path):
    """Values reach the program as text: neither make nor the shell expands them."""
    mark = tmp_path / "ran"
    for value in (f"$(shell touch {mark})", f"x; touch {mark}", f"$$(touch {mark})", f"`touch {mark}`"):
        for name in ("PROFILE", "JOBS", "EXECUTOR", "DEVICE", "SET", "DAYS"):
            plan = make("--dry-run", f"{name}={value}", "figures", "clean-runs")
            assert str(mark) not in plan.stdout, plan.stdout
    assert not mark.exists()


def test_every_package_of_the_lock_has_its_hashes():
    entries = (folders.ROOT / "requirements.hashes").read_text().replace("\\\n", " ").splitlines()[1:]
    hashed = {entry.split()[0]: entry.split()[1:] for entry in entries}
    locked = {re.sub("[-_.]+", "-", name) + "==" + v for name, _, v in (line.partition("==") for line in LOCK[1:])}
    assert set(hashed) == locked
    assert all(h and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in h) for h in hashed.values())
