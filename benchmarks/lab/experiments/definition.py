"""What an experiment is: arms on scenarios, and what the paper says came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Tuned = Mapping[str, str]
"""Tuned specification of an agent by its name; what is not tuned is not there."""

UNTUNED, TUNED = "untuned", "tuned"


@dataclass(frozen=True)
class Arm:
    """One agent of an experiment.

    Attributes:
        label: Name in tables and plots.
        spec: Specification of the agent.
        group: Arms of one group are compared with the reference of the group.
        reference: Whether the others of the group are compared with it.
        x: Value of the swept option; None outside of a sweep.
    """

    label: str
    spec: str
    group: str = UNTUNED
    reference: bool = False
    x: float | None = None


@dataclass(frozen=True)
class Claim:
    """A figure that the paper publishes.

    Attributes:
        what: What was measured.
        paper: The figure as published.
        source: Where it stands.
        column: Column of ours that is compared with the group's reference.
        arms: Names of the agents among which the paper takes its best; empty for all.
    """

    what: str
    paper: str
    source: str
    column: Literal["gpu_hours", "scaling_waste_gpu_hours", "cost_usd"]
    arms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """An experiment of the paper.

    Attributes:
        name: What `python -m lab experiment` takes.
        title: One line.
        question: What it asks, for the page of the results.
        scenarios: Scenarios that all arms run on.
        arms: Makes the arms from the tuned specifications there are.
        seeds: Test seeds at full size.
        claims: The paper's figures.
        axis: Name of the swept option; empty outside of a sweep.
        decision_interval_s: Time between decisions; None takes the scenario's.
        bound: Whether the lower bound of every trace stands beside the arms.
        notes: What to know before reading the table.
    """

    name: str
    title: str
    question: str
    scenarios: tuple[str, ...]
    arms: Callable[[Tuned], tuple[Arm, ...]] = field(repr=False)
    seeds: int = 3
    claims: tuple[Claim, ...] = ()
    axis: str = ""
    decision_interval_s: float | None = None
    bound: bool = False
    notes: tuple[str, ...] = ()
