"""Random clusters, workloads and decisions for the properties of the simulator."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from sageserve_env import options
from sageserve_env._config import ScenarioError
from sageserve_env.actions import ClusterAction
from sageserve_env.catalogue import GpuType, LatencyProfile, Model
from sageserve_env.options import TierConfig
from sageserve_env.policies import ROUTER_FEATURES, ROUTERS
from sageserve_env.scenario import POOLS, RegionConfig, Scenario
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces.trace import RequestTrace
from tests.simulator.canonical import canonical
from tests.simulator.small import TIERS

PROFILES = (
    LatencyProfile(0.1, 0.001, 1e-6, 0.05, 0.01, 1e-5),
    LatencyProfile(0.02, 0.0005, 0.0, 0.01, 0.002, 0.0),
    LatencyProfile(
        decode_per_context_token_s=1e-5,
        prefill_table=((1.0, 0.02), (100.0, 0.05), (1000.0, 0.9)),
        decode_table=((1.0, 0.02), (8.0, 0.05)),
    ),
    LatencyProfile(
        prefill_base_s=0.01,
        prefill_per_token2_s=1e-6,
        decode_per_sequence_s=1e-3,
        decode_per_context_token_s=1e-5,
        pass_table=((1.0, 0.02), (100.0, 0.05), (1000.0, 0.9)),
    ),
)
MAX_OUTPUT = 60
HORIZON_S = 30_000.0


@dataclass(frozen=True)
class Case:
    """A cluster, its requests and what is decided when."""

    scenario: Scenario
    trace: RequestTrace
    steps: tuple[tuple[float, ClusterAction], ...]  # seconds since the step before, decision
    seed: int

    def simulator(self) -> Simulator:
        """Return a simulator at time 0."""
        theta = np.full((len(self.scenario.models), len(self.scenario.gpus)), 800.0)
        sim = Simulator(self.scenario, theta, records=True)
        sim.reset(self.trace, self.seed)
        return sim


def _one(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


BUILT_IN = ("threshold", "shares", "least_wait", "least_wait_kv", "prefix_affinity", "jsq")
FAULTS = st.fixed_dictionaries(
    {
        "crash_per_hour": _one(0.0, 30.0, 300.0),
        "provision_failure": _one(0.0, 0.4),
        "eviction_per_hour": _one(0.0, 200.0),
        "slow_share": _one(0.0, 0.5),
        "outage_start_s": _one(0.0, 6.0, 25.5),
        "outage_duration_s": _one(0.0, 10.0, 40.0),
        "stale_metrics_s": _one(0.0, 5.0),
    }
)
BATCHING = st.fixed_dictionaries(
    {
        "mode": _one(*options.BATCHING_MODES),
        "kv_policy": _one(*options.KV_POLICIES),
        "discipline": _one(*options.DISCIPLINES),
        "balancer": _one(*options.BALANCERS),
        "utilisation": _one(*options.UTILISATIONS),
        "prefill_token_budget": _one(64, 500, None),
        "max_sequences": _one(1, 2, 8),
        "iteration_overhead_s": _one(0.0, 0.01),
        "mixed_prefill_factor": _one(None, 1.1),
        "max_output_tokens": st.just(MAX_OUTPUT),
    }
)
LIFECYCLE = st.fixed_dictionaries(
    {
        "spot_same_model_s": _one(2.0, 5.0),
        "redeploy_s": _one(8.0, 20.0),
        "fetch_weights_s": _one(40.0),
        "jitter": _one(0.0, 0.3),
        "weights_in_region": st.booleans(),
        "label_half_life_s": _one(None, None, 20.0),
    }
)
PROMISES = (
    TIERS,
    (
        dataclasses.replace(TIERS[0], tpot_s=0.03),
        TIERS[1],
        TierConfig("NIW", (20.0, 90.0), "completion", False, 0.999, 2),  # type: ignore[arg-type]
    ),
)
ROUTING = st.fixed_dictionaries(
    {
        "router": _one(*BUILT_IN),
        "threshold": _one(0.3, 0.7),
        "delay_s": _one(0.0, 0.0, 0.5),
        "region_age_s": _one(0.0, 0.0, 0.4, 3.0),
        "spill_threshold": _one(0.1, 0.7),
    }
)
NIW = st.fixed_dictionaries(
    {"pull_interval_s": _one(0.1, 1.0), "escalate_after_s": _one(15.0, 500.0)}
)


@st.composite
def scenarios(draw: st.DrawFn, *, faults: bool = True) -> Scenario:
    """Small clusters: 1-3 regions and models, 1-2 VM types, every option."""
    n_regions, n_models, n_gpus = draw(_one(1, 2, 3)), draw(_one(1, 2, 3)), draw(_one(1, 2))
    regions = tuple(f"r{i}" for i in range(n_regions))
    gpus = tuple(f"g{i}" for i in range(n_gpus))
    kv = draw(_one(150.0, 400.0, 5000.0))
    models = tuple(
        Model(f"m{i}", 0.0, 1.0, 2000, {g: PROFILES[(i + j) % 3] for j, g in enumerate(gpus)})
        for i in range(n_models)
    )
    if n_models > 1 and n_gpus > 1 and draw(st.booleans()):  # the last model lacks a VM type
        last = models[-1]
        only = {gpus[1]: last.profiles[gpus[1]]}
        models = (*models[:-1], Model(last.name, 0.0, 1.0, 2000, only))
    wrong = draw(FAULTS) if faults else {}
    if wrong:
        wrong["outage_region"] = draw(_one(None, *regions))
    trip = draw(_one(0.0, 0.05))
    life = draw(LIFECYCLE)
    if draw(st.booleans()):
        life |= {"boot_s": 6.0, "load_gb_per_s": 0.1}
    scenario = Scenario.from_dict(
        {
            "name": "random",
            "regions": tuple(
                RegionConfig(
                    r,
                    {g: draw(st.integers(0, 5)) for g in gpus},
                    draw(_one(1.0, 1.25)),
                    draw(_one(0.0, 0.0, 0.4)),
                )
                for r in regions
            ),
            "models": tuple(m.name for m in models),
            "gpus": gpus,
            "tiers": draw(_one(*PROMISES)),
            "slo_scale": draw(_one(3.0, None)),
            "min_per_model": draw(_one(0, 0, 1)),
            "initial_instances": draw(_one(0, 1, 3)),
            "min_instances": 0,
            "max_instances": draw(_one(None, 2)),
            "pooling": draw(_one(*POOLS)),
            "horizon_s": HORIZON_S,
            "lifecycle": life,
            "batching": draw(BATCHING),
            "routing": draw(ROUTING),
            "niw": draw(NIW),
            "faults": wrong,
            "round_trips_s": tuple(
                tuple(0.0 if a == b else trip * (1 + abs(i - j)) for j, b in enumerate(regions))
                for i, a in enumerate(regions)
            ),
            "custom_models": models,
            "custom_gpus": tuple(
                GpuType(g, 8, kv * (1 + j) / 0.9, 36.0 * (1 + j), 18.0) for j, g in enumerate(gpus)
            ),
        }
    )
    if draw(_one(False, False, True)):
        with contextlib.suppress(ScenarioError):  # where the inventory holds it
            return scenario.replace(min_instances=1)
    return scenario


def random_trace(scenario: Scenario, n: int, rng: np.random.Generator) -> RequestTrace:
    """Return ``n`` requests in a minute: spread, in bursts, and at whole seconds."""
    spread, bursts = rng.uniform(0, 60, n), rng.choice(rng.uniform(0, 60, 3), n)
    arrival = np.sort(np.choose(rng.integers(0, 3, n), [spread, bursts, np.floor(spread)]))
    return RequestTrace(
        arrival_s=arrival,
        model=rng.integers(0, len(scenario.models), n),
        region=rng.integers(0, len(scenario.regions), n),
        tier=rng.integers(0, len(scenario.tiers), n),
        prompt_tokens=np.ceil(600 * rng.random(n) ** 3 + 1e-9).astype(np.int32),
        output_tokens=np.ceil(80 * rng.random(n) ** 2 + 1e-9).astype(np.int32),
        models=scenario.models,
        regions=scenario.region_names,
        tiers=scenario.tier_names,
        duration_s=HORIZON_S,
    )


def random_action(scenario: Scenario, rng: np.random.Generator) -> ClusterAction:
    """Return any valid decision; with targets that the inventory may not provide."""
    m, r = len(scenario.models), len(scenario.regions)
    router = (*BUILT_IN, None)[rng.integers(len(BUILT_IN) + 1)]
    routing = None
    if rng.random() < 0.5:
        routing = rng.random((m, r, r)) * (rng.random((m, r, r)) < 0.7)
        if (router or scenario.routing.router) == "shares":
            routing += np.eye(r) * (routing.sum(axis=2, keepdims=True) == 0)
            routing /= routing.sum(axis=2, keepdims=True)
    weights = None
    if ROUTERS.spec(router or scenario.routing.router).weights and rng.random() < 0.3:
        weights = rng.normal(size=(m, len(ROUTER_FEATURES)))
    shape = (len(scenario.endpoints), len(scenario.gpus))
    return ClusterAction(
        rng.integers(0, 4, shape) * (rng.random(shape) < 0.7),
        router=router,
        routing=routing,
        niw_release=rng.random(shape[0]) if rng.random() < 0.5 else None,
        discipline=(*options.DISCIPLINES, None)[rng.integers(len(options.DISCIPLINES) + 1)],
        router_weights=weights,
        admission=random_limits(scenario, rng) if rng.random() < 0.2 else None,
    )


def random_limits(scenario: Scenario, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return limits of admission, half of them none."""
    limits = rng.exponential(2.0, (len(scenario.models), len(scenario.tiers)))
    return np.where(rng.random(limits.shape) < 0.5, np.inf, limits)


@st.composite
def cases(draw: st.DrawFn, *, faults: bool = True) -> Case:
    """Return a random cluster with random requests and decisions."""
    scenario = draw(scenarios(faults=faults))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    trace = random_trace(scenario, draw(st.integers(0, 40)), rng)
    waits = draw(st.lists(_one(0.0, 1.0, 7.3, 20.0), min_size=1, max_size=6))
    steps = tuple((wait, random_action(scenario, rng)) for wait in waits)
    return Case(scenario, trace, steps, seed)


def play(sim: Simulator, case: Case) -> None:
    """Run the steps of a case on its simulator."""
    for wait, action in case.steps:
        sim.apply(action)
        sim.advance(sim.time_s + wait)


def fingerprint(sim: Simulator) -> dict[str, bytes]:
    """Return every array of the state as bytes, requests by number, and the records.

    The buffered piece of the trace and the place in it are left out: where a piece is cut decides
    nothing, and a restored feed may cut elsewhere.
    """
    prints = {n: a.tobytes() for n, a in canonical(sim.state).items()}
    return prints | {n: a.tobytes() for n, a in sim.records().items()}
