"""What a worker of Dask runs.

The scheduler imports this module too, so all that is slow to import waits until a worker begins: meanwhile a scheduler
would answer nobody.
"""

from typing import Any


def run(topic: str, number: int, packed: bytes) -> Any:
    """Say under a topic that this worker begins, and return what the packed function returns; one at a time."""
    from distributed import get_worker
    from distributed.protocol.pickle import loads

    from butterfly import replay
    from butterfly.strict import UserError

    worker = get_worker()
    if (threads := worker.state.nthreads) != 1:
        raise UserError(
            f"worker {worker.name} has {threads} threads, and one computes one shard at a time: "
            "start workers with --nthreads 1, as many as there are cores"
        )
    worker.log_event(topic, {"number": number, "name": str(worker.name)})
    try:
        function, args, kwargs = loads(packed)
    except (ImportError, AttributeError) as error:
        raise UserError(f"worker {worker.name} has another checkout or environment: {error}") from None
    with replay.asked():
        return function(*args, **kwargs)
