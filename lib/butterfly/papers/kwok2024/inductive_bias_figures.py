"""The figures of notebook 12. Each returns the picture and the numbers behind it; its docstring is the caption."""

import textwrap
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly import data
from butterfly.association import discoveries
from butterfly.papers.kwok2024.inductive_bias import ALL, CLASS, GROUP, INSENSITIVE, OTHERS, SCORE, SENSITIVE
from butterfly.papers.kwok2024.naming import architecture, by_setting, family_name, palette
from butterfly.study import Tables, intervals
from butterfly.study.figures import Drawn, legend, panels, style, title

KINDS = {"family": "another family", "depth": "another depth", "width": "another width", "nothing": "the same network"}
PARTS = ["class", "example within class", "architecture x class", "architecture x example within class", "single run"]
FACTORS = {
    "family": "family", "depth": "depth", "width": "width", "depth of narrow": "depth, narrow networks",
    "depth of wide": "depth, wide networks", "width of shallow": "width, shallow networks",
    "width of deep": "width, deep networks",
}  # fmt: skip
RANKS = {ALL: "among all examples", CLASS: "within classes"}
HIGHEST = 60  # of the evidence that is drawn, in powers of ten


def split(tables: Tables) -> Drawn:
    """Variance of an example's rank among all examples, split by the method of moments: what its class is worth, what
    it is worth itself within its class, what an architecture makes of the class and of the example, and the single run;
    for sets of architectures. All runs of each architecture are used."""
    numbers = _ladder(tables["split"][tables["split"].among == ALL])
    figure, places = by_setting(numbers, width=5.2, height=3.4, share=True)
    for axis, rows in places:
        shares = rows.set_index("contrast")[PARTS][::-1]
        left = np.zeros(len(shares))
        for part, colour in palette(PARTS).items():
            axis.barh(shares.index, shares[part], left=left, color=colour, label=part)
            left += shares[part].to_numpy()
        axis.set(xlabel="share of the variance", xlim=(0, 1), xticks=[0, 0.25, 0.5, 0.75])
        axis.xaxis.set_major_formatter("{x:.0%}")
        axis.grid(visible=False)
    legend(figure.axes[-1], "variance of a rank")
    figure.suptitle(f"What an example's rank by {SCORE} depends on ({_scope(tables)})")
    return figure, numbers


def _ladder(split: pd.DataFrame) -> pd.DataFrame:
    """The shares of `PARTS`, from those of examples and architectures and the part of classes in each."""
    example, interaction = split["example"], split["architecture x example"]
    of_class, of_both = split["part of class"], split["part of architecture x class"]
    shares = example * of_class, example * (1 - of_class), interaction * of_both, interaction * (1 - of_both)
    columns = dict(zip(PARTS, (*shares, split["run"]), strict=True))
    return split[["setting", "contrast"]].assign(**columns)


def contrasts(tables: Tables) -> Drawn:
    """Share of examples whose mean rank differs between two architectures at a false discovery rate of 5 %, from 8 runs
    of each; the counts hold for 8 runs, and more runs tell more examples apart. Filled: ranks among all examples;
    hollow: within classes, which leaves out that an architecture finds whole classes harder. Bars are 95 % intervals
    over groups of runs that share none; the dotted line is what claims ask of families beyond sizes."""
    table = tables["contrasts"]
    table = table[table.score == SCORE].assign(pair=lambda t: [_pair(row) for row in t.itertuples()])
    numbers = _means(table, ["setting", "kind", "pair", "among"], "share")
    figure, places = by_setting(numbers, width=5.2, height=4.2, share=True)
    colours = palette(list(KINDS))
    for axis, rows in places:
        order = list(dict.fromkeys(rows.pair))
        for (kind, among), some in rows.groupby(["kind", "among"], sort=False):
            at = [order.index(pair) + (0.15 if among == CLASS else -0.15) for pair in some.pair]
            _points(axis, some, at, colours[kind], hollow=among == CLASS, label=KINDS[kind] if among == ALL else None)
        axis.plot([], [], "o", color="grey", label=RANKS[ALL])
        axis.plot([], [], "o", color="grey", markerfacecolor="white", label=RANKS[CLASS])
        axis.axvline(0.05, color="black", linestyle=":", linewidth=1)
        axis.set_yticks(range(len(order)), order)
        axis.set(xlabel="examples told apart", ylim=(len(order) - 0.5, -0.5))
        axis.xaxis.set_major_formatter("{x:.0%}")
    legend(figure.axes[-1], "what differs")
    figure.suptitle(f"How many examples tell two architectures apart, {GROUP} runs of each (5 % false discoveries)")
    return figure, table.drop(columns="pair")


def _pair(row) -> str:
    one, two = architecture(row.one), architecture(row.two)
    return f"{one} | {two}" if row.kind != "nothing" else f"{one} | itself"


def _means(table: pd.DataFrame, by: list[str], column: str) -> pd.DataFrame:
    """Mean over groups of runs with its 95 % interval; none where there are fewer than six groups."""
    rows = []
    for key, some in table.groupby(by, sort=False):
        found = intervals.mean(some.groupby("group")[column].mean())
        ends = (found.low, found.high) if found.n >= 6 else (np.nan, np.nan)
        rows.append((*key, found.estimate, *ends))
    return pd.DataFrame(rows, columns=[*by, "estimate", "low", "high"])


def _points(axis: Axes, rows: pd.DataFrame, at: list[float], colour: tuple, hollow: bool, label: str | None) -> None:
    """Estimates with their intervals, side by side with others at places `at` of the y-axis."""
    ends = np.nan_to_num(np.stack([rows.estimate - rows.low, rows.high - rows.estimate]))
    fill = "white" if hollow else colour
    axis.errorbar(
        rows.estimate, at, xerr=ends, fmt="o", color=colour, markerfacecolor=fill, markersize=5, linewidth=1.5,
        label=label,
    )  # fmt: skip


def manhattan(tables: Tables) -> Drawn:
    """Evidence of each training example that the largest networks of the first two families rank it differently, among
    all examples and among those of its class, and that two halves of the runs of the first family do, from all runs.
    Examples are in the order of their class, which the two colours tell apart; the line is the threshold of a false
    discovery rate of 5 %, where there are discoveries; triangles lie beyond the axis. Above 10 the axis is
    logarithmic."""
    numbers = tables["examples"]
    numbers = numbers[numbers.setting == numbers.setting.iloc[0]].sort_values(["label", "id"], ignore_index=True)
    figure, axes = panels(3, width=4.6, height=3.8, share=True)
    one, two, *_ = _families(numbers).values()
    _evidence(axes[0], numbers, "p_pair", f"{one} against {two}, among all")
    _evidence(axes[1], numbers, "p_pair_in_class", "the same, within classes")
    _evidence(axes[2], numbers, "p_halves", f"two halves of {one} runs")
    axes[0].set_ylabel("-log10 p of the association")
    name = title(numbers.setting.iloc[0])
    figure.suptitle(f"Which examples tell networks apart ({name}; line: 5 % false discoveries)")
    return figure, numbers


def _evidence(axis: Axes, numbers: pd.DataFrame, column: str, what: str) -> None:
    p = numbers[column]
    evidence = -np.log10(p.where(p > 0, 1e-300))
    shades, beyond = np.array(sns.color_palette("colorblind", 2)), (evidence > HIGHEST).to_numpy()
    colours = shades[numbers.label.to_numpy() % 2]
    axis.scatter(numbers.index[~beyond], evidence[~beyond], s=5, c=colours[~beyond], linewidth=0)
    if beyond.any():
        axis.scatter(numbers.index[beyond], np.full(beyond.sum(), HIGHEST), s=14, c=colours[beyond], marker="^")
    told = discoveries(p.to_numpy())
    if told.any():
        axis.axhline(evidence[told].min(), color="black", linewidth=1)
    axis.set(title=f"{what}: {told.mean():.1%} told apart", xlabel="example, by class")
    axis.set_yscale("symlog", linthresh=10)
    axis.set_ylim(-0.3, 1.15 * HIGHEST)
    axis.set_yticks([0, 2, 4, 6, 8, 10, 20, 40, HIGHEST], ["0", "2", "4", "6", "8", "10", "20", "40", f"{HIGHEST}"])
    axis.minorticks_off()
    middles = pd.Series(numbers.index).groupby(numbers.label).mean()
    axis.set_xticks(middles, [str(label) for label in middles.index])
    axis.grid(visible=False)


def sensitivity(tables: Tables) -> Drawn:
    """Share of examples of whose variance over runs the family explains less than the value on the axis (epsilon
    squared, from all runs): of ranks among all examples, of ranks within classes, and with the runs dealt to families
    at random. Dotted: the bounds below and above which claims call an example insensitive and sensitive."""
    numbers = tables["examples"]
    figure, places = by_setting(numbers, width=5.0, height=3.6, share=True)
    curves = {"epsilon_families": "ranks among all examples", "epsilon_families_in_class": "ranks within classes",
              "epsilon_chance": "runs dealt at random"}  # fmt: skip
    for axis, rows in places:
        for (column, label), dash in zip(curves.items(), ("-", "--", "-."), strict=True):
            colour = palette(list(curves))[column]
            sns.ecdfplot(rows[column], ax=axis, color=colour, linestyle=dash, label=label)
        for bound in (INSENSITIVE, SENSITIVE):
            axis.axvline(bound, color="black", linestyle=":", linewidth=1)
        axis.set(xlabel="variance explained by the family", ylabel="examples below it", xlim=(-0.05, 1))
        axis.yaxis.set_major_formatter("{x:.0%}")
    legend(figure.axes[-1], "of")
    figure.suptitle(f"How sensitive examples are to the family ({_scope(tables)})")
    return figure, numbers[["setting", "id", "label", *curves]]


def pictures(tables: Tables) -> Drawn:
    """The examples most sensitive to the family, and hard ones least sensitive; above each its label, and its mean rank
    among all examples in per cent for each family, in the order of the title (0 easy, 100 hard)."""
    shown, ranks = tables["shown"], tables["examples"].set_index(["setting", "id"])
    rows = list(product(shown.setting.unique(), ("most", "least")))
    count, families = shown.place.max() + 1, _families(ranks)
    style()
    figure, axes = plt.subplots(len(rows), count, figsize=(1.75 * count, 1.75 * len(rows)), squeeze=False)
    for row, (name, kind) in zip(axes, rows, strict=True):
        shape = data.input_shape(tables.params.at(name).data)[1:]
        examples = shown[(shown.setting == name) & (shown.kind == kind)]
        for place, axis in enumerate(row):
            example = examples[examples.place == place]
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
            if example.empty:
                axis.axis("off")
                continue
            _draw(axis, example.value.to_numpy(), shape)
            known = ranks.loc[(name, example.id.iloc[0])]
            values = " ".join(f"{100 * known[column]:.0f}" for column in families)
            axis.set_title(f"label {int(known.label)}: {values}", fontsize=8)
        row[0].set_ylabel(textwrap.fill(f"{title(name)}, {kind} sensitive", 24), fontsize=8)
    order = ", ".join(families.values())
    figure.suptitle(f"Examples by sensitivity; above each its label, and its rank (0 easy, 100 hard) for {order}")
    which = shown[["setting", "kind", "place", "id"]].drop_duplicates()  # their values are the data's
    return figure, which.join(ranks[["label", *families]], on=["setting", "id"])


def _draw(axis: Axes, values: np.ndarray, shape: tuple[int, ...]) -> None:
    """A signal as a line, an image in its colours, each from its darkest to its brightest value."""
    if len(shape) == 1:
        axis.plot(values, color="black", linewidth=1)
        return
    image = np.moveaxis(values.reshape(-1, *shape), 0, -1)
    if image.shape[-1] == 1:
        axis.imshow(image[..., 0], cmap="gray_r")
    else:
        axis.imshow((image - image.min()) / max(np.ptp(image), 1e-9))


def _families(examples: pd.DataFrame) -> dict[str, str]:
    columns = [column for column in examples if column.startswith("rank_")]
    return {column: family_name(column.removeprefix("rank_")) for column in columns}


def _scope(tables: Tables) -> str:
    return f"n = {tables['runs'].groupby(['setting', 'model']).size().min()} runs of each architecture"


def factors(tables: Tables) -> Drawn:
    """Share of the variance of a rank over runs that family, depth and width explain, without what chance explains
    (epsilon squared), mean over examples. First the main effects in two families of two depths times two widths; then
    depth and width at either end of the other, mean over the two families. Filled: ranks among all examples; hollow:
    within classes; bars are 95 % intervals over groups of runs that share none."""
    table = tables["factors"]
    numbers = _means(table, ["setting", "factor", "among"], "epsilon")
    figure, places = by_setting(numbers, width=5.2, height=3.4, share=True)
    colours = palette(["family", "depth", "width"])
    for axis, rows in places:
        for among, own in rows.groupby("among", sort=False):
            for kind, colour in colours.items():
                some = own[own.factor.str.startswith(kind)]
                at = [list(FACTORS).index(name) + (0.15 if among == CLASS else -0.15) for name in some.factor]
                _points(axis, some, at, colour, hollow=among == CLASS, label=None)
        axis.plot([], [], "o", color="grey", label=RANKS[ALL])
        axis.plot([], [], "o", color="grey", markerfacecolor="white", label=RANKS[CLASS])
        axis.axvline(0, color="black", linewidth=1)
        axis.set_yticks(range(len(FACTORS)), list(FACTORS.values()))
        axis.set(xlabel="variance explained", ylim=(len(FACTORS) - 0.5, -0.5))
        axis.xaxis.set_major_formatter("{x:.0%}")
    legend(figure.axes[-1], "ranks")
    figure.suptitle(f"What family, depth and width explain of an example's rank, {GROUP} runs of each architecture")
    return figure, table


def scores(tables: Tables) -> Drawn:
    """Share of examples that tell two architectures apart, as in figure b, by four scores, ranks within classes: the
    pairs of families, and the mean over all pairs that differ in depth or width. The counts hold for 8 runs of each
    architecture; more runs tell more examples apart. Bars are 95 % intervals over groups of
    runs that share none."""
    table = tables["contrasts"]
    table = table[(table.among == CLASS) & (table.kind != "nothing")].copy()
    table["pair"] = [_pair(row) if row.kind == "family" else "another depth or width" for row in table.itertuples()]
    numbers = _means(table, ["setting", "pair", "score"], "share")
    figure, places = by_setting(numbers, width=5.2, height=3.4, share=True)
    for axis, rows in places:
        order = list(dict.fromkeys(rows.pair))
        for step, (score, colour) in enumerate(palette([SCORE, *OTHERS]).items()):
            some = rows[rows.score == score]
            at = [order.index(pair) + 0.17 * (step - 1.5) for pair in some.pair]
            _points(axis, some, at, colour, hollow=False, label=score)
        axis.set_yticks(range(len(order)), order)
        axis.set(xlabel="examples told apart", ylim=(len(order) - 0.5, -0.5))
        axis.xaxis.set_major_formatter("{x:.0%}")
    legend(figure.axes[-1], "ranks by")
    figure.suptitle(f"The same by other scores, ranks within classes, {GROUP} runs of each architecture")
    return figure, table.drop(columns="pair")


def explained(tables: Tables) -> pd.DataFrame:
    """Share of variance that family, depth and width explain beyond chance, mean over groups of runs."""
    main = tables["factors"][tables["factors"].factor.isin(["family", "depth", "width"])]
    return main.groupby(["setting", "among", "factor"], sort=False).epsilon.mean().unstack("factor").round(3)
