"""VM life cycle: scale-out by the capacity ladder, activation, draining, donation as spot.

Scale-out of an endpoint takes, in this order: a VM of its own that is draining (at once), a spot VM
that still holds the model (1 min), an idle VM or a spot VM with another model (10 min, or boot and
weights over bandwidth), and all of that only once the weights are in the region (up to 2 h the
first time). What a spot VM holds may fade. Scale-in cancels pending
instances first, the one that would be ready last first, then drains the active ones with the least
pending work. Everything pending, active or draining is billed.
"""

from __future__ import annotations

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.batching import is_empty
from sageserve_env.simulator.codes import (
    ACTIVE,
    COLD,
    DRAINING,
    INFINITY,
    LOADING,
    NONE,
    PROVISIONING,
    SPOT,
)
from sageserve_env.simulator.heaps import schedule, time_bits
from sageserve_env.simulator.metrics import bill
from sageserve_env.simulator.prefix import clear
from sageserve_env.simulator.rng import exponential, uniform
from sageserve_env.simulator.routing import drain_global
from sageserve_env.simulator.scoring import LARGEST, settle
from sageserve_env.simulator.state import State


@jit
def set_fault(s: State, v: int, now_s: float, rate: float) -> None:
    """Draw the time of the next crash or eviction of VM ``v``."""
    s.vm[v].fault_s = now_s + exponential(s, rate)
    if s.vm[v].fault_s < s.clock[0].next_fault_s:
        s.clock[0].next_fault_s = s.vm[v].fault_s
        s.clock[0].next_other_s = min(s.clock[0].next_other_s, s.vm[v].fault_s)


@jit
def join(s: State, v: int, now_s: float) -> None:
    """Let active VM ``v`` accept work: it becomes a member of its endpoint."""
    vm = s.vm[v]
    endpoint = s.endpoint[vm.endpoint]
    vm.member_pos = endpoint.n_members
    s.member[vm.endpoint, vm.member_pos] = v
    endpoint.n_members += 1
    endpoint.best = NONE
    endpoint.theta += s.profile[vm.profile].theta
    endpoint.kv_capacity += vm.kv_capacity
    settle(s, v, 0, 0)


@jit
def leave(s: State, v: int) -> None:
    """Take VM ``v`` out of the members of its endpoint."""
    vm = s.vm[v]
    endpoint = s.endpoint[vm.endpoint]
    endpoint.n_members -= 1
    endpoint.best = NONE
    last = endpoint.n_members
    place = vm.member_pos
    if place != last:
        s.member[vm.endpoint, place] = s.member[vm.endpoint, last]
        s.score[vm.endpoint, place] = s.score[vm.endpoint, last]
        s.jsq[vm.endpoint, place] = s.jsq[vm.endpoint, last]
        s.lower[vm.endpoint, place] = s.lower[vm.endpoint, last]
        s.boundary[vm.endpoint, place] = s.boundary[vm.endpoint, last]
        s.vm[s.member[vm.endpoint, place]].member_pos = place
    s.score[vm.endpoint, last] = LARGEST
    s.jsq[vm.endpoint, last] = LARGEST
    s.lower[vm.endpoint, last] = LARGEST
    s.boundary[vm.endpoint, last] = time_bits(INFINITY)
    vm.member_pos = NONE
    endpoint.kv_capacity -= vm.kv_capacity
    endpoint.kv_used -= vm.kv_used
    endpoint.queued_tokens -= vm.queued_tokens
    endpoint.theta -= s.profile[vm.profile].theta
    if endpoint.n_members == 0:
        endpoint.theta = 0.0


@jit
def become(s: State, v: int, state: int, now_s: float) -> None:
    """Bill VM ``v`` up to now and change its state, keeping the endpoint's counts."""
    vm = s.vm[v]
    bill(s, v, now_s)
    for side in range(2):
        change = 1 if side == 1 else -1
        if vm.endpoint != NONE:
            if vm.state == ACTIVE:
                s.active[vm.endpoint, vm.gpu] += change
            elif vm.state == DRAINING:
                s.draining[vm.endpoint, vm.gpu] += change
            elif vm.state == PROVISIONING or vm.state == LOADING:
                s.pending[vm.endpoint, vm.gpu] += change
        if side == 0:
            vm.state = state
            if state == COLD or state == SPOT or state > SPOT:
                vm.endpoint = NONE


@jit
def activate(s: State, v: int, now_s: float) -> None:
    """Bring the pending VM ``v`` into service."""
    c = s.config[0]
    vm = s.vm[v]
    become(s, v, ACTIVE, now_s)
    vm.slow = 1.0
    if c.slow_share > 0.0 and uniform(s) < c.slow_share:
        vm.slow = c.slow_factor
    if c.crash_per_s > 0.0:
        set_fault(s, v, now_s, c.crash_per_s)
    join(s, v, now_s)


@jit
def ready_event(s: State, v: int, now_s: float) -> None:
    """The scale-out of VM ``v`` is over: it is active, or has failed and is cold again."""
    c = s.config[0]
    vm = s.vm[v]
    schedule(s, v, INFINITY)
    if c.provision_failure > 0.0 and uniform(s) < c.provision_failure:
        become(s, v, COLD, now_s)
        vm.model = NONE
        s.clock[0].failed_scale_outs += 1
        s.clock[0].reconcile = 1
        return
    activate(s, v, now_s)
    drain_global(s, s.endpoint[vm.endpoint].model, now_s)


@jit
def jittered(s: State, delay_s: float) -> float:
    """Return a delay with its seeded jitter."""
    jitter = s.config[0].jitter
    if jitter == 0.0:
        return delay_s
    return float(delay_s) * float(1.0 + jitter * (2.0 * uniform(s) - 1.0))


@jit
def _find_vm(s: State, e: int, g: int, now_s: float) -> int:
    """Return the VM that endpoint ``e`` gets next by the ladder, or NONE."""
    m, r = s.endpoint[e].model, s.endpoint[e].region
    best, rank = NONE, 4
    for v in range(s.vm.shape[0]):
        vm = s.vm[v]
        if vm.region != r or vm.gpu != g:
            continue
        if vm.state == SPOT:
            mine = 1 if vm.model == m and now_s < vm.fade_s else 3
        elif vm.state == COLD:
            mine = 2
        else:
            continue
        if mine < rank:
            best, rank = v, mine
            if rank == 1:
                break
    return best


@jit
def _cancel_drain(s: State, e: int, g: int, now_s: float) -> bool:
    """Bring a draining VM of endpoint ``e`` back at once."""
    for v in range(s.vm.shape[0]):
        vm = s.vm[v]
        if vm.state == DRAINING and vm.endpoint == e and vm.gpu == g:
            become(s, v, ACTIVE, now_s)
            join(s, v, now_s)
            s.clock[0].drains_cancelled += 1
            return True
    return False


@jit
def scale_out(s: State, e: int, g: int, now_s: float) -> bool:
    """Start one more instance of endpoint ``e`` on type ``g``; False if no VM is free."""
    c = s.config[0]
    if _cancel_drain(s, e, g, now_s):
        drain_global(s, s.endpoint[e].model, now_s)
        return True
    v = _find_vm(s, e, g, now_s)
    if v == NONE:
        return False
    vm = s.vm[v]
    m, r = s.endpoint[e].model, s.endpoint[e].region
    state = LOADING
    if vm.state == SPOT and vm.model == m and now_s < vm.fade_s:
        delay = jittered(s, c.spot_same_model_s)
    else:
        if vm.state == COLD:
            state = PROVISIONING
        delay = jittered(s, s.start_s[m, g])
        if s.weights_s[m, r] == INFINITY:
            s.weights_s[m, r] = now_s + jittered(s, c.fetch_weights_s)
        delay = max(delay, s.weights_s[m, r] - now_s)
    bill(s, v, now_s)
    vm.fault_s = INFINITY
    vm.model = m
    vm.profile = m * s.target.shape[1] + g
    vm.kv_capacity = s.profile[vm.profile].kv_capacity
    vm.state = COLD
    vm.endpoint = e
    become(s, v, state, now_s)
    schedule(s, v, now_s + delay)
    s.clock[0].scale_outs += 1
    return True


@jit
def retire(s: State, v: int, now_s: float) -> None:
    """Donate VM ``v``, which has no work left, as spot capacity with its model loaded."""
    c = s.config[0]
    schedule(s, v, INFINITY)
    clear(s, v)
    become(s, v, SPOT, now_s)
    s.vm[v].fault_s = INFINITY
    s.vm[v].fade_s = now_s + exponential(s, c.fading_per_s)
    if c.eviction_per_s > 0.0:
        set_fault(s, v, now_s, c.eviction_per_s)
    s.clock[0].reconcile = 1


@jit
def scale_in(s: State, e: int, g: int, now_s: float) -> None:
    """Give up one instance of endpoint ``e`` on type ``g``.

    The pending one that would be ready last, else the active one with the least pending work.
    """
    s.clock[0].scale_ins += 1
    best = NONE
    if s.pending[e, g] > 0:
        latest = -INFINITY
        for v in range(s.vm.shape[0]):
            vm = s.vm[v]
            if (
                vm.endpoint == e
                and vm.gpu == g
                and (vm.state == PROVISIONING or vm.state == LOADING)
            ):
                if vm.event_s > latest:
                    best, latest = v, vm.event_s
        schedule(s, best, INFINITY)
        become(s, best, COLD, now_s)
        s.vm[best].model = NONE
        s.clock[0].reconcile = 1
        return
    least = 1 << 60
    for j in range(s.endpoint[e].n_members):
        v = s.member[e, j]
        if s.vm[v].gpu == g and s.vm[v].pending_tokens < least:
            best, least = v, s.vm[v].pending_tokens
    leave(s, best)
    become(s, best, DRAINING, now_s)
    if is_empty(s, best):
        retire(s, best, now_s)


@jit
def _keep_models(s: State) -> None:
    """Raise targets until every model has its fewest instances over all regions.

    What is missing goes where the model has most instances standing, the first of equals, and to
    the first VM type there that it runs on.
    """
    types = s.target.shape[1]
    per_model = s.target.shape[0] // s.model.shape[0]
    for m in range(s.model.shape[0]):
        total, most, chosen, kind = 0, -1, NONE, NONE
        for e in range(m * per_model, (m + 1) * per_model):
            standing, first = 0, NONE
            for g in range(types):
                total += s.target[e, g]
                standing += s.active[e, g] + s.pending[e, g]
                if first == NONE and s.profile[m * types + g].theta > 0.0:
                    if _stocked(s, s.endpoint[e].region, g):
                        first = g
            if first != NONE and standing > most:
                most, chosen, kind = standing, e, first
        if total < s.config[0].least_per_model and chosen != NONE:
            s.target[chosen, kind] += s.config[0].least_per_model - total


@jit
def _stocked(s: State, r: int, g: int) -> bool:
    """Whether region ``r`` has VMs of type ``g``."""
    for v in range(s.vm.shape[0]):
        if s.vm[v].region == r and s.vm[v].gpu == g:
            return True
    return False


@jit
def reconcile(s: State, now_s: float) -> None:
    """Move every endpoint towards its target; what finds no VM is unmet until one is free."""
    s.clock[0].reconcile = 0
    if s.config[0].least_per_model > 0:
        _keep_models(s)
    for e in range(s.target.shape[0]):
        for g in range(s.target.shape[1]):
            have = s.active[e, g] + s.pending[e, g]
            while have > s.target[e, g]:
                scale_in(s, e, g, now_s)
                have -= 1
    for e in range(s.target.shape[0]):
        for g in range(s.target.shape[1]):
            have = s.active[e, g] + s.pending[e, g]
            while have < s.target[e, g] and scale_out(s, e, g, now_s):
                have += 1
            short = s.target[e, g] - have
            if short > s.unmet[e, g]:
                s.clock[0].unmet_events += short - s.unmet[e, g]
            s.unmet[e, g] = max(0, short)
    s.clock[0].reconcile = 0
