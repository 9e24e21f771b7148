"""Where a study comes from: code, packages, machine; nothing from the environment or the command line.

The diff of uncommitted changes is kept without what looks like a secret; the names of unknown files, not their content.
"""

import getpass
import os
import platform
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from harness.redaction import redacted_source

PACKAGE = Path(__file__).parent
# Packages that compute, by the name that they are imported under; a fold's fingerprint has those that its code imports.
COMPUTING = {
    "numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn",
    "torchvision": "torchvision", "timm": "timm", "open_clip": "open_clip_torch",
}  # fmt: skip
MOST_CHARACTERS = 1_000_000  # of a diff
GIT_SECONDS = 10


def collect(folder: Path | None = None) -> dict[str, Any]:
    """What identifies a run, as JSON: commit, dirty, diff, untracked, python, packages, hardware, user.

    folder: whose repository is asked, by default the current one; outside of any, that of harness's code.
    """
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in some containers
        user = "unknown"
    packages = {str(package.metadata["Name"]): package.version for package in distributions()}
    return {
        **git_state(folder or Path.cwd()),
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
        "hardware": _hardware(),
        "user": user,
    }


def git_state(folder: Path) -> dict[str, Any]:
    """commit, dirty, diff and untracked of the repository around `folder`; commit is "" without one."""
    root = _git(folder, "rev-parse", "--show-toplevel") or _git(PACKAGE, "rev-parse", "--show-toplevel")
    if not root:
        return {"commit": "", "dirty": False, "diff": "", "untracked": []}
    top = Path(root.strip())
    diff = _git(top, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD")
    untracked = _git(top, "ls-files", "--others", "--exclude-standard", "-z").split("\0")[:-1]
    kept = redacted_source(diff[:MOST_CHARACTERS])
    if len(diff) > MOST_CHARACTERS:  # half a line might hold half a secret
        kept = f"{kept.rpartition(chr(10))[0]}\n[cut: {len(diff):,} characters in all]\n"
    commit = _git(top, "rev-parse", "--verify", "HEAD").strip()
    return {"commit": commit, "dirty": bool(diff or untracked), "diff": kept, "untracked": untracked[:1000]}


def _git(folder: Path, *arguments: str) -> str:
    """The output of a git command, or "" where it fails."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT_SECONDS, env=environment, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")


def _hardware() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = {"system": platform.platform(), "machine": platform.machine(), "cores": cores}
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory_gib"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        found["gpu"] = sys.modules["torch"].cuda.get_device_name()
    return found
