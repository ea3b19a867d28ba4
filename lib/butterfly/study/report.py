"""LEDGER.md and the table of the README, made from the reference run."""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from scipy import stats

from butterfly.strict import UserError
from butterfly.study import elsewhere, folders, ledger, notebooks, registration
from butterfly.study.claims import VERDICTS, Claim, Kind
from butterfly.study.intervals import TAIL, student
from butterfly.study.papers import Paper
from butterfly.study.store import write_whole
from butterfly.study.study import REDRAWN

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
    """One row a paper: its question, its notebooks, how its claims came out, how long it takes; and one for all."""
    facts, shaky = _machine()["notebooks"], elsewhere.shaky(claims, elsewhere.read("laptop"))
    lines = ["| paper | question | notebooks | claims: s, c, i | minutes |"]
    lines.append("|---|---|---|---|---|")

    def cells(topics: Sequence[str]) -> str:
        # A verdict that hangs on rounding decides nothing.
        counts = Counter("inconclusive" if c.id in shaky else c.verdict for c in claims if c.notebook in topics)
        seconds = sum(facts[t]["compute_seconds"] + facts[t]["draw_seconds"] for t in topics if t in facts)
        minutes = f"{seconds / 60:.0f}" if registration.registered() else "not timed"  # an exploration reads its store
        return f"{', '.join(str(counts[verdict]) for verdict in VERDICTS)} | {minutes}"

    for paper, topics in rooms().values():
        links = " ".join(f"[{topic[:2]}](notebooks/{topic}.ipynb)" for topic in topics)
        cited = f"[{_cited(paper)}](https://arxiv.org/abs/{paper.arxiv})"
        lines.append(f"| {cited} | {paper.question} | {links} | {cells(topics)} |")
    lines.append(f"| all | | | {cells([topic for _, topics in rooms().values() for topic in topics])} |")
    return "\n".join(lines)


def _cited(paper: Paper) -> str:
    """A paper as one cites it in a text: "Altıntaş et al. 2025"."""
    names = [author.split()[-1] for author in paper.authors.split(", ")]
    return f"{' and '.join(names) if len(names) < 3 else f'{names[0]} et al.'} {paper.year}"


def ledger_text(claims: Sequence[Claim]) -> str:
    """The whole ledger, by paper."""
    explored = registration.exploration()
    same = sum(c.id in explored and explored[c.id].verdict == c.verdict for c in claims)
    told = _CONFIRMED.format(same=same, count=len(claims)) if explored else _EXPLORED
    found = elsewhere.read("laptop")
    if found:
        shaky, sets = elsewhere.shaky(claims, found), ", ".join(found)
        judged = sum(elsewhere.held(c, found)[1] > 1 for c in claims)
        part = f"{judged} of the claims (those with a number in the last column)"
        what = "The claims" if judged == len(claims) else part
        turned = ", ".join(elsewhere.turned(claims, found)) or "none"
        told += _ELSEWHERE.format(what=what, sets=sets, same=judged - len(shaky), count=judged, turned=turned)
    parts = [_HEAD.format(**_machine(), summary=ledger.summary(claims), told=told)]
    parts.append(f"## Seeds and data\n\n{_DATA}\n{seeds_and_data(claims)}\n")
    for paper, topics in rooms().values():
        some = [c for c in claims if c.notebook in topics]
        rows = ledger.full_table(some)
        if explored:
            rows["exploration"] = [registration.agreement(c, explored) for c in some]
            rows["registered"] = ["yes" if c.registered else "no" for c in some]
        held = [elsewhere.held(c, found) for c in some]
        if any(of > 1 for _, of in held):
            rows["instruction sets"] = [f"{same} of {of}" if of > 1 else "" for same, of in held]
        own = ledger.as_markdown(rows)
        parts.append(f"## {paper.link}\n\n{paper.question} At hand: {paper.at_hand}.\n\n{own}\n")
    return "\n".join(parts + [elsewhere_text(profile, claims) for profile in others()])


def others() -> list[str]:
    """The profiles beside the laptop's of which a reference run is kept."""
    kept = sorted(folder.parent.name for folder in folders.reference("laptop").parent.glob("*/claims.json"))
    return [profile for profile in kept if profile != "laptop"]


def named(profile: str) -> list[Claim]:
    """Claims of another profile's reference run, their ids with its name: `B04@cifar`."""
    found = ledger.read(folders.reference(profile) / "claims.json")
    return [replace(c, id=f"{c.id}@{profile}") for c in found]


def elsewhere_text(profile: str, laptop: Sequence[Claim]) -> str:
    """The section of another profile: each claim beside that of the laptop, first those that are turned round."""
    known = {c.id: c for c in laptop}
    before = {c.id: known.get(c.id.rpartition("@")[0]) for c in named(profile)}

    def turned(c: Claim) -> bool:
        there = before[c.id]
        return there is not None and {c.verdict, there.verdict} == {"supported", "contradicted"}

    found = sorted(named(profile), key=turned, reverse=True)
    both = [(c, there) for c in found if (there := before[c.id])]
    rows = ledger.table(found)
    rows.insert(2, "scope", [c.scope for c in found])
    rows["laptop"] = [there.verdict if (there := before[c.id]) else "not judged" for c in found]
    rows["laptop's estimate"] = [f"{there.bound}{there.estimate:.3g}" if (there := before[c.id]) else "" for c in found]
    rows["registered"] = ["yes" if c.registered else "no" for c in found]
    facts = _machine(profile)
    seconds = sum(own["compute_seconds"] + own["draw_seconds"] for own in facts["notebooks"].values())
    told = _OTHER.format(profile=profile, minutes=seconds / 60, **facts)
    same = sum(c.verdict == there.verdict for c, there in both)
    told += f"Of {len(both)} claims judged in both, {same} have the same verdict. Turned round, from supported to "
    told += f"contradicted or back, are {sum(map(turned, found))}; these stand first."
    return f"{told}\n\n{ledger.as_markdown(rows)}\n"


def seeds_and_data(claims: Sequence[Claim]) -> str:
    """Where data were drawn anew for every unit: how much more that spreads a statistic than seeds alone do.

    The interval of the ratio of the two variances is that of an F test.
    """
    known, rows = {c.id: c for c in claims}, []
    for c in claims:
        id, _, label = c.id.partition("@")
        if label != REDRAWN or id not in known or c.kind == Kind.CHECK or c.scale == "share":
            continue
        one = known[id]
        alone, both = spread(one), spread(c)
        ratio = (both / alone) ** 2 if alone > 0 else math.nan
        ends = [ratio / stats.f.ppf(q, max(c.n - 1, 1), max(one.n - 1, 1)) for q in (1 - TAIL, TAIL)]
        told = "" if math.isnan(ratio) else f"{ratio:.2g} ({ends[0]:.2g} to {ends[1]:.2g})"
        rows.append([id, c.statement, one.verdict, c.verdict, f"{alone:.3g}", f"{both:.3g}", told])
    columns = ["id", "claim", "one draw of data", "a draw a unit", "spread over seeds", "over seeds and data"]
    return ledger.as_markdown(pd.DataFrame(rows, columns=[*columns, "ratio of the variances, 95 % interval"]))


def spread(claim: Claim) -> float:
    """Standard deviation over units behind an interval, on the scale on which it is symmetric."""
    if claim.n < 2:
        return math.nan
    low, high = claim.low, claim.high
    if claim.scale == "log":
        low, high = (math.log(v) if v > 0 else math.nan for v in (low, high))
    return (high - low) / 2 / student(claim.n - 1) * math.sqrt(claim.n)


def _machine(profile: str = "laptop") -> dict:
    """On what a reference was made."""
    file = folders.reference(profile) / "machine.json"
    try:
        found = json.loads(file.read_text())
        if not isinstance(found, dict):
            raise ValueError("not the facts of a machine")
        return found
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read ({error}); run 'make reference'") from None


_HEAD = """# The ledger

Made by `make reference` from the reference run of profile `laptop` ({processor}, {cores} cores); do not edit. {summary}

{told}

*Supported*: the whole 95 % interval lies in the region; *contradicted*: wholly outside; *inconclusive*: neither, or
void for the reason given. *Says* is where a claim comes from: the paper, its abstract, the authors' code or notebooks,
another paper, or us. *Kind* tells findings from checks of our own instruments and from facts about the machine. *Reach*
is the range that the statistic can reach at all; *power* how often the claim would be supported with this n and this
spread, if the truth lay where it says. An estimate with `<` is a bound: what lies under the floor of measurement is not
averaged in. Intervals are over the seeds of one draw of the data, unless the id ends in `@redrawn`.
"""

_CONFIRMED = """Every claim was worked out on an exploration and written down in
[registered.json](figures/reference/registered.json) before the run told here, whose seeds, from 1,000,000 or later on,
had not been looked at. {same} of {count} verdicts are those of the exploration; *registered* says whether a claim was
judged exactly as written down."""
_EXPLORED = """The run told here is the exploration, on which claims were worked out. None of them has been confirmed
yet on seeds that nobody had looked at."""

_ELSEWHERE = """

{what} were judged again on the same seeds under other instruction sets ({sets}),
which round differently: {same} of {count} verdicts are the same under all; one that is not counts as inconclusive in
the README. Supported under one and contradicted under another: {turned}.
"""

_OTHER = """## Profile `{profile}`: the same claims on other data and networks

Made on {processor}, {cores} cores, in {minutes:.0f} minutes. """

_DATA = """MNIST-1D is generated, so its signals can be drawn anew, training and test. In the claims `@redrawn` every
unit has data of its own: their interval covers seeds and data at once. The spread is the standard deviation over units
(of logarithms, for ratios). Where the ratio of the variances lies above 1 with its whole interval, another draw of the
data moves the statistic more than other seeds do.
"""
