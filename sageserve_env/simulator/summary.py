"""Figures of a simulation: running totals, episode metrics, the view of a controller."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sageserve_env.options import tier_key as tier_key  # as a name of this module too
from sageserve_env.simulator import codes, survey
from sageserve_env.simulator.metrics import BUCKETS, LOWEST_EXPONENT, OCTAVE_BUCKETS
from sageserve_env.view import ClusterView

if TYPE_CHECKING:
    from sageserve_env.simulator.simulator import Simulator

NOTHING_DUE = float("nan")
BYTES_PER_TOKEN = 4.0  # our assumption (A): a token is about four characters of text


class Totals(NamedTuple):
    """Sums since the start of the episode."""

    vm_usd: float  # billed VMs: pending, active, draining
    transfer_usd: float
    spot_usd: float  # worth of the donated VM-hours, not part of the cost
    spot_hours: float
    vm_hours: float
    pending_vm_hours: float
    missed: NDArray[np.int64]  # [K] requests known to have missed their objective
    attained: NDArray[np.int64]  # [K]
    completed: NDArray[np.int64]  # [K]

    @property
    def cost_usd(self) -> float:
        """Return the bill: VMs and transfer."""
        return self.vm_usd + self.transfer_usd


def totals(sim: Simulator) -> Totals:
    """Return the sums of ``sim`` up to now."""
    s, scenario = sim.state, sim.scenario
    hours = s.vm_seconds / 3600.0
    spot = s.spot_seconds / 3600.0
    gigabytes = float(s.count["remote_tokens"].sum()) * BYTES_PER_TOKEN / 1e9
    return Totals(
        vm_usd=float(scenario.billed_usd(s.vm_seconds).sum()),
        transfer_usd=gigabytes * scenario.routing.transfer_usd_per_gb,
        spot_usd=float((spot.sum(axis=0) * scenario.spot_price_usd_per_hour).sum()),
        spot_hours=float(spot.sum()),
        vm_hours=float(hours.sum()),
        pending_vm_hours=float(hours[:, :, codes.BILL_PENDING].sum()),
        missed=s.count["missed"].sum(axis=(0, 1)),
        attained=s.count["attained"].sum(axis=(0, 1)),
        completed=s.count["completed"].sum(axis=(0, 1)),
    )


class Unfinished(NamedTuple):
    """Requests in the system, and those of them whose objective has passed."""

    requests: int
    missed: NDArray[np.int64]  # [M, R, K] due but without result
    work_usd: float  # price of the VM time their prompts still need


def unfinished(sim: Simulator) -> Unfinished:
    """Look at every request that is in the system now."""
    s, scenario = sim.state, sim.scenario
    request = s.request[s.request["state"] != codes.FREE]
    tier = s.tier[request["tier"]]
    age = sim.time_s - request["arrival_s"]
    waiting = np.where(tier["ttft"] == 1, request["first_token_s"] < 0, True)
    due = waiting & (age > request["objective_s"])
    missed = np.zeros(s.count.shape, dtype=np.int64)
    np.add.at(missed, (request["model"][due], request["region"][due], request["tier"][due]), 1)
    reference = s.model["reference"][request["model"]]
    seconds = (request["target"] - request["prefilled"]) / s.profile["theta"][reference]
    price = scenario.price_usd_per_hour[request["region"], reference % len(scenario.gpus)] / 3600.0
    usd = math.fsum(seconds * price)  # the same in whichever slots they are
    return Unfinished(len(request), missed, usd)


def _left_by_tier(sim: Simulator) -> dict[str, float | int]:
    """Return how many requests of each tier are in the system, and how old the oldest is."""
    s = sim.state
    request = s.request[s.request["state"] != codes.FREE]
    age = sim.time_s - request["arrival_s"]
    figures: dict[str, float | int] = {"oldest_unfinished_s": float(age.max(initial=0.0))}
    for k, tier in enumerate(sim.scenario.tiers):
        key, own = tier_key(tier.name), request["tier"] == k
        figures[f"unfinished_{key}"] = int(np.count_nonzero(own))
        figures[f"oldest_unfinished_{key}_s"] = float(age[own].max(initial=0.0))
    return figures


def percentile(histogram: NDArray[np.int64], q: float) -> float:
    """Return the ``q`` quantile (0-1) of a histogram in seconds, within 2 %; NaN if empty."""
    total = int(histogram.sum())
    if total == 0:
        return float("nan")
    rank = int(np.searchsorted(np.cumsum(histogram), max(1, int(np.ceil(q * total)))))
    return float(bucket_middle_s(min(rank, BUCKETS - 1)))


def bucket_middle_s(i: int) -> float:
    """Return the middle of a latency bucket in seconds."""
    octave, place = divmod(i, OCTAVE_BUCKETS)
    return float(2.0 ** (octave + LOWEST_EXPONENT) * (1.0 + (place + 0.5) / OCTAVE_BUCKETS))


def episode_metrics(sim: Simulator) -> dict[str, float | int]:
    """Return the figures of an episode up to now, with the names of the result tables.

    ``slo_*`` are fractions of all requests that arrived and fell due, NaN where none did; requests
    without a result whose objective has passed count as missed. Latencies include the network,
    ``tpot_*`` is the mean time per output token after the first. ``goodput_rps`` counts requests
    that attained their objectives.
    """
    s, scenario = sim.state, sim.scenario
    sums, left = totals(sim), unfinished(sim)
    gpus = np.array([g.gpus_per_vm for g in scenario.gpu_specs])
    hours = s.vm_seconds.sum(axis=0) / 3600.0  # [G, 3]
    clock = s.clock[0]
    metrics: dict[str, float | int] = {
        "requests": int(clock["arrived"]),
        "completed": int(clock["completed"]),
        "refused": int(clock["refused"]),
        "unfinished": left.requests,
        "gpu_hours": float((hours.sum(axis=1) * gpus).sum()),
        "vm_hours": sums.vm_hours,
        "cost_usd": sums.cost_usd,
        "spot_hours": sums.spot_hours,
        "scaling_waste_gpu_hours": float((hours[:, codes.BILL_PENDING] * gpus).sum()),
        "scale_outs": int(clock["scale_outs"]),
        "scale_ins": int(clock["scale_ins"]),
        "unmet_scale_outs": int(clock["unmet_events"]),
    }
    attained = s.count["attained"]
    missed = s.count["missed"] + left.missed
    flat = s.count["attained_flat"]
    worst = NOTHING_DUE
    for k, tier in enumerate(scenario.tiers):
        key = tier_key(tier.name)
        due = attained[:, :, k].sum(axis=1) + missed[:, :, k].sum(axis=1)  # [M]
        good = attained[:, :, k].sum(axis=1)
        metrics[f"slo_{key}"] = float(good.sum() / due.sum()) if due.sum() else NOTHING_DUE
        flat_sum = flat[:, :, k].sum()
        metrics[f"slo_flat_{key}"] = float(flat_sum / due.sum()) if due.sum() else NOTHING_DUE
        if tier.interactive and due.sum():
            worst = np.fmin(worst, float((good[due > 0] / due[due > 0]).min()))
        metrics[f"missed_{key}"] = int(missed[:, :, k].sum())
    metrics["slo_worst_model"] = float(worst)
    metrics["goodput_rps"] = float(attained.sum()) / sim.time_s if sim.time_s > 0 else 0.0
    for k, tier in enumerate(scenario.tiers):
        key = tier_key(tier.name)
        ttft, e2e = s.ttft[:, :, k].sum(axis=(0, 1)), s.e2e[:, :, k].sum(axis=(0, 1))
        for q in (50, 95, 99):
            metrics[f"ttft_p{q}_{key}"] = percentile(ttft, q / 100)
        first = int(ttft.sum())  # tokens
        summed_s = float(s.count["ttft_s"][:, :, k].sum())
        metrics[f"ttft_mean_{key}"] = summed_s / first if first else NOTHING_DUE
        metrics[f"e2e_p95_{key}"] = percentile(e2e, 0.95)
        metrics[f"tpot_p95_{key}"] = percentile(s.tpot[:, k].sum(axis=0), 0.95)
    metrics |= _left_by_tier(sim)
    metrics["preemptions"] = int(clock["preemptions"])
    metrics["requeued"] = int(clock["requeued"])
    metrics["crashes"] = int(clock["crashes"])
    changed = sim.feed.changed(sim.time_s)
    metrics["truncated_prompts"] = changed.truncated_prompts
    metrics["left_out_requests"] = changed.left_out
    metrics["truncated_outputs"] = changed.truncated_outputs
    if s.config[0]["prefix_tokens"]:
        asked = int(clock["asked_tokens"])
        metrics["prefix_hit_rate"] = int(clock["found_tokens"]) / asked if asked else NOTHING_DUE
    for key in ("evictions", "failed_scale_outs", "drains_cancelled"):
        metrics[key] = int(clock[key])
    return metrics


def view(sim: Simulator, interval_s: float) -> ClusterView:
    """Return what a controller may see now."""
    s, now_s = sim.state, sim.time_s
    survey.look(s, sim.raw)
    sim.raw.interval_s[0] = interval_s
    bins = min(int(np.ceil(now_s / 60.0)), len(s.demand))
    return survey.view_of(sim.raw, int(s.config[0]["router"]), _past(s.demand, bins, now_s))


def _past(demand: NDArray[np.float64], bins: int, now_s: float) -> NDArray[np.float64]:
    """Return the first bins of the demand log, read-only; [T, M, R, K, 3].

    Minutes that are over do not change any more and need no copy; the current one does.
    """
    past = demand[:bins]
    if now_s < 60.0 * bins or bins == len(demand):
        past = past.copy()
    past.flags.writeable = False
    return past
