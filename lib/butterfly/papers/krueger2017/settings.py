"""Two short tasks on which a small LSTM learns its few examples by heart."""

from butterfly.study.settings import COMMON

_ADAM = {"optimizer": "adam", "schedule": "constant", "warmup": 0.0}

SETTINGS = {
    "scrambled-digits": COMMON["digits"].changed(
        title="scrambled digits", data="pixels-4", model="lstm-32", steps=500, batch_size=32, lr=5e-3, **_ADAM
    ),
    "letters": COMMON["digits"].changed(
        title="a stream of letters", data="letters-a", model="lstm-32-every", steps=480, batch_size=16, lr=1e-2, **_ADAM
    ),
}
