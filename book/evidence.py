"""The claims of the reference run as HTML: rows that can be read without scripts, and one map of them all."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from butterfly.study.claims import VERDICTS, Claim
from butterfly.study.intervals import ANYWHERE

SIGNS = dict(zip(VERDICTS, "✓✗?", strict=True))


def topic(claim: Claim) -> str:
    """The data that a claim is about, and whether they were drawn anew: its scope without the model."""
    return claim.scope.partition(",")[0].partition(";")[0]


def page(claim: Claim) -> str:
    """Where the notebook of a claim stands."""
    return f"{claim.notebook}.html"


def anchor(claim: Claim, letter: str) -> str:
    """Where a figure of a claim stands."""
    return f"{page(claim)}#figure-{claim.notebook[:2]}-{letter}"


# --- rows ------------------------------------------------------------------------------------------------------------


def table(claims: Iterable[Claim], code: Mapping[str, str], id: str, caption: str, home: str = "") -> str:
    """A table of claims; `code` says where each is measured, `home` where its rows are at home if not here."""
    rows = "\n".join(_row(c, code[c.id], home) for c in claims)
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("id", "claim", "estimate", "verdict"))
    head = f'<caption class="unseen">{escape(caption)}</caption>\n<thead><tr>{heads}</tr></thead>'
    return f'<table class="claims" id="{id}">\n{head}\n<tbody>\n{rows}\n</tbody>\n</table>'


def _row(c: Claim, code: str, home: str) -> str:
    """One claim: what it says, how it was measured, where to see it, and what came out."""
    says = c.source + (f", {c.place}" if c.place else "") + ("" if c.origin in ("ours", "paper") else f", {c.origin}")
    figures = [f'<a href="{anchor(c, letter)}">figure {int(c.notebook[:2])}{letter}</a>' for letter in c.figure]
    links = ", ".join(
        [*(figures or [f'<a href="{page(c)}">notebook {c.notebook[:2]}</a>']), f'<a href="{code}">code</a>']
    )
    reach = "" if c.reach == ANYWHERE else f" Reach {c.reach[0]:.3g} to {c.reach[1]:.3g}.".replace("inf", "∞")
    power = "" if math.isnan(c.power) else f" Power {c.power:.2f} at {c.planted:.3g}."
    void = f"<small>void: {escape(c.void)}</small>" if c.void else ""
    told = "" if math.isnan(c.low) else f"<small>[{c.low:.3g}, {c.high:.3g}], n&nbsp;=&nbsp;{c.n}</small>"
    estimate = "none" if math.isnan(c.estimate) else f"{escape(c.bound)}{c.estimate:.3g}"
    about = {"paper": c.paper, "verdict": c.verdict, "kind": c.kind, "scope": topic(c), "notebook": c.notebook[:2]}
    numbers = {"estimate": c.estimate, "n": c.n, "power": c.power, "distance": distance(c)}
    about |= {name: f"{value:.6g}" for name, value in numbers.items() if not math.isnan(value)}
    data = "" if home else "".join(f' data-{name}="{escape(str(value))}"' for name, value in about.items())
    own = f'id="{escape(c.id)}"' if not home else ""
    return (
        f'<tr {own}{data}><th scope="row"><a href="{home}#{escape(c.id)}">{escape(c.id)}</a></th>'
        f"<td>{escape(c.statement)}. <small>Measured: {escape(c.statistic)}. Claimed: {escape(str(c.region))}. "
        f"About: {escape(c.scope)}. A {c.kind}; said by {escape(says)}.{reach}{power} {links}</small></td>"
        f"<td>{estimate}{told}</td>"
        f'<td class="{c.verdict}"><b><span aria-hidden="true">{SIGNS[c.verdict]}</span> {c.verdict}</b>{void}</td></tr>'
    )


def counts(claims: Iterable[Claim], query: str) -> str:
    """How many came out how, each a link to those in the ledger."""
    found = Counter(c.verdict for c in claims)
    return " ".join(
        f'<a class="{v}" href="ledger.html?{query}&amp;verdict={v}" title="{found[v]} {v}">'
        f'<span aria-hidden="true">{SIGNS[v]}</span> {found[v]}<span class="unseen"> {v}</span></a>'
        for v in VERDICTS
    )


def options(names: Mapping[str, str]) -> str:
    """The choices of a filter: what is asked for, and how it is called."""
    return "".join(f'<option value="{escape(value)}">{escape(name)}</option>' for value, name in names.items())


# --- the map ---------------------------------------------------------------------------------------------------------


def distance(claim: Claim) -> float:
    """How far an estimate lies within its region, in half-widths of its interval; negative where it lies outside.

    Counted is the nearest edge, and the half of the interval that faces it, on the scale of the statistic: so above 1
    the whole interval lies inside, at -1 and below wholly outside. NaN where there is no estimate.
    """
    region, x = claim.region, claim.estimate
    if math.isnan(x) or math.isnan(claim.low):
        return math.nan
    if region.low == region.high:
        return math.inf if claim.low == claim.high == region.low else -math.inf
    edges = [(edge, sign) for edge, sign in ((region.low, 1), (region.high, -1)) if math.isfinite(edge)]
    return min(sign * _steps(x, edge, claim.low if x > edge else claim.high, claim.scale) for edge, sign in edges)


def _steps(x: float, edge: float, end: float, scale: str) -> float:
    """From an edge to an estimate, in units of the way from the estimate to the end of its interval."""
    if scale == "log" and min(x, edge, end) > 0:
        x, edge, end = math.log(x), math.log(edge), math.log(end)
    way, half = x - edge, abs(x - end)
    return way / half if half > 0 else math.copysign(math.inf, way) if way else 0.0


FAR, WIDE, TOP, DOT = 100, 640, 44, 3.4  # half-widths at the border; pixels
TICKS = (-30, -10, -3, -1, 0, 1, 3, 10, 30)


def across(steps: float) -> float:
    """The horizontal place of a distance: even near 0, logarithmic far out, so that all claims have room."""
    near = max(-FAR, min(FAR, steps))
    return WIDE / 2 + math.asinh(near) / math.asinh(FAR) * (WIDE / 2 - 2 * DOT)


def evidence(claims: Sequence[Claim], titles: Mapping[str, str]) -> str:
    """The map of all claims: one SVG, a strip a notebook, each claim a dot that leads to its row of the ledger."""
    parts, y = [], TOP
    for notebook, title in titles.items():
        own = [c for c in claims if c.notebook == notebook]
        dots, height = _strip(own, y + 18)
        parts.append(f'<text x="4" y="{y + 13}"><a href="{notebook}.html">{escape(title)}</a></text>{dots}')
        y += 18 + height + 6
    edges = [0, across(-1), across(1), WIDE]
    names = ("contradicted", "inconclusive", "supported")
    bands = "".join(
        f'<rect class="{name}" x="{a:.2f}" y="0" width="{b - a:.2f}" height="{y}"/>'
        f'<text class="name" x="{(a + b) / 2:.0f}" y="16">{SIGNS[name]} {name}</text>'
        for name, a, b in zip(names, edges, edges[1:], strict=False)
    )
    ticks = "".join(
        f'<path d="M{across(t):.2f} 34V{y}"/><text class="tick" x="{across(t):.0f}" y="31">{t}</text>' for t in TICKS
    )
    label = "All claims by their distance from the edge of their region; the ledger lists the same claims as text"
    return (
        f'<svg id="map" viewBox="0 0 {WIDE} {y}" role="img" aria-label="{label}">{bands}<g class="ticks">{ticks}</g>'
        f"{''.join(parts)}</svg>"
    )


def _strip(claims: Iterable[Claim], top: float) -> tuple[str, float]:
    """The dots of one notebook, stacked where they would cover each other, and how high the stack is."""
    stacks: dict[int, list[Claim]] = defaultdict(list)
    for c in claims:
        d = distance(c)
        stacks[int(across(0 if math.isnan(d) else d) // (2 * DOT))].append(c)
    high = max(map(len, stacks.values()), default=1) * 2 * DOT
    dots = [_dot(c, top + high - DOT * (2 * i + 1)) for some in stacks.values() for i, c in enumerate(some)]
    return "".join(dots), high


def _dot(c: Claim, y: float) -> str:
    d = distance(c)
    void = "" if not (c.void or math.isnan(d)) else " void"
    told = f"{c.id}, {c.verdict}: {c.statement}"
    return (
        f'<a href="ledger.html#{escape(c.id)}" tabindex="-1"><circle id="dot-{escape(c.id)}" class="{c.verdict}{void}" '
        f'cx="{across(0 if math.isnan(d) else d):.4f}" cy="{y:.1f}" r="{DOT - 0.4:.1f}"><title>{escape(told)}</title>'
        "</circle></a>"
    )
