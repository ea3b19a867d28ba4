"""The rooms agree: notebook, parameters, experiment, figures, README, environment."""

import ast
import importlib
import json
import re
import subprocess
import tomllib

import pandas as pd
import pytest
import yaml

from butterfly import claims, notebooks, paths

TOPICS = paths.topics()
PROFILES = sorted(path.name for path in paths.PARAMS.iterdir() if path.is_dir())
README = (paths.ROOT / "README.md").read_text()
REFERENCE = paths.reference("laptop")


@pytest.mark.parametrize("topic", TOPICS)
def test_the_notebook_cell_holds_the_defaults_of_the_experiment(topic):
    module = notebooks.experiment(topic)
    assert notebooks.parameters(topic) == module.Params().model_dump(mode="json")
    assert topic == module.NOTEBOOK


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("topic", TOPICS)
def test_every_profile_is_valid_and_says_only_what_differs(topic, profile):
    _, values = notebooks.profile(topic, profile)
    defaults = notebooks.parameters(topic)
    same = [name for name, value in values.items() if name != "profile" and defaults[name] == value]
    assert not same, f"params/{profile}/{topic}.yaml repeats defaults: {same}"


@pytest.mark.parametrize("topic", TOPICS)
def test_the_committed_notebook_is_its_source_executed(topic):
    source = notebooks.read(topic)
    file = paths.NOTEBOOKS / f"{topic}.ipynb"
    assert file.stat().st_size < 300_000
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


@pytest.mark.parametrize("topic", TOPICS)
def test_code_cells_are_short_and_define_nothing(topic):
    for cell in notebooks.read(topic).cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            tree = ast.parse(cell.source)
            assert len(cell.source.splitlines()) <= 8, cell.source
            assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(tree))


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic != "00_index"])
def test_every_reference_figure_is_shown_and_every_shown_figure_is_there(topic):
    text = (paths.NOTEBOOKS / f"{topic}.py").read_text()
    shown = set(re.findall(r"\.\./figures/reference/laptop/(\S+\.png)\)", text))
    there = {path.name for path in REFERENCE.glob(f"{topic[:2]}_*.png")}
    assert shown == there
    for name in there:
        assert (REFERENCE / name).stat().st_size < 100_000
        assert (REFERENCE / name).with_suffix(".csv").exists()
    assert importlib.import_module(f"butterfly.figures.{topic[3:]}")


@pytest.mark.parametrize("topic", TOPICS)
def test_the_readme_and_the_index_name_every_notebook(topic):
    assert f"notebooks/{topic}.ipynb" in README
    if topic != "00_index":
        assert f"({topic}.ipynb)" in (paths.NOTEBOOKS / "00_index.py").read_text()


def test_every_path_in_the_readme_exists():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (paths.ROOT / target).exists(), target


def test_the_readme_quotes_the_reference_ledger():
    for c in claims.read(REFERENCE / "claims.json"):
        row = next((line for line in README.splitlines() if line.startswith(f"| {c.id} ")), None)
        assert row, f"README has no row for {c.id}"
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells == [str(cell) for cell in claims.table([c]).iloc[0]]


def test_the_example_in_the_index_runs(capsys):
    text = "\n".join(cell.source for cell in notebooks.read("00_index").cells)
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    exec(compile(example, "index", "exec"), {})
    assert capsys.readouterr().out.startswith("tensor([")


def test_the_reference_claims_follow_from_the_reference_data():
    """Judged again from the committed table, every claim comes out as committed."""
    from butterfly.experiments import butterfly_effect as experiment
    from butterfly.experiments.butterfly_effect import Tables

    tables = Tables(twins=pd.read_csv(REFERENCE / "01_twins.csv"))
    params, _ = notebooks.profile(experiment.NOTEBOOK, "laptop")
    for setting, file in (("mnist1d", "claims.json"), ("digits", "01_f_digits.json")):
        again = {c.id: c for c in experiment.make_claims(params, tables, setting)}
        kept = {c.id: c for c in claims.read(REFERENCE / file) if c.notebook == experiment.NOTEBOOK}
        assert again.keys() == kept.keys()
        for id, c in kept.items():
            assert again[id].verdict == c.verdict
            for field in ("estimate", "low", "high"):
                expected = pytest.approx(getattr(c, field), rel=1e-3, abs=1e-5, nan_ok=True)
                assert getattr(again[id], field) == expected


def test_the_reference_says_on_what_it_was_made():
    machine = json.loads((REFERENCE / "machine.json").read_text())
    assert {"processor", "cores", "python", "versions", "commit", "notebooks"} <= set(machine)
    facts = machine["notebooks"]["01_butterfly_effect"]
    assert facts["compute_seconds"] > 30, "the reference run must start from an empty store"
    assert 0 < facts["peak_memory_mb"] < 4096


# --- environment -----------------------------------------------------------------------------------------------------


def pins() -> list[str]:
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    return project["dependencies"] + project["optional-dependencies"]["dev"]


def test_the_conda_environment_has_the_same_pins_torch_first():
    listed = yaml.safe_load((paths.ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    assert sorted(listed) == sorted(pins())
    assert listed[0].startswith("torch==")


def test_the_lock_holds_every_pin_but_torch():
    lines = (paths.ROOT / "requirements.lock").read_text().lower().splitlines()
    for pin in pins():
        assert (pin in lines) != pin.startswith("torch=="), pin
    assert not any(line.startswith(("torch==", "-e", "butterfly")) or "file:" in line for line in lines)


def test_make_and_pyproject_name_the_same_torch():
    makefile = (paths.ROOT / "Makefile").read_text()
    assert re.search(r"^TORCH\s*:= (torch==\S+)$", makefile, re.M).group(1) in pins()


def test_primitives_know_no_notebook_and_no_file():
    """Arrows go one way: notebooks -> experiments -> primitives."""
    rooms = {"experiments", "figures", "runs", "plots", "paths", "claims", "notebooks", "fingerprint"}
    primitives = ["stack", "models", "data", "streams", "augment", "train", "perturb", "interpolate", "evaluate"]
    primitives += ["batches", "align", "represent", "tangent", "prune", "geometry"]
    primitives += ["score", "probe", "reliability", "association"]
    for name in [*primitives, "strict", "settings"]:
        tree = ast.parse((paths.ROOT / "lib" / "butterfly" / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("butterfly"):
                imported = {*node.module.split(".")[1:], *(alias.name for alias in node.names)}
                assert not imported & rooms, f"{name} imports {imported & rooms}"


# --- make ------------------------------------------------------------------------------------------------------------


def make(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["make", "-C", str(paths.ROOT), *arguments], capture_output=True, text=True, check=False)


def test_plain_make_explains_every_target():
    text = make("--no-print-directory").stdout
    targets = ["env", "figures", "figure-NN", "notebooks", "test", "lint", "bench", "lab", "claims", "compare", "clean"]
    for target in targets:
        assert f"make {target} " in text
    for setting in ("PROFILE=", "DEVICE=", "JOBS="):
        assert setting in text


@pytest.mark.parametrize("changed", ["lib/butterfly/train.py", "notebooks/01_butterfly_effect.py", "requirements.lock"])
def test_what_depends_on_a_change_is_redone(changed):
    plan = make("--dry-run", f"--what-if={changed}", "figures").stdout
    assert "run 01_butterfly_effect --profile laptop" in plan


def test_a_changed_profile_redoes_its_own_figures_only():
    file = "params/gpu/01_butterfly_effect.yaml"
    assert "run 01_butterfly_effect" in make("--dry-run", f"--what-if={file}", "figures", "PROFILE=gpu").stdout


def test_unknown_profiles_and_figures_are_explained():
    profile = make("figures", "PROFILE=laptpo")
    assert profile.returncode != 0
    assert "PROFILE is one of: gpu laptop paper" in profile.stderr
    figure = make("figure-99")
    assert figure.returncode != 0
    assert "there is no notebook 99" in figure.stderr
