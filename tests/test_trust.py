"""Nothing that is read can run: no unsafe deserialisation, no shell, and names stay in their folders."""

import ast
import hashlib
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from butterfly import SOURCES
from butterfly.strict import ParameterError
from butterfly.study import profiles
from butterfly.study.store import DamagedError, Store
from tests import toy

UNSAFE = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec", "os.system", "os.popen", "torch.load", "yaml.unsafe_load", "yaml.full_load"}


def unsafe(text: str) -> set[str]:
    """What a program imports or calls that can run what it reads."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & UNSAFE
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} & UNSAFE
        elif isinstance(node, ast.Call):
            found |= {ast.unparse(node.func)} & CALLS
            given = {(k.arg, ast.unparse(k.value)) for k in node.keywords}
            found |= {f"{k}={v}" for k, v in given & {("allow_pickle", "True"), ("shell", "True")}}
    return found


def test_the_look_finds_what_it_should():
    text = "import pickle\neval('1')\nnp.load(f, allow_pickle=True)\nrun(c, shell=True)\ntorch.load(f)"
    assert unsafe(text) == {"pickle", "eval", "allow_pickle=True", "shell=True", "torch.load"}


def test_no_program_here_can_run_what_it_reads():
    programs = dict(SOURCES) | {p: p.read_text() for p in sorted((toy.CHECKOUT / "book").glob("*.py"))}
    assert {str(path): found for path, text in programs.items() if (found := unsafe(text))} == {}


class Bomb:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("kind", ["npz", "pickle"])
def test_a_shard_with_a_right_checksum_that_would_run_does_not(tmp_path, kind):
    mark, body = tmp_path / "it ran", io.BytesIO()
    if kind == "npz":
        np.savez(body, allow_pickle=True, **{"array x": np.array([Bomb(mark)], dtype=object)})
    else:
        pickle.dump(Bomb(mark), body)
    payload = body.getvalue()
    head = {"key": "k", "sha256": hashlib.sha256(payload).hexdigest()}
    Store(tmp_path).file("k").write_bytes(json.dumps(head).encode() + b"\n" + payload)
    with pytest.raises(DamagedError):
        Store(tmp_path).load("k")
    assert not mark.exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!python/name:os.system", "!!python/module:os"])
def test_a_parameter_file_cannot_run(tag):
    with pytest.raises(ParameterError, match="is not YAML"):
        profiles.parse(f'a: {tag} ["true"]', "params/mine.yaml")


@pytest.mark.parametrize("changes", ["seeds=../../x", "a/b=$(true)", "seeds=`true`"])
def test_the_folder_of_changes_is_a_plain_name(changes):
    assert profiles.NAME.fullmatch(profiles.folder("mine", changes))
