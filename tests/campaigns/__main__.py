"""python -m tests.campaigns NAME [--n N] [--seed S] [--json]"""

import argparse
import json
import random
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.campaigns import attacks, healing, hostile_artifacts, hostile_folders, hostile_inputs, reproduction
from tests.campaigns.victim import Victim


def artifacts(n: int, seed: int) -> list[str]:
    """Pickles, archives, weights and records that nobody meant well with; all of them, whatever n is."""
    with tempfile.TemporaryDirectory(prefix="harness-campaign-") as folder:
        return hostile_artifacts.artifacts(Path(folder))


INPUTS = {
    check.__name__: check
    for check in (
        hostile_inputs.study_files, hostile_inputs.images, hostile_inputs.arguments, hostile_folders.folders, artifacts,
        reproduction.reproductions, healing.damages,
    )
}  # fmt: skip


def main() -> None:
    names = [*attacks.ATTACKS, *INPUTS]
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("name", choices=[*names, "all"])
    parser.add_argument("--n", type=int, default=10, help="attempts of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chosen = names if options.name == "all" else [options.name]
    rows = [(run_inputs if name in INPUTS else run)(name, options.n, options.seed) for name in chosen]
    print(json.dumps(rows, indent=1) if options.json else table(rows))
    sys.exit(any(row["failures"] for row in rows))


def run_inputs(name: str, num_attempts: int, seed: int) -> dict[str, object]:
    """Hostile inputs, so many of them; of artifacts there is a fixed number, so they bound no rate."""
    began, check = time.monotonic(), INPUTS[name]
    failures = check(num_attempts, seed)
    return row(name, check, 1 if check is artifacts else num_attempts, failures, [], began)


def run(name: str, num_attempts: int, seed: int) -> dict[str, object]:
    """Attempt by attempt; each has a random state of its own, so one that fails can be repeated alone."""
    attack, began = attacks.ATTACKS[name], time.monotonic()
    failures: list[str] = []
    notes: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="harness-campaign-") as folder,
        closing(Victim(Path(folder))) as victim,
    ):
        for attempt in range(num_attempts):
            victim.notes.clear()
            problem = attack(victim, random.Random(f"{name} {seed} {attempt}"), attempt)
            if problem:
                failures.append(f"attempt {attempt}: {problem}")
            said = "; ".join([problem or "held", *victim.notes])
            notes += victim.notes
            print(f"{name} {attempt + 1}/{num_attempts}: {said}", file=sys.stderr, flush=True)
    return row(name, attack, num_attempts, failures, notes, began)


def row(
    name: str, what: object, num_attempts: int, failures: list[str], notes: list[str], began: float
) -> dict[str, object]:
    """began: on the monotonic clock."""
    return {
        "campaign": name,
        "what": (what.__doc__ or "").splitlines()[0],
        "attempts": num_attempts,
        "failures": failures,
        "bound": min(3 / num_attempts, 1.0) if not failures else None,
        "notes": notes,
        "seconds": round(time.monotonic() - began),
    }


def table(rows: list[dict[str, object]]) -> str:
    lines = ["| campaign | attempts | failures | rate below | what |", "|---|---|---|---|---|"]
    for row in rows:
        bound = f"{row['bound']:.1%}" if row["bound"] is not None else "–"
        failures = row["failures"]
        assert isinstance(failures, list)
        lines.append(f"| {row['campaign']} | {row['attempts']} | {len(failures)} | {bound} | {row['what']} |")
        lines += [f"  {failure}" for failure in failures]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
