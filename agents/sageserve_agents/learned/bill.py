"""What an episode has cost so far, model by model, and the price of a miss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sageserve_env.env import SageServeEnv
from sageserve_env.scenario import Scenario
from sageserve_env.view import Floats

_MOST_STEP = 0.1  # (A) of the logarithm of the price of a miss


@dataclass(frozen=True)
class Bill:
    """Sums of an episode so far, per model.

    Attributes:
        usd: VMs billed, [M].
        attained: Requests within their objective, [M, K].
        missed: Requests known to have missed it, [M, K].
    """

    usd: Floats
    attained: Floats
    missed: Floats

    @staticmethod
    def of(env: SageServeEnv) -> Bill:
        """Return the sums of an environment's episode."""
        state, scenario = env.simulator.state, env.scenario
        usd = scenario.billed_usd(state.vm_seconds).sum(axis=1)
        usd = usd.reshape(len(scenario.models), -1).sum(axis=1)
        attained = state.count["attained"].sum(axis=1).astype(np.float64)
        missed = state.count["missed"].sum(axis=1).astype(np.float64)
        return Bill(usd, attained, missed)


def left_usd(env: SageServeEnv) -> Floats:
    """Return the VM price of the prompt work that is held or queued, [M]."""
    view, scenario = env.view(), env.scenario
    queued = view.queued_prompt_tokens.reshape(len(scenario.models), -1).sum(axis=1)
    left: Floats = (view.niw_backlog_tokens + queued) * usd_per_token(scenario, view.theta)
    return left


def usd_per_token(scenario: Scenario, theta: Floats) -> Floats:
    """Return the list price of a prompt token where it is cheapest, by theta [M, G], [M]."""
    price = np.array([g.price_usd_per_hour for g in scenario.gpu_specs]) / 3600.0
    least: Floats = np.where(scenario.compatible, price / theta, np.inf).min(axis=1)
    return least


class Price:
    """The price of a miss: the Lagrange multiplier of the service target.

    Args:
        usd: First value, and value where it is not adapted.
        aim: Attainment over all models that is aimed at, in the worse of the interactive tiers.
        rate: Step of its logarithm per unit of attainment at the end of each plain episode; 0
            leaves the price as it is.
    """

    def __init__(self, usd: float, aim: float, rate: float) -> None:
        self.usd, self.aim, self.rate = usd, aim, rate

    def update(self, attained: Floats, missed: Floats) -> float:
        """Move towards the aim after episodes with counts per tier; return the least attainment.

        Without a request of a tier the price stays, and the aim counts as attained.
        """
        total = attained + missed
        if not total.min() > 0:
            return self.aim
        lowest = float((attained / total).min())
        step = np.clip(self.rate * (self.aim - lowest), -_MOST_STEP, _MOST_STEP)
        self.usd *= float(np.exp(step))
        return lowest
