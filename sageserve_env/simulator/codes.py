"""Integer codes of states, modes and events used by the kernels."""

from __future__ import annotations

NONE = -1
INFINITY = float("inf")

# VM states
COLD, PROVISIONING, LOADING, ACTIVE, DRAINING, SPOT, LOST = range(7)
VM_STATES = ("cold", "provisioning", "loading", "active", "draining", "spot", "lost")

# where a request is
FREE, HELD, GLOBAL, TRANSIT, WAITING, PREFILLING, RUNNING = range(7)

# batching modes
MIXED, PREFILL_FIRST, WHOLE_PROMPT = range(3)

# disciplines
FCFS, EDF, PF, DPA, TRIAGE = range(5)

# routers
THRESHOLD, SHARES, LEAST_WAIT, LEAST_WAIT_KV = range(4)

# balancers
JSQ, ROUND_ROBIN, LEAST_KV, POWER_OF_TWO = range(4)

# utilisation signals
LOAD, KV = range(2)

# what advance() returns
DONE, NEED_CHUNK, NEED_SLOTS = range(3)

# accumulators of billed and donated VM-seconds: columns of ``vm_seconds``
BILL_PENDING, BILL_ACTIVE, BILL_DRAINING = range(3)
