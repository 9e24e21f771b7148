"""Compares two stores in which the same studies were run by two versions of the code: has a bit changed?

    python -m tests.stores.compare_bits BEFORE AFTER

Folds are paired by study, trial and number, and not by their keys, which may change where their bits do not. The
records are read as plain JSON, so that either version may have written them. Ends with 1 where a fold differs or is
missing, or where there is nothing to compare.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

Name = tuple[str, int, int]  # study, trial, fold


def fold_hashes(home: Path) -> Iterator[tuple[Name, dict[str, str]]]:
    """The hashes of every recorded fold's weights and predictions."""
    for path in sorted(home.glob("studies/*/trials/*.json")):
        trial = json.loads(path.read_text(encoding="utf-8"))
        for number, key in enumerate(trial["folds"]):
            record = home / "folds" / key / "result.json"
            if record.exists():
                hashes = json.loads(record.read_text(encoding="utf-8"))["hashes"]
                yield (path.parents[1].name, trial["number"], number), hashes


def compare(before: Path, after: Path) -> tuple[int, list[str]]:
    """How many folds were compared, and a line for each that is not as it was.

    Weights are compared where both stores have kept them.
    """
    old, new = dict(fold_hashes(before)), dict(fold_hashes(after))
    found = []
    for study, trial, fold in sorted({*old, *new}):
        name = f"{study}, trial {trial}, fold {fold}"
        one, other = old.get((study, trial, fold)), new.get((study, trial, fold))
        if one is None or other is None:
            found.append(f"{name}: only in {before if other is None else after}")
        elif differ := [file for file in sorted({*one} & {*other}) if one[file] != other[file]]:
            found.append(f"{name}: {', '.join(differ)} differ")
    return len({*old} & {*new}), found


def main(before: Path, after: Path) -> int:
    compared, found = compare(before, after)
    print("\n".join([*found, f"{compared} folds compared, {len(found)} not as they were"]))
    return 1 if found or not compared else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
