"""The result table on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sageserve_bench.analysis.outcome import Outcome
from sageserve_bench.analysis.statistics import FEWEST_CUT, Estimate
from sageserve_bench.analysis.targets import IN_FLIGHT_S, target_label
from sageserve_bench.wording import duration, short_names

Format = Callable[[float], str]


class Column(NamedTuple):
    """A figure of the table.

    Attributes:
        name: Of the figure in the rows.
        title: Above it, with a line break where that saves room.
        shown: Makes the text of a value.
        wide: Whether only the wide table has it.
    """

    name: str
    title: str
    shown: Format
    wide: bool = False


def _share(value: float) -> str:
    return f"{100 * value:.2f}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


BEFORE = (Column("cost_per_day_usd", "$ / day", _count),)
"""Columns before those of the service targets."""

LAST = (
    Column("unfinished", "unfin.", _count),
    Column("oldest_unfinished_s", "oldest\nunfin.", duration),
    Column("planner_failures", "failed\nplans", _count),
    Column("refused", "refused", _count, wide=True),
    Column("goodput_rps", "good-\nput /s", lambda v: f"{v:,.1f}", wide=True),
    Column("prefix_hit_rate", "prefix\nhits %", _share, wide=True),
    Column("gpu_hours", "GPU-h", _count, wide=True),
    Column("scaling_waste_gpu_hours", "waste\nGPU-h", _count, wide=True),
    Column("scale_outs", "scale\nouts", _count, wide=True),
    Column("reward", "reward", lambda v: f"{v:,.1f}", wide=True),
    Column("score", "score", lambda v: f"{v:.3f}", wide=True),
    Column("decision_ms", "decision\nms", lambda v: f"{v:.2f}", wide=True),
)
"""Columns that follow those of the tiers."""

WITH_INTERVAL = ("cost_per_day_usd", "slo_iwf", "reward", "score")
"""A terminal has no room for more; the report shows all intervals."""

BEST = "*"
"""Behind the name of the cheapest policy that meets the targets."""


def columns_of(outcome: Outcome, *, wide: bool = True) -> list[Column]:
    """Return the columns that some agent has a figure for: cost, targets, latencies, the rest."""
    titles = {"slo_worst_model": "worst\nmodel %"}
    targets = [
        Column(name, titles.get(name, f"{target_label(name)} %"), _share)
        for name in outcome.targets
    ]
    present = {name for agent in outcome.agents for name in agent.figures}
    present |= set(outcome.targets)  # a dash where nothing fell due
    present -= _idle(outcome)
    return [
        column
        for column in (*BEFORE, *targets, *_of_tiers(tiers_of(outcome)), *LAST)
        if column.name in present and (wide or not column.wide)
    ]


def tiers_of(outcome: Outcome) -> list[str]:
    """Return the keys of the tiers that have a target."""
    keys = [name.removeprefix("slo_") for name in outcome.targets]
    return [key for key in keys if key != "worst_model"]


def _of_tiers(keys: Sequence[str]) -> list[Column]:
    """Return flat attainment, E2E, TPOT and TTFT; the narrow table has those of the first tier."""
    columns = []
    for place, key in enumerate(keys):
        later, tier = place > 0, f"\n{target_label(key)}"
        columns += [
            Column(f"slo_flat_{key}", f"flat{tier} %", _share, later),
            Column(f"e2e_p95_{key}", "E2E\np95 s" + tier * later, lambda v: f"{v:.1f}", later),
            Column(
                f"tpot_p95_{key}",
                "TPOT\np95 ms" + tier * later,
                lambda v: f"{1000 * v:.0f}",
                later,
            ),
            Column(f"ttft_p95_{key}", "TTFT\np95 s" + tier * later, lambda v: f"{v:.2f}", True),
        ]
    return columns


def _idle(outcome: Outcome) -> set[str]:
    """Return the columns that say nothing here."""
    idle = set()
    if not any(a.failed_plans for a in outcome.agents):
        idle.add("planner_failures")
    if not any(a.means.get("oldest_unfinished_s", 0.0) > IN_FLIGHT_S for a in outcome.agents):
        idle.add("oldest_unfinished_s")
    for key in tiers_of(outcome):  # where promises are flat, that is no other column
        same = (a.means.get(f"slo_flat_{key}") == a.means.get(f"slo_{key}") for a in outcome.agents)
        if all(same):
            idle.add(f"slo_flat_{key}")
    return idle


def interval(figure: Estimate, shown: Format, wanted: bool = True) -> str:
    """Return a figure, with its interval below it where there is one."""
    text = shown(figure.value)
    if not wanted or figure.low is None or figure.high is None:
        return text
    return f"{text}\n[dim]{shown(figure.low)}..{shown(figure.high)}[/dim]"


def outcome_table(
    outcome: Outcome, *, wide: bool = False, intervals: bool = True, drop: int = 0
) -> Table:
    """Return the table: one line per agent, interquartile means with 95 % intervals.

    Args:
        outcome: What to show.
        wide: Whether with every column.
        intervals: Whether with intervals.
        drop: How many columns to leave out, from the right.
    """
    present = columns_of(outcome, wide=wide)
    present = present[: max(1, len(present) - drop)]
    short = short_names([agent.agent for agent in outcome.agents])
    best = cheapest(outcome)
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.show_edge = False
    table.add_column("agent", no_wrap=True)
    if wide:
        table.add_column("runs", justify="right")
    for column in present:
        table.add_column(column.title, justify="right", no_wrap=True)
    for agent in outcome.agents:
        cells = [str(agent.runs)] if wide else []
        for name, _, shown, _ in present:
            text = "-"
            if name in agent.figures:
                wanted = intervals and name in WITH_INTERVAL
                text = interval(agent.figures[name], shown, wanted)
            target = outcome.targets.get(name)
            if target is not None and agent.means.get(name, 1.0) < target:
                text = f"[red]{text}[/red]"
            cells.append(text)
        label = short[agent.agent].replace("[", "\\[")
        label += f" [bold]{BEST}[/bold]" if agent.agent == best else ""
        table.add_row(f"{label} [dim](c)[/dim]" if agent.clairvoyant else label, *cells)
    return table


def cheapest(outcome: Outcome) -> str | None:
    """Return the cheapest policy that meets every target; None if none does."""
    good = [a for a in outcome.agents if a.attains and not a.clairvoyant]
    return min(good, key=lambda a: a.cost_per_day_usd).agent if good else None


def fitting(console: Console, outcome: Outcome) -> Table:
    """Return the table that the console has room for: intervals go first, then columns."""
    table = outcome_table(outcome)
    for drop in range(len(columns_of(outcome, wide=False))):
        if width_of(table, console) <= console.width:
            break
        table = outcome_table(outcome, intervals=False, drop=drop)
    return table


def width_of(table: Table, console: Console) -> int:
    """Return how many characters a line of the table takes."""
    return console.measure(table, options=console.options.update(max_width=10_000)).maximum


def show(
    console: Console,
    outcome: Outcome,
    assumed: Sequence[str] = (),
    files: Sequence[str] = (),
    *,
    wide: bool = False,
) -> None:
    """Print the table, what it means, what was taken for granted and where the files are."""
    table = outcome_table(outcome, wide=True) if wide else fitting(console, outcome)
    room = max(console.width, width_of(table, console))
    Console(file=console.file, width=room, force_terminal=console.is_terminal).print(table)
    for line in legend(outcome, terminal=console.is_terminal, wide=wide):
        console.print(f"[dim]{line}[/dim]", soft_wrap=not console.is_terminal)
    for line in (*outcome.verdict, *assumed):
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    for name in files:
        console.print(name, markup=False, highlight=False, soft_wrap=True)


def legend(outcome: Outcome, *, terminal: bool, wide: bool) -> list[str]:
    """Return what the marks of the table mean, and what short names stand for."""
    agents = outcome.agents
    runs = sorted({agent.runs for agent in agents})
    said = [f"{runs[0]} to {runs[-1]} runs" if len(runs) > 1 else _runs(runs[0])]
    if runs[-1] >= FEWEST_CUT:
        said.append("figures are interquartile means, order and verdict go by means")
    if cheapest(outcome):
        said.append(f"{BEST} cheapest that meets every target")
    if any(agent.clairvoyant for agent in agents):
        said.append("(c) knows the future")
    if terminal and any(agent.misses for agent in agents):
        said.append("red: below the target")
    if not wide:
        said.append("--wide shows more columns")
    short = short_names([agent.agent for agent in agents])
    named = [f"{name}: {agent}" for agent, name in short.items() if name != agent]
    return ["; ".join(said) + ".", *(line.replace("[", "\\[") for line in named)]


def _runs(count: int) -> str:
    return "one run of each" if count == 1 else f"{count} runs of each"
