"""Five hundred trace files with time columns of every form, against a plain reading in Python.

A file is made from a form (kind of time, unit, separator, encoding, damage) drawn by a seed, and
read back by `plainly`, which knows the form. The loader does not: it must come to the same
requests, refuse the file in one line, or, where numbers could mean two things, say what it took.
"""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from sageserve_traces import LoadReport, RequestTrace, TraceError, load_rows

FILES = 500
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "d": 86_400.0}
SAID = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
KINDS = ("naive", "T", "zoned", "Z", "mixed-offsets", "unix", "relative", "sheet", "form")
FORMS = ("%d/%m/%Y %H:%M:%S.%f", "%m-%d-%Y %I:%M:%S.%f %p", "%Y%m%d%H%M%S%f")
BAD = ("", "soon", "inf", "-inf", "nan", "0", "1970-01-01 00:00:00", "2061-01-01 00:00:00", "1e300")


@dataclass(frozen=True)
class Form:
    """How a file is written."""

    kind: str
    unit: str
    form: str
    separator: str
    encoding: str
    bad: dict[int, str]
    told: bool

    def cell(self, start: datetime, second: float, row: int) -> str:
        """Return a time as the file has it; rounded to what the form can hold."""
        if row in self.bad:
            return self.bad[row]
        at = start + timedelta(seconds=second)
        if self.kind == "naive":
            return at.strftime("%Y-%m-%d %H:%M:%S.%f")
        if self.kind == "T":
            return at.strftime("%Y-%m-%dT%H:%M:%S.%f")
        if self.kind == "Z":
            return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if self.kind in ("zoned", "mixed-offsets"):
            hours = 2 if self.kind == "zoned" else (row % 3) - 5
            return at.astimezone(timezone(timedelta(hours=hours))).isoformat(sep=" ")
        if self.kind == "form":
            return at.strftime(self.form)
        if self.kind == "sheet":
            days = (at - datetime(1899, 12, 30, tzinfo=UTC)) / timedelta(days=1)
            return f"{days:.10f}"
        count = (at.timestamp() if self.kind == "unix" else second) / UNITS[self.unit]
        return f"{count:.3f}" if self.unit == "s" else f"{count:.0f}"


def made(seed: int, path: Path) -> tuple[Form, list[float]]:
    """Write a file and return its form and the true times of its good rows."""
    rng = random.Random(seed)
    n = rng.choice((12, 40, 250))
    rate = rng.choice((0.3, 2.0, 9.0))
    kind = rng.choice(KINDS)
    rows = rng.sample(range(n), rng.choice((0, 0, 1, 1, 2) if n > 12 else (0, 1)))
    bad = {row: rng.choice(BAD) for row in rows}
    form = Form(
        kind,
        rng.choice(("s", "ms", "us", "ns")),
        rng.choice(FORMS),
        rng.choice(",;\t|"),
        rng.choice(("utf-8", "utf-8-sig", "latin-1")),
        bad,
        told=kind == "form" or rng.random() < 0.3,
    )
    start = datetime(2024, 5, 10, 8, tzinfo=UTC) + timedelta(seconds=rng.randrange(10**6))
    seconds, at = [], rng.choice((0.0, 0.0, 5000.0)) if kind == "relative" else 0.0
    for _ in range(n):
        seconds.append(round(at, 3))
        at += rng.expovariate(rate)
    with path.open("w", encoding=form.encoding, newline="") as file:
        writer = csv.writer(file, delimiter=form.separator)
        writer.writerow(["who", "when", "in", "out", "ref"])
        for row, second in enumerate(seconds):
            cell = form.cell(start, second, row)
            writer.writerow([rng.choice(("café", "Ärger", "plain")), cell, 5, 6, row])
    if kind == "relative" and form.bad.get(0) == "0" and seconds[0] == 0.0:
        form.bad.pop(0)  # that is what should stand there
    return form, seconds


def plainly(path: Path, form: Form) -> list[float | None]:
    """Read the times of a file with the standard library alone; None for bad cells."""
    found: list[float | None] = []
    with path.open(encoding=form.encoding, newline="") as file:
        for row, record in enumerate(csv.DictReader(file, delimiter=form.separator)):
            cell = record["when"]
            if row in form.bad:
                found.append(None)
            elif form.kind == "form":
                found.append(datetime.strptime(cell, form.form).replace(tzinfo=UTC).timestamp())
            elif form.kind in ("unix", "relative"):
                found.append(float(cell) * UNITS[form.unit])
            elif form.kind == "sheet":
                found.append(float(cell) * UNITS["d"])
            else:
                stamp = datetime.fromisoformat(cell)
                found.append((stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp())
    return found


def loaded(path: Path, form: Form, on_error: str) -> tuple[RequestTrace, LoadReport]:
    columns = {"arrival": "when", "prompt": "in", "output": "out", "request_id": "ref"}
    told = {"time_format": form.form} if form.kind == "form" else {}
    if form.told and form.kind in ("unix", "relative"):
        told = {"time_unit": form.unit}
    return load_rows(path, columns=columns, on_error=on_error, **told)  # type: ignore[arg-type]


def check(seed: int, path: Path) -> str:
    """Check one file and return what came of it: ``right``, ``refused`` or ``said``."""
    form, _ = made(seed, path)
    plain = plainly(path, form)
    told = f"seed {seed}: {form}"
    if form.bad:
        with pytest.raises(TraceError) as caught:
            loaded(path, form, "raise")
        assert "\n" not in str(caught.value), told
    try:
        trace, report = loaded(path, form, "drop")
    except TraceError as error:
        assert "\n" not in str(error), told
        return "refused"
    good = [(row, second) for row, second in enumerate(plain) if second is not None]
    wanted = np.array([second for _, second in good]) - good[0][1]
    assert trace.request_id is not None
    size = 1e-4 if form.kind == "sheet" else 2e-3 if form.kind in ("unix", "relative") else 2e-6
    same = len(trace) == len(wanted) and np.allclose(trace.arrival_s, wanted, atol=size, rtol=0)
    if same:
        assert trace.request_id.tolist() == [row for row, _ in good], told
        assert report.rows_dropped == len(form.bad), told
        return "right"
    # Numbers that count from a start may be read in another unit, if that is said.
    assert form.kind == "relative" and not form.told, f"{told}: {report.notes}, {report.dropped}"
    said = " ".join(report.notes)
    assert "read as" in said and f"read as {SAID[form.unit]}" not in said, f"{told}: {said}"
    return "said"


def test_no_silent_wrong_answer(tmp_path: Path) -> None:
    outcomes = {"right": 0, "refused": 0, "said": 0}
    for seed in range(FILES):
        outcomes[check(seed, tmp_path / f"{seed}.csv")] += 1
    assert outcomes["right"] >= 0.95 * FILES, outcomes
