"""Every decision of an episode in a few arrays, exact to the last bit."""

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
from sageserve_env.options import DISCIPLINES, ROUTERS

NONE = -1


@dataclass(frozen=True)
class ActionLog:
    """The decisions of an episode, T of them; index -1 stands for None.

    Attributes:
        instances: Targets, int64 [T, E, G].
        router: Index into `ROUTERS`, int8 [T].
        discipline: Index into `DISCIPLINES`, int8 [T].
        routing: The different routing matrices, float64 [U, M, R, R].
        routing_index: Which of them was used, int32 [T].
        release: The different release ceilings, float64 [V, E].
        release_index: Which of them was used, int32 [T].
    """

    instances: NDArray[np.int64]
    router: NDArray[np.int8]
    discipline: NDArray[np.int8]
    routing: NDArray[np.float64]
    routing_index: NDArray[np.int32]
    release: NDArray[np.float64]
    release_index: NDArray[np.int32]

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
        router, discipline = int(self.router[step]), int(self.discipline[step])
        matrix, ceiling = int(self.routing_index[step]), int(self.release_index[step])
        return ClusterAction(
            self.instances[step],
            None if router == NONE else ROUTERS[router],
            None if matrix == NONE else self.routing[matrix],
            None if ceiling == NONE else self.release[ceiling],
            None if discipline == NONE else DISCIPLINES[discipline],
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, as they are stored."""
        return dict(vars(self))

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]]) -> ActionLog:
        """Return the log that `arrays` gave.

        Raises:
            KeyError: If an array is missing.
        """
        return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})

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


class _Table:
    """Arrays that recur, each kept once."""

    def __init__(self) -> None:
        self._place: dict[bytes, int] = {}
        self.arrays: list[NDArray[np.float64]] = []
        self.index: list[int] = []

    def note(self, value: NDArray[np.float64] | None) -> None:
        if value is None:
            self.index.append(NONE)
            return
        array = np.ascontiguousarray(value, dtype=np.float64)
        key = array.tobytes()
        if key not in self._place:
            self._place[key] = len(self.arrays)
            self.arrays.append(array.copy())
        self.index.append(self._place[key])

    def stacked(self) -> NDArray[np.float64]:
        return np.stack(self.arrays) if self.arrays else np.zeros(0)


class Recorder:
    """Collects the decisions of an episode."""

    def __init__(self) -> None:
        self._instances: list[NDArray[np.int64]] = []
        self._router: list[int] = []
        self._discipline: list[int] = []
        self._routing, self._release = _Table(), _Table()

    def __len__(self) -> int:
        """Return the number of decisions so far."""
        return len(self._instances)

    def note(self, action: ClusterAction) -> None:
        """Keep a decision."""
        self._instances.append(np.asarray(action.instances).astype(np.int64))
        self._router.append(NONE if action.router is None else ROUTERS.index(action.router))
        chosen = action.discipline
        self._discipline.append(NONE if chosen is None else DISCIPLINES.index(chosen))
        self._routing.note(action.routing)
        self._release.note(action.niw_release)

    def log(self) -> ActionLog:
        """Return what was kept."""
        return ActionLog(
            np.stack(self._instances),
            np.array(self._router, dtype=np.int8),
            np.array(self._discipline, dtype=np.int8),
            self._routing.stacked(),
            np.array(self._routing.index, dtype=np.int32),
            self._release.stacked(),
            np.array(self._release.index, dtype=np.int32),
        )
