"""Settings for plain SGD: a constant step, no momentum, no warm-up.

The theory is about plain SGD; and a run without momentum can be stopped and go on exactly as if it had not been.
"""

from butterfly.study.settings import COMMON

PLAIN = {"momentum": 0.0, "schedule": "constant", "warmup": 0.0}

SETTINGS = {
    "digits-plain": COMMON["digits"].changed(title="handwritten digits, plain SGD", **PLAIN),
    "mnist1d-plain": COMMON["mnist1d"].changed(title="MNIST-1D, plain SGD", model="mlp-2x64", **PLAIN),
    # The network that the paper trains on MNIST with random labels.
    "mnist-plain": COMMON["mnist"].changed(title="MNIST, plain SGD", model="mlp-2x256", **PLAIN),
    "cifar10-plain": COMMON["cifar10-small"].changed(title="CIFAR-10, plain SGD", **PLAIN),
}
