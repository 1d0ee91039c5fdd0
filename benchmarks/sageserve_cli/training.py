"""Training runs of several seeds: in this process, in a pool of processes, or on Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, TextColumn

from sageserve_agents.learned.arguments import TrainArgs
from sageserve_agents.learned.run import Result
from sageserve_agents.learned.train_residual_es import train
from sageserve_bench.errors import UserError
from sageserve_bench.report.progress import Display
from sageserve_bench.runs.pools import Backend, Stepped, run_jobs

LINE_EVERY_S = 20.0
Job = tuple[TrainArgs, Path]


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
    places = folders(args, seeds, output)
    if backend.kind == "ray":  # its workers have a folder of their own
        places = {seed: place.resolve() for seed, place in places.items()}
    jobs = [(replace(args, seed=seed), place) for seed, place in places.items()]
    if backend.kind == "process" and (backend.workers == 1 or len(jobs) == 1):
        with Watch(console) as watch:
            return [_train(job, watch.follow(f"seed {job[0].seed}")) for job in jobs]
    results: dict[int, Result] = {}

    def finished(index: int, result: Result) -> None:
        results[index] = result
        _said(console, len(results), len(jobs), jobs[index][0], result)

    run_jobs(
        _in_worker, jobs, backend, finished=finished, stepped=lambda index, n: None, named=_named
    )
    return [results[index] for index in range(len(jobs))]


def _train(job: Job, report: Callable[[int, int, str], None]) -> Result:
    try:
        return train(*job, report)
    except ValueError as error:
        raise UserError(f"{_named(job)}: {error}") from error


def _in_worker(job: Job, stepped: Stepped) -> Result:
    return _train(job, lambda done, wanted, line: stepped(done))


def _named(job: Job) -> str:
    return f"{job[0].agent}, seed {job[0].seed}"


def _said(console: Console, done: int, of: int, args: TrainArgs, result: Result) -> None:
    reward = result.best.get("reward", float("nan"))
    console.print(
        f"[{done}/{of}] {args.agent}, seed {args.seed}: best reward {reward:,.1f}",
        markup=False,
        highlight=False,
    )


class Watch(Display):
    """A bar with the time left on a terminal; lines now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, MofNCompleteColumn(), TextColumn("steps"))

    def follow(self, label: str) -> Callable[[int, int, str], None]:
        """Return what a run reports to."""
        bar = self._progress.add_task(label, total=None)
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
        self._progress.update(bar, total=wanted, completed=done)  # type: ignore[arg-type]
        important = "reward" in line
        if not important and (self.console.is_terminal or now - shown[0] < LINE_EVERY_S):
            return
        shown[0] = now
        start, first = began[0]
        rate = (done - first) / max(now - start, 1e-9)
        rest = f", about {(wanted - done) / rate:,.0f} s left" if rate > 0 and done < wanted else ""
        text = line or f"{done:,} of {wanted:,} steps"
        self.say(f"{label}: {text}{rest}")
