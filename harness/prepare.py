"""Before a study's first step: its record and its split, new or checked against what the study was when it began."""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness import provenance, training
from harness.config import plugins, search_space
from harness.config.kinds import STRATIFIED
from harness.config.study_file import Study
from harness.data import load_training
from harness.data.class_counts import count_classes
from harness.data.images import Images
from harness.data.split import Manifest, make_split
from harness.data.split_makers import remarks
from harness.errors import DataError, UsageError
from harness.folds import option_files, project
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.tasks import advice_on, code_now, edits_of, fold_tasks
from harness.folds.worker import Workplace
from harness.records import StudyRecord
from harness.search.autotune import Choice, choose
from harness.search.contract import require_metric, require_network
from harness.search.own_contract import require_own_code
from harness.search.preflight import without_effect
from harness.store.store import Store
from harness.version import __version__

logger = logging.getLogger(__name__)
IMBALANCE = 10.0  # times as many images, from which on a study by accuracy is warned


def prepare(
    study: Study, store: Store, name: str, cluster: Cluster = THIS_PROCESS
) -> tuple[StudyRecord, Workplace]:
    """The study's record, new or checked against what the study was when it began, and its workplace.

    Raises UsageError for a study that has changed since it trained its first fold, or that has more trials than are
    asked for; CheckFailed that names the image where another image is all that has changed; StudyError for a network
    that cannot be trained; DataError for a damaged split.
    """
    known = store.read_study(name)
    project.beware_of(store.study_folder(name))
    if known is None:
        search_space.require_read(study)
    for line in search_space.read_in_some(study):
        logger.warning(line)
    images = load_training(study.data)
    kept = store.keep_images(images)
    _warn_of_imbalance(study, images)
    if ignored := without_effect(study, images):
        logger.warning("without effect, for it takes images of three channels: %s", ", ".join(ignored))
    split_path = store.study_folder(name) / "split.npz"
    if known is not None and (changes := _changes(known, study, images, store)):
        if _has_trained(store, known):
            if not list(differences(known.definition, study.definition())):
                Manifest.load(split_path).verify_images(images)  # names the image
            advice = "put it back to go on, or run it as a new study with --as NAME"
            advice += advice_on(edits_of(store, known))
            raise UsageError(
                f"study {name} has changed since it began:\n" + "\n".join(changes) + f"\n{advice}"
            )
        logger.warning(
            "%s has trained no fold yet, so it begins again as it is now:\n%s", name, "\n".join(changes)
        )
        known = None
    if known is not None:
        split = Manifest.load(split_path)
        split.verify_images(images)
        _require_trials(store, study, name)
        if split.hash != known.split_hash:
            raise DataError(f"{split_path}: damaged: it is not the split that the study began with")
        record = replace(
            known, num_trials=search_space.num_trials(study), provenance=_with_files(known.provenance, study)
        )
    else:
        require_metric(study, images)
        for warning in [*require_network(study, images), *require_own_code(study, images)]:
            logger.warning("%s", warning)
        store.start_over(name)  # what a study was that had trained nothing
        split = make_split(study, images, store.home)
        for remark in remarks(split.fold_of, images) if study.cv.split != STRATIFIED else ():
            logger.warning("cv.split: %s", remark)
        split.save(split_path)
        choice = choose(study, images, kept, store.home, cluster)
        record = _new_record(study, name, images, split, choice)
        project.keep_sources(store.study_folder(name), project.names_in(record.definition))
    cluster.options.require_used(record.compute)
    store.write_study(record)
    return record, Workplace(kept, split_path, store.home)


def _warn_of_imbalance(study: Study, images: Images) -> None:
    """Accuracy can be high where a rare class is never recognised."""
    counted = count_classes(images)
    if study.objective == "accuracy" and counted.ratio > IMBALANCE:
        (small, fewest), (large, most) = counted.smallest, counted.largest
        logger.warning(
            "%s has %s images and %s has %s, which accuracy hardly sees; consider objective: balanced_accuracy, and "
            "train.sampling: balanced",
            large, f"{most:,}", small, f"{fewest:,}",
        )  # fmt: skip


def _new_record(study: Study, name: str, images: Images, split: Manifest, choice: Choice) -> StudyRecord:
    return StudyRecord(
        name=name,
        question=study.question,
        text=study.text,
        definition=study.definition(),
        objective=study.objective,
        direction=study.direction,
        others=study.objectives[1:],
        num_folds=study.cv.folds,
        num_trials=search_space.num_trials(study),
        seed=study.search.seed,
        data={
            "settings": study.data,
            "hash": images.content_hash,
            "classes": list(images.classes),
            "num_images": len(images.labels),
            "image_shape": list(images.pixels.shape[1:]),
        },
        split_hash=split.hash,
        compute=training.recorded(choice.compute),
        provenance={
            **provenance.collect(), "harness": __version__, "overrides": list(study.overrides),
            "definition_hash": study.definition_hash(),
            "code": code_now(study),
            **({"project": own} if (own := project.described(project.names_in(study.definition()))) else {}),
            **({"files": option_files.named_by(study)} if study.places else {}),
            **({"compute_measured": choice.measured} if choice.measured else {}),
        },
        created=time.time(),
    )  # fmt: skip


def _changes(known: StudyRecord, study: Study, images: Images, store: Store) -> list[str]:
    """In what a study is not what it was when it began, a line each."""
    changes = [
        f"  {path}   {json.dumps(old)} -> {json.dumps(new)}"
        for path, old, new in differences(known.definition, study.definition())
    ]
    if known.data["hash"] != images.content_hash:
        changes.append(f"  images   {known.data['hash'][:12]} -> {images.content_hash[:12]}")
    changes += [
        f"  {change}" for change in option_files.changes(option_files.known_to(known.provenance), study)
    ]
    edits = edits_of(store, known) or _edits_of_split(known, study, images, store)
    return changes + [f"  {change}" for change in edits]


def _edits_of_split(known: StudyRecord, study: Study, images: Images, store: Store) -> list[str]:
    """How the user's own split maker was edited since the study began, where it deals images otherwise now."""
    if images.content_hash != known.data["hash"] or study.definition()["cv"] != known.definition["cv"]:
        return []
    folder = store.study_folder(known.name)
    edits = list(project.edits(folder, known, (project.SPLIT,)))
    if not edits or (split := make_split(study, images, store.home)).hash == known.split_hash:
        return []
    moved = int((split.fold_of != Manifest.load(folder / "split.npz").fold_of).sum())
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
