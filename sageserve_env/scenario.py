"""Scenarios: everything about a cluster that is fixed for an episode.

A scenario is a tree of frozen dataclasses. It is loaded by name from ``scenarios/*.yaml``, from a
YAML file, or built in Python; unknown keys are errors that name the key and the nearest valid one.
Times are in seconds, prices in US dollars.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_env._config import (
    ScenarioError,
    build,
    plain,
    read_yaml,
    stable_hash,
    unknown_key_message,
)
from sageserve_env.catalogue import GPUS, MODELS, GpuType, Model, round_trip_s
from sageserve_env.options import (
    BatchingConfig,
    FaultConfig,
    LifecycleConfig,
    NiwConfig,
    RewardConfig,
    RoutingConfig,
    TierConfig,
    WorkloadConfig,
    default_tiers,
    tier_key,
)

POOLS: dict[str, tuple[str, ...]] = {
    "unified": ("unified",),
    "siloed": ("interactive", "batch"),
    "chiron": ("interactive", "mixed", "batch"),
}

MOST_VMS = 100_000
"""Of one type in one region (A): what an array of VM slots may grow to."""

SCENARIO_DIR = Path(__file__).parent / "scenarios"


@dataclass(frozen=True)
class RegionConfig:
    """A region and its VM inventory.

    Attributes:
        name: Identifier.
        vms: Count by VM type.
        price_factor: Prices of its VMs over those of the catalogue.
        resident: Share of the requests that come from here and must be served here; which ones is
            drawn by the seed.
    """

    name: str
    vms: Mapping[str, int]
    price_factor: float = 1.0
    resident: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 < self.price_factor < np.inf:
            raise ScenarioError(f"regions: {self.name}: price_factor: expected more than 0")
        if not 0 <= self.resident <= 1:
            raise ScenarioError(f"regions: {self.name}: resident: expected a share from 0 to 1")


@dataclass(frozen=True)
class Endpoint:
    """One unit of scaling: a model in a region, in one pool."""

    model: str
    region: str
    pool: str

    @property
    def name(self) -> str:
        """Return ``model/region`` or ``model/region/pool``."""
        base = f"{self.model}/{self.region}"
        return base if self.pool == "unified" else f"{base}/{self.pool}"


@dataclass(frozen=True)
class Scenario:
    """A cluster, its service objectives and its rules.

    Attributes:
        name: Identifier.
        description: One line for ``sageserve list``.
        regions: Regions with inventory, in array order (R of them).
        models: Model names, in array order (M of them).
        gpus: VM types, in array order (G of them).
        tiers: Request tiers, in array order (K of them).
        initial_instances: Active instances per endpoint at the start, on the first VM type that
            has room; under several pools it is split by ``pool_split``.
        min_instances: Least target per endpoint whose region has VMs for it (paper: 2; 0 allows
            scale to zero).
        min_per_model: Least target of a model over all its endpoints: with ``min_instances`` 0 a
            region may be empty as long as the model has instances somewhere.
        max_instances: Largest target per endpoint; None means the inventory.
        pooling: ``unified``, ``siloed`` or ``chiron``.
        pool_split: Share of the initial instances per pool (paper's siloed: 16 IW and 4 NIW).
        slo_scale: A TTFT objective is at least this multiple of the isolated prefill time (A);
            None or 0: objectives are flat.
        decision_interval_s: Time between two decisions of an agent.
        horizon_s: Length of an episode.
        round_trips_s: Optional explicit round-trip matrix [R][R]; default from the catalogue.
        custom_models: Models defined here instead of in the catalogue.
        custom_gpus: VM types defined here instead of in the catalogue.
    """

    name: str
    regions: tuple[RegionConfig, ...]
    models: tuple[str, ...]
    gpus: tuple[str, ...] = ("a100-80gb-x8",)
    description: str = ""
    tiers: tuple[TierConfig, ...] = field(default_factory=default_tiers)
    initial_instances: int = 2
    min_instances: int = 2
    min_per_model: int = 0
    max_instances: int | None = None
    pooling: str = "unified"
    pool_split: Mapping[str, float] = field(
        default_factory=lambda: {"interactive": 0.8, "mixed": 0.0, "batch": 0.2}
    )
    slo_scale: float | None = 3.0
    decision_interval_s: float = 60.0
    horizon_s: float = 86_400.0
    lifecycle: LifecycleConfig = field(default_factory=LifecycleConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    niw: NiwConfig = field(default_factory=NiwConfig)
    faults: FaultConfig = field(default_factory=FaultConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    workload: WorkloadConfig = field(default_factory=WorkloadConfig)
    round_trips_s: tuple[tuple[float, ...], ...] = ()
    custom_models: tuple[Model, ...] = ()
    custom_gpus: tuple[GpuType, ...] = ()

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        _check(self)

    # -- derived, in array order ---------------------------------------------------------------

    @cached_property
    def region_names(self) -> tuple[str, ...]:
        """Names of the regions, [R]."""
        return tuple(r.name for r in self.regions)

    @cached_property
    def tier_names(self) -> tuple[str, ...]:
        """Names of the tiers, [K]."""
        return tuple(t.name for t in self.tiers)

    @cached_property
    def pools(self) -> tuple[str, ...]:
        """Names of the pools of each (model, region)."""
        return POOLS[self.pooling]

    @cached_property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Endpoints, [E]: model-major, then region, then pool."""
        return tuple(
            Endpoint(m, r, p) for m in self.models for r in self.region_names for p in self.pools
        )

    @cached_property
    def model_specs(self) -> tuple[Model, ...]:
        """Catalogue or custom entries of the models, [M]."""
        own = {m.name: m for m in self.custom_models}
        return tuple(own.get(name) or MODELS[name] for name in self.models)

    @cached_property
    def gpu_specs(self) -> tuple[GpuType, ...]:
        """Catalogue or custom entries of the VM types, [G]."""
        own = {g.name: g for g in self.custom_gpus}
        return tuple(own.get(name) or GPUS[name] for name in self.gpus)

    @cached_property
    def round_trip(self) -> NDArray[np.float64]:
        """Round trips in seconds, [R, R]."""
        if self.round_trips_s:
            return np.asarray(self.round_trips_s, dtype=np.float64)
        names = self.region_names
        return np.array([[round_trip_s(a, b) for b in names] for a in names], dtype=np.float64)

    @cached_property
    def inventory(self) -> NDArray[np.int64]:
        """VMs per region and type, [R, G]."""
        return np.array(
            [[r.vms.get(g, 0) for g in self.gpus] for r in self.regions], dtype=np.int64
        )

    @cached_property
    def price_usd_per_hour(self) -> NDArray[np.float64]:
        """Price of a VM by region and type, [R, G]."""
        price = np.array([gpu.price_usd_per_hour for gpu in self.gpu_specs])
        return np.outer([region.price_factor for region in self.regions], price)

    @cached_property
    def endpoint_usd_per_hour(self) -> NDArray[np.float64]:
        """Price of a VM by endpoint and type, [E, G]."""
        region = [self.region_names.index(endpoint.region) for endpoint in self.endpoints]
        return self.price_usd_per_hour[region]

    def billed_usd(self, vm_seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what VMs were billed by endpoint and type, [E, G], for their seconds [E, G, 3]."""
        usd: NDArray[np.float64] = (vm_seconds / 3600.0).sum(axis=2) * self.endpoint_usd_per_hour
        return usd

    @cached_property
    def spot_price_usd_per_hour(self) -> NDArray[np.float64]:
        """What a donated VM-hour is worth by region and type, [R, G]."""
        price = np.array([gpu.spot_price_usd_per_hour for gpu in self.gpu_specs])
        return np.outer([region.price_factor for region in self.regions], price)

    @cached_property
    def start_s(self) -> NDArray[np.float64]:
        """Time that a start takes on a VM without the model, weights in the region, [M, G]."""
        life = self.lifecycle
        if life.boot_s is None or life.load_gb_per_s is None:
            return np.full((len(self.models), len(self.gpus)), life.redeploy_s)
        weights_gb = np.array([model.weights_bytes / 1e9 for model in self.model_specs])
        start: NDArray[np.float64] = life.boot_s + weights_gb / life.load_gb_per_s
        return np.repeat(start[:, None], len(self.gpus), axis=1)

    @cached_property
    def compatible(self) -> NDArray[np.bool_]:
        """Whether a model has a profile for a VM type, [M, G]."""
        return np.array([[g in m.profiles for g in self.gpus] for m in self.model_specs])

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Whether an endpoint's model runs on a VM type that its region has, [E, G]."""
        model = [self.models.index(e.model) for e in self.endpoints]
        region = [self.region_names.index(e.region) for e in self.endpoints]
        usable: NDArray[np.bool_] = self.compatible[model] & (self.inventory[region] > 0)
        return usable

    @cached_property
    def kv_capacity_tokens(self) -> NDArray[np.int64]:
        """KV tokens of one instance, [M, G]; 0 where the model does not run."""
        capacity = np.zeros((len(self.models), len(self.gpus)), dtype=np.int64)
        for i, model in enumerate(self.model_specs):
            for j, gpu in enumerate(self.gpu_specs):
                if gpu.name in model.profiles:
                    pool = model.kv_pool_bytes
                    if pool is None:
                        share = self.batching.memory_fraction * gpu.memory_bytes
                        pool = share - model.weights_bytes
                    capacity[i, j] = max(0, int(pool / model.kv_bytes_per_token))
        return capacity

    @cached_property
    def max_context_tokens(self) -> NDArray[np.int64]:
        """Longest prompt of each model, [M]: what every VM type it runs on can hold."""
        limit = np.array([m.max_context_tokens for m in self.model_specs], dtype=np.int64)
        for i in range(len(self.models)):
            fits = self.kv_capacity_tokens[i][self.compatible[i]]
            largest_output = self.batching.max_output_tokens
            limit[i] = min(limit[i], int(fits.min()) - largest_output)
        return limit

    @cached_property
    def config_hash(self) -> str:
        """Stable 12-digit hash of what differs from the defaults.

        So an option that comes later changes no hash of the scenarios that leave it alone.
        """
        return stable_hash(plain(self, defaults=False))

    # -- making and changing --------------------------------------------------------------------

    def replace(self, **changes: Any) -> Scenario:
        """Return a copy with some values changed.

        Nested values are given as mappings (``batching={"mode": "whole_prompt"}``) or objects; a
        mapping changes only the keys it names.

        Raises:
            ScenarioError: On an unknown key or a value of the wrong type.
        """
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for key, value in changes.items():
            if key not in data:
                raise ScenarioError(unknown_key_message(key, list(data), "scenario.replace"))
            old = data[key]
            if isinstance(value, Mapping) and dataclasses.is_dataclass(old):
                value = {f.name: getattr(old, f.name) for f in dataclasses.fields(old)} | dict(
                    value
                )
            data[key] = value
        return build(Scenario, data, f"scenario {self.name!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as written to YAML."""
        return dict(plain(self))

    @staticmethod
    def from_dict(data: Mapping[str, Any], where: str = "scenario") -> Scenario:
        """Build a scenario from plain values; ``base: NAME`` starts from a named one.

        Raises:
            ScenarioError: On an unknown key, a missing key or an unusable value.
        """
        values = dict(data)
        base = values.pop("base", None)
        if base is None:
            return build(Scenario, values, where)
        if not isinstance(base, str):
            raise ScenarioError(f"{where}: base: expected a scenario name, got {base!r}")
        try:
            return load_scenario(base).replace(**values)
        except (ScenarioError, TypeError) as error:
            raise ScenarioError(f"{where}: {error}") from None


def list_scenarios() -> list[str]:
    """Return the names of the scenarios that come with the package."""
    return sorted(p.stem for p in SCENARIO_DIR.glob("*.yaml"))


def load_scenario(source: str | Path | Scenario) -> Scenario:
    """Return a scenario from a name, a YAML file or an object.

    Raises:
        ScenarioError: If the name is unknown, the file missing, unreadable or wrong, or it is
            neither.
    """
    if isinstance(source, Scenario):
        return source
    if not isinstance(source, (str, Path)):
        raise ScenarioError(f"scenario: expected a name, a path or a Scenario, got {source!r}")
    path = SCENARIO_DIR / f"{source}.yaml"
    if not path.is_file():
        path = Path(source)
        if path.suffix not in {".yaml", ".yml"}:
            message = unknown_key_message(str(source), list_scenarios(), "scenario")
            raise ScenarioError(message.replace("unknown key", "unknown name"))
    data = read_yaml(path)
    if not isinstance(data, Mapping):
        raise ScenarioError(f"{path}: expected a mapping at the top, got {type(data).__name__}")
    if any(not isinstance(key, str) for key in data):
        raise ScenarioError(f"{path}: keys must be text")
    data = {"name": path.stem, **data}
    return Scenario.from_dict(data, str(path))


def _check(s: Scenario) -> None:
    """Raise ScenarioError for a scenario that cannot be simulated."""
    for kind, names in (
        ("region", s.region_names),
        ("model", s.models),
        ("gpu", s.gpus),
        ("tier", s.tier_names),
    ):
        if not names:
            raise ScenarioError(f"at least one {kind} is needed")
        if len(set(names)) != len(names):
            raise ScenarioError(f"{kind} names must differ, got {', '.join(names)}")
        if not all(name.strip() for name in names):
            raise ScenarioError(f"{kind} names must not be empty")
    keys = [tier_key(name) for name in s.tier_names]
    for i, key in enumerate(keys):
        if key in keys[:i]:
            raise ScenarioError(
                f"tiers: {s.tier_names[keys.index(key)]!r} and {s.tier_names[i]!r} would share the "
                f"metric slo_{key}; let the names differ in letters or digits"
            )
    known_models = [*MODELS, *(m.name for m in s.custom_models)]
    known_gpus = [*GPUS, *(g.name for g in s.custom_gpus)]
    outage = () if s.faults.outage_region is None else (s.faults.outage_region,)
    for what, names, known in (
        ("models", s.models, known_models),
        ("gpus", s.gpus, known_gpus),
        *((f"regions: {r.name}: vms", tuple(r.vms), list(s.gpus)) for r in s.regions),
        ("pooling", (s.pooling,), list(POOLS)),
        ("pool_split", tuple(s.pool_split), ["interactive", "mixed", "batch"]),
        ("faults: outage_region", outage, list(s.region_names)),
    ):
        for name in names:
            if name not in known:
                message = unknown_key_message(name, known, what)
                raise ScenarioError(message.replace("unknown key", "unknown name"))
    if (s.inventory < 0).any():
        raise ScenarioError("regions: vms: a count is negative")
    if (s.inventory > MOST_VMS).any():
        raise ScenarioError(f"regions: vms: more than {MOST_VMS} VMs of one type in one region")
    if not s.compatible.any(axis=1).all():
        missing = s.models[int(np.argmin(s.compatible.any(axis=1)))]
        known_types = ", ".join(s.model_specs[s.models.index(missing)].profiles) or "none"
        raise ScenarioError(
            f"model {missing!r} has no latency profile for any of {', '.join(s.gpus)} "
            f"(GPU types that it has one for: {known_types})"
        )
    sizes = {len(s.round_trips_s), *map(len, s.round_trips_s)}
    if s.round_trips_s and sizes != {len(s.regions)}:
        raise ScenarioError("round_trips_s: expected one row and one column per region")
    if not ((s.round_trip >= 0) & np.isfinite(s.round_trip)).all():
        raise ScenarioError("round_trips_s: expected finite numbers of at least 0")
    if not (
        0 <= s.min_instances and (s.max_instances is None or s.max_instances >= s.min_instances)
    ):
        raise ScenarioError("min_instances must be at least 0 and at most max_instances")
    if not 0 <= s.initial_instances <= MOST_VMS:
        raise ScenarioError(f"initial_instances must be 0 to {MOST_VMS}")
    if not 0 < s.decision_interval_s <= s.horizon_s or s.horizon_s > 366 * 86_400:
        raise ScenarioError("need 0 < decision_interval_s <= horizon_s <= 366 days")
    if s.slo_scale and not 1 <= s.slo_scale < np.inf:
        raise ScenarioError(
            "slo_scale must be finite and at least 1, or an idle instance misses; "
            "0 or null: objectives are flat"
        )
    if not 0 <= s.min_per_model <= MOST_VMS:
        raise ScenarioError(f"min_per_model must be 0 to {MOST_VMS}")
    for pool, share in s.pool_split.items():
        if not 0 <= share <= 1:
            raise ScenarioError(f"pool_split: {pool}: expected a share from 0 to 1, got {share}")
    _check_minimum(s)
    if (s.max_context_tokens < 1).any():
        worst = s.models[int(np.argmin(s.max_context_tokens))]
        raise ScenarioError(f"model {worst!r} leaves no KV memory for a prompt on one of {s.gpus}")
    for i, spec in enumerate(s.model_specs):
        for gpu in s.gpus:
            if gpu in spec.profiles:
                longest = int(s.max_context_tokens[i])
                reason = spec.profiles[gpu].error(longest, s.batching.max_sequences)
                if reason:
                    raise ScenarioError(f"model {spec.name!r} on {gpu}: {reason}")


def _check_minimum(s: Scenario) -> None:
    """Raise ScenarioError where a region has too few VMs for the least fleet of its endpoints.

    Endpoints that can use no VM of their region have no least fleet.
    """
    region = np.array([s.region_names.index(e.region) for e in s.endpoints])
    for r, name in enumerate(s.region_names if s.min_instances else ()):
        rows = s.usable[region == r]
        rows = rows[rows.any(axis=1)]
        kinds = np.unique(rows, axis=0)
        for types in [*kinds, kinds.any(axis=0)]:  # endpoints that depend on some types, and all
            bound = int((~rows[:, ~types].any(axis=1)).sum())
            need, have = bound * s.min_instances, int(s.inventory[r, types].sum())
            if need > have:
                which = ", ".join(np.array(s.gpus)[types])
                raise ScenarioError(
                    f"min_instances: at {s.min_instances} each the endpoints in {name!r} need "
                    f"{need} VMs ({which}), there are {have}; lower min_instances or add VMs"
                )
