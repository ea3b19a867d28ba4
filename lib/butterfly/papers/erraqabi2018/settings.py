"""Settings in which networks are trained on changed inputs."""

from butterfly.study.settings import COMMON

SETTINGS = {
    # Forty times through the digits: half of what is learned from are changed images, which take longer.
    "digits-attacked": COMMON["digits"].changed(title="handwritten digits", steps=1600, batch_size=32),
    "mnist-attacked": COMMON["mnist"].changed(title="MNIST", steps=9360),
}
