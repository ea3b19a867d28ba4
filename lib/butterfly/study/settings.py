"""Named settings: a data set, an architecture and a recipe that belong together, and their title in figures.

Those that several papers share stand here; a paper's own stand in `settings.py` of its room and are found by name.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from butterfly.strict import ParameterError, Strict, close_to
from butterfly.train import Augment, Recipe


class Setting(Strict):
    """What is trained, on what, and how."""

    data: str
    model: str
    recipe: Recipe
    title: str = ""
    judged: int = Field(0, ge=0)  # examples that losses and barriers are read on, training and test; 0: all

    def changed(self, **changes: Any) -> Self:
        """The same setting with another model, data set, title or fields of the recipe, checked like a new one."""
        recipe = {name: value for name, value in changes.items() if name not in type(self).model_fields}
        own = self.model_dump(mode="json") | {name: value for name, value in changes.items() if name not in recipe}
        return type(self).read(own | {"recipe": self.recipe.changed(**recipe).model_dump(mode="json")}, "setting")

    def step_at(self, time: float) -> int:
        """The update just before which something at `time` percent of training happens."""
        return round(time / 100 * self.recipe.steps)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides numbers, for the configuration of a shard: all but the title."""
        return self.model_dump(mode="json", exclude={"title"})


COMMON = {
    # A laptop's setting: a third of a second a network, trained to 97 % of the training set, and early on chaotic.
    # Tuned: at learning rate 0.1 one ulp ends in the same valley for most seeds; at 0.2 networks fit only 90 % and a
    # batch kick of 0.1 destroys some.
    "mnist1d": Setting(
        title="MNIST-1D",
        data="mnist1d",
        model="mlp-4x64",
        recipe=Recipe(steps=1550, batch_size=64, lr=0.15, momentum=0.9, warmup=0.05),
    ),
    "digits": Setting(
        title="handwritten digits",
        data="digits",
        model="mlp-2x64",
        recipe=Recipe(steps=800, batch_size=16, lr=0.1, momentum=0.9, warmup=0.1),
    ),
    "mnist": Setting(
        title="MNIST",
        data="mnist",
        model="mlp-3x128",
        recipe=Recipe(steps=4680, batch_size=128, lr=0.1, momentum=0.9, warmup=0.02),
    ),
    # A small CIFAR-10 run for a GPU; not a setting of any paper.
    "cifar10-small": Setting(
        title="CIFAR-10, small network",
        data="cifar10",
        model="resnet8-16",
        recipe=Recipe(
            steps=4000, batch_size=128, lr=0.1, momentum=0.9, warmup=0.02, augment=Augment(flip=True, rotate=10.0)
        ),
    ),
    # What two cores can do: the paper's kind of network and recipe on smaller images, five times through them.
    "cifar10half": Setting(
        title="CIFAR-10 at 16 × 16",
        data="cifar10half",
        model="resnet8-16",
        recipe=Recipe(
            steps=4000, batch_size=64, lr=0.1, momentum=0.9, warmup=0.02, augment=Augment(flip=True, rotate=10.0)
        ),
        judged=2000,
    ),
    # 2,000 images, narrower networks, small batches. Tuned on seed 0 to be chaotic early on: kicked there, twins end
    # behind a barrier of about 1 nat (0.5 if images are turned); at width 16, after 1,500 updates of 64, of 0.1.
    "cifar10half-few": Setting(
        title="2,000 images of CIFAR-10 at 16 × 16",
        data="cifar10half-2000",
        model="resnet8-8",
        recipe=Recipe(steps=3000, batch_size=32, lr=0.1, momentum=0.9, warmup=0.02),
        judged=1000,
    ),
    # The "standard" arm of the Butterfly paper, first learning rate of 0 included.
    "cifar10-paper": Setting(
        title="CIFAR-10, the Butterfly paper's recipe",
        data="cifar10",
        model="resnet20-32",
        recipe=Recipe(
            steps=20_000,
            batch_size=128,
            lr=0.1,
            momentum=0.9,
            warmup=0.02,
            first_lr_zero=True,
            weight_decay=1e-4,
            augment=Augment(flip=True, rotate=10.0),
        ),
    ),
}


@cache
def settings() -> Mapping[str, Setting]:
    """All settings by name: the common ones, and those of every paper."""
    found = dict(COMMON)
    for file in sorted((Path(__file__).parents[1] / "papers").glob("*/settings.py")):
        own = import_module(f"butterfly.papers.{file.parent.name}.settings").SETTINGS
        if twice := sorted(found.keys() & own.keys()):
            raise ParameterError(f"{file}: the settings {', '.join(twice)} exist already; give them other names")
        found |= own
    return found


def setting(name: str) -> Setting:
    """The setting of that name."""
    if name not in settings():
        raise ValueError(f"unknown setting '{name}'; {close_to(name, settings())}")
    return settings()[name]
