"""The command line: finds the commands by their file names, tells errors in one line each."""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from keyword import iskeyword
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import kws
from kws import commands
from kws.errors import KwsError, KwsWarning
from kws.interrupts import signals_end_calls
from kws.terminal.safe_output import safe_output
from kws.text import one_line

# What typer raises for a wrong command line, whichever click it carries.
ClickError: type[Exception] = typer.BadParameter.__mro__[2]

INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended before its work was done."""

_PYTHONS_OWN = warnings.showwarning


def _print_version(asked: bool) -> None:
    """Print the version and end, where it was asked for."""
    if asked:
        print(f"kws {kws.__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
    ),
]


class Commands(TyperGroup):
    """The files in `kws/commands`; each is imported when it is called, or for its help."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        names = (module.name for module in pkgutil.iter_modules(commands.__path__))
        return [name.removesuffix("_") for name in names]  # one that is a word of Python's has it

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command, None when there is no such file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        module = importlib.import_module(f"{commands.__name__}.{name}")
        one = _app()
        one.command(cmd_name)(getattr(module, name))
        return typer.main.get_command(one)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; typer knows only those that were registered with it."""
        if not args[0].startswith("-") and args[0] not in (names := self.list_commands(ctx)):
            ctx.fail(f"no command {args[0]!r}; there are: {', '.join(names)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; end quietly when nobody reads what it prints."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # here, because typer itself would end with code 1
            _reader_left()
            raise typer.Exit(0) from None


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line `args` (None: the process's own); return its exit code.

    0 done, 1 a check failed, 2 wrong usage or input, 3 a sound device was lost.
    """
    _open_streams()
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # all it is called with
    with safe_output():
        return _run(args)


def _run(args: Sequence[str] | None) -> int:
    app = _app(cls=Commands, invoke_without_command=True)

    @app.callback()
    def kws(context: typer.Context, *, version: Version = False) -> None:
        """Hears your words on this computer."""
        if context.invoked_subcommand is None:
            print(context.get_help())

    try:
        with signals_end_calls():
            code = typer.main.get_command(app).main(args, prog_name="kws", standalone_mode=False)
        sys.stdout.flush()
    except KwsError as error:
        return _fail(str(error), error.exit_code)
    except ClickError as error:
        return _fail(_usage(error), 2)
    except BrokenPipeError:  # the last flush
        _reader_left()
        return 0
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except OSError as error:  # most of all, a disk that is full
        _reader_left()
        return _fail(f"{error.filename or 'stdout'}: {error.strerror or error}", 2)
    return code if isinstance(code, int) else 0


def _app(**options: Any) -> typer.Typer:
    return typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, **options
    )


def _usage(error: Any) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{text}; see {context.command_path} --help" if context is not None else text


def _fail(message: str, code: int) -> int:
    from kws.terminal.queued_output import queued_output

    # Nobody may read it, or it is as full as stdout: it ends nevertheless.
    with queued_output("stderr"), suppress(OSError):
        print(f"kws: {one_line(' '.join(message.split()))}", file=sys.stderr, flush=True)
    return code


def _open_streams() -> None:
    """Let all that is printed be printed: escaped where it is no text, nowhere where it is shut."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # a file was exchanged for a pipe beneath it
                stream.reconfigure(errors="backslashreplace")


def _show_warning(message: Warning | str, category: type[Warning], *place: Any) -> None:
    """Tell a warning of ours in one line, and any other as Python does."""
    if issubclass(category, KwsWarning):
        print(f"kws: {one_line(str(message))}", file=sys.stderr)
    else:
        _PYTHONS_OWN(message, category, *place)


def _reader_left() -> None:
    """Let go of stdout: `kws spot ... | head` has what it wanted."""
    # Python flushes stdout once more at exit, which would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
