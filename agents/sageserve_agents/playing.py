"""The one loop in which an agent plays an episode.

`rollout` is for users; comparing, evaluating, imitating and training by evolution use it, or its
parts `begin` and `play`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.base import Agent
from sageserve_env.actions import ClusterAction
from sageserve_env.view import ClusterView

if TYPE_CHECKING:
    import gymnasium as gym

    from sageserve_env.env import SageServeEnv


class Decision(NamedTuple):
    """One step of an episode, when it is over."""

    step: int  # steps that are over, this one included
    view: ClusterView  # what the agent saw
    action: ClusterAction  # what it decided
    reward: Any  # what the step gave: a number, or an array [terms] of a vector reward


Watch = Callable[[Decision], None]


@dataclass(frozen=True)
class Rollout:
    """What came of an episode.

    Attributes:
        rewards: Reward of each step, [T]; [T, terms] for a vector reward.
        metrics: The figures of the episode, named as in the result tables.
        deciding_s: Seconds that the agent took for its decisions, all together.
    """

    rewards: NDArray[np.float64]
    metrics: dict[str, float | int]
    deciding_s: float

    @property
    def steps(self) -> int:
        """Number of decisions."""
        return len(self.rewards)

    @property
    def reward(self) -> float:
        """The sum of all rewards."""
        return float(self.rewards.sum())


class AgentError(ValueError):
    """An agent raised an error, or decided something that cannot be done."""


def rollout(
    env: gym.Env[Any, Any],
    agent: Agent,
    seed: int,
    *,
    label: str | None = None,
    watch: Watch | None = None,
) -> Rollout:
    """Play an episode.

    Args:
        env: A `SageServeEnv` of any action mode, bare or in wrappers. Decisions go to the
            environment itself, so wrappers that change actions, observations or rewards have no
            say; the rewards are the environment's own.
        agent: The agent; its pooling must be the scenario's.
        seed: Seed of the episode, as for ``env.reset``: of the trace and the simulator.
        label: What the agent's own randomness follows from, see `own_seed`; None takes its name.
        watch: Called after each step.

    Raises:
        ValueError: If the environment is another one or does not have the agent's pools, or the
            agent decides something that cannot be done.
    """
    base = core_of(env)
    env.reset(seed=seed)
    begin(base, agent, label=label)
    return play(base, agent, watch=watch)


def core_of(env: gym.Env[Any, Any]) -> SageServeEnv:
    """Return the `SageServeEnv` inside wrappers.

    Raises:
        ValueError: If there is none.
    """
    from sageserve_env.env import SageServeEnv

    base = env.unwrapped
    if not isinstance(base, SageServeEnv):
        raise ValueError(f"expected a SageServeEnv, in wrappers or not, got {type(base).__name__}")
    return base


def begin(env: SageServeEnv, agent: Agent, *, label: str | None = None) -> None:
    """Introduce an agent to the episode that has been started.

    It is told the scenario, the demand before time 0 (and the future, if it is clairvoyant) and a
    seed of its own; never the seed of the trace.

    Raises:
        ValueError: If the environment does not have the agent's pools.
    """
    if agent.pooling != env.scenario.pooling:
        raise ValueError(
            f"agent {agent.name!r} needs pooling {agent.pooling!r}, the environment has "
            f"{env.scenario.pooling!r}: make it of scenario.replace(pooling={agent.pooling!r})"
        )
    seed = own_seed(agent.name if label is None else label)
    history = env.workload.history(clairvoyant=agent.clairvoyant)
    with named(agent, "at its reset"):
        agent.reset(env.scenario, seed, history)


@contextmanager
def named(agent: Agent, when: str, kind: type[Exception] = Exception) -> Iterator[None]:
    """Say whose error it is that is raised in the block.

    Raises:
        AgentError: Instead of an error of ``kind``, which it names and follows from.
    """
    try:
        yield
    except kind as error:
        what = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise AgentError(f"agent {agent.name!r} {when}: {what}{error}") from error


def play(env: SageServeEnv, agent: Agent, *, watch: Watch | None = None) -> Rollout:
    """Let an agent that has been introduced decide to the end of the episode."""
    rewards: list[Any] = []
    deciding_s, over = 0.0, False
    while not over:
        view = env.view()
        asked = time.perf_counter()
        with named(agent, f"at {view.time_s:g} s"):
            action = agent.act(view)
        deciding_s += time.perf_counter() - asked
        with named(agent, f"at {view.time_s:g} s", ValueError):
            _, reward, terminated, truncated, _ = env.step_cluster(action)
        rewards.append(reward)
        over = terminated or truncated
        if watch is not None:
            watch(Decision(len(rewards), view, action, reward))
    return Rollout(np.array(rewards, dtype=np.float64), env.episode_metrics(), deciding_s)


def own_seed(label: str) -> int:
    """Return the seed of an agent's own randomness: 32 bits of the SHA-256 of its label.

    The seed of the trace does not enter, so nothing of it can be found in there: an agent draws
    the same numbers in every episode. Its label names its options, so that other options draw
    other numbers.
    """
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:4], "big")
