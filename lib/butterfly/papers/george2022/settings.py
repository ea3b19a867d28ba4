"""Settings of networks with an output scale, and of those that say which examples are consistent with the others."""

from butterfly.study.settings import Setting
from butterfly.train import Recipe

# Constant steps, as the authors take them. The step is that at output scale 1; at scale a it is divided by a squared.
# Their plane is learned without momentum, at ten times as many updates; CIFAR-10 with the momentum taken here.
_CONSTANT = {"schedule": "constant", "warmup": 0.0, "momentum": 0.9}

SETTINGS = {
    "yinyang": Setting(
        title="two halves with two discs",
        data="yinyang-100",
        model="mlp-3x60",
        recipe=Recipe(steps=400, batch_size=100, lr=0.03, **_CONSTANT),
    ),
    "digits-scaled": Setting(
        title="handwritten digits",
        data="digits",
        model="mlp-2x64",
        recipe=Recipe(steps=280, batch_size=64, lr=0.01, **_CONSTANT),
    ),
    "mnist-scaled": Setting(
        title="MNIST",
        data="mnist",
        model="mlp-3x128",
        recipe=Recipe(steps=5000, batch_size=125, lr=0.01, **_CONSTANT),
    ),
    # The paper's network is a ResNet-18 with batch normalisation.
    "cifar10-scaled": Setting(
        title="CIFAR-10",
        data="cifar10",
        model="resnet20-32",
        recipe=Recipe(steps=64_000, batch_size=125, lr=0.01, **_CONSTANT),
    ),
}
