"""A closed loop in the simulator's kernel: clients that send their next request when one is done.

All clients send at once at time 0, so the mean TTFT contains the queue of the start, as it does in
a measurement. The kernel knows arrivals only; this driver stops it at each end of a run and hands
over the next requests of the clients that were served. A request that comes at the end of a run
waits for the next iteration boundary, as a client's does whose answer has just gone out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sageserve_env.catalogue import GpuType, Model
from sageserve_env.options import BatchingConfig, RoutingConfig, TierConfig
from sageserve_env.scenario import RegionConfig, Scenario
from sageserve_env.simulator.build import ARRIVALS, RECORD_COLUMNS
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces.trace import RequestTrace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HORIZON_S = 7 * 86_400.0


def one_instance(
    model: Model, gpu: GpuType, batching: BatchingConfig, instances: int = 1
) -> Scenario:
    """Return a scenario of one region with one VM or more of one model, without delays."""
    return Scenario(
        name="one-instance",
        regions=(RegionConfig("here", {gpu.name: instances}),),
        models=(model.name,),
        gpus=(gpu.name,),
        tiers=(TierConfig("IW-F", 1.0),),
        initial_instances=instances,
        min_instances=1,
        horizon_s=HORIZON_S,
        batching=batching,
        routing=RoutingConfig(router="threshold", delay_s=0.0),
        round_trips_s=((0.0,),),
        custom_models=(model,),
        custom_gpus=(gpu,),
    )


def requests(
    arrival_s: Floats,
    prompt_tokens: Ints,
    output_tokens: Ints,
    scenario: Scenario,
    tier: Ints | None = None,
) -> RequestTrace:
    """Return a trace of a scenario of one model and one region; the first tier is the default."""
    zeros = np.zeros(len(arrival_s), dtype=np.int16)
    return RequestTrace(
        arrival_s=arrival_s,
        model=zeros,
        region=zeros,
        tier=zeros if tier is None else tier.astype(np.int16),
        prompt_tokens=prompt_tokens.astype(np.int32),
        output_tokens=output_tokens.astype(np.int32),
        models=scenario.models,
        regions=scenario.region_names,
        tiers=scenario.tier_names,
    )


def serve(scenario: Scenario, trace: RequestTrace) -> tuple[Floats, Floats]:
    """Serve a trace up to the horizon; return TTFT and E2E, NaN for what has not come so far."""
    simulator = Simulator(scenario, np.ones((len(scenario.models), 1)), records=True)
    simulator.reset(trace)
    simulator.advance(scenario.horizon_s)
    records = simulator.records()
    return records["ttft_s"], records["e2e_s"]


def closed_loop(
    scenario: Scenario, clients: int, prompt_tokens: Ints, output_tokens: Ints
) -> tuple[Floats, Floats]:
    """Serve requests for a number of clients on the instances of `one_instance`.

    Args:
        scenario: One instance, or several behind the scenario's balancer.
        clients: Requests in the system at any time.
        prompt_tokens: Of each request, in the order in which they are sent.
        output_tokens: The same for outputs.

    Returns:
        TTFT and E2E of each request in seconds; NaN where it never ends.
    """
    total, sent = len(prompt_tokens), min(clients, len(prompt_tokens))
    first = requests(np.zeros(sent), prompt_tokens[:sent], output_tokens[:sent], scenario)
    simulator = Simulator(scenario, np.ones((1, 1)), records=True)
    simulator.reset(first)
    state = simulator.state
    clock = state.clock[0]
    simulator.advance(0.0)
    record = np.full((total, RECORD_COLUMNS), np.nan)
    record[: len(state.record)] = state.record
    state.put("record", record)
    while (next_s := float(state.vm["event_s"].min())) <= HORIZON_S:
        before = int(clock["completed"])
        simulator.advance(next_s)
        more = min(int(clock["completed"]) - before, total - sent)
        if more:
            _send(simulator, prompt_tokens[sent : sent + more], output_tokens[sent : sent + more])
            sent += more
            simulator.advance(simulator.time_s)  # an idle instance starts at once
    records = simulator.records()
    return records["ttft_s"], records["e2e_s"]


def _send(simulator: Simulator, prompt_tokens: Ints, output_tokens: Ints) -> None:
    """Let requests arrive now."""
    columns = dict.fromkeys(ARRIVALS, np.zeros(len(prompt_tokens), dtype=np.int32))
    columns["arrival_s"] = np.full(len(prompt_tokens), simulator.time_s)
    columns["arrival_prompt"] = prompt_tokens.astype(np.int32)
    columns["arrival_output"] = output_tokens.astype(np.int32)
    for name, column in columns.items():
        simulator.state.put(name, column)
    clock = simulator.state.clock[0]
    clock["cursor"], clock["exhausted"] = 0, 0
