"""The figures of notebook 12. Each returns the picture and the numbers behind it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from butterfly import data
from butterfly.association import discoveries
from butterfly.experiments.inductive_bias import GROUP, SCORE, Tables
from butterfly.experiments.twins import chosen
from butterfly.study.figures import TITLES, Drawn, legend
from butterfly.figures.difficulty import FAMILIES, abreast, architecture, palette
from butterfly.study.figures import BAND, panels, style

KINDS = {"family": "another family", "depth": "another depth", "width": "another width", "nothing": "the same network"}


def split(tables: Tables) -> Drawn:
    """(a) Variance of an example's rank: of examples, of architectures with examples, of single runs."""
    numbers = tables["split"]
    names = list(numbers.setting.unique())
    parts = ["example", "architecture x example", "run"]
    figure, axes = abreast(len(names), width=4.6, height=3.2, share=True)
    for axis, name in zip(axes, names, strict=True):
        some = numbers[numbers.setting == name].set_index("contrast")[parts][::-1]
        left = np.zeros(len(some))
        for part, colour in palette(parts).items():
            axis.barh(some.index, some[part], left=left, color=colour, label=part)
            left += some[part].to_numpy()
        axis.set(title=TITLES[name], xlabel="share of the variance", xlim=(0, 1), xticks=[0, 0.25, 0.5, 0.75])
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.grid(visible=False)
    legend(axes[-1], "variance of a rank")
    figure.suptitle(f"What an example's rank by {SCORE} depends on ({_scope(tables)})")
    return figure, numbers


def contrasts(tables: Tables) -> Drawn:
    """(b) How many examples tell two architectures apart."""
    numbers = tables["contrasts"].copy()
    numbers["pair"] = [_pair(row) for row in numbers.itertuples()]
    numbers["differs in"] = numbers.kind.map(KINDS)
    names = list(numbers.setting.unique())
    figure, axes = abreast(len(names), width=4.6, height=3.6, share=True)
    for axis, name in zip(axes, names, strict=True):
        some = numbers[numbers.setting == name]
        sns.pointplot(
            some, x="share", y="pair", hue="differs in", palette=palette(list(KINDS.values())), ax=axis,
            linestyle="none", errorbar=BAND["errorbar"], markersize=5, err_kws={"linewidth": 1.5},
        )  # fmt: skip
        axis.set(title=TITLES[name], xlabel="examples that tell them apart", ylabel="")
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    legend(axes[-1], "what differs", remove=axes[0] if len(axes) > 1 else None)
    figure.suptitle(
        f"How many examples tell two architectures apart, from {GROUP} runs of each (5 % false discoveries)"
    )
    return figure, numbers


def _pair(row) -> str:
    one, two = architecture(row.one), architecture(row.two)
    return f"{one} | {two}" if row.kind != "nothing" else f"{one} | itself"


def manhattan(tables: Tables) -> Drawn:
    """(c) Evidence of each example that two architectures rank it differently, and that two halves of one do."""
    numbers = tables["examples"]
    numbers = numbers[numbers.setting == numbers.setting.iloc[0]].sort_values(["label", "id"], ignore_index=True)
    figure, axes = panels(2, width=6.2, height=3.6, share=True)
    one, two = (FAMILIES.get(name, name) for name in _families(numbers)[:2])
    titles = {"p_pair": f"{one} against {two}", "p_halves": f"the runs of the {one} in two halves"}
    shades = sns.color_palette("colorblind", 2)
    for axis, (column, title) in zip(axes, titles.items(), strict=True):
        evidence = -np.log10(numbers[column].clip(lower=1e-40))
        axis.scatter(numbers.index, evidence, s=5, c=[shades[label % 2] for label in numbers.label], linewidth=0)
        found = discoveries(numbers[column].to_numpy())
        if found.any():
            axis.axhline(evidence[found].min(), color="black", linewidth=1)
        axis.set(title=f"{title}: {found.mean():.1%} of the examples", xlabel="example, by class")
        ticks = numbers.groupby("label").apply(lambda some: some.index.to_numpy().mean(), include_groups=False)
        axis.set_xticks(ticks, [str(label) for label in ticks.index])
        axis.grid(visible=False)
    axes[0].set_ylabel("-log10 p of the association")
    figure.suptitle(
        f"Which examples tell networks apart ({TITLES[numbers.setting.iloc[0]]}; line: 5 % false discoveries)"
    )
    return figure, numbers


def sensitivity(tables: Tables) -> Drawn:
    """(d) Share of the variance that the family explains, by example, and where runs are dealt at random."""
    numbers = tables["examples"]
    names = list(numbers.setting.unique())
    figure, axes = abreast(len(names), width=4.4, height=3.4)
    for axis, name in zip(axes, names, strict=True):
        some = numbers[numbers.setting == name]
        bins = np.linspace(0, 1, 41)
        for column, label in (("eta_families", "family of the network"), ("eta_chance", "runs dealt at random")):
            sns.histplot(some[column], bins=bins, stat="density", element="step", alpha=0.35, ax=axis, label=label)
        axis.set(title=TITLES[name], xlabel="share of variance explained", ylabel="density of examples")
    legend(axes[-1], "explained by")
    figure.suptitle(f"Sensitivity of examples to the family is a continuum ({_scope(tables)})")
    return figure, numbers[["setting", "id", "label", "eta_families", "eta_chance"]]


def pictures(tables: Tables) -> Drawn:
    """(e) The examples whose rank depends most on the family, and hard ones whose rank depends least."""
    shown = tables["shown"]
    names = list(shown.setting.unique())
    count = shown.place.max() + 1
    style()
    figure, axes = plt.subplots(2 * len(names), count, figsize=(1.75 * count, 3.5 * len(names)), squeeze=False)
    ranks = tables["examples"].set_index(["setting", "id"])
    families = _families(tables["examples"])
    order = ", ".join(FAMILIES.get(name, name) for name in families)
    for row, (name, kind) in enumerate((name, kind) for name in names for kind in ("most", "least")):
        shape = data.input_shape(chosen(name, None).data)[1:]
        for place in range(count):
            axis = axes[row][place]
            some = shown[(shown.setting == name) & (shown.kind == kind) & (shown.place == place)]
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
            if some.empty:
                axis.axis("off")
                continue
            _draw(axis, some.value.to_numpy(), shape)
            known = ranks.loc[(name, some.id.iloc[0])]
            values = " ".join(f"{100 * known[f'rank_{name}']:.0f}" for name in families)
            axis.set_title(f"a {int(known.label)}: {values}", fontsize=8)
        axes[row][0].set_ylabel(f"{TITLES[name]}\n{kind} sensitive", fontsize=8)
    figure.suptitle(f"Examples by sensitivity; above each its label, and its rank (0 easy, 100 hard) for {order}")
    return figure, shown


def _draw(axis, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if len(shape) == 1:
        axis.plot(values, color="black", linewidth=1)
    else:
        axis.imshow(values.reshape(-1, *shape)[0], cmap="gray_r")


def _families(examples: pd.DataFrame) -> list[str]:
    return [column.removeprefix("rank_") for column in examples if column.startswith("rank_")]


def _scope(tables: Tables) -> str:
    return f"n = {tables['runs'].groupby(['setting', 'model']).size().min()} runs of each architecture"


def factors(tables: Tables) -> pd.DataFrame:
    """Share of variance that family, depth and width explain, mean over groups of runs."""
    return tables["factors"].groupby(["setting", "factor"]).share.mean().unstack("factor").round(3)
