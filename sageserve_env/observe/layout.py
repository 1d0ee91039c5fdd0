"""From the table of features to names, space, blocks and the scaling of one scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sageserve_env._config import unknown_key_message
from sageserve_env.kernels.scaling import Scaling
from sageserve_env.observe.features import AXES, BLOCKS, FEATURES, Axis, Feature
from sageserve_env.observe.units import Units
from sageserve_env.scenario import Scenario
from sageserve_env.simulator.survey import OWN_SOURCES, shapes
from sageserve_env.view import SOURCES

OBSERVATION_MODES = ("flat", "endpoints")
WINDOWS = ("1min", "5min", "15min")

Observation = NDArray[np.float32] | dict[str, NDArray[np.float32]]
Place = dict[str, int]  # index along each axis, by letter


@dataclass(frozen=True)
class Block:
    """A part of the flat observation that is an array of its own in ``endpoints`` mode."""

    name: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


@dataclass(frozen=True)
class Entry:
    """One number of the flat observation: a feature at a place."""

    feature: Feature
    axis: Axis
    at: Place


def labels(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """Return the names along every axis."""
    return {
        "E": tuple(e.name for e in scenario.endpoints),
        "G": tuple(scenario.gpus),
        "M": tuple(scenario.models),
        "R": tuple(scenario.region_names),
        "D": tuple(scenario.region_names),
        "K": tuple(scenario.tier_names),
        "W": WINDOWS,
    }


def _columns(
    block: str, along: dict[str, tuple[str, ...]], scenario: Scenario
) -> list[tuple[Feature, Axis, Place]]:
    """Return the columns of a block, each a feature and its place within a row."""
    columns = []
    for name, axis in AXES.items():
        if axis.block != block:
            continue
        rows = [f for f in FEATURES if f.axis == name and (f.when is None or f.when(scenario))]
        places = [*_places(axis.columns, along)]
        if axis.together:
            columns += [(f, axis, place) for place in places for f in rows]
        else:
            columns += [(f, axis, place) for f in rows for place in places]
    return columns


def _places(letters: str, along: dict[str, tuple[str, ...]]) -> Iterator[Place]:
    for indices in product(*(range(len(along[a])) for a in letters)):
        yield dict(zip(letters, indices, strict=True))


def blocks(scenario: Scenario) -> tuple[Block, ...]:
    """Return the blocks of the flat observation, in order.

    A block has one axis per letter of its rows and one of columns; without rows only columns, and
    ``routing``, which has one column, only rows.
    """
    return tuple(block for block, _ in _laid_out(scenario))


def _laid_out(scenario: Scenario) -> list[tuple[Block, list[Entry]]]:
    along = labels(scenario)
    found = []
    for name in BLOCKS:
        letters = next(axis.rows for axis in AXES.values() if axis.block == name)
        columns = _columns(name, along, scenario)
        entries = [
            Entry(feature, axis, row | place)
            for row in _places(letters, along)
            for feature, axis, place in columns
        ]
        names = tuple(
            e.axis.label.format(name=e.feature.name, **{a: along[a][i] for a, i in e.at.items()})
            for e in entries
        )
        shape = tuple(len(along[a]) for a in letters)
        if name != "routing" or len(columns) > 1:
            shape = (*shape, len(columns))
        low = np.array([e.feature.low for e in entries], dtype=np.float32)
        high = np.array([e.feature.high for e in entries], dtype=np.float32)
        found.append((Block(name, shape, names, low, high), entries))
    return found


class Layout:
    """Space, names and shape of an observation mode for a scenario.

    Attributes:
        blocks: Parts of the flat observation.
        names: Name of every entry of the flat observation.
        space: Observation space.
        size: Entries of the flat observation.

    Raises:
        ValueError: If the mode does not exist.
    """

    def __init__(self, scenario: Scenario, mode: str = "flat") -> None:
        if mode not in OBSERVATION_MODES:
            message = unknown_key_message(str(mode), list(OBSERVATION_MODES), "observation_mode")
            raise ValueError(message.replace("unknown key", "unknown value"))
        laid_out = _laid_out(scenario)
        self.blocks = tuple(block for block, _ in laid_out)
        self.names = tuple(name for block in self.blocks for name in block.names)
        self.size = len(self.names)
        self.space: gym.Space[Any]
        self._scenario = scenario
        self._entries = [entry for _, entries in laid_out for entry in entries]
        self._slices: list[tuple[str, slice, tuple[int, ...]]] = []
        start = 0
        for block in self.blocks:
            self._slices.append((block.name, slice(start, start + len(block.names)), block.shape))
            start += len(block.names)
        self.present: Callable[[NDArray[np.float32]], Observation]
        if mode == "flat":
            low = np.concatenate([block.low for block in self.blocks])
            high = np.concatenate([block.high for block in self.blocks])
            self.space = gym.spaces.Box(low, high, dtype=np.float32)
            self.present = np.copy
        else:
            self.space = gym.spaces.Dict(
                {
                    b.name: gym.spaces.Box(
                        b.low.reshape(b.shape), b.high.reshape(b.shape), dtype=np.float32
                    )
                    for b in self.blocks
                }
            )
            self.present = self.split

    def split(self, flat: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the blocks of flat observations [..., N] as arrays of their own, copied."""
        batch = flat.shape[:-1]
        return {n: flat[..., at].reshape(batch + shape).copy() for n, at, shape in self._slices}

    def scaling(self, units: Units) -> Scaling:
        """Return the compiled rows: where each entry is found and how it is scaled."""
        shape = shapes(self._scenario)
        begin = dict(zip(shape, np.cumsum([0, *map(_size, shape.values())]), strict=False))
        interactive = [tier.interactive for tier in self._scenario.tiers]
        summed = {
            "all": [*range(len(interactive))],
            "interactive": [k for k, i in enumerate(interactive) if i],
            "batch": [k for k, i in enumerate(interactive) if not i],
        }
        first, terms = [0], []
        for entry in self._entries:
            name = entry.feature.source
            axes = SOURCES[name].axes if name in SOURCES else OWN_SOURCES[name].axes
            ranges = [
                [entry.at[a]]
                if a in entry.at
                else (summed[entry.feature.tiers] if a == "K" else [*range(n)])
                for a, n in zip(axes, shape[name], strict=True)
            ]
            for index in product(*ranges):
                offset = 0
                for i, n in zip(index, shape[name], strict=True):
                    offset = offset * n + i
                terms.append(int(begin[name]) + offset)
            first.append(len(terms))
        scales = [entry.feature.scale for entry in self._entries]
        return Scaling(
            first=np.array(first, dtype=np.int64),
            term=np.array(terms, dtype=np.int64),
            kind=np.array([s.kind for s in scales], dtype=np.int64),
            unit=np.array([units.of(e.feature.scale.unit, e.at) for e in self._entries]),
            full=np.log1p([s.full for s in scales]),
            low=np.array([e.feature.low for e in self._entries], dtype=np.float64),
            high=np.array([e.feature.high for e in self._entries], dtype=np.float64),
            observation=np.zeros(self.size, dtype=np.float32),
        )


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))
