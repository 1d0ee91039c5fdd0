"""The days on which settings of agents are tried, as `calibrate` and `tune` name them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sageserve_bench.errors import UserError
from sageserve_bench.grid import make_grid
from sageserve_bench.journal import Journal
from sageserve_bench.pools import Backend
from sageserve_bench.probing import Prober
from sageserve_bench.records import refuse_test_seeds
from sageserve_bench.trace_options import parse_seeds, remark, words_of
from sageserve_bench.workload import TraceSpec, report_of
from sageserve_traces import ReadOptions


@dataclass(frozen=True)
class Days:
    """Scenario, trace and seeds of a search; the fields are the options of the commands."""

    scenario: str
    trace: str | None
    tile: str | None
    rate_scale: float
    reading: ReadOptions
    split: str
    seeds: int
    seed_list: str | None

    def prober(self, backend: Backend, output: Path) -> Prober:
        """Return what runs the settings, with its journal beside the output.

        Raises:
            UserError: On bad input, test seeds among it.
        """
        if output.is_dir():
            raise UserError(f"{output}: is a folder; --output names a file")
        grid = make_grid(
            ["static"],
            scenario=self.scenario,
            trace=self.trace,
            seeds=parse_seeds(self.seeds, self.seed_list),
            split=self.split,
            tile=self.tile,
            rate_scale=self.rate_scale,
            reading=self.reading,
        )
        refuse_test_seeds(grid.seeds)
        spec = grid.traces[0]
        assert isinstance(spec, TraceSpec)
        remark(report_of(grid.scenario, spec))
        journal = Journal(output.with_name(output.name + ".episodes.jsonl"))
        return Prober(grid.scenario, grid.seeds, spec, journal, backend)

    def words(self) -> dict[str, object]:
        """Return the words of the command line; None where they are default."""
        return {
            "scenario": self.scenario,
            "trace": self.trace,
            "tile": self.tile,
            "rate-scale": None if self.rate_scale == 1.0 else self.rate_scale,
            **words_of(self.reading),
            "split": self.split if self.seed_list is None else None,
            "seeds": self.seeds if self.seed_list is None else None,
            "seed-list": self.seed_list,
        }
