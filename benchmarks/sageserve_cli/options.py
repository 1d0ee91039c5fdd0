"""The options with which a command reads a trace: one definition for all of them.

A command that reads a trace is decorated with `reads_trace` and takes one argument ``reading``; on
the command line that is ``--columns``, ``--on-error``, ``--time-unit``, ``--time-format`` and
``--start``. What is common to most commands beside it is spelt `Scenario`, `Trace`, and so on.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from sageserve_bench.errors import UserError
from sageserve_bench.writing import check_file
from sageserve_traces import LoadReport, ReadOptions, parse_duration
from sageserve_traces.reading import TIME_UNITS

Scenario = Annotated[str, typer.Option(help="Name or YAML file.")]
Trace = Annotated[str | None, typer.Option(help="Name or file; default the scenario's workload.")]
Tile = Annotated[
    str | None, typer.Option(help="Repeat a short trace up to this length, such as 6h.")
]
RateScale = Annotated[float, typer.Option(help="Factor on the request rate.")]
Seeds = Annotated[int, typer.Option(help="The first N seeds of the split.")]
SeedList = Annotated[str | None, typer.Option(help="Exactly these seeds, as 1000,1003.")]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
Workers = Annotated[int, typer.Option(help="Processes.")]
BackendKind = Annotated[str, typer.Option(help="process or ray.")]
RayAddress = Annotated[
    str | None, typer.Option(help="Ray cluster to use; auto finds a running one.")
]


def json_option(help_text: str) -> Any:
    """Return the option ``--json FILE``; a file that cannot be written is refused at once."""

    def checked(path: Path | None) -> Path | None:
        if path is not None:
            check_file("--json", path)
        return path

    return typer.Option("--json", help=help_text, callback=checked)


_Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        "--column",
        help="Columns of your own file: arrival=NAME,prompt=NAME,output=NAME,...; repeatable.",
    ),
]
_OnError = Annotated[
    str, typer.Option(help="raise or drop: what to do with unusable rows of a trace.")
]
_TimeUnit = Annotated[
    str | None,
    typer.Option(help=f"What numbers in the time column count: {', '.join(TIME_UNITS)}."),
]
_TimeFormat = Annotated[
    str | None, typer.Option(help="Form of the time column, as %d/%m/%Y %H:%M:%S.")
]
_Start = Annotated[
    str | None, typer.Option(help="Begin this long after the first arrival, such as 2h.")
]


def parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """Return an option of a command."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


READING = (
    parameter("columns", _Columns, None),
    parameter("on_error", _OnError, "raise"),
    parameter("time_unit", _TimeUnit, None),
    parameter("time_format", _TimeFormat, None),
    parameter("start", _Start, None),
)


def gives(
    argument: str, options: Sequence[inspect.Parameter], make: Callable[..., Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command options in place of one of its arguments.

    Args:
        argument: Name of the argument.
        options: What stands on the command line in its place.
        make: Makes the argument of them.
    """

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_options(**given: Any) -> Any:
            words = {option.name: given.pop(option.name) for option in options}
            return command(**given, **{argument: make(**words)})

        hints = get_type_hints(command, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for name, parameter in inspect.signature(command).parameters.items():
            if name == argument:
                parameters += options
            else:
                kind = inspect.Parameter.KEYWORD_ONLY
                parameters.append(parameter.replace(annotation=hints[name], kind=kind))
        signature = inspect.Signature(parameters, return_annotation=hints.get("return"))
        with_options.__signature__ = signature  # type: ignore[attr-defined]
        with_options.__annotations__ = {p.name: p.annotation for p in parameters}
        return with_options

    return decorated


def read_options(
    columns: Sequence[str] | None = None,
    on_error: str = "raise",
    time_unit: str | None = None,
    time_format: str | None = None,
    start: str | None = None,
) -> ReadOptions:
    """Return the options of reading from the words of a command line.

    Raises:
        ValueError: If a word cannot be understood.
    """
    return ReadOptions.of(
        None,
        {
            "columns": parse_columns(",".join(columns or [])),
            "on_error": on_error,
            "time_unit": time_unit,
            "time_format": time_format,
            "start_s": 0.0 if start in (None, "0") else parse_duration(str(start)),
        },
    )


reads_trace = gives("reading", READING, read_options)
"""Gives a command the options of reading a trace in place of its argument ``reading``."""


def parse_seeds(count: int, text: str | None) -> int | list[int]:
    """Return how many seeds, or exactly those of a text such as ``7,8``.

    Raises:
        UserError: If the text is not a list of whole numbers.
    """
    if text is None:
        return count
    try:
        return [int(piece) for piece in text.split(",")]
    except ValueError:
        raise UserError(f"--seed-list {text!r}: write whole numbers such as 7,8") from None


def words_of(reading: ReadOptions) -> dict[str, str | None]:
    """Return the words of a command line for options of reading; None where they are default."""
    default = ReadOptions()
    start = f"{reading.start_s:g}" if reading.start_s else None
    return {
        "columns": ",".join(f"{key}={name}" for key, name in reading.columns) or None,
        "on-error": None if reading.on_error == default.on_error else reading.on_error,
        "time-unit": reading.time_unit,
        "time-format": reading.time_format,
        "start": start,
    }


def parse_columns(text: str | None) -> dict[str, str]:
    """Return the mapping of a text such as ``arrival=timestamp,prompt=tokens_in``.

    Raises:
        UserError: If a piece is not of the form ``key=name``, or a key comes twice.
    """
    columns: dict[str, str] = {}
    for piece in filter(None, (text or "").split(",")):
        key, equals, name = piece.partition("=")
        if not (equals and key.strip() and name.strip()) or key.strip() in columns:
            raise UserError(f"--columns {piece!r}: write each key once, as in arrival=timestamp")
        columns[key.strip()] = name.strip()
    return columns


def remark(report: LoadReport | None) -> None:
    """Print `remarks` on standard error, where they are in nobody's way."""
    from sageserve_bench.runs.workload import remarks

    for line in remarks(report) if report is not None else ():
        typer.echo(f"note: {line}", err=True)
