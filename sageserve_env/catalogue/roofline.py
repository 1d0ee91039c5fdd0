"""Profiles from data sheets, for a model and a GPU that nobody has measured: estimates.

One pass reads the weights once and computes for every token, a decode reads its KV cache and a
prompt attends to itself. With n GPUs in tensor parallel, in seconds:

* pass over m tokens: ``u + weights / (n BW) + m 2 P / (n F)``, P the parameters that a token meets;
  a mixture of experts reads more of its weights the more tokens there are:
  ``active + (all - active) (1 - exp(-m / m0))``;
* per KV token ``kv bytes / (n BW)``, per sequence a constant of the engine;
* attention of a prompt ``2 layers width T^2 / (n F16)``.

BW and F are data sheet values times the efficiencies below, which are medians of the measured
profiles (docs/fidelity.md says what such an estimate is worth).
"""

from __future__ import annotations

import math

from sageserve_env.catalogue.profiles import LatencyProfile
from sageserve_env.catalogue.tables import PASS_TOKENS, Device, ModelFacts

WEIGHT_BANDWIDTH = 0.9
KV_BANDWIDTH = 0.9
COMPUTE = 0.4
ATTENTION_COMPUTE = 0.4
PASS_S = 4.1e-3
PREFILL_S = 11e-3
FRONTEND_S = 16e-3
SEQUENCE_S = 1.5e-5
EXPERT_TOKENS = 40.0
EXPERT_SHARE = 1.5


def weights_s(model: ModelFacts, device: Device, gpus: int) -> tuple[float, float]:
    """Return seconds to read the weights that one token meets, and all others."""
    bandwidth = gpus * device.bandwidth_gb_s * WEIGHT_BANDWIDTH
    active = model.weights_gb * model.active_b / model.parameters_b
    return active / bandwidth, (model.weights_gb - active) / bandwidth


def token_s(model: ModelFacts, device: Device, gpus: int, efficiency: float = COMPUTE) -> float:
    """Return seconds of computing for one token of a pass."""
    flops = gpus * device.tflops(model.precision) * 1e12 * efficiency
    return 2e9 * model.active_b / flops


def attention_s(model: ModelFacts, device: Device, gpus: int) -> float:
    """Return seconds per squared prompt token."""
    flops = gpus * device.bf16_tflops * 1e12 * ATTENTION_COMPUTE
    return 2.0 * model.attention_layers * model.attention_width / flops


def context_s(
    model: ModelFacts, device: Device, gpus: int, efficiency: float = KV_BANDWIDTH
) -> float:
    """Return seconds per KV token of the decoding sequences."""
    return model.kv_bytes_per_token / (gpus * device.bandwidth_gb_s * 1e9 * efficiency)


def estimate(model: ModelFacts, device: Device, gpus: int) -> LatencyProfile:
    """Return the roofline estimate of a model on ``gpus`` GPUs in tensor parallel.

    Args:
        model: Its sizes and precision.
        device: The GPU.
        gpus: GPUs of one instance.

    Returns:
        A profile whose ``source`` begins with ``estimate``.
    """
    active_s, others_s = weights_s(model, device, gpus)
    each_s = token_s(model, device, gpus)

    def pass_s(tokens: int) -> float:
        experts = EXPERT_SHARE * others_s * (1.0 - math.exp(-tokens / EXPERT_TOKENS))
        return PASS_S + active_s + each_s * tokens + experts

    return LatencyProfile(
        prefill_base_s=PREFILL_S,
        prefill_per_token2_s=attention_s(model, device, gpus),
        decode_per_sequence_s=SEQUENCE_S,
        decode_per_context_token_s=context_s(model, device, gpus),
        pass_table=tuple((float(m), pass_s(m)) for m in PASS_TOKENS),
        frontend_s=FRONTEND_S,
        source=f"estimate: roofline of {gpus} x {device.name}, {model.precision}",
    )


def kv_tokens(model: ModelFacts, device: Device, gpus: int, memory_fraction: float = 0.9) -> int:
    """Return the KV tokens that the memory beside the weights holds, at least 0."""
    free_gb = memory_fraction * device.memory_gb * gpus - model.weights_gb
    return max(0, int(free_gb * 1e9 / model.kv_bytes_per_token))


def fits(model: ModelFacts, device: Device, gpus: int, memory_fraction: float = 0.9) -> bool:
    """Whether weights leave a tenth of the usable memory for KV (our assumption)."""
    usable_gb = memory_fraction * device.memory_gb * gpus
    return model.weights_gb <= 0.9 * usable_gb
