"""The tables of docs/learning.md: learned policies of several training seeds against planners.

They are made from ``benchmarks/results/NAME/results.csv``. The learned rows of a table are the mean
over training seeds. Intervals are 95 % percentile bootstraps of the paired cost difference that
draw training seeds and test seeds independently, because each training seed meets the same test
seeds (which `scipy.stats.bootstrap` cannot do). ``verdicts`` is a table over all tests: the learned
mean against the planner with the best return, in either form of planners.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.leaderboard import short_labels

RESULTS = Path(__file__).parents[1] / "results"
LEARNED, PLANNERS = "residual-es", ("staffing", "ilp", "mpc", "oracle", "reactive")
SERVICE = ("slo_iwf", "slo_iwn", "slo_niw", "slo_worst_model")
TESTS = ("o365-day-learned", "o365-week")
SHIFTED = ("rate-1.5", "o365-burst-day", "o365-outage-day", "mix-day")
REAL_SHAPED = ("azure-2024-code-week", "azure-2023-conv", "mooncake-conversation")
FORMS = {"edf": "`edf`, `least_wait`", "triage": "`triage`, `least_wait_kv`"}
LEVEL = 0.001  # service that is lower by no more than this counts as equal
REPETITIONS = 10_000

Floats = NDArray[np.float64]
Runs = dict[int, dict[str, str]]


def read(path: Path) -> dict[str, Runs]:
    """Return the rows of the learned agent and the planners by specification and test seed."""
    found: dict[str, Runs] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["agent"].partition(":")[0] in (LEARNED, *PLANNERS):
                found.setdefault(row["agent"], {})[int(row["seed"])] = row
    return found


def values(runs: list[Runs], column: str) -> Floats:
    """Return a column, [specifications, test seeds]."""
    return np.array([[float(r[s][column]) for s in sorted(r)] for r in runs])


def interval(difference: Floats) -> tuple[float, float]:
    """Return the 95 % interval of the mean of differences [training seeds, test seeds]."""
    rng = np.random.default_rng(0)
    rows, columns = difference.shape
    means = [
        difference[rng.integers(rows, size=rows)][:, rng.integers(columns, size=columns)].mean()
        for _ in range(REPETITIONS)
    ]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def versus(own: Floats, cost: Floats) -> list[str]:
    """Return the relative difference of costs and its interval, as two cells."""
    low, high = interval((own - cost) / cost.mean())
    return [f"{own.mean() / cost.mean() - 1:+.1%}", f"{low:+.1%} to {high:+.1%}"]


def table(name: str) -> str:
    """Return the table of one published comparison."""
    found = read(RESULTS / name / "results.csv")
    learned = [runs for spec, runs in found.items() if spec.partition(":")[0] == LEARNED]
    others = {s: [runs] for s, runs in found.items() if s.partition(":")[0] != LEARNED}
    labels = short_labels(list(others))
    own = values(learned, "cost_usd")
    lines = [
        f"**{name}**: {own.shape[0]} training seed(s), {own.shape[1]} test seeds",
        "",
        "| agent | cost $ | learned is | 95 % | IW-F | IW-N | NIW | worst model | unfinished "
        "| return |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for label, runs in {LEARNED: learned, **{labels[s]: r for s, r in others.items()}}.items():
        cost = values(runs, "cost_usd")
        than = ["-", "-"] if runs is learned else versus(own, cost)
        served = [f"{values(runs, column).mean():.2%}" for column in SERVICE]
        share = values(runs, "unfinished").sum() / values(runs, "requests").sum()
        cells = [f"`{label}`", f"{cost.mean():,.0f}", *than, *served, f"{share:.2%}"]
        cells.append(f"{values(runs, 'reward').mean():,.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdicts() -> str:
    """Return a line per test and form of planners: the learned mean against the best of them."""
    lines = [
        "| test | planners under | best by return | cost | 95 % | IW-F | IW-N | worst model "
        "| as good, no dearer |",
        "|---|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for form, words in FORMS.items():
        for name in (*TESTS, *SHIFTED, *REAL_SHAPED):
            found = read(RESULTS / name / "results.csv")
            learned = [r for spec, r in found.items() if spec.partition(":")[0] == LEARNED]
            planners = {
                spec: values([runs], "reward").mean()
                for spec, runs in found.items()
                if spec.partition(":")[0] in PLANNERS[:3] and f"discipline={form}" in spec
            }
            best = max(planners, key=planners.__getitem__)
            other = [found[best]]
            own, cost = values(learned, "cost_usd"), values(other, "cost_usd")
            more = [values(learned, c).mean() - values(other, c).mean() for c in SERVICE]
            good = own.mean() <= cost.mean() and min(more) >= -LEVEL
            served = [f"{100 * more[i]:+.2f}" for i in (0, 1, 3)]
            cells = [name, words, f"`{best.partition(':')[0]}`", *versus(own, cost), *served]
            cells.append("yes" if good else "no")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def learned(name: str) -> str:
    """Return the table of a published comparison, or the ``verdicts`` over all."""
    return verdicts() if name == "verdicts" else table(name)
