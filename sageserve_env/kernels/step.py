"""One step of the environment as one call: act, simulate, observe, account."""

from __future__ import annotations

from sageserve_env.kernels.account import account
from sageserve_env.kernels.buffers import Buffers
from sageserve_env.kernels.decode import apply_continuous, apply_discrete, fill_mask
from sageserve_env.kernels.decoder import Decoder
from sageserve_env.kernels.observe import observe
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import DONE
from sageserve_env.simulator.events import advance
from sageserve_env.simulator.fleet import reconcile
from sageserve_env.simulator.state import State

# how the action came: through the decoder, or it is already in force
CONTINUOUS, DISCRETE, IN_FORCE = range(3)
REJECTED = -1


@jit
def step(s: State, b: Buffers, d: Decoder, form: int, until_s: float) -> int:
    """Put the action in the decoder into force, simulate, and fill observation and totals.

    Args:
        s: State of the simulator.
        b: Buffers of the environment.
        d: Tables of the action mode, and the action.
        form: ``CONTINUOUS``, ``DISCRETE``, or ``IN_FORCE`` (also to go on after more of the trace
            was supplied).
        until_s: End of the step.

    Returns:
        ``DONE``, ``NEED_CHUNK`` or ``NEED_SLOTS`` as the event loop; ``REJECTED`` if the action is
        outside its space, with nothing changed.
    """
    if form != IN_FORCE:
        if form == CONTINUOUS:
            accepted = apply_continuous(s, b, d)
        else:
            accepted = apply_discrete(s, b, d)
        if not accepted:
            return REJECTED
        reconcile(s, s.clock[0].now_s)
    status = advance(s, until_s)
    if status == DONE:
        look(s, b, d)
    return status


@jit
def look(s: State, b: Buffers, d: Decoder) -> None:
    """Fill observation, totals and (for discrete actions) the mask."""
    observe(s, b)
    account(s, b)
    if d.mask.shape[0] > 0:
        fill_mask(s, b, d)
