"""The figures of notebook 06. Each returns the picture and the numbers behind it; its docstring is the caption."""

import seaborn as sns

from butterfly.interpolate import EPSILON
from butterfly.study import Tables
from butterfly.study.figures import LOG_BAND, Drawn, legend, panels, percent, root_axis, title

TEXTS = {"language-b": "another language", "sums": "sums"}


def pretraining(tables: Tables) -> Drawn:
    """Barrier after fine-tuning, between twins kicked at its first update, against the length of pretraining: a line
    for each direction, a panel for each data set. Lines are geometric means over seeds, bands their 95 % bootstrap
    intervals."""
    numbers = tables["classes"].query("kind == 'twin'").copy()
    numbers["height"] = numbers.barrier + EPSILON
    settings = list(dict.fromkeys(numbers.setting))
    figure, axes = panels(len(settings), width=5.2)
    for axis, setting in zip(axes, settings, strict=True):
        some = numbers[numbers.setting == setting]
        options = {"style": "direction", "dashes": False, "markers": True, "palette": "colorblind"}
        sns.lineplot(some, x="checkpoint", y="height", hue="direction", ax=axis, **options, **LOG_BAND)
        axis.set(yscale="log", title=title(setting), ylabel="")
        axis.set_xlabel("pretraining (% of its updates; square-root axis)")
        root_axis(axis, some.checkpoint, sorted(some.checkpoint.unique()))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.get_legend().remove()
    axes[0].set_ylabel(f"barrier after fine-tuning + {EPSILON:g} (nats)")
    legend(axes[-1], "from which classes")
    size = numbers["size"].iloc[0]
    figure.suptitle(f"Kicks of {size:g} at the start of fine-tuning, n = {numbers.seed.nunique()} seeds")
    return figure, numbers[["setting", "direction", "checkpoint", "seed", "size", "distance", "barrier", "accuracy"]]


def dropout(tables: Tables) -> Drawn:
    """Barrier against L2 distance of language twins at the end of fine-tuning, a point for each twin, a panel for each
    text: dots share the dropout masks of their parent, crosses draw masks of their own from the first update on.
    Barriers below 0.001 lie at the bottom."""
    numbers = tables["texts"].query("kind == 'twin'").copy()
    numbers["height"] = numbers.barrier + EPSILON
    numbers["kick"] = [_kick(*cell) for cell in numbers[["matched", "size", "time"]].itertuples(index=False)]
    texts = list(dict.fromkeys(numbers.text))
    figure, axes = panels(len(texts), width=4.8)
    shared = sorted({kick for kick in numbers.kick if kick.startswith("shared")}, key=lambda k: (k.split(" at ")[1], k))
    own = sorted({kick for kick in numbers.kick if kick.startswith("own")}, reverse=True)
    palette = dict(zip(shared, sns.color_palette("viridis_r", len(shared)), strict=True))
    palette |= dict(zip(own, ["black", "gray"], strict=True))
    markers = dict.fromkeys(shared, "o") | dict.fromkeys(own, "X")
    for axis, text in zip(axes, texts, strict=True):
        options = {"hue": "kick", "hue_order": [*shared, *own], "style": "kick", "palette": palette, "markers": markers}
        sns.scatterplot(numbers[numbers.text == text], x="distance", y="height", ax=axis, s=45, **options)
        axis.set(xscale="log", yscale="log", title=f"fine-tuned on {TEXTS[text]}", xlabel="L2 distance at the end")
        axis.set_ylabel("")
        axis.get_legend().remove()
    axes[0].set_ylabel(f"barrier at the end + {EPSILON:g} (nats)")
    legend(axes[-1], "dropout masks, kick")
    figure.suptitle(f"A transformer with dropout: twins after fine-tuning, n = {numbers.seed.nunique()} seeds")
    return figure, numbers[["text", "seed", "time", "size", "matched", "distance", "barrier"]]


def _kick(matched: bool, size: float, time: float) -> str:
    """Dropout masks and kick of a twin, in words."""
    if matched:
        return f"shared, {size:.0e} at {percent(round(time))}"
    return f"own, {f'{size:.0e}' if size else 'no kick'}"
