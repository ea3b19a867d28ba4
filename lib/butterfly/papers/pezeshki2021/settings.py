"""Settings of two moons, of modes at right angles, and of digits in two colours."""

from butterfly.study.settings import Setting
from butterfly.train import Recipe

_PLAIN = {"schedule": "constant", "warmup": 0.0}

SETTINGS = {
    # A fifth of the authors' 500 units at five times their step, as the slope of a network of two layers that starts as
    # in `torch.nn` grows with its width; and two outputs in place of their one, whose difference moves twice as fast.
    # So 1,000 updates are about 10,000 of theirs.
    "moons": Setting(
        title="two moons",
        data="moons-300",
        model="mlp-1x100",
        recipe=Recipe(steps=1000, batch_size=300, lr=0.05, momentum=0.9, **_PLAIN),
    ),
    "moons-paper": Setting(
        title="two moons, the paper's network",
        data="moons-300",
        model="mlp-1x500",
        recipe=Recipe(steps=5000, batch_size=300, lr=0.01, momentum=0.9, **_PLAIN),
    ),
    # Plain gradient descent on two modes: four examples, all of them in every batch.
    "modes": Setting(
        title="two modes",
        data="modes-2",
        model="mlp-1x64",
        recipe=Recipe(steps=1000, batch_size=4, lr=0.05, momentum=0.0, **_PLAIN),
    ),
    "coloured-digits": Setting(
        title="digits in two colours",
        data="digits",
        model="mlp-2x64",
        recipe=Recipe(steps=500, batch_size=100, lr=1e-3, optimizer="adam", **_PLAIN),
    ),
    "coloured-mnist": Setting(
        title="MNIST in two colours",
        data="mnist",
        model="mlp-2x256",
        recipe=Recipe(steps=5000, batch_size=1000, lr=1e-3, optimizer="adam", **_PLAIN),
    ),
}
