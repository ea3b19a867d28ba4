"""Settings of regression: sums of waves on an interval and around a flower, and two digits as -1 and 1."""

from butterfly.study.settings import Setting
from butterfly.train import Recipe

# As the authors train, with all examples in every batch: the batch size is that of the data, whatever stands here.
# Their networks have 5 hidden layers of 256, and train ten times as long.
_ADAM = {"schedule": "constant", "warmup": 0.0, "optimizer": "adam"}

SETTINGS = {
    "waves": Setting(
        title="waves on an interval",
        data="waves-100",
        model="mlp-4x64",
        recipe=Recipe(steps=3000, batch_size=100, lr=1e-3, **_ADAM),
    ),
    "waves-paper": Setting(
        title="waves on an interval, the paper's network",
        data="waves-200",
        model="mlp-5x256",
        recipe=Recipe(steps=60_000, batch_size=200, lr=3e-4, **_ADAM),
    ),
    "petals": Setting(
        title="waves around a flower",
        data="waves-160-0petals",
        model="mlp-4x64",
        recipe=Recipe(steps=1500, batch_size=160, lr=1e-3, **_ADAM),
    ),
    "petals-paper": Setting(
        title="waves around a flower, the paper's network",
        data="waves-1000-0petals",
        model="mlp-5x256",
        recipe=Recipe(steps=10_000, batch_size=1000, lr=3e-4, **_ADAM),
    ),
    "two-digits": Setting(
        title="digits 3 against 8",
        data="digits",
        model="mlp-4x64",
        recipe=Recipe(steps=600, batch_size=200, lr=3e-4, **_ADAM),
    ),
    "two-digits-paper": Setting(
        title="MNIST 3 against 8, the paper's network",
        data="mnist",
        model="mlp-5x256",
        recipe=Recipe(steps=5000, batch_size=10_000, lr=1e-4, **_ADAM),
    ),
}
