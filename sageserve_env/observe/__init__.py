"""Observations: a table of features, what they are scaled by, and their layout.

The simulator's survey fills raw named arrays, the `ClusterView`; one kernel scales them into the
float32 observation of the environment and of learned agents alike.
"""

from __future__ import annotations

from sageserve_env.observe.features import (
    AXES,
    FEATURES,
    UNITS,
    Feature,
    cosine,
    log,
    over,
    ratio,
    register_feature,
    sine,
    table,
    unregister_feature,
)
from sageserve_env.observe.layout import OBSERVATION_MODES, Block, Layout, Observation, blocks
from sageserve_env.observe.observer import Observer
from sageserve_env.observe.units import Units

__all__ = [
    "AXES",
    "FEATURES",
    "OBSERVATION_MODES",
    "UNITS",
    "Block",
    "Feature",
    "Layout",
    "Observation",
    "Observer",
    "Units",
    "blocks",
    "cosine",
    "log",
    "over",
    "ratio",
    "register_feature",
    "sine",
    "table",
    "unregister_feature",
]
