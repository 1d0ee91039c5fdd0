"""The facade: reset, apply, advance, look, snapshot. Everything else is arrays and kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sageserve_env.actions import ClusterAction
from sageserve_env.entries import (
    default_admission,
    default_discipline_weights,
    default_routing,
    initial_fleet,
)
from sageserve_env.knobs import KNOBS
from sageserve_env.policies import DISCIPLINES, ROUTERS
from sageserve_env.scenario import Scenario
from sageserve_env.simulator import apart, codes, invariants, producer, summary
from sageserve_env.simulator.build import (
    ARRIVALS,
    DEMAND_BIN_S,
    EMPTY,
    MOST_REQUESTS,
    RECORD_COLUMNS,
    build_state,
    grow_slots,
)
from sageserve_env.simulator.decide import put_array
from sageserve_env.simulator.feed import Feed, FeedPosition
from sageserve_env.simulator.fleet import activate, reconcile
from sageserve_env.simulator.parts import advance
from sageserve_env.simulator.prefix import trie_array
from sageserve_env.simulator.scoring import refresh_scores, set_discipline, set_router
from sageserve_env.simulator.state import THINKING, State
from sageserve_env.simulator.survey import build_raw
from sageserve_env.view import ClusterView
from sageserve_traces.source import TraceSource


@dataclass(frozen=True)
class Snapshot:
    """A copy of the whole state of a simulation, and what it is a simulation of."""

    state: State
    position: FeedPosition
    config_hash: str = ""
    theta: tuple[float, ...] = ()
    records: bool = False


class Simulator:
    """A request-level, event-driven simulation of one cluster.

    Args:
        scenario: The cluster.
        theta: Sustained prompt tokens per second of one instance, [M, G] (see `capacity`).
        records: Keep TTFT, E2E and place of every request.

    Attributes:
        read_ahead: Make the next piece of the trace in a thread while the engine works; changes no
            result. Takes effect at the next reset.
        threads: Simulate models in so many threads where they can be simulated one by one; changes
            no result. Takes effect at the next reset.
    """

    def __init__(
        self, scenario: Scenario, theta: NDArray[np.float64], *, records: bool = False
    ) -> None:
        self.scenario = scenario
        self.theta = np.asarray(theta, dtype=np.float64)
        self.keep_records = records
        self.read_ahead = producer.pays()
        self.threads = apart.threads_by_default()
        shape = (len(scenario.models), len(scenario.gpus))
        if self.theta.shape != shape or not (self.theta[scenario.compatible] > 0).all():
            raise ValueError(f"theta: expected positive numbers of shape {shape}")
        self._low = np.full((len(scenario.endpoints), 1), scenario.min_instances)
        self._neutral: dict[tuple[str, str], dict[str, NDArray[np.float64]]] = {}
        self.raw = build_raw(scenario, self.theta)
        self.state: State
        self.feed: Feed

    if not TYPE_CHECKING:  # a type checker would then allow any name

        def __getattr__(self, name: str) -> NoReturn:
            """Say what to do where the state is asked for before there is one."""
            if name in ("state", "feed"):
                raise RuntimeError("the simulation has not started: call reset() first")
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    # -- episode --------------------------------------------------------------------------------

    def reset(
        self,
        trace: TraceSource,
        seed: int = 0,
        *,
        offset_s: float = 0.0,
        initial: NDArray[np.int64] | None = None,
    ) -> None:
        """Start at time 0 with the initial fleet active and no request in the system.

        Args:
            trace: Requests; time 0 is ``offset_s`` of the trace.
            seed: Seed of jitter, faults and randomised balancing.
            offset_s: Start within the trace.
            initial: Active instances at the start, [E, G]; default from the scenario.

        Raises:
            ScenarioError: If the trace does not fit the scenario, or the inventory is too small.
        """
        feed = Feed(trace, self.scenario, offset_s, ahead=self.read_ahead)
        minutes = int(np.ceil(self.scenario.horizon_s / DEMAND_BIN_S)) + 1
        state = build_state(self.scenario, self.theta, seed, minutes)
        state.config[0]["keep_records"] = int(self.keep_records)
        if feed.prefixes is not None:
            state.put("trie", trie_array(feed.prefixes.parent, feed.prefixes.depth))
        if feed.sessions is not None:
            state.config[0]["closed"] = 1
            state.put("turn", feed.sessions.turns)
            state.put("thinking", np.zeros(feed.sessions.sessions + 2, dtype=THINKING))
        state.routing[:] = default_routing(self.scenario, self.scenario.routing.router)
        state.admission[:] = default_admission(self.scenario)
        state.config[0]["admission"] = int(np.isfinite(state.admission).any())
        self.state, self.feed = state, feed
        self._share()
        self.set_calendar()
        self._start_fleet(self.initial_fleet() if initial is None else np.asarray(initial))

    def set_calendar(self, horizon_s: float | None = None) -> None:
        """Tell the survey when time 0 is, and when the episode ends (by default the scenario's)."""
        source = self.feed.source
        start = (source.start_hour_utc, self.feed.offset_s, source.start_weekday)
        self.raw.calendar[:3] = start
        self.raw.horizon_s[0] = self.scenario.horizon_s if horizon_s is None else horizon_s

    def _share(self) -> None:
        """Tell the event loop whether there are threads for its models."""
        self.state.config[0]["shared"] = int(self.threads > 1)

    def initial_fleet(self) -> NDArray[np.int64]:
        """Return the scenario's initial instances, [E, G], as far as the inventory goes."""
        return initial_fleet(self.scenario)

    def _start_fleet(self, fleet: NDArray[np.int64]) -> None:
        state, s = self.state, self.scenario
        free = state.vm["state"] == codes.COLD
        for e, endpoint in enumerate(s.endpoints):
            m, r = s.models.index(endpoint.model), s.region_names.index(endpoint.region)
            for g in range(len(s.gpus)):
                here = (state.vm["region"] == r) & (state.vm["gpu"] == g)
                found = np.flatnonzero(free & here)[: fleet[e, g]]
                if len(found) < fleet[e, g]:
                    raise ValueError(f"initial fleet: too few {s.gpus[g]} VMs in {endpoint.region}")
                free[found] = False
                for v in found:
                    vm = state.vm[v]
                    vm["model"], vm["endpoint"] = m, e
                    vm["profile"] = m * len(s.gpus) + g
                    vm["kv_capacity"] = s.kv_capacity_tokens[m, g]
                    state.weights_s[m, r] = -np.inf
                    activate(state, int(v), 0.0)
        state.target[:] = fleet

    # -- control --------------------------------------------------------------------------------

    @property
    def time_s(self) -> float:
        """Seconds since the start of the episode."""
        return float(self.state.clock[0]["now_s"])

    def apply(self, action: ClusterAction) -> None:
        """Put a decision into force now.

        Raises:
            ValueError: If the action does not fit the scenario; nothing has changed then.
        """
        s, state = self.scenario, self.state
        if not isinstance(action, ClusterAction):
            raise ValueError(f"action: expected a ClusterAction, got {type(action).__name__}")
        action = action.validate(s)
        router = action.router or s.routing.router
        set_router(state, ROUTERS.index(router))
        discipline = action.discipline or s.batching.discipline
        set_discipline(state, DISCIPLINES.index(discipline))
        neutral = self._neutral_values(router, discipline)
        for knob in KNOBS:
            if knob.name in neutral:
                value = getattr(action, knob.name)
                array = neutral[knob.name] if value is None else _with_three_axes(value)
                put_array(state, knob.code, array)
        refresh_scores(state)
        state.target[:] = self.clip_targets(action.instances)
        reconcile(state, self.time_s)

    def _neutral_values(self, router: str, discipline: str) -> dict[str, NDArray[np.float64]]:
        """Return what is in force where nobody decides, by knob with axes but the targets; kept."""
        key = (router, discipline)
        if key not in self._neutral:
            self._neutral[key] = {
                knob.name: _with_three_axes(
                    default_discipline_weights(self.scenario, discipline)
                    if knob.name == "discipline_weights"
                    else knob.neutral(self.scenario, router)
                )
                for knob in KNOBS
                if knob.axes and knob.name != "instances"
            }
        return self._neutral[key]

    def clip_targets(self, targets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return targets within the scenario's limits, [E, G]; VM types a model lacks get 0.

        What is missing to the minimum goes to the first VM type that the region has.
        """
        s = self.scenario
        per_model = np.repeat(s.compatible, len(s.endpoints) // len(s.models), axis=0)
        clipped = np.where(per_model, targets, 0)
        total = clipped.sum(axis=1)
        for e in np.flatnonzero(total < s.min_instances):
            types = s.usable[e] if s.usable[e].any() else per_model[e]
            clipped[e, np.argmax(types)] += s.min_instances - total[e]
        if s.max_instances is not None:
            for e in np.flatnonzero(total > s.max_instances):
                excess = int(total[e]) - s.max_instances
                for g in range(len(s.gpus))[::-1]:
                    cut = min(excess, int(clipped[e, g]))
                    clipped[e, g] -= cut
                    excess -= cut
        return np.minimum(clipped, 1_000_000)

    def advance(self, until_s: float) -> None:
        """Simulate up to and including ``until_s``.

        Raises:
            ValueError: If that is before the current time or not finite.
        """
        if not self.time_s <= until_s < np.inf:
            raise ValueError(
                f"advance: expected a finite time of at least the current {self.time_s} s, "
                f"got {until_s}"
            )
        while True:
            status = advance(self.state, float(until_s))
            if status == codes.DONE:
                return
            self.supply(status)

    def supply(self, status: int) -> None:
        """Give the event loop what it stopped for: slots, the next piece of the trace, threads."""
        if status == codes.APART:
            apart.simulate_apart(self.state, self.threads)
        elif status == codes.NEED_SLOTS:
            grow_slots(self.state)
        else:
            self._next_chunk()

    def _next_chunk(self) -> None:
        state = self.state
        clock = state.clock[0]
        clock["cursor"] = 0
        try:
            chunk = next(self.feed)
        except StopIteration:
            chunk = EMPTY
            clock["exhausted"] = 1
        for name, column in zip(ARRIVALS, chunk, strict=True):
            state.put(name, column)
        if len(state.part_clock):
            state.put("arrival_next", np.empty(len(chunk[0]), dtype=np.int32))
        need = int(clock["sequence"]) + len(chunk[0]) + len(state.turn)
        if need > MOST_REQUESTS:
            raise OverflowError(f"one simulation numbers at most {MOST_REQUESTS} requests")
        if self.keep_records and need > len(state.record):
            grown = np.full((max(need, 2 * len(state.record)), RECORD_COLUMNS), np.nan)
            grown[: len(state.record)] = state.record
            state.put("record", grown)

    # -- state ----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state; a restored run continues bit-identically."""
        return Snapshot(self.state.copy(), self.feed.position(), *self._identity())

    def restore(self, snapshot: Snapshot) -> None:
        """Return to a snapshot of this simulation, or of one made alike on the same trace.

        Raises:
            ValueError: If it is one of another cluster; nothing has changed then.
        """
        self.require_own(snapshot)
        self.feed.seek(snapshot.position)
        self.state = snapshot.state.copy()
        self._share()
        self.set_calendar(float(self.raw.horizon_s[0]))

    def require_own(self, snapshot: Snapshot) -> None:
        """Raise ``ValueError`` unless the snapshot is of a simulation made like this one.

        The kernels do not check indices, so they must never see the arrays of another cluster.
        """
        if not isinstance(snapshot, Snapshot):
            raise ValueError(f"restore: expected a snapshot, got {type(snapshot).__name__}")
        names = ("scenario", "theta", "records")
        own = self._identity()
        theirs = (snapshot.config_hash, snapshot.theta, snapshot.records)
        for name, mine, other in zip(names, own, theirs, strict=True):
            if mine != other:
                hashes = f" (hash {other or 'unknown'}, not {mine})" if name == "scenario" else ""
                raise ValueError(f"restore: the snapshot was made with another {name}{hashes}")

    def _identity(self) -> tuple[str, tuple[float, ...], bool]:
        """Return what decides the shapes and constants of a state."""
        return self.scenario.config_hash, tuple(self.theta.ravel().tolist()), self.keep_records

    def records(self) -> dict[str, NDArray[Any]]:
        """Return per-request results by position in the trace, NaN where not finished.

        Keys: ``ttft_s``, ``e2e_s`` (both with network latency), ``served_region``, ``endpoint``;
        with prefix caches also ``cached_tokens``, what was found at the first admission.
        """
        if not self.keep_records:
            raise ValueError("records: build the simulator with records=True")
        rows = self.state.record[: int(self.state.clock[0]["sequence"])]
        names = ["ttft_s", "e2e_s", "served_region", "endpoint"]
        if self.state.config[0]["prefix_tokens"]:
            names.append("cached_tokens")
        return {name: rows[:, i].copy() for i, name in enumerate(names)}

    # -- figures --------------------------------------------------------------------------------

    def view(self, interval_s: float | None = None) -> ClusterView:
        """Return what a controller may see now."""
        return summary.view(self, interval_s or self.scenario.decision_interval_s)

    def totals(self) -> summary.Totals:
        """Return costs and service since the start."""
        return summary.totals(self)

    def unfinished(self) -> summary.Unfinished:
        """Return the requests in the system, and those of them that are overdue."""
        return summary.unfinished(self)

    def episode_metrics(self) -> dict[str, float | int]:
        """Return the figures of the episode up to now, named as in the result tables."""
        return summary.episode_metrics(self)

    def check_invariants(self) -> None:
        """Raise ``AssertionError`` naming the first invariant that does not hold (slow)."""
        invariants.check(self)


def _with_three_axes(values: Any) -> NDArray[np.float64]:
    """Return the values of a knob as kernels take them."""
    array = np.ascontiguousarray(values, dtype=np.float64)
    return array.reshape(array.shape + (1,) * (3 - array.ndim))
