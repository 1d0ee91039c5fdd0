"""What files of calibrated and tuned agents say beside the agents."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sageserve_bench.errors import UserError
from sageserve_bench.runs.versions import versions
from sageserve_search.probing import Prober
from sageserve_traces.names import SPLIT_SEEDS


def header(prober: Prober, command: str) -> dict[str, Any]:
    """Return what a file says besides its agents: what ran on what, and the command."""
    return {
        "command": command,
        "scenario": {"name": prober.scenario.name, "config_hash": prober.scenario.config_hash},
        "trace": prober.trace.to_dict(),
        "seeds": list(prober.seeds),
        "service": prober.service.to_dict(),
        "versions": versions(),
    }


def shown_command(name: str, options: Mapping[str, object]) -> str:
    """Return a command line; options that are None are left out, paths keep their last two parts.

    The file is published, so it must not tell the folders of the machine it was made on.
    """
    words = ["sageserve", name]
    for option, value in options.items():
        if value is not None:
            text = str(value)
            if isinstance(value, Path) and value.is_absolute():
                text = str(Path(*value.parts[-2:]))
            words += [f"--{option}", text]
    return shlex.join(words)


def refuse_test_seeds(seeds: Sequence[int]) -> None:
    """Raise the error for seeds that are kept for tests.

    Raises:
        UserError: If one of the seeds belongs to the test split.
    """
    first, end = SPLIT_SEEDS["test"]
    touched = [seed for seed in seeds if first <= seed < end]
    if touched:
        raise UserError(
            f"seed {touched[0]} is kept for tests; calibrate and tune on validation seeds, "
            f"{SPLIT_SEEDS['validation'][0]} and up"
        )
