"""What is played: a trace on a cluster, one definition for the commands that ask for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sageserve_bench.errors import UserError
from sageserve_cli.options import (
    READING,
    RateScale,
    Scenario,
    Tile,
    Trace,
    gives,
    parameter,
    parse_seeds,
    read_options,
    remark,
    words_of,
)
from sageserve_env.registration import DEFAULT_SCENARIO
from sageserve_traces import ReadOptions

if TYPE_CHECKING:
    from sageserve_bench.runs.grid import Grid
    from sageserve_bench.runs.pools import Backend
    from sageserve_search.probing import Prober


@dataclass(frozen=True)
class Traffic:
    """A scenario and a trace, as the words of a command line name them.

    Attributes:
        scenario: Name or file.
        trace: Name or file; None is the scenario's own.
        tile: Length up to which the trace is repeated.
        rate_scale: Factor on its rate.
        reading: How it is read.
    """

    scenario: str
    trace: str | None
    tile: str | None
    rate_scale: float
    reading: ReadOptions

    def grid(self, agents: Sequence[str], seeds: int | Sequence[int], split: str = "test") -> Grid:
        """Return agents on this traffic; what was assumed of its file is said."""
        from sageserve_bench.runs.grid import make_grid
        from sageserve_bench.runs.workload import report_of

        grid = make_grid(
            agents,
            scenario=self.scenario,
            trace=self.trace,
            seeds=seeds,
            split=split,
            tile=self.tile,
            rate_scale=self.rate_scale,
            reading=self.reading,
        )
        remark(report_of(grid.scenario, grid.traces[0]))
        return grid

    def words(self) -> dict[str, object]:
        """Return the words of the command line; None where they are default."""
        return {
            "scenario": self.scenario,
            "trace": self.trace,
            "tile": self.tile,
            "rate-scale": None if self.rate_scale == 1.0 else self.rate_scale,
            **words_of(self.reading),
        }


def _traffic(
    scenario: str, trace: str | None, tile: str | None, rate_scale: float, **reading: object
) -> Traffic:
    return Traffic(scenario, trace, tile, rate_scale, read_options(**reading))  # type: ignore[arg-type]


plays_trace = gives(
    "traffic",
    (
        parameter("scenario", Scenario, DEFAULT_SCENARIO),
        parameter("trace", Trace, None),
        parameter("tile", Tile, None),
        parameter("rate_scale", RateScale, 1.0),
        *READING,
    ),
    _traffic,
)
"""Gives a command the options of a `Traffic` in place of its argument ``traffic``."""


@dataclass(frozen=True)
class Days:
    """Traffic on seeds, on which settings of agents are tried."""

    traffic: Traffic
    split: str
    seeds: int
    seed_list: str | None

    def prober(self, backend: Backend, output: Path) -> Prober:
        """Return what runs the settings, with its journal beside the output.

        Raises:
            UserError: On bad input, test seeds among it.
        """
        from sageserve_bench.results.journal import Journal
        from sageserve_env.workload import TraceSpec
        from sageserve_search.probing import Prober
        from sageserve_search.records import refuse_test_seeds

        if output.is_dir():
            raise UserError(f"{output}: is a folder; --output names a file")
        seeds = parse_seeds(self.seeds, self.seed_list)
        grid = self.traffic.grid(["static"], seeds, self.split)
        refuse_test_seeds(grid.seeds)
        spec = grid.traces[0]
        assert isinstance(spec, TraceSpec)
        journal = Journal(output.with_name(output.name + ".episodes.jsonl"))
        return Prober(grid.scenario, grid.seeds, spec, journal, backend)

    def words(self) -> dict[str, object]:
        """Return the words of the command line; None where they are default."""
        exactly = self.seed_list is not None
        return {
            **self.traffic.words(),
            "split": None if exactly else self.split,
            "seeds": None if exactly else self.seeds,
            "seed-list": self.seed_list,
        }
