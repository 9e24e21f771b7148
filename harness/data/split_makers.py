"""Deals images to folds: by harness's own split maker, a table, or the user's own, which is called and judged here.

A split maker of the user's own is a function that gives the fold in which each image is held out, or a class of
scikit-learn's kind, which is made with `n_splits` and whose `split(X, y, groups)` gives the parts.
"""

import inspect
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from harness.config import plugins
from harness.config.kinds import STRATIFIED, is_table
from harness.config.plugins import Plugin
from harness.data.fold_table import folds_in_table
from harness.data.folds import inner_split, make_folds
from harness.data.grouping import by_appearance
from harness.errors import HarnessError, UsageError
from harness.seeds import seed_for

LONGEST = 400  # characters of somebody else's message
OF_HARNESS = (
    "folds",
    "repeats",
    "fraction",
    "duplicates",
    "split",
)  # options of cv that no split maker brings
UNEVEN = 1.5  # times as many images in the largest fold as in the smallest, from which on it is worth a word
Wrong = Callable[[str], UsageError]


class ImagesToDeal(Protocol):
    """What a split maker may look at; see `images.Images`."""

    @property
    def pixels(self) -> np.ndarray: ...
    @property
    def labels(self) -> np.ndarray: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def groups(self) -> np.ndarray | None: ...


def deal(cv: Mapping[str, Any], images: ImagesToDeal, groups: np.ndarray, *, seed: int) -> np.ndarray:
    """The fold in which each image is held out: int64 (N,), or with cv.repeats int64 (N, repeats), see `Manifest`.

    cv: that section of a study's definition.   groups: int64 (N,), equal for images that are held out together.
    Raises DataError where harness's split maker has too few images or groups, UsageError that names the file of one of
    the user's own which does not give a split of these images.
    """
    repeats = cv.get("repeats", 1)
    if repeats == 1:
        return _dealt(cv, images, groups, seed)
    columns: list[np.ndarray] = []
    for repeat in range(repeats):
        column = _dealt(cv, images, groups, seed_for(seed, "repeat", repeat) if repeat else seed)
        if any(np.array_equal(by_appearance(column), by_appearance(other)) for other in columns):
            raise UsageError(
                f"cv.repeats: {cv.get('split', STRATIFIED)} deals the same folds again from another seed, so that "
                "repeats would score the same parts; use cv.repeats: 1"
            )
        columns.append(column)
    numbered = [
        np.where(column < 0, -1, column + number * cv["folds"]) for number, column in enumerate(columns)
    ]
    return np.stack(numbered, axis=1)


def _dealt(cv: Mapping[str, Any], images: ImagesToDeal, groups: np.ndarray, seed: int) -> np.ndarray:
    """One repetition: int64 (N,), values 0..folds-1; with one fold, -1 for images that are not held out."""
    options = {name: value for name, value in cv.items() if name not in OF_HARNESS}
    name, num_folds, seed = cv.get("split", STRATIFIED), cv["folds"], seed % 2**32
    if num_folds == 1:
        return held_out_part(images, groups, fraction=cv.get("fraction", 0.2), seed=seed)
    if is_table(name):
        names = images.names or [str(number) for number in range(len(images.labels))]
        fold_of, called = folds_in_table(name, names, num_folds=num_folds)
        _require_split(fold_of, images, groups, called, lambda said: UsageError(f"{name}: {said}"))
        return fold_of
    if name == STRATIFIED:
        return make_folds(
            images.labels, num_folds=num_folds, seed=seed, groups=groups, classes=images.classes
        )
    plugin = plugins.find("cv.split", name)
    if plugin is None:
        raise UsageError(f"there is no split maker {name!r} any more")
    pixels = images.pixels.view()
    pixels.flags.writeable = False
    given: dict[str, Any] = {"num_folds": num_folds, "n_splits": num_folds, "seed": seed, "images": pixels}
    if options.get("shuffle", True):  # scikit-learn refuses a seed where nothing is drawn
        given["random_state"] = seed
    if images.names:
        given["names"] = images.names
    first, again = (
        _asked(plugin, given | {"labels": images.labels.copy(), "groups": groups.copy()}, options, turn)
        for turn in range(2)
    )

    def wrong(said: str) -> UsageError:
        return UsageError(f"split maker {name}: {plugin.place} {said}")

    fold_of = _as_folds(first, images, num_folds, wrong)
    if not np.array_equal(fold_of, _as_folds(again, images, num_folds, wrong)):
        raise wrong(
            "deals otherwise when it is asked again; draw by `seed`, as with numpy.random.default_rng(seed), not from "
            "a generator that others draw from, too"
        )
    _require_split(fold_of, images, groups, [str(fold) for fold in range(num_folds)], wrong)
    return fold_of


def held_out_part(images: ImagesToDeal, groups: np.ndarray, *, fraction: float, seed: int) -> np.ndarray:
    """A share of each class in fold 0, by whole groups, and -1 for all others: int64 (N,)."""
    everything = np.arange(len(images.labels))
    _, held_out = inner_split(
        images.labels, everything, fraction=fraction, seed=seed, groups=groups, classes=images.classes,
        purpose="a hold-out",
    )  # fmt: skip
    fold_of = np.full(len(everything), -1, dtype=np.int64)
    fold_of[held_out] = 0
    return fold_of


def remarks(fold_of: np.ndarray, images: ImagesToDeal) -> list[str]:
    """What should be known of folds that are no even parts, a line each."""
    sizes = np.bincount(fold_of)
    held = np.zeros((len(sizes), len(images.classes)), dtype=np.int64)
    np.add.at(held, (fold_of, images.labels), 1)
    lacking = [
        f"fold {fold} holds out no image of {', '.join(images.classes[label] for label in np.flatnonzero(row == 0))}"
        for fold, row in enumerate(held)
        if not row.all()
    ]
    found = [f"{'; '.join(lacking)}: a score by class leaves out there what is not there"] if lacking else []
    if sizes.max() >= UNEVEN * sizes.min():
        found.append(
            f"folds hold out {sizes.min():,} to {sizes.max():,} images, and each counts the same: a trial's score is "
            "the mean over folds, whatever their size"
        )
    return found


def _asked(plugin: Plugin, given: Mapping[str, Any], options: Mapping[str, Any], turn: int) -> Any:
    """What the user's code gives. Raises UsageError with file and line for whatever it raises."""
    try:
        maker = plugins.load(plugin)
        taken = inspect.signature(maker).parameters
        if "names" in taken and "names" not in given and taken["names"].default is inspect.Parameter.empty:
            raise UsageError(
                f"split maker {plugin.name}: {plugin.place} takes names, and the images of this data set have none"
            )
        with _generators_of(turn):
            found = plugins.call(maker, given, options)
            if not inspect.isclass(maker) or not hasattr(found, "split"):
                return found
            with warnings.catch_warnings(action="ignore"):  # that groups or a rare class are not looked at
                return list(
                    found.split(np.zeros((len(given["labels"]), 1)), given["labels"], given["groups"])
                )
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:  # whatever somebody's code may raise
        said = plugins.where(error, plugin.root)[:LONGEST]
        raise UsageError(f"split maker {plugin.name}: {said}") from None


@contextmanager
def _generators_of(turn: int) -> Iterator[None]:
    """With the generators that all code shares in another state at each turn; afterwards they are as they were."""
    of_python, of_numpy, torch = random.getstate(), np.random.get_state(), sys.modules.get("torch")
    of_torch = torch.get_rng_state() if torch else None
    random.seed(turn)
    np.random.seed(turn)
    if torch:
        torch.default_generator.manual_seed(turn)
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        if torch:
            torch.set_rng_state(of_torch)


def _as_folds(found: Any, images: ImagesToDeal, num_folds: int, wrong: Wrong) -> np.ndarray:
    """What a split maker has given as int64 (N,), values 0..num_folds-1."""
    num_images = len(images.labels)
    if isinstance(found, list) and found and isinstance(found[0], tuple):
        return _of_parts(found, images, num_folds, wrong)
    try:
        fold_of = np.asarray(found)
    except Exception:  # of whatever it may be
        fold_of = np.asarray(None)
    if fold_of.shape != (num_images,) or fold_of.dtype.kind not in "iu":
        is_array = fold_of.ndim and fold_of.dtype.kind != "O"
        what = f"{fold_of.dtype} {fold_of.shape}" if is_array else type(found).__name__
        raise wrong(f"gives {what}; it should be the fold of each image, integers ({num_images},)")
    outside = np.flatnonzero((fold_of < 0) | (fold_of >= num_folds))
    if len(outside):
        where = f"{_image(images, outside[0])} to fold {fold_of[outside[0]]}"
        raise wrong(f"deals {where}, and the {num_folds} folds are numbered 0 to {num_folds - 1}")
    return fold_of.astype(np.int64)


def _of_parts(
    parts: Sequence[tuple[Any, Any]], images: ImagesToDeal, num_folds: int, wrong: Wrong
) -> np.ndarray:
    """The folds of scikit-learn's (train, test) indices, which have to be a partition of the images."""
    num_images = len(images.labels)
    if len(parts) != num_folds:
        raise wrong(f"gives {len(parts)} parts, and cv.folds is {num_folds}")
    fold_of, times = np.zeros(num_images, dtype=np.int64), np.zeros(num_images, dtype=np.int64)
    for fold, part in enumerate(parts):
        try:
            train, test = part
            fold_of[test] = fold
            times[test] += 1
        except (IndexError, TypeError, ValueError):
            raise wrong("gives parts that are no indices of images, (train, test)") from None
        if len(np.union1d(train, test)) != num_images or len(np.intersect1d(train, test)):
            raise wrong(f"trains part {fold} on other images than all that it does not hold out")
    if (times != 1).any():
        image = int(np.flatnonzero(times != 1)[0])
        raise wrong(f"holds {_image(images, image)} out {times[image]} times; cross-validation does so once")
    return fold_of


def _require_split(
    fold_of: np.ndarray, images: ImagesToDeal, groups: np.ndarray, called: Sequence[str], wrong: Wrong
) -> None:
    """Every fold holds images out, trains on every class, and shares no group with another.   called: the folds."""
    num_folds = len(called)
    empty = np.setdiff1d(np.arange(num_folds), fold_of)
    if len(empty):
        raise wrong(f"holds no image out in fold {empty[0]}, of {num_folds}")
    for fold in range(num_folds):
        absent = np.setdiff1d(images.labels, images.labels[fold_of != fold])
        if len(absent):
            raise wrong(f"trains fold {called[fold]} on no image of class {images.classes[absent[0]]}")
    order = np.argsort(groups, kind="stable")
    crossing = (groups[order][1:] == groups[order][:-1]) & (fold_of[order][1:] != fold_of[order][:-1])
    if crossing.any():
        place = int(np.flatnonzero(crossing)[0])
        one, other = order[place], order[place + 1]
        is_own = images.groups is not None and images.groups[one] == images.groups[other]
        why = "are of one group of the data set" if is_own else "are duplicates (see cv.duplicates)"
        raise wrong(
            f"deals {_image(images, one)} to fold {called[fold_of[one]]} and {_image(images, other)} to fold "
            f"{called[fold_of[other]]}, "
            f"which {why}: keep images whose `groups` are equal in one fold"
        )


def _image(images: ImagesToDeal, index: int) -> str:
    return f"image {index} ({images.names[index]})" if images.names else f"image {index}"
