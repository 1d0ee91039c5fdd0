"""The answer of a comparison in plain words: what is cheapest at the targets, and how sure it is.

It rests on what was put to the test: not on tiers of which nothing fell due, and not on agents
whose plans failed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sageserve_bench.analysis.agent_outcome import AgentOutcome
from sageserve_bench.analysis.statistics import Estimate
from sageserve_bench.analysis.targets import NEAR_LEAST, target_label
from sageserve_bench.wording import counted, duration

DAYS_PER_MONTH = 365.25 / 12

SAME = 0.01
"""Costs that differ by less than this share are called practically the same (A): prices and traffic
of a real cluster are not known better."""

TIE = 1e-4
"""Costs that differ by less than this share are a tie (A); `SAME` where both have the least fleet:
what is left then is how fast the fleet of the start was given back."""


def _vms(agent: AgentOutcome) -> str:
    """Return the VMs an agent used, in words: the mean, the peak where it is known, GPU-hours."""
    vms, peak = agent.means.get("vms", math.nan), agent.means.get("vms_peak", math.nan)
    hours = f"{agent.means['gpu_hours']:,.0f} GPU-hours per run"
    if math.isnan(vms):
        return hours
    at_peak = "" if math.isnan(peak) else f" ({peak:,.0f} at the peak)"
    return f"{counted(round(vms), 'VM')} on average{at_peak}, {hours}"


def _dollars(value: float) -> str:
    shown = f"${abs(value):,.0f}" if abs(value) >= 100 else f"${abs(value):,.2f}"
    return f"-{shown}" if value < 0 else shown


def verdict_of(
    agents: Sequence[AgentOutcome],
    pairs: Mapping[str, Mapping[str, Estimate]],
    targets: Mapping[str, float],
    least_vms: float = 0.0,
) -> list[str]:
    """Return the answer, a sentence or two each.

    Args:
        agents: In the order of the table: those that attain by cost, the others by distance.
        pairs: Statistics of each agent against the cheapest that attains.
        targets: Least share of requests within the objective, by column.
        least_vms: VMs of the least fleet.
    """
    tested = {c: t for c, t in targets.items() if any(c in a.means for a in agents)}
    wanted = ", ".join(f"{target_label(c)} {100 * t:.4g}" for c, t in tested.items())
    remarks = _untested(agents, [c for c in targets if c not in tested]) + _failures(agents)
    fair = [a for a in agents if not a.clairvoyant]
    if not tested:
        return ["No request fell due, so nothing can be said about any policy.", *remarks]
    if not fair:
        line = f"Only clairvoyant agents ran; none of them can be deployed ({wanted} %)."
        return [line, *remarks]
    good = [a for a in fair if a.attains]
    if not good:
        return [*_nearest(fair[0], wanted), *remarks]
    best, day = good[0], good[0].cost_per_day_usd
    level = [a for a in good if _tie(best, a, least_vms)]
    after = good[len(level)] if len(good) > len(level) else None
    month = _dollars(day * DAYS_PER_MONTH)
    if len(level) > 1:
        names = ", ".join(a.agent for a in level[:-1]) + f" and {level[-1].agent}"
        fleet = _vms(best) + (" (the least fleet)" if _at_least(best, least_vms) else "")
        lines = [
            f"Cheapest at every service target ({wanted} %) is a tie: {names}, with {fleet}, "
            f"{_dollars(day)} a day, {month} a month each; nothing here tells them apart."
        ]
    else:
        lines = [
            f"Cheapest policy that attains every service target ({wanted} %): {best.agent}, with "
            f"{_vms(best)}, {_dollars(day)} a day, {month} a month."
        ]
    if after is not None:
        more = after.cost_per_day_usd - day
        saved = _share(more, after.cost_per_day_usd)
        lines.append(
            f"Next is {after.agent} at {_dollars(after.cost_per_day_usd)} a day: "
            f"{best.agent} saves {saved:.1%}, {_dollars(more * DAYS_PER_MONTH)} a month"
            + (", practically the same." if saved < SAME else ".")
        )
    lines += [
        f"{a.agent} costs less ({_dollars(a.cost_per_day_usd)} a day), but {'; '.join(a.misses)}."
        for a in fair
        if not a.attains and a.cost_per_day_usd < day
    ]
    other = level[1] if len(level) > 1 else after
    return [*lines, *remarks, _how_sure(best, other, pairs)]


def _tie(best: AgentOutcome, other: AgentOutcome, least_vms: float) -> bool:
    more = _share(other.cost_per_day_usd - best.cost_per_day_usd, other.cost_per_day_usd)
    both = _at_least(best, least_vms) and _at_least(other, least_vms)
    return more < (SAME if both else TIE)


def _at_least(agent: AgentOutcome, least_vms: float) -> bool:
    """Return whether an agent came down to the least fleet."""
    return agent.means.get("vms", math.inf) <= NEAR_LEAST * least_vms


def _nearest(near: AgentOutcome, wanted: str) -> list[str]:
    count = "one run" if near.runs == 1 else f"{near.runs} runs"
    return [
        f"No policy attains every service target ({wanted} %). Nearest is {near.agent} "
        f"at {_dollars(near.cost_per_day_usd)} a day, but {'; '.join(near.misses)}. "
        "Try other agents (sageserve list agents) or more generous settings of these.",
        f"How sure: {count} of each policy; --seeds 5 or more tell chance from fact.",
    ]


def _untested(agents: Sequence[AgentOutcome], columns: Sequence[str]) -> list[str]:
    """Say of which tiers nothing fell due, and what of them is left."""
    lines = []
    for column in columns:
        key = column.removeprefix("slo_")
        left = [
            f"{a.agent} leaves {round(a.means[f'unfinished_{key}']):,}"
            + _age(a.means.get(f"oldest_unfinished_{key}_s", 0.0))
            for a in agents
            if a.means.get(f"unfinished_{key}", 0.0) > 0
        ]
        line = f"{target_label(column)}: nothing fell due, so that target was not put to the test"
        lines.append(line + (f"; {', '.join(left)}." if left else "."))
    return lines


def _age(oldest_s: float) -> str:
    return f" (the oldest {duration(oldest_s)} old)" if oldest_s > 0 else ""


def _failures(agents: Sequence[AgentOutcome]) -> list[str]:
    return [
        f"{a.agent}: {round(a.failed_plans):,} of its"
        + (f" {round(a.plans):,}" if a.plans else "")
        + " plans failed; then the one before stands, or none, so this says little about it."
        for a in agents
        if a.failed_plans
    ]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _how_sure(
    best: AgentOutcome,
    second: AgentOutcome | None,
    pairs: Mapping[str, Mapping[str, Estimate]],
) -> str:
    if best.runs < 2:
        return "How sure: one run only, so no interval can be given; add --seeds 5 for one."
    if second is None or not pairs.get(second.agent):
        return f"How sure: {best.runs} runs, and no other policy attains the targets."
    difference = pairs[second.agent]["cost_per_day_usd_more"]
    chance = pairs[second.agent]["probability_cheaper"].value
    if difference.low is None or difference.high is None:
        return f"How sure: {best.runs} runs on different traffic, one of each; no interval."
    clear = "excludes" if difference.low > 0 else "includes"
    return (
        f"How sure: on {difference.runs} paired runs {best.agent} is "
        f"{_dollars(difference.value)} a day cheaper than {second.agent}, 95 % interval "
        f"{_dollars(difference.low)} to {_dollars(difference.high)}, which {clear} zero; a run of "
        f"it is cheaper than one of the other with probability {chance:.2f}."
    )
