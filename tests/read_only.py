"""Stores that may only be read: mounted so, somebody else's, on a full disk. And whether anything has changed."""

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file and folder below: when it was changed, in ns, and the hash of what is in it."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }


def read_only(folder: Path, command: list[str]) -> list[str]:
    """The command to run where the folder is mounted read-only. Skips where that cannot be had."""
    return _mounted('mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"', folder, command)


def full(folder: Path, command: list[str]) -> list[str]:
    """As `read_only`, with a copy of the folder on a disk that has no room left mounted in its place."""
    fill = 'copy=$(mktemp -d) && cp -a "$0/." "$copy" && mount -t tmpfs -o size=64m none "$0" && cp -a "$copy/." "$0"'
    fill += ' && rm -r "$copy" && { cat /dev/zero > "$0/fill" 2> /dev/null; true; }'
    return _mounted(fill, folder, command)


def as_nobody(command: list[str]) -> list[str]:
    """The command to run as a user who owns nothing. Skips where this process may not become that user."""
    if not _works((*NOBODY, "sh", "-c", f"{sys.executable} -c 'import harness'")):
        pytest.skip("needs root, and an interpreter that everybody may run")
    return [*NOBODY, *command]


def _mounted(mount: str, folder: Path, command: list[str]) -> list[str]:
    if not _works(("unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt")):
        pytest.skip("needs the right to mount, as root has it")
    return ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', str(folder), *command]


@cache
def _works(command: tuple[str, ...]) -> bool:
    if os.name != "posix" or shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
