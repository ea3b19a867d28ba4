"""The figures of notebook 12. Each returns the picture and the numbers behind it; its docstring is the caption."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly import data
from butterfly.association import discoveries
from butterfly.papers.kwok2024.inductive_bias import GROUP, SCORE
from butterfly.papers.kwok2024.naming import architecture, by_setting, family_name, palette
from butterfly.study import Tables
from butterfly.study.figures import BAND, Drawn, legend, panels, style, title

KINDS = {"family": "another family", "depth": "another depth", "width": "another width", "nothing": "the same network"}


def split(tables: Tables) -> Drawn:
    """Variance of an example's rank, split by the method of moments into examples, architectures with examples, and
    single runs, for sets of architectures."""
    numbers = tables["split"]
    parts = ["example", "architecture x example", "run"]
    figure, places = by_setting(numbers, width=4.6, height=3.2, share=True)
    for axis, rows in places:
        shares = rows.set_index("contrast")[parts][::-1]
        left = np.zeros(len(shares))
        for part, colour in palette(parts).items():
            axis.barh(shares.index, shares[part], left=left, color=colour, label=part)
            left += shares[part].to_numpy()
        axis.set(xlabel="share of the variance", xlim=(0, 1), xticks=[0, 0.25, 0.5, 0.75])
        axis.xaxis.set_major_formatter("{x:.0%}")
        axis.grid(visible=False)
    legend(figure.axes[-1], "variance of a rank")
    figure.suptitle(f"What an example's rank by {SCORE} depends on ({_scope(tables)})")
    return figure, numbers


def contrasts(tables: Tables) -> Drawn:
    """Share of examples whose mean rank differs between two architectures at a false discovery rate of 5 %, from a few
    runs of each; points are means over groups of runs that share none, bars their 95 % bootstrap intervals."""
    numbers = tables["contrasts"].copy()
    numbers["pair"] = [_pair(row) for row in numbers.itertuples()]
    numbers["differs in"] = numbers.kind.map(KINDS)
    figure, places = by_setting(numbers, width=4.6, height=3.6, share=True)
    for axis, rows in places:
        sns.pointplot(
            rows, x="share", y="pair", hue="differs in", palette=palette(list(KINDS.values())), ax=axis,
            linestyle="none", errorbar=BAND["errorbar"], markersize=5, err_kws={"linewidth": 1.5},
        )  # fmt: skip
        axis.set(xlabel="examples that tell them apart", ylabel="")
        axis.xaxis.set_major_formatter("{x:.0%}")
    legend(figure.axes[-1], "what differs", remove=figure.axes[0] if len(places) > 1 else None)
    figure.suptitle(f"How many examples tell two architectures apart, {GROUP} runs of each (5 % false discoveries)")
    return figure, numbers


def _pair(row) -> str:
    one, two = architecture(row.one), architecture(row.two)
    return f"{one} | {two}" if row.kind != "nothing" else f"{one} | itself"


def manhattan(tables: Tables) -> Drawn:
    """Evidence of each training example that the largest networks of two families rank it differently (left), and that
    two halves of the runs of the first do (right), from all runs; examples in the order of their class, which the two
    colours tell apart; the line is the threshold of a false discovery rate of 5 %."""
    numbers = tables["examples"]
    numbers = numbers[numbers.setting == numbers.setting.iloc[0]].sort_values(["label", "id"], ignore_index=True)
    figure, axes = panels(2, width=6.2, height=3.6, share=True)
    one, two, *_ = _families(numbers).values()
    _evidence(axes[0], numbers, "p_pair", f"{one} against {two}")
    _evidence(axes[1], numbers, "p_halves", f"the runs of the {one} in two halves")
    axes[0].set_ylabel("-log10 p of the association")
    name = title(numbers.setting.iloc[0])
    figure.suptitle(f"Which examples tell networks apart ({name}; line: 5 % false discoveries)")
    return figure, numbers


def _evidence(axis: Axes, numbers: pd.DataFrame, column: str, what: str) -> None:
    evidence = -np.log10(numbers[column].clip(lower=1e-40))
    shades = sns.color_palette("colorblind", 2)
    axis.scatter(numbers.index, evidence, s=5, c=[shades[label % 2] for label in numbers.label], linewidth=0)
    told = discoveries(numbers[column].to_numpy())
    if told.any():
        axis.axhline(evidence[told].min(), color="black", linewidth=1)
    axis.set(title=f"{what}: {told.mean():.1%} of the examples", xlabel="example, by class")
    middles = pd.Series(numbers.index).groupby(numbers.label).mean()
    axis.set_xticks(middles, [str(label) for label in middles.index])
    axis.grid(visible=False)


def sensitivity(tables: Tables) -> Drawn:
    """Share of the variance over runs that the family of the network explains, by example, and the same with the runs
    dealt to families at random."""
    numbers = tables["examples"]
    figure, places = by_setting(numbers, width=4.4, height=3.4)
    for axis, rows in places:
        for column, label in (("eta_families", "family of the network"), ("eta_chance", "runs dealt at random")):
            bins = np.linspace(0, 1, 41)
            sns.histplot(rows[column], bins=bins, stat="density", element="step", alpha=0.35, ax=axis, label=label)
        axis.set(xlabel="share of variance explained", ylabel="density of examples")
    legend(figure.axes[-1], "explained by")
    figure.suptitle(f"Sensitivity of examples to the family is a continuum ({_scope(tables)})")
    return figure, numbers[["setting", "id", "label", "eta_families", "eta_chance"]]


def pictures(tables: Tables) -> Drawn:
    """The examples most sensitive to the family, and hard ones least sensitive; above each its label and its mean rank
    in per cent for each family (0 easy, 100 hard)."""
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
            axis.set_title(f"a {int(known.label)}: {values}", fontsize=8)
        row[0].set_ylabel(f"{title(name)}\n{kind} sensitive", fontsize=8)
    order = ", ".join(families.values())
    figure.suptitle(f"Examples by sensitivity; above each its label, and its rank (0 easy, 100 hard) for {order}")
    return figure, shown


def _draw(axis: Axes, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if len(shape) == 1:
        axis.plot(values, color="black", linewidth=1)
    else:
        axis.imshow(values.reshape(-1, *shape)[0], cmap="gray_r")


def _families(examples: pd.DataFrame) -> dict[str, str]:
    columns = [column for column in examples if column.startswith("rank_")]
    return {column: family_name(column.removeprefix("rank_")) for column in columns}


def _scope(tables: Tables) -> str:
    return f"n = {tables['runs'].groupby(['setting', 'model']).size().min()} runs of each architecture"


def factors(tables: Tables) -> pd.DataFrame:
    """Share of variance that family, depth and width explain, mean over groups of runs."""
    return tables["factors"].groupby(["setting", "factor"]).share.mean().unstack("factor").round(3)
