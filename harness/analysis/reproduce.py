"""Trains a recorded trial again, from its record alone, and says how much of it came out the same."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness import provenance
from harness.errors import CheckFailed, RecordError, UsageError
from harness.folds import code, option_files
from harness.folds.cluster import THIS_PROCESS
from harness.folds.code import RECIPE
from harness.folds.executor import Cluster
from harness.folds.fold import FoldTask
from harness.folds.tasks import code_of, files_of, fold_tasks, functions_of
from harness.folds.train_folds import Step, Training, told, train_tasks, workplace_of
from harness.records import FoldRecord, Scalar, StudyRecord, TrialRecord
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import score_by
from harness.store.store import Store
from harness.version import __version__

PACKAGES = tuple(
    provenance.COMPUTING.values()
)  # that may change bits, as the images of a study that scikit-learn has
# What differs is listed in this order: the likeliest cause of other bits first.
CAUSES = (
    "device",
    "precision",
    "threads",
    "channels_last",
    "instructions",
    "onednn",
    "variables",
    "torch",
    *PACKAGES,
    "python",
    "processor",
    "gpu",
    "driver",
    "cuda",
    "cudnn",
)


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was recorded; "-" for what is not there."""

    what: str
    recorded: str
    now: str


@dataclass(frozen=True)
class ReproducedFold:
    """A fold's score as recorded and as trained again.   bitwise: weights and predictions are the same, too."""

    fold: int
    recorded: float
    reproduced: float
    bitwise: bool


@dataclass(frozen=True)
class Reproduction:
    """How much of a trial came out the same.

    verdict: BITWISE where every weight and every held-out probability is the same, WITHIN-NOISE where the mean moved
    by no more than two standard errors.   differences: what is not as it was, the likeliest cause of other bits first.
    """

    study: str
    verdict: Literal["BITWISE", "WITHIN-NOISE", "DRIFT"]
    trial: int
    objective: str
    folds: tuple[ReproducedFold, ...]
    differences: tuple[Difference, ...]


def reproduce(
    study: LoadedStudy,
    *,
    trial: str = "best",
    cluster: Cluster = THIS_PROCESS,
    compute: Mapping[str, Scalar] | None = None,
) -> Iterator[Step | Reproduction]:
    """Train the folds of a trial again: yields how far it is, then what came of it.

    trial: "best" or a number.   compute: settings to change on purpose.
    Nothing is read but the records and the data set; the folds are trained in a folder of their own.
    Raises UsageError for a trial that is not there or has no folds, DataError if the images are others.
    """
    record, chosen = study.record, _chosen(study, trial)
    recorded = {fold: _recorded(study.store, key) for fold, key in enumerate(chosen.folds)}
    with tempfile.TemporaryDirectory(
        prefix=".reproduce-", suffix=".tmp", dir=cluster.shared_folder
    ) as folder:
        workplace = workplace_of(study.store, record, home=Path(folder))
        tasks = {fold: _task(old, compute or {}, record) for fold, old in recorded.items()}
        again: dict[int, FoldRecord] = {}
        trained = train_tasks(workplace, tasks, cluster=cluster)
        for step in told(trained, tasks, lambda fold: f"trial {chosen.number} fold {fold}"):
            if isinstance(step, Training):
                yield step
            else:
                again[step[0]] = step[1]
        found = verdict(record, chosen, recorded, again)
    differ = [*found.differences, *contradictions(record, chosen, recorded)]
    if found.verdict == "BITWISE":  # then nothing that an older record does not say can be a cause
        differ = [one for one in differ if one.recorded != "-"]
    else:
        known = {one.what for one in differ}
        differ += [one for one in of_code(record) if one.what not in known]
    yield replace(found, differences=tuple(differ))


def verdict(
    study: StudyRecord,
    trial: TrialRecord,
    recorded: Mapping[int, FoldRecord],
    again: Mapping[int, FoldRecord],
) -> Reproduction:
    """The folds of a trial as recorded against the same trained again, with what differs in how they were computed."""
    pairs = [(recorded[fold], again[fold]) for fold in sorted(recorded)]
    scores = [(score_by(old, study.objective), score_by(new, study.objective)) for old, new in pairs]
    same = [old.hashes == new.hashes for old, new in pairs]
    shift = abs(sum(new - old for old, new in scores)) / len(scores)
    # One standard error of the trial's mean; at least that of counting right answers on as many images.
    num_images = sum(sum(map(sum, fold.confusion)) for fold in recorded.values())
    noise = max(trial.standard_error or 0.0, 0.5 / math.sqrt(num_images))
    return Reproduction(
        study=study.name,
        verdict="BITWISE" if all(same) else "WITHIN-NOISE" if shift <= 2 * noise else "DRIFT",
        trial=trial.number,
        objective=study.objective,
        folds=tuple(
            ReproducedFold(old.fold, before, after, equal)
            for (old, _), (before, after), equal in zip(pairs, scores, same, strict=True)
        ),
        differences=tuple(differences(pairs)),
    )


def differences(pairs: list[tuple[FoldRecord, FoldRecord]]) -> list[Difference]:
    """What is not as it was, likeliest cause first: settings of the computation, versions, machine."""
    found: dict[str, Difference] = {}
    for old, new in pairs:
        before, after = (
            {
                **record.fingerprint,
                **_text(record.task["compute"]),
                **_text({"recipe": record.task.get("recipe")}),
                **{f"code of {part}": name for part, name in record.task.get("code", {}).items()},
            }
            for record in (old, new)
        )
        found |= {one.what: one for one in _unequal(before, after)}
    rank = {what: place for place, what in enumerate(CAUSES)}
    return sorted(found.values(), key=lambda one: (rank.get(one.what, len(rank)), one.what))


def contradictions(
    study: StudyRecord, trial: TrialRecord, recorded: Mapping[int, FoldRecord]
) -> list[Difference]:
    """Where a fold was trained with other values, seed, images or split than its trial and its study say.

    `recorded` is what the fold says, `now` what they say. A fold whose record was changed no longer has its key.
    """
    found: dict[str, Difference] = {}
    expected = fold_tasks(study, trial)
    for fold, record in recorded.items():
        says = asdict(expected[fold])
        found |= {one.what: one for one in _unequal(_inputs(record.task), _inputs(says))}
        task = FoldTask(**record.task)
        keys = [task.key()]
        # A release that did not write Python's version down kept halved batches under the key of whole ones.
        if "python" not in record.fingerprint:
            keys.append(replace(task, compute={**task.compute, "micro_batches": 1}).key())
        if record.key not in keys:
            changed = {f"the record of fold {fold}": record.key[:12]}
            found |= {one.what: one for one in _unequal(changed, dict.fromkeys(changed, task.key()[:12]))}
    return list(found.values())


def of_code(study: StudyRecord) -> list[Difference]:
    """How this program and the packages it computes with differ from those that began the study."""
    before, after = study.provenance, {**provenance.collect(), "harness": __version__}
    return _unequal(*map(_program, (before, after))) + _edits(study)


def _edits(study: StudyRecord) -> list[Difference]:
    """Functions that are not what they were, where the table does not say that their bits are."""
    found: dict[str, Difference] = {}
    for model in study.models:
        functions = functions_of(study.provenance, model)
        if functions is None or code.canonical(
            code_of(study.provenance, {"model.name": model}), model
        ) == code.identity(model):
            continue
        before, after = (
            {f"{file}: {name}": hashed for file, parts in known.items() for name, hashed in parts.items()}
            for known in (functions, code.functions(model))
        )
        found |= {one.what: one for one in _unequal(before, after)}
    return list(found.values())


def require_reproduced(found: Reproduction) -> None:
    """Raise CheckFailed on drift."""
    if found.verdict == "DRIFT":
        raise CheckFailed(f"trial {found.trial} of {found.study} does not come out as recorded")


def _chosen(study: LoadedStudy, wanted: str) -> TrialRecord:
    if wanted == "best":
        if study.best is None:
            raise UsageError(f"study {study.name} has no complete trial yet")
        return study.best
    found = next((trial for trial in study.trials if str(trial.number) == wanted), None)
    if found is None:
        numbers = f"0 to {len(study.trials) - 1}" if study.trials else "none yet"
        raise UsageError(f"--trial must be best or a number ({numbers}); got {wanted!r}")
    if not found.folds:
        raise UsageError(f"trial {found.number} has no finished fold ({found.state}: {found.reason or '-'})")
    return found


def _recorded(store: Store, key: str) -> FoldRecord:
    """With all that lies beside it as it was written."""
    record = store.read_fold(key)
    if record is None:
        raise RecordError(
            f"{store.fold_folder(key)}: the fold's record is gone; run tune again to make it anew"
        )
    return record


def _task(old: FoldRecord, compute: Mapping[str, Scalar], study: StudyRecord) -> FoldTask:
    task = FoldTask(**old.task)
    here = code.identity(str(task.values.get("model.name")), code.others_in(task.values))
    places = option_files.places(files_of(option_files.known_to(study.provenance), task.values), task.values)
    return replace(task, compute={**task.compute, **compute}, recipe=RECIPE, code=here, places=places)


def _inputs(task: Mapping[str, Any]) -> dict[str, str]:
    """What a fold's task says of its inputs, but for the computation."""
    hashes = {"images": task["data_hash"][:12], "split": task["split_hash"][:12]}
    hashes |= {f"file of {option}": hashed[:12] for option, hashed in task.get("files", {}).items()}
    return _text({**task["values"], "seed": task["seed"], "number of folds": task["num_folds"], **hashes})


def _program(provenance: Mapping[str, Any]) -> dict[str, str]:
    packages = provenance.get("packages", {})
    named = {name: provenance[name] for name in ("harness", "commit") if provenance.get(name)}
    return _text({**named, **{name: packages[name] for name in PACKAGES if name in packages}})


def _unequal(before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    return [
        Difference(what, before.get(what, "-"), after.get(what, "-"))
        for what in sorted({*before, *after})
        if before.get(what) != after.get(what)
    ]


def _text(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
