"""What a process says on stderr: warnings, and how far a long preparation is."""

import logging
import sys


def to_stderr() -> None:
    """Send harness's messages, and everybody's warnings, to stderr as plain lines."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="harness: %(message)s")
    logging.getLogger("harness").setLevel(logging.INFO)
