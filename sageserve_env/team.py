"""Threads that work for many environments at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sageserve_env.env import SageServeEnv
from sageserve_env.kernels.several import (
    NOBODY,
    RUNNING,
    begin_work,
    build_crew,
    serve,
    step_one,
    still_working,
)
from sageserve_env.kernels.step import IN_FORCE
from sageserve_env.kernels.step import step as step_kernel
from sageserve_env.simulator.codes import DONE
from sageserve_env.simulator.state import State

Indices = NDArray[np.int64]


class Team:
    """Steps environments with several threads, of which only the calling one runs Python.

    Threads that take turns in Python wait for each other at every change, on virtual machines for a
    tenth of a millisecond. So the others do nothing but simulate (`kernels.several`), and the
    calling thread reads actions, makes traces and reports what is done between its own
    environments.

    Args:
        envs: The environments.
        threads: How many threads, the calling one among them.
    """

    def __init__(self, envs: Sequence[SageServeEnv], threads: int) -> None:
        n = len(envs)
        self._envs = envs
        self._threads = threads
        self._crew = build_crew(n, threads)
        self._pools: list[ThreadPoolExecutor] = []  # of one thread each
        self._serving: dict[int, Future[int]] = {}
        self._states: list[State | None] = [None] * n
        self._events = np.zeros(n, dtype=np.int64)
        self._work = np.zeros(n, dtype=np.int64)  # events of the last step
        self._reader = 0  # whose trace was read ahead last

    def step(self, which: Indices, actions: Sequence[Any], done: Callable[[int], None]) -> None:
        """Step environments.

        Args:
            which: Those that are stepped.
            actions: Actions of all environments.
            done: Called in this thread with each that is at the end of its step, in any order.
        """
        crew = self._crew
        for i in which:
            env = self._envs[i]
            crew.form[i] = env.begin_step(actions[i])
            crew.until_s[i] = env.step_end_s
            arrays = env.step_arrays
            if arrays[0] is not self._states[i]:
                self._states[i] = arrays[0]
                crew.handles[i] = [handle.address for handle in arrays]
        order = which[np.argsort(-self._work[which], kind="stable")]  # the slowest first
        if crew.code[0] == 0:  # plain Python
            for i in order.tolist():
                self._run(i)
                self._finish(i, done)
        else:
            self._simulate(order, done)
        events = np.array([0 if s is None else s.clock["events"][0] for s in self._states])
        self._work, self._events = events - self._events, events

    def _simulate(self, order: Indices, done: Callable[[int], None]) -> None:
        """Step environments to the end of their step, and report each."""
        crew, n = self._crew, len(order)
        crew.order[:n], crew.length[0] = order, n
        crew.status[order], crew.taken[order] = RUNNING, 0
        status, waiting = memoryview(cast(Any, crew.status)), order.tolist()

        def finish(but: tuple[int, ...]) -> None:
            """Finish the steps of environments whose status is not one of these."""
            nonlocal waiting
            now = {i: status[i] for i in waiting}  # read once: others may end meanwhile
            waiting = [i for i, code in now.items() if code in but]
            for i, code in now.items():
                if code not in but:
                    self._finish(i, done)

        others = self._set_to_work(n)
        try:
            step_one(crew, 0, 0)  # Python is free: the others begin
            if others:
                self._read_ahead()
            finish(but=(RUNNING, DONE))
            while step_one(crew, 0, others) != NOBODY:
                finish(but=(RUNNING, DONE))
            finish(but=(RUNNING,))  # only this thread can report: it does while the others simulate
            while step_one(crew, 0, 0) != NOBODY:
                finish(but=(RUNNING,))
        finally:
            while others and still_working(crew):
                for serving in self._serving.values():
                    if serving.done():
                        serving.result()  # raises what it ended with
                time.sleep(1e-4)
        finish(but=())

    def _set_to_work(self, n: int) -> int:
        """Let other threads work too, as far as there is something for each; return how many."""
        others = max(0, min(self._threads, n) - 1)
        for thread in range(1, others + 1):
            if not begin_work(self._crew, thread):
                self._serving[thread] = self._pool(thread).submit(serve, self._crew, thread)
        return others

    def _finish(self, i: int, done: Callable[[int], None]) -> None:
        """Give an environment what it stopped for until it is at the end of its step."""
        while self._crew.status[i] != DONE:
            self._envs[i].supply(int(self._crew.status[i]))
            self._crew.form[i] = IN_FORCE
            self._run(i)
        done(i)

    def _run(self, i: int) -> None:
        """Run the step kernel of one environment in this thread."""
        crew, run_step = self._crew, cast(Any, step_kernel)
        arrays: Any = self._envs[i].step_arrays
        crew.status[i] = run_step(*arrays, int(crew.form[i]), float(crew.until_s[i]))

    def _read_ahead(self) -> None:
        """Make the next chunk of a few traces, while the other threads simulate.

        Environments that were reset together want one at the same step. Made then, by all threads,
        chunks would have these wait for each other in Python.
        """
        wanted = 1 + (len(self._envs) - 1) // 8
        for _ in self._envs:
            self._reader = (self._reader + 1) % len(self._envs)
            wanted -= self._envs[self._reader].simulator.feed.read_ahead()
            if wanted == 0:
                return

    def each(self, work: Callable[[int], None], which: Iterable[int]) -> None:
        """Call ``work`` for some environments; each thread takes the next one that is left."""
        todo = [int(i) for i in which]
        left = iter(todo)  # taking the next is atomic

        def take() -> None:
            for i in left:
                work(i)

        others = self._start(len(todo), take)
        try:
            take()
        finally:
            for other in others:
                other.exception()
        for other in others:
            other.result()

    def _start(self, most: int, work: Callable[[], None]) -> list[Future[None]]:
        """Let the other threads work too, as far as there is something for each."""
        return [self._pool(k).submit(work) for k in range(1, min(self._threads, most))]

    def _pool(self, thread: int) -> ThreadPoolExecutor:
        """Return the pool of one of the other threads."""
        while len(self._pools) < thread:
            self._pools.append(ThreadPoolExecutor(1, f"sageserve-{len(self._pools) + 1}"))
        return self._pools[thread - 1]

    def close(self) -> None:
        """End the threads."""
        for pool in self._pools:
            pool.shutdown()
        self._pools = []
