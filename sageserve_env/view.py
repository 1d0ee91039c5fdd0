"""What a controller may see: the state of the cluster as named arrays.

Axes: E endpoints (those of the first model first, of a model those of the first region), G VM
types, M models, R regions, D destination regions, K tiers, W = 3 windows (1, 5 and 15 minutes), T
minutes since time 0. Nothing of the future, and no output length of a request that has not
finished, except through the KV memory that is reserved for it.

`ClusterView` is also the table of what is surveyed: every field names its axes and its meaning,
and `SOURCES` is read from it. A field that is counted says so (`Counted`): its place in the state,
its windows and its survey follow from that, so a new one is a row here and the line that books it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sageserve_env.scenario import Scenario

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINDOWS_S = (60.0, 300.0, 900.0)
DEMAND_BIN_S = 60.0
_DAY_S = 86_400.0


def _row() -> Floats:
    return np.zeros(0)


def _table() -> Floats:
    return np.zeros((0, 0))


def _counts() -> Ints:
    return np.zeros((0, 0), dtype=np.int64)


def _routes() -> Floats:
    return np.zeros((0, 0, 0))


@dataclass(frozen=True)
class Counted:
    """What an array of a view counts.

    Attributes:
        name: Counter. Of an array with the axis E a column of ``recent``, which keeps the last five
            minutes and has one for each name that is used here; of any other a field of ``count``,
            counted since time 0 and summed over those of the axes M, R and K that the array lacks.
        over: Counter of the same kind that divides it, 0 where that is 0.
    """

    name: str
    over: str = ""


@dataclass(frozen=True)
class ClusterView:
    """A snapshot at a decision time; it does not change afterwards and may be kept."""

    time_s: Annotated[float, "", "since the start of the episode"]
    interval_s: Annotated[float, "", "time to the next decision"]
    horizon_s: Annotated[float, "", "end of the episode"]
    hour_of_day: Annotated[float, "", "UTC, 0-24"]
    weekday: Annotated[float, "", "0 = Monday, fractional"]
    theta: Annotated[
        Floats,
        "MG",
        "prompt tokens a second an instance sustains, prefix hits at that load included; 1 where "
        "the model cannot run (`Scenario.compatible`)",
    ]
    # fleet
    target: Annotated[Ints, "EG", "targets in force, what is pending and unmet included"]
    active: Annotated[Ints, "EG", "instances that accept work"]
    pending: Annotated[Ints, "EG", "instances provisioning or loading"]
    pending_ready_s: Annotated[Floats, "EG", "seconds until the next one is up (0 if none)"]
    draining: Annotated[Ints, "EG", "instances that finish their work and then leave"]
    unmet: Annotated[Ints, "EG", "instances asked for that found no VM"]
    idle_vms: Annotated[Ints, "RG", "VMs that hold no model (`free_vms`: and donated ones)"]
    spot_vms: Annotated[Ints, "MRG", "donated VMs, by the model they still hold"]
    inventory: Annotated[Ints, "RG", "all VMs"]
    # load
    utilisation: Annotated[Floats, "E", "the scenario's signal (load or kv)"]
    kv_utilisation: Annotated[Floats, "E", "reserved KV tokens over those of the active instances"]
    queued_prompt_tokens: Annotated[Floats, "E", "prompt tokens waiting or not yet prefilled"]
    queued_requests: Annotated[Ints, "E", "requests waiting or in prefill"]
    running: Annotated[Ints, "E", "sequences decoding"]
    global_queue: Annotated[Ints, "M", "requests that no endpoint can take"]
    # demand by origin region, rates per second over the windows
    request_rate: Annotated[Floats, "WMRK", "requests arrived, 1/s"]
    prompt_rate: Annotated[Floats, "WMRK", "prompt tokens arrived, 1/s"]
    output_rate: Annotated[Floats, "WMRK", "output tokens of requests completed, 1/s"]
    # demand since time 0 in bins of DEMAND_BIN_S; the last bin may be incomplete
    demand_requests: Annotated[Floats, "TMRK", "requests arrived"]
    demand_prompt_tokens: Annotated[Floats, "TMRK", "prompt tokens arrived"]
    demand_output_tokens: Annotated[Floats, "TMRK", "output tokens, booked at completion"]
    # service
    ttft_p95_ratio: Annotated[Floats, "E", "p95 of TTFT over its objective, 5 min (0 if none)"]
    slo_attainment: Annotated[Floats, "E", "share of first tokens in time, last 5 minutes"]
    # non-interactive work held centrally
    niw_backlog: Annotated[Ints, "M", "requests held"]
    niw_backlog_tokens: Annotated[Floats, "M", "their prompt tokens"]
    niw_deadline_s: Annotated[Floats, "M", "to the earliest deadline (tier objective if none)"]
    # decisions in force; empty where a view is made without a simulator
    router: str = ""
    routing: Annotated[Floats, "MRD", "shares, or penalties in s"] = field(default_factory=_routes)
    niw_release: Annotated[Floats, "E", "ceilings for batch work"] = field(default_factory=_row)
    admission_s: Annotated[Floats, "MK", "expected wait above which requests are refused"] = field(
        default_factory=_table
    )
    # what follows from the above and the scenario; empty likewise
    queued_s: Annotated[Floats, "E", "queued tokens over theta of the active"] = field(
        default_factory=_row
    )  # 60 s for each token where no instance is active
    running_share: Annotated[Floats, "E", "sequences decoding over the most that fit"] = field(
        default_factory=_row
    )
    niw_work_s: Annotated[Floats, "M", "held tokens over theta of the first VM type"] = field(
        default_factory=_row
    )
    routing_level: Annotated[Floats, "MRD", "shares, or penalties over 2 s"] = field(
        default_factory=_routes
    )
    refused: Annotated[Ints, "MK", "requests refused since time 0", Counted("refused")] = field(
        default_factory=_counts
    )
    tpot_p95_ratio: Annotated[Floats, "E", "p95 of time per output token over its objective"] = (
        field(default_factory=_row)
    )  # last 5 minutes, by completion; 0 if none
    tpot_attainment: Annotated[Floats, "E", "share of completions in time per token, 5 min"] = (
        field(default_factory=_row)
    )
    prefix_hit_rate: Annotated[
        Floats,
        "E",
        "share of prompt tokens found cached, 5 min",
        Counted("found_tokens", over="asked_tokens"),
    ] = field(default_factory=_row)  # when first admitted; 0 if none, or without prefix caches
    elapsed: Annotated[float, "", "share of the horizon that has passed"] = 0.0
    #: Arrays of features that were registered with a source of their own, by name.
    extra: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def free_vms(self) -> Ints:
        """VMs that can be had, whatever model they still hold, [R, G]."""
        free: Ints = self.idle_vms + self.spot_vms.sum(axis=0)
        return free


@dataclass(frozen=True)
class Source:
    """One array that can be observed.

    Attributes:
        name: Field of `ClusterView`.
        axes: One letter per axis; none for a number.
        meaning: What it is, with its unit.
        whole: Whether a view has it as int64.
        required: Whether a view cannot be made without it.
        counted: What it counts, if it does.
    """

    name: str
    axes: str
    meaning: str
    whole: bool
    required: bool
    counted: Counted | None


def _sources() -> dict[str, Source]:
    hints = get_type_hints(ClusterView, include_extras=True)
    found = {}
    for one in fields(ClusterView):
        if get_origin(hints[one.name]) is Annotated:
            kind, axes, meaning, *counted = get_args(hints[one.name])
            required = one.default is MISSING and one.default_factory is MISSING
            found[one.name] = Source(
                one.name, axes, meaning, kind == Ints, required, counted[0] if counted else None
            )
    return found


SOURCES: dict[str, Source] = _sources()
"""The arrays of a view by name, read from the fields of `ClusterView`."""


def idle_view(scenario: Scenario, theta: Floats, **changes: Any) -> ClusterView:
    """Return the view of a cluster without traffic at time 0, its initial instances up.

    Args:
        scenario: The cluster; instances stand on its first VM type.
        theta: Prompt tokens per second that an instance sustains, [M, G].
        **changes: Fields that are otherwise.
    """
    shape = (len(scenario.models), len(scenario.regions), len(scenario.pools), len(scenario.gpus))
    length = sizes(*shape, len(scenario.tiers)) | {"T": 0}
    values: dict[str, Any] = {}
    for name, source in SOURCES.items():
        if source.required:
            kind = np.int64 if source.whole else np.float64
            array = np.zeros([length[axis] for axis in source.axes], dtype=kind)
            values[name] = array if source.axes else 0.0
    standing = values["target"]
    standing[:, 0] = scenario.initial_instances
    used = standing.reshape(shape).sum(axis=(0, 2))
    values |= {
        "interval_s": scenario.decision_interval_s,
        "horizon_s": scenario.horizon_s,
        "theta": theta,
        "active": standing.copy(),
        "idle_vms": np.maximum(scenario.inventory - used, 0),
        "inventory": scenario.inventory,
        "slo_attainment": np.ones(length["E"]),
        "niw_deadline_s": np.full(length["M"], _DAY_S),
    }
    return ClusterView(**{**values, **changes})


def sizes(models: int, regions: int, pools: int, gpus: int, tiers: int) -> dict[str, int]:
    """Return the length of every axis but T."""
    return {
        "M": models,
        "R": regions,
        "D": regions,
        "E": models * regions * pools,
        "G": gpus,
        "K": tiers,
        "W": len(WINDOWS_S),
    }
