"""CSV files of others: read whole, with one clear line where that cannot be done."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sageserve_bench.errors import UserError


def read_csv(path: Path, columns: Sequence[str], **options: Any) -> pd.DataFrame:
    """Read a CSV that must have some columns and a row.

    Args:
        path: The file; gzip by its name.
        columns: What it must have.
        **options: Of `pandas.read_csv`.

    Raises:
        UserError: If it cannot be read, or lacks a column or rows.
    """
    needed = f"needed: {', '.join(columns)}"
    try:
        table: pd.DataFrame = pd.read_csv(path, **options)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: the file is empty; {needed}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text") from None
    except (OSError, ValueError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be read as CSV: {reason}") from None
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(f"{path}: column {missing[0]!r} is missing; {needed}")
    if table.empty:
        raise UserError(f"{path}: has a header and no rows")
    if not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{path}: row 1 has more cells than the header has columns")
    return table
