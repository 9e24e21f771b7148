"""python -m tests.sources [--against COMMIT] [--new]     enters today's sources into harness/folds/known_sources.json

For whoever edited what trains a fold: small folds are trained with the sources that the table knows already, from git,
and with the working tree. Where all bits are equal, today's sources are entered under the same recipe, and old folds
and begun studies go on. Where they are not, it says in which trainings, and enters nothing; --new then enters them as
another recipe: their folds get other keys and are trained again.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

from harness.config import catalog
from harness.folds import code

ROOT = Path(__file__).parents[2]
PROBE = Path(__file__).with_name("probe.py")
Hashes = dict[str, str]


def hashes(package: Path, models: list[str]) -> Hashes:
    """Hash by entry of the table: `training`, `scoring`, `models/NAME`."""
    found: Hashes = {}
    for model in models:
        for part, hashed in code.hashes(model, package=package).items():
            found[code.entry(part, model)] = hashed
    return found


def unknown(found: Hashes) -> list[str]:
    return sorted(name for name, hashed in found.items() if hashed not in code.known_sources().get(name, {}))


def extracted(commit: str, folder: Path) -> Path:
    """The package as it was at a commit."""
    archive = subprocess.run(["git", "archive", commit, "harness"], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder / "harness"


def reference(folder: Path, models: list[str], parts: list[str]) -> tuple[str, Path]:
    """The newest commit of which the table knows these parts, and its package."""
    log = ["git", "log", "-100", "--format=%H", "--", "harness"]
    commits = subprocess.run(log, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split()
    for commit in commits:
        package = extracted(commit, folder / commit)
        if not (package / code.TRAINING).is_file():
            break
        there = hashes(package, [model for model in models if (package / "models" / f"{model}.py").is_file()])
        if not set(unknown(there)) & set(parts):
            return commit, package
    sys.exit("none of the last 100 commits has sources that the table knows; name one with --against COMMIT")


def probe(package: Path, *arguments: str, told: str = "") -> str:
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, str(PROBE), *arguments],
        input=told, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"the trainings with {package} ended with an error:\n{done.stderr}")
    return done.stdout


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.sources",
        description="Enter today's sources into the table, if their bits are equal.",
    )
    parser.add_argument("--against", metavar="COMMIT", help="whose bits count; else the newest that is known")
    parser.add_argument("--new", action="store_true", help="enter sources with other bits as another recipe")
    options = parser.parse_args(arguments)
    models = sorted(catalog.models())
    today = hashes(code.PACKAGE, models)
    parts = unknown(today)
    if not parts:
        print("the table knows today's sources")
        return 0
    with tempfile.TemporaryDirectory(prefix="harness-sources-") as folder:
        if options.against:
            commit, package = options.against, extracted(options.against, Path(folder))
        else:
            commit, package = reference(Path(folder), models, parts)
        old = hashes(package, [model for model in models if (package / "models" / f"{model}.py").is_file()])
        print(f"changed since {commit[:12]}: {', '.join(parts)}; training with both", flush=True)
        kept = [part for part in parts if part in old]
        trainings = json.loads(probe(package, "list", *kept))
        before, after = (
            json.loads(probe(one, "train", told=json.dumps(trainings))) for one in (package, code.PACKAGE)
        )
    differ = [json.dumps(one) for one, a, b in zip(trainings, before, after, strict=True) if not equal(a, b)]
    print(f"{len(trainings)} trainings, {len(trainings) - len(differ)} with equal bits")
    print("".join(f"  other bits: {one}\n" for one in differ), end="")
    if differ and not options.new:
        print("nothing is entered; if other bits are meant, --new enters the sources as another recipe")
        return 1
    enter({part: (today[part], old.get(part)) for part in parts}, new=bool(differ))
    return 0


def equal(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether a training came to the same bits and scores; a metric more is no other score."""
    return bool(before["bits"] == after["bits"] and before["metrics"].items() <= after["metrics"].items())


def enter(found: dict[str, tuple[str, str | None]], *, new: bool) -> None:
    """Write sources into the table: as the recipe of the old ones, or as a new one.   found: (today's, old) hashes."""
    table = {name: dict(entries) for name, entries in code.known_sources().items()}
    latest = max((recipe for entries in table.values() for recipe in entries.values()), default=code.RECIPE)
    for name, (today, old) in found.items():
        same = table.get(name, {}).get(old or "", code.RECIPE)
        table.setdefault(name, {})[today] = latest + 1 if new else same
    code.TABLE.write_text(json.dumps(dict(sorted(table.items())), indent=1) + "\n", encoding="utf-8")
    print(f"entered into {code.TABLE.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
