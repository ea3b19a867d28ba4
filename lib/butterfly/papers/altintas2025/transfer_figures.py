"""The figures of notebook 06. Each returns the picture and the numbers behind it."""

import seaborn as sns

from butterfly.experiments.transfer import Tables
from butterfly.experiments.twins import EPSILON
from butterfly.study.figures import TITLES, Drawn, legend, percent, root_axis
from butterfly.study.figures import LOG_BAND, panels

TEXTS = {"language-b": "another language", "sums": "sums"}


def pretraining(tables: Tables) -> Drawn:
    """(a) Barrier after fine-tuning against the amount of pretraining, a line a direction, a panel a data set."""
    numbers = tables["classes"].query("kind == 'twin'").copy()
    numbers["height"] = numbers.barrier + EPSILON
    settings = list(dict.fromkeys(numbers.setting))
    figure, axes = panels(len(settings), width=5.2)
    for axis, setting in zip(axes, settings, strict=True):
        some = numbers[numbers.setting == setting]
        options = {"style": "direction", "dashes": False, "markers": True, "palette": "colorblind"}
        sns.lineplot(some, x="checkpoint", y="height", hue="direction", ax=axis, **options, **LOG_BAND)
        axis.set(yscale="log", title=TITLES[setting], xlabel="pretraining (% of its updates; square-root axis)")
        axis.set_ylabel(f"barrier after fine-tuning + {EPSILON:g} (nats)" if axis is axes[0] else "")
        root_axis(axis, some.checkpoint, sorted(some.checkpoint.unique()))
        axis.xaxis.set_major_formatter("{x:g}")
        if axis is not axes[-1]:
            axis.get_legend().remove()
    legend(axes[-1], "from which classes")
    size = numbers["size"].iloc[0]
    figure.suptitle(f"Kicks of {size:g} at the start of fine-tuning, n = {numbers.seed.nunique()} seeds")
    return figure, numbers[["setting", "direction", "checkpoint", "seed", "size", "distance", "barrier", "accuracy"]]


def dropout(tables: Tables) -> Drawn:
    """(b) Barrier against L2 distance of language twins, with dropout masks shared and not, a panel a text."""
    numbers = tables["texts"].query("kind == 'twin'").copy()
    numbers["height"] = numbers.barrier + EPSILON
    numbers["kick"] = [
        f"shared, {size:.0e} at {percent(round(time))}"
        if matched
        else f"own, {'no kick' if size == 0 else f'{size:.0e}'}"
        for matched, size, time in zip(numbers.matched, numbers["size"], numbers.time, strict=True)
    ]
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
        axis.set_ylabel(f"barrier at the end + {EPSILON:g} (nats)" if axis is axes[0] else "")
        if axis is not axes[-1]:
            axis.get_legend().remove()
    legend(axes[-1], "dropout masks, kick")
    figure.suptitle(f"A transformer with dropout: twins after fine-tuning, n = {numbers.seed.nunique()} seeds")
    return figure, numbers[["text", "seed", "time", "size", "matched", "distance", "barrier"]]
