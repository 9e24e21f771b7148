"""Every error that a user can cause or meet, with the exit code each one ends the program with.

HarnessError                1   something failed
├── UsageError              2   a wrong command line
│   └── StudyError          2   a wrong study file: every problem of it at once
├── DataError               1   a data set is unreadable or not what the record says
│   └── MissingData         2   a folder or file of images that somebody names is not there
├── TrialError              1   one trial cannot go on; the study does
├── RecordError             1   a file of the store is damaged
│   └── NewerRecord         1   or written by a newer release
├── CheckFailed             3   a check did not hold: drift, leak, threshold
├── StoreError              4   a store or server is unreachable, full, or held by another process
└── Interrupted       130, 143   by Ctrl-C or SIGTERM, where the same command would not simply go on
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from harness.synonyms import SYNONYMS

INTERRUPTED, TERMINATED = 130, 143
FAILURES = ("memory", "non-finite", "exception", "crash", "hang")  # of a trial
MOST_BESIDE_GUESS = 12  # names that are listed beside a guess
WIDEST_PATH = 60  # that messages are aligned to: a name of 60,000 characters must not pad 5,000 lines


class HarnessError(Exception):
    """A mistake or mishap to be told in one clear line, without a traceback."""

    exit_code = 1


class UsageError(HarnessError):
    exit_code = 2


class DataError(HarnessError):
    pass


class MissingData(DataError):
    exit_code = 2


class TrialError(HarnessError):
    """kind: of failure, one of FAILURES."""

    def __init__(self, message: str, kind: str = "exception"):
        super().__init__(message)
        self.kind = kind


class RecordError(HarnessError):
    pass


class NewerRecord(RecordError):
    """Whoever treats a damaged record as missing must not do so with this one."""


class CheckFailed(HarnessError):
    exit_code = 3


class StoreError(HarnessError):
    exit_code = 4


class Terminated(BaseException):
    """SIGTERM: ends a command as Ctrl-C does."""


class Interrupted(HarnessError):
    """By `signal`, Ctrl-C or SIGTERM; the message says what is done and how to go on."""

    def __init__(self, message: str, signal: KeyboardInterrupt | Terminated):
        super().__init__(message)
        self.exit_code = TERMINATED if isinstance(signal, Terminated) else INTERRUPTED


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a study: the dotted path where it is, and what to do about it."""

    path: str
    message: str


class StudyError(UsageError):
    """All problems of one study file, told together."""

    def __init__(self, source: str, problems: Sequence[Problem]):
        self.source = source
        self.problems = tuple(problems)
        super().__init__(str(self))

    def __str__(self) -> str:
        if len(self.problems) == 1 and not self.problems[0].path:
            return f"{self.source}: {self.problems[0].message}"
        width = min(max(len(problem.path) for problem in self.problems), WIDEST_PATH)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"  {problem.path:<{width}}   {problem.message}" for problem in self.problems]
        return "\n".join([f"{self.source}: {count}", *lines])


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The nearest guess and the list of what is allowed, to end an "unknown …" message with.

    Beside a guess a long list is cut: it would be what is read of the message.
    """
    ours = SYNONYMS.get(name) or SYNONYMS.get(name.lower(), "")
    close = [ours] if ours in known else []
    close = (
        close
        or get_close_matches(name, known, n=1)
        or [word for word in known if name and word.startswith(name)]
    )
    if not close:
        return f"; known: {', '.join(sorted(known))}"
    shown = sorted(known) if len(known) <= MOST_BESIDE_GUESS else [*sorted(known)[:3], "…"]
    return f"; did you mean '{close[0]}'? ({', '.join(shown)})"
