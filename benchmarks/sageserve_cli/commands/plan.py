"""`sageserve plan`: one plan for one period, and why it is what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sageserve_cli.traffic import Traffic, plays_trace

if TYPE_CHECKING:
    from sageserve_agents.demand import Clock
    from sageserve_agents.planner.hourly import HourlyPlanner
    from sageserve_env.scenario import Scenario as Cluster
    from sageserve_env.view import ClusterView, Floats
    from sageserve_env.workload import Workload
    from sageserve_traces import TraceSource

_HOUR_S = 3600.0


@plays_trace
def plan(
    *,
    traffic: Traffic,
    seed: Annotated[int, typer.Option(min=0, help="Seed; 1000 is the first of validation.")] = 1000,
    hour: Annotated[
        float, typer.Option(min=0.0, help="Hour of the trace at which the planned period begins.")
    ] = 0.0,
    demand: Annotated[
        Path | None,
        typer.Option(
            help="CSV with model,region,prompt_tokens_per_s and optional tier, instead of a trace."
        ),
    ] = None,
    agent: Annotated[
        str, typer.Option(help="Hourly planner with its options, as in ilp:beta=2;rho=0.9.")
    ] = "ilp",
    current: Annotated[
        int | None, typer.Option(min=0, help="Instances per endpoint that stand now.")
    ] = None,
) -> None:
    """Make one plan from a forecast (or a demand you give) and explain it."""
    from sageserve_agents import make_agent
    from sageserve_agents.planner.explain import explain
    from sageserve_agents.planner.hourly import HourlyPlanner
    from sageserve_agents.playing import own_seed
    from sageserve_bench.errors import UserError
    from sageserve_cli import terminal
    from sageserve_env.capacity import measure_theta
    from sageserve_env.scenario import load_scenario

    planner = make_agent(agent)
    if not isinstance(planner, HourlyPlanner):
        raise UserError(f"agent {agent!r} makes no hourly plans: take ilp, lt-i, lt-u or lt-ua")
    out = terminal.output()
    if demand is not None:
        cluster = load_scenario(traffic.scenario)
        view = _view(cluster, measure_theta(cluster), 0.0, None, current)
        planner.reset(cluster, own_seed(agent), _no_history(cluster))
        rates = read_demand(demand, cluster)
        result = planner.solve(
            planner.problem(view, planner.staff(view, rates)[None], _periods(planner))
        )
        out.print(f"Demand of {demand.name}, {rates.sum():,.0f} prompt tokens/s", soft_wrap=True)
    else:
        workload = traffic.grid([agent], [seed]).tasks()[0].workload()
        cluster = workload.scenario
        if hour * _HOUR_S > cluster.horizon_s:
            raise UserError(
                f"hour {hour:g} is beyond the {cluster.horizon_s / _HOUR_S:g} h horizon"
            )
        theta = workload.theta()
        planner.reset(cluster, own_seed(agent), workload.history(clairvoyant=planner.clairvoyant))
        at_s = max(0.0, hour * _HOUR_S - planner.lead_s)
        view = _view(cluster, theta, at_s, workload, current)
        planner.act(view)
        result = planner.plan
        if result is None and not planner.failure:
            raise UserError(
                f"nothing is known of the demand before hour {hour:g}: take a later --hour, or "
                "give --demand FILE"
            )
        out.print(
            f"{workload.trace.name}, seed {seed}: hour {hour:g}, planned {at_s / _HOUR_S:.2f} h "
            f"after the start by {agent}",
            soft_wrap=True,
        )
    if result is None:
        raise UserError(f"no plan: {planner.failure}")
    out.print(_theta_line(cluster, view), soft_wrap=True)
    out.print(explain(result), soft_wrap=True)


def calendar(trace: TraceSource) -> Clock:
    """Return the calendar of a trace."""
    from sageserve_agents.demand import Clock

    return Clock(trace.start_weekday + trace.start_hour_utc / 24.0)


def read_demand(path: Path, scenario: Cluster) -> Floats:
    """Return prompt tokens per second by model, region and tier, [M, R, K], from a CSV file.

    Raises:
        UserError: If a column is missing or a value is unknown, negative or not a number.
    """
    import numpy as np
    import pandas as pd

    from sageserve_agents.parameters import nearest
    from sageserve_bench.errors import UserError
    from sageserve_validation.csv_files import read_csv

    table = read_csv(
        path, ("model", "region", "prompt_tokens_per_s"), dtype=str, encoding="utf-8-sig"
    )
    first = scenario.tier_names[0]
    table["tier"] = table["tier"].fillna(first) if "tier" in table else first
    axes = {"model": scenario.models, "region": scenario.region_names, "tier": scenario.tier_names}
    rate = pd.to_numeric(table["prompt_tokens_per_s"], errors="coerce").to_numpy(np.float64)
    rates = np.zeros([len(names) for names in axes.values()])
    for i, row in enumerate(table.to_dict("records")):
        for axis, names in axes.items():
            if row[axis] not in names:
                raise UserError(f"{path}: row {i + 2}: {nearest(str(row[axis]), names, axis)}")
        if not 0 <= rate[i] < np.inf:
            raise UserError(
                f"{path}: row {i + 2}: prompt_tokens_per_s: expected a number of at least 0, "
                f"got {row['prompt_tokens_per_s']!r}"
            )
        rates[tuple(names.index(row[axis]) for axis, names in axes.items())] += rate[i]
    return rates


def _no_history(scenario: Cluster) -> Any:
    from sageserve_traces import DemandSeries

    return DemandSeries.zeros(
        0,
        models=scenario.models,
        regions=scenario.region_names,
        tiers=scenario.tier_names,
    )


def _periods(planner: HourlyPlanner[Any]) -> Floats:
    import numpy as np

    return np.array([planner.options.period_s])


def _view(
    scenario: Cluster, theta: Floats, time_s: float, workload: Workload | None, current: int | None
) -> ClusterView:
    """Return what a planner sees of a cluster that stands at its initial counts and is idle."""
    from sageserve_env.view import DEMAND_BIN_S, idle_view

    if current is not None:
        scenario = scenario.replace(initial_instances=current)
    changes: dict[str, Any] = {}
    weekday = 0.0
    if workload is not None:
        weekday = (calendar(workload.trace).weekday_at_0 + time_s / 86_400.0) % 7.0
        bins = int(time_s // DEMAND_BIN_S)
        if bins:
            known = workload.history(clairvoyant=True).window(0.0, bins * DEMAND_BIN_S)
            for name in ("requests", "prompt_tokens", "output_tokens"):
                changes[f"demand_{name}"] = getattr(known, name)
    hour = 24.0 * (weekday % 1.0)
    return idle_view(scenario, theta, time_s=time_s, hour_of_day=hour, weekday=weekday, **changes)


def _theta_line(scenario: Cluster, view: ClusterView) -> str:
    rows = []
    for m, model in enumerate(scenario.models):
        usable = [g for g in range(len(scenario.gpus)) if scenario.compatible[m, g]]
        rates = ", ".join(f"{scenario.gpus[g]} {view.theta[m, g]:,.0f}" for g in usable)
        rows.append(f"{model}: {rates}")
    return "Sustained prompt tokens/s of an instance: " + "; ".join(rows)
