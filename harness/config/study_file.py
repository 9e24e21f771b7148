"""Study files: YAML text and `--set` overrides in, a checked and complete Study out.

A study is nested maps of name -> value or range. Every name is bound to the signature it ends up in (a model's
`build`, a data set's `load`, the train and compute options), types come from the annotations there, and
all problems of a file are reported together.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness import invocation
from harness.config import catalog, own_code
from harness.config.binding import (
    alternatives,
    bind,
    bound_cv,
    bound_models,
    bound_search,
    bound_trackers,
    bound_train,
    in_another_section,
    named,
    only_fixed,
    places,
    search_options,
    split_options,
)
from harness.config.kinds import DIFF, MLFLOW
from harness.config.objectives import bound_objectives, direction_of, size_problems
from harness.config.sections import Cv, Search, Section, search_problems
from harness.config.settings import (
    PLACES,
    Choice,
    Conditional,
    Range,
    Setting,
    absolute,
    expanded,
    without_places,
)
from harness.config.signatures import Option, without_younger
from harness.config.space import Space, condition_problems, flattened, space_of
from harness.config.yaml import MAX_BYTES, parse_value, parse_yaml, question, refuse_secrets
from harness.errors import Problem, StudyError, did_you_mean
from harness.records import Objective, Scalar

SECTIONS = ("data", "model", "train", "cv", "search", "objective", "compute")
TRACKER, PROVENANCE = "tracker", "provenance"  # which may be others at every run


class Study(Section):
    """One study, complete: every option of its model, data set and training has a value or a range.

    model: its name and its options; of several, their names as a Choice, and by name the options of each.
    question: the comment at the top of the file.   text: the file as it was read.
    overrides: the `--set` arguments, in order.   measures: it says `compute: auto`.
    objective: the metric that its statistics are of.   others: names of further objectives, metrics or costs.
    trackers: who is told what comes of it: mlflow, and names of the user's own.   provenance: what is kept of
    uncommitted changes. Neither is a part of its definition.
    places: where paths among the model's values lead, by dotted name and text: see signatures.NamesFile.
    """

    name: str
    source: str
    question: str
    text: str
    overrides: tuple[str, ...]
    data: dict[str, Any]  # dict[str, Scalar | Map]
    model: dict[str, Any]  # dict[str, Setting], or dict[str, dict[str, Setting]] of several
    train: dict[str, Any]
    compute: dict[str, Scalar]
    measures: bool
    places: dict[str, dict[str, str]]
    cv: Cv
    search: Search
    objective: str
    others: tuple[str, ...] = ()
    trackers: tuple[str, ...] = (MLFLOW,)
    provenance: Literal["hashes", "diff"] = "hashes"

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        return direction_of(self.objective, is_first=True)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The first, then the others."""
        others = [Objective(name, direction_of(name, is_first=False)) for name in self.others]
        return (Objective(self.objective, self.direction), *others)

    @property
    def models(self) -> dict[str, dict[str, Setting]]:
        """The options of each of its models, by the model's name, trial 0's first."""
        name = self.model["name"]
        if isinstance(name, Choice):
            return {str(one): self.model[str(one)] for one in name.values}
        return {str(name): {option: value for option, value in self.model.items() if option != "name"}}

    def settings(self) -> dict[str, Setting]:
        """Every name of a trial's maps, dotted, with its value or range; of several models, as with the first."""
        return dict(next(iter(self.space.settings.values())))

    @property
    def space(self) -> Space:
        """What its trials differ in."""
        return space_of(self.models, self.train)

    def definition(self) -> dict[str, Any]:
        """What makes this study this one, as JSON: every section, but for its budget and where its data lie."""
        return {
            part: "auto" if part == "compute" and self.measures else self._defining(part) for part in SECTIONS
        }

    def _defining(self, part: str) -> Any:
        """What of a section belongs to the definition."""
        section = getattr(self, part)
        if isinstance(section, str):
            return [section, *self.others] if self.others else section
        if part == "model" and len(self.models) > 1:
            return {"name": list(self.models)} | {
                name: _as_written(options, catalog.options("model", name))
                for name, options in self.models.items()
            }
        if isinstance(section, Section):
            section = section.defining()
            section |= section.pop("options", {})
        found = _as_written(section, self._options(part))
        if part == "data":
            return {name: without_places(value) for name, value in found.items() if name not in PLACES}
        return found

    def _options(self, part: str) -> Iterable[Option]:
        """What is declared of a section's options."""
        match part:
            case "model":
                return catalog.options("model", str(self.model["name"]))
            case "data":
                return catalog.options("data", str(self.data["name"]))
            case "train":
                return own_code.options_of(self.train).values()
            case "compute":
                return catalog.compute_options().values()
            case "cv":
                return split_options(self.cv.split).values()
            case "search":
                return search_options(self.search.racing, self.search.sampler).values()
            case _:
                return ()

    def definition_hash(self) -> str:
        return hashlib.sha256(json.dumps(self.definition(), sort_keys=True).encode()).hexdigest()


def load_study_file(name: str, overrides: Sequence[str] = ()) -> Study:
    """The study of that name (`studies/NAME.yaml` here, else a shipped one) or at that path.

    overrides: "a.b=value" texts; the value is YAML, so a list or `{low: …, high: …}` works too.
    Raises StudyError with every problem there is.
    """
    path = find_study_file(name)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StudyError(str(path), [Problem("", f"cannot be read: {error.strerror}")]) from None
    refuse_secrets(raw.decode(errors="replace"), overrides, source=str(path))
    return parse_study_file(raw, overrides, name=path.stem, source=str(path))


def parse_study_file(raw: bytes, overrides: Sequence[str], *, name: str, source: str) -> Study:
    """The study of a file's content. Raises StudyError with every problem there is."""
    document, text = parse_yaml(raw, source=source)
    problems = [problem for override in overrides for problem in _apply(document, override)]
    study = _assemble(document, problems, name=name, source=source, text=text, overrides=tuple(overrides))
    if problems or study is None:
        raise StudyError("--set" if _are_of_changes(problems, overrides) else source, problems)
    return study


def _are_of_changes(problems: Sequence[Problem], overrides: Sequence[str]) -> bool:
    """Whether nothing is wrong but what `--set` has changed, so that nobody looks for it in the file."""
    changed = [override.partition("=")[0].strip() for override in overrides]
    return all(
        problem.path.startswith("--set") or any(f"{problem.path}.".startswith(f"{path}.") for path in changed)
        for problem in problems
    )


def find_study_file(name: str) -> Path:
    """Where the study file called `name` lies."""
    known = catalog.studies()
    if name in known:
        return known[name]
    path = expanded(Path(name))
    if os.path.isdir(path):  # noqa: PTH112  a Path raises over a name that is too long
        init = invocation.command("init", name)
        raise StudyError(name, [Problem("", f"is a folder; of a folder of images, {init} writes a study")])
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if os.path.isfile(path):  # noqa: PTH113  as above
            return path
        raise StudyError(name, [Problem("", "there is no such file")])
    raise StudyError(name, [Problem("", f"no study of this name{did_you_mean(name, list(known))}")])


def as_json(setting: Setting | Section) -> Any:
    """A setting the way a study file writes it."""
    if isinstance(setting, Section):
        return {name: value for name, value in setting.model_dump().items() if value is not None}
    if isinstance(setting, Conditional):
        inner = as_json(setting.setting)
        when = {name: list(values) for name, values in setting.when.items()}
        return {**(inner if isinstance(inner, dict) else {"values": inner}), "when": when}
    if isinstance(setting, Choice):
        return list(setting.values)
    if isinstance(setting, Range):
        parts = {"low": setting.low, "high": setting.high}
        if setting.log:
            parts["log"] = True
        return parts | ({"step": setting.step} if setting.step else {})
    return setting


def _as_written(settings: Mapping[str, Any], options: Iterable[Option]) -> dict[str, Any]:
    """As JSON, without younger options that have their default."""
    return {name: as_json(value) for name, value in without_younger(settings, options).items()}


def _apply(document: dict[str, Any], override: str) -> Iterator[Problem]:
    """Put one `a.b=value` into the document."""
    path, equals, text = override.partition("=")
    parts = path.strip().split(".")
    models = alternatives(document.get("model"))
    has_several = parts[0] == "model" and len(parts) > 1 and models != [document.get("model")]
    is_deep = has_several or (parts[:2] == ["search", "constraints"] and len(parts) == 3)
    if not equals or (len(parts) > 2 and not is_deep) or not all(parts):
        yield Problem("--set", f"must look like model.dropout=0.2 (got {override!r})")
        return
    try:
        value = parse_value(text)
    except ValueError as error:
        yield Problem(f"--set {path}", f"is not YAML: {error}")
        return
    if has_several:
        document["model"], said = _changed_models(models, parts[1:], value)
        if said:
            yield Problem(f"--set {path}", said)
    elif len(parts) == 1:
        document[parts[0]] = value
    elif len(parts) == 3:
        search = document.get("search") or {}
        limits = (search.get("constraints") or {}) if isinstance(search, dict) else None
        if isinstance(search, dict) and isinstance(limits, dict):
            document["search"] = {**search, "constraints": {**limits, parts[2]: value}}
        else:
            yield Problem(f"--set {path}", "search.constraints is not a map")
    elif isinstance(document.setdefault(parts[0], {}), dict):
        document[parts[0]][parts[1]] = value
    else:
        yield Problem(f"--set {path}", f"{parts[0]} is not a map, so it has no {parts[1]}")


def _changed_models(models: list[Any], names: Sequence[str], value: Any) -> tuple[list[Any], str]:
    """A list of models after an override, and what is wrong with that, or "".

    names: `name`, to take some of them; an option, of all that have it; or a model and its option.
    """
    by_name = {str(model.get("name")): model for model in models if isinstance(model, dict)}
    if names == ["name"]:
        wanted = [str(name) for name in (value if isinstance(value, list) else [value])]
        unknown = [name for name in wanted if name not in by_name]
        said = (
            f"the study has no model {unknown[0]!r}{did_you_mean(unknown[0], list(by_name))}"
            if unknown
            else ""
        )
        return [by_name[name] for name in wanted if name in by_name], said
    *dotted, option = names
    chosen = ".".join(dotted)
    if chosen and chosen not in by_name:
        return models, f"the study has no model {chosen!r}{did_you_mean(chosen, list(by_name))}"
    having = (
        [chosen]
        if chosen
        else [name for name in by_name if option in [one.name for one in catalog.options("model", name)]]
    )
    if not having:
        return models, f"none of the study's models has such an option ({', '.join(by_name)})"
    return [
        {**model, option: value} if isinstance(model, dict) and model.get("name") in having else model
        for model in models
    ], ""


def _assemble(document: dict[str, Any], problems: list[Problem], **identity: Any) -> Study | None:
    """The study of a document; what is wrong is added to `problems`."""
    problems += [
        Problem(str(key), f"unknown section{in_another_section(str(key), SECTIONS)}")
        for key in document
        if key not in (*SECTIONS, TRACKER, PROVENANCE)
    ]
    models = document.get("model")
    maps = [
        part
        for part in SECTIONS
        if part != "objective" and not (part == "model" and isinstance(models, list))
    ]
    sections = {part: _mapping(document, part, problems) for part in maps}
    data = named("data", sections["data"], problems)
    data = {name: absolute(name, value) for name, value in data.items()}
    train = bound_train(sections["train"], problems)
    model = bound_models(sections.get("model", models), train, problems)
    compute = bind("compute", sections["compute"], catalog.compute_options(), "compute option", problems)
    only_fixed("data", data, "all trials of a study meet the same images", problems)
    only_fixed("compute", compute, "all trials of a study are computed the same way", problems)
    cv = bound_cv(sections["cv"], problems)
    search = bound_search(sections["search"], problems)
    objectives = bound_objectives(document.get("objective", "accuracy"), search, problems)
    trackers = bound_trackers(document.get(TRACKER, MLFLOW), problems)
    provenance = document.get(PROVENANCE, "hashes")
    if provenance not in ("hashes", DIFF):
        problems.append(Problem(PROVENANCE, f"must be hashes or diff (got {provenance!r})"))
    if problems or cv is None or search is None:
        return None
    study = Study(
        **identity, places={}, question=question(identity["text"]), data=data, model=model, train=train,
        compute=compute, measures=document.get("compute") == "auto", cv=cv, search=search,
        objective=objectives[0], others=objectives[1:], trackers=trackers, provenance=provenance,
    )  # fmt: skip
    problems += condition_problems(study.models, study.train)
    problems += size_problems(study.models, objectives)
    if problems:
        return None
    problems += search_problems(search, study.space)
    if search.first:
        flat = search.model_copy(update={"first": [flattened(one) for one in search.first]})
        study = study.model_copy(update={"search": flat})
    leading: dict[str, dict[str, str]] = {}
    for name, options in study.models.items():
        for path, texts in places("model", options, catalog.options("model", name)).items():
            leading.setdefault(path, {}).update(texts)
    return study.model_copy(update={"places": leading})


def _mapping(document: dict[str, Any], part: str, problems: list[Problem]) -> dict[str, Any]:
    value = document.get(part)
    if isinstance(value, dict):
        return value
    if value is not None and (part, value) != ("compute", "auto"):
        allowed = "a map of names and values" + " or auto" * (part == "compute")
        problems.append(Problem(part, f"must be {allowed} (got {value!r})"))
    return {}
