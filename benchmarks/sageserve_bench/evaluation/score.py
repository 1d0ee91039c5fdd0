"""The score of a policy: what the calibrated planner pays over what the policy pays.

J is the bill of VMs and transfers, the charges for requests that missed or were refused and the
price of work that was left, in dollars: minus the return of the reward ``dollars``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sageserve_agents.playing import AgentError, rollout
from sageserve_bench.analysis.targets import Targets
from sageserve_bench.errors import UserError
from sageserve_bench.evaluation.remote import NAME, PolicyError, RemotePolicy
from sageserve_bench.results.journal import Journal
from sageserve_bench.rows import Value, clean
from sageserve_bench.runs.episode import run_episode
from sageserve_bench.runs.tasks import Task
from sageserve_bench.runs.workload import pick_seeds, resolve
from sageserve_env.env import SageServeEnv
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.workload import TraceSpec, Workload

REFERENCE = "ilp"
"""The agent whose J is the measure, with the options calibrated for the scenario."""

LIMIT_S = 60.0
SHOWN = ("cost_usd", "gpu_hours", "requests", "completed", "unfinished", "refused")


@dataclass(frozen=True)
class Evaluation:
    """What came of a policy.

    Attributes:
        score: J of the planner over J of the policy, 1 is as good as the planner; 0 if not valid.
        valid: Whether the policy played every episode to its end.
        error: Why it is not valid; empty if it is.
        j_usd: Dollars and charges of an episode, mean over the seeds.
        reference_j_usd: The same of the planner.
        cost_usd: The bill alone.
        figures: ``slo_*`` and other figures, means over the seeds.
        misses: Targets that are missed, as text.
        scenario: Its name.
        episodes: How many seeds.
    """

    score: float
    valid: bool
    error: str
    j_usd: float | None
    reference_j_usd: float | None
    cost_usd: float | None
    figures: Mapping[str, Value] = field(default_factory=dict)
    misses: Sequence[str] = ()
    scenario: str = ""
    episodes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, the figures beside the others."""
        plain = asdict(self)
        figures = plain.pop("figures")
        return plain | {k: v for k, v in figures.items() if k not in plain}


def evaluate(
    file: str | Path,
    *,
    scenario: str | Path | Scenario = "small-day",
    seeds: int | Sequence[int] = 1,
    split: str = "validation",
    limit_s: float = LIMIT_S,
) -> Evaluation:
    """Return the score of a policy file; the same policy gets the same score every time.

    The policy runs in a process of its own. It is told neither the seed nor anything of the future,
    and what it does wrong is its score: 0, with the reason.

    Args:
        file: A Python file with one class that has ``act(view)`` and, if it likes,
            ``reset(scenario, seed, history)``; ``FILE:Class`` where there are several.
        scenario: Name, YAML file or object.
        seeds: How many of the split's first seeds, or exactly which.
        split: ``train``, ``validation`` or ``test``.
        limit_s: Seconds that the policy may take in all episodes together.

    Raises:
        ValueError: If there is no such file, scenario or trace, or the seeds make no sense.
    """
    path = str(file).rpartition(":")[0] if ".py:" in str(file) else str(file)
    if not Path(path).expanduser().is_file():
        raise UserError(f"there is no policy file {path!r}")
    if not limit_s > 0:
        raise UserError(f"the time limit must be above 0 s, got {limit_s:g}")
    cluster = load_scenario(scenario)
    chosen = pick_seeds(seeds, split=split)
    for seed in chosen:  # a trace that cannot be used is no fault of the policy
        resolve(cluster, TraceSpec(), seed)
    played: list[dict[str, Value]] = []
    try:
        with RemotePolicy(str(file), limit_s) as policy:
            for seed in chosen:
                played.append(_play(policy, resolve(cluster, TraceSpec(), seed), seed))
    except (PolicyError, AgentError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, PolicyError) else error
        return _failed(str(cause), cluster, len(chosen))
    except ValueError as error:  # a pooling that there is not, and its like
        return _failed(str(error), cluster, len(chosen))
    reference = sum(_reference_j(cluster, seed) for seed in chosen) / len(chosen)
    means = _means(played)
    j_usd = means.pop("j_usd")
    service = Targets.of(cluster)
    assert isinstance(j_usd, float)
    return Evaluation(
        score=reference / j_usd if j_usd > 0 else 0.0,
        valid=True,
        error="",
        j_usd=j_usd,
        reference_j_usd=reference,
        cost_usd=_number(means["cost_usd"]),
        figures=means,
        misses=service.misses(service.means(played)),
        scenario=cluster.name,
        episodes=len(chosen),
    )


def _failed(reason: str, scenario: Scenario, episodes: int) -> Evaluation:
    text = " ".join(reason.split())
    return Evaluation(0.0, False, text, None, None, None, {}, (), scenario.name, episodes)


def _play(policy: RemotePolicy, workload: Workload, seed: int) -> dict[str, Value]:
    scenario = workload.scenario.replace(pooling=policy.pooling)
    env = SageServeEnv(scenario=scenario, trace=workload.trace)
    try:
        result = rollout(env, policy, seed, label=NAME)
    finally:
        env.close()
    row = {name: clean(value) for name, value in result.metrics.items()}
    row["reward"] = result.reward
    return row | {"agent": NAME, "j_usd": _j_usd(scenario, result.reward)}


def _j_usd(scenario: Scenario, reward: float) -> float:
    return -reward * scenario.reward.scale_usd


def _means(rows: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Return means over the episodes of what is shown; None where some episode has no figure."""
    names = [n for n in rows[0] if n in (*SHOWN, "j_usd") or n.startswith(("slo_", "ttft_p95"))]
    found: dict[str, Value] = {}
    for name in names:
        values = [_number(row.get(name)) for row in rows]
        known = [value for value in values if value is not None]
        found[name] = sum(known) / len(known) if known else None
    return found


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) else None


# -- the J of the planner, worked out once for each scenario and seed ------------------------------


def _reference_j(scenario: Scenario, seed: int) -> float:
    task = Task(REFERENCE, scenario, TraceSpec(), seed)
    workload = task.workload()
    key, journal = task.key(workload), _journal()
    row = journal.get(key)
    if row is None:
        reward = run_episode(task, workload=workload).row["reward"]
        assert isinstance(reward, float)
        row = {"j_usd": _j_usd(scenario, reward)}
        with contextlib.suppress(OSError):  # a folder that cannot be written costs time only
            journal.add(key, row)
    return float(row["j_usd"])


@lru_cache(maxsize=1)
def _journal() -> Journal:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Journal(Path(base) / "sageserve_bench" / "evaluate.jsonl")
