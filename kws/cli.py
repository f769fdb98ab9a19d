"""The command line: finds the commands by their file names, tells errors in one line each."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from kws import commands
from kws.errors import KwsError

# What typer raises for a wrong command line, whichever click it carries.
ClickError: type[Exception] = typer.BadParameter.__mro__[2]

INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended before its work was done."""


class Commands(TyperGroup):
    """The files in `kws/commands`; each is imported when it is called, or for its help."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return [module.name for module in pkgutil.iter_modules(commands.__path__)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command, None when there is no such file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{cmd_name}")
        one = _app()
        one.command(cmd_name)(getattr(module, cmd_name))
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
    app = _app(cls=Commands, invoke_without_command=True)

    @app.callback()
    def kws(context: typer.Context) -> None:
        """Hears your words on this computer."""
        if context.invoked_subcommand is None:
            print(context.get_help())

    try:
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

    with queued_output("stderr"):  # nobody may read it: it ends nevertheless
        print(f"kws: {' '.join(message.split())}", file=sys.stderr)
    return code


def _reader_left() -> None:
    """Let go of stdout: `kws spot ... | head` has what it wanted."""
    # Python flushes stdout once more at exit, which would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
