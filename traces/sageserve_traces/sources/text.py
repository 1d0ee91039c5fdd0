"""Text files as they come: which separator stands between fields, and which encoding they have."""

from __future__ import annotations

import codecs
import csv
import re
from typing import Final

SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_WIDE: Final = {  # a mark of UTF-32 begins as one of UTF-16 does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
#: The first bytes of a file by which `from_utf16` knows it.
WIDE_MARKS: Final = tuple(_WIDE)
_FALLBACK: Final = "sageserve-latin-1"
_SAMPLE_LINES: Final = 20
_DIRECTIVE = re.compile(rb'^"?sep=([,;\t|])"?\r?\n', re.IGNORECASE)


def _latin1(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that are no UTF-8 as Windows-1252, which holds Latin-1."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return wrong.decode("cp1252", errors="replace"), error.end


codecs.register_error(_FALLBACK, _latin1)


def decoded(data: bytes) -> str:
    """Return text in UTF-8; bytes that are none are read as Latin-1."""
    return data.decode("utf-8-sig", errors=_FALLBACK)


def as_utf8(data: bytes) -> tuple[bytes, bool]:
    """Return a file's bytes as UTF-8, and whether some of them were not."""
    import pyarrow as pa

    try:
        pa.array([data], pa.large_binary()).cast(pa.large_string())  # only checks, copies nothing
    except pa.ArrowInvalid:
        return decoded(data).encode(), True
    return data, False


def from_utf16(data: bytes) -> bytes:
    """Return text in UTF-16 or UTF-32 with a byte order mark as UTF-8, and other bytes untouched.

    Raises:
        UnicodeDecodeError: If the text is damaged.
    """
    for mark, encoding in _WIDE.items():
        if data.startswith(mark):
            return data.decode(encoding).encode()
    return data


def body_of(data: bytes) -> tuple[bytes, str | None]:
    """Return what follows a byte order mark, blank lines and a line ``sep=;``, and its separator.

    Lines that end with a carriage return alone are given line feeds.

    Args:
        data: The beginning of a file, or all of it.
    """
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n \t")
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    found = _DIRECTIVE.match(data)
    if found is None:
        return data, None
    return data[found.end() :].lstrip(b"\r\n"), found[1].decode()


def separator_of(head: bytes) -> str:
    """Return the separator of a table: the one that gives its lines the same, largest width.

    Args:
        head: The beginning of the table, header first.
    """
    lines = [line for line in decoded(head).splitlines() if line.strip()][:_SAMPLE_LINES]
    best, best_score = ",", (0.0, 1)
    for separator in SEPARATORS:
        widths = [_width(line, separator) for line in lines]
        if widths and widths[0] > 1:
            agree = sum(width == widths[0] for width in widths) / len(widths)
            score = (round(agree, 1), widths[0])
            if score > best_score:
                best, best_score = separator, score
    return best


def header_of(head: bytes, separator: str) -> tuple[str, ...]:
    """Return the column names in the first line."""
    line = decoded(head).split("\n", 1)[0].rstrip("\r")
    return tuple(name.strip() for name in next(csv.reader([line], delimiter=separator), []))


def ends_in_separator(head: bytes, separator: str, columns: int) -> bool:
    """Return whether each row ends in a separator that the header does not have.

    Args:
        head: The beginning of the table, header first.
        separator: Between its fields.
        columns: Names in the header.
    """
    lines = [line for line in decoded(head).splitlines() if line.strip()][1 : _SAMPLE_LINES + 1]
    return bool(lines) and all(
        line.endswith(separator) and _width(line, separator) == columns + 1 for line in lines
    )


def _width(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator), []))
    except csv.Error:
        return 0
