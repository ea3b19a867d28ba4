"""Settings of long runs by Adam with a constant learning rate, as the authors train; the study makes labels wrong."""

from butterfly.study.settings import Setting
from butterfly.train import Augment, Recipe

_ADAM = {"schedule": "constant", "warmup": 0.0, "optimizer": "adam"}

SETTINGS = {
    "digits-long": Setting(
        title="handwritten digits, trained long",
        data="digits",
        model="mlp-2x128",
        recipe=Recipe(steps=6000, batch_size=128, lr=1e-3, **_ADAM),
    ),
    # The authors train a ResNet-18 of width 64 with batch norm for 1000 epochs; this one has channel norm.
    "cifar10-long": Setting(
        title="CIFAR-10, trained long",
        data="cifar10",
        model="resnet20-64",
        recipe=Recipe(steps=390_000, batch_size=128, lr=1e-4, augment=Augment(flip=True, shift=4), **_ADAM),
    ),
}
