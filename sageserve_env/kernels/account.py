"""Running sums of an episode: dollars and outcomes per tier."""

from __future__ import annotations

from sageserve_env.kernels.buffers import Buffers
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.state import State


@jit
def account(s: State, b: Buffers) -> None:
    """Fill ``b.totals`` (columns: ``SUMS``, then K columns for each of ``TIER_SUMS``)."""
    out = b.totals
    for i in range(out.shape[0]):
        out[i] = 0.0
    for e in range(s.vm_seconds.shape[0]):
        for g in range(s.vm_seconds.shape[1]):
            seconds = s.vm_seconds[e, g, 0] + s.vm_seconds[e, g, 1] + s.vm_seconds[e, g, 2]
            out[0] += seconds * b.usd_per_s[e, g]
    tiers = s.tier.shape[0]
    for m in range(s.count.shape[0]):
        for r in range(s.count.shape[1]):
            for g in range(s.spot_seconds.shape[2]):
                out[2] += s.spot_seconds[m, r, g] / 3600.0
            for k in range(tiers):
                count = s.count[m, r, k]
                out[1] += count.remote_tokens * b.settings[0].transfer_usd_per_token
                out[3 + k] += count.arrived
                out[3 + tiers + k] += count.completed
                out[3 + 2 * tiers + k] += count.attained
                out[3 + 3 * tiers + k] += count.missed
                out[3 + 4 * tiers + k] += count.refused
