"""Models of one simulation in several threads, where they can be simulated one by one (`parts`).

Off by default: a process that runs several simulations, as a comparison or a vector environment
does, fills the processor already. The results are the same to the bit.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sageserve_env.simulator.parts import simulate_parts
from sageserve_env.simulator.state import Array, State


def threads_by_default() -> int:
    """Return ``SAGESERVE_MODEL_THREADS``, or 1.

    Raises:
        ValueError: If that is not a whole number of at least 1.
    """
    value = os.environ.get("SAGESERVE_MODEL_THREADS", "1")
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(
            f"SAGESERVE_MODEL_THREADS: expected a whole number of at least 1, got {value!r}"
        )
    return int(value)


def simulate_apart(state: State, threads: int) -> None:
    """Simulate the models of an interval that the event loop has opened, with some threads."""
    first, *rest = shared_out(state.part_clock["n_due"][:, 0], threads)
    others = [_pool(os.getpid(), threads).submit(simulate_parts, state, some) for some in rest]
    try:
        simulate_parts(state, first)
    finally:
        for other in others:
            other.exception()  # wait for all, whatever happens in one
    for other in others:
        other.result()


def shared_out(arrivals: Array, threads: int) -> list[Array]:
    """Return the models of each thread: those with most arrivals first, to who has least."""
    n = min(threads, len(arrivals))
    models: list[list[int]] = [[] for _ in range(n)]
    load = [0] * n
    for m in np.argsort(-arrivals, kind="stable").tolist():
        least = load.index(min(load))
        models[least].append(m)
        load[least] += int(arrivals[m]) + 1
    return [np.array(some, dtype=np.int64) for some in models]


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return the threads of a process; a forked child has none of its parent's."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="models")
