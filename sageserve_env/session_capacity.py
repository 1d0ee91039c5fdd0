"""What an instance sustains of sessions: theta with the hit rate of its prefix cache.

A probe of single requests has nothing to reuse. So a reference hour of the generator, whose seed no
episode has, is served in order by a few caches of an instance's size, without time: by least work
where the scenario's router weighs what is cached, else in turn. Theta is measured for what is left
to compute of each prompt, then counted in whole prompts. Our assumptions (A): the hit rate is that
of `CACHES` instances, and what is cached costs neither attention nor memory.
"""

from __future__ import annotations

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

CACHES = 4
REFERENCE_SEED = 1_000_003
REFERENCE_S = 2 * 3600.0
REFERENCE_HOUR_UTC = 16.0


@lru_cache(maxsize=1)
def _reference() -> RequestTrace:
    return make_sessions(
        REFERENCE_SEED, REFERENCE_S, start_hour_utc=REFERENCE_HOUR_UTC, history_days=0.0
    )


def session_theta(scenario: Scenario) -> NDArray[np.float64]:
    """Return theta of sessions, float64 [M, G], in tokens of whole prompts per second."""
    pairs: list[TokenPairs] = []
    whole_over_rest = np.ones((len(scenario.models), 1))
    for m in range(len(scenario.models)):
        prompt, output, cached = _computed(scenario, m)
        rest = np.maximum(prompt - cached, 1)
        pairs.append((rest.astype(np.int32), output))
        whole_over_rest[m] = prompt.sum() / rest.sum()
    theta = measure_theta(scenario, lambda m: pairs[m])
    return np.where(scenario.compatible, theta * whole_over_rest, theta)


def _computed(
    scenario: Scenario, m: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Return prompt, output and cached tokens of a model's requests in the second half."""
    trace = _reference()
    names = [scenario.workload.rename_models.get(n, n) for n in trace.models]
    own = names.index(scenario.models[m]) if scenario.models[m] in names else 0
    mine = trace.model == own
    prompt = trace.prompt_tokens[mine].astype(np.int64)
    cached = np.zeros(len(prompt), dtype=np.int64)
    batching = scenario.batching
    assert trace.prefixes is not None and trace.prefix_node is not None
    if batching.prefix_cache != "none":
        tokens = int(scenario.kv_capacity_tokens[m][scenario.compatible[m]].min())
        capacity = max(1, tokens // batching.prefix_block_tokens)
        node = trace.prefix_node[mine]
        weights = ROUTERS.spec(scenario.routing.router).weights
        router = "least_work" if weights.get("prefix_s") else "round_robin"
        cached, _ = serve_in_turn(trace.prefixes, node, prompt, CACHES, capacity, router)
    late = slice(len(prompt) // 2, None)
    return prompt[late], trace.output_tokens[mine][late], cached[late]
