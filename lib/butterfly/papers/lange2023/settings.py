"""Settings whose networks are read as paths."""

from butterfly.study.settings import COMMON

SETTINGS = {
    # Gentle enough that plain networks of 2 to 8 hidden layers all train.
    "mnist1d-paths": COMMON["mnist1d"].changed(title="MNIST-1D, AdamW", optimizer="adamw", lr=3e-3),
}
