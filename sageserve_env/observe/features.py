"""The table of what is observed: one row per feature.

A feature names the surveyed array it is made of (a field of `ClusterView`), the axis along which
it is repeated, its scale and its bounds. Spaces, names, scaling and the page of the documentation
are made from the rows. `register_feature` adds one from outside; with ``read`` it brings a source
of its own, which stands in ``view.extra`` under the name of the source.

Every entry is scaled by fixed constants of the scenario, never by running statistics, and clipped
to its bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from numpy.typing import ArrayLike

from sageserve_env._markdown import markdown_table
from sageserve_env.kernels.scaling import COSINE, LINEAR, LOG, RATIO, SINE
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.state import State
from sageserve_env.simulator.survey import OWN_SOURCES, OwnSource
from sageserve_env.view import SOURCES

COUNT_LIMIT = 4.0
DAY, WEEK = 1.0, 7.0  # periods of the time of the week, which is in days


@dataclass(frozen=True)
class Axis:
    """What a feature is repeated along.

    Attributes:
        block: Part of the observation it belongs to.
        rows: Axes of the block's rows, one letter each (see `sageserve_env.view`).
        columns: Axes within a row.
        label: Name of an entry; letters stand for names along their axes.
        together: Features of one column stand together (else columns of one feature do).
    """

    block: str
    rows: str
    columns: str
    label: str
    together: bool = False

    @property
    def letters(self) -> str:
        """Return all axes."""
        return self.rows + self.columns


#: Axes by name; those of a block in the order of its columns.
AXES: dict[str, Axis] = {
    "endpoint, VM type": Axis("endpoints", "E", "G", "{E}.{name}[{G}]", together=True),
    "endpoint": Axis("endpoints", "E", "", "{E}.{name}"),
    "origin, window": Axis("demand", "MR", "W", "{M}/{R}.{name}_{W}"),
    "origin": Axis("demand", "MR", "", "{M}/{R}.{name}"),
    "model": Axis("models", "M", "", "{M}.{name}"),
    "model, tier": Axis("models", "M", "K", "{M}.{name}[{K}]"),
    "region, VM type": Axis("regions", "R", "G", "{R}.{name}[{G}]"),
    "region, model, VM type": Axis("regions", "R", "MG", "{R}.{name}:{M}[{G}]"),
    "region": Axis("regions", "R", "", "{R}.{name}"),
    "route": Axis("routing", "MRD", "", "{M}/{R}->{D}.{name}"),
    "cluster": Axis("globals", "", "", "{name}"),
    "tier": Axis("globals", "", "K", "{name}[{K}]"),
}
BLOCKS = tuple(dict.fromkeys(axis.block for axis in AXES.values()))

AxisName = Literal[
    "endpoint, VM type",
    "endpoint",
    "origin, window",
    "origin",
    "model",
    "model, tier",
    "region, VM type",
    "region, model, VM type",
    "region",
    "route",
    "cluster",
    "tier",
]


class Unit(NamedTuple):
    """What 1 stands for: the axes it differs along, and its meaning."""

    axes: str
    text: str


#: Units by name; the values are in `sageserve_env.observe.units`.
UNITS = {
    "share": Unit("EG", "an equal share of the region's VMs (inventory / models, at least 1)"),
    "start": Unit("", "the longest start with the weights in the region"),
    "stock": Unit("RG", "the region's VMs of that type"),
    "theta": Unit("MR", "theta of an equal share of the region's VMs"),
    "deadline": Unit("", "the longest objective of a non-interactive tier"),
}


@dataclass(frozen=True)
class Scale:
    """How a number becomes an entry: over a unit, then straight, bent or as a phase.

    Attributes:
        kind: Code of `sageserve_env.kernels.scaling`.
        unit: A number, or a name of `UNITS`.
        full: What is 1 on a logarithmic scale.
        text: The same in words.
    """

    kind: int
    unit: float | str = 1.0
    full: float = 1.0
    text: str = ""


def over(unit: float | str = 1.0) -> Scale:
    """Return the straight scale: x over the unit."""
    return Scale(LINEAR, unit, text="as it is" if unit == 1.0 else f"over {_words(unit)}")


def ratio(unit: float | str = 1.0) -> Scale:
    """Return x / (1 + x) of x over the unit: 0 to 1 and one half at the unit."""
    words = "" if unit == 1.0 else f", x over {_words(unit)}"
    return Scale(RATIO, unit, text=f"x / (1 + x){words}")


def _words(unit: float | str) -> str:
    return UNITS[unit].text if isinstance(unit, str) and unit in UNITS else str(unit)


def log(full: float) -> Scale:
    """Return the logarithmic scale, which is 0 at 0 and 1 from ``full`` on."""
    return Scale(LOG, full=full, text=f"log(1 + x) / log(1 + {full:,.0f})")


def sine(period: float) -> Scale:
    """Return the sine of x as a phase of the period."""
    return Scale(SINE, period, text="sine")


def cosine(period: float) -> Scale:
    """Return the cosine of x as a phase of the period."""
    return Scale(COSINE, period, text="cosine")


@dataclass(frozen=True)
class Feature:
    """One row of the table.

    Attributes:
        name: Name of its entries, together with their place.
        axis: What it is repeated along, a name of `AXES`.
        source: Surveyed array: a field of `ClusterView`, or a new name together with ``read``.
            Its axes that ``axis`` lacks are summed.
        scale: Its scale.
        high: Upper bound.
        low: Lower bound.
        meaning: What it says, beyond the meaning of its source.
        tiers: Which tiers are summed; ``all``, ``interactive`` or ``batch``.
        read: Returns the values of a new source from a state, an array over ``axis``.
        when: Whether a scenario has it; None: all have.
    """

    name: str
    axis: AxisName
    source: str
    scale: Scale
    high: float = 1.0
    low: float = 0.0
    meaning: str = ""
    tiers: Literal["all", "interactive", "batch"] = "all"
    read: Callable[[State], ArrayLike] | None = None
    when: Callable[[Scenario], bool] | None = None

    def __post_init__(self) -> None:
        """Refuse a row that cannot be observed."""
        if self.axis not in AXES:
            raise ValueError(f"feature {self.name!r}: axis: expected one of {', '.join(AXES)}")
        unit = self.scale.unit
        if isinstance(unit, str) and unit not in UNITS:
            raise ValueError(f"feature {self.name!r}: unit: expected one of {', '.join(UNITS)}")
        if isinstance(unit, str) and not {*UNITS[unit].axes} <= {*AXES[self.axis].letters}:
            raise ValueError(f"feature {self.name!r}: unit {unit!r} differs within {self.axis!r}")
        if not self.low < self.high:
            raise ValueError(f"feature {self.name!r}: low must be below high")
        if self.read is not None and self.source in SOURCES:
            raise ValueError(f"feature {self.name!r}: source {self.source!r} exists already")

    @property
    def text(self) -> str:
        """Return what it says, in words."""
        found = SOURCES.get(self.source)
        return self.meaning or (found.meaning if found else self.source)


def _paced(scenario: Scenario) -> bool:
    """Whether a tier has an objective for the time per output token."""
    return any(tier.tpot_s is not None for tier in scenario.tiers)


def _caches(scenario: Scenario) -> bool:
    """Whether instances keep the prefixes of prompts."""
    return scenario.batching.prefix_cache != "none"


#: The rows, in the order of their entries within an axis.
FEATURES: list[Feature] = [
    Feature("target", "endpoint, VM type", "target", over("share"), COUNT_LIMIT),
    Feature("active", "endpoint, VM type", "active", over("share"), COUNT_LIMIT),
    Feature("pending", "endpoint, VM type", "pending", over("share"), COUNT_LIMIT),
    Feature("ready_in", "endpoint, VM type", "pending_ready_s", ratio("start")),
    Feature("draining", "endpoint, VM type", "draining", over("share"), COUNT_LIMIT),
    Feature("unmet", "endpoint, VM type", "unmet", over("share"), COUNT_LIMIT),
    Feature("utilisation", "endpoint", "utilisation", ratio()),
    Feature("kv_utilisation", "endpoint", "kv_utilisation", over()),
    Feature("queued_work", "endpoint", "queued_s", log(3600.0)),
    Feature("queued_requests", "endpoint", "queued_requests", log(10_000.0)),
    Feature("running", "endpoint", "running_share", over()),
    Feature("ttft_p95", "endpoint", "ttft_p95_ratio", ratio()),
    Feature("attainment", "endpoint", "slo_attainment", over()),
    Feature("tpot_p95", "endpoint", "tpot_p95_ratio", ratio(), when=_paced),
    Feature("tpot_attainment", "endpoint", "tpot_attainment", over(), when=_paced),
    Feature("prefix_hits", "endpoint", "prefix_hit_rate", over(), when=_caches),
    Feature("niw_release", "endpoint", "niw_release", over()),
    Feature("requests", "origin, window", "request_rate", log(100.0), tiers="interactive"),
    Feature("batch_requests", "origin, window", "request_rate", log(100.0), tiers="batch"),
    Feature("load", "origin, window", "prompt_rate", over("theta"), 4.0, tiers="interactive"),
    Feature("batch_load", "origin, window", "prompt_rate", over("theta"), 4.0, tiers="batch"),
    Feature("output", "origin, window", "output_rate", log(100_000.0)),
    Feature("niw_backlog", "model", "niw_backlog", log(100_000.0)),
    Feature("niw_work", "model", "niw_work_s", log(1_000_000.0)),
    Feature("niw_deadline", "model", "niw_deadline_s", over("deadline"), low=-1.0),
    Feature("global_queue", "model", "global_queue", log(10_000.0)),
    Feature("idle", "region, VM type", "idle_vms", over("stock")),
    Feature("spot", "region, model, VM type", "spot_vms", over("stock")),
    Feature("routing", "route", "routing_level", over()),
    Feature("elapsed", "cluster", "elapsed", over()),
    Feature("day_sin", "cluster", "weekday", sine(DAY), low=-1.0, meaning="time of day (UTC)"),
    Feature("day_cos", "cluster", "weekday", cosine(DAY), low=-1.0, meaning="time of day (UTC)"),
    Feature("week_sin", "cluster", "weekday", sine(WEEK), low=-1.0, meaning="time of week"),
    Feature("week_cos", "cluster", "weekday", cosine(WEEK), low=-1.0, meaning="time of week"),
]


def register_feature(feature: Feature) -> None:
    """Add a row; environments made afterwards observe it.

    Raises:
        ValueError: If the axis has a feature of that name, or the source is unknown.
    """
    if any((f.name, f.axis) == (feature.name, feature.axis) for f in FEATURES):
        raise ValueError(f"feature {feature.name!r}: axis {feature.axis!r} has one of that name")
    if feature.read is not None:
        OWN_SOURCES[feature.source] = OwnSource(AXES[feature.axis].letters, feature.read)
    elif feature.source not in SOURCES and feature.source not in OWN_SOURCES:
        raise ValueError(
            f"feature {feature.name!r}: source {feature.source!r} is no field of ClusterView; "
            "give `read`, which returns it from a state"
        )
    FEATURES.append(feature)


def unregister_feature(name: str) -> None:
    """Remove the rows of that name, and their own sources."""
    for feature in [f for f in FEATURES if f.name == name]:
        FEATURES.remove(feature)
        if feature.read is not None:
            OWN_SOURCES.pop(feature.source, None)


def table() -> str:
    """Return the rows as a table in Markdown."""
    rows = []
    for block in BLOCKS:
        for axis_name, axis in AXES.items():
            for f in FEATURES:
                if axis.block == block and f.axis == axis_name:
                    summed = "" if f.tiers == "all" else f"; {f.tiers} tiers"
                    bounds = f"{f.low:g} to {f.high:g}"
                    what = f"{f.text} (`{f.source}`{summed})"
                    what += "" if f.when is None else ", only in scenarios to which it applies"
                    row = (f"`{block}`", axis_name, f"`{f.name}`", what, f.scale.text, bounds)
                    rows.append(row)
    return markdown_table(("block", "per", "name", "what", "scale", "bounds"), rows) + "\n"
