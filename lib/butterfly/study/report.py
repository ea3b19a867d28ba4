"""LEDGER.md and the table of the README, made from the reference run."""

import json
import re
from collections import Counter
from collections.abc import Sequence

from butterfly.strict import UserError
from butterfly.study import folders, ledger, notebooks
from butterfly.study.claims import VERDICTS, Claim
from butterfly.study.papers import Paper
from butterfly.study.store import write_whole

_BEGIN, _END = "<!-- papers: made by `make reference` -->", "<!-- end of papers -->"


def write() -> None:
    """Make LEDGER.md and the README's table anew."""
    claims = ledger.read(folders.reference("laptop") / "claims.json")
    write_whole(folders.ROOT / "LEDGER.md", ledger_text(claims).encode())
    readme = folders.ROOT / "README.md"
    text = readme.read_text()
    made = re.sub(f"{_BEGIN}.*?{_END}", lambda _: f"{_BEGIN}\n{papers_table(claims)}\n{_END}", text, flags=re.S)
    write_whole(readme, made.encode())


def rooms() -> dict[str, tuple[Paper, list[str]]]:
    """Every paper by its key, and its notebooks, in their order."""
    found: dict[str, tuple[Paper, list[str]]] = {}
    for topic in folders.topics():
        study = notebooks.study(topic)
        if study.paper is not None:
            found.setdefault(study.paper.key, (study.paper, []))[1].append(topic)
    return found


def papers_table(claims: Sequence[Claim]) -> str:
    """One row a paper: its question, its notebooks, how its claims came out, and how long it takes."""
    facts = _machine()["notebooks"]
    lines = ["| paper | question | notebooks | claims: supported, contradicted, inconclusive | minutes |"]
    lines.append("|---|---|---|---|---|")
    for paper, topics in rooms().values():
        counts = Counter(c.verdict for c in claims if c.notebook in topics)
        seconds = sum(facts[t]["compute_seconds"] + facts[t]["draw_seconds"] for t in topics if t in facts)
        links = " ".join(f"[{topic[:2]}](notebooks/{topic}.ipynb)" for topic in topics)
        told = ", ".join(str(counts[verdict]) for verdict in VERDICTS)
        lines.append(f"| {paper.link} | {paper.question} | {links} | {told} | {seconds / 60:.0f} |")
    return "\n".join(lines)


def ledger_text(claims: Sequence[Claim]) -> str:
    """The whole ledger, by paper."""
    parts = [_HEAD.format(**_machine(), summary=ledger.summary(claims))]
    for paper, topics in rooms().values():
        own = ledger.as_markdown(ledger.full_table(c for c in claims if c.notebook in topics))
        parts.append(f"## {paper.link}\n\n{paper.question} At hand: {paper.at_hand}.\n\n{own}\n")
    return "\n".join(parts)


def _machine() -> dict:
    """On what the reference was made."""
    file = folders.reference("laptop") / "machine.json"
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}); run 'make reference'") from None


_HEAD = """# The ledger

Made by `make reference` from the reference run of profile `laptop` ({processor}, {cores} cores); do not edit. {summary}

*Supported*: the whole 95 % interval lies in the region; *contradicted*: wholly outside; *inconclusive*: neither, or
void for the reason given. *Says* is where a claim comes from: the paper, its abstract, the authors' code or notebooks,
another paper, or us. *Kind* tells findings from checks of our own instruments and from facts about the machine.
"""
