"""The site in a browser: it asks for nothing outside, filters count right, and it fits a phone."""

import json
import shutil
from urllib.parse import urlencode

import pytest

from butterfly.study import folders, ledger

SITE = folders.ROOT / "book" / "_build" / "html"
CLAIMS = ledger.read(folders.reference("laptop") / "claims.json")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(not (SITE / "index.html").exists(), reason="there is no site; run 'make book'"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; on Debian: apt-get install chromium"),
]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as play:
        # Containers that run as root cannot have Chromium's sandbox; the pages are our own files.
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """Open a page of the site; at the end nothing was asked of the outside, and no script failed."""
    faults, contexts = [], []

    def opened(name: str, viewport=DESK, scheme="light", query=""):
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "request", lambda request: request.url.startswith(("file:", "data:", "blob:")) or faults.append(request.url)
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{(SITE / name).as_uri()}{query}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


PAGES = sorted(path.name for path in SITE.glob("*.html"))


# What ends to the right of the window, and does not stand in a box that scrolls by itself.
CLIPPED = """() => [...document.querySelectorAll('article *')].filter((part) => {
    if (part.getBoundingClientRect().right <= innerWidth + 1) return false;
    for (let box = part; box.tagName !== 'ARTICLE'; box = box.parentElement)
        if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(box).overflowX)) return false;
    return true;
}).map((part) => part.outerHTML.slice(0, 80))"""


def test_no_page_is_wider_than_a_phone(open_page):
    page, wide = open_page("index.html", PHONE), []
    for name in PAGES:
        page.goto((SITE / name).as_uri(), wait_until="domcontentloaded")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            if not page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
                wide.append((name, scheme))
        wide += [(name, part) for part in page.evaluate(CLIPPED)]
    assert not wide


def test_search_finds_barrier(open_page):
    page = open_page("search.html", query="?q=barrier")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.getAttribute('href'))")
    assert any("01_butterfly_effect" in link for link in found)


# --- the ledger ------------------------------------------------------------------------------------------------------


def shown(page) -> list[str]:
    return page.eval_on_selector_all("#ledger tbody tr:not([hidden])", "rows => rows.map(row => row.id)")


def test_filters_count_right(open_page):
    page = open_page("ledger.html")
    assert len(shown(page)) == len(CLAIMS)
    page.select_option("[name=verdict]", "contradicted")
    page.select_option("[name=paper]", "altintas2025")
    wanted = {c.id for c in CLAIMS if c.verdict == "contradicted" and c.paper == "altintas2025"}
    assert set(shown(page)) == wanted
    assert page.text_content("#filters output") == f"{len(wanted)} of {len(CLAIMS)} claims"
    page.select_option("[name=kind]", "check")
    assert shown(page) == [c.id for c in CLAIMS if c.id in wanted and c.kind == "check"]
    page.click("#filters button")
    page.wait_for_function(f"document.querySelectorAll('#ledger tbody tr:not([hidden])').length === {len(CLAIMS)}")
    page.fill("[name=words]", "Hessian")
    found = shown(page)
    assert 0 < len(found) < len(CLAIMS)
    assert {c.id for c in CLAIMS if "hessian" in f"{c.statement} {c.statistic}".lower()} <= set(found)


@pytest.mark.parametrize("by", ["estimate", "n"])
def test_rows_are_sorted_by_number(open_page, by):
    page = open_page("ledger.html")
    page.select_option("[name=sort]", by)
    numbers = page.eval_on_selector_all(
        "#ledger tbody tr", f"rows => rows.map(row => row.dataset.{by}).filter(x => x !== undefined).map(Number)"
    )
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) > 5


def test_the_address_restores_the_view(open_page):
    page = open_page("ledger.html")
    page.select_option("[name=verdict]", "inconclusive")
    page.fill("[name=words]", "barrier")
    before, address = shown(page), page.url
    assert urlencode({"verdict": "inconclusive"}) in address
    again = open_page("ledger.html", query="?" + address.partition("?")[2])
    assert shown(again) == before
    assert 0 < len(before) < len(CLAIMS)


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_no_column_of_the_ledger_is_clipped(open_page, viewport):
    page = open_page("ledger.html", viewport)
    cells = page.evaluate("""() => [...document.querySelectorAll('#ledger :is(td, th)')]
        .filter(cell => cell.offsetParent)
        .filter(cell => cell.getBoundingClientRect().right > innerWidth || cell.scrollWidth > cell.clientWidth + 1)
        .map(cell => cell.textContent.slice(0, 60))""")
    assert cells == []


def test_the_ledger_can_be_read_without_scripts(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((SITE / "ledger.html").as_uri())
    assert page.locator("#ledger tbody tr").count() == len(CLAIMS)
    assert not page.locator("#filters").is_visible()
    context.close()


# --- pictures --------------------------------------------------------------------------------------------------------


def test_a_picture_opens_large_and_escape_closes_it(open_page):
    page = open_page("01_butterfly_effect.html")
    page.click("#figure-01-a img")
    assert page.locator("dialog#zoom").is_visible()
    assert page.get_attribute("dialog#zoom", "aria-label") == "Barrier against kick size, reference run"
    page.keyboard.press("Escape")
    assert not page.locator("dialog#zoom").is_visible()
    page.focus("#figure-01-a a.image-reference")
    page.keyboard.press("Enter")
    assert page.locator("dialog#zoom").is_visible()


def test_small_figures_and_code_are_folded(open_page):
    page = open_page("01_butterfly_effect.html")
    fold = page.locator("details", has_text="The same at the notebook's small parameters").first
    assert not fold.locator("img").is_visible()
    fold.locator("summary").click()
    assert fold.locator("img").is_visible()


# --- kick a network yourself -----------------------------------------------------------------------------------------


def kicked(page, **settings) -> tuple[list[str], list[str]]:
    """What came out for five pairs: the verdicts, and which were identical."""
    for name, value in settings.items():
        page.select_option(f"#kick [name={name}]", value)
    page.click("#kick form button")
    page.wait_for_function("document.querySelector('#kick output').textContent.startsWith('Of')", timeout=180_000)
    cards = "#kick .card"
    return (
        page.eval_on_selector_all(cards, "cards => cards.map(card => card.dataset.verdict)"),
        page.eval_on_selector_all(cards, "cards => cards.map(card => card.dataset.identical)"),
    )


def test_controls_are_identical_and_early_kicks_end_apart_more_often_than_late_ones(open_page):
    page = open_page("kick.html")
    assert kicked(page, size="0", when="80") == (["same"] * 5, ["true"] * 5)
    late, moved = kicked(page, size="1e-4", when="80")
    assert moved == ["false"] * 5
    early, _ = kicked(page, size="1e-4", when="0")
    assert early.count("apart") > late.count("apart")
    assert page.locator("#kick .tried tbody tr").count() == 3


# --- the atlas -------------------------------------------------------------------------------------------------------


def test_the_atlas_shows_the_example_that_is_picked(open_page):
    sets = json.loads((folders.ROOT / "book" / "atlas.json").read_text())
    page = open_page("atlas.html", PHONE)
    for number, found in enumerate(sets):
        page.select_option("#atlas [name=set]", str(number))
        assert page.locator("#atlas .thumbs button").count() == len(found["examples"])
        page.click("#atlas .thumbs button:last-child")
        hardest = found["examples"][-1]
        told = page.text_content("#atlas .detail")
        assert f"Its label is {hardest['label']}" in told
        assert all(f"{rank} %" in told for rank in hardest["ranks"].values())
        assert page.get_attribute("#atlas .thumbs button:last-child", "aria-pressed") == "true"
