"""The site as files: links lead somewhere, pictures have words, and every verdict follows from its place on the map."""

import json
import math
from collections import Counter, defaultdict
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urlsplit

import numpy as np
import pytest
from book import evidence

from butterfly import data
from butterfly.study import folders, ledger
from butterfly.study.claims import VERDICTS, Claim, Region
from butterfly.study.intervals import Interval
from butterfly.study.settings import setting

SITE = folders.ROOT / "book" / "_build" / "html"
CLAIMS = {claim.id: claim for claim in ledger.read(folders.reference("laptop") / "claims.json")}
pytestmark = pytest.mark.skipif(not (SITE / "index.html").exists(), reason="there is no site; run 'make book'")


class Page(HTMLParser):
    """Links, anchors, pictures and elements of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.loads, self.ids, self.tags, self.stack = [], [], Counter(), defaultdict(list), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags[tag].append(found)
        self.ids.update([found["id"]] if "id" in found else [])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in ("img", "script") and "src" in found:
            self.loads.append(found["src"])
        elif tag == "link" and found.get("rel") not in ("index", "search", "next", "prev"):
            self.loads.append(found["href"])


@pytest.fixture(scope="module")
def pages() -> dict[str, Page]:
    return {path.name: Page(path.read_text()) for path in sorted(SITE.glob("*.html"))}


def test_every_notebook_has_its_page(pages):
    assert {f"{topic}.html" for topic in folders.topics()} <= pages.keys()


def test_links_lead_to_pages_files_and_anchors_that_exist(pages):
    broken = set()
    for name, page in pages.items():
        for link in {*page.links, *page.loads}:
            whole, fragment = urldefrag(link)
            target = urlsplit(whole)
            if target.scheme in ("http", "https"):
                continue
            file = unquote(target.path) or name
            known = pages[file].ids if fragment and file in pages else {unquote(fragment)}
            if not (SITE / file).exists() or unquote(fragment) not in known:
                broken.add((name, link))
    assert not broken


def test_nothing_is_loaded_from_elsewhere(pages):
    assert not {(name, load) for name, page in pages.items() for load in page.loads if "//" in load}


def test_no_anchor_stands_twice(pages):
    assert not {(name, id) for name, page in pages.items() for id, count in page.ids.items() if count > 1}


def test_every_picture_has_words(pages):
    for name, page in pages.items():
        for image in page.tags["img"]:
            alt = image.get("alt", "")
            assert len(alt) > 10, (name, image)
            assert not alt.endswith(".png"), (name, image)
        for drawing in page.tags["svg"]:
            assert drawing.get("role") != "img" or drawing.get("aria-label"), name


def test_every_reference_figure_has_its_anchor(pages):
    for path in folders.reference("laptop").glob("[0-9][0-9]_?_*.png"):
        number, letter = path.stem[:2], path.stem[3]
        (topic,) = (topic for topic in folders.topics() if topic.startswith(number))
        assert pages[f"{topic}.html"].ids[f"figure-{number}-{letter}"] == 1, path.name


def test_a_page_has_one_title(pages):
    for name, page in pages.items():
        assert len(page.tags["h1"]) == 1 or name == "search.html", name


def test_every_claim_is_a_row_that_says_its_verdict(pages):
    rows = {row["id"]: row for row in pages["ledger.html"].tags["tr"] if "data-verdict" in row}
    assert {id: row["data-verdict"] for id, row in rows.items()} == {id: c.verdict for id, c in CLAIMS.items()}
    text = (SITE / "ledger.html").read_text()
    for verdict, count in Counter(c.verdict for c in CLAIMS.values()).items():
        assert text.count(f"</span> {verdict}</b>") == count


# --- the map ---------------------------------------------------------------------------------------------------------


def test_every_verdict_follows_from_its_place_on_the_map(pages):
    dots = {dot["id"].removeprefix("dot-"): dot for dot in pages["evidence.html"].tags["circle"] if "id" in dot}
    assert dots.keys() == CLAIMS.keys()
    no, yes = evidence.across(-1), evidence.across(1)
    for id, dot in dots.items():
        place = float(dot["cx"])
        verdict = "supported" if place > yes else "contradicted" if place <= no else "inconclusive"
        told = "inconclusive" if "void" in dot["class"] else verdict
        assert told == CLAIMS[id].verdict, (id, place)
        assert ("void" in dot["class"]) == bool(CLAIMS[id].void or math.isnan(CLAIMS[id].estimate)), id


EDGES = [Region(low=1.0), Region(high=1.0), Region(0.5, 2.0), Region(-1.0, 1.0)]


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("region", EDGES, ids=str)
def test_a_distance_above_one_is_a_whole_interval_inside(region, scale):
    """For intervals everywhere, also lopsided ones, the distance says what `Region.judge` says."""
    places = [0.1, 0.3, 0.45, 0.7, 0.9, 1.2, 1.7, 2.5, 4.0]
    for low in places:
        for middle in (x for x in places if x > low):
            for high in (x for x in places if x > middle):
                claim = made(region, low, middle, high, scale)
                d = evidence.distance(claim)
                told = VERDICTS[0] if d > 1 else VERDICTS[1] if d <= -1 else VERDICTS[2]
                assert told == region.judge(Interval(middle, low, high, 5)), (low, middle, high)


def made(region: Region, low: float, middle: float, high: float, scale: str = "linear") -> Claim:
    return Claim(
        "T1", "nb", "key", "s", "ours", "", "finding", "x", "src", "stat", region, middle, low, high, 5, "", scale=scale
    )


def test_distances_of_what_is_exact_or_missing():
    nan = math.nan
    assert evidence.distance(made(Region(0, 0), 0, 0, 0)) == math.inf
    assert evidence.distance(made(Region(0, 0), 1, 1, 1)) == -math.inf
    assert math.isnan(evidence.distance(made(Region(low=0), nan, nan, nan)))
    assert evidence.distance(made(Region(low=0), 1, 2, math.inf)) == 2


def test_the_map_reads_the_regions_of_the_ledger_file():
    rows = json.loads((folders.reference("laptop") / "claims.json").read_text())
    assert all(len(row["region"]) == 2 and isinstance(row["void"], str) for row in rows)


# --- the atlas -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "name"), list(enumerate(["mnist1d-scores", "digits-scores"])))
def test_the_atlas_shows_test_examples_as_they_are(number, name):
    found = json.loads((folders.ROOT / "book" / "atlas.json").read_text())[number]
    chosen = setting(name)
    task = data.load(chosen.data)
    assert (found["title"], found["shape"]) == (chosen.title, list(task.input_shape))
    inputs = task.x_test.reshape(len(task.y_test), -1)[: len(found["examples"])].numpy()
    for example in found["examples"]:
        nearest = int(np.abs(inputs - np.array(example["input"])).max(1).argmin())
        assert np.abs(inputs[nearest] - np.array(example["input"])).max() <= 0.0051
        assert example["label"] == task.y_test[nearest]
        assert 0 <= example["turned"] <= found["seeds"]
        assert all(0 <= rank <= 100 for rank in example["ranks"].values())
        assert all(len(curve) == len(example["curves"]["MLP"]) for curve in example["curves"].values())
