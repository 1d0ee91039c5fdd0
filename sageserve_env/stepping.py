"""What a step of an environment is made of: read the action, run kernels, observe."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from sageserve_env.action_modes import ActionMode
from sageserve_env.kernels.buffers import Buffers
from sageserve_env.kernels.decode import reactive_targets
from sageserve_env.kernels.decoder import Decoder
from sageserve_env.kernels.scaling import Scaling, scale
from sageserve_env.kernels.step import IN_FORCE, REJECTED, look
from sageserve_env.kernels.step import step as step_kernel
from sageserve_env.simulator.codes import DONE
from sageserve_env.simulator.simulator import Simulator
from sageserve_env.simulator.state import State
from sageserve_env.simulator.survey import Raw, read_own
from sageserve_env.workload import Workload


class Stepping:
    """The parts of a step, which an environment takes one after the other.

    A vector environment calls them by themselves: `begin_step`, the step kernel on `step_arrays` up
    to `step_end_s` with `supply` whenever it stops before, and the environment's ``end_step``.
    """

    _mode: ActionMode
    _simulator: Simulator
    _buffers: Buffers
    _scaling: Scaling
    _workload: Workload | None
    _interval_s: float
    _steps: int
    _over: bool

    def begin_step(self, action: Any) -> int:
        """Read an action; return the form in which the step kernel finds it."""
        self._require_episode()
        decision = self._mode.read(
            action, lambda: reactive_targets(self._simulator.state, self._buffers)
        )
        if decision is None:
            return self._mode.form
        self._simulator.apply(decision)
        return IN_FORCE

    @property
    def step_arrays(self) -> tuple[State, Buffers, Decoder, Raw, Scaling]:
        """What the step kernel works on."""
        simulator = self._simulator
        decoder = self._mode.decoder
        return simulator.state, self._buffers, decoder, simulator.raw, self._scaling

    @property
    def step_end_s(self) -> float:
        """When the step that is to come, or is going on, ends."""
        assert self._workload is not None
        return min((self._steps + 1) * self._interval_s, self._workload.horizon_s)

    def supply(self, status: int) -> None:
        """Give the step kernel what it stopped for.

        Raises:
            ValueError: If it stopped because the action is none.
        """
        if status == REJECTED:
            raise ValueError(self._mode.refusal())
        self._simulator.supply(status)

    def _simulate(self, form: int) -> None:
        """Simulate one step; nearly all of the time is spent in kernels without the GIL."""
        arrays, until_s = self.step_arrays, self.step_end_s
        status = step_kernel(*arrays, form, until_s)
        while status != DONE:
            self.supply(status)
            status = step_kernel(*arrays, IN_FORCE, until_s)

    def _close_step(self) -> None:
        """Count a step that was simulated and observe what Python observes."""
        assert self._workload is not None
        self._see_own()
        self._steps += 1
        self._over = self._steps * self._interval_s >= self._workload.horizon_s

    def _look(self) -> None:
        """Fill survey, observation, totals and mask from the state."""
        look(*self.step_arrays)
        self._see_own()

    def _see_own(self) -> None:
        """Observe the sources that were registered from outside, which Python reads."""
        if self._simulator.raw.own:
            read_own(self._simulator.state, self._simulator.raw)
            scale(self._simulator.raw, self._scaling)

    def _require_episode(self, *, over: bool = False) -> None:
        if self._workload is None or (self._over and not over):
            raise gym.error.ResetNeeded("call reset() before step(), and after truncated is True")
