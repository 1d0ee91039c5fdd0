"""The survey: everything that can be seen of a state, as named arrays, in one pass without the GIL.

`Raw` has one array for every field of `ClusterView` but the minutes since time 0, under the same
name and with the same axes, all float64 and all of them parts of one array, ``flat``. A view is a
copy of it, an observation (`sageserve_env.observe`) a scaling of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sageserve_env.options import ROUTERS
from sageserve_env.scenario import Scenario
from sageserve_env.simulator._handle import Handle
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import (
    COLD,
    INFINITY,
    LOADING,
    NONE,
    PROVISIONING,
    SHARES,
    SPOT,
)
from sageserve_env.simulator.counters import (
    plan,
    read_counters,
)
from sageserve_env.simulator.metrics import RATIO_BUCKETS, WINDOW_MINUTES, fresh
from sageserve_env.simulator.scoring import be_current
from sageserve_env.simulator.signals import seen_utilisation, turn_ring
from sageserve_env.simulator.slots import first_held
from sageserve_env.simulator.state import State
from sageserve_env.view import SOURCES, WINDOWS_S, ClusterView, sizes

Array = np.ndarray[Any, Any]

PENALTY_UNIT_S = 2.0  # routing penalty that is observed as 1
WINDOW_BINS = tuple(int(w / 60.0) for w in WINDOWS_S)
_F8, _I8 = np.dtype(np.float64), np.dtype(np.int64)


@dataclass(frozen=True)
class OwnSource:
    """An array that is surveyed beside those of `ClusterView`.

    Attributes:
        axes: Its axes, as letters (see `sageserve_env.view`).
        read: Returns it from a state; called at every decision, in Python.
    """

    axes: str
    read: Callable[[State], ArrayLike]


#: Sources that were registered from outside, by name.
OWN_SOURCES: dict[str, OwnSource] = {}


class Raw(Handle):
    """The surveyed arrays of one scenario; axes as in `SOURCES`.

    Attributes:
        calendar: Hour of the day (UTC) at which the trace begins, where in it time 0 is in seconds,
            the weekday of its begin, and the most sequences of an instance, f8 [4].
        flat: All arrays in the order of `SOURCES`, those of `OWN_SOURCES` behind them.
        own: The arrays of `OWN_SOURCES`, by name.
        recent: Place in ``flat`` and counters of the last minutes, i8 [arrays, 3] (`counters`).
        total: Place, size, counter and strides of what is counted since time 0, i8 [arrays, 6].
    """

    calendar: Array
    flat: Array
    own: dict[str, Array]
    recent: Array
    total: Array

    FIELDS = (
        ("calendar", _F8, 1),
        ("flat", _F8, 1),
        ("recent", _I8, 2),
        ("total", _I8, 2),
        *((s.name, _F8, max(1, len(s.axes))) for s in SOURCES.values() if "T" not in s.axes),
    )

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Array:
            """Every array of `SOURCES`."""


def shapes(scenario: Scenario) -> dict[str, tuple[int, ...]]:
    """Return the shape of every surveyed array, in the order of ``flat``."""
    length = sizes(
        len(scenario.models),
        len(scenario.regions),
        len(scenario.pools),
        len(scenario.gpus),
        len(scenario.tiers),
    )
    axes = {name: s.axes for name, s in SOURCES.items() if "T" not in s.axes}
    axes |= {name: own.axes for name, own in OWN_SOURCES.items()}
    return {name: tuple(length[a] for a in letters) for name, letters in axes.items()}


def build_raw(scenario: Scenario, theta: NDArray[np.float64]) -> Raw:
    """Return the arrays of a scenario, all 0 but what never changes."""
    shape = shapes(scenario)
    size = {name: int(np.prod(s, dtype=np.int64)) for name, s in shape.items()}
    flat = np.zeros(sum(size.values()))
    calendar = np.array([0.0, 0.0, 0.0, scenario.batching.max_sequences])
    begun = np.cumsum([0, *size.values()]).tolist()
    places = {name: (begun[i], shape[name] or (1,)) for i, name in enumerate(shape)}

    def part(whole: Array, name: str) -> Array:
        start, lengths = places[name]
        return whole[start : start + size[name]].reshape(lengths)

    own = [*OWN_SOURCES]
    usual = [name for name in shape if name not in OWN_SOURCES]
    raw = Raw(
        calendar=calendar,
        flat=flat,
        **plan(places),
        **{name: part(flat, name) for name in usual},
    )
    for name in usual:  # a handle copies what it is given
        raw.put(name, part(raw.flat, name))
    raw.own = {name: part(raw.flat, name) for name in own}
    raw.theta[:] = theta
    raw.inventory[:] = scenario.inventory
    raw.horizon_s[:] = scenario.horizon_s
    raw.interval_s[:] = scenario.decision_interval_s
    raw.tpot_attainment[:] = 1.0
    return raw


def look(s: State, raw: Raw) -> None:
    """Survey a state, the sources that were registered from outside included."""
    survey(s, raw)
    read_own(s, raw)


def read_own(s: State, raw: Raw) -> None:
    """Fill the arrays of `OWN_SOURCES`."""
    for name, array in raw.own.items():
        array[...] = np.asarray(OWN_SOURCES[name].read(s), dtype=np.float64).reshape(array.shape)


def view_of(raw: Raw, router: int, past: NDArray[np.float64]) -> ClusterView:
    """Return a copy of surveyed arrays as a view.

    Args:
        raw: The arrays.
        router: Code of the router in force.
        past: Demand by minute since time 0, [T, M, R, K, 3]; not copied.
    """
    values: dict[str, Any] = {}
    for name, source in SOURCES.items():
        if "T" in source.axes:
            continue
        array = getattr(raw, name)
        if not source.axes:
            values[name] = float(array[0])
        else:
            values[name] = array.astype(np.int64) if source.whole else array.copy()
    return ClusterView(
        **values,
        demand_requests=past[..., 0],
        demand_prompt_tokens=past[..., 1],
        demand_output_tokens=past[..., 2],
        router=ROUTERS[router],
        extra={name: array.copy() for name, array in raw.own.items()},
    )


def put_view(raw: Raw, view: ClusterView) -> None:
    """Fill the arrays from a view.

    Raises:
        ValueError: If the view lacks an array, or one has another shape.
    """
    given = {name: getattr(view, name) for name, s in SOURCES.items() if "T" not in s.axes}
    given |= {name: view.extra.get(name, np.zeros(0)) for name in raw.own}
    for name, value in given.items():
        array = raw.own[name] if name in raw.own else getattr(raw, name)
        value = np.asarray(value, dtype=np.float64)
        if value.size != array.size:
            raise ValueError(
                f"view: {name} has shape {value.shape}, expected {array.shape}; "
                "take the view from an environment of the same scenario"
            )
        array[...] = value.reshape(array.shape)


@jit
def survey(s: State, raw: Raw) -> None:
    """Fill the arrays of `SOURCES` from a state."""
    now_s = s.clock[0].now_s
    for e in range(s.endpoint.shape[0]):
        be_current(s, e, now_s)
    _time(raw, now_s)
    _fleet(s, raw, now_s)
    _service(s, raw, now_s)
    read_counters(s, raw.recent, raw.total, raw.flat, now_s)
    _demand(s, raw, now_s)
    _models(s, raw, now_s)
    scale = 1.0 if s.config[0].router == SHARES else PENALTY_UNIT_S
    for m in range(s.routing.shape[0]):
        for origin in range(s.routing.shape[1]):
            for r in range(s.routing.shape[2]):
                raw.routing[m, origin, r] = s.routing[m, origin, r]
                raw.routing_level[m, origin, r] = s.routing[m, origin, r] / scale


@jit
def _time(raw: Raw, now_s: float) -> None:
    """Time of the episode, of the day and of the week."""
    raw.time_s[0] = now_s
    raw.elapsed[0] = now_s / raw.horizon_s[0]
    clock_h = raw.calendar[0] + (raw.calendar[1] + now_s) / 3600.0
    raw.hour_of_day[0] = clock_h % 24.0
    raw.weekday[0] = (raw.calendar[2] + clock_h / 24.0) % 7.0


@jit
def _fleet(s: State, raw: Raw, now_s: float) -> None:
    """Instances, queues and free VMs, in one pass over the VMs."""
    for e in range(s.target.shape[0]):
        raw.queued_prompt_tokens[e] = 0.0
        raw.queued_requests[e] = 0.0
        raw.running[e] = 0.0
        raw.niw_release[e] = s.endpoint[e].release
        for g in range(s.target.shape[1]):
            raw.target[e, g] = s.target[e, g]
            raw.active[e, g] = s.active[e, g]
            raw.pending[e, g] = s.pending[e, g]
            raw.draining[e, g] = s.draining[e, g]
            raw.unmet[e, g] = s.unmet[e, g]
            raw.pending_ready_s[e, g] = INFINITY
    for r in range(raw.idle_vms.shape[0]):
        for g in range(raw.idle_vms.shape[1]):
            raw.idle_vms[r, g] = 0.0
            for m in range(raw.spot_vms.shape[0]):
                raw.spot_vms[m, r, g] = 0.0
    for v in range(s.vm.shape[0]):
        vm = s.vm[v]
        e, g = vm.endpoint, vm.gpu
        if vm.state == COLD:
            raw.idle_vms[vm.region, g] += 1.0
        elif vm.state == SPOT:
            if now_s < vm.fade_s:
                raw.spot_vms[vm.model, vm.region, g] += 1.0
            else:
                raw.idle_vms[vm.region, g] += 1.0
        if e != NONE:
            raw.queued_requests[e] += vm.n_waiting + vm.n_prefilling
            raw.running[e] += vm.n_running
            raw.queued_prompt_tokens[e] += vm.queued_tokens
            if vm.state == PROVISIONING or vm.state == LOADING:
                raw.pending_ready_s[e, g] = min(raw.pending_ready_s[e, g], vm.event_s - now_s)
    for e in range(s.target.shape[0]):
        active = 0
        for g in range(s.target.shape[1]):
            active += s.active[e, g]
            if raw.pending_ready_s[e, g] == INFINITY:
                raw.pending_ready_s[e, g] = 0.0
        tokens, theta = raw.queued_prompt_tokens[e], s.endpoint[e].theta
        raw.queued_s[e] = tokens / theta if theta > 0.0 else 60.0 * tokens
        raw.running_share[e] = raw.running[e] / (raw.calendar[3] * max(1, active))


@jit
def _service(s: State, raw: Raw, now_s: float) -> None:
    """Utilisation as seen, KV utilisation, and TTFT p95 ratio and attainment of 5 minutes."""
    minute = int(now_s / 60.0)
    for e in range(s.endpoint.shape[0]):
        endpoint = s.endpoint[e]
        turn_ring(s, e, now_s)
        used = seen_utilisation(s, e, now_s)
        raw.utilisation[e] = used if used < INFINITY else 0.0
        raw.kv_utilisation[e] = 0.0
        if endpoint.kv_capacity > 0:
            raw.kv_utilisation[e] = endpoint.kv_used / endpoint.kv_capacity
        last = int(s.window_minute[e])
        raw.ttft_p95_ratio[e] = _tail(s.window, e, minute, last)
        raw.slo_attainment[e] = _in_time(s.window, e, minute, last)
        if s.config[0].tpot == 1:
            raw.tpot_p95_ratio[e] = _tail(s.tpot_window, e, minute, last)
            raw.tpot_attainment[e] = _in_time(s.tpot_window, e, minute, last)


@jit
def _in_time(window: Array, e: int, minute: int, last: int) -> float:
    """Share of an endpoint's window that is within the objective, 1 if it is empty."""
    total, good = 0, 0
    for row in range(WINDOW_MINUTES):
        if fresh(row, minute, last):
            for i in range(RATIO_BUCKETS):
                total += window[e, row, i]
                if i < RATIO_BUCKETS // 2:
                    good += window[e, row, i]
    return good / total if total > 0 else 1.0


@jit
def _tail(window: Array, e: int, minute: int, last: int) -> float:
    """95th percentile of an endpoint's window, 0 if it is empty."""
    total = 0
    for row in range(WINDOW_MINUTES):
        if fresh(row, minute, last):
            for i in range(RATIO_BUCKETS):
                total += window[e, row, i]
    if total == 0:
        return 0.0
    rest = total - int(total * 0.95)
    i = RATIO_BUCKETS
    while rest > 0 and i > 0:
        i -= 1
        for row in range(WINDOW_MINUTES):
            if fresh(row, minute, last):
                rest -= window[e, row, i]
    return float(2.0 ** (i // 8 - 4) * (1.0 + (i % 8 + 0.5) / 8.0))


@jit
def _demand(s: State, raw: Raw, now_s: float) -> None:
    """Rates over the windows; the minute that has begun counts with the time it has lasted."""
    end = min(math.ceil(now_s / 60.0), s.demand.shape[0])
    first, windows = max(0, end - WINDOW_BINS[-1]), len(WINDOW_BINS)
    for m in range(s.demand.shape[1]):
        for r in range(s.demand.shape[2]):
            for k in range(s.demand.shape[3]):
                requests, prompt, output = 0.0, 0.0, 0.0
                w, t = 0, end
                while w < windows:
                    while t > max(first, end - WINDOW_BINS[w]):
                        t -= 1
                        requests += s.demand[t, m, r, k, 0]
                        prompt += s.demand[t, m, r, k, 1]
                        output += s.demand[t, m, r, k, 2]
                    over_s = now_s - 60.0 * t if now_s > 60.0 * t else INFINITY
                    raw.request_rate[w, m, r, k] = requests / over_s
                    raw.prompt_rate[w, m, r, k] = prompt / over_s
                    raw.output_rate[w, m, r, k] = output / over_s
                    w += 1


@jit
def _models(s: State, raw: Raw, now_s: float) -> None:
    """Non-interactive work that is held, and requests that no endpoint can take."""
    latest = 0.0
    for k in range(s.tier.shape[0]):
        latest = max(latest, s.tier[k].objective_s)
    for m in range(s.model.shape[0]):
        model = s.model[m]
        lane = first_held(s, m, NONE)
        raw.niw_backlog[m] = model.n_held
        for k in range(s.tier.shape[0]):
            raw.admission_s[m, k] = s.admission[m, k]
        raw.niw_backlog_tokens[m] = model.held_tokens
        raw.niw_work_s[m] = model.held_tokens / s.profile[model.reference].theta
        raw.global_queue[m] = model.n_global
        raw.niw_deadline_s[m] = latest
        if lane != NONE:
            first = s.request[s.held[m, lane].head]
            raw.niw_deadline_s[m] = first.arrival_s + first.objective_s - now_s
