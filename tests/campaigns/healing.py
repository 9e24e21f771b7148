"""Files of a finished study are damaged; the command that made them makes them again to the same bits, or says how."""

import logging
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from harness.data.images import Images
from harness.store.loaded_study import LoadedStudy
from harness.store.store import WEIGHTS, Store
from tests.campaigns.victim import PRELOADED, shown
from tests.data.drawn_digits import drawn_digits

NAME = "victim"
STUDY = """\
# Does it heal?
data: {{name: folder, root: {root}, image_size: 16, test_fraction: 0.3}}
model: {{name: resnet, depth: 1, width: 4, dropout: [0.0, 0.3]}}
train: {{epochs: 3, batch_size: 32, lr: 0.1, augment: none}}
cv: {{folds: 2}}
search: {{trials: 2, sampler: grid, racing: none}}
"""
Files = Callable[[Store], Sequence[Path]]


def _study(*names: str) -> Files:
    return lambda store: [store.study_folder(NAME) / name for name in names]


def _home(*names: str) -> Files:
    return lambda store: [store.home / name for name in names]


def _fold(name: str) -> Files:
    """Of a fold of the best trial."""
    return lambda store: [store.fold_folder(_opened(store).leaders[0].folds[1]) / name]


def _images(store: Store) -> list[Path]:
    record = _opened(store).record
    return [
        store.home / "data" / record.data["hash"] / name for name in ("pixels.npy", "labels.npy", "meta.json")
    ]


def _sealed(store: Store) -> list[Path]:
    sealed = _opened(store).sealed
    return (
        [] if sealed is None else [sealed.folder / name for name in ("pixels.npy", "labels.npy", "meta.json")]
    )


def _decoded(store: Store) -> list[Path]:
    return sorted((store.home.parent / "data").rglob("pixels.npy"))


def _network(store: Store) -> list[Path]:
    from harness.store.findings import FinalTest

    final = _opened(store).finding(FinalTest)
    assert final is not None
    return [store.fold_folder(final.refit) / WEIGHTS]


def _opened(store: Store) -> LoadedStudy:
    return LoadedStudy.open(store, NAME)


# What is damaged -> its files, one of which is chosen (all of "and"), and the command that makes it again.
KINDS: dict[str, tuple[Files, str]] = {
    "study record": (_study("study.json"), "tune"),
    "study record and its copy": (_study("study.json", "study.json.copy"), "tune"),
    "split": (_study("split.npz"), "tune"),
    "list of files": (_study("snapshot.json.gz"), "tune"),
    "trial record": (_study("trials/00000.json", "trials/00001.json"), "tune"),
    "fold record": (_fold("result.json"), "tune"),
    "predictions": (_fold("oof.npz"), "tune"),
    "models of the best trial": (_fold(WEIGHTS), "tune"),
    "kept images": (_images, "tune"),
    "sealed images": (_sealed, "tune"),
    "decoded images": (_decoded, "tune"),
    "checkpoint": (lambda store: sorted(store.home.glob("folds/*.checkpoint")), "tune"),
    "what was delivered": (_study("mlflow.json"), "tune"),
    "MLflow's database": (_home("mlflow.db"), "tune"),
    "Optuna's database": (_home("optuna.db"), "tune"),
    "audit": (_study("audit.json"), "audit"),
    "confirmation": (_study("confirm.json"), "confirm"),
    "final test": (_study("final.json"), "final"),
    "network of final": (_network, "final"),
    "ledger": (_home("ledger.jsonl", "ledger.head"), "final"),
}


def _delete(path: Path, chance: random.Random) -> None:
    path.unlink()


def _cut(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


def _empty(path: Path, chance: random.Random) -> None:
    os.truncate(path, 0)


def _flip(path: Path, chance: random.Random) -> None:
    with path.open("r+b") as file:  # in place: what is linked to it is damaged, too
        place = chance.randrange(path.stat().st_size)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))


def _replace(path: Path, chance: random.Random) -> None:
    path.unlink()
    if chance.random() < 0.5:
        path.write_bytes(b"something else\n" * 20)
    else:
        (path / "a folder").mkdir(parents=True)


DAMAGES = (_delete, _cut, _empty, _flip, _replace)


def damages(n: int, seed: int) -> list[str]:
    """Files of 20 kinds deleted, cut, emptied, flipped in a bit or replaced: the same bits, or a way out that works."""
    failures, counts = [], {kind: Counter[str]() for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="harness-campaign-") as folder:
        patient = Patient(Path(folder))
        for attempt in range(n):
            kind = list(KINDS)[attempt % len(KINDS)]
            harm = DAMAGES[(attempt // len(KINDS) + attempt) % len(DAMAGES)]
            came = patient.attempt(kind, harm, random.Random(f"damages {seed} {attempt}"))
            counts[kind][came.partition(":")[0]] += 1
            print(f"{attempt + 1}/{n} {kind}, {harm.__name__[1:]}: {came}", file=sys.stderr, flush=True)
            if came.startswith("failed"):
                failures.append(f"attempt {attempt}: {kind}, {harm.__name__[1:]}: {came}")
    print(_table(counts), file=sys.stderr)
    return failures


def _table(counts: dict[str, Counter[str]]) -> str:
    words = ("same bits", "way out", "failed")
    lines = ["| damaged | " + " | ".join(words) + " |", "|---" * (len(words) + 1) + "|"]
    lines += [
        f"| {kind} | " + " | ".join(str(found[word]) for word in words) + " |"
        for kind, found in counts.items()
    ]
    return "\n".join(lines)


class Patient:
    """A study on a folder of images, tuned and tested to its end, and one that was killed in a fold."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)
        for number, (pixels, label) in enumerate(zip(*drawn_digits(200), strict=True)):
            path = folder / "images" / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[0]).save(path)
        self.path = folder / f"{NAME}.yaml"
        self.path.write_text(STUDY.format(root=folder / "images"), encoding="utf-8")
        self._killed(folder / "killed")
        for command in ("tune", "final"):
            assert self.run(folder / "whole", command) == 0, self.told(folder / "whole")
        self.expected = self.outcome(folder / "whole")

    def attempt(self, kind: str, harm: Callable[[Path, random.Random], None], chance: random.Random) -> str:
        """`same bits`, `way out` or `failed`, and why."""
        place, (files, command) = self.folder / "attempt", KINDS[kind]
        shutil.rmtree(place, ignore_errors=True)
        whole = self.folder / ("killed" if kind == "checkpoint" else "whole")
        subprocess.run(["cp", "-a", str(whole), str(place)], check=True)  # which keeps links
        paths = files(Store(place / "home"))
        for path in paths if "and" in kind.split() else [chance.choice(list(paths))]:
            harm(path, chance)
        code = self.run(place, command)
        if code and kind == "ledger":
            return self._leaves(place)
        if code:
            return f"failed: exit code {code}: {self.told(place)}"
        return self.compare(place, kind)

    def _leaves(self, place: Path) -> str:
        """The way out that is told of a ledger that cannot be made again: move both files, look once more."""
        told = self.told(place)
        if "move both out of the store" not in told and '--again "reason"' not in told:
            return f"failed: {told}"
        for name in ("ledger.jsonl", "ledger.head"):
            if (place / "home" / name).exists():
                (place / "home" / name).rename(place / name)
        code = self.run(place, "final", "--again", "the ledger was damaged")
        return f"failed: exit code {code}: {self.told(place)}" if code else "way out"

    def compare(self, place: Path, kind: str) -> str:
        found = self.outcome(place)
        expected = dict(self.expected)
        if kind == "checkpoint":
            for part in ("findings", "network"):
                del found[part], expected[part]
        wrong = [part for part, value in expected.items() if found[part] != value]
        return f"failed: {', '.join(wrong)} differ; {self.told(place)}" if wrong else "same bits"

    def outcome(self, place: Path) -> dict[str, Any]:
        """All that should be the same."""
        from harness.store.findings import Audit, Confirmation, FinalTest

        store = Store(place / "home")
        study = LoadedStudy.open(store, NAME)
        record, final = study.record, study.finding(FinalTest)
        folds = {key: store.read_fold(key) for trial in study.trials for key in trial.folds}
        kept = {
            key: (store.fold_folder(key) / WEIGHTS).exists() for trial in study.leaders for key in trial.folds
        }
        sealed, snapshot, audit = study.sealed, study.snapshot, study.finding(Audit)
        refit = final and store.read_fold(final.refit)
        runs = [run[:2] for run in shown(store.home / "mlflow.db", record)["runs"]]
        return {
            "record": [record.definition, record.data, record.split_hash, record.compute, record.provenance["code"]],
            "split": study.split.hash,
            "list of files": snapshot and snapshot.hash,
            "trials": [(one.number, one.state, one.params, one.scores, one.folds) for one in study.trials],
            "folds": {key: fold and (fold.hashes, fold.metrics) for key, fold in folds.items()},
            "models": kept,
            "images": Images.open(store.home / "data" / record.data["hash"]).verified().content_hash,
            "sealed images": sealed and Images.open(sealed.folder).verified().content_hash,
            "findings": [
                audit and audit.sentence,
                study.finding(Confirmation),
                final and replace(final, ledger=None),  # type: ignore[arg-type]
            ],
            "network": refit and (refit.hashes, (refit.folder / WEIGHTS).exists()),
            "MLflow": [run for run in runs if not run[0].startswith("final")],
            "Optuna": _optuna(store.home / "optuna.db"),
        }  # fmt: skip

    def run(self, place: Path, command: str, *words: str) -> int:
        """A command on the store of that place; its exit code."""
        study = ["--study", str(self.path)] if command == "tune" else [NAME]
        workers = ["--workers", "1"] if command == "tune" else []
        arguments = [command, *study, *workers, *words, "--home", str(place / "home")]
        if command == "final":
            arguments += ["--i-checked", "so few images"]
        process = self.context.Process(target=_run, args=(arguments, place))
        process.start()
        process.join(300)
        return -9 if process.exitcode is None else process.exitcode

    def told(self, place: Path) -> str:
        return " ".join((place / "told").read_text(encoding="utf-8").split())[-600:]

    def _killed(self, place: Path) -> None:
        """A store whose process was killed in the middle of a fold."""
        while not list(place.glob("home/folds/*.checkpoint")):
            shutil.rmtree(place, ignore_errors=True)
            arguments = ["tune", "--study", str(self.path), "--workers", "1", "--home", str(place / "home")]
            process = self.context.Process(target=_run, args=(arguments, place))
            process.start()
            while process.is_alive() and not list(place.glob("home/folds/*.checkpoint")):
                time.sleep(0.001)
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGKILL)
            process.join()


def _optuna(path: Path) -> list[tuple[str, float | None]]:
    import optuna

    from harness.tracking.local_database import url_of

    storage = optuna.storages.RDBStorage(url_of(path))
    trials = optuna.load_study(study_name=NAME, storage=storage).trials
    storage.engine.dispose()
    return [(trial.state.name, trial.value) for trial in trials]


def _run(arguments: list[str], place: Path) -> None:
    """In the child: the command, and what it tells."""
    place.mkdir(exist_ok=True)
    os.environ["HARNESS_DATA"] = str(place / "data")
    with (place / "told").open("w", encoding="utf-8") as told, redirect_stdout(told), redirect_stderr(told):
        from harness.cli import run

        logging.getLogger("alembic").disabled = True
        code = run(arguments)
        told.flush()
        os._exit(code)
