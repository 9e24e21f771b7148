"""Which files of a study go into a bundle: all of its folder but what is about this machine, and its intact folds."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from harness.errors import RecordError
from harness.files import DAMAGED, files_below
from harness.folds.project import UNTRUSTED
from harness.store.findings import FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.store import RECORD_COPY, Store

logger = logging.getLogger(__name__)
FOLD_KEY = re.compile(r"[0-9a-f]{40}")
LEFT_OUT = (
    UNTRUSTED,
    RECORD_COPY,
    "lock",
    "holder.json",
    "mlflow.json",
    "delivering",
    "probes",
    "profile",
)  # about this machine


def intact_keys(study: LoadedStudy) -> list[str]:
    """The keys of the folds that go along: all but damaged ones that whoever needs them trains again.

    Raises RecordError for a damaged one of a trial, or of `final`, with what makes it anew.
    """
    store, name = study.store, study.name
    final = study.finding(FinalTest)
    needed = {key: "tune" for trial in study.trials for key in trial.folds}
    needed |= {} if final is None else {final.refit: f"final {name}"}
    intact = []
    for key in keys_named_in(store, name):
        if store.read_fold(key) is not None:
            intact.append(key)
        elif key in needed:
            raise RecordError(f"{store.fold_folder(key)}: damaged; harness {needed[key]} makes it anew")
        else:
            logger.warning("%s: damaged, and left out", store.fold_folder(key))
    return intact


def keys_named_in(store: Store, name: str) -> list[str]:
    """The keys of all folds that any record of the study names."""
    found: set[str] = set()
    for path in files_below(store.study_folder(name)):
        if path.suffix == ".json" and not set(path.relative_to(store.study_folder(name)).parts) & set(
            LEFT_OUT
        ):
            found.update(FOLD_KEY.findall(path.read_text(encoding="utf-8", errors="replace")))
    return sorted(key for key in found if store.fold_folder(key).is_dir())


def files_to_pack(folder: Path) -> Iterator[str]:
    """The study folder's files, relative to it."""
    for path in files_below(folder):
        parts = path.relative_to(folder).parts
        is_aside = any(part.endswith(DAMAGED) for part in parts)
        if path.is_file() and parts[0] not in LEFT_OUT and not path.name.startswith(".") and not is_aside:
            yield "/".join(parts)
