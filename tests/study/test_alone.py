"""One command at a time in a folder, and nothing left over."""

import os
import signal
import subprocess
import sys
import time

import pytest

from butterfly.study.alone import alone, swept
from butterfly.study.notebooks import execute

HOLDER = """
import sys, time
from pathlib import Path
from butterfly.study.alone import alone
with alone(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(600)
"""


def hold(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in\n"
    return process


def test_a_second_command_waits_until_the_first_ends_however_it_ends(tmp_path, capfd):
    first = hold(tmp_path)
    waiting = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            if "another command works in" in (told := capfd.readouterr().err):
                break
            time.sleep(0.1)
        assert str(tmp_path) in told
        first.send_signal(signal.SIGKILL)
        assert waiting.stdout.readline() == "in\n"
    finally:
        for process in (first, waiting):
            process.kill()
            process.wait()


def test_drafts_of_the_dead_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".99_toy.abc.part").mkdir()
    (tmp_path / ".99_toy.abc.part" / "draft.ipynb").write_text("{}")
    (tmp_path / ".a.csv.x.part").write_text("half")
    for name in ("a.csv", ".hidden"):
        (tmp_path / name).write_text("whole")
    with alone(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "a.csv"]


@pytest.mark.parametrize("year", [1990, 2100])
def test_in_a_folder_of_many_only_drafts_that_outlive_a_command_are_dead(tmp_path, year):
    old, new = tmp_path / ".k.abc.part", tmp_path / ".k.def.part"
    old.write_bytes(b"half")
    os.utime(old, ((year - 1970) * 31_556_952,) * 2)
    with swept(tmp_path):
        assert old.exists()
        new.write_bytes(b"half")
    assert not old.exists()
    assert new.exists()


def test_a_notebook_without_parameters_is_not_run(tmp_path, monkeypatch):
    from butterfly.study import folders

    monkeypatch.setattr(folders, "NOTEBOOKS", tmp_path)
    for text in ("", "# %%\nprint(1)\n"):
        (tmp_path / "99_toy.py").write_text(text)
        with pytest.raises(ValueError, match="needs exactly one cell tagged 'parameters'"):
            execute("99_toy", {}, tmp_path / "out" / "99_toy.ipynb")
    assert not (tmp_path / "out").exists()
