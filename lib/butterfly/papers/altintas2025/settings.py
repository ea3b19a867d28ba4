"""Settings of the Butterfly paper that no other paper uses."""

from butterfly.study.settings import COMMON, Setting
from butterfly.train import Augment, Recipe

SETTINGS = {
    # A causal transformer that learns a made-up language; sums as well, to the last.
    "text": Setting(
        title="a made-up language",
        data="language-a",
        model="transformer-2x32",
        recipe=Recipe(steps=600, batch_size=32, lr=1e-2, warmup=0.1, optimizer="adamw", dropout=0.1),
    ),
    # Of 0.001 to 0.03, a learning rate whose training loss (0.06) comes near that of SGD.
    "mnist1d-adamw": COMMON["mnist1d"].changed(title="MNIST-1D, AdamW", optimizer="adamw", lr=0.02),
    # The same network without kinks: a smooth activation function in the place of ReLU.
    "mnist1d-gelu": COMMON["mnist1d"].changed(title="MNIST-1D, GELU", model="mlp-4x64-gelu"),
    "cifar10-small-adamw": COMMON["cifar10-small"].changed(
        title="CIFAR-10, small network, AdamW", optimizer="adamw", lr=3e-3
    ),
    "cifar10half-adamw": COMMON["cifar10half"].changed(title="CIFAR-10 at 16 × 16, AdamW", optimizer="adamw", lr=3e-3),
    "cifar10half-gelu": COMMON["cifar10half"].changed(title="CIFAR-10 at 16 × 16, GELU", model="resnet8-16-gelu"),
    # 2,000 images, flipped and turned as in the paper.
    "cifar10half-few-turned": COMMON["cifar10half-few"].changed(augment=Augment(flip=True, rotate=10.0)),
    "cifar10half-few-adamw": COMMON["cifar10half-few"].changed(
        title="2,000 images of CIFAR-10 at 16 × 16, AdamW", optimizer="adamw", lr=3e-3
    ),
    "cifar10half-few-gelu": COMMON["cifar10half-few"].changed(
        title="2,000 images of CIFAR-10 at 16 × 16, GELU", model="resnet8-8-gelu"
    ),
    # The AdamW arm of the paper.
    "cifar10-paper-adamw": COMMON["cifar10-paper"].changed(
        title="CIFAR-10, the paper's recipe, AdamW", optimizer="adamw", lr=3e-3, weight_decay=0.0
    ),
}
