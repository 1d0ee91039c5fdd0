"""The command line, `sageserve`.

Each sub-command lives in `sageserve_cli.commands.<name>` and is imported only when it is called,
so that `sageserve --help` is fast and an extra that is not installed is missed only where it is
needed. A module holds either a typer application `<name>_app` (a group such as `sageserve trace`)
or a function `<name>` or `<name>_command`. A command whose module does not exist is not listed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from sageserve_bench.errors import UserError
from sageserve_cli.guide import GUIDE, lines_of

COMMANDS = {words: entry.line for words, entry in GUIDE.items() if entry.line}
"""Name and one-line help of every sub-command, in the order of `sageserve --help`."""

EXTRAS = {
    "jinja2": "report",
    "mo_gymnasium": "mo",
    "optuna": "tune",
    "pettingzoo": "marl",
    "plotly": "report",
    "ray": "ray",
    "sb3_contrib": "learn",
    "stable_baselines3": "learn",
    "statsmodels": "forecast",
    "tensorboard": "learn",
    "torch": "learn",
}
"""The extra of `sageserve-env` that brings each optional import."""

DEBUG_VARIABLE = "SAGESERVE_DEBUG"
EXIT_INTERNAL_ERROR = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


class LazyGroup(typer.core.TyperGroup):
    """A group that knows its commands by name and imports each only when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, help_text in COMMANDS.items():
            if importlib.util.find_spec(f"sageserve_cli.commands.{_module(name)}") is not None:
                self.commands[name] = typer.core.TyperCommand(name, help=help_text)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Swap the placeholder that stands in the help for the real command."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        if name is None or placeholder is None:
            return name, placeholder, rest
        return name, load_command(name), rest


def load_command(name: str) -> Any:
    """Import `sageserve_cli.commands.<name>` and return its command.

    Raises:
        UserError: If the command needs an extra that is not installed.
        TypeError: If the module holds no command of that name.
    """
    word = _module(name)
    module = importlib.import_module(f"sageserve_cli.commands.{word}")
    group = getattr(module, f"{word}_app", None)
    if group is not None:
        return _guided(typer.main.get_command(group), name)
    function = getattr(module, f"{word}_command", None) or getattr(module, word, None)
    if function is None:
        raise TypeError(f"{module.__name__} defines neither {word}, {word}_command nor {word}_app")
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command(name)(function)
    return _guided(typer.main.get_command(application), name)


def _guided(command: Any, words: str) -> Any:
    """Return a command whose help ends in when to use it, and an example."""
    command.epilog = lines_of(words)
    for name, under in getattr(command, "commands", {}).items():
        under.epilog = lines_of(f"{words} {name}")
    return command


def _module(name: str) -> str:
    """Return the module of a command: ``plan_capacity`` for ``plan-capacity``."""
    return name.replace("-", "_")


app = typer.Typer(
    name="sageserve",
    cls=LazyGroup,
    help="Simulate LLM serving on a multi-region GPU cluster, and compare agents that run it.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sageserve-env {version('sageserve-env')}")
        raise typer.Exit


@app.callback()
def _global_options(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help=f"Show the traceback of an error (as {DEBUG_VARIABLE}=1 does).",
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that stand before the sub-command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    Args:
        arguments: Words after the program's name; `sys.argv[1:]` if None.

    Raises:
        SystemExit: Always. Code 0 on success, 2 on bad input, 130 on Ctrl-C or SIGTERM, 1 on an
            error of the program's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(words or ["--help"]))


def run(words: list[str]) -> int:
    """Run the command line and return the exit code; with `--debug` errors are raised."""
    debug = "--debug" in words or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
    words = [word for word in words if word != "--debug"]
    try:
        with _terminated_as_interrupted():
            result = app(words, prog_name="sageserve", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader, such as `head`, has gone: nothing more can be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERNAL_ERROR
    except typer.TyperException as error:
        return _usage_error(error)
    except Exception as error:
        if debug:
            raise
        return _fail(*describe(error))
    code = result if isinstance(result, int) and not isinstance(result, bool) else 0
    if code == EXIT_INTERRUPTED:
        return _fail("interrupted", EXIT_INTERRUPTED)
    return code


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: workers are ended and temporary files removed."""
    if threading.current_thread() is not threading.main_thread():  # only it may set handlers
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one would interrupt the clean-up
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def describe(error: Exception) -> tuple[str, int]:
    """Return the line that is shown for an error, and the exit code."""
    if isinstance(error, ImportError):
        missing = (error.name or "").partition(".")[0]
        if missing in EXTRAS:
            from sageserve_env.extras import install_command

            advice = install_command(EXTRAS[missing])
            return f"{missing} is not installed: {advice}", EXIT_USER_ERROR
        if error.name is None and str(error):  # raised by our own check, with its own advice
            return str(error), EXIT_USER_ERROR
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}", EXIT_USER_ERROR
    if isinstance(error, UserError | ValueError | OSError) and str(error):
        return str(error), EXIT_USER_ERROR
    message = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
    return message, EXIT_INTERNAL_ERROR


def _usage_error(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
        typer.echo(context.get_help(), err=True)
        return EXIT_USER_ERROR
    hint = f" (see '{context.command_path} --help')" if context is not None else ""
    return _fail(error.format_message().rstrip(".") + hint, EXIT_USER_ERROR)


def _fail(message: str, code: int) -> int:
    """Print a message as one line on standard error and return the exit code."""
    print(f"sageserve: error: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
