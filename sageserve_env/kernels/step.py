"""One step of the environment as one call: act, simulate, observe, account."""

from __future__ import annotations

from sageserve_env.kernels.account import account
from sageserve_env.kernels.buffers import Buffers
from sageserve_env.kernels.decode import apply_continuous, apply_discrete, fill_mask
from sageserve_env.kernels.decoder import Decoder
from sageserve_env.kernels.scaling import Scaling, scale
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.codes import DONE
from sageserve_env.simulator.fleet import reconcile
from sageserve_env.simulator.parts import advance
from sageserve_env.simulator.scoring import refresh_scores
from sageserve_env.simulator.state import State
from sageserve_env.simulator.survey import Raw, survey

# how the action came: through the decoder, or it is already in force
CONTINUOUS, DISCRETE, IN_FORCE = range(3)
REJECTED = -1


@jit
def step(
    s: State, b: Buffers, d: Decoder, raw: Raw, scaling: Scaling, form: int, until_s: float
) -> int:
    """Put the action in the decoder into force, simulate, and fill observation and totals.

    Args:
        s: State of the simulator.
        b: Buffers of the environment.
        d: Tables of the action mode, and the action.
        raw: Surveyed arrays.
        scaling: Scaling of them into the observation.
        form: ``CONTINUOUS``, ``DISCRETE``, or ``IN_FORCE`` (also to go on after more of the trace
            was supplied).
        until_s: End of the step.

    Returns:
        ``DONE``, ``NEED_CHUNK`` or ``NEED_SLOTS`` as the event loop; ``REJECTED`` if the action is
        outside its space, with nothing changed.
    """
    if form != IN_FORCE:
        if form == CONTINUOUS:
            accepted = apply_continuous(s, b, d, raw)
        else:
            accepted = apply_discrete(s, b, d)
        if not accepted:
            return REJECTED
        refresh_scores(s)
        reconcile(s, s.clock[0].now_s)
    status = advance(s, until_s)
    if status == DONE:
        look(s, b, d, raw, scaling)
    return status


@jit
def look(s: State, b: Buffers, d: Decoder, raw: Raw, scaling: Scaling) -> None:
    """Fill survey, observation, totals and (for discrete actions) the mask."""
    survey(s, raw)
    scale(raw, scaling)
    account(s, b)
    if d.mask.shape[0] > 0:
        fill_mask(s, b, d)
