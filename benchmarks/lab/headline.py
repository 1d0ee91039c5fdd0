"""What the README shows of one published comparison: five rows by five columns, and one chart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sageserve_bench.analysis.agent_outcome import AgentOutcome
from sageserve_bench.analysis.families import KINDS, best_of_kinds
from sageserve_bench.analysis.outcome import Outcome, conclude
from sageserve_bench.analysis.targets import target_label
from sageserve_bench.errors import UserError
from sageserve_bench.published import Published
from sageserve_bench.wording import short_names

ROWS = 5
NOTHING = "No comparison is published yet."
CHART = Path("docs/images/cost_against_service.png")
PICTURE = Path("docs/images/global_day.png")
_LEAST_SHOWN = 90.0  # per cent, so that small differences of service look small


def outcome_of(published: Published) -> Outcome:
    """Return what the rows of a comparison on one scenario say."""
    scenario = str(published.rows[0]["scenario"])
    rows = [row for row in published.rows if row["scenario"] == scenario]
    return conclude(rows, published.targets(scenario))


def top(found: Sequence[Published]) -> Callable[[str], str]:
    """Return what makes the small table of a published folder by name."""
    by_name = {published.name: published for published in found}

    def make(name: str) -> str:
        return table(outcome_of(by_name[name])) if name in by_name else NOTHING

    return make


def chosen(outcome: Outcome) -> list[AgentOutcome]:
    """Return five agents: the best of each kind, ``static``, then the cheapest of the others."""
    best = best_of_kinds(outcome.agents)
    first = [best[kind] for kind in KINDS if kind in best]
    first += [agent for agent in outcome.agents if agent.agent.partition(":")[0] == "static"]
    rest = [agent for agent in outcome.agents if agent not in first and not agent.clairvoyant]
    picked = [*first, *rest][:ROWS]
    return [agent for agent in outcome.agents if agent in picked]


def table(outcome: Outcome) -> str:
    """Return the table as Markdown."""
    short = short_names([agent.agent for agent in outcome.agents])
    lines = ["| agent | $ a day | GPU-h | IW-F % | misses |", "|---|---:|---:|---:|---|"]
    for agent in chosen(outcome):
        means = agent.means
        lines.append(
            f"| `{short[agent.agent]}` | {agent.cost_per_day_usd:,.0f} | "
            f"{means['gpu_hours']:,.0f} | {100 * means.get('slo_iwf', 0.0):.2f} | "
            f"{'; '.join(agent.misses) or '-'} |"
        )
    return "\n".join(lines)


def chart(published: Published, file: Path = CHART) -> None:
    """Draw cost against service: a point per agent, its colour what it attains.

    Raises:
        UserError: If no agent has a figure for the first target.
    """
    import matplotlib.pyplot as plt

    outcome = outcome_of(published)
    column, target = next(iter(outcome.targets.items()))
    short = short_names([agent.agent for agent in outcome.agents])
    agents = [agent for agent in outcome.agents if column in agent.means]
    if not agents:
        raise UserError(f"{published.name}: no agent has {column}")
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for place, agent in enumerate(sorted(agents, key=lambda one: one.cost_per_day_usd)):
        x, y = agent.cost_per_day_usd, 100 * agent.means[column]
        colour = "#009e73" if agent.attains else "#d55e00"
        axes.scatter(
            x, y, s=60, facecolors="none" if agent.clairvoyant else colour, edgecolors=colour
        )
        beside = (-8, -24) if place % 2 else (6, 5)  # so that neighbours can be read
        axes.annotate(short[agent.agent], (x, y), beside, textcoords="offset points", fontsize=9)
    axes.axhline(100 * target, color="#b3261e", linewidth=1, linestyle="--", label="target")
    for colour, label in (("#009e73", "attains every target"), ("#d55e00", "misses one")):
        axes.scatter([], [], s=60, color=colour, label=label)
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    axes.set_ylim(min(_LEAST_SHOWN, axes.get_ylim()[0]), 100.0)
    axes.set_xlabel("dollars a day")
    axes.set_ylabel(f"{target_label(column)} requests in time, %")
    axes.set_title(f"{published.name}: cost against service, mean of {agents[0].runs} test days")
    axes.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def picture(scenario: str, agent: str, seed: int, file: Path = PICTURE) -> None:
    """Write the last frame of an episode: fleet, load, attainment and bill over the day.

    Args:
        scenario: Name.
        agent: Specification.
        seed: Of the episode.
        file: PNG to write.
    """
    import matplotlib.image

    from sageserve_agents import make_agent, rollout
    from sageserve_agents.playing import Decision
    from sageserve_env.env import SageServeEnv

    env = SageServeEnv(scenario=scenario, render_mode="rgb_array")
    last = env.scenario.horizon_s / env.scenario.decision_interval_s

    def watch(decision: Decision) -> None:
        if decision.step >= last:
            file.parent.mkdir(parents=True, exist_ok=True)
            matplotlib.image.imsave(file, env.render())

    try:
        rollout(env, make_agent(agent, scenario=env.scenario), seed, watch=watch)
    finally:
        env.close()
