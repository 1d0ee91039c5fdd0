"""Observations made from a view: what the environment gives, for an agent that is given views."""

from __future__ import annotations

from sageserve_env.kernels.scaling import scale
from sageserve_env.observe.layout import Layout, Observation
from sageserve_env.observe.units import Units
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.survey import build_raw, put_view
from sageserve_env.view import ClusterView, Floats


class Observer:
    """The observation of one scenario, without an environment.

    Args:
        scenario: The cluster.
        theta: Sustained prompt tokens per second of one instance, [M, G].
        mode: ``flat`` or ``endpoints``.

    Attributes:
        layout: Names and space.
    """

    def __init__(self, scenario: Scenario, theta: Floats, mode: str = "flat") -> None:
        self.layout = Layout(scenario, mode)
        self._raw = build_raw(scenario, theta)
        self._scaling = self.layout.scaling(Units(scenario, theta))

    def observation(self, view: ClusterView) -> Observation:
        """Return the observation of a view, as the environment gives it.

        Raises:
            ValueError: If the view lacks an array or is one of another scenario.
        """
        put_view(self._raw, view)
        scale(self._raw, self._scaling)
        return self.layout.present(self._scaling.observation)
