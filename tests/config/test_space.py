"""Search spaces with conditions: several models, options that are searched only with some values of others."""

from pathlib import Path

import pytest

from harness.config import catalog, search_space
from harness.config.settings import Choice, Conditional, Range, scalar
from harness.config.study_file import Study, load_study_file
from harness.errors import StudyError
from harness.folds.tasks import make_tasks
from harness.records import TrialRecord, Values
from harness.search.sampling import Asker
from tests.conftest import STUDY

TWO = "[{name: resnet, depth: {low: 1, high: 3}, width: [4, 8]}, {name: simple_cnn, width: [16, 32]}]"
MODEL = "{name: resnet, depth: 1, width: 4, dropout: {low: 0.0, high: 0.5}}"
MOMENTUM = "train.momentum={low: 0.8, high: 0.99, when: {optimizer: sgd}}"


@pytest.fixture
def two_models(study_file: Path) -> Path:
    study_file.write_text(STUDY.replace(MODEL, TWO), encoding="utf-8")
    return study_file


def load(path: Path, *overrides: str) -> Study:
    return load_study_file(str(path), overrides)


def problems_of(path: Path, *overrides: str) -> str:
    with pytest.raises(StudyError) as caught:
        load(path, *overrides)
    return str(caught.value)


def key_of(study: Study, params: Values) -> str:
    task = make_tasks(study, data_hash="d", split_hash="s", compute={})
    return task(TrialRecord(0, "running", params, search_space.resolve(study, params)), 0).key()


def test_a_list_of_models_is_a_choice_with_each_models_own_options(two_models: Path) -> None:
    study = load(two_models)
    assert study.model["name"] == Choice(("resnet", "simple_cnn"))
    assert study.models["resnet"]["depth"] == Range("int", 1, 3)
    assert {parameter.path: parameter.name for parameter in study.space.parameters} == {
        "model.name": "model.name", "model.depth": "model.depth", "model.width": "model.simple_cnn.width",
        "train.batch_size": "train.batch_size", "train.lr": "train.lr",
    }  # fmt: skip
    assert study.space.is_conditional
    assert not load(two_models, "model.name=resnet").space.is_conditional


def test_trial_0_is_the_first_model_with_its_defaults(two_models: Path) -> None:
    study = load(two_models)
    first = search_space.defaults(study)
    assert first == {
        "model.name": "resnet", "model.depth": 3, "model.width": 8, "train.batch_size": 256, "train.lr": 0.1
    }  # fmt: skip
    other = search_space.defaults(study, {"model.name": "simple_cnn", "model.depth": 3})
    assert "model.depth" not in other and other["model.width"] in (16, 32)


def test_a_trial_of_a_searched_model_has_the_values_and_keys_of_a_study_that_names_it(
    two_models: Path,
) -> None:
    params: Values = {"model.name": "simple_cnn", "model.width": 32, "train.batch_size": 256, "train.lr": 0.2}
    several = load(two_models)
    alone = load(two_models, "model={name: simple_cnn, width: [16, 32]}")
    own = {path: value for path, value in params.items() if path != "model.name"}
    assert search_space.resolve(several, params) == search_space.resolve(alone, own)
    assert key_of(several, params) == key_of(alone, own)


def test_names_of_models_are_the_short_form_of_maps_without_options(study_file: Path) -> None:
    short = load(study_file, "model={name: [resnet, simple_cnn]}")
    assert short.definition() == load(study_file, "model=[{name: resnet}, {name: simple_cnn}]").definition()
    assert (
        load(study_file, "model=[{name: resnet}]").definition()
        == load(study_file, "model={name: resnet}").definition()
    )
    shared = load(study_file, "model={name: [resnet, simple_cnn], width: [16, 32]}")
    assert shared.models["resnet"]["width"] == shared.models["simple_cnn"]["width"] == Choice((16, 32))


def test_the_definition_names_each_model_and_its_options(two_models: Path) -> None:
    definition = load(two_models).definition()["model"]
    assert definition["name"] == ["resnet", "simple_cnn"]
    assert definition["simple_cnn"]["width"] == [16, 32] and definition["resnet"]["depth"] == {
        "low": 1,
        "high": 3,
    }


def test_an_override_changes_all_models_with_the_option_or_one_or_chooses_among_them(
    two_models: Path,
) -> None:
    study = load(two_models, "model.width=24", "model.resnet.depth=2")
    assert [options["width"] for options in study.models.values()] == [24, 24]
    assert study.models["resnet"]["depth"] == 2
    chosen = load(two_models, "model.name=simple_cnn")
    assert chosen.model["name"] == "simple_cnn" and chosen.model["width"] == Choice((16, 32))
    turned = load(two_models, "model.name=[simple_cnn, resnet]")
    assert search_space.defaults(turned)["model.name"] == "simple_cnn"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.name=resnt", "the study has no model 'resnt'; did you mean 'resnet'?"),
        ("model.simplecnn.width=3", "the study has no model 'simplecnn'; did you mean 'simple_cnn'?"),
        ("model.droput=0.1", "none of the study's models has such an option (resnet, simple_cnn)"),
        ("model.resnet.droput=0.1", "model[0].droput   unknown option of resnet; did you mean 'dropout'?"),
        ("model=[{name: resnet}, {name: resnet}]", "names a model twice"),
        ("model=[]", "the list is empty"),
        ("model=[{name: resnet}, 3]", "model[1]   must be a map of names and values (got 3)"),
        ("model=[{name: resnet}, {name: simple_cnn, width: -1}]", "model[1].width   must be an integer"),
        ("model={name: [resnet, simple_cnn], blocks: basic}", "unknown option of simple_cnn"),
        ("search.sampler=gp", "model.depth is searched in some only; use tpe or random"),
    ],
)
def test_what_is_wrong_with_a_list_of_models_is_told(two_models: Path, override: str, expected: str) -> None:
    assert expected in problems_of(two_models, override)


def test_a_condition_names_siblings_and_others_with_a_value_or_several(study_file: Path) -> None:
    study = load(
        study_file, "train.optimizer=[sgd, adamw, muon]",
        "train.momentum={low: 0.8, high: 0.99, when: {optimizer: [sgd, muon]}}",
        "model.dropout={values: [0.1, 0.2], when: {train.momentum: 0.9}}",
    )  # fmt: skip
    assert study.train["momentum"] == Conditional(
        Range("float", 0.8, 0.99), 0.9, {"train.optimizer": ("sgd", "muon")}
    )
    order = [parameter.path for parameter in study.space.parameters]
    assert order.index("train.optimizer") < order.index("train.momentum") < order.index("model.dropout")
    adamw = search_space.defaults(study, {"train.optimizer": "adamw"})
    assert (
        "train.momentum" not in adamw and "model.dropout" in adamw
    )  # which has the default that is asked for
    muon = search_space.defaults(study, {"train.optimizer": "muon", "train.momentum": 0.85})
    assert muon["train.momentum"] == 0.85 and "model.dropout" not in muon


def test_outside_its_condition_an_option_has_its_default(study_file: Path) -> None:
    study = load(study_file, "train.optimizer=[sgd, adamw]", MOMENTUM)
    params = search_space.defaults(study, {"train.optimizer": "adamw"})
    values = search_space.resolve(study, params)
    assert "train.momentum" not in params and values["train.momentum"] == 0.9
    plain = load(study_file, "train.optimizer=adamw")
    own = {path: value for path, value in params.items() if path != "train.optimizer"}
    assert key_of(study, params) == key_of(plain, own)


def test_a_condition_on_what_is_fixed_holds_always_or_never(study_file: Path) -> None:
    always, never = (
        load(study_file, "train.optimizer=sgd", MOMENTUM),
        load(study_file, "train.optimizer=adamw", MOMENTUM),
    )
    assert "train.momentum" in search_space.defaults(always) and not always.space.is_conditional
    assert "train.momentum" not in search_space.defaults(never) and not never.space.is_conditional


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{optimizr: sgd}", "no value of a trial has this name; did you mean 'train.optimizer'?"),
        ("{optimizer: sdg}", "unknown value 'sdg'; did you mean 'sgd'?"),
        ("{optimizer: muon}", "train.optimizer is searched, and never 'muon'"),
        ("{momentum: 0.9}", "train.momentum   its conditions lead back to itself"),
        ("{optimizer: []}", "must be a value, or a list of values"),
        ("{optimizer: {low: 1}}", "must be a value, or a list of values"),
        ("{1.5: sgd}", "no value of a trial has this name"),
        ("sgd", "must be a map of names and values, like {optimizer: sgd} (got 'sgd')"),
        ("{}", "must be a map of names and values"),
    ],
)  # fmt: skip
def test_a_condition_that_cannot_be_is_told(study_file: Path, when: str, expected: str) -> None:
    momentum = f"train.momentum={{low: 0.8, high: 0.99, when: {when}}}"
    assert expected in problems_of(study_file, "train.optimizer=[sgd, adamw]", momentum)


def test_conditions_that_name_each_other_are_told(study_file: Path) -> None:
    circle = "train.gamma={values: [0.1, 0.2], when: {momentum: 0.9}}"
    assert "lead back to itself" in problems_of(
        study_file, "train.momentum={values: [0.8, 0.9], when: {gamma: 0.1}}", circle
    )


def test_the_grid_is_the_union_of_each_alternatives_grid(two_models: Path) -> None:
    study = load(
        two_models, "search.sampler=grid", "train.lr=0.1", "search.trials=100",
        "train.optimizer=[sgd, adamw]",
        "train.momentum={values: [0.8, 0.9, 0.95], when: {optimizer: sgd, model.name: resnet}}",
    )  # fmt: skip
    points = search_space.grid(study)
    # batch sizes × (resnet: 3 depths × 2 widths × (3 momenta or adamw), simple_cnn: 2 widths × 2 optimisers)
    assert (
        len(points) == 2 * (3 * 2 * (3 + 1) + 2 * 2) == study.space.size() == search_space.num_trials(study)
    )
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)  # type: ignore[type-var]
    assert all(set(point) == {one.path for one in study.space.asked(point)} for point in points)


def test_the_size_of_a_space_counts_conditions_on_numbers(study_file: Path) -> None:
    study = load(
        study_file, "train.lr=0.1", "train.batch_size=256", "model.depth={low: 1, high: 6}",
        "model.dropout={values: [0.1, 0.2, 0.3], when: {depth: [2, 3]}}",
    )  # fmt: skip
    assert study.space.size() == 4 + 2 * 3 == len(search_space.grid(study))
    assert load(study_file).space.size() == float("inf")


def test_a_grid_needs_steps_of_every_alternative(two_models: Path) -> None:
    said = problems_of(
        two_models, "search.sampler=grid", "train.lr=0.1", "model.simple_cnn.dropout={low: 0, high: 0.5}"
    )
    assert "model.dropout" in said and "grid needs a list, or a range with a step" in said


def test_trials_to_be_tried_first_have_what_is_given_and_defaults(two_models: Path) -> None:
    study = load(two_models, "search.first=[{train.lr: 0.2, model: {depth: 2}}, {model.name: simple_cnn}]")
    defaults, one, other = search_space.first_trials(study)
    assert one == {**defaults, "train.lr": 0.2, "model.depth": 2}
    assert other["model.name"] == "simple_cnn" and other["model.width"] == 32
    dotted = load(
        two_models, "search.first=[{train: {lr: 0.2}, model.depth: 2}, {model: {name: simple_cnn}}]"
    )
    assert dotted.definition() == study.definition()
    assert "first" not in load(two_models).definition()["search"]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("{train.lr: 0.9}", "search.first[0].train.lr   is none of the values that are searched (got 0.9)"),
        ("{train.lr: fast}", "search.first[0].train.lr   must be a number"),
        ("{train.lrr: 0.2}", "no value of this trial has this name; did you mean 'train.lr'?"),
        ("{train.epochs: 2}", "search.first[0].train.epochs   is not searched: it is 1 in every trial"),
        ("{model.name: simple_cnn, model.depth: 1}", "model.depth   is not asked for with the other values"),
        ("{model.name: resnt}", "search.first[0].model.name   is none of the values"),
        ("{train.lr: 0.1}", "search.first[0]   is trial 0 again"),
        ("{train.lr: 0.2}, {train.lr: 0.2}", "search.first[1]   is trial 1 again"),
        ("3", "search.first.0"),
    ],
)
def test_a_first_trial_that_cannot_be_is_told(two_models: Path, first: str, expected: str) -> None:
    assert expected in problems_of(two_models, f"search.first=[{first}]")


def test_a_first_trial_may_say_what_is_fixed_as_it_is(two_models: Path) -> None:
    assert search_space.first_trials(load(two_models, "search.first=[{train.epochs: 1, train.lr: 0.2}]"))


def test_a_grid_does_not_repeat_what_was_tried_first(study_file: Path) -> None:
    study = load(
        study_file, "search.sampler=grid", "model.dropout=[0.1, 0.2, 0.3]", "train.lr=[0.1, 0.2]",
        "train.batch_size=256", "search.first=[{model.dropout: 0.3, train.lr: 0.2}]", "search.trials=100",
    )  # fmt: skip
    asker = Asker(study)
    asked = [asker.ask(number) for number in range(search_space.num_trials(study))]
    assert len(asked) == 6 and asked[:2] == search_space.first_trials(study)
    assert sorted(map(str, asked)) == sorted(map(str, search_space.grid(study)))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.optimizer=adamw", "train.momentum=[0.8, 0.9]"],
         "train.momentum   is searched, and read only where train.optimizer is sgd or"),
        (["train.schedule=step", "train.peak_at=[0.2, 0.3]"], "where train.schedule is triangular or one_cycle"),
        (["train.schedule=one_cycle", "train.warmup_epochs=[0, 1]"], "train.schedule is not triangular or one_cycle"),
        (["train.inner_fraction=[0.1, 0.2]"], "read only where train.patience is not null"),
        (["train.rotation={low: 0, high: 10}"], "read only where train.augment is standard"),
        (["train.optimizer=[sgd, adamw]", "train.momentum={values: [0.8], when: {optimizer: adamw}}"], "is sgd"),
    ],
)  # fmt: skip
def test_what_is_searched_and_never_read_is_refused(
    study_file: Path, overrides: list[str], expected: str
) -> None:
    study = load(study_file, *overrides)  # a record of an earlier release is read
    with pytest.raises(StudyError) as caught:
        search_space.require_read(study)
    assert expected in str(caught.value)


def test_what_some_trials_do_not_read_is_told_until_it_has_its_condition(study_file: Path) -> None:
    both = "train.optimizer=[sgd, adamw]"
    (said,) = search_space.read_in_some(load(study_file, both, "train.momentum={low: 0.8, high: 0.99}"))
    assert "train.momentum is searched in trials that do not read it" in said and "sgd or muon" in said
    conditional = load(study_file, both, MOMENTUM)
    search_space.require_read(conditional)
    assert search_space.read_in_some(conditional) == []


def test_every_option_that_is_read_with_others_names_an_option_and_its_values() -> None:
    options = catalog.train_options()
    marked = [option for option in options.values() if option.read_with]
    assert {"momentum", "gamma", "flip", "mix_alpha", "inner_fraction"} <= {option.name for option in marked}
    for option in marked:
        for condition in option.read_with:
            other = options[condition.name]
            assert all(scalar(value, other)[1] == "" for value in condition.values), option.name
