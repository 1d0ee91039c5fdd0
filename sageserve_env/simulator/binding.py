"""Rows of a trace into the names and limits of a scenario, in one pass without the GIL."""

# mypy: disable-error-code="attr-defined"

from __future__ import annotations

import numba
import numpy as np

from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.state import Array

#: Columns of a trace and the types that `bind` is compiled for.
TYPES = {
    "arrival_s": np.dtype(np.float64),
    "model": np.dtype(np.int16),
    "region": np.dtype(np.int16),
    "tier": np.dtype(np.int16),
    "prompt_tokens": np.dtype(np.int32),
    "output_tokens": np.dtype(np.int32),
}


def can_bind(columns: list[Array]) -> bool:
    """Return whether `bind` takes these columns, in the order of `TYPES`, and is compiled."""
    return not numba.config.DISABLE_JIT and all(
        column.dtype == dtype and column.flags.c_contiguous and not column.flags.writeable
        for column, dtype in zip(columns, TYPES.values(), strict=True)
    )


@jit
def bind(
    arrival_s: Array,
    model: Array,
    region: Array,
    tier: Array,
    prompt: Array,
    output: Array,
    models: Array,
    regions: Array,
    tiers: Array,
    limit: Array,
    longest: int,
    offset_s: float,
    subset: bool,
    to_row: Array,
    to_arrival_s: Array,
    to_model: Array,
    to_region: Array,
    to_tier: Array,
    to_prompt: Array,
    to_output: Array,
    to_order: Array,
    to_cut: Array,
) -> tuple[int, int]:
    """Fill the columns that the engine reads; the order of preference is that of the region.

    Args:
        arrival_s: Columns of the trace, [n], up to ``output``.
        model: As above.
        region: As above.
        tier: As above.
        prompt: As above.
        output: As above.
        models: Index in the scenario of each name of the trace, negative where it is missing.
        regions: The same for regions.
        tiers: The same for tiers.
        limit: Longest prompt of each model of the scenario.
        longest: Longest output.
        offset_s: Taken from the arrivals.
        subset: Leave out rows with a name that the scenario lacks, instead of giving up.
        to_row: Row of the trace of each row that is filled, [n].
        to_arrival_s: Columns for the engine, [n], up to ``to_order``.
        to_model: As above.
        to_region: As above.
        to_tier: As above.
        to_prompt: As above.
        to_output: As above.
        to_order: As above.
        to_cut: Rows that are cut, of those that are filled, [n].

    Returns:
        How many rows are filled, -1 if one has a name that the scenario lacks, and how many of them
        were cut.
    """
    kept = cut = 0
    for i in range(arrival_s.shape[0]):
        m, r, k = models[model[i]], regions[region[i]], tiers[tier[i]]
        if m < 0 or r < 0 or k < 0:
            if subset:
                continue
            return -1, 0
        to_row[kept], to_arrival_s[kept] = i, arrival_s[i] - offset_s
        to_model[kept], to_region[kept], to_tier[kept], to_order[kept] = m, r, k, r
        p, o = prompt[i], output[i]
        if p > limit[m] or o > longest:
            to_cut[cut] = kept
            cut += 1
            p, o = min(p, limit[m]), min(o, longest)
        to_prompt[kept], to_output[kept] = p, o
        kept += 1
    return kept, cut
