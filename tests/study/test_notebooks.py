"""Notebooks elsewhere: on Colab they fetch the project, and Jupyter keeps their two files together."""

import ast
import os
import shutil

import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupytext import build_sync_jupytext_contents_manager_class
from nbclient.exceptions import DeadKernelError

from butterfly.strict import UserError
from butterfly.study import folders, notebooks

TOPIC = "15_flips"


def test_without_a_public_home_nothing_is_fetched(monkeypatch):
    monkeypatch.setattr(folders, "repository", lambda: "")
    assert not [cell for cell in notebooks.read(TOPIC).cells if "git" in cell.source and cell.cell_type == "code"]


def test_with_one_the_first_cell_fetches_it_and_names_torch_nowhere(monkeypatch):
    plain = notebooks.read(TOPIC)
    monkeypatch.setattr(folders, "repository", lambda: "https://github.com/doe/companion")
    title, fetch, *rest = notebooks.read(TOPIC).cells
    assert "https://github.com/doe/companion" in fetch.source
    assert [title.source, *(cell.source for cell in rest)] == [cell.source for cell in plain.cells]
    commands = [node for node in ast.walk(ast.parse(fetch.source)) if isinstance(node, ast.Constant)]
    assert not [node.value for node in commands if "torch" in str(node.value) or "numpy" in str(node.value)]
    exec(compile(fetch.source, "fetch", "exec"), {})  # where the package is there, it does nothing


def test_the_home_is_one_setting(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "ROOT", tmp_path)
    assert folders.repository() == ""
    urls = '[project]\nname = "x"\n[project.urls]\nRepository = "https://github.com/doe/companion/"\n'
    (tmp_path / "pyproject.toml").write_text(urls)
    assert folders.repository() == "https://github.com/doe/companion"


@pytest.fixture
def jupyter(tmp_path):
    """What reads and writes files for JupyterLab, on a copy of one notebook."""
    for name in (f"{TOPIC}.py", f"{TOPIC}.ipynb", "jupytext.toml"):
        shutil.copy(folders.NOTEBOOKS / name, tmp_path)
    os.utime(tmp_path / f"{TOPIC}.py", (1, 1))  # as after `make notebooks`: the .py is the older
    manager = build_sync_jupytext_contents_manager_class(LargeFileManager)()
    manager.root_dir = str(tmp_path)
    return manager


@pytest.mark.parametrize("ending", ["py", "ipynb"])
def test_saving_in_jupyter_writes_both_files(jupyter, tmp_path, ending):
    model = jupyter.get(f"{TOPIC}.{ending}")
    model["content"]["cells"][0]["source"] += " One more sentence."
    jupyter.save(model, f"{TOPIC}.{ending}")
    before, after = ((at / f"{TOPIC}.py").read_text().splitlines() for at in (folders.NOTEBOOKS, tmp_path))
    assert [line for line in after if line not in before] == [f"{_last(before)} One more sentence."]
    assert len(before) == len(after)
    assert "One more sentence." in (tmp_path / f"{TOPIC}.ipynb").read_text()


def _last(lines: list[str]) -> str:
    """The last line of the first cell."""
    return lines[lines.index("# %%") - 2]


def test_what_has_come_apart_is_not_opened_without_a_word(jupyter, tmp_path):
    file = tmp_path / f"{TOPIC}.ipynb"
    file.write_text(file.read_text().replace("Two papers, one phenomenon", "Edited elsewhere"))
    with pytest.raises(Exception, match="Bad Request"):
        jupyter.get(f"{TOPIC}.ipynb")


@pytest.mark.parametrize("fault", [DeadKernelError("Kernel died"), RuntimeError("Kernel died before replying")])
def test_a_kernel_that_is_killed_is_one_line_also_while_it_starts(tmp_path, monkeypatch, fault):
    def dies(*given, **about):
        raise fault

    monkeypatch.setattr(notebooks.papermill, "execute_notebook", dies)
    with pytest.raises(UserError, match=r"its kernel was killed .* run the same command again"):
        notebooks.execute(TOPIC, {}, tmp_path / "out.ipynb")
    assert not list(tmp_path.iterdir())


def test_other_faults_of_a_notebook_are_not_hidden(tmp_path, monkeypatch):
    def fails(*given, **about):
        raise RuntimeError("something else")

    monkeypatch.setattr(notebooks.papermill, "execute_notebook", fails)
    with pytest.raises(RuntimeError, match="something else"):
        notebooks.execute(TOPIC, {}, tmp_path / "out.ipynb")
