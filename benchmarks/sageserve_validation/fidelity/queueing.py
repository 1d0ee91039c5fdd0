"""`sageserve fidelity queueing`: limits of the simulator whose answers are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from sageserve_env.catalogue import MODELS, LatencyProfile, Model
from sageserve_env.options import BatchingConfig, RoutingConfig, TierConfig
from sageserve_env.scenario import RegionConfig, Scenario
from sageserve_validation.fidelity import theory
from sageserve_validation.fidelity.closed_loop import Floats, Ints, requests, serve

GPU = "a100-80gb-x8"
TOLERANCE = 0.02
WARM_UP = 0.02  # share of the samples left out at the start
LLAMA = MODELS["llama-2-70b"].profiles[GPU]
PER_TOKEN = LatencyProfile(prefill_per_token_s=1e-3, decode_base_s=1e-3)


@dataclass(frozen=True)
class Check:
    """One figure against theory; `half_width` is that of the 95 % interval (0: no randomness)."""

    name: str
    figure: str
    simulated: float
    theory: float
    half_width: float = 0.0

    @property
    def relative_error(self) -> float:
        """(simulated - theory) / theory."""
        return self.simulated / self.theory - 1.0

    @property
    def passed(self) -> bool:
        """Whether the error is within 2 %, or the theory inside the interval."""
        close = abs(self.relative_error) <= TOLERANCE
        return bool(close or abs(self.simulated - self.theory) <= self.half_width)

    def to_dict(self) -> dict[str, str | float | bool]:
        """Return everything for the report."""
        return asdict(self) | {"relative_error": self.relative_error, "passed": self.passed}


def checks(samples: int, seed: int = 0) -> Iterator[Check]:
    """Yield every check; each random one simulates `samples` requests."""
    yield from _mg1(samples, seed)
    yield from _priorities(samples, seed + 1)
    for servers, load in ((2, 0.8), (5, 0.9), (20, 0.9)):
        yield _mdn(samples, seed + servers, servers, load)
    yield from _decode_throughput()
    yield _overload(samples, seed + 100)


def simulate(
    profile: LatencyProfile,
    arrival_s: Floats,
    prompt: Ints,
    output: Ints,
    *,
    instances: int = 1,
    max_sequences: int = 1,
    balancer: str = "jsq",
    tier: Ints | None = None,
    until_s: float | None = None,
) -> tuple[Floats, Floats]:
    """Serve requests on one endpoint without network; return TTFT and E2E in seconds."""
    longest = int(output.max())
    horizon_s = until_s or float(arrival_s[-1]) + 86_400.0
    model = Model("m", 0.0, 1.0, int(prompt.max()), {GPU: profile}, kv_pool_bytes=1e9)
    tiers = (TierConfig("first", 1.0, priority=0), TierConfig("second", 1.0, priority=1))
    scenario = Scenario(
        name="queue",
        regions=(RegionConfig("westus", {GPU: instances}),),
        models=("m",),
        tiers=tiers,
        initial_instances=instances,
        min_instances=1,
        horizon_s=horizon_s,
        decision_interval_s=min(60.0, horizon_s),
        batching=BatchingConfig(
            prefill_token_budget=None,
            max_sequences=max_sequences,
            balancer=balancer,
            discipline="fcfs" if tier is None else "pf",
            max_output_tokens=longest,
        ),
        routing=RoutingConfig(router="threshold"),
        round_trips_s=((0.0,),),
        custom_models=(model,),
    )
    return serve(scenario, requests(arrival_s, prompt, output, scenario, tier))


def alone_s(profile: LatencyProfile, prompt: int, output: int) -> float:
    """Time that a request takes alone: its prefill and output - 1 decode steps."""
    steps = output - 1
    context = prompt * steps + steps * (steps + 1) / 2  # step k attends to prompt + k tokens
    decode_s = steps * profile.decode_s(1, 0.0) + profile.decode_per_context_token_s * context
    return profile.prefill_s(prompt) + decode_s


def _poisson(rng: np.random.Generator, rate: float, samples: int) -> Floats:
    return np.cumsum(rng.exponential(1.0 / rate, samples))


def _waits(check: str, waits: Floats, expected: float) -> Check:
    mean, half = theory.batch_means(waits[int(WARM_UP * len(waits)) :])
    return Check(check, "mean wait, s", mean, expected, half)


def _mg1(samples: int, seed: int) -> Iterator[Check]:
    """One instance, one sequence at a time, the whole life of a request as its service."""
    rng = np.random.default_rng(seed)
    sizes = np.array([[100, 5], [1000, 50], [3000, 20], [6000, 200]])
    share = np.array([0.4, 0.3, 0.2, 0.1])
    each_s = np.array([alone_s(LLAMA, int(p), int(o)) for p, o in sizes])
    mean_s, square_s2 = float(share @ each_s), float(share @ each_s**2)
    for load in (0.5, 0.8):
        rate = load / mean_s
        drawn = rng.choice(len(sizes), samples, p=share)
        arrival_s = _poisson(rng, rate, samples)
        ttft, _ = simulate(LLAMA, arrival_s, sizes[drawn, 0], sizes[drawn, 1])
        waits = ttft - np.array([LLAMA.prefill_s(int(p)) for p in sizes[:, 0]])[drawn]
        expected = theory.mg1_wait_s(rate, mean_s, square_s2)
        yield _waits(f"M/G/1, load {load}: Pollaczek-Khinchine", waits, expected)


def _priorities(samples: int, seed: int) -> Iterator[Check]:
    """Two tiers under PF on one instance: a priority queue without preemption."""
    rng = np.random.default_rng(seed)
    prompt = np.array([200, 1000])
    each_s = np.array([alone_s(PER_TOKEN, int(p), 1) for p in prompt])
    rates = np.array([0.4, 0.4]) / each_s
    drawn = rng.choice(2, samples, p=rates / rates.sum())
    arrival_s = _poisson(rng, float(rates.sum()), samples)
    ones = np.ones(samples, dtype=np.int64)
    ttft, _ = simulate(PER_TOKEN, arrival_s, prompt[drawn], ones, tier=drawn)
    waits = ttft - each_s[drawn]
    expected = theory.mg1_priority_waits_s(list(rates), list(each_s), list(each_s**2))
    for k, name in enumerate(("high", "low")):
        yield _waits(f"M/G/1 with priorities, {name}: Cobham", waits[drawn == k], expected[k])


def _mdn(samples: int, seed: int, servers: int, load: float) -> Check:
    """Serve in turn by n instances: with equal services, the same as one queue before n servers."""
    rng = np.random.default_rng(seed)
    service = alone_s(PER_TOKEN, 1000, 1)
    rate = load * servers / service
    arrival_s = _poisson(rng, rate, samples)
    prompt = np.full(samples, 1000)
    ttft, _ = simulate(
        PER_TOKEN,
        arrival_s,
        prompt,
        np.ones_like(prompt),
        instances=servers,
        balancer="round_robin",
    )
    expected = theory.mdn_wait_s(rate, service, servers)
    return _waits(f"M/D/{servers}, load {load}: Crommelin", ttft - service, expected)


def _decode_throughput() -> Iterator[Check]:
    """A full batch that only decodes: tokens over the sum of its iteration times."""
    prompt, output = 64, 1000
    for n in (1, 32, 256):
        whole = np.full(n, prompt), np.full(n, output)
        ttft, e2e = simulate(LLAMA, np.zeros(n), *whole, max_sequences=n)
        # The first request starts alone; the others join it after its prefill, all at once, so
        # that it is one token ahead. From then until it ends all n decode, and nothing else runs.
        ahead = 1 if n > 1 else 0
        steps = output - 1 - ahead
        simulated = n * steps / (float(e2e[0]) - float(ttft.max()))
        context = n * ((prompt + 1) * steps + steps * (steps - 1) / 2) + ahead * steps
        decode_s = steps * LLAMA.decode_s(n, 0.0) + LLAMA.decode_per_context_token_s * context
        yield Check(f"decode only, batch of {n}", "tokens/s", simulated, n * steps / decode_s)


def _overload(samples: int, seed: int) -> Check:
    """More arrivals than one instance can serve: what waits grows at the difference."""
    rng = np.random.default_rng(seed)
    service = alone_s(PER_TOKEN, 1000, 1)
    rate = 1.5 / service
    arrival_s = _poisson(rng, rate, samples)
    prompt = np.full(samples, 1000)
    until_s = float(arrival_s[-1])
    _, e2e = simulate(PER_TOKEN, arrival_s, prompt, np.ones_like(prompt), until_s=until_s)
    growth = float(np.isnan(e2e).sum()) / until_s
    # The number of arrivals until then is given; the time they take varies.
    half = 2.0 * rate / np.sqrt(samples)
    return Check("overload 1.5", "backlog growth, 1/s", growth, rate - 1.0 / service, half)
