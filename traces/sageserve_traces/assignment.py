"""Giving a trace the models, regions and tiers it does not have, by a seeded rule.

No public trace carries region, model and tier together (docs/sources.md, "Traces"). The rule: each
request draws its tier, then its model and its origin region given the tier's class, independently.
The default shares are those of the O365 workload: IW : NIW 80 : 20 and IW-F : IW-N 80 : 20, models
in proportion to the base rates of the class, regions as in docs/sources.md, "Workload".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from .errors import TraceError
from .names import MODELS, REGIONS, TIERS
from .o365 import O365
from .traffic import IW, NIW

if TYPE_CHECKING:
    from .trace import RequestTrace

FloatArray = npt.NDArray[np.float64]
Shares = Mapping[str, float] | Sequence[float]

#: IW 80 %, of which IW-F 80 % (A).
TIER_SHARES: Final[dict[str, float]] = {"IW-F": 0.64, "IW-N": 0.16, "NIW": 0.20}
COLUMNS: Final = ("model", "region", "tier")


def assign(
    trace: RequestTrace,
    seed: int | np.random.Generator,
    *,
    model_shares: Shares | None = None,
    region_shares: Shares | None = None,
    tier_shares: Shares | None = None,
    columns: Sequence[str] = COLUMNS,
) -> RequestTrace:
    """Draw models, origin regions and tiers for every request.

    Args:
        trace: The trace; arrivals and tokens are kept.
        seed: Seed or generator. The same seed gives the same draws whatever ``columns`` says.
        model_shares: By name or in the order of ``trace.models``; None takes the base rates of the
            class (equal shares if the trace has other models).
        region_shares: Likewise for ``trace.regions``.
        tier_shares: Likewise for ``trace.tiers``.
        columns: What to draw: ``model``, ``region``, ``tier``, or ``iw_split`` (turn part of the
            IW-F requests into IW-N).

    Raises:
        TraceError: If shares do not fit the names.
    """
    unknown = set(columns) - {*COLUMNS, "iw_split"}
    if unknown:
        raise TraceError(f"assign: unknown column {sorted(unknown)[0]!r}")
    rng = np.random.default_rng(seed)
    n = len(trace)
    draws = {column: rng.random(n) for column in ("tier", "model", "region")}
    changes: dict[str, Any] = {}
    tier = trace.tier
    if "tier" in columns:
        default = [TIER_SHARES[t] for t in TIERS] if trace.tiers == TIERS else None
        cdf = _cumulative("tier", tier_shares, trace.tiers, default)
        tier = changes["tier"] = _draw(draws["tier"], cdf[None], np.zeros(n, dtype=np.int64))
    elif "iw_split" in columns and trace.tiers == TIERS:
        slow = (tier == 0) & (draws["tier"] >= O365.iwf_share)
        tier = changes["tier"] = np.where(slow, 1, tier).astype(np.int16)
    batch = [i for i, name in enumerate(trace.tiers) if name == "NIW"]
    group = np.isin(tier, batch).astype(np.int64)
    for column, shares, names, default_names, defaults in (
        ("model", model_shares, trace.models, MODELS, O365.base_rps),
        ("region", region_shares, trace.regions, REGIONS, O365.region_shares),
    ):
        if column in columns:
            known = tuple(names) == default_names
            cdf = np.stack(
                [
                    _cumulative(column, shares, names, defaults[c].tolist() if known else None)
                    for c in (IW, NIW)
                ]
            )
            changes[column] = _draw(draws[column], cdf, group)
    if trace.mix is None:
        trace.token_mix(0)
    return replace(trace, past=None, mix=trace.mix, **changes)


def _cumulative(
    what: str, shares: Shares | None, names: Sequence[str], default: Sequence[float] | None
) -> FloatArray:
    """Return cumulative shares in the order of ``names``, the last one exactly 1."""
    if shares is None:
        values = list(default) if default is not None else [1.0] * len(names)
    elif isinstance(shares, Mapping):
        strange = [name for name in shares if name not in names]
        if strange:
            raise TraceError(
                f"assign: unknown {what} {strange[0]!r}; the trace has {', '.join(names)}"
            )
        values = [shares.get(name, 0.0) for name in names]
    else:
        values = list(shares)
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (len(names),):
        raise TraceError(f"assign: {len(array)} {what} shares for {len(names)} names")
    if not np.isfinite(array).all() or (array < 0).any() or array.sum() <= 0:
        raise TraceError(f"assign: {what} shares must be >= 0 and not all 0: {values}")
    cumulative: FloatArray = np.cumsum(array) / array.sum()
    last = int(np.flatnonzero(array)[-1])
    cumulative[last:] = 1.0
    return cumulative


def _draw(
    uniform: FloatArray, cdf: FloatArray, group: npt.NDArray[np.int64]
) -> npt.NDArray[np.int16]:
    """Return for each uniform number the index of its cell, by the group's cumulative shares."""
    index = np.zeros(len(uniform), dtype=np.int16)
    for row, edges in enumerate(cdf):
        of_group = group == row
        index[of_group] = np.searchsorted(edges, uniform[of_group], side="right")
    return index
