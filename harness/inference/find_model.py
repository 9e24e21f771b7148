"""Finds the model that a command is to use: of a study, of one of its trials, of MLflow's registry, or a folder."""

import json
import tempfile
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import invocation, models
from harness.data.policy import of_settings
from harness.errors import RecordError, UsageError
from harness.folds.project import kept_sources, use_code_of
from harness.folds.train_folds import restore_models, restore_network
from harness.inference.model import TrialModel, load_networks, load_trial_model
from harness.records import FoldRecord, TrialRecord
from harness.store.findings import FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.model_files import DOCUMENT, has_weights
from harness.store.store import WEIGHTS, Store, valid_name
from harness.store.trial_scores import temperature_of
from harness.tracking.mlflow_registry import SCHEME, download

_downloads: list[
    tempfile.TemporaryDirectory[str]
] = []  # until this process ends: code of them may import more


@dataclass(frozen=True)
class Found:
    """A model and where it came from.

    source: in words, for people.   study, trial: what trained it, as its files say.
    origin: "folds KEY …" of the store, "folder PATH", or its name in MLflow's registry; `is_gone` reads it.
    """

    model: TrialModel
    source: str
    study: str
    trial: int
    origin: str


def is_gone(store: Store, origin: str, needed: Set[str]) -> bool:
    """Whether a model can be found no more.   needed: keys of the folds that stay.

    MLflow is not asked: a model of its registry counts as there.
    """
    kind, _, place = origin.partition(" ")
    if kind == "folds":
        return not all(
            key in needed and (store.fold_folder(key) / WEIGHTS).is_file() for key in place.split()
        )
    return kind == "folder" and not (Path(place) / DOCUMENT).is_file()


def find_model(store: Store, text: str, tracking_uri: str, *, ensemble: bool = False) -> Found:
    """The model that `text` names.

    STUDY        the network that `final` trained on all images, or else the mean of the best trial's fold models
    STUDY:7      the mean of the fold models of trial 7; STUDY:best is the best trial
    models:/…    a version in MLflow's registry: models:/NAME@champion, models:/NAME/3
    a folder     with model.json in it

    ensemble: for STUDY, the fold models of the winner although `final` trained one network.
    Raises UsageError for a name of nothing, or of a trial whose weights are not kept; RecordError for damaged
    files; StoreError if MLflow cannot be reached.
    """
    if text.startswith(SCHEME):
        _downloads.append(tempfile.TemporaryDirectory(prefix="harness-"))
        found = _in_folder(download(tracking_uri, text, Path(_downloads[-1].name)), named=text)
    elif _is_folder(store, text):
        found = _in_folder(Path(text))
    else:
        return _of_study(store, text, ensemble=ensemble)
    if ensemble and len(found.model.folds) < 2:
        raise UsageError(f"{text}: it is one network; --ensemble needs the study that it came from")
    return found


def _is_folder(store: Store, text: str) -> bool:
    """A study's name comes first; ./NAME is always a folder."""
    try:
        there = Path(text).is_dir()
    except (OSError, ValueError):  # a name that is too long, or holds a null byte
        return False
    return there and not (valid_name(text) and (store.study_folder(text) / "study.json").exists())


def _in_folder(folder: Path, *, named: str = "") -> Found:
    model = load_trial_model(folder)
    document: dict[str, Any] = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
    study, trial = document.get("study"), document.get("trial")
    if not isinstance(study, str) or not valid_name(study):  # it becomes a file's name
        study = "model"
    number = trial if isinstance(trial, int) else 0
    source = f"{named or folder}: {_networks(len(model.folds))} of study {study}, trial {number}"
    return Found(model, source, study, number, named or f"folder {folder.resolve()}")


def _of_study(store: Store, text: str, *, ensemble: bool) -> Found:
    name, colon, wanted = text.partition(":")
    study = LoadedStudy.open(store, name)
    final = None if colon else study.finding(FinalTest)
    trial = study.trials[final.trial] if final else study.complete_trial(wanted or "best")
    if final and not ensemble:
        refit = restore_network(study, final.refit)
        if refit is None:
            again = invocation.command("final", name, home=store.home)
            raise RecordError(
                f"{store.fold_folder(final.refit)}: the network of final is gone or damaged; {again} "
                "trains it again, to the same bits, and --ensemble takes the fold models"
            )
        folds, what = [refit], "the network that final trained on all images"
    else:
        folds = _fold_models(study, trial)
        what = _networks(len(folds))
    record = study.record
    use_code_of(store, record)
    model = load_networks(
        [(fold.folder / WEIGHTS, fold.hashes[WEIGHTS]) for fold in folds],
        architecture=models.architecture(trial.values),
        image_shape=record.data["image_shape"],
        classes=record.data["classes"],
        compute=record.compute,
        temperature=temperature_of(study, trial),
    )
    model = replace(model, sources=kept_sources(store, record), policy=of_settings(record.data["settings"]))
    origin = " ".join(["folds", *(fold.key for fold in folds)])
    return Found(model, f"study {name}, trial {trial.number}: {what}", name, trial.number, origin)


def _networks(count: int) -> str:
    return "one network" if count == 1 else f"the mean of {count} networks"


def _fold_models(study: LoadedStudy, trial: TrialRecord) -> list[FoldRecord]:
    """The trial's folds, with weights. Raises UsageError that says which trials have theirs."""
    folds = restore_models(study, trial)
    if len(folds) == len(trial.folds) and has_weights(folds):
        return folds
    others = [
        f"{study.name}:{other.number}"
        for other in study.trials
        if other.state == "complete"
        and all((study.store.fold_folder(key) / WEIGHTS).is_file() for key in other.folds)
    ]
    keep = trial.values.get("train.keep_models", "best")
    there = f"there are those of {', '.join(others)}" if others else "and no other trial's are"
    raise UsageError(
        f"the weights of {study.name}:{trial.number} are not kept (train.keep_models is {keep}); {there}"
    )
