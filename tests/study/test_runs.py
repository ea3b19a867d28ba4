"""The store of finished shards: atomic, verified, resumable; and its keys, which nobody can forget to change."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from butterfly import models
from butterfly.strict import UserError
from butterfly.study import identity, runs
from butterfly.study.runs import Shard
from butterfly.study.store import DamagedError, Store, write_whole

CALLS = []
LIBRARY = Path(runs.__file__).parents[1]


def square(bench):
    CALLS.append(bench["x"])
    return {"square": np.array([bench["x"] ** 2]), "name": np.array(["é"])}


def shards(*values, compute=square):
    return [Shard(compute, {"x": x, "device": "cpu"}) for x in values]


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def test_results_come_in_order_and_are_computed_once(tmp_path):
    store = Store(tmp_path / "new" / "folder")
    for _ in range(2):
        found = runs.collect(shards(3, 1, 2), store)
        assert [int(a["square"][0]) for a in found] == [9, 1, 4]
        assert found[0]["name"].tolist() == ["é"]
    assert sorted(CALLS) == [1, 2, 3]


def test_any_executor_will_do(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        found = runs.collect(shards(3, 1, 2), Store(tmp_path), executor=pool)
    assert [int(a["square"][0]) for a in found] == [9, 1, 4]


def test_a_process_pool_works_and_is_single_threaded(tmp_path):
    with runs.workers(1) as pool:
        assert pool.submit(_threads).result() == 1


def _threads():
    import torch

    return torch.get_num_threads()


def test_a_worker_takes_numbers_below_the_normal_range_for_zero(tmp_path):
    """A product with such numbers would take hundreds of times as long."""
    with runs.workers(1) as pool:
        assert pool.submit(_tiny).result() == 0


def _tiny():
    import torch

    return float(torch.tensor([1e-20]) * 1e-20)


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
    runs.collect(shards(5), store)
    (file,) = tmp_path.glob("*.shard")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    with pytest.raises(DamagedError):
        store.load(file.stem)
    (found,) = runs.collect(shards(5), store, report=said.append)
    assert found["square"].tolist() == [25]
    assert any("computed again" in line for line in said)
    assert store.load(file.stem)[0]["square"].tolist() == [25]


def test_a_shard_under_a_foreign_name_is_refused(tmp_path):
    store = Store(tmp_path)
    runs.collect(shards(5, 6), store)
    a, b = (store.file(shard.key) for shard in shards(5, 6))
    shutil.copy(a, b)
    assert runs.collect(shards(6), store)[0]["square"].tolist() == [36]


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


def test_a_failing_shard_keeps_the_others_and_is_named(tmp_path):
    with pytest.raises(TypeError) as error:
        runs.collect(shards("two", 3, "four"), Store(tmp_path))
    (note,) = error.value.__notes__
    assert note.startswith("2 of 3 shards failed; the others are kept:\n  square: TypeError")
    CALLS.clear()
    runs.collect(shards(3), Store(tmp_path))
    assert CALLS == []


def test_a_failing_shard_keeps_the_finished_ones(tmp_path):
    with pytest.raises(TypeError):
        runs.collect(shards(2, "two"), Store(tmp_path))
    CALLS.clear()
    runs.collect(shards(2), Store(tmp_path))
    assert CALLS == []


def test_shards_that_run_while_another_fails_are_kept(tmp_path):
    """Two workers: one fails at once, the other finishes later; its result must not be lost."""
    with runs.workers(2) as pool, pytest.raises(TypeError):
        runs.collect(shards("two", 3, 4, compute=slow_square), Store(tmp_path), executor=pool)
    kept = [Store(tmp_path).load(path.stem)[0]["square"].tolist() for path in tmp_path.glob("*.shard")]
    assert sorted(kept) == [[9], [16]]


def slow_square(bench):
    if bench["x"] != "two":
        time.sleep(1.0)
    return {"square": np.array([bench["x"] ** 2])}


def die(bench):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_explained(tmp_path):
    with runs.workers(1) as pool, pytest.raises(UserError, match="Finished shards are kept"):
        runs.collect(shards(1, compute=die), Store(tmp_path), executor=pool)


WRITER = """
import sys, numpy as np
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
spec = spec_from_file_location("store", sys.argv[2])  # alone: all else takes seconds to import
sys.modules["store"] = store = module_from_spec(spec)
spec.loader.exec_module(store)
store = store.Store(Path(sys.argv[1]))
print("ready", flush=True)
for round in range(10_000):
    for k in range(5):
        store.save(f"key{k}", {"x": np.full(20_000, k), "round": np.array([round])}, {})
"""


def test_the_store_survives_kill_9_at_random_moments(tmp_path):
    """Twelve writers are killed while they write; every file that is there is whole, every time."""
    store, dice = Store(tmp_path), random.Random(0)
    seen = 0
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(LIBRARY / "study" / "store.py")], stdout=subprocess.PIPE
        )
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
    assert seen > 12
    store.sweep(older_than=-1)
    assert {path.suffix for path in tmp_path.iterdir()} == {".shard"}


@pytest.mark.parametrize("foreign", ["folder", "loop", "deep", "pickle"])
def test_what_is_no_shard_at_all_is_computed_again(tmp_path, foreign):
    store = Store(tmp_path)
    (shard,) = shards(5)
    file = store.file(shard.key)
    if foreign == "folder":
        file.mkdir()
        with pytest.raises(DamagedError):
            store.load(shard.key)
        return  # a folder of that name cannot be replaced, and is said to be the trouble
    if foreign == "loop":
        file.symlink_to(file.name)
    elif foreign == "deep":
        file.write_bytes(b"[" * 100_000 + b"\n")
    else:
        payload = b"PK" + b"\0" * 50
        head = {"key": shard.key, "sha256": hashlib.sha256(payload).hexdigest()}
        file.write_bytes(json.dumps(head).encode() + b"\n" + payload)
    assert runs.collect([shard], store)[0]["square"].tolist() == [25]
    assert store.load(shard.key)[0]["square"].tolist() == [25]


def test_colleagues_can_read_what_is_stored(tmp_path):
    runs.collect(shards(5), Store(tmp_path))
    (file,) = tmp_path.glob("*.shard")
    umask = os.umask(0)
    os.umask(umask)
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_folder_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*; what was finished before is kept"):
        write_whole(tmp_path / "file" / "x", b"")


def test_sweeping_bears_with_another_driver(tmp_path, monkeypatch):
    """A file that another driver removes between being listed and being looked at is no fault."""
    gone = tmp_path / ".k.abc.part"
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter([gone]))
    Store(tmp_path).sweep()


def test_what_nobody_asked_for_is_cleaned_away(tmp_path):
    store = Store(tmp_path)
    runs.collect(shards(5, 6), store)
    old, asked = (store.file(shard.key) for shard in shards(5, 6))
    for file in (old, asked):
        os.utime(file, (time.time() - 40 * 86_400,) * 2)
    runs.collect(shards(6), store)
    assert store.clean(days=30) == 1
    assert not old.exists()
    assert asked.exists()


# --- keys ------------------------------------------------------------------------------------------------------------


def test_keys_depend_on_the_configuration():
    assert len({shard.key for shard in shards(1, 2, 1.5)}) == 3
    assert runs.key_of(square, {"x": 1, "device": "cpu"}) == runs.key_of(square, {"device": "cpu", "x": 1})
    one, other = (Shard(square, {"x": 1, "device": "cpu"}, of) for of in ("a", "b"))
    assert one.key == other.key  # whom it belongs to decides no number


def test_gpus_of_one_kind_are_one_device(monkeypatch):
    monkeypatch.setattr(identity, "environment", lambda device: {"processor": device.partition(":")[0]})
    keys = {runs.key_of(square, {"x": 1, "device": device}) for device in ("cuda", "cuda:0", "cuda:1")}
    assert len(keys) == 1
    assert runs.key_of(square, {"x": 1, "device": "cpu"}) not in keys


def test_a_worker_with_other_code_is_refused(tmp_path, monkeypatch):
    """What a worker computes from other sources is not kept under the driver's key."""
    monkeypatch.setattr(runs, "work", lambda compute, config: ("another key", {"x": np.zeros(1)}, 0.0))
    with pytest.raises(identity.StaleError, match="a worker runs other code"):
        runs.collect(shards(1), Store(tmp_path))
    assert not list(tmp_path.glob("*.shard"))


EDITED = """
import sys, time
from pathlib import Path
from butterfly.study.runs import Shard, collect
from butterfly.study.store import Store
from butterfly.papers.toy import measure
shard = Shard(measure, {"device": "cpu", "x": 3})
print("ready", flush=True)
sys.stdin.readline()
print(collect([shard], Store(Path(sys.argv[1])))[0]["y"])
"""


def test_an_edit_while_a_program_runs_poisons_no_store(tmp_path):
    """A program that lives while the library is edited stores nothing; edit taken back, results are those of old."""
    library = tmp_path / "lib" / "butterfly"
    shutil.copytree(LIBRARY, library, ignore=shutil.ignore_patterns("__pycache__", "*20??"))
    toy = library / "papers" / "toy.py"
    text = "import numpy as np\n\n\ndef measure(bench):\n    return {'y': np.array([bench['x'] * 2])}\n"
    toy.write_text(text)
    store = tmp_path / "store"
    environment = os.environ | {"PYTHONPATH": str(library.parent)}

    def program():
        command = [sys.executable, "-c", EDITED, str(store)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, env=environment, text=True, **pipes)
        assert process.stdout.readline() == "ready\n"
        return process

    old = program()
    toy.write_text(text.replace("* 2", "* 5"))
    _, error = old.communicate("go\n", timeout=120)
    assert "toy.py changed since this program started" in error
    assert not list(store.glob("*.shard"))
    toy.write_text(text)
    assert program().communicate("go\n", timeout=120)[0] == "[6]\n"


def test_what_a_shard_opens_it_must_name(tmp_path):
    with pytest.raises(RuntimeError, match=r"opened butterfly.models.mlp, which its configuration does not name"):
        runs.collect(shards(1, compute=builds_secretly), Store(tmp_path))
    named = Shard(builds_secretly, {"x": 1, "device": "cpu", "architectures": ["mlp-1x2"]})
    assert runs.collect([named], Store(tmp_path))[0]["count"].tolist() == [16]


def builds_secretly(bench):
    return {"count": np.array([models.build("mlp-1x2", (1, 3), 2).layout.size])}


def test_what_a_shard_says_about_itself(tmp_path):
    store = Store(tmp_path)
    (shard,) = shards(4)
    runs.collect([shard], store)
    about = store.load(shard.key)[1]
    assert about["config"] == shard.config
    assert about["seconds"] >= 0
    json.dumps(about)


# --- time ------------------------------------------------------------------------------------------------------------


def timed(tmp_path, monkeypatch, *values):
    """What is said of the time left when a shard takes as many minutes as its x."""
    monkeypatch.setattr(
        runs, "work", lambda compute, config: (runs.key_of(compute, config), {"x": np.zeros(1)}, 60.0 * config["x"])
    )
    monkeypatch.setattr(runs, "_OFTEN", 0.0)
    said = []
    runs.collect(shards(*values), Store(tmp_path), report=said.append)
    return [line.rpartition("about ")[2] for line in said[1:]]


def test_time_left_is_that_of_earlier_shards_of_the_same_kind(tmp_path, monkeypatch):
    # Nothing is known at first: the rest counts like what was seen so far.
    assert timed(tmp_path, monkeypatch, 1, 3, 2) == ["2:00 left", "2:00 left", "0:00 left"]
    for file in tmp_path.glob("*.shard"):
        file.unlink()
    assert timed(tmp_path, monkeypatch, 1, 3, 2) == ["5:00 left", "2:00 left", "0:00 left"]


def test_damaged_times_do_no_harm(tmp_path, monkeypatch):
    for text in ("[]", "{", '{"x": "y"}'):
        (tmp_path / "seconds.json").write_text(text)
        assert timed(tmp_path, monkeypatch, 1, 1)[-1] == "0:00 left"
        for file in tmp_path.glob("*.shard"):
            file.unlink()


LONG = """
import sys
from butterfly import checkpoint, models, train
from butterfly.study import runs
from butterfly.study.settings import setting

checkpoint.keeping.__wrapped__.__defaults__ = (0.0,)  # at every update, for what it costs
began = train._Course.resume


def resume(*of):
    step = began(*of)
    print("from", step, file=sys.stderr, flush=True)
    return step


train._Course.resume = resume


def long(bench):
    run = train.train(bench.model, bench.task, bench.recipe, [0, 1])
    return {"theta": run.theta.numpy()}


if __name__ == "__main__":
    chosen = setting("digits").changed(steps=int(sys.argv[1]))
    from butterfly import data
    config = {"device": "cpu", "setting": chosen.identity, "source": data.provenance("digits")}
    sys.stdout.buffer.write(runs.work(long, config)[1]["theta"].tobytes())
"""


def test_a_shard_whose_worker_was_killed_goes_on_where_it_was(tmp_path):
    script = tmp_path / "long.py"
    script.write_text(LONG)
    whole, cut = (os.environ | {"BUTTERFLY_RUNS": str(tmp_path / name), "PYTHONPATH": str(LIBRARY.parent)}
                  for name in ("whole", "cut"))  # fmt: skip
    command = [sys.executable, str(script), "3000"]
    first = subprocess.Popen(command, env=cut, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    partway = tmp_path / "cut" / "partway"
    while not list(partway.glob("*.shard")):
        assert first.poll() is None, first.stderr.read().decode()
        time.sleep(0.05)
    first.kill()
    first.communicate()
    again, undisturbed = (subprocess.run(command, env=env, capture_output=True, check=True) for env in (cut, whole))
    begun = [int(found.stderr.decode().rpartition("from")[2]) for found in (again, undisturbed)]
    assert begun[0] > begun[1] == 0
    assert again.stdout == undisturbed.stdout
    assert not list(partway.glob("*"))
