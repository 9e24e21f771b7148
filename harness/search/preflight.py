"""What is looked at before a study begins: all that would keep it from being trained, told at once.

`harness check`, `harness tune` and `harness.tune` run this same code, so what one refuses all refuse, in equal words.
What cannot be looked at, for the images are not there, is left out; a study that has trained goes on without it.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness import training
from harness.config import own_code, plugins, search_space
from harness.config.kinds import DIFF, NO_NETWORK, STRATIFIED
from harness.config.own_code import HARNESS
from harness.config.settings import Choice, ends
from harness.config.study_file import Study
from harness.data.data_set import DataSet, load_data
from harness.data.data_warnings import joined
from harness.data.folds import inner_split
from harness.data.holdout import Growth
from harness.data.images import Images
from harness.data.near_duplicates import Duplicates
from harness.data.split import Manifest, make_split
from harness.data.split_makers import remarks
from harness.errors import (
    CheckFailed,
    DataError,
    HarnessError,
    Problem,
    RecordError,
    StoreError,
    StudyError,
    UsageError,
)
from harness.folds.executor import num_processors
from harness.folds.executor_options import ExecutorOptions
from harness.scoring.find_metric import find_metric
from harness.scoring.metrics import METRICS
from harness.search.constraints import network_size
from harness.search.contract import require_metric, require_network
from harness.search.growth import Parent, grown_split
from harness.search.image_warnings import warn_of_duplicates, warn_of_images
from harness.search.own_contract import require_own_code
from harness.search.racing import require_enough_trials
from harness.search.room import HOME, problems_of_room, room_here
from harness.secrets_in_text import require_scanner
from harness.seeds import seed_for

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
INLINE = ExecutorOptions(workers=1)
STAND_IN = 4  # images of noise, on which harness's own models are tried where the study's cannot be had


@dataclass(frozen=True)
class Preflight:
    """What was found.

    problems: for which the study is refused.   warnings: each was logged, too.
    data, split: None where they cannot be had.   alike: pairs to look at, the most suspicious first (see
    duplicate_warnings.to_look_at), or None.
    """

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    data: DataSet | None
    split: Manifest | None
    alike: Duplicates | None

    def require(self, study: Study) -> tuple[DataSet, Manifest]:
        """The data and their split. Raises StudyError with all problems."""
        if self.problems:
            raise StudyError(study.source, self.problems)
        assert self.data is not None and self.split is not None
        return self.data, self.split


def preflight(
    study: Study,
    home: Path,
    *,
    parent: Parent | None = None,
    executor: ExecutorOptions = INLINE,
    disk: Path | None = None,
) -> Preflight:
    """Look at all that a study needs to be trained.

    home: the store; duplicates that were found are kept there.   parent: the study that this one is to go on from.
    executor: who trains; what is another machine's is not looked at.   disk: where the store is to lie, if elsewhere.
    Raises StoreError where the disk does not take what has to be written.
    """
    found = _Found()
    with _heard() as warnings:
        found.attempt("search", require_enough_trials, study)
        found.attempt("search", search_space.require_read, study)
        if study.provenance == DIFF:
            found.attempt("provenance", require_scanner)
        for line in search_space.read_in_some(study):
            logger.warning("%s", line)
        growth = None if parent is None else Growth(parent.snapshot, takes_new=True)
        data, split, alike = found.attempt("data", load_data, study.data, growth), None, None
        if data is not None and parent is not None:
            data, split = found.attempt("data", grown_split, study, data, parent, home) or (None, None)
        images = None if data is None else data.train
        if data is not None and images is not None:
            warn_of_images(study, data)
            if parent is None:
                split = _split(study, images, home, found)
            alike = None if split is None else warn_of_duplicates(study, data, split, home)
        if executor.executor == "process":
            found.attempt("compute.device", _require_device, study)
        _try_code(study, images, disk or home, found, executor)
    problems = tuple(dict.fromkeys(found.problems))
    if [problem.path for problem in problems] == [HOME]:  # nothing is wrong with the study
        raise StoreError(f"{disk or home}: {problems[0].message}")
    return Preflight(problems, tuple(warnings), data, split, alike)


@dataclass
class _Found:
    """Problems, as they come."""

    problems: list[Problem] = field(default_factory=list)

    def attempt(self, path: str, function: Callable[..., Answer], *arguments: Any) -> Answer | None:
        """What the function gives, or None where it raises what a user can mend, which is kept.

        path: where that is, if the error does not say.
        """
        try:
            return function(*arguments)
        except StudyError as error:
            self.problems += error.problems
        except (StoreError, CheckFailed, RecordError):
            raise
        except HarnessError as error:
            self.problems.append(Problem(path, str(error)))
        return None


def _split(study: Study, images: Images, home: Path, found: _Found) -> Manifest | None:
    """The folds that the study would have, and for early stopping the parts of each."""
    small = list(_too_small(study, images)) if study.cv.split == STRATIFIED else []
    found.problems += small
    split = None if small else found.attempt("cv.folds", make_split, study, images, home)
    if split is not None:
        if said := joined(split.groups, images.groups, images.names):
            logger.warning("%s", said)
        for remark in remarks(split.by_repeat[:, 0], images) if study.cv.split != STRATIFIED else ():
            logger.warning("cv.split: %s", remark)
        if HARNESS in own_code.loops(study.train) and any(ends(study.train["patience"])):
            for fold in range(study.cv.num_folds):
                if found.attempt("train.patience", _require_inner, study, images, split, fold) is None:
                    break
    return split


def _too_small(study: Study, images: Images) -> Iterator[Problem]:
    """Every class with fewer images than there are folds."""
    for name, count in zip(images.classes, np.bincount(images.labels).tolist(), strict=True):
        if (missing := study.cv.folds - count) > 0:
            lower = f"lower cv.folds to {count}, " if count > 1 else ""
            yield Problem(
                "cv.folds",
                f"class {name} has {count} training image{'s' * (count > 1)}, fewer than the {study.cv.folds} folds; "
                f"{lower}add {missing} training image{'s' * (missing > 1)} to it, or leave it out",
            )


def _require_inner(study: Study, images: Images, split: Manifest, fold: int) -> bool:
    """Raises DataError where early stopping cannot set images of each class aside, as a training of the fold would."""
    largest = max(float(value or 0) for value in ends(study.train["inner_fraction"]))
    try:
        inner_split(
            images.labels, split.train_indices(fold), fraction=largest,
            seed=seed_for(seed_for(study.search.seed, fold, "fit"), "inner"), groups=split.groups,
            classes=images.classes,
        )  # fmt: skip
    except DataError as error:
        raise DataError(f"{error}; add images to it, or set train.patience: null") from None
    return True


def _require_device(study: Study) -> None:
    try:
        training.resolve(training.ComputeOptions(**study.compute))  # type: ignore[arg-type]
    except HarnessError as error:
        raise UsageError(f"{error}; auto takes what there is, and --executor trains elsewhere") from None


def _try_code(
    study: Study, images: Images | None, home: Path, found: _Found, executor: ExecutorOptions
) -> None:
    """Networks, the user's own code, and whether there is room for what they need."""
    too_large = False
    if images is not None and executor.executor == "process":
        too_large = _judge_room(study, images, home, found, executor)
    if images is None:
        _load_own_code(study, found)
    known = study if images is not None else _of_harness(study)
    if known is not None and not too_large:
        tried = images if images is not None else _noise(study)
        check = partial(require_network, known, tried, trains_here=executor.executor == "process")
        for line in found.attempt("model.name", check) or ():
            logger.warning("%s", line)
    if images is not None:
        for line in found.attempt("train", require_own_code, study, images) or ():
            logger.warning("%s", line)
        found.attempt("objective", require_metric, study, images)


def _judge_room(study: Study, images: Images, home: Path, found: _Found, executor: ExecutorOptions) -> bool:
    """Whether trial 0's network is certain not to fit into memory: then it is not even tried."""
    values = search_space.resolve(study, search_space.defaults(study))
    options = {path.partition(".")[2]: value for path, value in values.items() if path.startswith("model.")}
    if options["name"] == NO_NETWORK:
        return False
    try:
        size = network_size(options, images.pixels.shape[1:], images.classes)
    except Exception as error:  # whatever a model's file may raise: it is tried below, and told of
        del error
        return False
    workers = executor.workers or max(num_processors() // int(str(study.compute["threads"])), 1)
    problems, warnings = problems_of_room(study, size, images, room_here(home), workers=workers)
    found.problems += problems
    for line in warnings:
        logger.warning("%s", line)
    return any(problem.path == "model.name" for problem in problems)


def _load_own_code(study: Study, found: _Found) -> None:
    """Import what the study names of the user's own: without images there is nothing to try it on."""
    named = [("model", name) for name in study.models]
    named += [(f"train.{choice}", entry.name) for choice, entry in own_code.named_in(study.train)]
    for kind, name in named:
        if plugin := plugins.find(kind, name):
            found.attempt("model.name" if kind == "model" else kind, plugins.load, plugin)
    for name in (study.objective, *study.others):
        if name not in METRICS and plugins.find("objective", name):
            found.attempt("objective", find_metric, name)


def _of_harness(study: Study) -> Study | None:
    """The study with those of its models only that are harness's, which do not mind what the classes are."""
    models = {
        name: options
        for name, options in study.models.items()
        if name != NO_NETWORK and plugins.find("model", name) is None
    }
    if not models:
        return None
    first, *others = models
    if not others:
        return study.model_copy(update={"model": {"name": first, **models[first]}})
    return study.model_copy(update={"model": {"name": Choice(tuple(models)), **models}})


def _noise(study: Study) -> Images:
    """Images of the shape that the data set's options say, for harness's own models."""
    channels, size = int(study.data.get("channels", 3)), int(study.data.get("image_size", 32))
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (STAND_IN, channels, size, size), dtype=np.uint8)
    return Images(pixels, np.arange(STAND_IN, dtype=np.int64) % 2, ("one", "other"))


class _Keeper(logging.Handler):
    """Keeps what is logged as a warning, and hands everything on, each warning once."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            if (line := record.getMessage()) in self.lines:
                return
            self.lines.append(line)
        logging.getLogger().handle(record)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """The warnings that harness logs inside, as text; they go where they would, too, but once."""
    keeper, ours = _Keeper(), logging.getLogger("harness")
    propagated, ours.propagate = ours.propagate, False
    ours.addHandler(keeper)
    try:
        yield keeper.lines
    finally:
        ours.removeHandler(keeper)
        ours.propagate = propagated
