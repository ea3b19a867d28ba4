"""The least that a shard can do, for measuring what a shard costs beside its work."""

import numpy as np

from butterfly.study import Arrays, Bench


def compute(bench: Bench) -> Arrays:
    """One number."""
    return {"seed": np.array(bench["seeds"])}
