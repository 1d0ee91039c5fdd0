"""Iteration times from a profile (formulas in ``catalogue/profiles.py``)."""

from __future__ import annotations

from sageserve_env.simulator._handle import rare
from sageserve_env.simulator._jit import hot, jit
from sageserve_env.simulator.state import State


@jit
def interpolate(s: State, p: int, row: int, points: int, x: float) -> float:
    """Piecewise-linear table of profile ``p`` at ``x``, extrapolated at both ends."""
    if points == 1:
        return float(s.table[p, row + 1, 0])
    low, high = 0, points - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if s.table[p, row, middle] <= x:
            low = middle
        else:
            high = middle
    x0, x1 = s.table[p, row, low], s.table[p, row, high]
    y0, y1 = s.table[p, row + 1, low], s.table[p, row + 1, high]
    return float(y0 + (y1 - y0) * (x - x0) / (x1 - x0))


@jit
def pass_s(s: State, p: int, tokens: float, n: int, context: float) -> float:
    """One pass over ``tokens`` prompt tokens and ``n`` decodes, without the prompts' attention."""
    profile = s.profile[p]
    seconds = interpolate(s, p, 2, profile.pass_points, tokens + n)
    if tokens > 0.0:
        seconds += profile.a
    return float(seconds + profile.e * n + profile.f * context)


@hot
def prefill_s(s: State, p: int, tokens: float) -> float:
    """Isolated prefill of ``tokens`` prompt tokens, in seconds."""
    profile = s.profile[p]
    if rare(profile.prefill_points > 0):
        return float(interpolate(s, p, 0, profile.prefill_points, tokens))
    if rare(profile.pass_points > 0):
        return float(pass_s(s, p, tokens, 0, 0.0) + profile.c * tokens * tokens)
    return float(profile.a + (profile.b + profile.c * tokens) * tokens)


@hot
def decode_s(s: State, p: int, n: int, context: float) -> float:
    """One iteration of ``n`` decodes over ``context`` KV tokens, in seconds."""
    profile = s.profile[p]
    if rare(profile.pass_points > 0):
        return float(pass_s(s, p, 0.0, n, context))
    if rare(profile.decode_points > 0):
        base = interpolate(s, p, 2, profile.decode_points, float(n))
        return float(base + profile.f * context)
    return float(profile.d + profile.e * n + profile.f * context)


@jit
def chunk_interaction_s(s: State, p: int, done: float, chunk: float) -> float:
    """Attention of a chunk to the ``done`` tokens of its prompt before it: 2 c P T.

    Under a pass table the attention of a chunk to itself, c T^2, is counted here too, prompt by
    prompt: the table holds what does not depend on where a token stands.
    """
    profile = s.profile[p]
    if rare(profile.pass_points > 0):
        return float(profile.c * chunk * (2.0 * done + chunk))
    if done == 0.0:
        return 0.0
    if profile.prefill_points == 0:
        return float(2.0 * profile.c * done * chunk)
    extra = (
        prefill_s(s, p, done + chunk)
        - prefill_s(s, p, done)
        - prefill_s(s, p, chunk)
        + prefill_s(s, p, 0.0)
    )
    return max(0.0, extra)


@hot
def decode_share_s(s: State, p: int, n: int, context: float) -> float:
    """What ``n`` decodes add to an iteration that carries prompt tokens: e n + f ctx."""
    profile = s.profile[p]
    if profile.decode_points == 0:
        return float(profile.e * n + profile.f * context)
    base = interpolate(s, p, 2, profile.decode_points, 0.0)
    extra = interpolate(s, p, 2, profile.decode_points, float(n)) - base
    return float(max(0.0, extra) + profile.f * context)


@hot
def run_time_s(base: float, growth: float, iterations: int) -> float:
    """Duration of ``iterations`` iterations: k base + growth k (k - 1) / 2."""
    return iterations * base + growth * (0.5 * iterations * (iterations - 1))
