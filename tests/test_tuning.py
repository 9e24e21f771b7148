"""How a study is put together: what limits it, and what makes it another study."""

import pytest

from harness.tuning import _deadline, differences


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [((0.0, 5.0), 100.0), ((None, 5.0), 400.0), ((2.0, None), 220.0), ((None, None), None)],
)
def test_the_command_lines_limit_goes_before_the_study_files(
    minutes: tuple[float | None, ...], expected: float | None
) -> None:
    assert _deadline(100.0, *minutes) == expected


def test_differences_name_every_dotted_path_and_keep_ranges_whole() -> None:
    old = {"model": {"depth": {"low": 1, "high": 2}, "width": 8}, "objective": "accuracy", "cv": {"folds": 5}}
    new = {
        "model": {"depth": {"low": 1, "high": 3}, "blocks": 1},
        "objective": "accuracy",
        "cv": {"folds": 5},
    }
    assert list(differences(old, new)) == [
        ("model.blocks", "-", 1),
        ("model.depth", {"low": 1, "high": 2}, {"low": 1, "high": 3}),
        ("model.width", 8, "-"),
    ]
    assert list(differences(old, old)) == []
