"""Where a study's figures come from, and the commands that make them again."""

import shlex
import time
from typing import Any

from harness.records import StudyRecord, TrialRecord, mixed_words
from harness.store.loaded_study import LoadedStudy

PACKAGES = ("torch", "torchvision", "numpy", "optuna", "scikit-learn", "mlflow")  # that may change a figure


def origin(study: LoadedStudy) -> dict[str, Any]:
    """Code, data, split, environment and seeds of a study; nothing that names a person or a folder but options do."""
    record, best = study.record, study.best
    known = record.provenance
    packages = {name.lower(): version for name, version in known.get("packages", {}).items()}
    return {
        "started": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(record.created)),
        "commit": known.get("commit") or None,
        "dirty": bool(known.get("dirty")),
        "untracked": len(known.get("untracked", [])),
        "harness": known.get("harness"),
        "definition_hash": known.get("definition_hash"),
        "data_hash": record.data["hash"],
        "split_hash": record.split_hash,
        "seed": record.seed,
        "python": known.get("python"),
        "packages": {name: packages[name] for name in PACKAGES if name in packages},
        "hardware": known.get("hardware", {}),
        "compute": record.compute,
        "fingerprint": _fingerprint(study),
        "mixed": mixed_words(study.mixed_fingerprints),
        "text": record.text,
        "commands": commands(record, best),
    }


def commands(record: StudyRecord, best: TrialRecord | None) -> list[dict[str, str]]:
    """What to type: the best trial from the records, and the whole study from its file."""
    commit = str(record.provenance.get("commit") or "")
    name = shlex.quote(record.name)
    found = [{"what": "the code", "command": f"git checkout {commit}"}] if commit else []
    if best is not None:
        what = f"trains trial {best.number} again where the records are, and compares"
        found.append({"what": what, "command": f"harness reproduce {name} --trial {best.number}"})
    sets = [
        f"--set {shlex.quote(change)}"
        for change in record.provenance.get("overrides", [])
        if isinstance(change, str)
    ]
    tune = ["harness tune --study", shlex.quote(f"./{record.name}.yaml"), *sets]
    tune.append(f"--trials {record.num_trials}")
    what = f"the whole study anywhere, with the study file below as {record.name}.yaml"
    return [*found, {"what": what, "command": " ".join(tune)}]


def _fingerprint(study: LoadedStudy) -> dict[str, str]:
    """What may change the bits, as the best trial's first fold has recorded it."""
    fold = study.fold(study.best.folds[0]) if study.best and study.best.folds else None
    return dict(fold.fingerprint) if fold else {}
