"""Loaders on tiny files of the real layout; and on the real files, where they are."""

import io
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from butterfly import data
from butterfly.data import DataError, cifar10, hub, human, mnist, mnist1d

FILES = {"mnist": mnist, "cifar10": cifar10}


def write_split(path: Path, column: str, shape: tuple[int, ...], count: int, seed: int) -> np.ndarray:
    """A parquet file as the hub has them: images as encoded bytes with a path, and labels."""
    images = np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)
    records = []
    for number, image in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG")
        records.append({"bytes": buffer.getvalue(), "path": f"{number}.png"})
    labels = np.arange(count) % 10
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table({column: records, "label": labels}), path)
    return images


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A BUTTERFLY_DATA folder with 30 + 20 images of each data set, and loaders that expect so many."""
    monkeypatch.setenv("BUTTERFLY_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    originals = {}
    for name, module in FILES.items():
        whole = module.HUB
        small = replace(whole, files={"train": (whole.files["train"][0], 30), "test": (whole.files["test"][0], 20)})
        monkeypatch.setattr(module, "HUB", small)
        for seed, split in enumerate(("train", "test")):
            count = small.files[split][1]
            originals[name, split] = write_split(
                tmp_path / name / small.file(split), small.column, small.shape, count, seed
            )
    hub.load.cache_clear()
    hub._sha256.cache_clear()
    yield tmp_path, originals
    hub.load.cache_clear()
    hub._sha256.cache_clear()


@pytest.mark.parametrize(("name", "shape"), [("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_parquet_images_arrive_whole_normalised_and_in_order(tiny, name, shape):
    loaded = data.load(name)
    assert loaded.x.shape == (30, *shape)
    assert loaded.x_test.shape == (20, *shape)
    assert loaded.x.dtype == torch.float32
    assert loaded.y.tolist() == [i % 10 for i in range(30)]
    assert loaded.x.mean((0, 2, 3)).abs().max() < 1e-5
    assert (loaded.x.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5
    raw = torch.from_numpy(tiny[1][name, "train"].reshape(30, *shape[1:], -1)).permute(0, 3, 1, 2).double()
    mean, std = raw.mean((0, 2, 3), keepdim=True), raw.std((0, 2, 3), keepdim=True, correction=0)
    torch.testing.assert_close(loaded.x, ((raw - mean) / std).float())
    # The test set is normalised by the training set's statistics.
    raw_test = torch.from_numpy(tiny[1][name, "test"].reshape(20, *shape[1:], -1)).permute(0, 3, 1, 2).double()
    torch.testing.assert_close(loaded.x_test, ((raw_test - mean) / std).float())
    assert set(loaded.source) == {"train", "test"}


def test_a_missing_file_says_what_to_do(tiny):
    (tiny[0] / "mnist" / mnist.HUB.file("test")).unlink()
    with pytest.raises(DataError, match=r"is missing; put it there, or unset BUTTERFLY_DATA"):
        data.load("mnist")


def test_damaged_and_wrong_files_are_refused(tiny):
    folder, _ = tiny
    file = folder / "mnist" / mnist.HUB.file("train")
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(DataError, match="not a parquet file with columns 'image' and 'label'"):
        data.load("mnist")
    write_split(file, "img", (28, 28), 30, 0)
    with pytest.raises(DataError, match="not a parquet file with columns 'image' and 'label'"):
        data.load("mnist")
    write_split(file, "image", (28, 28), 29, 0)
    with pytest.raises(DataError, match=r"holds \(29, 28, 28\), expected \(30, 28, 28\)"):
        data.load("mnist")


def test_without_data_and_network_the_error_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv("BUTTERFLY_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(hub.Hub, "url", lambda self, split: f"http://127.0.0.1:9/{split}")
    hub.load.cache_clear()
    with pytest.raises(DataError, match=r"could not fetch mnist(.|\n)*set BUTTERFLY_DATA=FOLDER"):
        data.load("mnist")


def test_a_download_with_a_wrong_checksum_is_refused(monkeypatch, tmp_path):
    """Served from a local server: the content differs from the pinned checksum."""
    import http.server
    import threading

    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "train").write_bytes(b"something else")
    handler = lambda *a: http.server.SimpleHTTPRequestHandler(*a, directory=str(tmp_path / "www"))  # noqa: E731
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("BUTTERFLY_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(hub.Hub, "url", lambda self, split: f"http://127.0.0.1:{server.server_port}/{split}")
    try:
        with pytest.raises(DataError, match=r"hash|checksum"):
            hub._download(mnist.HUB, "train")
    finally:
        server.shutdown()


@pytest.mark.parametrize(("name", "count", "shape"), [("mnist", 60_000, (1, 28, 28)), ("cifar10", 50_000, (3, 32, 32))])
def test_the_real_files(name, count, shape):
    folder = os.environ.get("BUTTERFLY_DATA")
    if not folder or not (Path(folder) / name).exists():
        pytest.skip(f"the real {name} is not here: BUTTERFLY_DATA does not name a folder with it")
    hub.load.cache_clear()
    loaded = data.load(name)
    hub.load.cache_clear()
    assert loaded.x.shape == (count, *shape)
    assert len(loaded.y_test) == 10_000
    assert loaded.classes == 10
    if name == "cifar10":
        assert torch.bincount(loaded.y).tolist() == [5000] * 10


def test_generated_data_are_the_same_every_time():
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.rand()
    random.seed(1)
    np.random.seed(1)
    mnist1d.load.cache_clear()
    first = data.load("mnist1d")
    assert (random.random(), np.random.rand()) == expected  # the global states are put back
    mnist1d.load.cache_clear()
    assert torch.equal(first.x, data.load("mnist1d").x)


def test_mnist1d_can_be_drawn_anew():
    """Other signals of the same kind: as many, of the same classes and templates, and the same again when asked."""
    first, third, fourth = (data.load(name) for name in ("mnist1d", "mnist1d-draw-3", "mnist1d-draw-4"))
    assert third.x.shape == first.x.shape
    assert third.x_test.shape == first.x_test.shape
    assert len({found.label_hash for found in (first, third, fourth)}) == 3
    assert not torch.isclose(first.x[:, None], third.x[None, :50], atol=1e-3).all(-1).any(), "no signal comes twice"
    means = [torch.stack([found.x[found.y == c].mean((0, 1)) for c in range(10)]) for found in (first, third)]
    ours, theirs = (torch.nn.functional.normalize(m - m.mean(0), dim=1) for m in means)
    assert (ours * theirs).sum(1).min() > 0.5, "classes keep their looks"
    mnist1d.load.cache_clear()
    assert torch.equal(third.x, data.load("mnist1d-draw-3").x)
    assert first.x.shape == (4000, 1, 40)
    assert first.x_test.shape == (1000, 1, 40)
    assert first.x.mean().abs() < 1e-5


def test_digits_are_split_once_and_for_all():
    digits = data.load("digits")
    assert digits.x.shape == (1297, 1, 8, 8)
    assert digits.x_test.shape == (500, 1, 8, 8)
    assert torch.bincount(digits.y).min() > 100


def test_subsets_keep_ids_weights_and_targets():
    digits = data.load("digits")
    full = replace(digits, weights=torch.rand(2, 1297), targets=torch.rand(1297, 10))
    rows = torch.tensor([5, 3, 900])
    some = full.subset(rows).subset(torch.tensor([2, 0]))
    assert some.ids.tolist() == [900, 5]
    assert torch.equal(some.weights, full.weights[:, [900, 5]])
    assert torch.equal(some.targets, full.targets[[900, 5]])
    assert some.label_hash != digits.label_hash


def test_label_noise_moves_exactly_the_recorded_labels():
    digits = data.load("digits")
    noisy, moved = data.with_label_noise(digits, 0.2, seed=1)
    assert moved.sum() == round(0.2 * 1297)
    assert torch.equal(noisy.y != digits.y, moved)
    assert noisy.label_hash != digits.label_hash
    again, _ = data.with_label_noise(digits, 0.2, seed=1)
    assert torch.equal(again.y, noisy.y)
    other, _ = data.with_label_noise(digits, 0.2, seed=2)
    assert not torch.equal(other.y, noisy.y)


@pytest.mark.parametrize("make", [data.with_random_labels, data.with_random_inputs])
def test_noise_is_recorded_repeatable_and_nested(make):
    digits = data.load("digits")
    before = digits.x.clone(), digits.y.clone()
    noisy, mask = make(digits, 0.3, seed=1)
    assert mask.sum() == round(0.3 * 1297)
    changed = (noisy.x != digits.x).flatten(1).any(1) | (noisy.y != digits.y)
    assert not changed[~mask].any()
    assert torch.equal(noisy.x_test, digits.x_test)
    assert torch.equal(noisy.ids, digits.ids)
    again, more, other = (make(digits, fraction, seed) for fraction, seed in ((0.3, 1), (0.6, 1), (0.3, 2)))
    assert torch.equal(again[1], mask)
    assert torch.equal(again[0].x, noisy.x)
    assert torch.equal(again[0].y, noisy.y)
    assert more[1][mask].all()
    assert torch.equal(more[0].x[mask], noisy.x[mask])
    assert torch.equal(more[0].y[mask], noisy.y[mask])
    assert not torch.equal(other[1], mask)
    assert torch.equal(digits.x, before[0])
    assert torch.equal(digits.y, before[1])
    assert not make(digits, 0.0, seed=1)[1].any()
    with pytest.raises(ValueError, match="give a share from 0 to 1"):
        make(digits, 1.5, seed=1)


def test_random_labels_are_drawn_from_all_classes_alike():
    digits = data.load("digits")
    noisy, mask = data.with_random_labels(digits, 1.0, seed=1)
    assert mask.all()
    assert torch.equal(noisy.x, digits.x)
    assert 0.06 < (noisy.y == digits.y).double().mean() < 0.14  # one in ten is what it was
    assert torch.bincount(noisy.y, minlength=10).min() > 90
    with pytest.raises(ValueError, match="cannot be drawn anew"):
        data.with_random_labels(replace(digits, targets=torch.rand(1297, 10)), 0.5, seed=1)


def test_random_inputs_have_the_moments_of_each_pixel_or_of_all():
    digits = data.load("digits")
    noisy, _ = data.with_random_inputs(digits, 1.0, seed=1)
    assert torch.equal(noisy.y, digits.y)
    torch.testing.assert_close(noisy.x.mean(0), digits.x.mean(0), atol=0.15, rtol=0)
    torch.testing.assert_close(noisy.x.std(0), digits.x.std(0), atol=0.1, rtol=0)
    blank = (digits.x == digits.x[:1]).all(0)
    assert blank.any()
    torch.testing.assert_close(noisy.x[:, blank], digits.x[:, blank], atol=1e-4, rtol=0)
    flat, _ = data.with_random_inputs(digits, 1.0, seed=1, like="channel")
    torch.testing.assert_close(flat.x.mean(0), torch.zeros(1, 8, 8), atol=0.15, rtol=0)
    torch.testing.assert_close(flat.x.std(0), torch.ones(1, 8, 8), atol=0.1, rtol=0)
    # Pixels of an image go together, those of noise do not.
    together = [torch.corrcoef(d.x.flatten(1)[:, [27, 28]].T)[0, 1].abs() for d in (digits, noisy)]
    assert together[0] > 0.3
    assert together[1] < 0.1


# --- some classes ----------------------------------------------------------------------------------------------------


def test_examples_of_some_classes_are_labelled_in_the_order_given():
    digits = data.load("digits")
    some = data.of_classes(digits, [7, 0, 3])
    assert some.classes == 3
    original = torch.tensor([7, 0, 3])
    assert torch.equal(original[some.y], digits.y[some.ids])
    assert torch.equal(some.x, digits.x[some.ids])
    assert set(some.ids.tolist()) == {i for i, y in enumerate(digits.y.tolist()) if y in (0, 3, 7)}
    assert some.label_hash != data.of_classes(digits, [0, 7, 3]).label_hash
    again = data.of_classes(some, [2, 0])  # what were 3 and 7
    assert torch.equal(torch.tensor([3, 7])[again.y], digits.y[again.ids])


def test_the_test_set_is_restricted_to_the_same_classes():
    digits = data.load("digits")
    some = data.of_classes(digits, [7, 0, 3])
    rows = [i for i, y in enumerate(digits.y_test.tolist()) if y in (0, 3, 7)]
    assert torch.equal(some.x_test, digits.x_test[rows])
    assert torch.equal(torch.tensor([7, 0, 3])[some.y_test], digits.y_test[rows])


def test_all_classes_are_the_whole_and_the_original_is_left_alone():
    digits = data.load("digits")
    before = digits.y.clone()
    every = data.of_classes(digits, range(10))
    assert every.label_hash == digits.label_hash
    assert torch.equal(every.x_test, digits.x_test)
    assert torch.equal(data.of_classes(digits, [*range(1, 10), 0]).y, (before - 1) % 10)
    assert torch.equal(digits.y, before)


def test_weights_stay_with_their_examples_and_targets_are_refused():
    digits = data.load("digits")
    weights = torch.rand(2, 1297)
    some = data.of_classes(replace(digits, weights=weights), [4, 9])
    assert torch.equal(some.weights, weights[:, some.ids])
    with pytest.raises(ValueError, match="digits has targets of its own"):
        data.of_classes(replace(digits, targets=torch.rand(1297, 10)), [4, 9])


@pytest.mark.parametrize("classes", [[3, 3], [10], [-1, 2], [0, 1.5]])
def test_classes_that_are_not_there_are_refused(classes):
    with pytest.raises(ValueError, match="of digits, which has 0 to 9, each once"):
        data.of_classes(data.load("digits"), classes)


# --- made-up texts ---------------------------------------------------------------------------------------------------

TEXTS = ["language-a", "language-b", "sums"]
LANGUAGES = TEXTS[:2]


def decoded(loaded):
    """The tokens `[N, places]` and what follows them, training and test set in one, in pure Python."""
    x, y = torch.cat([loaded.x, loaded.x_test]), torch.cat([loaded.y, loaded.y_test])
    return [[column.index(1.0) for column in text] for text in x.mT.tolist()], y.tolist()


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_one_hot_and_the_same_every_time(name):
    torch.manual_seed(1)
    one = data.load(name)
    torch.manual_seed(2)
    two = data.load(name)
    for key in ("x", "y", "x_test", "y_test", "ids"):
        assert torch.equal(getattr(one, key), getattr(two, key))
    assert (one.name, one.classes, one.ids.tolist()) == (name, 10, list(range(4000)))
    for x, y, count in ((one.x, one.y, 4000), (one.x_test, one.y_test, 1000)):
        assert x.shape == (count, 12, 6)
        assert x.dtype == torch.float32
        assert x.unique().tolist() == [0.0, 1.0]
        assert (x.sum(1) == 1).all()
        assert y.shape == (count,)
        assert y.unique().tolist() == list(range(10))


def followers(name):
    """After each pair of letters, those that follow it anywhere, inside the contexts or after them."""
    found = {}
    for text, last in zip(*decoded(data.load(name)), strict=True):
        whole = [*text, last]
        for one, two, three in zip(whole, whole[1:], whole[2:], strict=False):
            found.setdefault((one, two), set()).add(three)
    return found


@pytest.mark.parametrize("name", LANGUAGES)
def test_at_most_four_letters_follow_a_pair_of_letters(name):
    found = followers(name)
    assert {letter for pair in found for letter in pair} == set(range(10))  # the two signs are not of a language
    sizes = [len(after) for after in found.values()]
    assert max(sizes) == 4
    assert sum(sizes) > 3 * len(sizes)


def test_the_two_languages_are_different_languages():
    one, two = (followers(name) for name in LANGUAGES)
    common = one.keys() & two.keys()
    assert len(common) > 50
    shared = sum(len(one[pair] & two[pair]) for pair in common) / sum(len(one[pair]) for pair in common)
    assert 0.2 < shared < 0.6  # four of ten by chance
    assert not torch.equal(data.load("language-a").x, data.load("language-b").x)


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_letter_that_follows_can_be_guessed_from_the_last_two_and_not_from_fewer(name):
    loaded = data.load(name)
    tokens, y = decoded(loaded)

    def right(letters):
        """How often the letter most frequent after such an ending in the training set follows in the test set."""
        seen = {}
        for text, last in zip(tokens[:4000], y[:4000], strict=True):
            seen.setdefault(tuple(text[-letters:]), []).append(last)
        most = {ending: max(set(after), key=after.count) for ending, after in seen.items()}
        return (
            sum(most.get(tuple(t[-letters:])) == last for t, last in zip(tokens[4000:], y[4000:], strict=True)) / 1000
        )

    assert right(2) > 0.45
    assert right(1) < 0.35


def test_sums_are_right_and_no_two_are_the_same():
    loaded = data.load("sums")
    tokens, y = decoded(loaded)
    for (x, a, plus, b, other, equals), last in zip(tokens, y, strict=True):
        assert (plus, equals) == (10, 11)
        assert max(x, a, b, other) < 10
        assert (a + b - last) % 10 == 0
    # All 5,000 differ, so none of the test set is learned by heart; each digit takes all values in every place.
    assert len({tuple(text) for text in tokens}) == 5000
    assert [len(set(column)) for column in zip(*tokens, strict=True)] == [10, 10, 1, 10, 10, 1]


def test_conversion_touches_only_numbers():
    digits = data.load("digits").to("cpu", torch.float64)
    assert digits.x.dtype == digits.x_test.dtype == torch.float64
    assert digits.y.dtype == digits.ids.dtype == torch.long


def test_an_unknown_name_lists_the_known():
    with pytest.raises(DataError, match=r"known: cifar10, cifar10half, coloured, digits, .*modes, moons, .*sums"):
        data.load("minst")


@pytest.mark.parametrize("name", ["mnist1d", "digits", "language-a", "language-b", "sums"])
def test_the_shape_of_an_input_is_that_of_the_loaded_data(name):
    assert data.input_shape(name) == data.load(name).input_shape == tuple(data.load(name).x.shape[1:])


@pytest.mark.parametrize(("name", "shape"), [("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_shapes_of_images_are_known_without_files_and_right(name, shape, monkeypatch, request):
    def refuse(*about):
        raise AssertionError("a file was looked for")

    with monkeypatch.context() as patch:
        patch.setattr(hub, "_locate", refuse)
        patch.setattr(hub, "load", refuse)
        assert data.input_shape(name) == shape
    request.getfixturevalue("tiny")
    assert data.load(name).input_shape == shape


def test_the_shape_of_an_unknown_data_set_is_refused():
    with pytest.raises(DataError, match="unknown data set 'minst'"):
        data.input_shape("minst")


# --- what people say -------------------------------------------------------------------------------------------------


@pytest.fixture
def people(tmp_path, monkeypatch):
    """An empty folder of human labels in BUTTERFLY_DATA."""
    monkeypatch.setenv("BUTTERFLY_DATA", str(tmp_path))
    (tmp_path / "human").mkdir()
    return tmp_path / "human"


def labels_of_people():
    """Three annotators, of whom 0 to 3 in turn give each image another label; and one who chose the worst of them."""
    clean = np.arange(50_000) % 10
    wrong = np.arange(50_000) // 10 % 4
    votes = {f"random_label{k + 1}": np.where(wrong > k, (clean + k + 1) % 10, clean) for k in range(3)}
    return wrong, {"clean_label": clean, "worse_label": (clean + 1) % 10, "aggre_label": clean, **votes}


def test_wrong_votes_are_counted(people):
    wrong, labels = labels_of_people()
    np.savez(people / "cifar10n_train_labels.npz", **labels)
    assert human.wrong_votes().tolist() == wrong.tolist()
    assert human.human_file("cifar10n") == people / "cifar10n_train_labels.npz"
    assert human.human_file("cifar10h") is None


def test_counts_of_votes_are_read(people):
    counts = np.random.default_rng(0).multinomial(50, np.full(10, 0.1), size=10_000)
    np.save(people / "cifar10h_test_counts.npy", counts.astype(float))
    assert human.vote_counts().tolist() == counts.tolist()
    assert human.vote_counts().dtype == int
    assert human.human_file("cifar10h") == people / "cifar10h_test_counts.npy"
    assert human.human_file("cifar10n") is None


@pytest.mark.parametrize("folder", ["empty", "none"])
def test_missing_human_labels_say_what_to_do(people, monkeypatch, folder):
    if folder == "none":
        monkeypatch.delenv("BUTTERFLY_DATA")
    assert human.human_file("cifar10n") is human.human_file("cifar10h") is None
    with pytest.raises(DataError, match=r"put cifar10n_train_labels.npz into FOLDER/human/ and set BUTTERFLY_DATA=FOL"):
        human.wrong_votes()
    with pytest.raises(DataError, match=r"put cifar10h_test_counts.npy into FOLDER/human/ and set BUTTERFLY_DATA=FOL"):
        human.vote_counts()


@pytest.mark.parametrize(
    "change", [lambda few: few.pop("random_label3"), lambda few: few.update(clean_label=np.zeros(49_999, dtype=int))]
)
def test_other_labels_of_people_are_refused(people, change):
    _, labels = labels_of_people()
    change(labels)
    np.savez(people / "cifar10n_train_labels.npz", **labels)
    with pytest.raises(DataError, match=r"cifar10n_train_labels.npz does not hold three annotators' labels of 50,000"):
        human.wrong_votes()


@pytest.mark.parametrize("shape", [(9_999, 10), (10_000, 9), (100_000,)])
def test_other_counts_of_votes_are_refused(people, shape):
    np.save(people / "cifar10h_test_counts.npy", np.ones(shape))
    with pytest.raises(DataError, match=r"cifar10h_test_counts.npy holds \(.*\), expected \(10000, 10\)"):
        human.vote_counts()


def test_a_large_set_is_judged_on_its_first_examples():
    task = data.load("digits")
    assert task.sample is task
    few = replace(task, judged=100, weights=torch.rand(2, len(task.y)), targets=torch.rand(len(task.y), 10)).sample
    for name in ("x", "y", "x_test", "y_test", "ids"):
        assert torch.equal(getattr(few, name), getattr(task, name)[:100])
    assert few.weights.shape == (2, 100)
    assert few.targets.shape == (100, 10)
