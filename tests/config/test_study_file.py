"""Study files: what is accepted, and every problem told at once with its place and a way out."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from harness.config import catalog
from harness.config.earlier import as_begun
from harness.config.sections import Search
from harness.config.settings import Choice, Range
from harness.config.signatures import Option, Younger
from harness.config.study_file import load_study_file
from harness.errors import StudyError
from harness.folds.tasks import task_values
from harness.search.racing import RULES, Paired, rule_of
from harness.search.sampling import SAMPLERS
from tests.conftest import STUDY


def problems_of(path: Path, text: str, overrides: tuple[str, ...] = ()) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        load_study_file(str(path), overrides)
    return str(caught.value)


def test_every_option_gets_its_value_range_or_default(study_file: Path) -> None:
    study = load_study_file(str(study_file))
    assert study.model["dropout"] == Range("float", 0.0, 0.5)
    assert study.train["batch_size"] == Choice((256, 512))
    assert study.model["depth"] == 1
    assert set(study.train) == set(catalog.train_options())
    assert study.question == "Does it work?"
    assert study.direction == "maximize"


def test_a_number_takes_its_type_from_the_annotation_not_from_its_spelling(study_file: Path) -> None:
    study = load_study_file(
        str(study_file), ["train.lr=1", "train.epochs=3.0", "model.dropout={low: 0, high: 1e-1}"]
    )
    assert study.train["lr"] == 1.0 and isinstance(study.train["lr"], float)
    assert study.train["epochs"] == 3 and isinstance(study.train["epochs"], int)
    assert study.model["dropout"] == Range("float", 0.0, 0.1)


def test_yaml_1_2_numbers_are_numbers(study_file: Path) -> None:
    study_file.write_text(STUDY.replace("0.01", "1e-2"), encoding="utf-8")
    assert load_study_file(str(study_file)).train["lr"] == Range("float", 0.01, 0.5, log=True)


def test_later_overrides_win_and_may_be_lists_and_ranges(study_file: Path) -> None:
    study = load_study_file(str(study_file), ["model.width=[4, 8]", "model.width={low: 4, high: 8, step: 4}"])
    assert study.model["width"] == Range("int", 4, 8, step=4)
    assert load_study_file(str(study_file), ["objective=log_loss"]).direction == "minimize"


def test_all_problems_of_a_file_are_told_together(study_file: Path) -> None:
    text = (
        STUDY.replace("dropout", "droput")
        .replace("low: 0.01", "low: -1")
        .replace("folds: 3", "folds: 0")
        .replace("objective: accuracy", "objective: acuracy")
    )
    said = problems_of(study_file, text)
    assert "4 problems" in said
    assert "model.droput" in said and "did you mean 'dropout'?" in said
    assert "train.lr.low" in said and "must be a number > 0 (got -1)" in said
    assert "cv.folds" in said and "greater than or equal to 1" in said
    assert "did you mean 'accuracy'?" in said


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: resnet", "name: resnt", "unknown model 'resnt'; did you mean 'resnet'?"),
        ("name: resnet, ", "", "must name a model"),
        ("name: digits", "name: digitz", "unknown data set 'digitz'; did you mean 'digits'?"),
        ("depth: 1", "depth: 0", "must be an integer >= 1"),
        ("depth: 1", "depth: two", "must be an integer"),
        ("depth: 1", "depth: true", "(got True)"),
        ("depth: 1", "depth: 1.5", "must be an integer"),
        ("depth: 1", "depth: {low: 3, high: 2}", "must be <= high (got 3 > 2)"),
        ("depth: 1", "depth: {low: 1}", "model.depth.high   is missing from the range"),
        ("depth: 1", "depth: {low: 1, hihg: 2}", "did you mean 'high'?"),
        ("depth: 1", "depth: {low: 1, high: 2, step: 0}", "must be an integer > 0"),
        ("depth: 1", "depth: []", "the list is empty"),
        ("depth: 1", "depth: [1, 1]", "has a value twice"),
        ("augment: none", "augment: {low: 1, high: 2}", "a range needs a number"),
        ("augment: none", "augment: nonne", "did you mean 'none'?"),
        ("high: 0.5}}\n", "high: 0.5, log: true}}\n", "must be > 0 because log is true (got 0.0)"),
        ("log: true", "log: yes", "must be true or false"),
        ("log: true", "log: true, step: 0.1", "cannot be combined with log"),
        ("test_fraction: 0.8", "test_fraction: [0.1, 0.2]", "must be one value: all trials"),
        ("trials: 4", "trials: many", "search.trials"),
        ("trials: 4", "trials: 4, sampler: tpee", "unknown value 'tpee'; did you mean 'tpe'?"),
        ("trials: 4", "trials: 4, racing: 1", f"unknown value '1'; known: {', '.join(sorted(RULES))}"),
        ("trials: 4", "trials: 4, options: {}", "unknown search option; known: batch,"),
        ("trials: 4", "trials: 4, 3: 4", "search.3   unknown search option"),
        ("trials: 4", "trials: 4, confidence: 2", "must be a number >= 0.5 and <= 0.9999 (got 2)"),
        ("trials: 4", "trials: 4, confidence: [0.8, 0.9]", "must be one value: a study has one search"),
        ("trials: 4", "trials: 4, racing: none, confidence: 0.9", "is an option of racing paired only"),
        ("trials: 4", "trials: 4, sampler: random, startup_trials: 5", "sampler tpe and sampler gp only"),
        ("trials: 4", "trials: 4, sampler: grid", "search.sampler grid needs a list, or a range with a step"),
        ("trials: 4", "trails: 4", "did you mean 'trials'?"),
        ("cv:", "cvs:", "unknown section; did you mean 'cv'?"),
        ("model: {", "model: [1]\nmodels: {", "must be a map of names and values"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(
    study_file: Path, old: str, new: str, expected: str
) -> None:
    assert old in STUDY
    assert expected in problems_of(study_file, STUDY.replace(old, new))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("- 1\n- 2\n", "must be a map of sections"),
        ("data: {name: digits\n", "line"),
        ("data: {name: digits}\ndata: {name: digits}\n", "duplicate key"),
        ("data: &x {name: digits}\nmodel: *x\n", "anchors and aliases are not allowed"),
        ("data: !!python/object:os.system {}\n", "tags are not allowed"),
        ("a: " + "[" * 50 + "]" * 50, "nested deeper than"),
        ("x: " + "y" * 70_000, "a study file has at most"),
        ("\x00", "special characters"),
    ],
)
def test_what_is_not_a_study_file_is_told_in_one_line(study_file: Path, text: str, expected: str) -> None:
    said = problems_of(study_file, text)
    assert expected in said
    assert "\n" not in said


def test_bytes_that_are_not_text_are_told(study_file: Path) -> None:
    study_file.write_bytes(b"\xff\xfe\xfa data")
    with pytest.raises(StudyError, match="is not UTF-8 text"):
        load_study_file(str(study_file))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.dropout", "must look like model.dropout=0.2"),
        ("=3", "must look like"),
        ("a.b.c=3", "must look like"),
        ("model.dropout=[1", "is not YAML"),
        ("objective.x=3", "objective is not a map"),
        ("model.droput=0.1", "did you mean 'dropout'?"),
    ],
)
def test_a_wrong_override_is_told(study_file: Path, override: str, expected: str) -> None:
    assert expected in problems_of(study_file, STUDY, (override,))


def test_an_unknown_study_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(StudyError, match="did you mean 'smoke'"):
        load_study_file("smokee")


def test_the_definition_leaves_out_budget_and_place(study_file: Path) -> None:
    plain = load_study_file(str(study_file)).definition_hash()
    assert load_study_file(str(study_file), ["search.trials=99"]).definition_hash() == plain
    assert load_study_file(str(study_file), ["search.seed=1"]).definition_hash() != plain
    assert load_study_file(str(study_file), ["model.dropout=0.1"]).definition_hash() != plain


def test_a_map_of_one_key_is_taken_and_its_place_is_made_absolute(
    study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study_file.parent)
    folder = ["data.name=folder", "data.root=photos"]
    for groups in ("{from: parent}", '{regex: "(patient[0-9]+)_"}', "{csv: a/groups.csv}"):
        study = load_study_file(str(study_file), [*folder, f"data.groups={groups}"])
        (key,) = study.data["groups"]
        assert json.loads(json.dumps(study.data)) == study.data
        assert key != "csv" or study.data["groups"]["csv"] == str(study_file.parent / "a" / "groups.csv")
    assert load_study_file(str(study_file), folder).data["groups"] is None


SEARCHED = {"trials": 9, "sampler": "random", "racing": "none", "rung": 0.25, "seed": 1, "batch": 3,
            "timeout_minutes": 5, "first": "[{train.lr: 0.2}]", "constraints": "{parameters: 1000000}",
            "stopped_as": "so_far", "patience": 7}  # fmt: skip


@pytest.mark.parametrize("name", sorted(Search.model_fields.keys() - {"options"}))
def test_every_field_of_the_search_but_its_budget_belongs_to_the_definition(
    study_file: Path, name: str
) -> None:
    plain, changed = (
        load_study_file(str(study_file), ["train.epochs=8", *more]).definition_hash()
        for more in ([], [f"search.{name}={SEARCHED[name]}"])
    )
    assert (changed == plain) == (name in ("trials", "timeout_minutes", "patience"))


def test_options_of_the_racing_rule_and_the_sampler_belong_to_the_definition_once_they_are_set(
    study_file: Path,
) -> None:
    plain = load_study_file(str(study_file))
    assert plain.search.options == {"confidence": 0.9, "indifference": 0.33, "startup_trials": 10}
    known = plain.definition()["search"]
    assert known.keys() == {"sampler", "racing", "seed", "batch", "stopped_as", "confidence", "indifference"}
    other = load_study_file(str(study_file), ["search.confidence=0.8", "search.startup_trials=5"])
    assert other.definition()["search"] == known | {"confidence": 0.8, "startup_trials": 5}


def test_a_study_that_began_with_other_defaults_goes_on_with_them(study_file: Path) -> None:
    began = {"search": {"sampler": "tpe", "racing": "paired", "seed": 0, "batch": 2}}
    study, earlier = as_begun(load_study_file(str(study_file)), began)
    assert earlier == {"stopped_as": "so_far", "confidence": 0.95, "indifference": 0.0}
    assert study.definition()["search"] == began["search"]
    assert rule_of(study.search) == Paired(confidence=0.95, indifference=0.0)
    assert as_begun(study, began) == (study, {})


def test_what_a_study_says_itself_is_no_default(study_file: Path) -> None:
    said = load_study_file(str(study_file), ["search.confidence=0.8", "search.indifference=0"])
    study, earlier = as_begun(said, {"search": {}})
    assert earlier == {"stopped_as": "so_far"} and study.search.options == said.search.options
    assert as_begun(said, said.definition()) == (said, {})


def test_options_younger_than_studies_that_go_on_change_nothing_until_they_are_set(study_file: Path) -> None:
    plain, graph = (
        load_study_file(str(study_file), more).definition()["compute"]
        for more in ([], ["compute.cuda_graph=true"])
    )
    assert graph == plain | {"cuda_graph": True} and "cuda_graph" not in plain


def test_a_younger_option_of_training_or_of_a_model_changes_no_fold_until_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = catalog.models()["resnet"]
    younger = {
        "model": Option("novel", "float", 0.5, younger=Younger()),
        "train": Option("fresh", "bool", False, younger=Younger()),
    }
    before = {"model.name": "resnet", "model.depth": 1, "train.epochs": 3}
    monkeypatch.setattr(
        catalog, "models", lambda: {"resnet": replace(entry, options=(*entry.options, younger["model"]))}
    )
    monkeypatch.setattr(catalog, "train_options", lambda: {"fresh": younger["train"]})
    assert task_values({**before, "model.novel": 0.5, "train.fresh": False}) == before
    changed = {**before, "model.novel": 0.6, "train.fresh": True}
    assert task_values(changed) == changed


def test_names_of_rules_samplers_and_their_options_are_those_of_their_classes() -> None:
    taken = list(Search.model_fields)
    for entries, classes in ((catalog.racing_rules(), RULES), (catalog.samplers(), SAMPLERS)):
        assert list(entries) == list(classes)
        for name, kind in classes.items():
            assert entries[name].summary.endswith(".")
            assert [(option.name, option.default) for option in entries[name].options] == [
                (field.name, field.default)
                for field in fields(kind)  # type: ignore[arg-type]
            ]
        taken += {option.name for entry in entries.values() for option in entry.options}
    assert len(taken) == len(set(taken)), "a name in `search:` means one thing"


def test_the_definition_says_how_images_are_grouped_but_not_where_a_table_lies(study_file: Path) -> None:
    def definition(groups: str) -> dict[str, object]:
        overrides = [
            "data.name=folder",
            "data.root=photos",
            "data.test_fraction=0.2",
            f"data.groups={groups}",
        ]
        data: dict[str, object] = load_study_file(str(study_file), overrides).definition()["data"]
        return data

    assert definition("{csv: here.csv}") == definition("{csv: there.csv}")
    assert definition("{csv: here.csv}")["groups"] == {"csv": True}
    assert definition("{from: parent}")["groups"] == {"from": "parent"}
    found = [
        definition(groups) for groups in ("null", "{from: parent}", "{regex: a}", "{regex: b}", "{csv: a}")
    ]
    assert len({json.dumps(data, sort_keys=True) for data in found}) == 5


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("{form: parent}", ["data.groups.form   unknown key of groups; did you mean 'from'? (csv, from, regex)"]),
        ("{from: parnt}", ["data.groups.from   unknown value 'parnt'; did you mean 'parent'? (parent)"]),
        (
            "{regexp: a, csv: 3, from: parent}",
            ["unknown key of groups; did you mean 'regex'?", "data.groups.csv", "must be text (got 3)",
             "must be one of {from: parent}, {regex: text}, {csv: text} or null (got {'regexp'"],
        ),
        ("{}", ["data.groups   must be one of {from: parent}, {regex: text}, {csv: text} or null (got {})"]),
        ("parent", ["must be one of {from: parent}, {regex: text}, {csv: text} or null (got 'parent')"]),
        ("[{from: parent}]", ["data.groups[0]", "must be one value: all trials"]),
        ("{low: 1, high: 2}", ["data.groups.low", "unknown key of groups"]),
    ],
)  # fmt: skip
def test_everything_wrong_with_a_map_is_told(study_file: Path, groups: str, expected: list[str]) -> None:
    overrides = ("data.name=folder", "data.root=/nowhere", f"data.groups={groups}")
    said = problems_of(study_file, STUDY, overrides)
    assert all(words in said for words in expected)


@pytest.mark.parametrize("name", sorted(catalog.studies()))
def test_every_shipped_study_is_valid_and_says_its_question(name: str) -> None:
    overrides = (
        ["data.root=/nowhere"] if "root" in {o.name for o in catalog.datasets()["folder"].options} else []
    )
    study = load_study_file(name, overrides if "folder" in catalog.studies()[name].read_text() else [])
    assert study.question
    assert f"harness {'smoke' if name == 'smoke' else 'tune --study ' + name}" in study.question


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["search.rung=0.9", "train.epochs=4"], "0.9 of 4 epochs is no shorter training"),
        (["search.rung=0.5", "train.epochs=[1, 8]"], "0.5 of 1 epochs is no shorter training"),
    ],
)
def test_a_short_training_that_is_not_shorter_is_refused(
    study_file: Path, overrides: list[str], said: str
) -> None:
    with pytest.raises(StudyError, match=said):
        load_study_file(str(study_file), overrides)
