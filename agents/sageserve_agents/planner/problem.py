"""What the planner is asked and what it answers, as arrays; no solver here.

Axes: T periods, M models, R regions, G VM types, C classes of demand (the tiers).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from sageserve_agents.demand import HOUR_S
from sageserve_env.view import Floats, Ints

# A token rate that stays unserved costs at least this many times what serving it would (A), so
# that anything above a thousandth of an instance is worth an instance and demand is cut only
# where no VM is left.
SHORTFALL_FACTOR = 1000.0
# A VM counts as at least this dear for that (A): free ones must not make demand worthless.
_LEAST_USD = 1.0
# A missing instance of the minimum costs this many times what it could serve (A): the cluster
# holds every endpoint at its minimum, so demand must not be planned on those VMs.
_MINIMUM_FACTOR = 2.0


@dataclass(frozen=True)
class Penalties:
    """What a plan pays for what it leaves out.

    Attributes:
        shortfall_usd: Cost of a token per second that is not served for an hour, [M, C].
        missing_usd: Cost of an instance below the minimum for an hour.
    """

    shortfall_usd: Floats
    missing_usd: float


@dataclass(frozen=True)
class PlanProblem:
    """One planning problem.

    Attributes:
        models: Names [M].
        regions: Names [R].
        gpus: Names [G].
        classes: Names of the classes of demand [C].
        demand: Prompt tokens per second by origin, float64 [T, M, R, C].
        theta: Sustained prompt tokens per second of one instance, [M, G]; 0 where it cannot run.
        price_usd_per_hour: By region and type, [R, G]; [G] is the same price everywhere.
        inventory: VMs that may be used, int64 [R, G].
        current: Instances that stand now, int64 [M, R, G].
        low: Fewest instances per model and region, int64 [M, R].
        high: Most, int64 [M, R].
        start_cost_usd: Cost of one start, [M, R, G]: the VM is billed until it is up.
        flow_cost_usd: Cost per prompt token served for an origin at a destination, [M, R, R]:
            transfer and latency.
        value_usd: Worth of serving a prompt token, [M, C]; decides what is cut when VMs run out.
        period_s: Lengths of the periods, [T].
        rho: Share of theta that may be planned.
        local_share: Least share of the served demand of each origin that stays there, [R]; a number
            is the same for all. Requests that must be served at home are part of it.
        ceiling: Most instances of a type in a period, int64 [T, M, R, G]; None: no limit. Starts
            take time, so early periods are limited by what is already under way.
        neighbours: Regions that may serve a region's traffic, counting itself, nearest first by
            ``flow_cost_usd``; None means all.
        integer_periods: Instances are whole in that many first periods, and relaxed later.
        first_whole: Period from which on they are whole; relaxed before it.
        penalties: What is paid for demand and minima that are not met; None derives it. The
            problem of one model of several has those of the whole (see `only`).
    """

    models: tuple[str, ...]
    regions: tuple[str, ...]
    gpus: tuple[str, ...]
    classes: tuple[str, ...]
    demand: Floats
    theta: Floats
    price_usd_per_hour: Floats
    inventory: Ints
    current: Ints
    low: Ints
    high: Ints
    start_cost_usd: Floats
    flow_cost_usd: Floats
    value_usd: Floats
    period_s: Floats = field(default_factory=lambda: np.array([HOUR_S]))
    rho: float = 1.0
    local_share: Floats | float = 0.0
    ceiling: Ints | None = None
    neighbours: int | None = None
    integer_periods: int | None = None
    first_whole: int = 0
    penalties: Penalties | None = None

    def __post_init__(self) -> None:
        """Check shapes and values.

        Raises:
            ValueError: If an array has another shape than documented or an unusable value.
        """
        t, m, r = len(self.period_s), len(self.models), len(self.regions)
        g, c = len(self.gpus), len(self.classes)
        for name, whole in (("price_usd_per_hour", (r, g)), ("local_share", (r,))):
            given = np.asarray(getattr(self, name), dtype=np.float64)
            if given.shape in {(), whole[-given.ndim :]}:
                object.__setattr__(self, name, np.broadcast_to(given, whole))
        expected: dict[str, tuple[int, ...]] = {
            "demand": (t, m, r, c),
            "theta": (m, g),
            "price_usd_per_hour": (r, g),
            "local_share": (r,),
            "inventory": (r, g),
            "current": (m, r, g),
            "low": (m, r),
            "high": (m, r),
            "start_cost_usd": (m, r, g),
            "flow_cost_usd": (m, r, r),
            "value_usd": (m, c),
        }
        if self.ceiling is not None:
            expected["ceiling"] = (t, m, r, g)
        for name, shape in expected.items():
            value = np.asarray(getattr(self, name))
            if value.shape != shape:
                raise ValueError(f"plan: {name}: expected shape {shape}, got {value.shape}")
            if not np.isfinite(value).all() or (value < 0).any():
                raise ValueError(f"plan: {name}: expected finite values of at least 0")
        if not 0 < self.rho:
            raise ValueError(f"plan: rho must be positive, got {self.rho}")
        if (self.home_share > 1).any():
            raise ValueError(f"plan: local_share must be in [0, 1], got {self.local_share}")
        if (self.low > self.high).any():
            raise ValueError("plan: low must not exceed high")

    @property
    def whole(self) -> slice:
        """Periods in which instances are whole."""
        return slice(self.first_whole, self.integer_periods)

    @property
    def home_share(self) -> Floats:
        """``local_share`` by origin, [R]."""
        return np.asarray(self.local_share)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Sizes (T, M, R, G, C)."""
        return (
            len(self.period_s),
            len(self.models),
            len(self.regions),
            len(self.gpus),
            len(self.classes),
        )

    def only(self, m: int) -> PlanProblem:
        """Return the problem of one model, with all the VMs to itself."""
        one = slice(m, m + 1)
        return replace(
            self,
            models=self.models[one],
            demand=self.demand[:, one],
            theta=self.theta[one],
            current=self.current[one],
            low=self.low[one],
            high=self.high[one],
            start_cost_usd=self.start_cost_usd[one],
            flow_cost_usd=self.flow_cost_usd[one],
            value_usd=self.value_usd[one],
            ceiling=None if self.ceiling is None else self.ceiling[:, one],
            penalties=Penalties(self.shortfall_usd()[one], self.missing_minimum_usd()),
        )

    def shortfall_usd(self) -> Floats:
        """Return the cost of a token per second that is not served for an hour, [M, C].

        Proportional to ``value_usd``; the least valuable class costs `SHORTFALL_FACTOR` times the
        dearest way to serve a token.
        """
        if self.penalties is not None:
            return self.penalties.shortfall_usd
        usable = self.theta > 0
        vm = np.maximum(self.price_usd_per_hour.max(axis=0), _LEAST_USD)
        per_rate = np.where(usable, vm / np.where(usable, self.theta, 1.0), 0.0)
        moved = HOUR_S * float(self.flow_cost_usd.max(initial=0.0))
        unit = SHORTFALL_FACTOR * max(float(per_rate.max()) / self.rho, moved, 1e-9)
        positive = self.value_usd[self.value_usd > 0]
        least = float(positive.min()) if positive.size else 1.0
        return unit * np.maximum(self.value_usd / least, 1.0)

    def missing_minimum_usd(self) -> float:
        """Return the cost of an instance below the minimum for an hour."""
        if self.penalties is not None:
            return self.penalties.missing_usd
        served = self.rho * float(self.theta.max(initial=0.0))
        served *= float(self.shortfall_usd().max(initial=0.0))
        return _MINIMUM_FACTOR * max(served, float(self.price_usd_per_hour.max(initial=0.0)))


@dataclass(frozen=True)
class Plan:
    """The answer to a problem.

    Attributes:
        problem: What was asked.
        instances: int64 [T, M, R, G]; rounded up where a period was relaxed.
        flow: Prompt tokens per second by origin and destination, [T, M, R, R].
        shortfall: Prompt tokens per second not served, [T, M, R, C].
        objective_usd: Value of the objective.
        bound_usd: Lower bound proven by the solver; NaN if unknown.
        gap: (objective - bound) / objective; NaN if unknown.
        optimal: Whether the gap that was asked for is proven; False after a time-out.
        solver: ``highs`` or ``cbc``.
        build_s: Time to build the model.
        solve_s: Time of the solver.
        parted: Whether it was made model by model, as they do not compete for VMs.
    """

    problem: PlanProblem
    instances: Ints
    flow: Floats
    shortfall: Floats
    objective_usd: float
    bound_usd: float
    gap: float
    optimal: bool
    solver: str
    build_s: float
    solve_s: float
    parted: bool = False

    @property
    def short(self) -> bool:
        """Whether some demand is not served."""
        scale = max(float(self.problem.demand.max(initial=0.0)), 1.0)
        return bool(self.shortfall.max(initial=0.0) > 1e-6 * scale)

    def capacity(self) -> Floats:
        """Return the planned capacity in prompt tokens per second, [T, M, R]."""
        p = self.problem
        total: Floats = p.rho * (self.instances * p.theta[None, :, None, :]).sum(axis=3)
        return total

    def cost_usd(self) -> dict[str, float]:
        """Return the parts of the objective: vms, starts, flows, shortfall."""
        return cost_parts(self.problem, self.instances, self.flow, self.shortfall)


def cost_parts(
    p: PlanProblem, instances: Ints, flow: Floats, shortfall: Floats
) -> dict[str, float]:
    """Return the parts of the objective in USD of a given solution."""
    hours = p.period_s / HOUR_S
    before = np.concatenate([p.current[None], instances[:-1]])
    starts = np.maximum(instances - before, 0)
    vms = (instances * p.price_usd_per_hour).sum(axis=(1, 2, 3))
    moved = (flow * p.flow_cost_usd).sum(axis=(1, 2, 3))
    cut = (shortfall * p.shortfall_usd()[None, :, None, :]).sum(axis=(1, 2, 3))
    return {
        "vms": float(vms @ hours),
        "starts": float((starts * p.start_cost_usd).sum()),
        "flows": float(moved @ p.period_s),
        "shortfall": float(cut @ hours),
    }
