"""Latency of one instance: iteration times as a function of the batch.

With ``T`` prompt tokens in an iteration and ``n`` sequences decoding over ``ctx`` KV tokens
(docs/sources.md, "Latency"):

* prefill iteration: ``a + b T + c T^2`` or a piecewise-linear table over ``T``;
* decode iteration: ``d + e n + f ctx`` or a piecewise-linear table over ``n``, plus ``f ctx``;
* mixed iteration (chunk plus decodes): ``prefill(T) + e n + f ctx``.

That is the form of the paper's tables. Modern engines run prompts and decodes in one forward pass,
whose weights are read once; a profile with a ``pass_table`` L over the tokens of a pass is

* prefill ``a + L(T) + c T^2``, decode ``L(n) + e n + f ctx``,
* mixed ``a + L(T + n) + e n + f ctx`` and the attention of each chunk, ``c T_i (2 P_i + T_i)``.

Per-request times of vLLM decide for this rule (docs/fidelity.md).

A chunk that continues a prompt attends to the tokens before it. With ``P_i`` tokens of prompt i
already processed the quadratic term of a chunk ``T_i`` grows by ``2 c P_i T_i``, so that the chunks
of a prompt add up to the same attention work as the whole prompt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from sageserve_env._config import ScenarioError

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LatencyProfile:
    """Iteration times of one model on one VM type; all values in seconds.

    Coefficients are finite and at least 0, except that c may be negative where a curve is concave.
    Points of a table have sizes in rising order and positive times; beyond both ends the outer
    pieces are continued, so they must not lead to times of 0 or less.

    Attributes:
        prefill_base_s: a, per iteration with prompt tokens.
        prefill_per_token_s: b, per prompt token.
        prefill_per_token2_s: c, per squared prompt token.
        decode_base_s: d, per iteration without prompt tokens.
        decode_per_sequence_s: e, per decoding sequence.
        decode_per_context_token_s: f, per KV token of the decoding sequences.
        prefill_table: Optional ``(tokens, seconds)`` points; replaces a, b, c.
        decode_table: Optional ``(sequences, seconds)`` points; replaces d and e.
        pass_table: Optional ``(tokens, seconds)`` points of one pass over prompt tokens and
            decoding sequences together; replaces b, d and the two tables.
        frontend_s: Time of a request outside the engine (HTTP, tokens to text and back): it
            shows in TTFT and E2E and occupies nothing.
        source: Where the numbers come from.
    """

    prefill_base_s: float = 0.0
    prefill_per_token_s: float = 0.0
    prefill_per_token2_s: float = 0.0
    decode_base_s: float = 0.0
    decode_per_sequence_s: float = 0.0
    decode_per_context_token_s: float = 0.0
    prefill_table: Points = ()
    decode_table: Points = ()
    pass_table: Points = ()
    frontend_s: float = 0.0
    source: str = "user"

    def __post_init__(self) -> None:
        """Check the values."""
        for key in (*COEFFICIENTS, "frontend_s"):
            value = getattr(self, key)
            low = -math.inf if key == "prefill_per_token2_s" else 0.0
            if not (math.isfinite(value) and value >= low):
                least = "" if low < 0 else " of at least 0"
                raise ScenarioError(f"{key}: expected a finite number{least}, got {value}")
        for key in ("prefill_table", "decode_table", "pass_table"):
            reason = table_error(getattr(self, key))
            if reason:
                raise ScenarioError(f"{key}: {reason}")
        for key in ("prefill_table", "pass_table"):
            points = getattr(self, key)
            if len(points) > 1 and points[-1][1] < points[-2][1]:
                raise ScenarioError(
                    f"{key}: the last piece falls, so long prompts would take no time"
                )
        if self.pass_table:
            for key in ("prefill_per_token_s", "decode_base_s", "prefill_table", "decode_table"):
                if getattr(self, key):
                    raise ScenarioError(f"{key} and pass_table exclude each other")

    def error(self, longest_prompt: int, most_sequences: int) -> str:
        """Return why the profile cannot be simulated up to these sizes, or an empty text."""
        for tokens in (1, longest_prompt):
            if not self.prefill_s(tokens) > 0:
                return f"the prefill of {tokens} tokens takes {self.prefill_s(tokens):g} s"
        slope = self.prefill_per_token_s + 2.0 * self.prefill_per_token2_s * longest_prompt
        if self.pass_table:
            (t0, s0), (t1, s1) = (*self.pass_table, *self.pass_table)[-2:]
            slope += (s1 - s0) / (t1 - t0) if t1 > t0 else 0.0
        if not self.prefill_table and slope < 0:
            return f"the prefill time falls before {longest_prompt} tokens"
        for n in (1, most_sequences):
            if not self.decode_s(n, n) > 0:
                return f"a decode iteration of {n} sequences takes {self.decode_s(n, n):g} s"
        return ""

    def prefill_s(self, tokens: float) -> float:
        """Return the time of an isolated whole-prompt prefill of ``tokens`` tokens, in seconds."""
        if self.pass_table:
            square_s = self.prefill_per_token2_s * tokens * tokens
            return self.prefill_base_s + interpolate(self.pass_table, tokens) + square_s
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
        if self.pass_table:
            base_s = interpolate(self.pass_table, float(sequences))
            return base_s + self.decode_per_sequence_s * sequences + context_s
        if self.decode_table:
            return interpolate(self.decode_table, float(sequences)) + context_s
        return self.decode_base_s + self.decode_per_sequence_s * sequences + context_s


COEFFICIENTS = (
    "prefill_base_s",
    "prefill_per_token_s",
    "prefill_per_token2_s",
    "decode_base_s",
    "decode_per_sequence_s",
    "decode_per_context_token_s",
)


def table_error(points: Points) -> str:
    """Return what is wrong with the points of a table, or an empty text."""
    for x, seconds in points:
        if not (math.isfinite(x) and x >= 0):
            return f"expected sizes of at least 0, got {x}"
        if not (math.isfinite(seconds) and seconds > 0):
            return f"expected times above 0, got {seconds} s at {x:g}"
    for (x, _), (following, _) in pairwise(points):
        if not following > x:
            return f"expected sizes in rising order, got {following:g} after {x:g}"
    if points and not interpolate(points, 1.0) > 0:
        return (
            f"the first piece, continued to size 1, gives {interpolate(points, 1.0):g} s; "
            "add a point at size 1"
        )
    return ""


def interpolate(points: Points, x: float) -> float:
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
    return LatencyProfile(a / 1e3, b / 1e3, c / 1e3, d / 1e3, e / 1e3, f / 1e3, source=source)
