"""Training runs of several seeds: in this process, in a pool of processes, or on Ray."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sageserve_agents.learned.arguments import TrainArgs
from sageserve_agents.learned.run import Result
from sageserve_agents.learned.scripts import train
from sageserve_bench.backends import Backend, session
from sageserve_bench.errors import UserError

LINE_EVERY_S = 20.0


def folders(args: TrainArgs, seeds: Sequence[int], output: Path) -> dict[int, Path]:
    """Return the folder of each seed: the output itself for one, ``seed-K`` in it for several."""
    if len(seeds) == 1:
        return {seeds[0]: output}
    return {seed: output / f"seed-{seed}" for seed in seeds}


def train_seeds(
    args: TrainArgs, seeds: Sequence[int], output: Path, backend: Backend, console: Console
) -> list[Result]:
    """Train one run per seed; interrupted runs go on when called again.

    Args:
        args: What to train; its seed is replaced.
        seeds: Seeds of the runs.
        output: Folder.
        backend: Where runs run; one run is never split.
        console: Where progress is shown.

    Raises:
        UserError: If a run fails.
    """
    jobs = [(replace(args, seed=s), f) for s, f in folders(args, seeds, output).items()]
    if backend.kind == "ray":
        return _on_ray(jobs, backend, console)
    if backend.workers == 1 or len(jobs) == 1:
        with Watch(console) as watch:
            return [_named(job, watch.follow(f"seed {job[0].seed}")) for job in jobs]
    return _in_pool(jobs, backend.workers, console)


def _named(job: tuple[TrainArgs, Path], report: Callable[[int, int, str], None]) -> Result:
    args, folder = job
    try:
        return train(args, folder, report)
    except ValueError as error:
        raise UserError(f"{args.agent}, seed {args.seed}: {error}") from error


def _quiet(job: tuple[TrainArgs, Path]) -> Result:
    return _named(job, lambda done, wanted, line: None)


def _start_worker() -> None:
    # Ctrl-C goes to the whole process group; the parent alone decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_pool(
    jobs: Sequence[tuple[TrainArgs, Path]], workers: int, console: Console
) -> list[Result]:
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _start_worker)
    complete = False
    try:
        futures = {pool.submit(_quiet, job): job for job in jobs}
        for done, future in enumerate(as_completed(futures), 1):
            _said(console, done, len(jobs), futures[future][0], future.result())
        complete = True
        return [future.result() for future in futures]
    finally:
        if not complete:
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()
        pool.shutdown(wait=complete, cancel_futures=True)


def _on_ray(
    jobs: Sequence[tuple[TrainArgs, Path]], backend: Backend, console: Console
) -> list[Result]:
    import ray

    with session(backend):
        remote = ray.remote(num_cpus=1, max_retries=0)(_quiet)
        places = [remote.remote((args, folder.resolve())) for args, folder in jobs]
        results = []
        for done, (place, job) in enumerate(zip(places, jobs, strict=True), 1):
            try:
                results.append(ray.get(place))
            except ray.exceptions.RayTaskError as error:
                cause: Exception = error.cause
                raise cause from None
            _said(console, done, len(jobs), job[0], results[-1])
        return results


def _said(console: Console, done: int, of: int, args: TrainArgs, result: Result) -> None:
    reward = result.best.get("reward", float("nan"))
    console.print(
        f"[{done}/{of}] {args.agent}, seed {args.seed}: best reward {reward:,.1f}",
        markup=False,
        highlight=False,
    )


class Watch:
    """A bar with the time left on a terminal; lines now and then elsewhere.

    Args:
        console: Where to show it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} steps"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Watch:
        """Start the display."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the display."""
        self._bars.stop()

    def follow(self, label: str) -> Callable[[int, int, str], None]:
        """Return what a run reports to."""
        bar = self._bars.add_task(label, total=None)
        began: list[tuple[float, int]] = []
        shown = [time.perf_counter()]
        return partial(self._report, label, bar, began, shown)

    def _report(
        self,
        label: str,
        bar: object,
        began: list[tuple[float, int]],
        shown: list[float],
        done: int,
        wanted: int,
        line: str,
    ) -> None:
        now = time.perf_counter()
        if not began:
            began.append((now, done))
        self._bars.update(bar, total=wanted, completed=done)  # type: ignore[arg-type]
        important = "reward" in line
        if not important and (self.console.is_terminal or now - shown[0] < LINE_EVERY_S):
            return
        shown[0] = now
        start, first = began[0]
        rate = (done - first) / max(now - start, 1e-9)
        rest = f", about {(wanted - done) / rate:,.0f} s left" if rate > 0 and done < wanted else ""
        text = line or f"{done:,} of {wanted:,} steps"
        self.console.print(f"{label}: {text}{rest}", markup=False, highlight=False, soft_wrap=True)
