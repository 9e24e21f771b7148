"""What a shell offers after a TAB: `harness --install-completion` sets it up."""

import os
from contextlib import suppress
from pathlib import Path

import typer


def study_files(incomplete: str) -> list[str]:
    """Studies that lie here or come with harness."""
    from harness.config import catalog

    return [name for name in sorted(catalog.studies()) if name.startswith(incomplete)]


def started_studies(context: typer.Context, incomplete: str) -> list[str]:
    """Studies of the store that the command line names so far."""
    home = Path(context.params.get("home") or os.environ.get("HARNESS_HOME") or "mlruns")
    names: list[str] = []
    with suppress(OSError):  # nothing to offer, where that may not be read
        names = sorted(path.parent.name for path in (home / "studies").glob("*/study.json"))
    return [name for name in names if name.startswith(incomplete)]


def kinds(context: typer.Context, incomplete: str) -> list[str]:
    """Entries of the kind that `harness list` was asked for."""
    from harness.config import catalog

    kind = str(getattr(context.params.get("kind"), "value", context.params.get("kind")))
    names = {
        "models": [*catalog.models()], "datasets": [*catalog.datasets()], "studies": [*catalog.studies()]
    }.get(kind, [])  # fmt: skip
    return [name for name in sorted(names) if name.startswith(incomplete)]
