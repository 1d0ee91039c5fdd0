"""Where episodes run: in this process, in a pool of processes, or on a Ray cluster.

All three give the same episodes; only the times in them differ. Results come back to the caller,
which is the only one that writes.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from sageserve_bench.episode import Episode, run_episode
from sageserve_bench.errors import UserError
from sageserve_bench.tasks import Task

KINDS = ("process", "ray")
ATTEMPTS = 3
POLL_S = 0.25
CONNECT_S = 5.0


@dataclass(frozen=True)
class Backend:
    """Where and how many at a time.

    Attributes:
        kind: ``process`` (this process, or a pool if ``workers`` is above 1) or ``ray``.
        workers: Processes; for Ray, CPUs of a local cluster that is started here.
        ray_address: Address of an existing cluster, or ``auto``; None starts a local one.
    """

    kind: str = "process"
    workers: int = 1
    ray_address: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.kind not in KINDS:
            raise UserError(f"unknown backend {self.kind!r}; use {' or '.join(KINDS)}")
        if self.workers < 1:
            raise UserError(f"--workers must be at least 1, got {self.workers}")
        if self.ray_address is not None and self.kind != "ray":
            raise UserError("--ray-address needs --backend ray")


class Listener(Protocol):
    """Whom a backend tells what happens."""

    def stepped(self, index: int, steps: int) -> None:
        """Task ``index`` has done so many steps."""

    def finished(self, index: int, episode: Episode) -> None:
        """Task ``index`` is done; called once for each."""


def execute(tasks: Sequence[Task], backend: Backend, listener: Listener) -> None:
    """Run every task once.

    Raises:
        UserError: If an agent fails, or a worker dies again and again.
    """
    if not tasks:
        return
    if backend.kind == "ray":
        _on_ray(tasks, backend, listener)
    elif backend.workers == 1 or len(tasks) == 1:
        for index, task in enumerate(tasks):
            listener.finished(index, _run(task, partial(listener.stepped, index)))
    else:
        _in_pool(tasks, backend.workers, listener)


def _run(task: Task, stepped: Callable[[int], None] | None = None) -> Episode:
    """Run a task; an error says which agent and seed it was."""
    try:
        if stepped is None:
            return run_episode(task)
        return run_episode(task, on_step=lambda n, _: stepped(n))
    except ValueError as error:
        where = f"{task.agent_label}, seed {task.seed}"
        raise UserError(f"{where}: {error}") from error


# -- a pool of processes ------------------------------------------------------------------------

_steps_done: Any = None


def _start_worker(steps_done: Any) -> None:
    # Ctrl-C goes to the whole process group; the parent alone decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _steps_done
    _steps_done = steps_done


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back here, and for good in the processes that are started meanwhile.

    They inherit it, so that they are not interrupted while they import, before `_start_worker`.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(index: int, task: Task) -> Episode:
    def stepped(n: int) -> None:
        _steps_done[index] = n

    return _run(task, stepped)


def _in_pool(tasks: Sequence[Task], workers: int, listener: Listener) -> None:
    remaining = dict(enumerate(tasks))
    deaths = 0
    while remaining:
        before = len(remaining)
        try:
            _one_pool(remaining, len(tasks), min(workers, len(remaining)), listener)
        except BrokenProcessPool:
            deaths = 1 if len(remaining) < before else deaths + 1
            if deaths == ATTEMPTS:
                first = next(iter(remaining.values()))
                raise UserError(
                    f"a worker process died {ATTEMPTS} times in a row (near {first.agent_label}, "
                    f"seed {first.seed}); it may have run out of memory: try --workers 1"
                ) from None


def _one_pool(remaining: dict[int, Task], slots: int, workers: int, listener: Listener) -> None:
    """Run what remains in one pool; a finished task is taken out of ``remaining``."""
    context = multiprocessing.get_context("spawn")
    # A plain shared array: a worker that is killed cannot leave a lock behind.
    steps_done: Any = context.Array("q", slots, lock=False)
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, context, _start_worker, (steps_done,))
    complete = False
    try:
        with _interrupts_held():
            futures: dict[Future[Episode], int] = {
                pool.submit(_work, index, task): index for index, task in remaining.items()
            }
        pending = set(futures)
        while pending:
            done, pending = wait(pending, POLL_S, FIRST_COMPLETED)
            for index in remaining:
                listener.stepped(index, int(steps_done[index]))
            for future in done:
                episode = future.result()
                index = futures[future]
                del remaining[index]
                listener.finished(index, episode)
        complete = True
    finally:
        if not complete:
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
        pool.shutdown(wait=complete, cancel_futures=True)


# -- Ray ----------------------------------------------------------------------------------------


def _check_address(address: str) -> None:
    """Raise at once if nothing listens there, for which Ray would wait for minutes."""
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon:
        return  # auto, local, or a Ray client's address
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise UserError(f"no Ray cluster at {address!r}: {error}") from None


@contextmanager
def session(backend: Backend) -> Iterator[None]:
    """Hold a connection to Ray, or a local cluster, for several calls of `execute`.

    Other backends need nothing. A connection that is there already is used and left.

    Raises:
        UserError: If there is no Ray cluster at the address.
    """
    if backend.kind != "ray":
        yield
        return
    import ray

    if ray.is_initialized():
        yield
        return
    if backend.ray_address is not None:
        _check_address(backend.ray_address)
    try:
        ray.init(
            address=backend.ray_address or "local",
            num_cpus=None if backend.ray_address else backend.workers,
            include_dashboard=None if backend.ray_address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        raise UserError(f"no Ray cluster at {backend.ray_address!r}: {error}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _on_ray(tasks: Sequence[Task], backend: Backend, listener: Listener) -> None:
    import ray

    with session(backend):
        # A task on a node that is lost is started again elsewhere; an error of its own is not.
        remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS, retry_exceptions=False)(_run)
        places = {remote.remote(task): index for index, task in enumerate(tasks)}
        pending = list(places)
        while pending:
            done, pending = ray.wait(pending, num_returns=1, timeout=None)
            for reference in done:
                try:
                    episode = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    cause: Exception = error.cause
                    raise cause from None
                listener.finished(places[reference], episode)
