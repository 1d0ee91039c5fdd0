"""What must hold at any time, checked slowly and in full."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from sageserve_env.simulator import codes
from sageserve_env.simulator.heaps import NO_ITEM, ROOT, SLOT_BITS, SLOT_MASK, first_leaf
from sageserve_env.simulator.prefix_invariants import cache_tokens, check_holders
from sageserve_env.simulator.scoring import LARGEST, least_score, next_boundary_s, order_bits, score
from sageserve_env.simulator.slots import lane_of
from sageserve_env.simulator.state import Array, State

if TYPE_CHECKING:
    from sageserve_env.simulator.simulator import Simulator


def check(sim: Simulator) -> None:
    """Raise ``AssertionError`` naming the first invariant of ``sim`` that does not hold."""
    s = sim.state
    _requests(s)
    _lists(s)
    for v in range(len(s.vm)):
        _instance(s, v)
    if s.config[0]["prefix_tokens"]:
        check_holders(s)
    _fleet(sim)
    _pictures(s)
    _events(s)
    _bill(sim)


def _require(condition: object, text: str) -> None:
    if not condition:
        raise AssertionError(f"invariant: {text}")


def _requests(s: State) -> None:
    clock = s.clock[0]
    inside = int((s.request["state"] != codes.FREE).sum())
    touched = int(clock["n_touched"])
    free = int(clock["n_free"]) + int(s.part_clock["n_free"].sum())
    _require(free + inside == touched, "slots are free or in use")
    _require(touched <= len(s.request), "slots in use exist")
    _require(
        int(clock["arrived"]) == int(clock["completed"]) + int(clock["refused"]) + inside,
        "every arrived request is waiting, running, completed or refused",
    )
    _require(int(s.count["arrived"].sum()) == int(clock["arrived"]), "arrivals are counted once")
    _require(int(s.count["completed"].sum()) == int(clock["completed"]), "completions counted once")
    _require(int(s.e2e.sum()) == int(clock["completed"]), "each completion is in a histogram")
    judged = s.count["attained"] + s.count["missed"]
    _require((judged <= s.count["arrived"]).all(), "no request is judged twice")
    _require((s.count["refused"] <= s.count["missed"]).all(), "what is refused is missed")
    _require(int(s.count["refused"].sum()) == int(clock["refused"]), "refusals are counted once")
    _require((s.count["attained_flat"] <= s.count["arrived"]).all(), "nor by flat objectives")
    used = s.request["state"] != codes.FREE
    column = {name: s.request[name][used] for name in ("prefilled", "target", "emitted", "output")}
    _require(
        (column["prefilled"] <= column["target"]).all(), "no prompt is prefilled beyond its end"
    )
    _require((column["emitted"] <= column["output"]).all(), "no output is longer than asked for")


def _walk(s: State, head: int, length: int, what: str) -> list[int]:
    found: list[int] = []
    while head != codes.NONE and len(found) <= length:
        found.append(int(head))
        head = int(s.request[head]["next"])
    _require(len(found) == length, f"{what} list has {length} entries")
    return found


def _lists(s: State) -> None:
    for m in range(len(s.model)):
        model = s.model[m]
        held = _held(s, m)
        _require(len(held) == int(model["n_held"]), "held requests are counted")
        tokens = int(s.request["prompt"][held].sum())
        _require(tokens == int(model["held_tokens"]), "tokens of the NIW manager add up")
        _require((s.request["state"][held] == codes.HELD).all(), "held requests are marked so")
        waiting = _walk(s, model["global_head"], int(model["n_global"]), "global")
        _require((s.request["state"][waiting] == codes.GLOBAL).all(), "global ones are marked so")


def _held(s: State, m: int) -> Array:
    """Return the requests of model ``m`` that the NIW manager holds, which may be millions."""
    found = [np.zeros(0, dtype=np.int32)]
    for lane in range(s.held.shape[1]):
        head = int(s.held[m, lane]["head"])
        linked = array("i")
        while head != codes.NONE and len(linked) <= int(s.model[m]["n_held"]):
            linked.append(head)
            head = int(s.request[head]["next"])
        mine = np.array(linked, dtype=np.int32)
        _require(all(lane_of(s, int(i)) == lane for i in mine), "held requests are in their lanes")
        arrivals = s.request["arrival_s"][mine]
        _require((np.diff(arrivals) >= 0).all(), "lanes are in order of arrival")
        found.append(mine)
    return np.concatenate(found)


def _instance(s: State, v: int) -> None:
    vm, c = s.vm[v], s.config[0]
    waiting = _walk(s, vm["wait_head"], int(vm["n_waiting"]), "waiting")
    prefilling = _walk(s, vm["pre_head"], int(vm["n_prefilling"]), "prefilling")
    items = s.ends[v, : int(vm["n_running"])]
    running = [int(i) & SLOT_MASK for i in items]
    queued = s.request[waiting + prefilling]
    for group, state in ((waiting, codes.WAITING), (prefilling, codes.PREFILLING)):
        _require((s.request["state"][group] == state).all(), "queued requests are marked so")
        _require(_sorted(s, group), "queues are in key order")
    _require((s.request["state"][running] == codes.RUNNING).all(), "running ones are marked so")
    _require((s.request["vm"][waiting + prefilling + running] == v).all(), "requests know their VM")
    tokens = int((queued["target"] - queued["prefilled"]).sum())
    _require(tokens == int(vm["queued_tokens"]), "queued tokens add up")
    unfinished = queued[queued["prefilled"] < queued["target"]]
    pending = int(unfinished["target"].sum()) + len(queued) + len(running)
    _require(pending == int(vm["pending_tokens"]), "pending tokens add up")
    here = s.request[waiting + prefilling + running]
    home = here["region"] == s.endpoint["region"][here["endpoint"]]
    _require((home | (here["resident"] == 0)).all(), "residents are served at home")
    active = s.request[running]
    left = np.array([int(i) >> SLOT_BITS for i in items], dtype=np.int64) - int(vm["iteration"])
    first = int(items.min()) if len(items) else NO_ITEM
    _require(int(vm["first_item"]) == first, "the first end is current")
    _require((left > 0).all(), "no running sequence is past its end")
    present = int((active["prompt"] + active["output"] - left).sum())
    _require(present == int(vm["context_tokens"]), "context tokens add up")
    admitted = s.request[prefilling]
    parked = s.request[[i for i in waiting if s.request[i]["prefilled"] > 0]]
    if c["growth"] == 1:
        kv = present + int((admitted["target"] + 1).sum())
    elif c["late_reserve"] == 1:
        kv = int((active["prompt"] + active["output"]).sum())
        kv += int((admitted["target"] + 1).sum()) + int((parked["target"] + 1).sum())
    else:
        both = np.concatenate([active, admitted])
        kv = int((both["prompt"] + both["output"]).sum())
    if c["prefix_tokens"]:
        both = np.concatenate([active, admitted, parked])
        kv += cache_tokens(s, v, both)
    _require(kv == int(vm["kv_used"]), "KV tokens add up")
    _require(0 <= kv <= max(0, int(vm["kv_capacity"])), "KV use is within capacity")
    _require(len(running) + len(prefilling) <= c["max_sequences"], "batch is within its limit")
    booked, planned = int(vm["run_booked"]), int(vm["run_iterations"]) + int(vm["run_tail"])
    _require(booked == 0 or booked < planned, "a run is booked in advance only up to its end")
    busy = bool(len(running) or prefilling)
    late = c["late_reserve"] == 1
    _require(busy or late or not waiting, "an instance with waiting work is running")


def _sorted(s: State, group: list[int]) -> bool:
    keys = [(float(s.request[i]["key"]), int(s.request[i]["id"])) for i in group]
    return keys == sorted(keys)


def _fleet(sim: Simulator) -> None:
    s = sim.state
    vm = s.vm
    counted = np.zeros_like(sim.scenario.inventory)
    np.add.at(counted, (vm["region"], vm["gpu"]), 1)
    _require((counted == sim.scenario.inventory).all(), "VM counts conserve the inventory")
    groups = (
        (s.active, (codes.ACTIVE,)),
        (s.pending, (codes.PROVISIONING, codes.LOADING)),
        (s.draining, (codes.DRAINING,)),
    )
    for counts, states in groups:
        found = np.zeros_like(counts)
        here = np.isin(vm["state"], states)
        np.add.at(found, (vm["endpoint"][here], vm["gpu"][here]), 1)
        _require((found == counts).all(), "instances per endpoint and state add up")
    faded = (vm["state"] == codes.SPOT) & np.isfinite(vm["fade_s"])
    _require(s.config[0]["fading_per_s"] > 0 or not faded.any(), "labels fade only where asked for")
    idle = np.isin(vm["state"], (codes.COLD, codes.SPOT, codes.LOST))
    _require((vm["endpoint"][idle] == codes.NONE).all(), "idle VMs belong to no endpoint")
    _require((vm["pending_tokens"][idle] == 0).all(), "idle VMs hold no work")
    for e in range(len(s.endpoint)):
        endpoint = s.endpoint[e]
        n = int(endpoint["n_members"])
        _require(n == int(s.active[e].sum()), "members are the active instances")
        members = s.member[e, :n]
        mine = vm[members]
        _require((mine["member_pos"] == np.arange(n)).all(), "members know their place")
        for field in ("kv_used", "kv_capacity", "queued_tokens"):
            _require(int(mine[field].sum()) == int(endpoint[field]), f"endpoint {field} adds up")
        _require(
            (s.jsq[e, :n] == (mine["pending_tokens"] << 24) + members).all(), "JSQ keys are current"
        )
        _require((s.jsq[e, n:] == LARGEST).all(), "places without a member are never chosen")
        _require((s.score[e, n:] == LARGEST).all(), "places without a member are never chosen")
        if s.config[0]["timely"] == 1:
            due = [next_boundary_s(s, int(v)) for v in members]
            _require(
                (s.boundary[e, :n].view(np.float64) == due).all(),
                "boundaries within runs are current",
            )
            _require(endpoint["next_boundary_s"] <= min(due, default=np.inf), "none is missed")
            lower = [least_score(s, int(v)) for v in members]
            _require((s.lower[e, :n] == lower).all(), "bounds within runs are current")
            if n and endpoint["best"] != codes.NONE:
                rivals = s.lower[e, :n] <= s.score[e, int(endpoint["best"])]
                first = np.array(due)[rivals].min(initial=np.inf)
                _require(endpoint["best_until_s"] <= first, "no rival is missed")
        if s.config[0]["scored"] == 1:
            keys = [order_bits(score(s, int(v))) for v in members]
            _require((s.score[e, :n] == keys).all(), "scores are current")
            if n and endpoint["best"] != codes.NONE:
                least = int(np.argmin(s.score[e, :n]))
                _require(int(endpoint["best"]) == least, "the remembered member scores least")
        _require(int(s.ring[e].sum()) == int(endpoint["ring_tokens"]), "routed tokens add up")
        _require(endpoint["ring_tokens"] >= 0, "routed tokens are not negative")


def _pictures(s: State) -> None:
    """What gateways know is of the past, and what they sent is not negative."""
    if s.config[0]["aged"] == 0:
        _require(not s.sent.any() and not s.picture["members"].any(), "nobody needs a picture")
        return
    clock = s.clock[0]
    _require(clock["next_picture_s"] >= clock["now_s"], "pictures are taken in time")
    _require((s.sent >= 0).all(), "sent tokens are not negative")
    known = s.picture[s.picture["members"] > 0]
    _require((known["theta"] > 0).all() and (known["kv_capacity"] > 0).all(), "pictures are whole")
    if s.config[0]["stale_s"] == 0.0:
        home = s.sent[s.endpoint["region"], np.arange(len(s.endpoint))]
        _require(not home.any(), "a gateway knows its own region live")


def _events(s: State) -> None:
    times = s.tree_time.view(np.float64)
    first = first_leaf(len(s.vm))
    _require((s.leaf == first + np.arange(len(s.vm))).all(), "VMs are the tournament's leaves")
    _require((times[s.leaf] == s.vm["event_s"]).all(), "with their events")
    _require((s.tree_vm[s.leaf] == np.arange(len(s.vm))).all(), "in their order")
    _require(np.isinf(times[first + len(s.vm) :]).all(), "and no other")
    _require((s.vm["event_s"] >= s.clock[0]["now_s"]).all(), "no event lies in the past")
    for place in range(ROOT, first):
        line = 8 * (place - ROOT + 1)
        best = line + int(times[line : line + 8].argmin())
        _require(
            (times[place], s.tree_vm[place]) == (times[best], s.tree_vm[best]),
            "places hold their earliest child",
        )


def _bill(sim: Simulator) -> None:
    """Booked VM-seconds of all states cannot exceed the time of the inventory."""
    s = sim.state
    booked = s.vm_seconds.sum(axis=(0, 2)) + s.spot_seconds.sum(axis=(0, 1))
    limit = sim.scenario.inventory.sum(axis=0) * sim.time_s
    _require((booked <= limit + 1e-6 * (1 + limit)).all(), "booked time is within the inventory's")
    _require((s.vm_seconds >= 0).all(), "booked time is not negative")
