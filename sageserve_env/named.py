"""Numbers with names: arrays that can also be read like dictionaries.

Libraries that store or stack what ``info`` holds take arrays and scalars only, people want names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Named(np.ndarray[Any, np.dtype[np.float64]]):
    """A float64 array [..., N] whose last axis has names: ``array["cost_usd"]``.

    Args:
        names: Name of each entry of the last axis, [N].
        values: Its values.
    """

    names: tuple[str, ...]

    def __new__(cls, names: Sequence[str], values: Any) -> Named:
        """Return the array of the values, not copied if it is one already."""
        array = np.asarray(values, dtype=np.float64).view(cls)
        array.names = tuple(names)
        return array

    def __array_finalize__(self, source: Any) -> None:
        """Keep the names in views and copies."""
        self.names = getattr(source, "names", ())

    def __reduce__(self) -> Any:
        """Pickle the names too."""
        return Named, (self.names, np.asarray(self))

    def __getitem__(self, key: Any) -> Any:
        """Return what has a name, or what NumPy finds, as a plain array or scalar."""
        plain = np.asarray(self)
        return plain[..., self._place(key)][()] if isinstance(key, str) else plain[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        """Set what has a name, or what NumPy finds."""
        np.asarray(self)[(..., self._place(key)) if isinstance(key, str) else key] = value

    def __contains__(self, key: Any) -> bool:
        """Whether there is such a name, or such a value."""
        return key in self.names if isinstance(key, str) else bool((np.asarray(self) == key).any())

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise KeyError(name)
        return self.names.index(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return what has a name, or the default."""
        return self[name] if name in self.names else default

    def keys(self) -> tuple[str, ...]:
        """Return the names."""
        return self.names

    def values(self) -> list[Any]:
        """Return the value of each name."""
        plain: NDArray[np.float64] = np.asarray(self)
        return [plain[..., i][()] for i in range(len(self.names))]

    def items(self) -> Iterator[tuple[str, Any]]:
        """Return names and values."""
        return zip(self.names, self.values(), strict=True)
