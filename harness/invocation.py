"""How harness is called here, so that a command which a user is advised to give can be given as it is printed."""

import os
import shlex
import shutil
import sys
from pathlib import Path

DEFAULT_HOME = Path("mlruns")  # the store, in the current folder


def command(*words: str, home: Path | None = None) -> str:
    """A command that somebody is advised to give, as a shell takes it.   home: for this store, where it needs one."""
    is_default = home is None or home == DEFAULT_HOME.absolute()
    return shlex.join([*program(), *words, *([] if is_default else ["--home", str(home)])])


def program() -> list[str]:
    """The words that call harness: `harness` where a shell finds it, else those that this process was called by."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py" and called.parent.name == "harness":
        if (
            "UV_RUN_RECURSION_DEPTH" in os.environ
        ):  # by `uv run`, of whose PATH the user's shell knows nothing
            return [*_uv_run(), "python", "-m", "harness"]
        return [_short(sys.executable), "-m", "harness"]
    if called.name != "harness":  # a notebook, a test, a script of the user's own
        return ["harness"]
    return [*_uv_run(), "harness"] if "UV_RUN_RECURSION_DEPTH" in os.environ else [_short(sys.argv[0])]


def _uv_run() -> list[str]:
    return ["uv", "run"] if shutil.which("uv") else ["python3", "-m", "uv", "run"]


def _short(path: str) -> str:
    """The name alone where a shell finds this very file by it; interpreters of two environments may be links to one."""
    name = Path(path).name
    found = shutil.which(name)
    is_it = found is not None and Path(found).parent.resolve() == Path(path).parent.resolve()
    return name if is_it else path
