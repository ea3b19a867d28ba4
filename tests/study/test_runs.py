"""The store of finished shards: atomic, verified, resumable; and its keys, which nobody can forget to change."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from butterfly import fingerprint, paths, runs
from butterfly.runs import DamagedError, Store
from butterfly.strict import UserError

CALLS = []


def square(config):
    CALLS.append(config["x"])
    return {"square": np.array([config["x"] ** 2]), "name": np.array(["é"])}


def configs(*values):
    return [{"x": x, "device": "cpu"} for x in values]


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def test_results_come_in_order_and_are_computed_once(tmp_path):
    store = Store(tmp_path / "new" / "folder")
    for _ in range(2):
        found = runs.collect(square, configs(3, 1, 2), store)
        assert [int(a["square"][0]) for a in found] == [9, 1, 4]
        assert found[0]["name"].tolist() == ["é"]
    assert sorted(CALLS) == [1, 2, 3]


def test_any_executor_will_do(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        found = runs.collect(square, configs(3, 1, 2), Store(tmp_path), executor=pool)
    assert [int(a["square"][0]) for a in found] == [9, 1, 4]


def test_a_process_pool_works_and_is_single_threaded(tmp_path):
    with runs.workers(1) as pool:
        assert pool.submit(_threads).result() == 1


def _threads():
    import torch

    return torch.get_num_threads()


def damage_truncate(body):
    return body[: len(body) // 2]


def damage_flip(body):
    return body[:-40] + bytes([body[-40] ^ 1]) + body[-39:]


def damage_foreign(body):
    return b"not a shard at all"


def damage_empty(body):
    return b""


def damage_header(body):
    return b"[1, 2]\n" + body


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_foreign, damage_empty, damage_header])
def test_a_damaged_file_is_noticed_reported_and_replaced(tmp_path, damage):
    store, said = Store(tmp_path), []
    runs.collect(square, configs(5), store)
    (file,) = tmp_path.glob("*.shard")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    with pytest.raises(DamagedError):
        store.load(file.stem)
    (found,) = runs.collect(square, configs(5), store, report=said.append)
    assert found["square"].tolist() == [25]
    assert any("computed again" in line for line in said)
    assert store.load(file.stem)[0]["square"].tolist() == [25]


def test_a_shard_under_a_foreign_name_is_refused(tmp_path):
    store = Store(tmp_path)
    runs.collect(square, configs(5, 6), store)
    a, b = (store.file(runs.key_of(square, config)) for config in configs(5, 6))
    shutil.copy(a, b)
    assert runs.collect(square, configs(6), store)[0]["square"].tolist() == [36]


def test_objects_are_not_stored(tmp_path):
    with pytest.raises(ValueError, match="Object arrays"):
        Store(tmp_path).save("k", {"x": np.array([{}], dtype=object)}, {})
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_writers_are_swept(tmp_path):
    old, new = tmp_path / ".k.abc.part", tmp_path / ".k.def.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    Store(tmp_path).sweep()
    assert not old.exists()
    assert new.exists()


def test_a_failing_shard_keeps_the_finished_ones(tmp_path):
    with pytest.raises(TypeError):
        runs.collect(square, configs(2, "two"), Store(tmp_path))
    CALLS.clear()
    runs.collect(square, configs(2), Store(tmp_path))
    assert CALLS == []


def test_shards_that_run_while_another_fails_are_kept(tmp_path):
    """Two workers: one fails at once, the other finishes later; its result must not be lost."""
    with runs.workers(2) as pool, pytest.raises(TypeError):
        runs.collect(slow_square, configs("two", 3, 4), Store(tmp_path), executor=pool)
    kept = [Store(tmp_path).load(path.stem)[0]["square"].tolist() for path in tmp_path.glob("*.shard")]
    assert [9] in kept


def slow_square(config):
    if config["x"] != "two":
        time.sleep(2.0)
    return {"square": np.array([config["x"] ** 2])}


def die(config):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_explained(tmp_path):
    with runs.workers(1) as pool, pytest.raises(UserError, match="Finished shards are kept"):
        runs.collect(die, configs(1), Store(tmp_path), executor=pool)


WRITER = """
import sys, numpy as np
from pathlib import Path
from butterfly.runs import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
for round in range(10_000):
    for k in range(5):
        store.save(f"key{k}", {"x": np.full(20_000, k), "round": np.array([round])}, {})
"""


def test_the_store_survives_kill_9_at_random_moments(tmp_path):
    """Thirty writers are killed while they write; every file that is there is whole, every time."""
    store, dice = Store(tmp_path), random.Random(0)
    seen = 0
    for _ in range(30):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(dice.uniform(0.0, 0.06))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        for k in range(5):
            try:
                arrays, _ = store.load(f"key{k}")
            except KeyError:
                continue
            assert (arrays["x"] == k).all()
            seen += 1
    assert seen > 30
    store.sweep(older_than=-1)
    assert {path.suffix for path in tmp_path.iterdir()} == {".shard"}


# --- keys ------------------------------------------------------------------------------------------------------------


def test_keys_depend_on_the_configuration():
    keys = {runs.key_of(square, config) for config in configs(1, 2, 1.5)}
    assert len(keys) == 3
    assert runs.key_of(square, {"x": 1, "device": "cpu"}) == runs.key_of(square, {"device": "cpu", "x": 1})


def code_of_changed_copy(monkeypatch, module: str, old: str, new: str) -> str:
    """The fingerprint of the shard computation in a library in which one text is replaced."""
    from butterfly.experiments import butterfly_effect

    name = f"butterfly.{module.removesuffix('.py').replace('/', '.')}"
    text = (paths.ROOT / "lib" / "butterfly" / module).read_text()
    assert old in text, f"this test is out of date: {old!r} is not in {module}"
    source = fingerprint._source
    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "_source", lambda m: text.replace(old, new, 1) if m.__name__ == name else source(m))
        for cached in (fingerprint.code, fingerprint._parse):
            cached.cache_clear()
        found = fingerprint.code(butterfly_effect.compute_shard)
    for cached in (fingerprint.code, fingerprint._parse):
        cached.cache_clear()
    return found


def test_no_change_to_what_a_shard_computes_goes_unnoticed(monkeypatch):
    from butterfly.experiments import butterfly_effect

    before = fingerprint.code(butterfly_effect.compute_shard)
    experiment = "experiments/butterfly_effect.py"
    same = [
        (experiment, "# Regions are fixed", "# Another comment: regions are fixed"),
        (experiment, "Region(-0.1, 0.1)", "Region(-0.2, 0.2)"),  # claims are judged after the shards
        ("interpolate.py", '"""The straight line between two networks, and', '"""The line and'),
        ("plots.py", "0.18", "0.2"),
        ("experiments/twins.py", "BARRIER = 0.05", "BARRIER = 0.1"),
        ("claims.py", "misled by chance", "wrong by chance"),
        ("runs.py", "shards: {len(found)} stored", "shards: {len(found)} kept"),
    ]
    different = [
        (experiment, "1 - on_test.error[:, 0]", "on_test.error[:, 0]"),
        ("experiments/twins.py", "np.linspace(0, 1, count) ** 2", "np.linspace(0, 1, count) ** 3"),
        ("train.py", "alpha=-lr)", "alpha=-2 * lr)"),
        ("perturb.py", "kick.size * unit", "2 * kick.size * unit"),
        ("interpolate.py", "clamp_min(0.0)", "clamp_min(-1.0)"),
        ("evaluate.py", "loss / len(y)", "loss / (len(y) + 1)"),
        ("streams.py", '"/".join', '"-".join'),
        ("stack.py", "_PAD = 16", "_PAD = 32"),
        ("augment.py", "flip < 0.5", "flip < 0.4"),
        ("data.py", "order[500:], order[:500]", "order[400:], order[:400]"),
        ("models.py", "reversed(range(self.depth + 1))", "reversed(range(self.depth))"),
    ]
    for module, old, new in same:
        assert code_of_changed_copy(monkeypatch, module, old, new) == before, (module, new)
    for module, old, new in different:
        assert code_of_changed_copy(monkeypatch, module, old, new) != before, (module, new)


def test_what_a_shard_says_about_itself(tmp_path):
    store = Store(tmp_path)
    runs.collect(square, configs(4), store)
    about = store.load(runs.key_of(square, configs(4)[0]))[1]
    assert about["config"] == configs(4)[0]
    assert about["seconds"] >= 0
    json.dumps(about)


def test_time_left_counts_by_cost(tmp_path, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(runs.time, "monotonic", lambda: float(next(clock)))
    said = []
    runs.collect(square, configs(1, 3), Store(tmp_path), report=said.append, cost=lambda config: config["x"])
    # After a quarter of the cost, three times as long is left; the clock advances 10 s a look.
    assert said[1].endswith("about 1:30 left")
    assert said[2].endswith("about 0:00 left")
