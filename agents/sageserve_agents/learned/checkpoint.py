"""Checkpoints: weights in ``policy.npz``, everything about them in ``card.json``.

A checkpoint holds arrays and plain values only. It is read with ``allow_pickle=False``, so that
loading one runs no code of whoever made it.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_agents.parameters import nearest

WEIGHTS, CARD = "policy.npz", "card.json"
FORMAT = 1
LARGEST_BYTES = 1_000_000
SHIPPED = Path(__file__).parent / "checkpoints"


@dataclass(frozen=True)
class Checkpoint:
    """A trained policy.

    Attributes:
        arrays: Weights by name.
        card: Agent, network, training command, seeds, curve, traces, versions.
    """

    arrays: Mapping[str, NDArray[np.generic]]
    card: Mapping[str, Any]


def shipped() -> list[str]:
    """Return the names of the checkpoints that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CARD}"))


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; each file is replaced as a whole.

    Raises:
        ValueError: If the weights are larger than a shipped checkpoint may be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{WEIGHTS}.part"
    with temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(checkpoint.arrays))
    size = temporary.stat().st_size
    if size > LARGEST_BYTES:
        temporary.unlink()
        raise ValueError(f"the checkpoint has {size:,} bytes, more than {LARGEST_BYTES:,}")
    os.replace(temporary, folder / WEIGHTS)
    part = folder / f".{CARD}.part"
    text = json.dumps({"format": FORMAT, **checkpoint.card}, indent=2)
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, folder / CARD)


def find(name: str) -> Path:
    """Return the folder of a checkpoint, from a path or the name of a shipped one.

    Raises:
        ValueError: If there is none; one line that says what there is.
    """
    folder = Path(name).expanduser()
    if (folder / CARD).is_file() or (folder / WEIGHTS).is_file():
        return folder
    if name in shipped():
        return SHIPPED / name
    if folder.is_dir():
        raise ValueError(f"checkpoint {name!r}: the folder has no {CARD} and {WEIGHTS}")
    raise nearest(name, shipped(), "checkpoint (neither a folder nor shipped)")


def load(name: str, agent: str | None = None) -> Checkpoint:
    """Read a checkpoint.

    Args:
        name: Folder, or name of a shipped checkpoint.
        agent: The agent that it must be of.

    Raises:
        ValueError: If it is missing, damaged, of another format or of another agent.
    """
    folder = find(name)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        with np.load(folder / WEIGHTS, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"checkpoint {name!r} cannot be read: {reason}") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        found = card.get("format") if isinstance(card, dict) else None
        raise ValueError(f"checkpoint {name!r}: expected format {FORMAT}, got {found!r}")
    if any(not np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f"):
        raise ValueError(f"checkpoint {name!r}: a weight is not a finite number")
    if agent is not None and card.get("agent") != agent:
        raise ValueError(f"checkpoint {name!r} is of agent {card.get('agent')!r}, not {agent!r}")
    return Checkpoint(arrays, card)
