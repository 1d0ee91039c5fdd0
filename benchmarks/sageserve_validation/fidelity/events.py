"""`sageserve fidelity events`: a replay of the authors' simulator, compared request by request.

The scenario is configured as docs/sources.md says; `docs/fidelity.md` lists what that leaves
open. Models A and B only: the reference files have no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sageserve_bench.errors import UserError
from sageserve_env.catalogue import REGIONS, LatencyProfile, Model
from sageserve_env.options import BatchingConfig, RoutingConfig, TierConfig
from sageserve_env.scenario import RegionConfig, Scenario
from sageserve_env.simulator.simulator import Simulator
from sageserve_traces.trace import RequestTrace
from sageserve_validation.fidelity.reference import ORDERS
from sageserve_validation.fidelity.tables import Measured

GPU = "a100-80gb-x8"
DRAIN_S = 7 * 86_400.0  # time after the last arrival in which everything has to finish
PERCENTILES = (50, 90, 99)
FIGURES = (
    *(f"p{p}_ratio" for p in PERCENTILES),
    "mae_rel",
    "max_error_s",
    "mean_s",
    "reference_mean_s",
)
"""What a model's TTFT and E2E are described by."""


@dataclass(frozen=True)
class AuthorsModel:
    """A model as the authors' simulator has it: KV as multi-head attention."""

    model_name: str
    kv_bytes_per_token: float
    kv_pool_bytes: float


MODELS = {
    "A": AuthorsModel("llama-2-70b", 2_621_440.0, 552.2e9),
    "B": AuthorsModel("bloom-176b", 4_014_080.0, 358.2e9),
}


@dataclass(frozen=True, eq=False)
class PreferenceTrace(RequestTrace):
    """A trace whose requests each have an order of regions, as a row of `ORDERS`."""

    preference: NDArray[np.int32] | None = None

    def chunks(self, start_s: float = 0.0, max_requests: int = 65_536) -> Iterator[RequestTrace]:
        """Yield the whole trace at once; a replay starts at 0."""
        yield self


def parse_fleet(text: str) -> dict[str, int]:
    """Read ``A=2,B=2``: instances of each model in each region.

    Raises:
        UserError: If it is not of that form.
    """
    fleet: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in MODELS or not number.isdecimal() or int(number) < 1 or name in fleet:
            known = ", ".join(MODELS)
            raise UserError(
                f"--fleet: {part!r} is not MODEL=INSTANCES, with a model of {known} and at least "
                "one instance; example: A=2,B=2"
            )
        fleet[name] = int(number)
    return fleet


def build_scenario(
    rows: pd.DataFrame, fleet: Mapping[str, int], tables: list[Measured]
) -> Scenario:
    """Return the scenario of the recipe."""
    measured = {m.model: m for m in tables if m.gpu == GPU}
    longest_prompt, longest_output = (
        int(rows[column].max()) for column in ("prompt_tokens", "output_tokens")
    )
    models = tuple(
        Model(
            name=name,
            weights_bytes=0.0,  # the pool is given, so the weights do not matter
            kv_bytes_per_token=MODELS[name].kv_bytes_per_token,
            max_context_tokens=longest_prompt,
            profiles={GPU: recipe_profile(measured[MODELS[name].model_name])},
            kv_pool_bytes=MODELS[name].kv_pool_bytes,
        )
        for name in fleet
    )
    scenario = Scenario(
        name="authors-simulator",
        regions=tuple(RegionConfig(r, {GPU: sum(fleet.values())}) for r in REGIONS),
        models=tuple(fleet),
        gpus=(GPU,),
        tiers=(TierConfig("IW-F", 1.0),),
        initial_instances=1,
        min_instances=1,
        horizon_s=float(np.ceil(rows["arrival_s"].max())) + DRAIN_S,
        batching=BatchingConfig(
            mode="whole_prompt",
            prefill_token_budget=None,
            max_sequences=512,
            kv_policy="reservation",
            reserve_output_at_decode=True,
            utilisation="kv",
            balancer="jsq",
            max_output_tokens=longest_output,
            iteration_overhead_s=0.01,
            mixed_prefill_factor=1.1,
        ),
        routing=RoutingConfig(router="threshold", threshold=0.7, delay_s=1.0),
        round_trips_s=tuple((0.0,) * len(REGIONS) for _ in REGIONS),
        custom_models=models,
    )
    # A scenario cuts prompts that no instance could finish. The authors' simulator does not: such a
    # request stays where it is for good, and so do those behind it.
    scenario.__dict__["max_context_tokens"] = np.full(len(fleet), longest_prompt, dtype=np.int64)
    return scenario


def recipe_profile(measured: Measured) -> LatencyProfile:
    """Return the tables of the recipe: both keyed by prompt size x batch size."""
    return LatencyProfile(
        prefill_table=measured.prefill_points(),
        decode_table=measured.decode_points("batch_tokens"),
        source="medians of the Splitwise profiles by prompt size x batch size",
    )


def replay(rows: pd.DataFrame, fleet: Mapping[str, int], tables: list[Measured]) -> pd.DataFrame:
    """Serve the requests of a reference in our simulator; return ``ttft_s`` and ``e2e_s``."""
    scenario = build_scenario(rows, fleet, tables)
    order_index = {"".join(map(str, order)): i for i, order in enumerate(ORDERS)}
    names = list(fleet)
    trace = PreferenceTrace(
        arrival_s=rows["arrival_s"].to_numpy(np.float64),
        model=rows["model"].map(names.index).to_numpy(np.int16),
        region=rows["home_region"].to_numpy(np.int16),
        tier=np.zeros(len(rows), dtype=np.int16),
        prompt_tokens=rows["prompt_tokens"].to_numpy(np.int32),
        output_tokens=rows["output_tokens"].to_numpy(np.int32),
        models=scenario.models,
        regions=scenario.region_names,
        tiers=scenario.tier_names,
        name="reference",
        preference=np.asarray(rows["region_preference"].map(order_index), dtype=np.int32),
    )
    simulator = Simulator(scenario, np.ones((len(names), 1)), records=True)
    initial = np.array([[fleet[e.model]] for e in scenario.endpoints], dtype=np.int64)
    simulator.reset(trace, seed=0, initial=initial)
    simulator.state.put("orders", np.array(ORDERS, dtype=np.int64))
    simulator.advance(scenario.horizon_s)
    records = simulator.records()
    return pd.DataFrame({"ttft_s": records["ttft_s"], "e2e_s": records["e2e_s"]})


def compare(rows: pd.DataFrame, ours: pd.DataFrame) -> dict[str, Any]:
    """Return the figures per model and overall.

    Rows without a result in the reference are left out. A row that has one there and none here
    would be a failure of its own: it is counted in ``unfinished``. The figures of a model without
    any row to compare are None.
    """
    groups = {"overall": np.ones(len(rows), dtype=bool)}
    groups |= {str(m): (rows["model"] == m).to_numpy() for m in sorted(rows["model"].unique())}
    known = rows[["ttft_s", "e2e_s"]].notna().all(axis=1).to_numpy()
    done = ours.notna().all(axis=1).to_numpy()
    report: dict[str, Any] = {}
    for name, mask in groups.items():
        use = mask & known & done
        figures: dict[str, Any] = {
            "requests": int(mask.sum()),
            "compared": int(use.sum()),
            "without_reference": int((mask & ~known).sum()),
            "unfinished": int((mask & known & ~done).sum()),
        }
        for column in ("ttft", "e2e"):
            mine, theirs = (frame[f"{column}_s"].to_numpy()[use] for frame in (ours, rows))
            made = _figures(mine, theirs) if use.any() else dict.fromkeys(FIGURES)
            figures |= {f"{column}_{figure}": value for figure, value in made.items()}
        report[name] = figures
    return report


def _figures(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, float]:
    values = [np.percentile(mine, p) / np.percentile(theirs, p) for p in PERCENTILES]
    errors = np.abs(mine - theirs)
    values += [errors.mean() / theirs.mean(), errors.max(), mine.mean(), theirs.mean()]
    return {name: float(value) for name, value in zip(FIGURES, values, strict=True)}
