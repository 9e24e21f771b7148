"""The tasks of a study's folds: which values, images, split and seed each is trained with."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.config import search_space
from harness.config.space import declared
from harness.config.study_file import Study
from harness.folds import code, option_files, project
from harness.folds.fold import FoldTask
from harness.records import StudyRecord, TrialRecord, Values
from harness.store.store import Store

CHECK_OF_EDITS = "in a checkout, python -m tests.sources shows whether an edit of harness changes no bit"
RUNG = -1  # the step before fold 0: a short training on fold 0, where search.rung asks for it


def make_tasks(
    study: Study,
    *,
    data_hash: str,
    split_hash: str,
    compute: dict[str, object],
    provenance: Mapping[str, Any] | None = None,
) -> Callable[[TrialRecord, int], FoldTask]:
    """How the driver makes the task of (trial, step): a fold's number, or RUNG.

    provenance: of the study's record, which says what code and files it began with; without it, they are those of now.
    """
    if provenance is None:
        provenance = {
            "code": code_now(study),
            "project": project.described(project.names_in(study.definition())),
        }
        known = option_files.named_by(study)
    else:
        known = option_files.known_to(provenance)

    def make(trial: TrialRecord, step: int) -> FoldTask:
        values = task_values(trial.values)
        files = files_of(known, values)
        if step == RUNG and study.search.rung is not None:
            values = shortened(values, study.search.rung)
        return FoldTask(
            values=values,
            data_hash=data_hash,
            split_hash=split_hash,
            num_folds=study.cv.num_folds,
            fold=max(step, 0),
            seed=study.search.seed,
            compute=compute,  # type: ignore[arg-type]
            code=code_of(provenance, values),
            files=option_files.hashes(files, values),
            places=option_files.places(files, values),
        )

    return make


def task_values(values: Values) -> Values:
    """The values that reach the training: without what only says what is kept of it, and without younger defaults."""
    kept = search_space.without_younger_defaults(values)
    return {path: value for path, value in kept.items() if path != "train.keep_models"}


def shortened(values: Values, share: float) -> Values:
    """The values of a training of that share of the epochs, with its whole schedule in them."""
    scaled = dict(values)
    for name in ("train.epochs", "train.step_size", "train.warmup_epochs"):
        value = values.get(name)
        if isinstance(value, int) and value:
            scaled[name] = max(round(value * share), 1)
        elif isinstance(value, float):
            scaled[name] = value * share
    return scaled


def fold_tasks(
    record: StudyRecord, trial: TrialRecord, *, split_hash: str | None = None, seed: int | None = None
) -> dict[int, FoldTask]:
    """The tasks of a trial by fold, as the study trains them; with another split or seed where given."""
    values = task_values(trial.values)
    files = files_of(option_files.known_to(record.provenance), values)
    return {
        fold: FoldTask(
            values=values,
            data_hash=record.data["hash"],
            split_hash=split_hash or record.split_hash,
            num_folds=record.num_folds,
            fold=fold,
            seed=record.seed if seed is None else seed,
            compute=record.compute,
            code=code_of(record.provenance, values),
            files=option_files.hashes(files, values),
            places=option_files.places(files, values),
        )
        for fold in range(record.num_folds)
    }


def code_now(study: Study) -> dict[str, Any]:
    """The code of a study's folds as it is now, for its record: of several models that of each."""
    found = {
        model: {"parts": code.identity(model), "functions": code.functions(model)} for model in study.models
    }
    return {"models": found} if len(found) > 1 else next(iter(found.values()))


def code_of(provenance: Mapping[str, Any], values: Values) -> dict[str, str]:
    """What code a study began with for a trial of these values, as `code.identity` names it.

    Of earlier releases, that of RECIPE.
    """
    parts = _known_code(provenance, str(values.get("model.name"))).get("parts", {})
    return {**parts, **project.parts_of(provenance, values)}


def functions_of(provenance: Mapping[str, Any], model: str) -> dict[str, dict[str, str]] | None:
    """Hash of every function that trains a model, as `code.functions` has it, when the study began."""
    return _known_code(provenance, model).get("functions")


def _known_code(provenance: Mapping[str, Any], model: str) -> dict[str, Any]:
    known: dict[str, Any] = provenance.get("code", {})
    of_model: dict[str, Any] = known.get("models", {}).get(model, known)
    return of_model


def files_of(known: option_files.Files, values: Values) -> option_files.Files:
    """The files of a study that the values of one trial can name: another model's option may name none."""
    options = declared(str(values.get("model.name")), values)
    return {
        option: texts
        for option, texts in known.items()
        if option not in options or options[option].names_file
    }


def edits_of(store: Store, record: StudyRecord) -> list[str]:
    """Edits of what trains a study since it began, each once; then of the user's own code how its text differs."""
    found = [edit for model in record.models for edit in code_edits(record.provenance, model)]
    found += project.edits(store.study_folder(record.name), record)
    return list(dict.fromkeys(found))


def advice_on(edits: Iterable[str]) -> str:
    """How to find out whether edits of harness change anything; "" where there are none."""
    return f"; {CHECK_OF_EDITS}" if any(edit.startswith("harness/") for edit in edits) else ""


def code_edits(provenance: Mapping[str, Any], model: str) -> list[str]:
    """Edits of what trains a study's folds since it began, a line each, where they may change what comes out."""
    before, now = code.canonical(code_of(provenance, {"model.name": model}), model), code.identity(model)
    functions = functions_of(provenance, model)
    if before == now:
        return []
    if functions is None:  # of an earlier release, which did not write them down
        return [
            f"{code.describe([part], model)}: changed since that release"
            for part in sorted({*before, *now})
            if before.get(part) != now.get(part)
        ]
    return code.edits(functions, code.functions(model))
