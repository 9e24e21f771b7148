"""Leaves out the lines of a diff that may hold a secret: by the rules of detect-secrets, and our own of command lines.

A line too many is no harm here, so they are wider than those of `redaction.py`, which must leave messages readable.
"""

import re
import tempfile
from importlib.util import find_spec
from pathlib import Path

from harness.errors import UsageError
from harness.redaction import WORDS, redacted_source

LEFT_OUT = "[left out: it may hold a secret]"
LINES = re.compile(
    "|".join(
        [
            # Whatever a name like password is given, options of command lines, and what is random by its looks.
            rf"(?i:{WORDS}|\bpwd\b|\bpassw?\b)[\w\]'\"-]{{0,20}}[\s:=]+\S{{4,}}",
            r"(?:^|\s)(?:-p\S{4,}|-[pu][ =]+\S{4,}|--(?:user|auth|key|login)[ =]+\S{4,})",
            r"\b(?i:login|auth)\s+\S{16,}",
            r"(?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Za-z])[\w+/=-]{32,}",
        ]
    )
)


def require_scanner() -> None:
    """Raises UsageError where detect-secrets is not installed."""
    if find_spec("detect_secrets") is None:
        raise UsageError("provenance: diff looks for secrets with an extra: pip install 'harness-cv[diff]'")


def lines_without_secrets(diff: str) -> str:
    """The diff with a mark in place of every line that may hold a secret. Raises UsageError without detect-secrets."""
    lines = redacted_source(diff).split("\n")
    found = _found_by_scanner(lines)
    return "\n".join(
        f"{line[:1]}{LEFT_OUT}"
        if number in found or (not _is_head(line) and LINES.search(line[1:]))
        else line
        for number, line in enumerate(lines, 1)
    )


def _is_head(line: str) -> bool:
    """Whether a line of a diff names a file, a place or a hash of git's."""
    return line.startswith(
        ("diff --git ", "index ", "@@ ", "--- a/", "--- /dev/null", "+++ b/", "+++ /dev/null")
    )


def _found_by_scanner(lines: list[str]) -> set[int]:
    """Numbers of lines, from 1, that detect-secrets objects to."""
    require_scanner()
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings

    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        path = Path(folder) / "diff.txt"  # as text, in which values need no quotes
        path.write_text("\n".join("" if _is_head(line) else line[1:] for line in lines), encoding="utf-8")
        found = SecretsCollection()
        with default_settings():
            found.scan_file(str(path))
    return {secret.line_number for _, secret in found}
