"""Settings of images in two colours. As many updates as the twins of the paper on such images have, or fewer."""

from butterfly.study.settings import Setting
from butterfly.train import Recipe

_PLAIN = {"optimizer": "adam", "schedule": "constant", "warmup": 0.0}

SETTINGS = {
    "two-colour-digits": Setting(
        title="digits in two colours",
        data="digits",
        model="mlp-1x64",
        recipe=Recipe(steps=600, batch_size=100, lr=1e-3, **_PLAIN),
    ),
    "two-colour-mnist": Setting(
        title="MNIST in two colours",
        data="mnist",
        model="mlp-2x256",
        recipe=Recipe(steps=1000, batch_size=500, lr=1e-3, **_PLAIN),
    ),
}
