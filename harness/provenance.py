"""Where a study comes from: code, packages, machine; nothing from the environment or the command line.

Of uncommitted changes the names and hashes of files are kept. The text of their diff is kept only where a study asks
for it, without the lines that may hold a secret.
"""

import getpass
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from harness.files import digest

# Packages that compute, by the name that they are imported under; a fold's fingerprint has those that its code imports.
COMPUTING = {
    "numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn",
    "torchvision": "torchvision", "timm": "timm", "open_clip": "open_clip_torch",
}  # fmt: skip
MOST_CHARACTERS = 1_000_000  # of a diff
MOST_FILES = 1000  # whose names are kept
GIT_SECONDS = 10


def collect(folder: Path | None = None, *, with_diff: bool = False) -> dict[str, Any]:
    """What identifies a run, as JSON: commit, dirty, changed, untracked, …, python, packages, hardware, user.

    folder: whose repository is asked, by default the current one.   with_diff: keep the text of what is uncommitted.
    """
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in some containers
        user = "unknown"
    packages = {str(package.metadata["Name"]): package.version for package in distributions()}
    return {
        **git_state(folder or Path.cwd(), with_diff=with_diff),
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
        "hardware": _hardware(),
        "user": user,
    }


def git_state(folder: Path, *, with_diff: bool = False) -> dict[str, Any]:
    """commit, dirty, changed, untracked and diff_hash of the repository around `folder`; commit is "" without one.

    changed: of files that differ from the commit, path -> SHA-256, "" for one that is gone.   untracked: paths of those
    that git does not know.   diff_hash: SHA-256 of the diff, or "".   diff: its text, if it is asked for.
    Where git cannot tell, `dirty` is None, and `git_error` says why. No other repository is asked.
    """
    state: dict[str, Any] = {"commit": "", "dirty": False, "changed": {}, "untracked": [], "diff_hash": ""}
    try:
        try:
            top = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
        except _GitError as error:
            if "not a git repository" in str(error):
                return state
            raise
        state["commit"] = _git(top, "rev-parse", "--verify", "--quiet", "HEAD", code=1).strip()
        known = (
            "ls-files --others --exclude-standard -z" if state["commit"] else "ls-files --others --cached -z"
        )
        untracked = _git(top, *known.split()).split("\0")[:-1]
        diff, changed = "", []
        if state["commit"]:
            plain = ("diff", "--no-ext-diff", "--no-textconv", "--no-color")
            diff = _git(top, *plain, "HEAD")
            changed = _git(top, *plain, "--name-only", "-z", "HEAD").split("\0")[:-1]
    except _GitError as error:
        return {**state, "dirty": None, "git_error": str(error)}
    state |= {
        "dirty": bool(diff or untracked),
        "changed": {path: _hash_of(top / path) for path in changed[:MOST_FILES]},
        "untracked": untracked[:MOST_FILES],
        "diff_hash": digest(diff.encode()) if diff else "",
    }
    if not (with_diff and diff):
        return state
    from harness.secrets_in_text import lines_without_secrets

    kept = diff[:MOST_CHARACTERS]
    if len(diff) > MOST_CHARACTERS:  # half a line might hold half a secret
        kept = f"{kept.rpartition(chr(10))[0]}\n[cut: {len(diff):,} characters in all]\n"
    return {**state, "diff": lines_without_secrets(kept)}


def _hash_of(path: Path) -> str:
    try:
        return digest(path.read_bytes())
    except OSError:  # gone, or a folder of another repository
        return ""


class _GitError(Exception):
    """Why git has not answered, in one line."""


def _git(folder: Path, *arguments: str, code: int = 0) -> str:
    """The output of a git command.   code: that it may end with beside 0."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    # What a hook of git's has set, like GIT_DIR, is about the repository of the hook.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT_SECONDS, env=environment, check=False)
    except subprocess.TimeoutExpired:
        raise _GitError(f"git did not answer within {GIT_SECONDS} s") from None
    except OSError as error:
        raise _GitError(f"git cannot be run: {error.strerror}") from None
    if done.returncode not in (0, code):
        said = (done.stderr.decode(errors="replace").strip().splitlines() or [f"code {done.returncode}"])[0]
        said = (
            said.removeprefix("fatal: ").removeprefix("error: ").partition(" at '")[0]
        )  # which names a folder
        raise _GitError(f"git {arguments[0]}: {said}")
    return done.stdout.decode(errors="replace")


def changes_in_words(provenance: Mapping[str, Any]) -> str:
    """What stands behind a commit, from what `collect` has found: like " with uncommitted changes", or ""."""
    if error := provenance.get("git_error"):
        return f", and whether it had changes is unknown ({error})"
    return " with uncommitted changes" if provenance.get("dirty") else ""


def _hardware() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = {"system": platform.platform(), "machine": platform.machine(), "cores": cores}
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory_gib"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        found["gpu"] = sys.modules["torch"].cuda.get_device_name()
    return found
