"""Settings of ladder networks: Adam, the learning rate falling to 0; a minibatch counts images without labels."""

from butterfly.study.settings import Setting
from butterfly.train import Recipe

_FALLING = {"schedule": "triangle", "warmup": 0.0, "optimizer": "adam"}

SETTINGS = {
    "digits-ladder": Setting(
        title="handwritten digits",
        data="digits",
        model="mlp-2x48",
        recipe=Recipe(steps=600, batch_size=50, lr=0.01, **_FALLING),
    ),
    # The paper's encoder has layers of 1000, 500, 250, 250 and 250 units; equal ones here.
    "mnist-ladder": Setting(
        title="MNIST",
        data="mnist",
        model="mlp-3x500",
        recipe=Recipe(steps=30_000, batch_size=100, lr=2e-3, **_FALLING),
    ),
}
