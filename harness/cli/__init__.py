"""The command line: parses, calls, renders. Nothing heavy is loaded before a command needs it.

stdout carries the result, stderr the talk. Exit codes: 0 done, 1 failed, 2 wrong usage or study file, 3 a check
did not hold, 4 a store or server is unreachable, 130 or 143 interrupted.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from types import FrameType
from typing import NoReturn

import typer

from harness.cli import (
    comparing,
    completing,
    data_sets,
    evaluating,
    explaining,
    finishing,
    inspecting,
    keeping,
    life,
    predicting,
    starting,
    studying,
)
from harness.cli.grammar import Command, error_document, wants_json
from harness.environment import MLFLOW, environment, unless_set
from harness.errors import INTERRUPTED, TERMINATED, HarnessError, Terminated
from harness.messages import RECORDER, redact_tracebacks
from harness.os_errors import explained_to_user
from harness.redaction import redacted
from harness.version import __version__

app = typer.Typer(
    name="harness",
    help="Tune, cross-validate, track and reproduce image classifiers, with scores you can believe.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: tuple[Callable[..., None], ...] = (  # in the order of --help
    starting.init,
    studying.tune,
    studying.status,
    studying.show,
    studying.reproduce,
    comparing.compare,
    comparing.diff,
    comparing.gallery,
    finishing.audit,
    finishing.confirm,
    finishing.final,
    comparing.report,
    predicting.predict,
    evaluating.evaluate,
    predicting.export,
    predicting.similar,
    predicting.serve,
    data_sets.data,
    inspecting.check,
    inspecting.list_,
    explaining.explain,
    inspecting.doctor,
    inspecting.ui,
    keeping.bundle,
    keeping.sync,
    life.rename,
    life.delete,
    keeping.gc,
    inspecting.smoke,
    completing.completion,
)
GO_ON = {"tune", "confirm", "audit", "final"}  # which keep what they have trained when they are interrupted
for command in COMMANDS:
    app.command(name=command.__name__.rstrip("_"), cls=Command)(command)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version.")
) -> None:
    """Tune, cross-validate, track and reproduce image classifiers, with scores you can believe."""
    if version:
        print(__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    redact_tracebacks()
    code = run(sys.argv[1:])
    if any(thread.name == RECORDER for thread in threading.enumerate()):
        # It still waits for a store. Python would tear it down within a library's code, which aborts the process.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code. A user's mistake is told in one line, without a traceback."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a file's name may hold bytes that are no text: written out
            stream.reconfigure(errors="backslashreplace")
    command = typer.main.get_command(app)
    as_json = wants_json(arguments)
    goes_on = "; the same command goes on where it stopped" if {*arguments[:1]} & GO_ON else ""

    def tell(message: str, exit_code: int) -> int:
        said = redacted(message)
        print(error_document(said, exit_code) if as_json else f"harness: {said}", file=sys.stderr)
        return exit_code

    try:
        with environment(unless_set(MLFLOW)):
            code = command.main(args=list(arguments), prog_name="harness", standalone_mode=False)
        if sys.stdout is not None:  # as where a shell has closed it
            sys.stdout.flush()
        if code == INTERRUPTED:  # what typer makes of Ctrl-C
            return tell(f"interrupted{goes_on}", INTERRUPTED)
        return code if isinstance(code, int) else 0
    except HarnessError as error:
        return tell(str(error), error.exit_code)
    except typer.Exit as error:
        return int(error.exit_code)
    except Terminated:
        return tell(f"terminated{goes_on}", TERMINATED)
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        _drop_output()
        return 0
    except OSError as error:
        places = [os.environ.get("HARNESS_HOME") or "mlruns", os.environ.get("HARNESS_DATA")]
        known = explained_to_user(error, [*arguments, *filter(None, places)])
        if known is None:
            raise
        if error.filename is None:  # stdout's disk may be full, and would be told again at the end
            _drop_output()
        return tell(str(known), known.exit_code)
    except Exception as error:
        if not hasattr(error, "format_message"):  # not one of the command line parser's own
            raise
        said = error.format_message().replace("Value error, ", "")  # as pydantic begins what a check has said
        place = getattr(getattr(error, "ctx", None), "command_path", "harness")
        if change := _as_change(error):
            said = f"{said.partition(' (')[0].rstrip('.')}. Did you mean {change}?"
        return tell(f"{said.rstrip('.')}; see {place} --help", 2)


def _as_change(error: Exception) -> str:
    """How a study's setting is changed, where a command that takes changes was given one as an option of its own."""
    name = getattr(error, "option_name", "").lstrip("-").replace("-", "_")
    command = getattr(getattr(error, "ctx", None), "info_name", "")
    if not name or command not in ("tune", "check"):
        return ""
    from harness.config.binding import setting_named

    setting = setting_named(name)
    is_it = setting.endswith(f".{name}") or not getattr(error, "possibilities", None)
    return f"--set {setting}=…" if setting and is_it else ""


def _drop_output() -> None:
    """Have nothing more written to stdout, which would fail again when the process ends."""
    with suppress(OSError, ValueError):  # where it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _on_sigterm(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
