"""Settings in which real data and noise are learned."""

from butterfly.study.settings import COMMON

# A constant learning rate without warm-up: times to fit are then times, and no schedule decides what is fitted last.
CONSTANT = {"schedule": "constant", "warmup": 0.0, "batch_size": 50, "lr": 0.05}

SETTINGS = {
    "digits-memory": COMMON["digits"].changed(title="handwritten digits, constant learning rate", **CONSTANT),
    "mnist-memory": COMMON["mnist"].changed(title="MNIST, constant learning rate", model="mlp-2x256", **CONSTANT),
}
