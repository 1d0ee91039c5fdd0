"""The schema of the SageServe authors' traces (docs/sources.md, "Workload")."""

from __future__ import annotations

import re

import numpy as np

from ..errors import TraceError
from ..names import MODELS, REGIONS
from .columns import Checker, factorise
from .schema import Names, Parsed, Schema
from .times import read_times

#: ``model_type`` A to D, ``workload_type``, and the digits of ``regions`` (home first).
MODEL_TYPES = dict(zip("ABCD", MODELS, strict=True))
WORKLOAD_TYPES = {"prod": "IW-F", "dev": "NIW"}
_PREFERENCE = re.compile(r"[\[(\s]*([0-2])(?:[,\s]*[0-2])*[\])\s]*")


def parse(checker: Checker, names: Names) -> Parsed:
    """Read ``arrival_timestamp, regions, model_type, workload_type, prompt_size, token_size``.

    ``prod`` is interactive as a whole: the split into IW-F and IW-N is assigned.
    """
    missing = [name for name in (*MODELS, *REGIONS) if name not in names.models + names.regions]
    if missing or not {"IW-F", "NIW"} <= set(names.tiers):
        raise TraceError(
            f"{checker.table.path}: the sageserve schema needs the names {', '.join(missing)}"
        )
    prompt = checker.tokens("prompt_size", 1)
    output = checker.tokens("token_size", 0)
    types = {key: names.models.index(name) for key, name in MODEL_TYPES.items()}
    model = checker.labels("model_type", types, "model")
    tiers = {key: names.tiers.index(name) for key, name in WORKLOAD_TYPES.items()}
    tier = checker.labels("workload_type", tiers, "workload type")
    codes, texts = factorise(checker.table.columns["regions"])
    home = np.array([_home(text, names) for text in texts], dtype=np.int16)[codes]
    checker.refuse(home < 0, "regions", "is not a preference string over 0, 1, 2")
    arrival, first = read_times(checker, "arrival_timestamp", "s")
    return Parsed(arrival, prompt, output, model, home, tier, first=first, iw_split=False)


def _home(text: str, names: Names) -> int:
    """Return the region of the first digit of a preference string such as ``[0, 2, 1]``."""
    found = _PREFERENCE.fullmatch(text)
    return -1 if found is None else names.regions.index(REGIONS[int(found[1])])


SCHEMA = Schema(
    "sageserve",
    {
        "arrival_timestamp": True,
        "regions": True,
        "model_type": True,
        "workload_type": True,
        "prompt_size": True,
        "token_size": True,
    },
    parse,
)
