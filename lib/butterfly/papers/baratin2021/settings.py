"""Settings in which the tangent kernel is watched, as the authors train: a constant step, momentum, weight decay."""

from butterfly.augment import Augment
from butterfly.study.settings import Setting
from butterfly.train import Recipe

# The authors' are VGGs on CIFAR-10, with batches of 128, and perceptrons on MNIST.
_CONSTANT = {"schedule": "constant", "warmup": 0.0, "momentum": 0.9, "weight_decay": 5e-4}

SETTINGS = {
    "digits-kernel": Setting(
        title="handwritten digits",
        data="digits",
        model="mlp-3x64",
        recipe=Recipe(steps=3000, batch_size=64, lr=0.02, **_CONSTANT),
    ),
    "mnist-kernel": Setting(
        title="MNIST",
        data="mnist",
        model="mlp-3x128",
        recipe=Recipe(steps=50_000, batch_size=128, lr=0.01, **_CONSTANT),
    ),
    "cifar10-kernel": Setting(
        title="CIFAR-10, the authors' recipe",
        data="cifar10",
        model="vgg19-64",
        recipe=Recipe(steps=390_000, batch_size=128, lr=0.01, augment=Augment(flip=True, shift=4), **_CONSTANT),
    ),
}
