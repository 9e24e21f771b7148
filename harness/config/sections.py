"""The fixed sections of a study file, `cv` and `search`: what may be set, and within which limits.

Every field makes a study what it is, but for those marked with Budget: a new one need not be named anywhere else.
"""

from dataclasses import dataclass, fields, replace
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from harness.config import own_code
from harness.config.kinds import NO_NETWORK, STRATIFIED, is_table
from harness.config.settings import Range, ends
from harness.config.signatures import Between, Option, OrOwn, Younger, meanings
from harness.config.space import Space, point
from harness.errors import Problem
from harness.records import Scalar

Chosen = TypeVar("Chosen")
MOST_FOLDS = 100  # of a trial
MAX_GRID = 100_000  # as many as search.trials may be


@dataclass(frozen=True)
class Budget:
    """Marks a field that says how far a study goes, not what it is: it may change from one run to the next."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def defining(self) -> dict[str, Any]:
        """The fields that make a study what it is: all but its budget, and younger ones that change what was done."""
        earlier = self.earlier()
        return {
            name: getattr(self, name)
            for name, field in type(self).model_fields.items()
            if Budget() not in field.metadata
            and not (name in earlier and getattr(self, name) == earlier[name])
        }

    @classmethod
    def earlier(cls) -> dict[str, Any]:
        """Of each younger field the value that does what was done without it."""
        return {
            name: field.default if mark.was is None else mark.was
            for name, field in cls.model_fields.items()
            for mark in field.metadata
            if isinstance(mark, Younger)
        }


class Cv(Section):
    """How every trial is scored: by cross-validation in `folds` parts of the training images, or by a hold-out.

    folds: how many parts; each is held out once. With 1 a share of the images is held out, and the others never are.
    Default: networks see 80 % of the images, and five scores say how much they differ; ten cost twice as much.
    repeats: how many times that is done, each with parts of its own. Default: more trials usually tell more.
    fraction: share of each class that is held out where folds is 1. Default: as much as one of five folds.
    duplicates: images of the same picture are held out together: near ones too, exact ones only, or ignored. Default: a
    copy in the training part makes a score too good.
    split: what deals images to folds: stratified spreads each class evenly over them; NAME.csv is a table
    of your own with a column for the image and one for its fold. Default: every fold has the classes in the proportions
    of the whole.
    options: those of a split maker of the user's own, which stand beside the others in a study file.
    """

    folds: int = Field(default=5, ge=1, le=100)
    repeats: Annotated[int, Younger()] = Field(default=1, ge=1, le=100)
    fraction: Annotated[float, Younger()] = Field(default=0.2, gt=0, le=0.9, strict=False)
    duplicates: Literal["near", "exact", "ignore"] = "near"
    split: Annotated[str, Younger(), OrOwn()] = STRATIFIED
    options: dict[str, Scalar] = {}

    @property
    def num_folds(self) -> int:
        """That a trial has in all."""
        return self.folds * self.repeats

    @property
    def parts(self) -> float:
        """How many parts as large as the one that a fold holds out make up the images."""
        return self.folds if self.folds > 1 else 1 / self.fraction


class Constraints(Section):
    """What a trial may have at most; null is no limit.

    parameters: of its network; one that has more is not trained.
    model_bytes: of its network's parameters and buffers; one that has more is not trained.
    seconds_per_fold: of a fold's training, in the mean; which trial is best then depends on the machine that trains.
    """

    parameters: int | None = Field(default=None, gt=0, strict=False)
    model_bytes: int | None = Field(default=None, gt=0, strict=False)
    seconds_per_fold: float | None = Field(default=None, gt=0, strict=False)


SIZES = ("parameters", "model_bytes")  # of a network; known before it is trained
COSTS = tuple(Constraints.model_fields)  # that a study may have as objectives, too; each is minimised


class Search(Section):
    """How trials are chosen, and which of them are stopped early.

    trials: how many in all; the first has the defaults. Default: from some ten on the sampler knows where to look.
    sampler: what chooses the values of a trial. Default: it takes lists, ranges and conditions, and is Optuna's own.
    racing: the rule that stops trials early. Default: it trains a third to a half of the folds, and missed something
    better in 1 to 3 % of replayed studies (docs/decisions.md).
    seed: of all that is random, from the folds to the weights.
    batch: how many are chosen before the first score is known; the result depends on it, and never on the number
    of workers. Default: four workers have work, and the sampler waits for few.
    timeout_minutes: no new trial is begun after it.
    patience: so many trials in a row without a gain of a third of the best trial's standard error, and no further one
    is begun; null begins all.
    rung: share of the epochs of a short training on fold 0 that comes first and may stop a trial; null is none. It
    pays from some 20 trials on: the study has to learn first what a short training foretells.
    stopped_as: what the sampler is told of a stopped trial: the mean that it is expected to have over all folds, by
    what the others scored on those that it lacks; or so_far, the mean of those that it has. Default: means over other
    folds cannot be compared.
    constraints: what a trial may have at most.
    first: trials to try right after the defaults, each a map of searched names and values; others have their default.
    options: those of the sampler and of the racing rule, which stand beside the others in a study file.
    """

    trials: Annotated[int, Budget()] = Field(default=20, ge=1, le=100_000)
    sampler: str = "tpe"
    racing: str = "paired"
    rung: Annotated[float | None, Younger()] = Field(default=None, gt=0, lt=1, strict=False)
    stopped_as: Annotated[Literal["expected", "so_far"], Younger(was="so_far")] = "expected"
    seed: int = Field(default=0, ge=0, lt=2**63)
    batch: int = Field(default=4, ge=1, le=256)
    first: Annotated[list[dict[str, Any]], Younger()] = []
    constraints: Annotated[Constraints, Younger()] = Constraints()
    timeout_minutes: Annotated[float | None, Budget()] = Field(default=None, gt=0, strict=False)
    patience: Annotated[int | None, Budget()] = Field(default=None, ge=1, le=100_000)
    options: dict[str, Scalar] = {}

    def with_options(self, kind: type[Chosen]) -> Chosen:
        """A racing rule or a sampler of this class, a dataclass, with those of the options that are its fields."""
        names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
        return kind(**{name: value for name, value in self.options.items() if name in names})


def options_of(section: type[Section]) -> tuple[Option, ...]:
    """What a section sets under its own names, as options: all of its fields but the `options` of others."""
    said = meanings(section.__doc__ or "", section.model_fields)
    found = []
    for name, field in section.model_fields.items():
        if name == "options":
            continue
        if field.annotation is Constraints:
            found += [replace(one, name=f"{name}.{one.name}") for one in options_of(Constraints)]
            continue
        if get_origin(field.annotation) is list:
            found.append(Option(name, "list", meaning=said.get(name, "")))
            continue
        kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not NoneType]
        choices = tuple(kinds) if isinstance(kinds[0], str) else ()  # of a Literal
        kind: Any = type(kinds[0]) if choices else kinds[0]
        limits = [
            next((getattr(mark, word) for mark in field.metadata if hasattr(mark, word)), None)
            for word in ("ge", "le", "gt", "lt")
        ]
        found.append(
            Option(
                name,
                kind.__name__,
                field.default,
                choices,
                Between(*limits),
                optional=NoneType in get_args(field.annotation),
                younger=next((mark for mark in field.metadata if isinstance(mark, Younger)), None),
                or_own=OrOwn() in field.metadata,
                meaning=said.get(name, ""),
            )
        )
    return tuple(found)


def cv_problems(cv: Cv) -> list[Problem]:
    """What of a section `cv` does not fit together."""
    found = []
    if cv.num_folds > MOST_FOLDS:
        why = f"{cv.folds} folds {cv.repeats} times are more than {MOST_FOLDS} trainings of a trial"
        found.append(Problem("cv.repeats", why))
    if "fraction" in cv.model_fields_set and cv.folds > 1:
        found.append(Problem("cv.fraction", f"is read with folds: 1 only (folds is {cv.folds})"))
    if cv.split != STRATIFIED and cv.folds == 1:
        found.append(
            Problem("cv.split", f"must be {STRATIFIED} with folds: 1, which holds out a share of each class")
        )
    if is_table(cv.split) and cv.repeats > 1:
        found.append(Problem("cv.repeats", f"must be 1: {cv.split} says one fold of each image"))
    return found


def search_problems(search: Search, space: Space) -> list[Problem]:
    """What single settings cannot tell: whether the search and what is searched fit together."""
    found = _grid_problems(space) if search.sampler == "grid" else []
    if search.sampler == "gp" and space.is_conditional:
        example = next(parameter for parameter in space.parameters if parameter.when)
        why = f"gp needs values that every trial has, and {example.name} is searched in some only; use tpe or random"
        found.append(Problem("search.sampler", why))
    if NO_NETWORK in space.settings:
        found += [
            Problem(
                f"search.constraints.{name}", "needs a network, and the training loop of this study has none"
            )
            for name in SIZES
            if getattr(search.constraints, name) is not None
        ]
    return [*found, *_rung_problems(search, space), *_first_problems(search, space)]


def _first_problems(search: Search, space: Space) -> list[Problem]:
    """Trials to be tried first have values that are searched, and each is another."""
    problems, known = [], [space.defaults()]
    for number, given in enumerate(search.first):
        params, found = point(space, given, f"search.first[{number}]")
        if not found and params in known:
            found = [Problem(f"search.first[{number}]", f"is trial {known.index(params)} again")]
        problems += found
        known.append(params)
    return problems


def _grid_problems(space: Space) -> list[Problem]:
    problems = [
        Problem(parameter.name, "search.sampler grid needs a list, or a range with a step")
        for parameter in space.parameters
        if isinstance(parameter.setting, Range) and parameter.setting.is_continuous
    ]
    if problems:
        return problems
    size = space.size()
    if size > MAX_GRID:
        return [Problem("search.sampler", f"a grid of {size:,} trials is too large; at most {MAX_GRID:,}")]
    return []


def _rung_problems(search: Search, space: Space) -> list[Problem]:
    """A short training must be shorter, whatever number of epochs is searched."""
    if search.rung is None:
        return []
    settings = next(iter(space.settings.values()))
    train = {path[6:]: value for path, value in settings.items() if path.startswith("train.")}
    if not own_code.is_read(own_code.options_of(train)["epochs"], train):
        why = "a short training has fewer epochs, and the training loop of this study does not take their number"
        return [Problem("search.rung", f"{why}; use null")]
    epochs = settings["train.epochs"]
    fewest = min(int(value or 0) for value in ends(epochs))
    if max(round(fewest * search.rung), 1) < fewest:
        return []
    why = f"{search.rung:g} of {fewest} epochs is no shorter training; use a smaller share, or null"
    return [Problem("search.rung", why)]
