"""The table of an experiment in Markdown, beside the paper's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lab.experiments.bounds import SLACK, STRICT
from lab.experiments.definition import Arm, Claim
from lab.experiments.outcomes import Outcomes
from sageserve_bench.analysis.agent_outcome import AgentOutcome
from sageserve_bench.analysis.outcome import DAY_S
from sageserve_bench.analysis.verdict import DAYS_PER_MONTH
from sageserve_bench.runs.tasks import agent_label

Results = Mapping[Arm, AgentOutcome]


def per_day(result: AgentOutcome, column: str, horizon_s: float) -> float:
    """Return the mean of a column per day of the horizon."""
    return result.means[column] * DAY_S / horizon_s


def reference_of(arm: Arm, results: Results) -> AgentOutcome | None:
    """Return what an arm is compared with: the reference of its group."""
    for other, result in results.items():
        if other.group == arm.group and other.reference:
            return result
    return None


def saving(arm: Arm, results: Results, column: str) -> float | None:
    """Return the share that an arm saves of its reference; None if there is nothing to save."""
    base = reference_of(arm, results)
    if base is None:
        return None
    before, after = base.means[_column(column)], results[arm].means[_column(column)]
    return (before - after) / before if before > 0 else None


def _column(column: str) -> str:
    return "cost_per_day_usd" if column == "cost_usd" else column


_PLAIN: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("IW-F %", "slo_iwf", lambda v: f"{100 * v:.2f}"),
    ("IW-N %", "slo_iwn", lambda v: f"{100 * v:.2f}"),
    ("NIW %", "slo_niw", lambda v: f"{100 * v:.2f}"),
    ("worst model %", "slo_worst_model", lambda v: f"{100 * v:.2f}"),
    ("TTFT p95 s", "ttft_p95_iwf", lambda v: f"{v:.2f}"),
    ("unfinished", "unfinished", lambda v: f"{v:,.0f}"),
)


def table(results: Results, horizon_s: float) -> str:
    """Return one line per arm: means over the seeds, savings against the group's reference."""
    titles = ["arm", "runs", "$ a day", "GPU-h a day", "saved", "waste GPU-h a day", "saved"]
    titles += [title for title, _, _ in _PLAIN] + ["misses"]
    lines = ["| " + " | ".join(titles) + " |", "|---|" + "---:|" * (len(titles) - 2) + "---|"]
    for arm, result in results.items():
        cells = [f"`{arm.label}`", str(result.runs), f"{result.cost_per_day_usd:,.0f}"]
        for column in ("gpu_hours", "scaling_waste_gpu_hours"):
            cells.append(f"{per_day(result, column, horizon_s):,.0f}")
            cells.append(_percent(None if arm.reference else saving(arm, results, column)))
        cells += [
            shown(result.means[name]) if name in result.means else "-" for _, name, shown in _PLAIN
        ]
        cells.append("; ".join(result.misses) or "none")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def claims(outcomes: Outcomes, results: Results) -> str:
    """Return the paper's figures beside ours: the best arm of each group.

    Arms that miss no service target come before those that do.
    """
    groups = list(dict.fromkeys(arm.group for arm in results))
    lines = [
        "| figure | the paper | " + " | ".join(f"here, {g}" for g in groups) + " | source |",
        "|---|---|" + "---|" * len(groups) + "---|",
    ]
    for claim in outcomes.experiment.claims:
        cells = [_ours(claim, group, results) for group in groups]
        lines.append(
            f"| {claim.what} | {claim.paper} | " + " | ".join(cells) + f" | {claim.source} |"
        )
    return "\n".join(lines)


def _ours(claim: Claim, group: str, results: Results) -> str:
    found = []
    for arm, result in results.items():
        name = arm.spec.partition(":")[0]
        if arm.group != group or arm.reference or (claim.arms and name not in claim.arms):
            continue
        share = saving(arm, results, claim.column)
        if share is not None:
            found.append((share, name, arm, result))
    if not found:
        return "-"
    share, name, arm, result = max(found, key=lambda one: (one[3].attains, one[0]))
    value = f"{100 * share:.1f} %"
    base = reference_of(arm, results)
    if claim.column == "cost_usd" and base is not None:
        dollars = (base.cost_per_day_usd - result.cost_per_day_usd) * DAYS_PER_MONTH
        value = f"${dollars:,.0f}"
    short = [who for who, one in ((f"`{name}`", result), ("the reference", base)) if _misses(one)]
    return f"{value} (`{name}`)" + (f"; {' and '.join(short)} below the service" if short else "")


def _misses(result: AgentOutcome | None) -> bool:
    return result is not None and bool(result.misses)


BOUND_LEGEND = (
    "*bound*: VM-hours of a relaxed linear program with hindsight (`lab/experiments/fluid.py`): "
    "fractions of VMs, no delays, any region, theta tokens per second and instance, minimum counts "
    "kept, interactive work within the five minutes in which it arrives, batch work within its "
    "deadline and all before the end. *with slack*: 5 % of the interactive tokens (10 % of a "
    "model's) may be served at any later time. It bounds the fluid model, not the queueing system: "
    "a fleet that is to start 95 % of the prompts in time cannot run at theta."
)


def gaps(outcomes: Outcomes, scenario: str) -> str:
    """Return VM-hours of every arm by seed, with the distance from the lower bound."""
    arms = outcomes.by_scenario[scenario]
    rows = {
        (str(row["agent"]), int(str(row["seed"]))): float(str(row["vm_hours"]))
        for row in outcomes.rows
        if row["scenario"] == scenario
    }
    bounds = {(b.seed, b.variant): b.vm_hours for b in outcomes.bounds if b.scenario == scenario}
    seeds = sorted({seed for seed, _ in bounds})
    lines = [
        "| seed | bound, VM-h | with slack | "
        + " | ".join(f"`{arm.label}`" for arm in arms)
        + " |",
        "|---|---:|---:|" + "---:|" * len(arms),
    ]

    def line(title: str, of: Sequence[int]) -> str:
        strict, loose = (_mean([bounds[seed, v] for seed in of]) for v in (STRICT, SLACK))
        cells = [f"{strict:,.0f}", f"{loose:,.0f}"]
        for arm in arms:
            hours = _mean([rows[agent_label(arm.spec), seed] for seed in of])
            cells.append(f"{hours:,.0f} (+{100 * (hours / strict - 1):.1f} %)")
        return f"| {title} | " + " | ".join(cells) + " |"

    lines += [line(str(seed), [seed]) for seed in seeds]
    lines.append(line("mean", seeds))
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def document(outcomes: Outcomes) -> str:
    """Return the page of an experiment: question, tables, the paper's figures."""
    experiment = outcomes.experiment
    parts = [f"# {experiment.title}", experiment.question, *experiment.notes]
    for name, results in outcomes.by_scenario.items():
        seeds = sorted({int(str(r["seed"])) for r in outcomes.rows if r["scenario"] == name})
        traces = {str(r["trace"]) for r in outcomes.rows if r["scenario"] == name}
        shown = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        hours = outcomes.horizon_s[name] / 3600.0
        parts.append(f"## {name}")
        parts.append(f"Trace {', '.join(sorted(traces))}, {hours:g} h, test seeds {shown}.")
        parts.append(table(results, outcomes.horizon_s[name]))
        if experiment.claims:
            parts.append(claims(outcomes, results))
        if outcomes.bounds:
            parts.append(gaps(outcomes, name))
            parts.append(BOUND_LEGEND)
    parts.append(
        "Means over the seeds; *saved* is against the reference of the group (the line without a "
        "value). *waste* are GPU-hours of VMs that were starting. `arms.json` has the "
        "specification behind each label."
    )
    return "\n\n".join(parts) + "\n"
