"""The arrays of a state with requests by their number in the trace instead of by their slot.

Slots and the numbers of admissions are names: which request has which depends on how the time is
cut where models are simulated one by one, and decides nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_env.simulator import codes
from sageserve_env.simulator.heaps import SLOT_BITS, SLOT_MASK
from sageserve_env.simulator.state import State

Array = NDArray[Any]

_NAMES = ("cursor", "end", "exhausted", "n_free", "n_touched", "free_head", "first_part", "chosen")
_LISTS = {
    "vm": ("wait_head", "wait_tail", "pre_head", "pre_tail"),
    "model": ("global_head", "global_tail"),
    "held": ("head", "tail"),
}


def canonical(s: State) -> dict[str, Array]:
    """Return copies of all arrays but the trace and records; slots are named by request.

    States without parts are copied as they are, but for the place in the piece of the trace.
    """
    skip = ("arrival", "record", "part")
    arrays = {n: getattr(s, n).copy() for n, _, _ in s.FIELDS if not n.startswith(skip)}
    clock = arrays["clock"][0]
    arrays["config"]["apart_from"] = arrays["config"]["shared"] = 0
    if len(s.part_clock) == 0:
        clock["cursor"] = clock["end"] = clock["exhausted"] = 0
        return arrays
    for name in (*_NAMES, "end_s"):
        clock[name] = 0
    request = s.request
    used = np.flatnonzero(request["state"] != codes.FREE)
    name = np.full(len(request) + 1, codes.NONE, dtype=np.int64)  # the last is that of NONE
    name[used] = request["id"][used]
    for of, fields in _LISTS.items():
        for field in fields:
            arrays[of][field] = name[arrays[of][field]]
    arrays["request"] = _requests(request[used], name)
    running = [np.sort(_renamed(s.ends[v, :n], name)) for v, n in enumerate(s.vm["n_running"])]
    arrays["ends"] = np.concatenate([np.zeros(0, np.int64), *running])
    arrays["vm"]["first_item"] >>= SLOT_BITS
    return arrays


def _renamed(items: Array, name: Array) -> Array:
    return (items >> SLOT_BITS << 32) + name[items & SLOT_MASK]


def _requests(request: Array, name: Array) -> Array:
    """Return requests by number, without what their slots hold of earlier ones."""
    request = request[np.argsort(request["id"])]
    state = request["state"]
    batch = np.isin(state, (codes.PREFILLING, codes.RUNNING))
    for field in ("next", "prev"):
        request[field] = name[request[field]]
    request["next"][state == codes.RUNNING] = 0
    request["prev"][~np.isin(state, (codes.WAITING, codes.PREFILLING))] = 0
    request["admitted"] = np.where(batch, request["admitted"].argsort().argsort(), 0)
    for v in np.unique(request["vm"][batch]):  # numbers count within a VM
        here = batch & (request["vm"] == v)
        request["admitted"][here] = request["admitted"][here].argsort().argsort()
    request["key"][~(batch | (state == codes.WAITING))] = 0
    request["late"][~(batch | (state == codes.WAITING))] = 0
    request["overdue"][request["first_token_s"] < 0] = 0
    for field in ("node", "entry", "shared", "cached", "spare"):  # of prefix caches
        if field in (request.dtype.names or ()):
            request[field] = 0
    return request
