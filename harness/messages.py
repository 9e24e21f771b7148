"""What a process says on stderr: warnings, and how far a long preparation is. Secrets are taken out of it."""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

from harness.redaction import redacted

RECORDER = "harness-recorder"  # the thread that has MLflow show a study while that is tuned


class _Plain(logging.Formatter):
    """`harness: message`, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is then: a panel that is shown has put itself before it, to have lines printed above."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def to_stderr() -> None:
    """Send harness's messages, and everybody's warnings, to stderr as plain lines."""
    handler = _Stderr()
    handler.setFormatter(_Plain("harness: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("harness").setLevel(logging.INFO)


@contextmanager
def told_before(name: str) -> Iterator[None]:
    """Keep what a logger and those below it warn of to themselves, where it has been told before."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def redact_tracebacks() -> None:
    """Have the traceback of an error that nobody foresaw end this process without secrets."""
    sys.excepthook = _print_redacted


def _print_redacted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    lines = traceback.format_exception(kind, error, trace)
    print(redacted("".join(lines)), end="", file=sys.stderr)
