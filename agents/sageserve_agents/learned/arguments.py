"""Arguments of training: one dataclass, filled from a YAML file and the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sageserve_agents.learned.traffic import VARIATIONS
from sageserve_agents.parameters import nearest

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class TrainArgs:
    """What a training run is made from.

    Attributes:
        agent: Name of the agent.
        scenario: Name or YAML file of the cluster.
        seed: Of weights, exploration and the draw of training seeds (0-999).
        steps: Decisions to learn from.
        threads: Threads of PyTorch.
        randomise_share: Share of training episodes with varied traffic (residual agents).
        randomise: Which variations (residual agents).
        evaluate_every: Steps between evaluations.
        evaluate_seeds: Number of validation seeds, from 1000 on.
        policy: Keywords of the network.
        algorithm: Keywords of the algorithm.
        options: Options of the agent that is trained and evaluated.
    """

    agent: str
    scenario: str = "o365-day"
    seed: int = 0
    steps: int = 20_000
    threads: int = 1
    randomise_share: float = 0.0
    randomise: tuple[str, ...] = VARIATIONS[1:]
    evaluate_every: int = 10_000
    evaluate_seeds: int = 1
    policy: Mapping[str, Any] = field(default_factory=dict)
    algorithm: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values."""
        for name, low in (
            ("steps", 1),
            ("threads", 1),
            ("evaluate_every", 1),
            ("evaluate_seeds", 0),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"{name} must be a whole number of at least {low}, got {value!r}")
        if not 0 <= self.randomise_share <= 1:
            raise ValueError(f"randomise_share must be in [0, 1], got {self.randomise_share}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as written to a card."""
        return dataclasses.asdict(self) | {"randomise": list(self.randomise)}


def configured() -> list[str]:
    """Return the names of the agents that can be trained."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def make_args(agent: str, config: Path | None = None, **changes: Any) -> TrainArgs:
    """Return the arguments of an agent: its shipped YAML, then a user's, then ``changes``.

    Raises:
        ValueError: If the agent is unknown, a file unreadable, or a key or value wrong.
    """
    if agent not in configured():
        raise nearest(agent, configured(), "agent to train")
    values = _read(CONFIGS / f"{agent}.yaml")
    if config is not None:
        for key, value in _read(config).items():
            both = isinstance(value, Mapping) and isinstance(values.get(key), Mapping)
            values[key] = {**values[key], **value} if both else value
    values |= {key: value for key, value in changes.items() if value is not None}
    values["agent"] = agent
    if isinstance(values.get("randomise"), list):
        values["randomise"] = tuple(values["randomise"])
    names = [f.name for f in dataclasses.fields(TrainArgs)]
    for key in values:
        if key not in names:
            raise nearest(str(key), names, "training argument")
    return TrainArgs(**values)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected a mapping at the top, got {type(data).__name__}")
    return data
