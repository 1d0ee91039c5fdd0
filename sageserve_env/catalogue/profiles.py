"""Latency of one instance: iteration times as a function of the batch.

With ``T`` prompt tokens in an iteration and ``n`` sequences decoding over ``ctx`` KV tokens
(DOMAIN.md section 2):

* prefill iteration: ``a + b T + c T^2`` or a piecewise-linear table over ``T``;
* decode iteration: ``d + e n + f ctx`` or a piecewise-linear table over ``n``, plus ``f ctx``;
* mixed iteration (chunk plus decodes): ``prefill(T) + e n + f ctx``.

A chunk that continues a prompt attends to the tokens before it. With ``P_i`` tokens of prompt i
already processed the quadratic term of a chunk ``T_i`` grows by ``2 c P_i T_i``, so that the chunks
of a prompt add up to the same attention work as the whole prompt.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LatencyProfile:
    """Iteration times of one model on one VM type; all values in seconds.

    Attributes:
        prefill_base_s: a, per iteration with prompt tokens.
        prefill_per_token_s: b, per prompt token.
        prefill_per_token2_s: c, per squared prompt token.
        decode_base_s: d, per iteration without prompt tokens.
        decode_per_sequence_s: e, per decoding sequence.
        decode_per_context_token_s: f, per KV token of the decoding sequences.
        prefill_table: Optional ``(tokens, seconds)`` points; replaces a, b, c.
        decode_table: Optional ``(sequences, seconds)`` points; replaces d and e.
        source: Where the numbers come from.
    """

    prefill_base_s: float = 0.0
    prefill_per_token_s: float = 0.0
    prefill_per_token2_s: float = 0.0
    decode_base_s: float = 0.0
    decode_per_sequence_s: float = 0.0
    decode_per_context_token_s: float = 0.0
    prefill_table: tuple[tuple[float, float], ...] = ()
    decode_table: tuple[tuple[float, float], ...] = ()
    source: str = "user"

    def prefill_s(self, tokens: float) -> float:
        """Return the time of an isolated whole-prompt prefill of ``tokens`` tokens, in seconds."""
        if self.prefill_table:
            return interpolate(self.prefill_table, tokens)
        return (
            self.prefill_base_s
            + self.prefill_per_token_s * tokens
            + self.prefill_per_token2_s * tokens * tokens
        )

    def decode_s(self, sequences: int, context_tokens: float) -> float:
        """Return the time of one decode iteration in seconds."""
        context_s = self.decode_per_context_token_s * context_tokens
        if self.decode_table:
            return interpolate(self.decode_table, float(sequences)) + context_s
        return self.decode_base_s + self.decode_per_sequence_s * sequences + context_s


def interpolate(points: tuple[tuple[float, float], ...], x: float) -> float:
    """Return piecewise-linear interpolation of ``points`` at ``x``, extrapolating at both ends."""
    if len(points) == 1:
        return points[0][1]
    i = 1
    while i < len(points) - 1 and x > points[i][0]:
        i += 1
    (x0, y0), (x1, y1) = points[i - 1], points[i]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def milliseconds(
    a: float, b: float, c: float, d: float, e: float, f: float, source: str
) -> LatencyProfile:
    """Return a quadratic-prefill, linear-decode profile from coefficients in milliseconds."""
    return LatencyProfile(a / 1e3, b / 1e3, c / 1e3, d / 1e3, e / 1e3, f / 1e3, (), (), source)
