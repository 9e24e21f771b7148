"""A command in a terminal of a given size: what its screen shows."""

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Callable, Sequence

PART = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|\x1b.")


class Screen:
    """The lines that a terminal has come to show, also those that have scrolled away.   columns: its width."""

    def __init__(self, columns: int):
        self.columns, self.lines = columns, [""]
        self._row = self._column = 0

    def feed(self, text: str) -> None:
        for amount, what, control, plain in PART.findall(text):
            if plain:
                for character in plain:
                    self._put(character)
            elif control == "\r":
                self._column = 0
            elif control == "\n":
                self._down()
            elif what == "A":
                self._row = max(self._row - int(amount or 1), 0)
            elif what == "K":
                line = self.lines[self._row]
                self.lines[self._row] = "" if amount == "2" else line[: self._column]

    def _put(self, character: str) -> None:
        if self._column == self.columns:
            self._column = 0
            self._down()
        line = self.lines[self._row].ljust(self._column)
        self.lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
        self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")


def run_in_terminal(
    command: Sequence[str],
    *,
    columns: int,
    rows: int = 24,
    environment: dict[str, str] | None = None,
    look: Callable[[list[str]], None] = lambda lines: None,
) -> tuple[int, list[str]]:
    """The exit code and all lines shown at the end.   look: called with the lines whenever something has come."""
    process, terminal = pty.fork()
    if process == 0:
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        try:
            os.execvpe(command[0], command, {**kept, "TERM": "xterm", **(environment or {})})
        finally:
            os._exit(127)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    screen, rest = Screen(columns), b""
    while True:
        try:
            chunk = os.read(terminal, 2**16)
        except OSError:  # Linux: nobody writes any more
            break
        if not chunk:
            break
        rest += chunk
        end = max(rest.rfind(b"\x1b"), rest.rfind(b"\n")) if len(rest) < 2**16 else len(rest)
        whole, rest = (rest[:end], rest[end:]) if end > 0 else (b"", rest)
        screen.feed(whole.decode(errors="replace"))
        look(screen.lines)
    screen.feed(rest.decode(errors="replace"))
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), [line.rstrip() for line in screen.lines]
