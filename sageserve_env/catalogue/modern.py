"""Profiles of modern engines: model estimates of aiconfigurator 0.12, vLLM backend, bf16.

These are estimates, not measurements (DOMAIN.md section 2, second table). Each is one tensor
parallel group, so its VM type is a slice with that many GPUs. Prefill is the quadratic through the
three published points; decode is the piecewise-linear table over the number of sequences at 1k
context (concave for mixture-of-experts models, where a line would be wrong).
"""

from __future__ import annotations

from sageserve_env.catalogue.profiles import LatencyProfile

_SOURCE = "model estimate: aiconfigurator 0.12, vLLM backend, bf16 (DOMAIN.md section 2)"
_QWEN = _SOURCE + "; prefill curve of Llama-3.1-8B TP1 scaled to the one published point (A)"


def _quadratic(points: tuple[tuple[float, float], ...]) -> tuple[float, float, float]:
    """Return a, b, c of the parabola through three (tokens, ms) points."""
    (x0, y0), (x1, y1), (x2, y2) = points
    s01, s12 = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    c = (s12 - s01) / (x2 - x0)
    b = s01 - c * (x0 + x1)
    return y0 - b * x0 - c * x0 * x0, b, c


def _estimate(
    prefill_ms: tuple[float, float, float],
    tpot_ms: tuple[float, float, float],
    scale: float = 1.0,
    source: str = _SOURCE,
) -> LatencyProfile:
    """Build a profile from prefill at 512/2048/8192 tokens and TPOT at 1/32/128 sequences."""
    a, b, c = _quadratic(tuple(zip((512.0, 2048.0, 8192.0), prefill_ms, strict=True)))
    sequences = (1.0, 32.0, 128.0)
    return LatencyProfile(
        prefill_base_s=a * scale / 1e3,
        prefill_per_token_s=b * scale / 1e3,
        prefill_per_token2_s=c * scale / 1e3,
        decode_table=tuple((n, t / 1e3) for n, t in zip(sequences, tpot_ms, strict=True)),
        source=source,
    )


_8B_H100 = (12.0, 43.5, 200.0)
_8B_H200 = (11.5, 43.4, 199.0)

MODERN_PROFILES: dict[str, dict[str, LatencyProfile]] = {
    "llama-3.1-8b": {
        "a100-80gb-x1": _estimate((36.0, 125.0, 557.0), (11.9, 16.0, 25.8)),
        "h100-80gb-x1": _estimate(_8B_H100, (6.2, 8.5, 13.4)),
        "h200-141gb-x1": _estimate(_8B_H200, (4.9, 6.4, 10.4)),
    },
    "llama-3.1-70b": {
        "a100-80gb-x4": _estimate((105.0, 337.0, 1372.0), (27.2, 33.3, 46.8)),
        "h100-80gb-x4": _estimate((37.3, 130.0, 577.0), (14.9, 17.1, 23.2)),
        "h200-141gb-x4": _estimate((35.5, 128.0, 543.0), (12.3, 13.6, 18.4)),
    },
    "qwen3-30b-a3b": {
        "h100-80gb-x1": _estimate(_8B_H100, (4.7, 20.9, 28.8), 46.0 / 43.5, _QWEN),
        "h200-141gb-x1": _estimate(_8B_H200, (4.0, 15.9, 21.3), 40.4 / 43.4, _QWEN),
    },
}
