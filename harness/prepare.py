"""Before a study's first step: its record and its split, new or checked against what the study was when it began."""

import json
import logging
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import invocation, provenance, training
from harness.config import plugins, search_space
from harness.config.earlier import as_begun
from harness.config.kinds import DIFF, is_table
from harness.config.study_file import Study
from harness.data import FOLDER, data_set
from harness.data.data_set import DataSet
from harness.data.images import Images
from harness.data.split import Manifest, make_split
from harness.errors import DataError, UsageError
from harness.folds import option_files, project
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.tasks import advice_on, code_now, edits_of, fold_tasks
from harness.folds.train_folds import training_images
from harness.folds.worker import Workplace
from harness.healing import (
    compute_of,
    heal_copies,
    heal_snapshot,
    made_again,
    record_of,
    split_of,
    trials_without_record,
)
from harness.records import StudyRecord
from harness.search.autotune import Choice, choose
from harness.search.growth import Parent, parent_of
from harness.search.preflight import preflight
from harness.search.racing import require_enough_trials
from harness.store.begun_with import STUDY_FILE, begun_with
from harness.store.findings import FinalTest
from harness.store.loaded_study import LoadedStudy, renamed
from harness.store.store import SPLIT, Store
from harness.version import __version__

logger = logging.getLogger(__name__)


def prepare(
    study: Study,
    store: Store,
    name: str,
    cluster: Cluster = THIS_PROCESS,
    num_trials: int | None = None,
    extends: str | None = None,
) -> tuple[StudyRecord, Workplace]:
    """The study's record, new or checked against what the study was when it began, and its workplace.

    A new one's record is written by whoever trains its first fold: until then there is no such study.
    num_trials: a total that replaces the study's.   extends: the study whose parts and folds a new one goes on from.
    One that has trained goes on with the images that it began with, whatever became of them elsewhere.
    Raises StudyError with all that keeps a new study from being trained; UsageError for one that has changed since it
    trained its first fold, or that has more trials than are asked for; CheckFailed that names the image where another
    image is all that has changed; DataError where the split is damaged and cannot be made anew.
    """
    known = record_of(store, name)
    project.beware_of(store.study_folder(name))
    if known is None or not _has_trained(store, known):
        parent = None if extends is None else parent_of(study, store, extends)
        return _begin(study, store, name, known, cluster, num_trials, parent)
    if extends not in (None, known.data.get("extends")):
        raise UsageError(
            f"study {name} has begun, and does not extend {extends}: choose another name with --as NAME"
        )
    require_enough_trials(study)  # of the file: with --trials a study may be ended early
    for line in search_space.read_in_some(study):
        logger.warning(line)
    study, earlier = as_begun(with_trials(study, num_trials), known.definition)
    images = training_images(store, known)
    if changes := _changes(known, study, images, store):
        if not list(differences(known.definition, study.definition())) and not known.data.get("snapshot"):
            with suppress(DataError):
                store.read_split(known).verify_images(images)  # names the image
        advice = "put it back to go on, or run it as a new study with --as NAME"
        advice += advice_on(edits_of(store, known))
        raise UsageError(
            f"study {name} has changed since it began:\n"
            + "\n".join(changes)
            + f"\n{advice}{_as_begun(known, study, store)}"
        )
    if earlier:
        told = ", ".join(f"search.{option}={value}" for option, value in earlier.items())
        logger.warning("study %s goes on with the defaults that it began with: %s", name, told)
    _beware_of_the_test(study, store, name)
    heal_snapshot(study, store, known)
    _tell_what_became_of(known, store)
    heal_copies(store, known)
    return _go_on(study, store, known, images, cluster)


def _as_begun(known: StudyRecord, study: Study, store: Store) -> str:
    """The command that goes on with a study, where it was begun with other changes than it is asked for now."""
    if list(study.overrides) == known.provenance.get("overrides", []) and study.text == known.text:
        return ""
    command = begun_with(known, store.home)
    return command and f"; as it began it goes on with: {command}"


def _beware_of_the_test(study: Study, store: Store, name: str) -> None:
    """Tell whoever adds trials to a study whose test images were opened."""
    loaded = LoadedStudy.open(store, name)
    tested = loaded.finding(FinalTest)
    if tested is not None and search_space.num_trials(study) > len(loaded.trials):
        logger.warning(
            "the test images of study %s have been opened, for trial %d: whatever is chosen among further trials is "
            "chosen knowing that score, and another look at them is a second one",
            name, tested.trial,
        )  # fmt: skip


def with_trials(study: Study, num_trials: int | None) -> Study:
    """The study with another budget, where one is given."""
    if num_trials is None:
        return study
    return study.model_copy(update={"search": study.search.model_copy(update={"trials": num_trials})})


def _begin(
    study: Study,
    store: Store,
    name: str,
    known: StudyRecord | None,
    cluster: Cluster,
    num_trials: int | None,
    parent: Parent | None,
) -> tuple[StudyRecord, Workplace]:
    """A study that has trained nothing, once nothing keeps it from being trained.

    known: its record, where its trials have all failed; it goes on, or where it was changed it begins again.
    """
    found = preflight(study, store.home, parent=parent, executor=cluster.options)
    data, split = found.require(study)
    images = data.train
    study = with_trials(study, num_trials)
    if known is None and (now := renamed(store, name)):
        logger.warning(
            "study %s is called %s now, and --as %s goes on with it; this begins another one",
            name, now, shlex.quote(now),
        )  # fmt: skip
    if known is not None:
        changes = _changes(known, study, images, store)
        if not changes:
            return _go_on(study, store, known, images, cluster)
        logger.warning(
            "%s has trained no fold yet, so it begins again as it is now:\n%s", name, "\n".join(changes)
        )
    folder = store.study_folder(name)
    kept = store.keep_data(data)
    lost = trials_without_record(store, name)
    compute = compute_of(store, lost)
    choice = Choice(compute, {}) if compute else choose(study, images, kept, store.home, cluster)
    record = _new_record(study, name, data, split, choice, found.warnings)
    if parent is not None:
        record = replace(record, data={**record.data, "extends": parent.name})
    if lost:
        record = made_again(study, record, lost, folder)
        store.write_study(record)
    else:
        store.start_over(name)  # what a study was that had trained nothing
    store.write_split(name, split)
    store.write_snapshot(name, data.snapshot)
    project.keep_sources(folder, project.names_in(record.definition))
    cluster.options.require_used(record.compute)
    return record, Workplace(kept, folder / SPLIT, store.home)


def _go_on(
    study: Study, store: Store, known: StudyRecord, images: Images, cluster: Cluster
) -> tuple[StudyRecord, Workplace]:
    """A study as it was, with these images."""
    split_of(study, store, known, images).verify_images(images)
    _require_trials(store, study, known.name)
    record = replace(
        known, num_trials=search_space.num_trials(study), provenance=_with_files(known.provenance, study)
    )
    cluster.options.require_used(record.compute)
    store.write_study(record)
    return record, Workplace(store.keep_images(images), store.study_folder(known.name) / SPLIT, store.home)


def _tell_what_became_of(known: StudyRecord, store: Store) -> None:
    """Of the data that the study began with, where they may have changed since."""
    snapshot = store.read_snapshot(known.name)
    settings = known.data["settings"]
    if snapshot is None or not data_set.may_change(settings):
        return
    where = settings.get("root", settings["name"])
    try:
        if since := data_set.changes(settings, snapshot):
            logger.warning(
                "%s: %s since the study began, which goes on with what it began with; %s names "
                "them, and tune --study FILE --extend %s --as NAME begins a study on what there is now",
                where, since, invocation.command("data", "diff", known.name, home=store.home), known.name,
            )  # fmt: skip
    except DataError as error:
        logger.warning("%s; the study goes on with its own copy of the images", error)


def _new_record(
    study: Study, name: str, data: DataSet, split: Manifest, choice: Choice, warnings: Sequence[str]
) -> StudyRecord:
    images = data.train
    return StudyRecord(
        name=name,
        question=study.question,
        text=study.text,
        definition=study.definition(),
        objective=study.objective,
        direction=study.direction,
        others=study.objectives[1:],
        num_folds=study.cv.num_folds,
        num_trials=search_space.num_trials(study),
        seed=study.search.seed,
        data={
            "settings": study.data,
            "hash": images.content_hash,
            "classes": list(images.classes),
            "num_images": len(images.labels),
            "image_shape": list(images.pixels.shape[1:]),
            "test": {"hash": data.test.hash, "num_images": data.test.num_images},
            "snapshot": data.snapshot.hash,
            **_scored_on(images, split),
        },
        split_hash=split.hash,
        compute=training.recorded(choice.compute),
        provenance={
            **provenance.collect(with_diff=study.provenance == DIFF),
            "harness": __version__, "overrides": list(study.overrides),
            **({STUDY_FILE: str(Path(study.source).absolute())} if Path(study.source).is_file() else {}),
            "definition_hash": study.definition_hash(),
            "code": code_now(study),
            **({"warnings": list(warnings)} if warnings else {}),
            **({"project": own} if (own := project.described(project.names_in(study.definition()))) else {}),
            **({"files": option_files.named_by(study)} if study.places else {}),
            **({"compute_measured": choice.measured} if choice.measured else {}),
        },
        created=time.time(),
    )  # fmt: skip


def _scored_on(images: Images, split: Manifest) -> dict[str, Any]:
    """As `StudyRecord.scored_on` reads it, of images with soft labels."""
    if images.soft_labels is None:
        return {}
    data_hash = images.hard.content_hash
    return {"scored_on": {"data": data_hash, "split": replace(split, data_hash=data_hash).hash}}


def _changes(known: StudyRecord, study: Study, images: Images, store: Store) -> list[str]:
    """In what a study is not what it was when it began, a line each."""
    changes = [
        f"  {path}   {json.dumps(old)} -> {json.dumps(new)}"
        for path, old, new in differences(known.definition, study.definition())
        if path != "data.root" or known.data["settings"]["name"] != data_set.STORED  # the store has moved
    ]
    if known.data["hash"] != images.content_hash:
        changes.append(f"  images   {_change_of_images(known, images, store)}")
    changes += [
        f"  {change}" for change in option_files.changes(option_files.known_to(known.provenance), study)
    ]
    edits = edits_of(store, known) or _edits_of_split(known, study, images, store)
    return changes + [f"  {change}" for change in edits]


def _change_of_images(known: StudyRecord, images: Images, store: Store) -> str:
    """By the names of files, where those that the study began with are known."""
    snapshot = store.read_snapshot(known.name)
    if snapshot is not None and known.data["settings"]["name"] == FOLDER:
        return str(data_set.changes(known.data["settings"], snapshot))
    return f"{known.data['hash'][:12]} -> {images.content_hash[:12]}"


def _edits_of_split(known: StudyRecord, study: Study, images: Images, store: Store) -> list[str]:
    """How the user's own split maker or table was edited since the study began, where it deals images otherwise now."""
    if images.content_hash != known.data["hash"] or study.definition()["cv"] != known.definition["cv"]:
        return []
    folder = store.study_folder(known.name)
    edits = list(project.edits(folder, known, (project.SPLIT,)))
    if is_table(study.cv.split):
        edits = [f"  {study.cv.split} was edited"] if Path(study.cv.split).exists() else []
    if not edits or (split := make_split(study, images, store.home)).hash == known.split_hash:
        return []
    moved = int((split.by_repeat != store.read_split(known).by_repeat).any(1).sum())
    return [f"cv.split   deals {moved:,} of {len(images):,} images to other folds", *edits]


def _with_files(provenance: dict[str, Any], study: Study) -> dict[str, Any]:
    """With where the study's code and files are now. One that began before they were written down goes on without."""
    if "project" in provenance:
        provenance = {**provenance, "project": {**provenance["project"], "root": str(plugins.project())}}
    if "files" not in provenance:
        return provenance
    files = option_files.gone_on(option_files.known_to(provenance), option_files.named_by(study))
    return {**provenance, "files": files}


def _has_trained(store: Store, known: StudyRecord) -> bool:
    """Whether a study has a fold. One that has stays what it is, or two experiments would mix; another is corrected."""
    trials = store.read_trials(known.name)
    keys = {task.key() for trial in trials for task in fold_tasks(known, trial).values()}
    keys |= {key for trial in trials for key in (*trial.folds, trial.rung) if key}
    return any(store.substitute(key) or store.read_fold_record(key) for key in keys)


def _require_trials(store: Store, study: Study, name: str) -> None:
    """Raise UsageError for fewer trials than there are: those stay, and nothing is recorded of a smaller number."""
    wanted, there = search_space.num_trials(study), len(store.read_trials(name))
    if wanted < there:
        raise UsageError(
            f"study {name} has {there} trials already, so it cannot become one of {wanted}: go on with --trials "
            f"{there} or more, or run it as a new study with --as NAME, which finds the folds that are trained"
        )


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every dotted path at which two JSON documents differ, with both values ("-" for none)."""
    is_range = any(isinstance(side, dict) and "low" in side for side in (old, new))
    if isinstance(old, Mapping) and isinstance(new, Mapping) and not is_range:
        for key in sorted({*old, *new}):
            yield from differences(old.get(key, "-"), new.get(key, "-"), f"{path}.{key}".lstrip("."))
    elif old != new:
        yield path, old, new
