"""A plan in words: counts, what binds, what it costs, what is short."""

from __future__ import annotations

import numpy as np

from sageserve_agents.planner.problem import Plan

_TIGHT = 0.999
_MOST_FLOWS = 12


def explain(plan: Plan, period: int = 0) -> str:
    """Return the plan of one period as text.

    Args:
        plan: A solved plan.
        period: Index of the period.
    """
    parts = [_header(plan), _counts(plan, period), _flows(plan, period), _binding(plan, period)]
    parts += [_costs(plan), _short(plan, period)]
    return "\n".join(filter(None, parts))


def _header(plan: Plan) -> str:
    p = plan.problem
    minutes = p.period_s.sum() / 60.0
    proof = "optimal" if plan.optimal else "time limit reached, not proven optimal"
    gap = "gap unknown" if np.isnan(plan.gap) else f"gap {100 * plan.gap:.2f} %"
    return (
        f"Plan for {minutes:g} min in {len(p.period_s)} period(s): {proof}, {gap}, "
        f"{plan.solver}, {1e3 * plan.build_s:.0f} ms to build, {1e3 * plan.solve_s:.0f} ms to solve"
    )


def _counts(plan: Plan, t: int) -> str:
    p = plan.problem
    width = max(12, *(len(m) for m in p.models))
    lines = ["", f"{'instances':<{width}}  " + "  ".join(f"{r:>22}" for r in p.regions)]
    for m, model in enumerate(p.models):
        cells = []
        for r in range(len(p.regions)):
            now, new = p.current[m, r], plan.instances[t, m, r]
            kinds = [
                f"{new[g]}" if len(p.gpus) == 1 else f"{new[g]} {p.gpus[g].split('-')[0]}"
                for g in range(len(p.gpus))
                if new[g] or len(p.gpus) == 1
            ]
            change = int(new.sum() - now.sum())
            cells.append(
                f"{' + '.join(kinds) or '0'} ({change:+d})" if change else " + ".join(kinds)
            )
        lines.append(f"{model:<{width}}  " + "  ".join(f"{c:>22}" for c in cells))
    used = plan.instances[t].sum(axis=0)
    totals = [
        ", ".join(f"{used[r, g]} of {p.inventory[r, g]}" for g in range(len(p.gpus)))
        for r in range(len(p.regions))
    ]
    lines.append(f"{'VMs used':<{width}}  " + "  ".join(f"{c:>22}" for c in totals))
    return "\n".join(lines)


def _flows(plan: Plan, t: int) -> str:
    p = plan.problem
    rows = []
    for m, o, d in np.argwhere(plan.flow[t] > 1e-6 * max(plan.flow[t].max(initial=0.0), 1.0)):
        if o != d:
            rate = plan.flow[t, m, o, d]
            share = rate / max(p.demand[t, m, o].sum(), 1e-9)
            rows.append(
                (
                    rate,
                    f"  {p.models[m]}: {p.regions[o]} -> {p.regions[d]} "
                    f"{rate:,.0f} tokens/s ({100 * share:.0f} % of its demand)",
                )
            )
    rows.sort(key=lambda row: -row[0])
    if not rows:
        return "\nAll traffic is served at home."
    more = [f"  and {len(rows) - _MOST_FLOWS} more"] if len(rows) > _MOST_FLOWS else []
    return "\n".join(["", "Cross-region flows:", *(r[1] for r in rows[:_MOST_FLOWS]), *more])


def _binding(plan: Plan, t: int) -> str:
    p = plan.problem
    used, served = plan.instances[t].sum(axis=0), plan.flow[t].sum(axis=1)
    capacity = plan.capacity()[t]
    lines = []
    for r, g in np.argwhere((used >= p.inventory) & (p.inventory > 0)):
        lines.append(f"  inventory of {p.regions[r]} {p.gpus[g]}: all {p.inventory[r, g]} VMs")
    totals = plan.instances[t].sum(axis=2)
    for m, model in enumerate(p.models):
        low = [p.regions[r] for r in np.flatnonzero((totals[m] <= p.low[m]) & (p.low[m] > 0))]
        high = [p.regions[r] for r in np.flatnonzero(totals[m] >= p.high[m])]
        full = [
            f"{p.regions[r]} {100 * served[m, r] / capacity[m, r]:.0f} %"
            for r in np.flatnonzero(served[m] >= 0.9 * np.maximum(capacity[m], 1e-9))
        ]
        if low:
            lines.append(f"  {model}: minimum count in {', '.join(low)}")
        if high:
            lines.append(f"  {model}: maximum count in {', '.join(high)}")
        if full:
            lines.append(f"  {model}: capacity (one instance less would not do) {', '.join(full)}")
        if (p.home_share > 0).any() and len(p.regions) > 1:
            home = np.diagonal(plan.flow[t, m])
            out = plan.flow[t, m].sum(axis=1)
            tight = (out > home) & (home <= out * p.home_share / _TIGHT)
            for r in np.flatnonzero(tight):
                lines.append(f"  {model}: local share {p.home_share[r]:g} in {p.regions[r]}")
    return "\n".join(["", "Binding constraints:", *(lines or ["  none"])])


def _costs(plan: Plan) -> str:
    parts = plan.cost_usd()
    text = ", ".join(
        f"{name} ${value:,.2f}" for name, value in parts.items() if name != "shortfall"
    )
    bound = (
        "" if np.isnan(plan.bound_usd) else f"; no plan can cost less than ${plan.bound_usd:,.2f}"
    )
    return f"\nCost: {text}{bound if not plan.short else ''}"


def _short(plan: Plan, t: int) -> str:
    p = plan.problem
    if not plan.short:
        return "All demand is served."
    lines = ["SHORT: the inventory cannot serve all demand; the most valuable part is served."]
    for m, model in enumerate(p.models):
        for c, tier in enumerate(p.classes):
            cut = plan.shortfall[t, m, :, c]
            total = p.demand[t, m, :, c].sum()
            if cut.sum() > 1e-6 * max(total, 1.0):
                regions = ", ".join(p.regions[r] for r in np.flatnonzero(cut > 1e-6))
                lines.append(
                    f"  {model} {tier}: {cut.sum():,.0f} of {total:,.0f} tokens/s "
                    f"({100 * cut.sum() / total:.0f} %), from {regions}"
                )
    return "\n".join(lines)
