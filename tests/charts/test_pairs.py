"""The surface between trials: what it says where trials are, where none are, and across bands."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
import vl_convert

from harness.charts import png
from harness.charts.pairs import LEAST_TRIALS, REACH, by_two_options, explained, score_colours
from harness.charts.spec import BLUE, ORANGE, with_data
from harness.charts.trials import Option, trial_rows

LR = Option("train.lr", 1e-4, 1.0, log=True)
DROPOUT = Option("model.dropout", 0.0, 0.5)
OPTIMIZER = Option("train.optimizer", choices=("sgd", "adamw", "muon"))
DEPTH = Option("model.depth", 1, 3)
RED_IS_ONE = {
    "domain": [0, 1],
    "range": ["#000000", "#ff0000"],
    "interpolate": "rgb",
}  # a score can be read off


@dataclass
class Tried:
    """A complete trial without an interval."""

    number: int
    mean: float | None
    params: dict[str, Any]
    state: str = "complete"
    half_width: float | None = None
    seconds: float = 1.0
    started: float = 0.0


def tried(*points: tuple[float, Any, Any], options: tuple[Option, Option]) -> list[Tried]:
    """points: a score and the values of both options."""
    paths = [option.path for option in options]
    return [
        Tried(at, score, dict(zip(paths, values, strict=True))) for at, (score, *values) in enumerate(points)
    ]


def drawn(
    trials: list[Tried],
    options: tuple[Option, Option],
    direction: str = "maximize",
    colours: Any = RED_IS_ONE,
) -> list[Any]:
    """Every mark's items, as the chart draws them 600 pixels wide."""
    spec = by_two_options((0, 1), options, "accuracy", colours)
    rows = trial_rows(trials, direction, options)
    found = vl_convert.vegalite_to_scenegraph(png._sized(with_data(spec, trials=rows), 600))
    return items(found["scenegraph"])


def items(mark: Any) -> list[Any]:
    """All items below a mark of a scene, each with the kind and name of its mark."""
    found = []
    for item in mark.get("items", []):
        found.append({**item, "kind": mark["marktype"], "name": mark.get("name", "")})
        for inner in item.get("items", []):
            found += items(inner)
    return found


def cells(found: list[Any]) -> list[Any]:
    return [item for item in found if item["name"].startswith("surface") and item["kind"] == "rect"]


def score_of(item: Any) -> float:
    """By its colour, to two digits."""
    (red,) = re.findall(r"rgb\((\d+), 0, 0\)", item["fill"])
    return round(int(red) / 255, 2)


def number_of(symbol: Any) -> int:
    return int(re.findall(r"trial: (\d+)", symbol["description"])[0])


def spread(*values: float) -> list[tuple[float, float, float]]:
    """Trials far apart on a diagonal: scores, lr, dropout."""
    last = len(values) - 1
    return [(value, 10 ** (-4 + 4 * at / last), 0.5 * at / last) for at, value in enumerate(values)]


def symbols(found: list[Any]) -> list[Any]:
    return [item for item in found if item["kind"] == "symbol" and "trial: " in item.get("description", "")]


def test_a_cell_near_one_trial_alone_has_its_score_and_none_is_where_nothing_was_tried() -> None:
    trials = tried(*spread(0.1, 0.2, 0.3, 0.4, 0.5, 0.9), options=(LR, DROPOUT))
    found = drawn(trials, (LR, DROPOUT))
    places = [(one["x"], one["y"]) for one in symbols(found)]
    width, height = (
        max(place[axis] for place in places) - min(place[axis] for place in places) for axis in (0, 1)
    )
    assert len(places) == 6
    for cell in cells(found):
        middle = cell["x"] + cell["width"] / 2, cell["y"] + cell["height"] / 2
        apart = [(((middle[0] - x) / width) ** 2 + ((middle[1] - y) / height) ** 2) ** 0.5 for x, y in places]
        nearest = min(range(6), key=apart.__getitem__)
        assert apart[nearest] < REACH + 0.001
        if apart[nearest] < 0.03:
            assert score_of(cell) == pytest.approx(score_of(symbols(found)[nearest]), abs=0.01)
            assert cell["opacity"] > 0.7
    ends = [cell["width"] for cell in cells(found)]
    assert max(ends) == pytest.approx(min(ends), rel=0.01)  # a log axis is even
    assert min(map(score_of, cells(found))) >= 0.1 and max(map(score_of, cells(found))) <= 0.9


def test_trials_at_one_place_are_averaged() -> None:
    trials = tried(*[(score, 0.01, 0.25) for score in (0.2, 0.4, 0.6, 0.8, 0.4, 0.6)], options=(LR, DROPOUT))
    found = cells(drawn(trials, (LR, DROPOUT)))
    assert found and {score_of(cell) for cell in found} == {0.5}
    assert min(cell["opacity"] for cell in found) < 0.1


def test_of_few_trials_there_is_no_surface_and_it_says_so() -> None:
    points = spread(*[0.1 * at for at in range(LEAST_TRIALS)])
    for kept, is_said in ((LEAST_TRIALS, False), (LEAST_TRIALS - 1, True)):
        found = drawn(tried(*points[:kept], options=(LR, DROPOUT)), (LR, DROPOUT))
        assert bool(cells(found)) != is_said and len(symbols(found)) == kept
        said = [item["text"] for item in found if str(item.get("text", "")).startswith("No surface")]
        assert bool(said) == is_said


def test_trials_without_a_score_or_without_an_option_are_not_counted() -> None:
    trials = tried(*spread(*[0.1 * at for at in range(LEAST_TRIALS)]), options=(LR, DROPOUT))
    trials[0].mean = None
    assert not cells(drawn(trials, (LR, DROPOUT)))
    trials[0].mean, trials[0].params = 0.5, {"train.lr": 0.1}
    assert not cells(drawn(trials, (LR, DROPOUT)))


@pytest.mark.parametrize("other", [OPTIMIZER, DEPTH], ids=["choices", "whole numbers"])
def test_bands_say_nothing_of_each_other(other: Option) -> None:
    """At the same learning rates one band scores 0.1, another 0.9, and the third is not tried."""
    first, second = other.choices[:2] or (1, 2)
    points = [(score, lr, band) for score, band in ((0.1, first), (0.9, second)) for lr in (1e-3, 1e-2, 0.1)]
    found = cells(drawn(tried(*points, options=(LR, other)), (LR, other)))
    tops = sorted({round(cell["y"]) for cell in found})
    assert len(tops) == 2
    for top, score in zip(tops, (0.9, 0.1), strict=True):
        assert {score_of(cell) for cell in found if round(cell["y"]) == top} == {score}
    assert len({cell["height"] for cell in found}) == 1 and found[0]["height"] == pytest.approx(
        340 * 0.94 / 3
    )


def test_two_bands_are_a_table_of_means() -> None:
    points = [
        *[(score, band, depth) for band, depth, score in
          (("sgd", 1, 0.2), ("sgd", 1, 0.4), ("adamw", 1, 0.5), ("adamw", 3, 0.6), ("muon", 2, 0.7), ("muon", 2, 0.9))],
    ]  # fmt: skip
    found = cells(drawn(tried(*points, options=(OPTIMIZER, DEPTH)), (OPTIMIZER, DEPTH)))
    assert sorted(map(score_of, found)) == pytest.approx([0.3, 0.5, 0.6, 0.8])


@pytest.mark.parametrize(("direction", "best", "worst"), [("maximize", 5, 0), ("minimize", 0, 5)])
def test_the_best_is_a_star_on_top_and_orange(direction: str, best: int, worst: int) -> None:
    trials = tried(*spread(0.1, 0.2, 0.3, 0.4, 0.5, 0.9), options=(LR, DROPOUT))
    scale = score_colours(trials, direction)
    found = {number_of(one): one for one in symbols(drawn(trials, (LR, DROPOUT), direction, scale))}
    colours = [
        f"rgb({int(colour[1:3], 16)}, {int(colour[3:5], 16)}, {int(colour[5:], 16)})"
        for colour in (ORANGE, BLUE)
    ]
    assert [found[number]["fill"] for number in (best, worst)] == colours
    assert found[best]["shape"].startswith("M0,-1") and found[worst]["shape"] == "circle"
    assert [*found][-1] == best and max(found, key=lambda number: found[number]["size"]) == best


def test_a_scale_has_its_ends_in_order_of_any_trials() -> None:
    for scores in ([], [0.5], [0.5, 0.5], [0.1, 0.5, 0.5]):
        trials = [Tried(at, score, {}) for at, score in enumerate(scores)]
        low, middle, high = score_colours(trials, "maximize")["domain"]
        assert low < middle < high
    assert score_colours([Tried(at, 0.1 * at, {}) for at in range(5)], "maximize")["domain"][1] == 0.2


def test_what_limits_the_surface_is_told() -> None:
    assert explained("accuracy", has_others=False, has_stopped=False).endswith("and is no promise.")
    said = explained("accuracy", has_others=True, has_stopped=True)
    assert "is interpolated" in said and said.endswith(
        "in the other options, too, and stopped ones have fewer folds."
    )
