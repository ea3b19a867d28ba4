"""From committed files to what Sphinx reads: notebooks, reference figures, the ledger, the code behind each claim.

Nothing is executed. `python book/convert.py` writes `book/_build/source`; it stops where a figure has no caption.
"""

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from itertools import groupby
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

sys.path.insert(0, str(Path(__file__).parent))
import evidence

from butterfly.strict import UserError
from butterfly.study import folders, ledger, notebooks, report
from butterfly.study.claims import VERDICTS, Claim, Kind

BOOK = Path(__file__).parent
SOURCE = BOOK / "_build" / "source"
REFERENCE = folders.reference("laptop")

# What the first digit of a notebook says.
PARTS = (
    "Small changes",
    "Difficulty of examples",
    "Connectivity and paths",
    "Noise and memory",
    "What is learned first",
    "Twins as instruments",
    "Games and bounds",
    "Sequences and few labels",
    "The engine and your own network",
)

IMAGE = re.compile(r"!\[([^\]]*)\]\(\.\./figures/reference/laptop/(\d\d)_(\w)_(\w+)\.png\)")
SHOW = re.compile(r'study\.show\(\s*"(\w)"')


# --- notebooks -------------------------------------------------------------------------------------------------------


def committed(topic: str) -> NotebookNode:
    """A notebook as it is committed, with its outputs."""
    return nbformat.read(folders.NOTEBOOKS / f"{topic}.ipynb", as_version=4)


def title(notebook: NotebookNode) -> str:
    """Its first heading."""
    return notebook.cells[0].source.partition("\n")[0].lstrip("# ")


def cells(notebook: NotebookNode, kind: str) -> list[NotebookNode]:
    """Its cells of one kind: `markdown` or `code`."""
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def images(notebook: NotebookNode) -> list[re.Match]:
    """The reference figures that its text shows: alt text, number, letter and name."""
    return [match for cell in cells(notebook, "markdown") for match in IMAGE.finditer(cell.source)]


def captions(notebook: NotebookNode) -> dict[str, str]:
    """The captions of its reference figures, by letter; empty where there is none."""
    found = {}
    for cell in cells(notebook, "code"):
        told = [text for text in map(_markdown, cell.outputs) if text.startswith("**Figure")]
        found |= dict.fromkeys(SHOW.findall(cell.source), told[0] if len(told) == 1 else "")
    return found


def _markdown(output: NotebookNode) -> str:
    return output.get("data", {}).get("text/markdown", "")


def check(topic: str, notebook: NotebookNode) -> dict[str, str]:
    """Its captions; `UserError` unless every figure that it draws has one reference figure, with a caption."""
    found = captions(notebook)
    shown = sorted(match[3] for match in images(notebook))
    drawn = sorted(letter for cell in cells(notebook, "code") for letter in SHOW.findall(cell.source))
    if shown != drawn or len(set(drawn)) < len(drawn):
        raise UserError(
            f"{topic} shows the reference figures {shown}, and draws {drawn}; each once, or there is no site"
        )
    if bare := [letter for letter in drawn if not found[letter]]:
        raise UserError(f"{topic}: no caption of the figures {bare}; run 'make notebooks'")
    return found


def converted(topic: str, code: Mapping[str, str], claims: Sequence[Claim]) -> NotebookNode:
    """A notebook for the site: reference figures in full, small ones and code folded, claims as rows."""
    notebook = committed(topic)
    told, alts = check(topic, notebook), {match[3]: match[1] for match in images(notebook)}
    if ideas := list(filter(_is_idea, notebook.cells)):
        ideas[0].metadata.tags = ["idea"]
    found = []
    for cell in notebook.cells:
        if "fetch" in cell.metadata.get("tags", []):  # of no use to who reads
            continue
        if cell.cell_type == "markdown":
            cell.source = linked(IMAGE.sub(partial(_figure, told), cell.source))
        elif "study.verdicts()" in cell.source:
            found.append(nbformat.v4.new_markdown_cell(_claims(claims, code, _markdown(cell.outputs[0])), id="claims"))
            cell.outputs, cell.metadata.tags = [], ["hide-input"]
        else:
            _fold(cell, alts)
        found.append(cell)
    notebook.cells = found
    notebook.cells[0].source += badges(topic)
    return notebook


def badges(topic: str) -> str:
    """Where to run a notebook elsewhere; nothing where the project has no public home on GitHub."""
    home = folders.repository().partition("github.com/")[2]
    if not home:
        return ""
    colab = f"https://colab.research.google.com/github/{home}/blob/main/notebooks/{topic}.ipynb"
    binder = f"https://mybinder.org/v2/gh/{home}/main?urlpath=lab/tree/notebooks/{topic}.ipynb"
    return f"\n\nRun it [in Colab]({colab}), [on Binder]({binder}), or with `make figure-{topic[:2]}`."


def _is_idea(cell: NotebookNode) -> bool:
    """Whether a cell is a few lines of primitives: the first of them shows the idea."""
    own = cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", [])
    return own and not re.search(r"study\.|import", cell.source) and 3 <= len(cell.source.splitlines()) <= 10


def _fold(cell: NotebookNode, alts: Mapping[str, str]) -> None:
    """Fold a code cell, with what it draws; leave the idea open."""
    for letter in SHOW.findall(cell.source):
        cell.metadata.tags = ["hide-cell"]
        cell.metadata.mystnb = {"image": {"alt": f"{alts[letter]}, drawn anew at small parameters"}}
        cell.outputs = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        return
    tags = cell.metadata.get("tags", [])
    for output in cell.outputs:
        if _markdown(output).startswith("| id |"):  # all claims: they have a page of their own
            output.data = {"text/markdown": "The table is on the page of [the ledger](ledger.md)."}
    cell.metadata.tags = tags if "idea" in tags else ["hide-input"]


def _figure(told: Mapping[str, str], match: re.Match) -> str:
    """A reference figure with its anchor, alt text, caption, and a link to the numbers behind it."""
    alt, number, letter, name = match.groups()
    file = f"{number}_{letter}_{name}"
    for ending in ("png", "csv"):
        shutil.copyfile(REFERENCE / f"{file}.{ending}", SOURCE / "figures" / f"{file}.{ending}")
    shown, _, claims = told[letter].partition(" Claims: ")
    return (
        f"```{{figure}} figures/{file}.png\n:name: figure-{number}-{letter}\n:alt: {alt}\n"
        f":target: _images/{file}.png\n\n"
        f"{shown} [The numbers (CSV)](figures/{file}.csv).\n\n{f'Claims: {claims}' if claims else ''}\n```"
    )


def linked(text: str) -> str:
    """Links out of the folder of notebooks lead to pages of the site."""
    return text.replace("](../LEDGER.md)", "](ledger.md)").replace("](../notebooks/", "](")


def _claims(claims: Sequence[Claim], code: Mapping[str, str], first: str) -> str:
    """The claims of a notebook as the reference run has them."""
    rows = evidence.table(
        claims, code, "claims-here", "The claims of this notebook in the reference run", "ledger.html"
    )
    return f"{first}\n\n{raw(rows)}\n\nThe notebook judges the same claims again on its own few seeds:"


def raw(html: str) -> str:
    """HTML in markdown, as it is."""
    return f"````{{raw}} html\n{html}\n````"


# --- code ------------------------------------------------------------------------------------------------------------


def code_pages(topics: Sequence[str], claims: Sequence[Claim]) -> dict[str, str]:
    """Write one page of code for every study; return where each claim is measured, by its id."""
    where = {}
    for topic in topics:
        study = notebooks.study(topic)
        module = sys.modules[_module(topic)]
        own = [c for c in claims if c.notebook == topic]
        lines = Path(module.__file__).read_text().splitlines()
        places = {q.id: _line(lines, q.id, q.measure) for q in study.questions}
        where |= {c.id: f"code_{topic}.html#{c.id.partition('@')[0]}" for c in own}
        (SOURCE / f"code_{topic}.md").write_text(_code_page(topic, Path(module.__file__), places))
    return where


def _module(topic: str) -> str:
    """The name of the module behind a notebook, which `notebooks.study` has imported."""
    return next(name for name in sys.modules if name.startswith("butterfly.papers.") and name.endswith(f".{topic[3:]}"))


def _line(lines: Sequence[str], id: str, measure: Callable) -> int:
    """The line that names a claim, or else the function that measures it."""
    named = [number for number, line in enumerate(lines, 1) if f'"{id}"' in line]
    while isinstance(measure, partial):
        measure = measure.func
    measured = getattr(getattr(measure, "__func__", measure), "__code__", None)
    return named[0] if named else measured.co_firstlineno if measured else 1


def _code_page(topic: str, path: Path, places: Mapping[str, int]) -> str:
    """The whole module, with an anchor at every claim."""
    form = HtmlFormatter()
    lines = highlight(path.read_text(), PythonLexer(stripnl=False), form).split("\n")
    for id, line in places.items():
        lines[line - 1] = f'<a id="{id}"></a>{lines[line - 1]}'
    told = f"What [notebook {topic[:2]}]({topic}.ipynb) computes, and how each of its claims is measured."
    head = f"---\norphan: true\nnosearch: true\nhide-toc: true\n---\n\n# The code of notebook {topic[:2]}\n\n"
    text = raw('<div id="module">' + "\n".join(lines) + "</div>")
    return f"{head}{told} The file is `{path.relative_to(folders.ROOT)}`.\n\n{text}\n"


# --- pages -----------------------------------------------------------------------------------------------------------


def papers(claims: Sequence[Claim]) -> str:
    """The table of papers: question, notebooks, and how their claims came out."""
    rows = []
    for paper, topics in report.rooms().values():
        links = " ".join(f'<a href="{topic}.html">{topic[:2]}</a>' for topic in topics)
        found = evidence.counts((c for c in claims if c.notebook in topics), f"paper={paper.key}")
        cited = f'<a href="https://arxiv.org/abs/{paper.arxiv}">{escape(paper.cite.partition(" (")[0])}</a>'
        rows.append(
            f'<tr><th scope="row">{cited}</th><td>{escape(paper.question)}</td><td>{links}</td><td>{found}</td></tr>'
        )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("paper", "question", "notebooks", "claims"))
    return raw(
        f'<table class="papers"><thead><tr>{heads}</tr></thead><tbody>\n' + "\n".join(rows) + "\n</tbody></table>"
    )


def headlines() -> str:
    """What did not reproduce, as the README has it."""
    readme = (folders.ROOT / "README.md").read_text()
    return re.search(r"<!-- headlines -->(.*?)<!-- end of headlines -->", readme, re.S)[1].strip()


def contents(topics: Sequence[str]) -> str:
    """The notebooks by part."""
    trees = []
    for part, some in groupby(topics, key=lambda topic: int(topic[0])):
        if part >= len(PARTS):
            raise UserError(f"part {part} has no name; give it one in PARTS of book/convert.py")
        names = "\n".join(topic for topic in some if topic != "00_index")
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {PARTS[part]}\n\n{names}\n```")
    return "\n\n".join(trees)


def records() -> str:
    """The papers from their own records, then what else CITATION.cff names."""
    lines, known = [], set()
    for paper, topics in report.rooms().values():
        links = ", ".join(f"[{topic[:2]}]({topic}.ipynb)" for topic in topics)
        lines.append(f"- {paper.link}. At hand: {paper.at_hand}. Notebooks {links}.")
        known.add(paper.arxiv)
    lines.append("\n## Also used\n")
    for entry in yaml.safe_load((folders.ROOT / "CITATION.cff").read_text())["references"]:
        ids = [found["value"].removeprefix("arXiv:") for found in entry.get("identifiers", [])]
        if not known.intersection(ids):
            names = ", ".join(
                f"{a.get('given-names', '')} {a.get('family-names', a.get('name', ''))}".strip()
                for a in entry["authors"]
            )
            where = entry.get("collection-title") or entry.get("journal") or entry.get("publisher", {}).get("name", "")
            link = f"https://arxiv.org/abs/{ids[0]}" if ids else entry.get("url", "")
            name = f"[*{entry['title']}*]({link})" if link else f"*{entry['title']}*"
            lines.append(f"- {names}: {name} ({', '.join(filter(None, [where, str(entry.get('year', ''))]))})")
    return "\n".join(lines)


def filters(claims: Sequence[Claim], titles: Mapping[str, str]) -> dict[str, str]:
    """The choices of the ledger's filters."""
    said = {
        "papers": {paper.key: paper.cite.partition(" (")[0] for paper, _ in report.rooms().values()},
        "verdicts": dict(zip(VERDICTS, VERDICTS, strict=True)),
        "kinds": {str(kind): str(kind) for kind in Kind},
        "scopes": {scope: scope for scope in sorted({evidence.topic(c) for c in claims}, key=str.casefold)},
        "notebooks": {topic[:2]: titles[topic] for topic in sorted({c.notebook for c in claims})},
    }
    return {name: evidence.options(values) for name, values in said.items()}


def pages(claims: Sequence[Claim], topics: Sequence[str], code: Mapping[str, str]) -> None:
    """Fill in the pages that are no notebooks."""
    titles = {topic: title(committed(topic)) for topic in topics}
    order = {topic: number for number, topic in enumerate(topics)}
    rows = evidence.table(sorted(claims, key=lambda c: order[c.notebook]), code, "ledger", "All claims")
    filled = filters(claims, titles) | {
        "table of papers": papers(claims),
        "headlines": headlines(),
        "contents": contents(topics),
        "references": records(),
        "summary": ledger.summary(claims),
        "claims": raw(rows),
        "map": raw(evidence.evidence(claims, {t: name for t, name in titles.items() if t != "00_index"})),
        "count": str(len(claims)),
        "atlas": (BOOK / "atlas.json").read_text().strip(),
    }
    for profile in report.others():
        (SOURCE / f"profile_{profile}.md").write_text(elsewhere(profile, claims))
    filled["profiles"] = "\n".join(f"profile_{profile}" for profile in report.others())
    filled["documents"] = "\n".join(documents())
    for file in sorted((BOOK / "pages").glob("*.md")):
        text = re.sub(r"\{\{ (.+?) \}\}", lambda match: filled[match[1]], file.read_text())
        (SOURCE / file.name).write_text(text)


def documents() -> list[str]:
    """Copy the pages of `docs/`; their names."""
    found = sorted((folders.ROOT / "docs").glob("*.md"))
    for file in found:
        shutil.copyfile(file, SOURCE / file.name)
    return [file.stem for file in found]


def elsewhere(profile: str, claims: Sequence[Claim]) -> str:
    """The page of another profile's reference run: its claims beside the laptop's, then its figures."""
    kept = folders.reference(profile)
    parts = [report.elsewhere_text(profile, claims).removeprefix("#")]
    for topic, files in groupby(sorted(kept.glob("*.png")), key=lambda file: _topic(file.name[:2])):
        notebook = committed(topic)
        alts = {match[3]: match[1].removesuffix(", reference run") for match in images(notebook)}
        parts.append(f"## [{title(notebook)}]({topic}.ipynb)")
        for file in files:
            letter = file.name[3]
            shown, there = alts.get(letter, file.stem), f"{topic}.ipynb#figure-{topic[:2]}-{letter}"
            shutil.copyfile(file, SOURCE / "figures" / f"{profile}_{file.name}")
            parts.append(
                f"```{{figure}} figures/{profile}_{file.name}\n:alt: {shown}, profile {profile}\n\n"
                f"{shown}: as [figure {topic[:2]}{letter}]({there}), which says how to read it.\n```"
            )
    return "\n\n".join(parts)


def _topic(number: str) -> str:
    return next(topic for topic in folders.topics() if topic.startswith(number))


def main() -> None:
    """Write everything anew."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    (SOURCE / "figures").mkdir(parents=True)
    claims, topics = ledger.read(REFERENCE / "claims.json"), folders.topics()
    code = code_pages([topic for topic in topics if topic != "00_index"], claims)
    for topic in topics:
        notebook = converted(topic, code, [c for c in claims if c.notebook == topic])
        (SOURCE / f"{topic}.ipynb").write_text(json.dumps(notebook, ensure_ascii=False))
    pages(claims, topics, code)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
