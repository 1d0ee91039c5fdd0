"""Threads that work for many environments at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sageserve_env.env import SageServeEnv
from sageserve_env.kernels.several import (
    HANDLES,
    NOBODY,
    RUNNING,
    address_of_step,
    step_several,
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
    calling thread reads actions and reports what is done between its own environments.

    Args:
        envs: The environments.
        threads: How many threads, the calling one among them.
    """

    def __init__(self, envs: Sequence[SageServeEnv], threads: int) -> None:
        n = len(envs)
        self._envs = envs
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._handles = np.zeros((n, HANDLES), dtype=np.int64)
        self._states: list[State | None] = [None] * n
        self._form = np.zeros(n, dtype=np.int64)
        self._until_s = np.zeros(n)
        self._status = np.zeros(n, dtype=np.int64)
        self._taken = np.zeros(1, dtype=np.int64)
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
        for i in which:
            env = self._envs[i]
            self._form[i] = env.begin_step(actions[i])
            self._until_s[i] = env.step_end_s
            arrays = env.step_arrays
            if arrays[0] is not self._states[i]:
                self._states[i] = arrays[0]
                self._handles[i] = [handle.address for handle in arrays]
        left = which[np.argsort(-self._work[which], kind="stable")]  # the slowest first
        while True:
            self._simulate(left, done)
            left = left[self._status[left] != DONE]
            if len(left) == 0:
                break
            self.each(lambda i: self._envs[i].supply(int(self._status[i])), left)
            self._form[left] = IN_FORCE
        events = np.array([0 if s is None else s.clock["events"][0] for s in self._states])
        self._work, self._events = events - self._events, events

    def _simulate(self, order: Indices, done: Callable[[int], None]) -> None:
        """Run the step kernel of environments until it is done or wants something."""
        address, status = address_of_step(), self._status
        if address == 0:  # plain Python
            run_step: Any = step_kernel
            for i in order.tolist():
                arrays: Any = self._envs[i].step_arrays
                status[i] = run_step(*arrays, int(self._form[i]), float(self._until_s[i]))
                if status[i] == DONE:
                    done(i)
            return
        status[order], self._taken[0] = RUNNING, 0
        shared = (address, self._handles, order, self._form, self._until_s, status, self._taken)
        unreported, ready = order.tolist(), memoryview(cast(Any, status))

        def report() -> None:
            nonlocal unreported
            now = {i: ready[i] for i in unreported}  # read once: others may end meanwhile
            unreported = [i for i, code in now.items() if code == RUNNING]
            for i, code in now.items():
                if code == DONE:
                    done(i)

        others = self._start(len(order), step_several, *shared, len(order))
        try:
            if others:
                self._read_ahead()
                report()
            while step_several(*shared, 1) != NOBODY:
                report()
        finally:
            for other in others:
                other.exception()  # wait for all, whatever happens in one
        for other in others:
            other.result()
        report()

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

    def _start(self, most: int, work: Callable[..., Any], *arguments: Any) -> list[Future[Any]]:
        """Let the other threads work too, as far as there is something for each."""
        count = min(self._threads, most) - 1
        if count < 1:
            return []
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads - 1, "sageserve")
        return [self._pool.submit(work, *arguments) for _ in range(count)]

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
