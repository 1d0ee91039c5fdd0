"""Equal service: what an agent has to attain before its cost may be compared with another's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sageserve_bench.rows import Row
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.summary import tier_key

WORST_MODEL_TARGET = 0.9
"""No model may be served below this, whatever the tier's average (docs/benchmark.md)."""

UNFINISHED_SHARE = 0.005
"""Share of the requests that may be left in the system at the end (A). Work that is not yet due
misses no deadline, but an agent that leaves it behind has not paid for it."""

IN_FLIGHT_S = 300.0
"""In a short episode what arrives in this time may be left instead (A)."""

NEAR_LEAST = 1.1
"""A fleet of at most this many times the least one is said to be the least one (A)."""

MOST_MARGIN = 3.0
"""Margins are cut off here: a twentieth of the misses allowed is as good as none."""

_ROUNDING = 1e-9  # of a share that is turned into a margin and back


@dataclass(frozen=True)
class Targets:
    """The service that every agent is held to, on average over its runs.

    Attributes:
        floors: Least share of requests within the objective, by column of the table.
        unfinished_share: Largest share of the requests that is left at the end.
    """

    floors: Mapping[str, float]
    unfinished_share: float = UNFINISHED_SHARE

    @staticmethod
    def of(scenario: Scenario) -> Targets:
        """Return the targets of a scenario's tiers, its worst model and its end."""
        floors = {f"slo_{tier_key(tier.name)}": tier.target for tier in scenario.tiers}
        floors["slo_worst_model"] = WORST_MODEL_TARGET
        return Targets(floors, most_unfinished(scenario.horizon_s))

    def beyond(self, margin: float) -> Targets:
        """Return the targets at which ``margin`` is 0: that much less may be missed everywhere."""
        left = math.exp(-margin)
        floors = {name: 1.0 - (1.0 - floor) * left for name, floor in self.floors.items()}
        return replace(self, floors=floors)

    def as_good_as(self, means: Mapping[str, float]) -> Targets:
        """Return targets that service as good as ``means`` attains.

        The margin is that of ``means``, also where it is negative; of what misses its target or
        hardly attains it, no less is asked than ``means`` has.
        """
        shifted = self.beyond(self.margin(means)).floors
        floors = {
            name: max(shifted[name], min(floor, means.get(name, floor))) - _ROUNDING
            for name, floor in self.floors.items()
        }
        left = max(self.unfinished_share, means["unfinished_share"])
        return replace(self, floors=floors, unfinished_share=left)

    def means(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return the means over rows of what the service is judged by, and of what it costs.

        A tier of which nothing fell due in any row is left out; its share is None or NaN.

        Raises:
            ValueError: If nothing fell due at all.
        """
        due = {name: [row for row in rows if fell_due(row.get(name))] for name in self.floors}
        if not any(due.values()):
            raise ValueError("no request fell due in the episodes, so there is no service to judge")
        means = {name: _mean(found, name) for name, found in due.items() if found}
        columns = ("cost_usd", "gpu_hours", "scaling_waste_gpu_hours", "reward")
        means |= {name: _mean(rows, name) for name in columns}
        requests = sum(_value(row, "requests") for row in rows)
        left = sum(_value(row, "unfinished") for row in rows)
        means["unfinished_share"] = left / max(requests, 1.0)
        return means

    def margin(self, means: Mapping[str, float]) -> float:
        """Return how much better than needed the service is; negative where a target is missed.

        The least over the targets of the logarithm of misses allowed over misses: 0 attains
        exactly, 0.7 has half the misses that are allowed, -0.7 twice as many. It grows about
        evenly with the logarithm of the capacity, which a search can use.
        """
        pairs = [
            (1.0 - floor, 1.0 - means[name]) for name, floor in self.floors.items() if name in means
        ]
        pairs.append((self.unfinished_share, means["unfinished_share"]))
        return min(_log_ratio(allowed, missed) for allowed, missed in pairs)

    def misses(self, means: Mapping[str, float]) -> tuple[str, ...]:
        """Return the targets that are missed, as text with attained and wanted share.

        A tier of which nothing fell due misses nothing.
        """
        lines = [
            f"{target_label(name)} {means[name]:.2%} < {floor:.1%}"
            for name, floor in self.floors.items()
            if means.get(name, 1.0) < floor
        ]
        left = means["unfinished_share"]
        if left > self.unfinished_share:
            lines.append(f"unfinished {left:.2%} > {self.unfinished_share:.1%}")
        return tuple(lines)

    def to_dict(self) -> dict[str, float]:
        """Return the targets as plain values."""
        return {**self.floors, "unfinished_share": self.unfinished_share}


def fell_due(share: object) -> bool:
    """Return whether a share of requests is that of any; it is None or NaN where none fell due."""
    return share is not None and not (isinstance(share, float) and math.isnan(share))


def most_unfinished(horizon_s: float) -> float:
    """Return the largest share of the requests that may be left at the end of an episode."""
    return max(UNFINISHED_SHARE, IN_FLIGHT_S / horizon_s) if horizon_s > 0 else 1.0


def least_vms(scenario: Scenario) -> int:
    """Return the VMs of the least fleet: what no agent may go below."""
    return scenario.min_instances * len(scenario.models) * len(scenario.regions)


def target_label(column: str) -> str:
    """Return how a column of the service is called in texts."""
    labels = {"iwf": "IW-F", "iwn": "IW-N", "niw": "NIW", "worst_model": "worst model"}
    key = column.removeprefix("slo_")
    return labels.get(key, key)


def _log_ratio(allowed: float, missed: float) -> float:
    if allowed <= 0.0:
        return MOST_MARGIN if missed <= 0.0 else -MOST_MARGIN
    ratio = math.log(allowed) - math.log(max(missed, allowed * math.exp(-MOST_MARGIN)))
    return max(-MOST_MARGIN, ratio)


def _mean(rows: Sequence[Row], name: str) -> float:
    return sum(_value(row, name) for row in rows) / len(rows)


def _value(row: Row, name: str) -> float:
    value = row.get(name)
    if not isinstance(value, int | float):
        raise ValueError(f"a run of {row.get('agent')} has no value of {name}")
    return float(value)
