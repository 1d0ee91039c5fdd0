"""What came out of an experiment, from its rows or from its folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.experiments.bounds import BOUNDS, BoundRow, read_bounds
from lab.experiments.definition import Arm, Experiment
from lab.experiments.paper import EXPERIMENTS
from sageserve_bench.analysis.agent_outcome import AgentOutcome
from sageserve_bench.analysis.outcome import conclude, targets_of
from sageserve_bench.errors import UserError
from sageserve_bench.published import ARMS, COMMAND
from sageserve_bench.results.store import Store
from sageserve_bench.rows import Row
from sageserve_bench.runs.tasks import agent_label
from sageserve_env.scenario import Scenario, load_scenario


@dataclass(frozen=True)
class Outcomes:
    """What came out of an experiment.

    Attributes:
        experiment: Which.
        arms: Its arms.
        rows: Raw rows of all scenarios.
        by_scenario: Statistics per scenario and arm, in the order of the arms.
        horizon_s: Length of an episode per scenario.
        bounds: Lower bounds per scenario and seed, where the experiment has them.
    """

    experiment: Experiment
    arms: tuple[Arm, ...]
    rows: tuple[Row, ...]
    by_scenario: dict[str, dict[Arm, AgentOutcome]]
    horizon_s: dict[str, float]
    bounds: tuple[BoundRow, ...] = ()


def load(name: str) -> Scenario:
    """Return a scenario by name: one of the experiments' own, or of the package."""
    own = Path(__file__).parent / "scenarios" / f"{name}.yaml"
    return load_scenario(own if own.is_file() else name)


def outcomes_of(
    experiment: Experiment,
    arms: Sequence[Arm],
    rows: Sequence[Row],
    bounds: Sequence[BoundRow] = (),
) -> Outcomes:
    """Return what finished rows say about an experiment; arms without rows are left out."""
    ran = {str(row["agent"]) for row in rows}
    present = tuple(arm for arm in arms if agent_label(arm.spec) in ran)
    by_scenario: dict[str, dict[Arm, AgentOutcome]] = {}
    horizon_s: dict[str, float] = {}
    for name in dict.fromkeys(str(row["scenario"]) for row in rows):
        own = [row for row in rows if row["scenario"] == name]
        found = {a.agent: a for a in conclude(own, targets_of(load(name))).agents}
        by_scenario[name] = {arm: found[agent_label(arm.spec)] for arm in present}
        horizon_s[name] = float(str(own[0]["horizon_s"]))
    return Outcomes(experiment, present, tuple(rows), by_scenario, horizon_s, tuple(bounds))


def read_experiment(folder: Path) -> Outcomes:
    """Return what a folder of an experiment holds.

    Raises:
        UserError: If it is not whole.
    """
    try:
        words = shlex.split((folder / COMMAND).read_text(encoding="utf-8"))
        name = words[words.index("experiment") + 1]
        arms = [Arm(**one) for one in json.loads((folder / ARMS).read_text("utf-8"))["arms"]]
        experiment = EXPERIMENTS[name]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{folder}: holds no experiment of the lab: {error}") from None
    path = folder / BOUNDS
    bounds = read_bounds(path) if path.is_file() else ()
    return outcomes_of(experiment, arms, Store(folder).read_rows(), bounds)
