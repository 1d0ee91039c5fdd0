"""The form of a pass profile in eight positive numbers, and what data sheets say about them.

With W the seconds to read the weights that a token meets and X those of the other experts (both
from the data sheet), one pass over m tokens takes

    pass + ((weights W)^k + (token m)^k)^(1/k) + experts X (1 - exp(-m / 40))

and an iteration adds ``sequence`` per decoding sequence, ``context`` per KV token of theirs, and
``prefill`` if it carries prompt tokens; ``frontend`` is outside the engine. The attention of
prompts is taken from the data sheet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sageserve_env.catalogue import LatencyProfile, roofline
from sageserve_env.catalogue.tables import PASS_TOKENS, Device, ModelFacts

Floats = NDArray[np.float64]

PARAMETERS = ("pass", "token", "sequence", "context", "prefill", "experts", "frontend", "weights")

COMPUTE = 0.5
KV_BANDWIDTH = 0.7
PASS_S = 4e-3
SEQUENCE_S = 1e-5
PREFILL_S = 15e-3
EXPERT_SHARE = 0.7
FRONTEND_S = 10e-3
"""What is expected before anything is measured (our assumption); `roofline` has what came out."""

OVERLAP = 2.0
"""k: between 1 (reading weights and computing add up) and infinity (they overlap)."""


@dataclass(frozen=True)
class Physics:
    """Data sheet times of a model on an instance, in seconds.

    Attributes:
        weights_s: Reading the weights that a token meets.
        experts_s: Reading the others.
        token_s: Computing one token.
        context_s: Reading the KV cache of one token.
        square_s: Attention per squared prompt token.
    """

    weights_s: float
    experts_s: float
    token_s: float
    context_s: float
    square_s: float

    @staticmethod
    def of(model: ModelFacts, device: Device, gpus: int) -> Physics:
        """Return the times of a model of the catalogue on a number of GPUs."""
        weights_s, experts_s = roofline.weights_s(model, device, gpus)
        return Physics(
            weights_s,
            experts_s,
            roofline.token_s(model, device, gpus, COMPUTE),
            roofline.context_s(model, device, gpus, KV_BANDWIDTH),
            roofline.attention_s(model, device, gpus),
        )

    def prior(self) -> Floats:
        """Return the logarithms of the parameters that the roofline expects."""
        return np.log(
            [
                PASS_S,
                self.token_s,
                SEQUENCE_S,
                self.context_s,
                PREFILL_S,
                EXPERT_SHARE,
                FRONTEND_S,
                1.0,
            ]
        )


def profile(x: Floats, physics: Physics, source: str = "fit") -> LatencyProfile:
    """Return the profile of the logarithms of the parameters."""
    base, token, sequence, context, prefill, experts, frontend, weights = map(float, np.exp(x))
    m = np.array(PASS_TOKENS, dtype=np.float64)
    linear = ((weights * physics.weights_s) ** OVERLAP + (token * m) ** OVERLAP) ** (1.0 / OVERLAP)
    others = experts * physics.experts_s * (1.0 - np.exp(-m / roofline.EXPERT_TOKENS))
    return LatencyProfile(
        prefill_base_s=prefill,
        prefill_per_token2_s=physics.square_s,
        decode_per_sequence_s=sequence,
        decode_per_context_token_s=context,
        pass_table=tuple(zip(m.tolist(), (base + linear + others).tolist(), strict=True)),
        frontend_s=frontend,
        source=source,
    )
