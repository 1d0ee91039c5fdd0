"""What an agent is: four attributes and two methods."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView
from sageserve_traces.trace import DemandSeries


@runtime_checkable
class Agent(Protocol):
    """A controller of the cluster.

    Attributes:
        name: Identifier in tables.
        pooling: ``unified``, ``siloed`` or ``chiron``; the episode runs with this pooling.
        clairvoyant: Whether the agent is given the realised future (``oracle``).
    """

    name: str
    pooling: str
    clairvoyant: bool

    def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
        """Start an episode.

        Args:
            scenario: The cluster, with this agent's pooling.
            seed: Seed of the agent's own randomness. It follows from the agent's name and options
                alone, see `own_seed`; the seed of the trace is not told.
            history: Demand before time 0 (may have no bins). A clairvoyant agent is given the
                realised demand of the episode, appended after time 0.
        """
        ...

    def act(self, view: ClusterView) -> ClusterAction:
        """Return the decision for the next interval."""
        ...
