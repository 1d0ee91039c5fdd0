"""Random numbers inside kernels: L'Ecuyer's combined generator (CACM 31, 1988), period 2e18.

Plain 64-bit integer arithmetic, so that compiled and interpreted runs agree to the last bit.
"""

from __future__ import annotations

import math

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.state import State

MODULUS_1, MODULUS_2 = 2147483563, 2147483399

# streams of `draw`
OBJECTIVE, RESIDENT = range(2)

_BITS = 0xFFFFFFFF


@jit
def uniform(s: State) -> float:
    """Return a number in (0, 1)."""
    clock = s.clock[0]
    clock.rng1 = (40014 * clock.rng1) % 2147483563
    clock.rng2 = (40692 * clock.rng2) % 2147483399
    z = clock.rng1 - clock.rng2
    if z < 1:
        z += 2147483562
    return float(z * 4.656613057391769e-10)


@jit
def _mix(h: int) -> int:
    """Scramble 32 bits so that each depends on all (the constants are those of lowbias32)."""
    h ^= h >> 16
    h = (h * 0x7FEB352D) & _BITS
    h ^= h >> 15
    h = (h * 0x846CA68B) & _BITS
    return h ^ (h >> 16)


@jit
def draw(s: State, i: int, stream: int) -> float:
    """Return a number in [0, 1) that belongs to request ``i`` of the trace.

    It depends on the seed, the request and the stream alone, not on what was decided or drawn.
    """
    start = _mix((int(s.config[0].draws) + stream * 0x9E3779B1) & _BITS)
    return float(_mix((int(i) ^ start) & _BITS) * 2.3283064365386963e-10)  # 2^-32


@jit
def exponential(s: State, rate: float) -> float:
    """Return a waiting time of a Poisson process, infinite for rate 0."""
    if rate <= 0.0:
        return math.inf
    return -math.log(uniform(s)) / rate
