"""What an environment shows of an episode, by render mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from sageserve_env.render.history import History
from sageserve_env.render.table import table
from sageserve_env.rewards import Change
from sageserve_env.scenario import Scenario

if TYPE_CHECKING:
    from sageserve_env.render.panel import Panel
    from sageserve_env.simulator.simulator import Simulator

RENDER_MODES = ("ansi", "rgb_array", "human")


def checked_mode(mode: str | None) -> str | None:
    """Return a render mode.

    Raises:
        ValueError: If it is not one.
    """
    if mode is not None and mode not in RENDER_MODES:
        raise ValueError(
            f"render_mode: expected one of {', '.join(RENDER_MODES)} or None, got {mode!r}"
        )
    return mode


def warn_of_no_mode(spec: EnvSpec | None) -> None:
    """Warn that an environment made by Gymnasium was asked to render without a mode."""
    if spec is not None:
        gym.logger.warn(
            "render was called without a render mode; "
            f'make the environment with gym.make("{spec.id}", render_mode="ansi")'
        )


class Renderer:
    """Collects what is drawn and draws it.

    Args:
        scenario: The cluster.
        mode: ``ansi``, ``rgb_array`` or ``human``.
    """

    def __init__(self, scenario: Scenario, mode: str) -> None:
        self.scenario = scenario
        self.mode = mode
        self.history = History(scenario)
        self._panel: Panel | None = None

    def start(self, simulator: Simulator) -> None:
        """Forget the last episode."""
        self.history = History(self.scenario)
        self.history.look(simulator)
        if self.mode == "human":
            self.render(simulator)

    def record(self, simulator: Simulator, change: Change, reward: Any) -> None:
        """Take in one step."""
        self.history.add(simulator, change, reward)
        if self.mode == "human":
            self.render(simulator)

    def render(self, simulator: Simulator) -> Any:
        """Return text or an image of shape [height, width, 3]; None for a window."""
        if self.mode == "ansi":
            return table(simulator, self.history)
        if self._panel is None:
            from sageserve_env.render.panel import Panel

            self._panel = Panel(self.scenario, window=self.mode == "human")
        return self._panel.draw(self.history)

    def close(self) -> None:
        """Close the window."""
        if self._panel is not None:
            self._panel.close()
            self._panel = None
