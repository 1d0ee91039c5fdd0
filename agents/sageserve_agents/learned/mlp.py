"""A small multi-layer perceptron in NumPy: what learned agents run on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sageserve_env.view import Floats

Arrays = Mapping[str, NDArray[np.generic]]


def _relu(x: Floats) -> Floats:
    positive: Floats = np.maximum(x, 0.0)
    return positive


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {"tanh": np.tanh, "relu": _relu}


@dataclass(frozen=True)
class Mlp:
    """Hidden layers and a linear last layer, applied to the last axis.

    The same weights serve every row, so one network acts for any number of models.

    Attributes:
        weights: One matrix [inputs, outputs] per layer.
        biases: One vector [outputs] per layer.
        activation: Of the hidden layers, a name of `ACTIVATIONS`.
    """

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    activation: str = "tanh"

    @staticmethod
    def random(sizes: Sequence[int], rng: np.random.Generator) -> Mlp:
        """Return a network with scaled Gaussian hidden layers and a last layer of zeros.

        The zero last layer makes the untrained policy the rule that it corrects.
        """
        weights, biases = [], []
        for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
            last = i == len(sizes) - 2
            scale = 0.0 if last else inputs**-0.5
            weights.append(rng.normal(0.0, 1.0, (inputs, outputs)) * scale)
            biases.append(np.zeros(outputs))
        return Mlp(tuple(weights), tuple(biases))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the widths of the layers, inputs first."""
        return (self.weights[0].shape[0], *(b.shape[0] for b in self.biases))

    def __call__(self, inputs: Floats) -> Floats:
        """Return the outputs [..., A] for inputs [..., F]."""
        hidden, bend = inputs, ACTIVATIONS[self.activation]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = bend(hidden @ weight + bias)
        result: Floats = hidden @ self.weights[-1] + self.biases[-1]
        return result

    def vector(self) -> Floats:
        """Return all weights as one vector."""
        parts = [p.ravel() for pair in zip(self.weights, self.biases, strict=True) for p in pair]
        return np.concatenate(parts)

    def with_vector(self, vector: Floats) -> Mlp:
        """Return a network of the same shape with the weights of a vector."""
        weights, biases, at = [], [], 0
        for weight, bias in zip(self.weights, self.biases, strict=True):
            weights.append(vector[at : at + weight.size].reshape(weight.shape))
            at += weight.size
            biases.append(vector[at : at + bias.size])
            at += bias.size
        return Mlp(tuple(weights), tuple(biases), self.activation)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights by name, for a checkpoint."""
        named = {f"weight_{i}": w.astype(np.float32) for i, w in enumerate(self.weights)}
        return named | {f"bias_{i}": b.astype(np.float32) for i, b in enumerate(self.biases)}

    @staticmethod
    def from_arrays(arrays: Arrays, activation: str = "tanh") -> Mlp:
        """Return the network of a checkpoint.

        Args:
            arrays: Weights by name.
            activation: Of the hidden layers.

        Raises:
            ValueError: If the arrays are not those of a network.
        """
        count = sum(name.startswith("weight_") for name in arrays)
        try:
            weights = tuple(arrays[f"weight_{i}"].astype(np.float64) for i in range(count))
            biases = tuple(arrays[f"bias_{i}"].astype(np.float64) for i in range(count))
        except KeyError as error:
            raise ValueError(f"the checkpoint lacks the array {error}") from None
        fits = count > 0 and all(w.ndim == 2 for w in weights)
        fits = fits and all(w.shape[1] == len(b) for w, b in zip(weights, biases, strict=True))
        fits = fits and all(a.shape[1] == b.shape[0] for a, b in itertools.pairwise(weights))
        if not fits or activation not in ACTIVATIONS:
            raise ValueError("the checkpoint's arrays do not form a network")
        return Mlp(weights, biases, activation)
