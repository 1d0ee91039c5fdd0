"""What one file schema says: which columns, and how they become a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..names import MODELS, REGIONS, TIERS
from ..prefixes import Blocks

if TYPE_CHECKING:
    from .columns import Checker

#: The four models of the paper; a file may name any of them.
KNOWN_MODELS: tuple[str, ...] = (*MODELS, "llama-3.1-70b", "qwen3-32b", "gpt-oss-120b")


@dataclass(frozen=True)
class Names:
    """Names that a file may use, and whether the caller chose them."""

    models: tuple[str, ...] = KNOWN_MODELS
    regions: tuple[str, ...] = REGIONS
    tiers: tuple[str, ...] = TIERS
    models_given: bool = False


@dataclass
class Parsed:
    """Columns that a schema made of a table; None for what the schema does not have.

    Attributes:
        arrival_s: Seconds from the start.
        prompt_tokens: At least 1.
        output_tokens: 0 or more.
        model: Index into the allowed names.
        region: Index into the allowed names.
        tier: Index into the allowed names.
        request_id: Ids, ``int64`` or texts.
        blocks: Block ids of each prompt.
        session: Session of each request, numbered.
        think_s: Seconds from the answer before it.
        first: Timestamp of time 0 if the file has real times.
        iw_split: False if the file knows IW only as a whole (then ``tier`` says IW-F).
    """

    arrival_s: npt.NDArray[np.float64]
    prompt_tokens: npt.NDArray[np.int32]
    output_tokens: npt.NDArray[np.int32]
    model: npt.NDArray[np.int16] | None = None
    region: npt.NDArray[np.int16] | None = None
    tier: npt.NDArray[np.int16] | None = None
    request_id: npt.NDArray[Any] | None = None
    blocks: Blocks | None = None
    session: npt.NDArray[np.int64] | None = None
    think_s: npt.NDArray[np.float64] | None = None
    first: Any = None
    iw_split: bool = True


@dataclass(frozen=True)
class Schema:
    """A file schema.

    Attributes:
        name: Short name.
        columns: Column names; True marks those by which the schema is recognised.
        parse: Makes columns of a checked table.
    """

    name: str
    columns: Mapping[str, bool]
    parse: Callable[[Checker, Names], Parsed]

    @property
    def required(self) -> tuple[str, ...]:
        """Columns by which the schema is recognised."""
        return tuple(name for name, needed in self.columns.items() if needed)
