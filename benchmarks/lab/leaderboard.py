"""The tables of published results: of one folder by name, or with ``all`` a section for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from sageserve_agents.registry import parse_spec
from sageserve_bench.analysis.agent_outcome import AgentOutcome
from sageserve_bench.analysis.outcome import Outcome, conclude
from sageserve_bench.analysis.statistics import Estimate
from sageserve_bench.errors import UserError
from sageserve_bench.published import Published
from sageserve_bench.rows import Row, with_scores

Format = Callable[[float], str]

COLUMNS: tuple[tuple[str, str, Format], ...] = (
    ("cost_per_day_usd", "$ a day", lambda v: f"{v:,.0f}"),
    ("gpu_hours_per_day", "GPU-h a day", lambda v: f"{v:,.0f}"),
    ("slo_iwf", "IW-F %", lambda v: f"{100 * v:.2f}"),
    ("slo_iwn", "IW-N %", lambda v: f"{100 * v:.2f}"),
    ("slo_niw", "NIW %", lambda v: f"{100 * v:.2f}"),
    ("slo_worst_model", "worst model %", lambda v: f"{100 * v:.2f}"),
    ("ttft_p95_iwf", "TTFT p95 s", lambda v: f"{v:.2f}"),
    ("scaling_waste_gpu_hours", "waste GPU-h", lambda v: f"{v:,.0f}"),
    ("unfinished", "unfinished", lambda v: f"{v:,.0f}"),
    ("reward", "return", lambda v: f"{v:,.0f}"),
    ("score", "score", lambda v: f"{v:.3f}"),
)
LEGEND = (
    "Interquartile means over seeds, for costs with 95 % stratified bootstrap intervals. "
    "*Italic*: the plain mean is below the service target; **bold**: the cheapest policy that "
    "misses no target; (c): clairvoyant, an anchor and not a policy."
)


def groups(published: Published) -> dict[tuple[str, str], list[Row]]:
    """Return the rows of a comparison by scenario and trace, which have a table each."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in with_scores(published.rows):
        found.setdefault((str(row["scenario"]), str(row["trace"])), []).append(row)
    return found


def short_labels(specs: Sequence[str]) -> dict[str, str]:
    """Return a short name for each specification of a table.

    That is the agent's name; where several agents have it, with the options that tell them apart.
    """
    parsed = {spec: parse_spec(spec) for spec in specs}
    labels = {}
    for spec, (name, options) in parsed.items():
        others = [o for s, (n, o) in parsed.items() if n == name and s != spec]
        telling = [k for k in options if any(o.get(k) != options[k] for o in others)]
        tail = ";".join(f"{key}={options[key]}" for key in telling)
        labels[spec] = f"{name}:{tail}" if tail else name
    return labels


def table(outcome: Outcome) -> str:
    """Return the table of an outcome in Markdown, the cheapest that attain the targets first."""
    present = [c for c in COLUMNS if any(c[0] in a.figures for a in outcome.agents)]
    order = sorted(outcome.agents, key=lambda a: (a.clairvoyant, not a.attains, a.cost_per_day_usd))
    labels = short_labels([a.agent for a in outcome.agents])
    best = next((a.agent for a in order if a.attains and not a.clairvoyant), None)
    lines = [
        "| " + " | ".join(["agent", "runs", *(title for _, title, _ in present), "misses"]) + " |",
        "|---|" + "---:|" * (len(present) + 1) + "---|",
    ]
    for agent in order:
        label = f"`{labels[agent.agent]}`" + (" (c)" if agent.clairvoyant else "")
        label = f"**{label}**" if agent.agent == best else label
        cells = [_cell(agent, name, shown, outcome) for name, _, shown in present]
        missed = ", ".join(re.split(r" (?=[\d.]+%)", text)[0] for text in agent.misses)
        lines.append("| " + " | ".join([label, str(agent.runs), *cells, missed or "-"]) + " |")
    return "\n".join(lines)


def _cell(agent: AgentOutcome, name: str, shown: Format, outcome: Outcome) -> str:
    figure: Estimate | None = agent.figures.get(name)
    if figure is None:
        return "-"
    text = shown(figure.value)
    target = outcome.targets.get(name)
    if target is not None and agent.means[name] < target:
        text = f"*{text}*"
    if name == "cost_per_day_usd" and figure.low is not None and figure.high is not None:
        text += f" ({shown(figure.low)} to {shown(figure.high)})"
    return text


def tables(published: Published) -> str:
    """Return the tables of one comparison, with a heading each if there are several."""
    parts = []
    found = groups(published)
    for (scenario, trace), rows in found.items():
        outcome = conclude(rows, published.targets(scenario))
        if len(found) > 1:
            parts.append(f"**{scenario}, {trace}**")
        parts.append(table(outcome))
    specs = sorted({str(row["agent"]) for row in published.rows if ":" in str(row["agent"])})
    if specs:
        parts.append("Settings: " + ", ".join(f"`{spec}`" for spec in specs) + ".")
    return "\n\n".join(parts)


def section(published: Published) -> str:
    """Return a comparison as a section: title, tables, answer in words, command."""
    verdicts = [
        " ".join(conclude(rows, published.targets(scenario)).verdict)
        for (scenario, _), rows in groups(published).items()
    ]
    lines = [
        f"## {published.title}",
        tables(published),
        *(verdicts if len(verdicts) == 1 else ()),
        f"Rows and decisions: `benchmarks/results/{published.name}/`. The command:",
        "<!-- not run: the published size takes long; sageserve benchmark repeats it -->\n"
        f"```sh\n{_wrapped(published.command_line)}\n```",
    ]
    return "\n\n".join(lines)


def _wrapped(command: str, width: int = 96) -> str:
    """Return a command broken before its options."""
    lines = [""]
    for piece in re.split(r" (?=--)", command):
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append("    " + piece)
        else:
            lines[-1] += (" " if lines[-1] else "") + piece
    return " \\\n".join(lines)


def leaderboard(found: Sequence[Published]) -> Callable[[str], str]:
    """Return what makes the tables of a published folder by name.

    Args:
        found: What is published.
    """
    by_name = {published.name: published for published in found}

    def make(name: str) -> str:
        if name == "all" and not found:
            return "No comparison is published yet."
        if name == "all":
            body = "\n\n".join(section(published) for published in found)
        elif name in by_name:
            body = tables(by_name[name])
        else:
            known = ", ".join(by_name) or "none"
            raise UserError(f"leaderboard {name}: not published; there are {known}")
        return f"{body}\n\n{LEGEND}"

    return make
