"""Settings in which examples are scored."""

from butterfly.study.settings import COMMON
from butterfly.train import Augment

SETTINGS = {
    # One recipe with which MLPs, CNNs and GRUs all train, over 16 passes through the data.
    "mnist1d-scores": COMMON["mnist1d"].changed(steps=1000, lr=0.1),
    "digits-scores": COMMON["digits"].changed(steps=480, batch_size=32, lr=0.05),
    # Small networks, ten times through all images, without augmentation: an image looks the same at every look.
    "cifar10half-scores": COMMON["cifar10half"].changed(
        title="CIFAR-10 at 16 × 16", model="cnn-3x16", steps=3900, batch_size=128, lr=0.05, augment=Augment()
    ),
    # On 2,000 images small networks learn most of what they are shown.
    "cifar10half-few-scores": COMMON["cifar10half-few"].changed(model="cnn-3x16", steps=800, batch_size=128, lr=0.05),
    # The recipe of the difficulty paper's code, 160 passes; its networks have batch norm, ours channel norm.
    "cifar10-difficulty": COMMON["cifar10-paper"].changed(
        title="CIFAR-10, the difficulty paper's recipe",
        model="resnet20-16",
        steps=62_400,
        schedule="step",
        warmup=0.0,
        first_lr_zero=False,
        augment=Augment(flip=True, shift=4),
    ),
    # A laptop's share of CIFAR-10; notebook 14 trains the small CNN of its parameters on it.
    "cifar10-scores": COMMON["cifar10-small"].changed(
        title="CIFAR-10", model="mlp-2x128", steps=600, lr=0.05, augment=Augment()
    ),
}
