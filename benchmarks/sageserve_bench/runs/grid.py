"""What is compared: agents x traces x seeds on one scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sageserve_agents import Agent
from sageserve_bench.errors import UserError
from sageserve_bench.runs.tasks import Task, agent_label, check_agents, split_agents
from sageserve_bench.runs.workload import pick_seeds
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.workload import TraceSpec
from sageserve_traces import ReadOptions, TraceSource, parse_duration


@dataclass(frozen=True)
class Grid:
    """What is compared: agents x traces x seeds on one scenario."""

    agents: tuple[str | Agent, ...]
    scenario: Scenario
    traces: tuple[TraceSpec | TraceSource, ...]
    seeds: tuple[int, ...]

    def tasks(self) -> list[Task]:
        """Return the runs in the order of the table: by trace, seed, agent."""
        return [
            Task(agent, self.scenario, trace, seed)
            for trace in self.traces
            for seed in self.seeds
            for agent in self.agents
        ]

    def to_dict(self) -> dict[str, object]:
        """Return what was asked for as plain values."""
        return {
            "agents": [agent_label(agent) for agent in self.agents],
            "traces": [
                t.to_dict() if isinstance(t, TraceSpec) else {"name": t.name} for t in self.traces
            ],
            "seeds": list(self.seeds),
        }


def make_grid(
    agents: str | Sequence[str | Agent],
    *,
    scenario: str | Path | Scenario,
    trace: str | Path | TraceSource | Sequence[str | Path | TraceSource] | None,
    seeds: int | Sequence[int],
    split: str = "test",
    tile: str | float | None = None,
    rate_scale: float = 1.0,
    reading: ReadOptions | None = None,
) -> Grid:
    """Return the grid of a comparison, checked (see `compare`)."""
    chosen = tuple(split_agents(agents) if isinstance(agents, str) else agents)
    where = load_scenario(scenario)
    check_agents(chosen, where)
    if not rate_scale > 0:
        raise UserError(f"the rate scale must be above 0, got {rate_scale:g}")
    named: list[str | Path | TraceSource | None]
    named = [*trace] if isinstance(trace, list | tuple) else [trace]  # type: ignore[list-item]
    tile_s = None if tile is None else parse_duration(tile)
    traces: list[TraceSpec | TraceSource] = []
    for one in named:
        if one is None or isinstance(one, str | Path):
            name = None if one is None else str(one)
            traces.append(TraceSpec(name, tile_s, rate_scale, reading or ReadOptions()))
        elif tile_s is not None or rate_scale != 1.0 or reading not in (None, ReadOptions()):
            raise UserError(
                "tile, rate_scale and options of reading are for traces given by name or path"
            )
        else:
            traces.append(one)
    return Grid(chosen, where, tuple(traces), pick_seeds(seeds, split=split))
