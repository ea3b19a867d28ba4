"""Notebooks: the `.py` file in percent format is the source; everything else is made from it."""

import ast
import importlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from butterfly.data import DataError
from butterfly.strict import ParameterError, UserError
from butterfly.study import folders
from butterfly.study.identity import StaleError
from butterfly.study.store import write_whole
from butterfly.study.study import Study

# For the kernel, which warns about every local connection, and calls it an error that its end interrupts it.
_QUIET = ["--log-level=CRITICAL"]
_PAPERS = Path(__file__).parents[1] / "papers"
# Errors in a notebook that the user can mend: one line says how.
_MENDABLE = {kind.__name__ for kind in (UserError, ParameterError, DataError, StaleError, OSError, PermissionError,
                                        FileNotFoundError, NotADirectoryError, IsADirectoryError)}  # fmt: skip

# The first cell where the project has a public home: on Colab there is only the notebook.
_FETCH = """\
# Where this notebook stands alone, as on Colab: fetch the project. What is installed already, as torch, stays as it is.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("butterfly") is None:
    subprocess.run(["git", "clone", "--quiet", "--depth=1", "{url}", "butterfly"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-e", "butterfly[data]"], check=True)
    sys.path.append("butterfly/lib")"""


def read(topic: str) -> nbformat.NotebookNode:
    """The notebook of a topic from its source, unexecuted, the same bytes every time."""
    notebook = jupytext.read(folders.NOTEBOOKS / f"{topic}.py", fmt="py:percent")
    notebook.metadata = nbformat.NotebookNode(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        # As in notebooks/jupytext.toml, so that both files open as the same.
        jupytext={"formats": "ipynb,py:percent", "main_language": "python", "notebook_metadata_filter": "-all"},
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    if (url := folders.repository()) and not any("fetch" in cell.metadata.get("tags", []) for cell in notebook.cells):
        fetch = nbformat.v4.new_code_cell(_FETCH.format(url=url), metadata={"tags": ["fetch"]})
        notebook.cells.insert(1, fetch)  # after the title
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"  # jupytext draws them at random
    return notebook


def source(topic: str) -> str:
    """The text of the notebook's source."""
    return (folders.NOTEBOOKS / f"{topic}.py").read_text()


def code_cells(topic: str) -> list[nbformat.NotebookNode]:
    """The cells with code."""
    return [cell for cell in read(topic).cells if cell.cell_type == "code"]


def parameters(topic: str) -> dict[str, Any]:
    """The defaults, as the one cell tagged `parameters` writes them."""
    cells = [cell for cell in read(topic).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ParameterError(f"notebooks/{topic}.py needs exactly one cell tagged 'parameters', it has {len(cells)}")
    try:
        return {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(cells[0].source).body}
    except (SyntaxError, ValueError, AttributeError) as error:
        raise ParameterError(
            f"notebooks/{topic}.py: the cell 'parameters' has lines 'name = value' only ({error})"
        ) from None


def study(topic: str) -> Study:
    """The study behind a notebook: `NN_name` belongs to the module `name` of a paper's room, or of `study` itself."""
    if topic not in folders.topics():
        raise ParameterError(f"there is no notebook '{topic}'; there are: {', '.join(folders.topics())}")
    name = topic[3:]
    rooms = [f"papers.{file.parent.name}" for file in sorted(_PAPERS.glob(f"*/{name}.py"))] or ["study"]
    if len(rooms) > 1:
        raise ParameterError(f"{' and '.join(rooms)} both have a study '{name}'; give one of them another name")
    return importlib.import_module(f"butterfly.{rooms[0]}.{name}").study


def execute(topic: str, values: dict[str, Any], output: Path) -> None:
    """Run a notebook with papermill; the output appears when it is complete. `UserError` where the user can mend it."""
    parameters(topic)  # without their cell, papermill would keep the defaults and say nothing
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{topic}.", suffix=".part") as drafts:
        source, draft = Path(drafts) / "source.ipynb", Path(drafts) / "draft.ipynb"
        nbformat.write(read(topic), source)
        # Left to itself, the kernel leaves this file in the temporary folder when it is killed.
        connection = Config({"KernelManager": {"connection_file": str(Path(drafts) / "kernel.json")}})
        quiet = {"progress_bar": False, "extra_arguments": _QUIET}
        try:
            papermill.execute_notebook(
                source, draft, parameters=values, cwd=str(folders.ROOT), config=connection, **quiet
            )
        except RuntimeError as error:
            if not isinstance(error, DeadKernelError) and "Kernel died" not in str(error):  # the latter as it starts
                raise
            raise UserError(f"{topic}: its kernel was killed (out of memory?); run the same command again") from None
        except PapermillExecutionError as error:
            if error.ename not in _MENDABLE:
                raise
            raise UserError(f"{topic}: {error.evalue}") from None
        os.replace(draft, output)


def build(topic: str) -> Path:
    """Execute a notebook at its defaults and write the committed `.ipynb`, the same bytes on the same machine."""
    notebook = read(topic)
    where = {"metadata": {"path": str(folders.NOTEBOOKS)}}
    client = NotebookClient(notebook, record_timing=False, timeout=600, resources=where, extra_arguments=_QUIET)
    client.execute()
    notebook.metadata.language_info = {"name": "python"}
    output = folders.NOTEBOOKS / f"{topic}.ipynb"
    write_whole(output, (json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())
    return output
