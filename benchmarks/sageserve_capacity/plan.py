"""From a request log to an answer: how many GPUs, under which policy, for how many dollars."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.parameters import nearest
from sageserve_bench.analysis.outcome import DAY_S
from sageserve_bench.analysis.verdict import DAYS_PER_MONTH
from sageserve_bench.errors import UserError
from sageserve_bench.runs.workload import remarks
from sageserve_bench.wording import duration
from sageserve_capacity.fixed import Fleets, sizes_of
from sageserve_capacity.fleet import Placed, gpus_of, place
from sageserve_capacity.inspect import Log, inspect_log
from sageserve_capacity.scenario import (
    BATCH_S,
    PEAK_S,
    load_of,
    make_scenario,
    sustained,
    with_room,
)
from sageserve_env.catalogue.tables import devices
from sageserve_env.scenario import Scenario
from sageserve_search.calibration import calibrate
from sageserve_search.probing import Probe, Prober
from sageserve_traces import LoadReport, ReadOptions, RequestTrace
from sageserve_traces.assignment import assign
from sageserve_traces.sources import load_rows
from sageserve_traces.transforms import begin_at

PLANNER = "ilp"
POLICIES = ("static", "reactive", PLANNER)
PROBES = {"static": 7, "reactive": 7, PLANNER: 5}
"""Settings that are tried for each policy: enough for equal service to within a per cent."""

LONGEST_S = 7 * DAY_S
MOST_DROPPED = 0.01
"""Rows without which the answer still stands (A)."""

SHORT_INTERVAL_S, INTERVAL_S = 60.0, 300.0
SEED = 0
ONLY_MODEL, ONLY_REGION, ONLY_TIER = "llama-3.1-70b", "here", "interactive"


@dataclass(frozen=True)
class Question:
    """What the user wants to know.

    Attributes:
        file: The log.
        reading: How it is read.
        gpu: Device of the catalogue.
        mapping: What the user says of models.
        prices: Dollars per GPU-hour by device.
        ttft_s: Promise to who waits.
        target: Share of requests in time.
        current: What runs now: a number of GPUs or an agent.
    """

    file: Path
    reading: ReadOptions = field(default_factory=lambda: ReadOptions(on_error="drop"))
    gpu: str = "h100"
    mapping: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, float] = field(default_factory=dict)
    ttft_s: float = 3.0
    target: float = 0.95
    current: str | None = None


@dataclass(frozen=True)
class Use:
    """What one policy needs.

    Attributes:
        name: Its specification.
        gpus: GPUs on average.
        usd_per_month: The bill.
        misses: Targets missed, as text; empty at equal service.
        slo: Share of requests in time, by column.
    """

    name: str
    gpus: float
    usd_per_month: float
    misses: tuple[str, ...]
    slo: Mapping[str, float]


@dataclass(frozen=True)
class Answer:
    """What came out.

    Attributes:
        assumed: What was found in the file and assumed, a line each.
        bound_gpus: GPUs below which the busiest quarter of an hour cannot be served.
        uses: The policies at equal service, the cheapest first.
        current: What runs now, as it is; None if the user did not say.
        sure: How sure this is.
        scenario: The cluster that was simulated.
    """

    assumed: tuple[str, ...]
    bound_gpus: int
    uses: tuple[Use, ...]
    current: Use | None
    sure: tuple[str, ...]
    scenario: Scenario

    @property
    def planner(self) -> Use:
        """What the planner needs."""
        return next(use for use in self.uses if use.name.partition(":")[0] == PLANNER)

    def lines(self) -> list[str]:
        """Return the answer in plain words."""
        said = [
            f"At least {self.bound_gpus:,} GPUs are needed in the busiest quarter of an hour, "
            "with one instance of each model or more."
        ]
        now = self.current
        if now is not None:
            fails = f", and misses {'; '.join(now.misses)}" if now.misses else ""
            said.append(f"Your present {now.name} uses {_gpus(now)}, {_month(now)}{fails}.")
        plan = self.planner
        said.append(f"The planner would use {_gpus(plan)}, {_month(plan)}.")
        if now is not None and not now.misses and not plan.misses:
            saved = now.usd_per_month - plan.usd_per_month
            size = f"${abs(saved):,.0f} a month, {abs(saved) / now.usd_per_month:.0%}"
            said.append(f"It saves {size}." if saved >= 0 else f"It costs {size} more.")
        best = self.uses[0]
        if best is not plan and not best.misses:
            said.append(
                f"Cheapest of those that keep the promise is {best.name.partition(':')[0]}, with "
                f"{_gpus(best)}, {_month(best)}."
            )
        return [*said, *(f"How sure: {line}" for line in self.sure)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""

        def plain(use: Use) -> dict[str, Any]:
            return {
                "policy": use.name,
                "gpus": use.gpus,
                "usd_per_month": use.usd_per_month,
                "misses": list(use.misses),
                **use.slo,
            }

        return {
            "assumed": list(self.assumed),
            "bound_gpus": self.bound_gpus,
            "policies": [plain(use) for use in self.uses],
            "current": None if self.current is None else plain(self.current),
            "planner_gpus": self.planner.gpus,
            "planner_usd_per_month": self.planner.usd_per_month,
            "how_sure": list(self.sure),
        }


def plan_capacity(question: Question, told: Callable[[str], None] | None = None) -> Answer:
    """Answer how many GPUs a recorded traffic needs.

    Raises:
        ValueError: On a file, model, GPU or policy that cannot be used.
    """
    tell = told or (lambda _: None)
    if question.gpu not in devices():
        raise UserError(f"no GPU {question.gpu!r}; there are {', '.join(devices())}")
    log = inspect_log(question.file, question.reading)
    trace, report = read_log(log, question.file)
    start_s = question.reading.start_s
    if trace.duration_s - start_s < SHORT_INTERVAL_S:
        after = f" after {duration(start_s)}" if start_s else ""
        raise UserError(
            f"{question.file}: lasts {duration(max(0.0, trace.duration_s - start_s))}{after}; "
            "give at least "
            f"{duration(SHORT_INTERVAL_S)} of traffic, better a day or more"
        )
    tell(f"{len(trace):,} requests in {duration(trace.duration_s)}")
    for name in question.mapping:
        if name not in trace.models:
            raise UserError(f"--map {name}: {nearest(name, trace.models, 'model of the log')}")
    placed = [place(name, question.gpu, question.mapping) for name in trace.models]
    scenario = make_scenario(
        placed,
        trace.regions,
        trace.tiers,
        ttft_s=question.ttft_s,
        target=question.target,
        prices=question.prices,
        name=re_name(question.file),
    )
    theta = sustained(scenario, trace)
    load = load_of(scenario, trace, theta, waiting=False)
    scenario = with_room(scenario, placed, load.max(axis=0))
    history_s = start_s or history_of(trace.duration_s)
    left_s = min(LONGEST_S, trace.duration_s - history_s)
    scenario = scenario.replace(
        horizon_s=left_s,
        decision_interval_s=SHORT_INTERVAL_S if left_s <= DAY_S else INTERVAL_S,
    )
    source = begin_at(trace, history_s) if history_s else trace
    most = sustained(scenario, trace, promised=False)
    quarters = load_of(scenario, source, most, waiting=False)[: math.ceil(left_s / PEAK_S)]
    scenario = scenario.replace(
        initial_instances=begin_with(scenario, source, quarters[0], question.ttft_s)
    )
    present = None
    if question.current is not None and question.current.isdigit():
        fleet = int(question.current)
        room = fleet + int(sizes_of(scenario).max())
        held = with_room(scenario, placed, load.max(axis=0), room)
        present = Fleets(held, source, quarters.mean(axis=0), SEED)
        present.check(fleet)
    prober = Prober(scenario, [SEED], source)  # type: ignore[arg-type]
    uses = []
    for policy in policies_of(question.current):
        tell(f"finding the setting of {policy} that meets the targets")
        if policy == "static" and source.past is None:  # it has nothing to be sized by
            peak = quarters.max(axis=0)
            _, best = Fleets(scenario, source, peak, SEED).least(bound_of(quarters, placed))
            uses.append(_use(replace(best, spec=f"static: {best.spec}"), scenario))
            continue
        found = calibrate(policy, prober, max_probes=PROBES.get(policy, PROBES["reactive"]))
        uses.append(_use(found.best, scenario))
    now = None
    if present is not None:
        now = _use(present.play(fleet), scenario)
    elif question.current is not None:
        now = _use(prober(question.current), scenario)
    uses.sort(key=lambda use: (bool(use.misses), use.usd_per_month))
    waiting = load_of(scenario, source, most, waiting=True)[: len(quarters)]
    constant = [use for use in uses if use.name.startswith("static")]
    if now is not None and present is not None:
        constant.append(now)
    enough = [use.gpus for use in constant if not use.misses]
    return Answer(
        tuple(_assumed(log, report, trace, placed, question, scenario, history_s)),
        bound_of(waiting, placed, enough),
        tuple(uses),
        now,
        tuple(_how_sure(report, placed, scenario, uses)),
        scenario,
    )


def read_log(log: Log, file: Path) -> tuple[RequestTrace, LoadReport]:
    """Return the requests of a file, with what it does not say drawn by the seed."""
    trace, report = load_rows(
        file,
        reading=log.reading,
        models=log.models or (ONLY_MODEL,),
        regions=log.regions or (ONLY_REGION,),
        tiers=log.tiers or (ONLY_TIER,),
    )
    drawn = [column for column in report.assumed if column != "iw_split"]
    return (assign(trace, SEED, columns=drawn) if drawn else trace), report


def history_of(duration_s: float) -> float:
    """Return how much of a log comes before the simulation: a day of it, if there are two."""
    return DAY_S if duration_s >= 2 * DAY_S else 0.0


def bound_of(
    load: NDArray[np.float64], placed: Sequence[Placed], enough: Sequence[float] = ()
) -> int:
    """Return the GPUs that the busiest quarter of an hour needs, at least one instance per model.

    Args:
        load: Instances by time, model and region, [T, M, R]; regions may help each other.
        placed: The models.
        enough: GPUs of constant fleets that met the targets: throughput is measured with an error,
            and the need cannot be more than these.
    """
    size = np.array([gpus_of(one.vm) for one in placed])
    needed = np.maximum(load.sum(axis=2), 1.0) @ size  # [T]
    return math.ceil(min([float(needed.max()), *enough]) - 1e-9)


def begin_with(
    scenario: Scenario, source: RequestTrace, load: NDArray[np.float64], ttft_s: float
) -> int:
    """Return instances per endpoint at the start: those of the least fleet that keeps the promise.

    It does so in the first quarter of an hour; what an endpoint with less load than the busiest has
    too many, a policy lets go in its first decisions.

    Args:
        scenario: The cluster.
        source: The requests.
        load: Instances that they need then, [M, R].
        ttft_s: Promise to who waits.
    """
    first_s = min(PEAK_S, scenario.horizon_s)
    waits = np.array([tier.interactive for tier in scenario.tiers])
    judged = waits[source.tier] & (source.arrival_s < first_s - ttft_s)
    if not judged.any():
        return 1
    fleets = Fleets(scenario.replace(horizon_s=first_s), source, load, SEED)
    gpus, _ = fleets.least(math.ceil(float(load.sum(axis=1) @ sizes_of(scenario))))
    return int(fleets.instances(gpus).max())


def policies_of(current: str | None) -> list[str]:
    """Return the three policies to compare: the user's own autoscaler in place of ours."""
    if current is None or current.isdigit() or current.partition(":")[0] in POLICIES:
        return list(POLICIES)
    return ["static", current, PLANNER]


def _use(probe: Probe, scenario: Scenario) -> Use:
    days = scenario.horizon_s / DAY_S
    return Use(
        probe.spec,
        probe.means["gpu_hours"] / (24 * days),
        probe.cost_usd / days * DAYS_PER_MONTH,
        probe.misses,
        {name: value for name, value in probe.means.items() if name.startswith("slo_")},
    )


def _assumed(
    log: Log,
    report: LoadReport,
    trace: RequestTrace,
    placed: Sequence[Placed],
    question: Question,
    scenario: Scenario,
    history_s: float,
) -> list[str]:
    usd = {gpu.name: gpu.price_usd_per_hour / gpu.gpus_per_vm for gpu in scenario.gpu_specs}
    price = next(iter(usd.values()))
    played = duration(scenario.horizon_s)
    lines = [*log.said, *remarks(report)]
    for column, only in (("model", ONLY_MODEL), ("region", ONLY_REGION), ("tier", ONLY_TIER)):
        if column in report.assumed:
            lines.append(f"no column of {column}s: all requests are {only}")
    lines += [one.said for one in placed]
    batch = [tier.name for tier in scenario.tiers if not tier.interactive]
    lines.append(
        f"service: {question.target:.4g} of the requests get their first token within "
        f"{question.ttft_s:g} s; "
        + (
            f"taken as batch work, complete within {duration(BATCH_S)}: {', '.join(batch)}"
            if batch
            else "no tier is taken as batch work"
        )
    )
    lines.append(f"price: ${price:.2f} per {question.gpu} and hour")
    lines.append(
        f"{played} were simulated"
        + (f", after {duration(history_s)} that the policies know as history" if history_s else "")
        + f"; decisions every {duration(scenario.decision_interval_s)}, starts of minutes"
    )
    return lines


def _how_sure(
    report: LoadReport, placed: Sequence[Placed], scenario: Scenario, uses: Sequence[Use]
) -> list[str]:
    guessed = [one.name for one in placed if one.estimated]
    lines = []
    lost = report.rows_dropped / (report.rows + report.rows_dropped)
    if lost > MOST_DROPPED:
        lines.append(
            f"{lost:.1%} of the rows were dropped (see above), so more GPUs may be needed; "
            "mend the file"
        )
    if guessed:
        lines.append(
            f"size or speed of {', '.join(guessed)} is an estimate, so those GPUs may be off by a "
            "third; sageserve catalogue fit takes your own measurements"
        )
    lines.append(
        "settings were chosen on the traffic that they are judged on; next month's will differ, "
        "so keep a reserve"
    )
    short = [use.name.partition(":")[0] for use in uses if use.misses]
    if short:
        lines.append(f"{', '.join(short)} met the targets at no setting that was tried")
    if scenario.horizon_s < DAY_S:
        lines.append(
            f"only {duration(scenario.horizon_s)} of traffic were recorded; a month is extrapolated"
        )
    return lines


def re_name(file: Path) -> str:
    """Return the name of a file without its endings."""
    return file.name.partition(".")[0] or "log"


def _gpus(use: Use) -> str:
    return f"{use.gpus:,.1f} GPUs on average"


def _month(use: Use) -> str:
    return f"${use.usd_per_month:,.0f} a month"
