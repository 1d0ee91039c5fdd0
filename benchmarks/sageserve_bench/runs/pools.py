"""Where jobs run: in this process, in a pool of processes, or on a Ray cluster.

All three give the same results, which come back to the caller, the only one that writes.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sageserve_bench.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")
Stepped = Callable[[int], None]
"""Is told by a job how many steps it has done."""

Work = Callable[[Job, Stepped], Result]

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


def run_jobs(
    work: Work[Job, Result],
    jobs: Sequence[Job],
    backend: Backend,
    *,
    finished: Callable[[int, Result], None],
    stepped: Callable[[int, int], None],
    named: Callable[[Job], str],
) -> None:
    """Do every job once, in any order.

    Args:
        work: Does a job; for several processes a function of a module.
        jobs: What is given to it.
        backend: Where.
        finished: Is given the index of each job that is done, and its result, here.
        stepped: Is given the index and the steps of a job now and then; never on Ray.
        named: Says what a job is, for errors.

    Raises:
        UserError: If a worker dies again and again.
    """
    if not jobs:
        return
    if backend.kind == "ray":
        _on_ray(work, jobs, backend, finished)
    elif backend.workers == 1 or len(jobs) == 1:
        for index, job in enumerate(jobs):
            finished(index, work(job, partial(stepped, index)))
    else:
        _in_pools(work, jobs, backend.workers, finished, stepped, named)


# -- pools of processes -------------------------------------------------------------------------

_steps_done: Any = None


def _start_worker(steps_done: Any) -> None:
    # Ctrl-C goes to the whole process group; the parent alone decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _steps_done
    _steps_done = steps_done


def _note(index: int, steps: int) -> None:
    _steps_done[index] = steps


def _worker(work: Work[Job, Result], index: int, job: Job) -> Result:
    return work(job, partial(_note, index))


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back here, and for good in the processes that are started meanwhile.

    They inherit it, so that they are not interrupted while they import, before `_start_worker`. A
    thread of a library may still receive it, so it is noted here and raised at the end.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    pressed: list[int] = []
    handler = signal.getsignal(signal.SIGINT)  # None where Python did not set it
    noted = handler is not None and threading.current_thread() is threading.main_thread()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        if noted:
            signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if noted:
            signal.signal(signal.SIGINT, handler)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def _in_pools(
    work: Work[Job, Result],
    jobs: Sequence[Job],
    workers: int,
    finished: Callable[[int, Result], None],
    stepped: Callable[[int, int], None],
    named: Callable[[Job], str],
) -> None:
    """Do the jobs in a pool, and what remains of them in another where a worker has died."""
    remaining = dict(enumerate(jobs))

    def done(index: int, result: Result) -> None:
        del remaining[index]
        finished(index, result)

    deaths = 0
    while remaining:
        before = len(remaining)
        try:
            _one_pool(work, dict(remaining), len(jobs), workers, done, stepped)
        except BrokenProcessPool:
            deaths = 1 if len(remaining) < before else deaths + 1
            if deaths == ATTEMPTS:
                first = named(next(iter(remaining.values())))
                raise UserError(
                    f"a worker process died {ATTEMPTS} times in a row (near {first}); it may have "
                    "run out of memory: try --workers 1"
                ) from None


def _one_pool(
    work: Work[Job, Result],
    jobs: dict[int, Job],
    slots: int,
    workers: int,
    finished: Callable[[int, Result], None],
    stepped: Callable[[int, int], None],
) -> None:
    context = multiprocessing.get_context("spawn")
    # A plain shared array: a worker that is killed cannot leave a lock behind.
    steps_done: Any = context.Array("q", slots, lock=False)
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _start_worker, (steps_done,))
    complete = False
    try:
        with _interrupts_held():
            futures: dict[Future[Result], int] = {
                pool.submit(_worker, work, index, job): index for index, job in jobs.items()
            }
        pending = set(futures)
        while pending:
            done, pending = wait(pending, POLL_S, FIRST_COMPLETED)
            for future in pending:
                stepped(futures[future], int(steps_done[futures[future]]))
            for future in done:
                finished(futures[future], future.result())
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
    """Hold a connection to Ray, or a local cluster, for several calls of `run_jobs`.

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


def _on_ray(
    work: Work[Job, Result],
    jobs: Sequence[Job],
    backend: Backend,
    finished: Callable[[int, Result], None],
) -> None:
    import ray

    with session(backend):
        # A job on a node that is lost is started again elsewhere; an error of its own is not.
        remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS, retry_exceptions=False)(work)
        places = {remote.remote(job, _silent): index for index, job in enumerate(jobs)}
        pending = list(places)
        while pending:
            done, pending = ray.wait(pending, num_returns=1, timeout=None)
            for reference in done:
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    cause: Exception = error.cause
                    raise cause from None
                finished(places[reference], result)


def _silent(steps: int) -> None:
    """Tell nobody."""
