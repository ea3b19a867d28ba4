"""Decoded copies of data sets: opened, shared, refused when damaged, never half there."""

import multiprocessing
import os
import warnings

import numpy as np
import pytest
import torch

from butterfly.decoded import decoded, folder

MADE = []


def make() -> dict[str, torch.Tensor]:
    MADE.append(1)
    random = torch.Generator().manual_seed(3)
    return {"x": torch.randn(700, 3, 5, 5, generator=random), "y": torch.arange(701)}


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    MADE.clear()
    return tmp_path


def file(name: str):
    (found,) = (folder() / "decoded").glob(f"*/{name}")
    return found


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == make().keys() and all(torch.equal(found[name], tensor) for name, tensor in make().items())


def test_it_is_made_once_and_opened_afterwards():
    assert same(decoded("task", ["a"], make))
    MADE.clear()
    assert same(decoded("task", ["a"], lambda: pytest.fail("made again")))


def test_what_it_is_made_of_counts():
    decoded("task", ["a", "b"], make)
    decoded("task", ["a", "c"], make)
    assert len(MADE) == 2


def test_who_changes_a_tensor_changes_nothing_for_others():
    decoded("task", ["a"], make)["x"].zero_()
    assert same(decoded("task", ["a"], lambda: pytest.fail("made again")))


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "empty", "foreign", "gone", "sums"])
def test_a_damaged_copy_is_made_again(damage):
    decoded("task", ["a"], make)
    x = file("x.npy")
    data = bytearray(x.read_bytes())
    match damage:
        case "flip":
            data[-7] ^= 4
        case "cut":
            data = data[: len(data) // 2]
        case "swap":
            whole = np.load(x)
            np.save(x, whole[::-1])
            data = bytearray(x.read_bytes())
        case "empty":
            data = b""
        case "foreign":
            data = b"not an array at all"
        case "gone":
            x.unlink()
        case "sums":
            file("sums.json").write_text("{")
    if damage not in ("gone", "sums"):
        x.write_bytes(data)
    MADE.clear()
    assert same(decoded("task", ["a"], make))
    assert len(MADE) >= 1
    assert same(decoded("task", ["a"], lambda: pytest.fail("made again")))
    assert [path.name for path in (folder() / "decoded").iterdir()] == [file("x.npy").parent.name]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_where_nothing_can_be_written_it_is_made_each_time_with_a_warning(own):
    own.chmod(0o500)
    with pytest.warns(UserWarning, match="no decoded copy of task can be kept"):
        assert same(decoded("task", ["a"], make))


def test_a_file_in_the_place_of_the_folder_is_no_reason_to_stop(own):
    (own / "butterfly").write_text("a file")
    with pytest.warns(UserWarning, match="no decoded copy of task can be kept"):
        assert same(decoded("task", ["a"], make))


def _open(results, own):
    os.environ["XDG_CACHE_HOME"] = own
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results.put(same(decoded("task", ["a"], make)))


def test_several_processes_may_make_it_at_once(own):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    several = [context.Process(target=_open, args=(results, str(own))) for _ in range(4)]
    for process in several:
        process.start()
    assert [results.get(timeout=60) for _ in several] == [True] * 4
    assert len(list((folder() / "decoded").iterdir())) == 1
