"""What an instance sustains of sessions: theta by the hit rate of its prefix cache.

A probe of single requests has nothing to reuse. So a reference hour of the generator, whose seed no
episode has, is served in order by a few caches of an instance's size, without time: by least work
where the scenario's router weighs what is cached, else in turn. Theta is measured for what is left
to compute of each prompt, then counted in whole prompts. Our assumptions (A): the hit rate is that
of `CACHES` instances, and what is cached costs neither attention nor memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sageserve_env.capacity import measure_theta
from sageserve_env.policies import ROUTERS
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.prefix_in_turn import serve_in_turn
from sageserve_traces.sessions import make_sessions
from sageserve_traces.token_mix import TokenPairs
from sageserve_traces.trace import RequestTrace

_Turns = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]
"""Prompt, output and cached tokens."""

CACHES = 4
REFERENCE_SEED = 1_000_003
REFERENCE_S = 2 * 3600.0
REFERENCE_HOUR_UTC = 16.0


@lru_cache(maxsize=1)
def _reference() -> RequestTrace:
    return make_sessions(
        REFERENCE_SEED, REFERENCE_S, start_hour_utc=REFERENCE_HOUR_UTC, history_days=0.0
    )


#: Shares of the reference's cached tokens at which theta is measured; above 1: of what is left to
#: compute, half is taken to be cached too.
_SHARES = (0.0, 0.5, 0.8, 1.0, 1.5)


@dataclass(frozen=True)
class HitCurve:
    """Theta by the hit rate of the prefix caches.

    Attributes:
        hit_rate: Rising hit rates, [K, M].
        theta: Theta at these, in tokens of whole prompts per second, [K, M, G].
    """

    hit_rate: NDArray[np.float64]
    theta: NDArray[np.float64]


def session_theta(scenario: Scenario) -> NDArray[np.float64]:
    """Return theta of sessions, float64 [M, G], in tokens of whole prompts per second."""
    return _measured(scenario, _reference_turns(scenario), 1.0)[1]


def session_curve(scenario: Scenario) -> HitCurve | None:
    """Return theta of sessions by hit rate; None where there is no prefix cache."""
    if scenario.batching.prefix_cache == "none":
        return None
    turns = _reference_turns(scenario)
    points = [_measured(scenario, turns, share) for share in _SHARES]
    return HitCurve(np.array([p[0] for p in points]), np.array([p[1] for p in points]))


def _reference_turns(scenario: Scenario) -> list[_Turns]:
    return [_computed(scenario, m) for m in range(len(scenario.models))]


def _measured(
    scenario: Scenario, turns: list[_Turns], share: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return hit rate [M] and theta [M, G] with a share of the reference's cached tokens."""
    pairs: list[TokenPairs] = []
    whole_over_rest = np.ones((len(scenario.models), 1))
    for m, (prompt, output, cached) in enumerate(turns):
        rest = prompt - np.rint(min(share, 1.0) * cached).astype(np.int64)
        if share > 1.0:
            rest = np.rint((2.0 - share) * rest).astype(np.int64)
        rest = np.maximum(rest, 1)
        pairs.append((rest.astype(np.int32), output))
        whole_over_rest[m] = prompt.sum() / rest.sum()
    theta = measure_theta(scenario, lambda m: pairs[m])
    hit_rate = 1.0 - 1.0 / whole_over_rest[:, 0]
    return hit_rate, np.where(scenario.compatible, theta * whole_over_rest, theta)


def _computed(scenario: Scenario, m: int) -> _Turns:
    """Return prompt, output and cached tokens of a model's requests in the second half."""
    trace = _reference()
    names = [scenario.workload.rename_models.get(n, n) for n in trace.models]
    own = names.index(scenario.models[m]) if scenario.models[m] in names else 0
    mine = trace.model == own
    prompt = trace.prompt_tokens[mine].astype(np.int64)
    cached = np.zeros(len(prompt), dtype=np.int64)
    batching = scenario.batching
    if batching.prefix_cache != "none":
        tokens = int(scenario.kv_capacity_tokens[m][scenario.compatible[m]].min())
        capacity = max(1, tokens // batching.prefix_block_tokens)
        weights = ROUTERS.spec(scenario.routing.router).weights
        cached = _cached_tokens(
            own, capacity, "least_work" if weights.get("prefix_s") else "round_robin"
        )
    late = slice(len(prompt) // 2, None)
    return prompt[late], trace.output_tokens[mine][late], cached[late]


@lru_cache(maxsize=16)
def _cached_tokens(own: int, capacity: int, router: str) -> NDArray[np.int64]:
    """Return what caches of ``capacity`` blocks hold of the reference's requests of a model."""
    trace = _reference()
    mine = trace.model == own
    assert trace.prefixes is not None and trace.prefix_node is not None
    prompt = trace.prompt_tokens[mine].astype(np.int64)
    return serve_in_turn(trace.prefixes, trace.prefix_node[mine], prompt, CACHES, capacity, router)[
        0
    ]
