"""`SageServeEnv`: the Gymnasium environment."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sageserve_env.accounts import Accounts
from sageserve_env.action_modes import make_action_mode
from sageserve_env.actions import ClusterAction
from sageserve_env.arguments import (
    WritableSpec,
    adjusted,
    checked_flag,
    checked_seed,
    forced_trace_seed,
    unknown_keyword_message,
)
from sageserve_env.control import decided
from sageserve_env.entries import default_routing
from sageserve_env.kernels.buffers import build_buffers
from sageserve_env.kernels.step import IN_FORCE
from sageserve_env.observe import Layout, Observation, Units
from sageserve_env.registration import DEFAULT_SCENARIO
from sageserve_env.render import RENDER_MODES, Renderer, checked_mode, warn_of_no_mode
from sageserve_env.rewards import Reward, Vector, make_reward
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_env.simulator.feed import Feed
from sageserve_env.simulator.simulator import Simulator
from sageserve_env.snapshot import EnvSnapshot, rebuilt
from sageserve_env.stepping import Stepping
from sageserve_env.view import ClusterView
from sageserve_env.workload import TRAIN_SEEDS, TraceSpec, Workload, Workloads
from sageserve_traces import DemandSeries, TraceSource


class SageServeEnv(Stepping, WritableSpec, gym.Env[Observation, Any]):
    """A multi-region, multi-model GPU cluster that serves LLM requests.

    ## Description

    A cloud provider serves several LLMs from GPU VMs in several regions. Requests come in tiers:
    interactive ones (``IW-F``, ``IW-N``) whose first token, and in most scenarios each further one,
    is due within a time, and non-interactive ones (``NIW``) that have a deadline; the scenario says
    which. At every decision time the agent says how many instances of each model each region should
    have, how requests are routed between regions, what is refused, and when non-interactive work
    may run. A request-level simulator with continuous
    batching, VM start-up delays and a finite inventory answers with latencies and the bill. The
    problem is that of SageServe (arXiv 2502.14617).

    ## Action Space

    ``control`` says what is decided and ``action_mode`` in which form; all forms mean a
    `ClusterAction`. The table of knobs, `sageserve_env.knobs.KNOBS`, says what there is;
    ``env.unwrapped.action_names`` names the entries.

    * ``continuous``: ``Box(-1, 1, float32)``. Targets per endpoint and VM type, penalties (for the
      router ``shares``: shares) per model, origin and destination, ceilings for batch work and,
      where ``reward.refuse_usd`` is set, limits of admission.
    * ``discrete``: ``MultiDiscrete``. Changes of -2 to +2 instances, a routing preset (for
      ``shares``: a destination per model and origin), presets of the ceilings and of admission.
    * ``structured``: ``Dict`` of the fields of `ClusterAction` that are decided.

    The zero action of ``continuous`` is the scenario's own behaviour: round trips as penalties, its
    own ceilings, and the initial fleet, with ``targets="delta"`` the targets in force, with
    ``load`` what is busy. The formulas are in `sageserve_env.forms`. Discrete actions come
    with masks: ``env.unwrapped.action_masks()`` and ``info["action_mask"]``, flat bool arrays as in
    SB3-Contrib; a masked choice is clipped to the limits. Lists and arrays of any numeric type are
    taken. An action of the wrong shape, with NaN, or outside the space raises ``ValueError`` and
    changes nothing; with ``clip_actions=True`` numbers outside are moved to the space.

    What is not decided is what ``policy`` fixes or, without it, the scenario's: router, matrix,
    ceilings, discipline. Where nobody decides the targets, the paper's reactive rule does (out
    above 70 % utilisation, in below 30 %). ``control="routing"`` alone decides shares, unless
    ``policy`` names another router.

    ## Observation Space

    ``flat``: one float32 ``Box``, each entry scaled by constants of the scenario and clipped to its
    bounds; ``env.unwrapped.observation_names`` names the entries. ``endpoints``: the same values as
    a ``Dict`` of arrays, for networks that share weights over endpoints:

    * ``endpoints`` [E, 6 G + 8]: per VM type target, active, pending and time to ready, draining,
      unmet; then utilisation, KV, queued work, queued requests, running sequences, TTFT p95 over
      its objective, attainment, ceiling for batch work; two columns more where a tier has
      ``tpot_s``, one more with prefix caches.
    * ``demand`` [M, R, 15]: interactive and batch requests and prompt load, and output tokens, each
      over 1, 5 and 15 minutes.
    * ``models`` [M, 4]: batch backlog, its work and earliest deadline; requests that no endpoint
      can take.
    * ``regions`` [R, G (1 + M)]: idle VMs, and spot VMs by the model they hold.
    * ``routing`` [M, R, R]: shares or penalties in force.
    * ``globals`` [5]: elapsed share, time of day and of week.

    Columns, bounds and scales are rows of the table `sageserve_env.observe.FEATURES`. Nothing of
    the future is in it, and no output length of a request that has not finished, except through the
    KV memory that is reserved for it (``kv_policy: reservation``). ``env.unwrapped.view()`` gives
    the same information as a `ClusterView` of named arrays, for agents that are not networks.

    ## Rewards

    ``dollars`` (default): minus dollars over ``scenario.reward.scale_usd``: billed VMs, a charge
    per tier for each request that is known to have missed its objective, cross-region transfer,
    and at the end the work that is left at twice its VM price. ``info["reward_terms"]`` has the
    terms.
    Others: ``paper``, ``constrained``, ``vector`` or any `sageserve_env.rewards.Reward`;
    ``vector_reward=True`` returns the terms as a vector in MO-Gymnasium's form. ``info["cost"]`` is
    the number of requests that became known as missed in the step, ``info["cost_budget"]`` the
    number that the tiers' targets allow for the requests judged in it.

    ## Starting State

    The scenario's initial fleet is active and no request is in the system. ``reset(seed=s)`` fixes
    the generated trace, the assignment of models, regions and tiers, and all randomness of the
    simulator; seeds 0-999 are for training, 1000-1999 for validation, 2000-2999 for tests. Without
    a seed a training seed is drawn. ``options={"trace_seed": n}`` forces the trace. With
    ``start="random"`` the episode begins at a random decision time of the trace.

    ## Episode End

    ``terminated`` is always False. ``truncated`` is True at the horizon, which is shortened by a
    trace that ends earlier.

    ## Information

    ``reset`` and ``step`` give the same keys with arrays or NumPy scalars; two arrays can be read
    by name like dictionaries (`sageserve_env.named.Named`):

    * ``trace_seed``: seed of the trace.
    * ``reward_terms``: the terms of the step's reward by name; zeros at a reset.
    * ``cost``, ``cost_budget``: requests that became known as missed, and how many of those judged
      in the step the tiers' targets allow to.
    * ``episode_metrics``: figures of the episode by name (``cost_usd`` and so on: GPU-hours,
      attainment and latencies per tier) at its end, 0 before it.
    * ``action_mask``: with discrete actions, which choices lead somewhere.

    Names and texts are attributes of ``env.unwrapped``: ``action_names``, ``observation_names``,
    ``reward.names``, ``scenario.name``, ``workload.trace.name``.

    ## Arguments

    ```python
    import gymnasium as gym, sageserve_env
    env = gym.make("SageServe-v1", control="scaling+batch", policy={"discipline": "triage"})
    ```

    * ``scenario`` (``"global-day"``): name, YAML file or `Scenario`.
    * ``trace`` (None): name, file or `TraceSource`; None takes the scenario's workload.
    * ``decision_interval_s``, ``horizon_s`` (None): override the scenario's.
    * ``start`` (``"fixed"``): ``fixed`` or ``random``; ``start_s`` (0): begin that much later in
      the trace.
    * ``action_mode`` (``"continuous"``): ``continuous``, ``discrete`` or ``structured``.
    * ``control`` (``"joint"``): ``joint`` for all that has an effect, or ``scaling``, ``routing``,
      ``batch``, ``admission``, ``weights`` (and ``discipline``, structured only), several with
      ``+``.
    * ``policy`` (None): values of knobs that are not decided, such as ``{"router":
      "least_wait_kv", "discipline": "triage", "niw_release": 0.5}``; of weights, what changes for
      every model, as ``{"router_weights": {"running": 0.4}}``.
    * ``targets`` (``"absolute"``): form of continuous targets: ``absolute``, ``delta`` (a change
      of the target in force) or ``load`` (a multiple of the load).
    * ``clip_actions`` (False): clip actions to the space instead of refusing them.
    * ``observation_mode`` (``"flat"``): ``flat`` or ``endpoints``.
    * ``reward`` (``"dollars"``): name or object; ``vector_reward`` (False): return its terms as a
      vector.
    * ``render_mode`` (None): ``ansi``, ``rgb_array`` or ``human``.

    An unknown argument raises ``TypeError``, an unusable one ``ValueError``.

    ## Version History

    * v1: `global-day` and the scenarios of its world; the paper's have ids of their own.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as the base class declares it
        "render_modes": list(RENDER_MODES),
        "render_fps": 4,
    }

    def __init__(
        self,
        scenario: str | Path | Scenario = DEFAULT_SCENARIO,
        trace: str | Path | TraceSource | TraceSpec | None = None,
        decision_interval_s: float | None = None,
        horizon_s: float | None = None,
        start: str = "fixed",
        action_mode: str = "continuous",
        control: str = "joint",
        policy: Mapping[str, Any] | None = None,
        targets: str = "absolute",
        clip_actions: bool = False,
        observation_mode: str = "flat",
        reward: str | Reward = "dollars",
        vector_reward: bool = False,
        render_mode: str | None = None,
        start_s: float = 0.0,
        **unknown: Any,
    ) -> None:
        given = locals()
        self._keywords: dict[str, Any] = {key: given[key] for key in KEYWORDS}
        for key in unknown:
            raise TypeError(unknown_keyword_message(key, KEYWORDS, "SageServeEnv.__init__()"))
        self.render_mode = checked_mode(render_mode)
        asked = adjusted(load_scenario(scenario), decision_interval_s, horizon_s)
        self._workloads = Workloads(asked, trace, start=start, start_s=start_s)
        self.scenario = self._workloads.scenario

        self._mode = make_action_mode(
            action_mode,
            decided(self.scenario, action_mode, control, policy, targets),
            checked_flag(clip_actions, "clip_actions"),
        )
        self.layout = Layout(self.scenario, observation_mode)
        self.action_space = self._mode.space
        self.observation_space = self.layout.space
        self.action_names = self._mode.names
        self.action_owners = self._mode.owners
        self.action_changes = self._mode.changes
        self.no_change = self._mode.no_change
        self.clip_actions = self._mode.clip
        self.observation_names = self.layout.names

        self.reward = make_reward(reward)
        if checked_flag(vector_reward, "vector_reward") and not self.reward.vector:
            self.reward = Vector(self.reward)
        self.reward.bind(self.scenario)
        if self.reward.vector:
            size = (len(self.reward.names),)
            self.reward_space = gym.spaces.Box(-np.inf, np.inf, size, np.float32)
            self.reward_dim = size[0]

        self._simulator = Simulator(self.scenario, self._workloads.theta())
        self._buffers = build_buffers(
            self.scenario,
            self._simulator.initial_fleet(),
            default_routing(self.scenario, self.scenario.routing.router),
        )
        self._units = Units(self.scenario, self._simulator.theta)
        self._scaling = self.layout.scaling(self._units)
        self._renderer = Renderer(self.scenario, render_mode) if render_mode else None
        self._interval_s = self.scenario.decision_interval_s
        self._accounts = Accounts(self.scenario, self.reward)
        self._workload: Workload | None = None
        self._steps = 0
        self._over = True

    # -- step -----------------------------------------------------------------------------------

    def step(self, action: Any) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Put an action into force and simulate to the next decision time.

        Args:
            action: An element of ``action_space``.

        Raises:
            ValueError: If the action is not one; nothing has changed then.
        """
        self._simulate(self.begin_step(action))
        return self.end_step()

    def step_cluster(
        self, action: ClusterAction
    ) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Do the same as `step` with a decision given directly, whatever the action mode.

        Raises:
            ValueError: If the decision does not fit the scenario; nothing has changed then.
        """
        self._require_episode()
        self._simulator.apply(self._mode.completed(action))
        self._simulate(IN_FORCE)
        return self.end_step()

    def end_step(self) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Return what `step` returns, after the simulation of the step."""
        self._close_step()
        left = self._simulator.unfinished() if self._over else None
        change = self._accounts.change(self._buffers.totals.tolist(), left)
        value = self._accounts.book(change)
        info = self._info()
        if self._renderer is not None:
            self._renderer.record(self._simulator, change, value)
        observation = self.layout.present(self._scaling.observation)
        return observation, value, False, self._over, info

    def _info(self) -> dict[str, Any]:
        """Return the info of a step or a reset, which have the same keys."""
        info = self._accounts.info(self.episode_metrics().values() if self._over else None)
        if len(self._mode.decoder.mask):
            info["action_mask"] = self._mode.decoder.mask.copy()
        return info

    # -- reset ----------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Fixes the trace and all randomness of the simulator; None draws a training seed.
            options: ``{"trace_seed": n}`` forces the seed of the trace.

        Raises:
            ValueError: If the seed or an option is wrong; nothing has changed then.
        """
        trace_seed, seed = forced_trace_seed(options), checked_seed(seed)
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(TRAIN_SEEDS))
        simulator_seed = drawn if seed is None else seed
        if trace_seed is None:
            trace_seed = simulator_seed
        workload = self._workloads.make(trace_seed, self.np_random)
        self._simulator.reset(workload.trace, simulator_seed, offset_s=workload.offset_s)
        self._begin(workload)
        self._steps, self._over = 0, False
        self._look()
        self._open_books(trace_seed, self._buffers.totals.tolist())
        if self._renderer is not None:
            self._renderer.start(self._simulator)
        return self.layout.present(self._scaling.observation), self._info()

    def _begin(self, workload: Workload) -> None:
        """Tell the survey about the calendar of an episode."""
        self._workload = workload
        self._simulator.set_calendar(workload.horizon_s)

    def _open_books(self, trace_seed: int, totals: list[float], reward: float = 0.0) -> None:
        self._accounts.begin(trace_seed, totals, reward)
        if not self._accounts.metric_names:
            self._accounts.metric_names = tuple(self.episode_metrics())

    # -- looking --------------------------------------------------------------------------------

    def view(self) -> ClusterView:
        """Return what a controller may see, as named arrays."""
        self._require_episode(over=True)
        return self._simulator.view(self._interval_s)

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which discrete choices lead somewhere, flat (the convention of SB3-Contrib).

        Raises:
            ValueError: If the actions are not discrete.
        """
        if not len(self._mode.decoder.mask):
            raise ValueError("action_masks: needs action_mode='discrete'")
        return self._mode.decoder.mask.copy()

    def episode_metrics(self) -> dict[str, float | int]:
        """Return the figures of the episode up to now, named as in the result tables."""
        self._require_episode(over=True)
        return {**self._simulator.episode_metrics(), "reward": self._accounts.total_reward}

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of ``info["episode_metrics"]``; empty before the first reset."""
        return self._accounts.metric_names

    @property
    def flat_observation(self) -> NDArray[np.float32]:
        """The flat observation in force, whatever the observation mode; not a copy."""
        return np.asarray(self._scaling.observation)

    @property
    def unit_rate(self) -> NDArray[np.float64]:
        """Prompt tokens per second that a load of 1 in the observation stands for, [M, R]."""
        return self._units.unit_rate

    @property
    def simulator(self) -> Simulator:
        """The simulator, for inspection."""
        return self._simulator

    @property
    def workload(self) -> Workload:
        """What the current episode is played on: scenario, trace and start."""
        self._require_episode(over=True)
        assert self._workload is not None
        return self._workload

    def history(self) -> DemandSeries:
        """Return the demand before time 0 as agents are told it, in bins of a minute."""
        return self.workload.history()

    def render(self) -> Any:
        """Return a table (``ansi``) or an image (``rgb_array``), or update the window."""
        if self._renderer is None:
            warn_of_no_mode(self.spec)
            return None
        self._require_episode(over=True)
        return self._renderer.render(self._simulator)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._renderer is not None:
            self._renderer.close()

    # -- going back -----------------------------------------------------------------------------

    def snapshot(self) -> EnvSnapshot:
        """Return a copy of everything that decides how the episode goes on."""
        self._require_episode(over=True)
        assert self._workload is not None
        return EnvSnapshot(
            self._simulator.snapshot(),
            self._workload,
            self._steps,
            list(self._accounts.totals),
            self._accounts.total_reward,
            self._accounts.trace_seed,
            dict(self.np_random.bit_generator.state),
        )

    def restore(self, snapshot: EnvSnapshot) -> Observation:
        """Return to a snapshot, of this environment or one made alike; gives the observation.

        Raises:
            ValueError: If it is one of another cluster; nothing has changed then.
        """
        if not isinstance(snapshot, EnvSnapshot):
            raise ValueError(f"restore: expected a snapshot, got {type(snapshot).__name__}")
        self._simulator.require_own(snapshot.simulator)
        workload, simulator = snapshot.workload, self._simulator
        same = self._workload is not None and self._workload == workload
        if not same:
            simulator.feed = Feed(
                workload.trace, self.scenario, workload.offset_s, ahead=simulator.read_ahead
            )
        simulator.restore(snapshot.simulator)
        self._begin(workload)
        self._steps = snapshot.steps
        self._over = simulator.time_s >= workload.horizon_s
        self.np_random.bit_generator.state = snapshot.random_state
        self._look()
        self._open_books(snapshot.trace_seed, list(snapshot.totals), snapshot.total_reward)
        return self.layout.present(self._scaling.observation)

    def observe_into(self, row: NDArray[np.float32]) -> None:
        """Keep the flat observation in ``row`` from now on (a row of a vector environment)."""
        row[:] = self._scaling.observation
        self._scaling.put("observation", row)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments and, within an episode, a snapshot."""
        snapshot = None if self._workload is None else self.snapshot()
        return rebuilt, (type(self), self._keywords, self.spec, snapshot)


KEYWORDS = tuple(
    name
    for name, parameter in inspect.signature(SageServeEnv.__init__).parameters.items()
    if name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
)
