"""The result table on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from sageserve_bench.outcome import AgentOutcome, Outcome
from sageserve_bench.statistics import Estimate
from sageserve_bench.targets import IN_FLIGHT_S, target_label
from sageserve_bench.wording import duration

Format = Callable[[float], str]


def _share(value: float) -> str:
    return f"{100 * value:.2f}"


COLUMNS: tuple[tuple[str, str, Format], ...] = (
    ("cost_per_day_usd", "$ / day", lambda v: f"{v:,.0f}"),
    ("gpu_hours", "GPU-h", lambda v: f"{v:,.0f}"),
    ("slo_iwf", "IW-F %", _share),
    ("slo_iwn", "IW-N %", _share),
    ("slo_niw", "NIW %", _share),
    ("slo_worst_model", "worst\nmodel %", _share),
    ("ttft_p95_iwf", "TTFT\np95 s", lambda v: f"{v:.2f}"),
    ("scaling_waste_gpu_hours", "waste\nGPU-h", lambda v: f"{v:,.0f}"),
    ("scale_outs", "scale\nouts", lambda v: f"{v:,.0f}"),
    ("unfinished", "unfin.", lambda v: f"{v:,.0f}"),
    ("oldest_unfinished_s", "oldest\nunfin.", duration),
    ("planner_failures", "failed\nplans", lambda v: f"{v:,.0f}"),
    ("reward", "reward", lambda v: f"{v:,.1f}"),
    ("score", "score", lambda v: f"{v:.3f}"),
    ("decision_ms", "decision\nms", lambda v: f"{v:.2f}"),
)


WITH_INTERVAL = ("cost_per_day_usd", "slo_iwf", "reward", "score")
"""A terminal has no room for more; the report shows all intervals."""


def columns_of(outcome: Outcome) -> list[tuple[str, str, Format]]:
    """Return the columns that some agent has a figure for, with those of the user's own tiers."""
    known = [name for name, _, _ in COLUMNS]
    own = [(c, f"{target_label(c)} %", _share) for c in outcome.targets if c not in known]
    after = known.index("slo_niw") + 1
    every = (*COLUMNS[:after], *own, *COLUMNS[after:])
    wanted = {c[0] for c in every if any(c[0] in a.figures for a in outcome.agents)}
    wanted |= set(outcome.targets)  # a dash where nothing fell due
    if not any(a.failed_plans for a in outcome.agents):
        wanted.discard("planner_failures")
    if not any(a.means.get("oldest_unfinished_s", 0.0) > IN_FLIGHT_S for a in outcome.agents):
        wanted.discard("oldest_unfinished_s")
    return [c for c in every if c[0] in wanted]


def interval(figure: Estimate, shown: Format, wanted: bool = True) -> str:
    """Return a figure, with its interval below it where there is one."""
    text = shown(figure.value)
    if not wanted or figure.low is None or figure.high is None:
        return text
    return f"{text}\n[dim]{shown(figure.low)}..{shown(figure.high)}[/dim]"


def outcome_table(outcome: Outcome) -> Table:
    """Return the table: one line per agent, interquartile means with 95 % intervals."""
    present = columns_of(outcome)
    table = Table("agent", "runs", header_style="bold")
    table.columns[1].justify = "right"
    for _, title, _ in present:
        table.add_column(title, justify="right", no_wrap=True)
    for agent in outcome.agents:
        cells = []
        for name, _, shown in present:
            text = "-"
            if name in agent.figures:
                text = interval(agent.figures[name], shown, name in WITH_INTERVAL)
            target = outcome.targets.get(name)
            if target is not None and agent.means.get(name, 1.0) < target:
                text = f"[red]{text}[/red]"
            cells.append(text)
        table.add_row(_label(agent), str(agent.runs), *cells)
    return table


def _label(agent: AgentOutcome) -> str:
    label = agent.agent.replace("[", "\\[")
    return f"{label} [dim](clairvoyant)[/dim]" if agent.clairvoyant else label


def show(
    console: Console, outcome: Outcome, assumed: Sequence[str] = (), files: Sequence[str] = ()
) -> None:
    """Print the table, what it means, what was taken for granted and where the files are."""
    console.print(outcome_table(outcome))
    if console.is_terminal and any(agent.misses for agent in outcome.agents):
        console.print("[dim]Red: below the target.[/dim]")
    for line in (*outcome.verdict, *assumed):
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    for name in files:
        console.print(name, markup=False, highlight=False, soft_wrap=True)
