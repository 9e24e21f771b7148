"""Processes that end at a chosen change of the disk: for tests that what they did is finished by the same command."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Killed(BaseException):
    pass


@contextmanager
def killed_after(changes: int) -> Iterator[Callable[[Any], Any]]:
    """End this process, so to speak, after so many renamed, deleted and replaced files and folders.

    Yields what counts another function's calls as changes, too. Raises nothing where there are fewer.
    """
    left = [changes]

    def counting(function: Any) -> Any:
        def changing(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            if (
                getattr(arguments[0], "name", "") == "holder.json"
            ):  # a dead process gives its locks back at once
                return result
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return result

        return changing

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "replace", "unlink"):
            patch.setattr(Path, name, counting(getattr(Path, name)))
        patch.setattr(shutil, "rmtree", counting(shutil.rmtree))
        yield counting
