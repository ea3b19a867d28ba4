"""Notebooks: the `.py` file in percent format is the source; everything else is made from it."""

import ast
import importlib
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import jupytext
import nbformat
import papermill
import yaml
from nbclient import NotebookClient

from butterfly import paths
from butterfly.experiments.common import Common
from butterfly.strict import ParameterError

_QUIET = ["--log-level=ERROR"]  # for the kernel, which warns about every local connection


def read(topic: str) -> nbformat.NotebookNode:
    """The notebook of a topic from its source, unexecuted, the same bytes every time."""
    notebook = jupytext.read(paths.NOTEBOOKS / f"{topic}.py")
    notebook.metadata = nbformat.NotebookNode(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        jupytext={"formats": "ipynb,py:percent", "main_language": "python"},
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"  # jupytext draws them at random
    return notebook


def parameters(topic: str) -> dict[str, Any]:
    """The defaults, as the one cell tagged `parameters` writes them."""
    cells = [cell for cell in read(topic).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ParameterError(f"notebooks/{topic}.py needs exactly one cell tagged 'parameters', it has {len(cells)}")
    assignments = ast.parse(cells[0].source).body
    return {node.targets[0].id: ast.literal_eval(node.value) for node in assignments}


def experiment(topic: str) -> ModuleType:
    """The module that belongs to a notebook: `butterfly.experiments.<topic without its number>`."""
    if topic not in paths.topics():
        raise ParameterError(f"there is no notebook '{topic}'; there are: {', '.join(paths.topics())}")
    return importlib.import_module(f"butterfly.experiments.{topic[3:]}")


def profile(topic: str, name: str, device: str | None = None) -> tuple[Common, dict[str, Any]]:
    """The validated parameters of a profile, and those values that differ from the notebook's defaults."""
    file = paths.PARAMS / name / f"{topic}.yaml"
    own_fields = set(experiment(topic).Params.model_fields) - set(Common.model_fields)
    if not file.exists() and own_fields:
        known = sorted(path.parent.name for path in paths.PARAMS.glob(f"*/{topic}.yaml"))
        raise ParameterError(f"there is no profile '{name}' of {topic}; there are: {', '.join(known)}")
    where = str(file.relative_to(paths.ROOT))
    try:
        values = yaml.safe_load(file.read_text() if own_fields else "") or {}
    except yaml.YAMLError as error:
        raise ParameterError(f"{where} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{where}: expected lines of the form 'name: value'")
    values |= {"profile": name} | ({"device": device} if device else {})
    return experiment(topic).Params.read(values, where), values


def execute(topic: str, values: dict[str, Any], output: Path) -> None:
    """Run a notebook with papermill; the output appears when it is complete."""
    output.parent.mkdir(parents=True, exist_ok=True)
    source, draft = (output.with_name(f".{output.stem}.{kind}.ipynb") for kind in ("source", "draft"))
    try:
        nbformat.write(read(topic), source)
        papermill.execute_notebook(
            source, draft, parameters=values, progress_bar=False, cwd=str(paths.ROOT), extra_arguments=_QUIET
        )
        os.replace(draft, output)
    finally:
        source.unlink(missing_ok=True)
        draft.unlink(missing_ok=True)


def build(topic: str) -> Path:
    """Execute a notebook at its defaults and write the committed `.ipynb`, the same bytes on the same machine."""
    notebook = read(topic)
    where = {"metadata": {"path": str(paths.NOTEBOOKS)}}
    client = NotebookClient(notebook, record_timing=False, timeout=600, resources=where, extra_arguments=_QUIET)
    client.execute()
    notebook.metadata.language_info = {"name": "python"}
    output = paths.NOTEBOOKS / f"{topic}.ipynb"
    draft = output.with_name(f".{output.name}")
    draft.write_text(json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    os.replace(draft, output)
    return output
