"""The published token mix of a source: the sample with which an instance's capacity is measured.

It is fixed when a trace is loaded and carried along by every transform, so that what a planner
knows about prompt and output lengths never depends on the rows a trace still has to play.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]
TokenPairs = tuple[IntArray, IntArray]

#: Most (prompt, output) pairs kept per model (our assumption (A): enough for a stable p99).
MAX_PAIRS = 4096
_SAMPLE_SEED = 20250217  # any constant; independent of every trace seed


@dataclass(frozen=True, eq=False)
class TokenMix:
    """An empirical sample of (prompt, output) token pairs, overall and per model.

    Attributes:
        overall: Pairs over all models: two ``int32 [n]`` arrays.
        by_model: Pairs of single models by name; a model that is absent uses ``overall``.
    """

    overall: TokenPairs
    by_model: tuple[tuple[str, TokenPairs], ...] = ()

    def pairs(self, model: str | None = None) -> TokenPairs:
        """Return the (prompt, output) sample of one model, or the overall one."""
        return dict(self.by_model).get(model, self.overall) if model else self.overall

    @classmethod
    def from_rows(
        cls,
        prompt: IntArray,
        output: IntArray,
        model: npt.NDArray[np.int16] | None = None,
        models: tuple[str, ...] = (),
    ) -> TokenMix:
        """Sample at most 4,096 pairs (per model where ``model`` is given), the same every time."""
        by_model: list[tuple[str, TokenPairs]] = []
        if model is not None:
            for index, name in enumerate(models):
                rows = np.flatnonzero(model == index)
                if len(rows):
                    by_model.append((name, _sample(prompt[rows], output[rows])))
        return cls(_sample(prompt, output), tuple(by_model))


def _sample(prompt: IntArray, output: IntArray) -> TokenPairs:
    if len(prompt) > MAX_PAIRS:
        rng = np.random.default_rng(_SAMPLE_SEED)
        rows = np.sort(rng.choice(len(prompt), MAX_PAIRS, replace=False))
        prompt, output = prompt[rows], output[rows]
    pair = (np.array(prompt, dtype=np.int32), np.array(output, dtype=np.int32))
    for values in pair:
        values.flags.writeable = False
    return pair
