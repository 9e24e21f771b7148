"""Every picture can be drawn, whatever the names and however few the records, and is a readable PNG."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vl_convert
from PIL import Image

from harness.charts import networks, pairs, png, scores, trials
from harness.charts.spec import BLUE, CONFIG, GREY, MANY, ORANGE, RED, with_data
from harness.records import Epoch
from tests.tracking.fake_study import FakeStudy, fake_study

HOSTILE = "</script>'\"\\ + alert(1) + datum['x'] 飛行機 $5"
NAMES = [HOSTILE, *(f"a rather long class name of number {number}" for number in range(1, 10))]
OPTIONS = [
    trials.Option("model.depth", 1, 4),
    trials.Option("model.dropout", 0.0, 0.5),
    trials.Option(f"train.{HOSTILE}", 1e-3, 1.0, log=True),
    trials.Option("train.optimizer", choices=("sgd", HOSTILE)),
]


class Drawn:
    """A trial with the values of OPTIONS."""

    def __init__(
        self, number: int, state: str = "complete", mean: float | None = 0.9, half_width: float | None = 0.01
    ):
        self.number, self.state, self.mean, self.half_width = number, state, mean, half_width
        self.seconds, self.started = 10.0, 1_760_000_000.0 + 10 * number
        values = [1 + number % 4, 0.1 * (number % 5), 10.0 ** -(number % 4), ("sgd", HOSTILE)[number % 2]]
        self.params = {option.path: value for option, value in zip(OPTIONS, values, strict=True)}


SOME = [
    *(Drawn(number, mean=0.9 + 0.01 * (number % 5)) for number in range(8)),
    Drawn(8, "stopped", 0.2, None), Drawn(9, "failed", None, None), Drawn(10, "running", 0.91, None),
]  # fmt: skip


def rows_of(drawn: list[Drawn]) -> list[dict[str, Any]]:
    return [row | {"scores": [0.9, 0.8, 0.85]} for row in trials.trial_rows(drawn, "maximize", OPTIONS)]


COLOURS = pairs.score_colours(SOME, "maximize")
OF_TRIALS = {
    "history": trials.history("accuracy", "minimize", "title", ["complete", "failed"]),
    **{f"slice {place}": trials.by_option(place, OPTIONS, "accuracy") for place in range(4)},
    **{
        f"pair {pair}": pairs.by_two_options(pair, OPTIONS, "accuracy", COLOURS)
        for pair in [(0, 2), (3, 1), (2, 3)]
    },
    "parallel": trials.parallel(OPTIONS, HOSTILE),
    "folds": trials.folds("accuracy", 3, (0.8, 0.9)),
    "timeline": trials.timeline("title", ["complete"]),
    "by fold": scores.by_fold("accuracy", HOSTILE),
    "two by fold": scores.two_by_fold("accuracy", "title"),
}
INTERVALS = [scores.interval(name, 0.1, 0.0, 0.2, words="0.1 ± 0.1", kind="exact") for name in NAMES]
EPOCHS = [[Epoch(1, 2.0, 0.4, float("nan"), 0.3, 1, 1, 1), Epoch(2, 1.0, 0.6, 1.1, 0.5, 1, 1, 1)]]
CURVE = [
    {"class": name, "x": at, "y": at**0.5, "at": 1 - at, "step": at}
    for name in NAMES
    for at in (0.0, 0.5, 1.0)
]
CLASSES = [{"class": name, "images": 3, "precision": 0.5, "recall": 0.6, "F1": 0.55} for name in NAMES]
POINTS = [
    {"trial": at, "x": 10**at, "y": 0.9, "low": 0.8, "high": 1.0, "kind": kind}
    for at, kind in enumerate(scores.KINDS)
]
OTHERS = {
    "curves": networks.learning_curves(EPOCHS),
    "thresholds": networks.thresholds(CURVE, "false", "true", HOSTILE),
    "calibration": networks.calibration([(0.5, 0.4, 10), (0.9, 0.8, 90)]),
    "classes": networks.of_classes(CLASSES, "title"),
    "importances": networks.importances({HOSTILE: 0.75, "model.dropout": 0.25}),
    "no importances": networks.importances({"train.lr": 0.0}),
    "intervals": scores.intervals(INTERVALS, HOSTILE, rope=0.01),
    "comparison": scores.comparison(INTERVALS, {name: [0.8, 0.9] for name in NAMES}, "accuracy", 0.01),
    "against": scores.against(POINTS, HOSTILE, "accuracy", log=True, rises=True),
    **{
        f"confusion {number}": networks.confusion(
            np.random.default_rng(0).integers(0, 9, (number, number)), (NAMES * 20)[:number]
        )
        for number in (1, 2, 10, 100, 200)
    },
    "no images": networks.confusion(np.zeros((3, 3), dtype=int), ["a", "b", "c"]),
}


def compiled(spec: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> str:
    """What it draws, as SVG; fails where Vega-Lite warns."""
    drawn = vl_convert.vegalite_to_svg(png._sized(spec, 600), show_warnings=True)
    said = capfd.readouterr()
    assert not said.out + said.err
    return drawn


@pytest.mark.parametrize("name", OF_TRIALS)
@pytest.mark.parametrize(
    "drawn", [SOME, SOME[:1], [Drawn(0, "failed", None, None)], []], ids=["some", "one", "none", "no"]
)
def test_a_chart_of_trials_is_drawn_of_any(
    name: str, drawn: list[Drawn], capfd: pytest.CaptureFixture[str]
) -> None:
    compiled(with_data(OF_TRIALS[name], trials=rows_of(drawn)), capfd)


@pytest.mark.parametrize("name", OTHERS)
def test_a_chart_is_drawn_without_a_warning_whatever_the_names(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    json.dumps(OTHERS[name], allow_nan=False)
    compiled(OTHERS[name], capfd)


def test_a_confusion_matrix_names_every_class_and_count(capfd: pytest.CaptureFixture[str]) -> None:
    drawn = compiled(networks.confusion(np.array([[30, 2], [0, 41]]), ["cat", "dog"]), capfd)
    assert (
        all(f">{words}</text>" in drawn for words in ("cat", "dog", "30", "2", "41"))
        and ">0</text>" not in drawn
    )
    assert "71 of 73 held-out images right (97.3%)" in drawn


def test_a_long_name_is_cut_in_its_middle(capfd: pytest.CaptureFixture[str]) -> None:
    drawn = compiled(
        networks.confusion(np.eye(2, dtype=int), ["resnet trained on 1", "b" * 10 + "x" * 30 + "e" * 11]),
        capfd,
    )
    assert f">{'b' * 10}…{'e' * 11}</text>" in drawn and ">resnet trained on 1</text>" in drawn


def test_confused_classes_stand_together() -> None:
    """Pairs (0, 20), (1, 21), … are taken for each other."""
    matrix = 50 * np.eye(40, dtype=int)
    for number in range(20):
        matrix[number, number + 20] = matrix[number + 20, number] = 20
    order = networks.confused_together(matrix)
    assert sorted(order) == list(range(40))
    assert all(abs(order.index(number) - order.index(number + 20)) == 1 for number in range(20))
    assert networks.confused_together(matrix[:12, :12]) == list(range(12))


def test_a_large_matrix_leaves_out_the_rarest_mistakes() -> None:
    matrix = np.random.default_rng(0).integers(1, 50, (200, 200))
    cells = networks.confusion(matrix, [str(number) for number in range(200)])["data"]["values"]
    kept = sorted(cell["n"] for cell in cells)
    assert networks.MOST_CELLS <= len(kept) < 1.2 * networks.MOST_CELLS
    assert kept == np.sort(matrix[matrix >= kept[0]]).tolist()


def test_learning_curves_show_mean_and_range_of_folds_of_different_length(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path)
    study.add_trial()
    folds = [study.folds[key].epochs for key in study.trials[0].folds]
    folds[1] = folds[1][:2]
    rows = networks.learning_curves(folds)["hconcat"][0]["data"]["values"]
    shown = {row["epoch"]: row for row in rows if row["part"] == "training"}
    assert shown[1]["mean"] == pytest.approx(np.mean([fold[0].train_loss for fold in folds]))
    last = [folds[0][3].train_loss, folds[2][3].train_loss]
    assert shown[4]["mean"] == pytest.approx(np.mean(last))
    assert (shown[4]["low"], shown[4]["high"]) == (min(last), max(last))


def test_the_best_so_far_is_that_of_the_complete_trials(capfd: pytest.CaptureFixture[str]) -> None:
    drawn = [Drawn(0, mean=0.7), Drawn(1, "stopped", 0.99), Drawn(2, mean=0.8), Drawn(3, mean=0.75)]
    svg = compiled(trials.history_of(drawn, "accuracy", "maximize"), capfd)
    (path,) = re.findall(r'class="mark-line[^>]*>\s*<path[^>]* d="([^"]*)"', svg)
    heights = [float(y) for y in re.findall(r",(-?[\d.]+)", path)]
    assert (
        len(set(heights)) == 2 and heights[0] > heights[-1]
    )  # 0.7, then 0.8: never the stopped one's, never back


def test_what_lies_far_off_is_drawn_at_the_edge_and_keeps_its_score() -> None:
    rows = {row["trial"]: row for row in rows_of(SOME)}
    assert rows[8]["score"] == 0.2 and rows[8]["off"] == -1 and rows[8]["y"] > 0.8
    assert rows[0]["y"] == rows[0]["score"] and rows[0]["off"] == 0
    assert "y" not in rows[9] and rows[4]["rank"] == 1 and rows[4]["share"] == 1.0


def test_values_lie_on_their_axes() -> None:
    log, choice = OPTIONS[2], OPTIONS[3]
    assert log.place(0.001) == 0 and log.place(1.0) == 1 and log.place(10**-1.5) == pytest.approx(0.5)
    assert choice.place("sgd") == 0.25 and choice.place("adam") is None and log.place(None) is None


@pytest.mark.parametrize("page", ["#ffffff", "#14181d"])
def test_colours_can_be_told_from_the_page(page: str) -> None:
    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in {BLUE, ORANGE, GREY, RED, *MANY}:
        low, high = sorted((light(page), light(colour)))
        assert (high + 0.05) / (low + 0.05) >= 3, colour


def test_a_picture_is_written_with_its_title(tmp_path: Path) -> None:
    study = fake_study(tmp_path)
    png.save(trials.history_of(study.trials, "accuracy", "maximize"), tmp_path / "history.png")
    with Image.open(tmp_path / "history.png") as image:
        assert image.size[0] >= png.WIDTH * png.SCALE
    assert CONFIG["background"] == "white"


def test_the_legend_of_states_has_those_that_there_are() -> None:
    drawn = trials.history_of([Drawn(0, "failed", None, None), *SOME[:3]], "accuracy", "maximize")
    legends = [
        layer["encoding"]["color"]["legend"] for layer in drawn["layer"] if "color" in layer["encoding"]
    ]
    assert len(legends) == 3 and all(legend == {"values": ["complete", "failed"]} for legend in legends)
