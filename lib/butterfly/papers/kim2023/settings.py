"""Settings in which wrong labels are learned by heart."""

from butterfly.study.settings import COMMON

SETTINGS = {
    # Plain gradient descent at a constant step: training that stops after every epoch goes on as if it had not.
    "digits-twins": COMMON["digits"].changed(
        title="handwritten digits, plain SGD",
        model="mlp-1x256",
        steps=2000,
        batch_size=32,
        lr=0.3,
        momentum=0.0,
        schedule="constant",
        warmup=0.0,
    ),
    "mnist-twins": COMMON["mnist"].changed(
        title="MNIST, plain SGD", model="mlp-2x512", steps=23_400, lr=0.1, momentum=0.0, schedule="constant", warmup=0.0
    ),
}
