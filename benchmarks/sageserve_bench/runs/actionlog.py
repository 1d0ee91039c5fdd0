"""Every decision of an episode in a few arrays, exact to the last bit.

Version 2, the present one, has for every knob of `sageserve_env.knobs` that was decided an array
``KNOB`` of its different values and ``KNOB_index``, which of them each decision has (-1: None).
Targets are kept in full, ``instances`` int64 [T, E, G]. A knob that a log does not have was not
decided, so that a log stays readable when knobs are added. Version 1 had no mark of its version and
held names as numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sageserve_bench.errors import UserError
from sageserve_env.actions import ClusterAction
from sageserve_env.knobs import BY_NAME, KNOBS

NONE = -1
VERSION = 2
DENSE = "instances"

_V1_NAMES = {
    "router": ("threshold", "shares", "least_wait", "least_wait_kv"),
    "discipline": ("fcfs", "edf", "pf", "dpa", "triage"),
}
_V1_ARRAYS = {"routing": "routing", "niw_release": "release"}


@dataclass(frozen=True)
class ActionLog:
    """The decisions of an episode, T of them.

    Attributes:
        instances: Targets, int64 [T, E, G].
        values: The different values of every other knob that was decided, by its name, [U, ...].
        index: Which of them each decision has, int32 [T]; -1 is None.
    """

    instances: NDArray[np.int64]
    values: Mapping[str, NDArray[Any]]
    index: Mapping[str, NDArray[np.int32]]

    def __len__(self) -> int:
        """Return the number of decisions."""
        return len(self.instances)

    def action(self, step: int) -> ClusterAction:
        """Return the decision of a step.

        Raises:
            UserError: If the log ends before it.
        """
        if step >= len(self):
            raise UserError(f"the action log ends after {len(self)} decisions")
        decided: dict[str, Any] = {DENSE: self.instances[step]}
        for name, index in self.index.items():
            at = int(index[step])
            if at != NONE:
                value = self.values[name][at]
                decided[name] = str(value) if BY_NAME[name].choices else value
        return ClusterAction(**decided)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, as they are stored."""
        stored: dict[str, NDArray[Any]] = {"version": np.array(VERSION), DENSE: self.instances}
        for name, values in self.values.items():
            stored[name], stored[f"{name}_index"] = values, self.index[name]
        return stored

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]]) -> ActionLog:
        """Return the log that `arrays` gave, of this version or an earlier one.

        Raises:
            KeyError: If an array is missing.
            ValueError: If the log has a later version or a knob that is not known here.
        """
        version = int(arrays.get("version", np.array(1)))
        if version == 1:
            return _read_first(arrays)
        names = [name.removesuffix("_index") for name in arrays if name.endswith("_index")]
        unknown = [name for name in names if name not in BY_NAME]
        if version > VERSION or unknown:
            what = f"knob {unknown[0]!r}" if unknown else f"version {version}"
            raise ValueError(f"{what} is not known here; a later sageserve-env wrote it")
        return cls(
            arrays[DENSE],
            {name: arrays[name] for name in names},
            {name: arrays[f"{name}_index"] for name in names},
        )

    @classmethod
    def load(cls, path: Path, run: str = "") -> ActionLog:
        """Read a log from a file of its own, or that of a run from an archive of several.

        Raises:
            UserError: If the file is missing or damaged, or does not hold the run.
        """
        head = f"{run}/" if run else ""
        try:
            with np.load(path, allow_pickle=False) as file:
                own = [name for name in file.files if name.startswith(head)]
                return cls.read({name.removeprefix(head): file[name] for name in own})
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
            of = f" of {run}" if run else ""
            raise UserError(f"{path}: no action log{of} to replay ({error})") from None


def _read_first(arrays: Mapping[str, NDArray[Any]]) -> ActionLog:
    """Return a log of version 1."""
    values: dict[str, NDArray[Any]] = {}
    index: dict[str, NDArray[np.int32]] = {}
    for name, known in _V1_NAMES.items():
        values[name], index[name] = np.array(known), arrays[name].astype(np.int32)
    for name, stored in _V1_ARRAYS.items():
        values[name], index[name] = arrays[stored], arrays[f"{stored}_index"]
    return ActionLog(arrays[DENSE], values, index)


class _Table:
    """Values that recur, each kept once."""

    def __init__(self) -> None:
        self._place: dict[bytes | str, int] = {}
        self.values: list[Any] = []
        self.index: list[int] = []

    def note(self, value: Any) -> None:
        if value is None:
            self.index.append(NONE)
            return
        if not isinstance(value, str):
            value = np.array(value, dtype=np.float64, order="C")
        key = value if isinstance(value, str) else value.tobytes()
        if key not in self._place:
            self._place[key] = len(self.values)
            self.values.append(value)
        self.index.append(self._place[key])


class Recorder:
    """Collects the decisions of an episode."""

    def __init__(self) -> None:
        self._instances: list[NDArray[np.int64]] = []
        self._tables = {knob.name: _Table() for knob in KNOBS if knob.name != DENSE}

    def __len__(self) -> int:
        """Return the number of decisions so far."""
        return len(self._instances)

    def note(self, action: ClusterAction) -> None:
        """Keep a decision."""
        self._instances.append(np.asarray(action.instances).astype(np.int64))
        for name, table in self._tables.items():
            table.note(getattr(action, name))

    def log(self) -> ActionLog:
        """Return what was kept."""
        decided = {name: table for name, table in self._tables.items() if table.values}
        return ActionLog(
            np.stack(self._instances),
            {name: np.array(table.values) for name, table in decided.items()},
            {name: np.array(table.index, dtype=np.int32) for name, table in decided.items()},
        )
