"""smoke: the whole way in under a minute, for a new installation and for CI."""

import sys
from collections.abc import Callable
from typing import Any

from harness.cli.options import AsJson, print_json
from harness.messages import to_stderr


def smoke(as_json: AsJson = False) -> None:
    """Run everything small and offline.

    On embedded images, in a folder of its own: says what held (exit 3 if something did not). For a CI.
    """
    to_stderr()
    from dataclasses import asdict

    from harness import smoke as running
    from harness.errors import CheckFailed

    checks = []
    for check in running.smoke():
        checks.append(check)
        line = f"{'ok  ' if check.held else 'FAIL'}  {check.name}: {check.detail}  ({check.seconds:.1f} s)"
        print(line, file=sys.stderr if as_json else sys.stdout, flush=True)
    if as_json:
        print_json({"schema": 1, "held": all(c.held for c in checks), "checks": [asdict(c) for c in checks]})
    broken = [check.name for check in checks if not check.held]
    if broken:
        raise CheckFailed(f"{len(broken)} of {len(checks)} did not hold: {'; '.join(broken)}")


COMMANDS: list[Callable[..., Any]] = [smoke]
