"""Files of calibrated and tuned agents: written whole, and read back as specifications.

``--agents @FILE`` takes the agents of such a file, ``@FOLDER`` those of all its ``*.json``.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sageserve_bench.errors import UserError
from sageserve_bench.outcome import versions
from sageserve_bench.probing import Prober
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


def expand(pieces: Sequence[str]) -> list[str]:
    """Return specifications with each ``@FILE`` or ``@FOLDER`` replaced by the agents in it."""
    found: list[str] = []
    for piece in pieces:
        found += read_specs(Path(piece[1:])) if piece.startswith("@") else [piece]
    return found


def read_specs(path: Path) -> list[str]:
    """Return the specifications in a file or in all ``*.json`` of a folder.

    Raises:
        UserError: If there is nothing, or it is no such file.
    """
    path = path.expanduser()
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise UserError(f"@{path}: no *.json in this folder; make one with sageserve tune")
        return [spec for file in files for spec in read_specs(file)]
    try:
        agents = json.loads(path.read_text(encoding="utf-8"))["agents"]
        specs = [str(record["spec"]) for record in agents.values()]
    except FileNotFoundError:
        raise UserError(f"@{path}: not found; make it with sageserve calibrate or tune") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"@{path}: is no file of sageserve calibrate or tune") from None
    if not specs:
        raise UserError(f"@{path}: has no agents")
    return specs


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
