"""What all studies share. A paper's module needs this one import; drawing is in `butterfly.study.figures`."""

from butterfly.study import intervals
from butterfly.study.bench import Bench
from butterfly.study.claims import Kind, Origin, above, below, between, broken, exactly, lost
from butterfly.study.intervals import Interval
from butterfly.study.papers import Paper
from butterfly.study.parameters import (
    OneModel,
    Params,
    Times,
    Trained,
    check_looks,
    check_times,
    groups,
    plain,
    rising_sizes,
    rising_times,
)
from butterfly.study.runs import Shard
from butterfly.study.settings import Setting, setting
from butterfly.study.store import Arrays, Config
from butterfly.study.study import Study, Tables, sound
from butterfly.study.tables import by_place, grid, long, of_places, stacked
