"""Per-request records of an episode as a Parquet file: one row per request, in order of arrival."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sageserve_bench.errors import UserError
from sageserve_bench.writing import check_file
from sageserve_env.simulator.feed import Feed
from sageserve_env.simulator.latency import prefill_s
from sageserve_env.simulator.rng import OBJECTIVE, draw
from sageserve_env.simulator.state import State
from sageserve_traces.files import atomic_path

if TYPE_CHECKING:
    import pyarrow as pa

    from sageserve_env.env import SageServeEnv

SUFFIX = ".parquet"


def check_target(path: Path) -> None:
    """Find out whether records can be written to a file, before the episode runs.

    Raises:
        UserError: If the name does not end in ``.parquet``, or the file cannot be written.
    """
    if path.suffix != SUFFIX:
        raise UserError(f"--records {path}: the name must end in {SUFFIX}")
    check_file("--records", path)


def write_records(env: SageServeEnv, path: Path) -> int:
    """Write what became of every request that has arrived; return how many. Atomic.

    Columns: ``arrival_s``; the names of ``model``, origin ``region`` and ``tier``;
    ``prompt_tokens`` and ``output_tokens`` as served (cut to what the model holds); ``ttft_s`` and
    ``e2e_s`` with network latency; ``served_region``; and ``attained``, whether the request met its
    objective (TTFT of an interactive tier, completion of a batch tier). ``ttft_s`` is null before
    the first token, the last three are before completion.

    Args:
        env: An environment whose simulator keeps records, within or after an episode.
        path: The file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    simulator, workload = env.simulator, env.workload
    results = simulator.records()
    count = len(results["ttft_s"])
    names = pa.string()
    schema = pa.schema(
        {
            "arrival_s": pa.float64(),
            "model": names,
            "region": names,
            "tier": names,
            "prompt_tokens": pa.int32(),
            "output_tokens": pa.int32(),
            "ttft_s": pa.float64(),
            "e2e_s": pa.float64(),
            "served_region": names,
            "attained": pa.bool_(),
        }
    )
    feed = Feed(workload.trace, env.scenario, workload.offset_s)  # what the kernel was given
    done = 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        while done < count:
            chunk = next(feed)
            n = min(len(chunk[0]), count - done)
            own = {name: values[done : done + n] for name, values in results.items()}
            columns = _columns(env, done, [column[:n] for column in chunk], own)
            writer.write_table(pa.table(columns, schema=schema))
            done += n
    return count


def objectives_s(
    state: State, first: int, model: NDArray[Any], tier: NDArray[Any], prompt: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the objective of each request in seconds, by the rule and the kernel of the simulator.

    A TTFT objective is at least ``slo_scale`` times the isolated prefill of the prompt; where a
    tier has several objectives, the simulator draws by the position in the trace, from ``first``.
    """
    objective = np.array(state.tier["objective_s"][tier], dtype=np.float64)
    for i in np.flatnonzero(state.tier["choices"][tier] > 0):
        k = int(tier[i])
        choice = int(draw(state, first + int(i), OBJECTIVE) * int(state.tier[k]["choices"]))
        objective[i] = state.objectives[k, choice]
    by_ttft = state.tier["ttft"][tier] == 1
    scale = float(state.config[0]["slo_scale"])
    for m in np.unique(model):
        rows = by_ttft & (model == m)
        sizes, place = np.unique(prompt[rows], return_inverse=True)
        reference = int(state.model[m]["reference"])
        alone = np.array([prefill_s(state, reference, float(size)) for size in sizes])
        objective[rows] = np.maximum(objective[rows], scale * alone[place])
    return objective


def _columns(
    env: SageServeEnv, first: int, chunk: Sequence[NDArray[Any]], results: dict[str, NDArray[Any]]
) -> dict[str, pa.Array]:
    import pyarrow as pa

    scenario, state = env.scenario, env.simulator.state
    arrival, model, region, tier, prompt, output = chunk[:6]
    ttft, e2e = results["ttft_s"], results["e2e_s"]
    deciding = np.where(state.tier["ttft"][tier] == 1, ttft, e2e)
    attained = deciding <= objectives_s(state, first, model, tier, prompt)
    pace_s = state.tier["tpot_s"][tier]
    attained &= (pace_s == 0.0) | (e2e - ttft <= pace_s * (output - 1))
    served = np.nan_to_num(results["served_region"], nan=-1.0).astype(np.int32)
    return {
        "arrival_s": pa.array(arrival),
        "model": _named(model, scenario.models),
        "region": _named(region, scenario.region_names),
        "tier": _named(tier, scenario.tier_names),
        "prompt_tokens": pa.array(prompt, pa.int32()),
        "output_tokens": pa.array(output, pa.int32()),
        "ttft_s": pa.array(ttft, mask=np.isnan(ttft)),
        "e2e_s": pa.array(e2e, mask=np.isnan(e2e)),
        "served_region": _named(served, scenario.region_names),
        "attained": pa.array(attained, mask=np.isnan(e2e)),
    }


def _named(index: NDArray[Any], names: Sequence[str]) -> pa.Array:
    """Return a name for each index, null for -1."""
    import pyarrow as pa

    indices = pa.array(index, pa.int32(), mask=index < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string())).cast(pa.string())
