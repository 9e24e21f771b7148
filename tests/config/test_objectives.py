"""Several objectives in a study file: what may stand there, what it means, and what is told of a wrong list."""

from pathlib import Path

import pytest

from harness.config.study_file import load_study_file
from harness.errors import StudyError
from harness.records import Objective


def problems_of(path: Path, *overrides: str) -> list[tuple[str, str]]:
    with pytest.raises(StudyError) as caught:
        load_study_file(str(path), overrides)
    return [(problem.path, problem.message) for problem in caught.value.problems]


def test_a_list_begins_with_a_metric_and_goes_on_with_metrics_and_costs(study_file: Path) -> None:
    study = load_study_file(str(study_file), ["objective=[accuracy, log_loss, parameters, seconds_per_fold]"])
    assert (study.objective, study.direction) == ("accuracy", "maximize")
    assert study.objectives[1:] == tuple(
        Objective(name, "minimize") for name in ("log_loss", "parameters", "seconds_per_fold")
    )
    assert study.definition()["objective"] == ["accuracy", "log_loss", "parameters", "seconds_per_fold"]


def test_a_list_of_one_is_that_one(study_file: Path) -> None:
    one, same = (
        load_study_file(str(study_file), [f"objective={text}"]) for text in ("macro_f1", "[macro_f1]")
    )
    assert one.definition() == same.definition() and one.definition()["objective"] == "macro_f1"
    assert one.objectives == (Objective("macro_f1", "maximize"),)


@pytest.mark.parametrize(
    ("written", "path", "expected"),
    [
        ("[accuracy, params]", "objective[1]", "unknown objective 'params'; did you mean 'parameters'?"),
        ("[accuracy, time]", "objective[1]", "did you mean 'seconds_per_fold'?"),
        ("[acuracy, parameters]", "objective[0]", "unknown metric 'acuracy'; did you mean 'accuracy'?"),
        ("[accuracy, accuracy]", "objective[1]", "accuracy is an objective already"),
        ("[parameters, accuracy]", "objective[0]", "put a metric first, like [accuracy, parameters]"),
        ("model_bytes", "objective", "put a metric first, like [accuracy, model_bytes]"),
        ("[accuracy, macro_f1, log_loss, parameters, model_bytes]", "objective", "1 to 4 (got 5)"),
        ("[]", "objective", "1 to 4 (got 0)"),
        ("[accuracy, 3]", "objective[1]", "unknown objective 3; known: "),
        ("{accuracy: 1}", "objective", "unknown metric"),
    ],
)
def test_a_wrong_list_is_told_with_its_place(
    study_file: Path, written: str, path: str, expected: str
) -> None:
    ((where, said),) = problems_of(study_file, f"objective={written}")
    assert where == path and expected in said


def test_what_is_about_one_score_alone_is_refused_with_several(study_file: Path) -> None:
    both = ["train.epochs=8", "search.rung=0.25", "search.racing=median"]
    assert [path for path, _ in problems_of(study_file, *both, "objective=[accuracy, parameters]")] == [
        "search.racing", "search.rung"
    ]  # fmt: skip
    load_study_file(str(study_file), both)
