"""Downloads of published archives: no endless wait, and one clear line where they fail."""

import socket
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.client import HTTPException
from pathlib import Path

from harness.errors import DataError

TIMEOUT_SECONDS = 30.0


@contextmanager
def fetching(name: str, files: str, folder: Path, url: str) -> Iterator[None]:
    """Around a download: no endless wait, nothing on stdout, and one clear line where it fails.

    files: what a user without a network has to put into `folder`.   url: where it is published.
    """
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (OSError, RuntimeError, EOFError, tarfile.TarError, HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{name}: no intact {files} in {folder}, and it cannot be downloaded ({reason}): "
            f"put it there, from {url}"
        ) from None
    finally:
        socket.setdefaulttimeout(timeout)
