"""Every picture can be drawn, whatever the names and however few the records, and is a readable PNG."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness import plots
from tests.tracking.fake_study import FakeStudy, fake_study


def size_of(figure, path: Path) -> tuple[int, int]:
    plots.save(figure, path)
    with Image.open(path) as image:
        image.load()
        return image.size


@pytest.mark.parametrize(
    "classes",
    [
        ["cat", "dog"],
        [f"a rather long class name {number}" for number in range(10)],
        ["$5 bill", "$10^{bill", "50 %", "飛行機", "_x_"],
        [str(number) for number in range(100)],
    ],
    ids=["two", "long", "odd", "hundred"],
)
def test_a_confusion_matrix_can_be_drawn(classes, tmp_path):
    matrix = np.random.default_rng(0).integers(0, 50, (len(classes), len(classes)))
    width, height = size_of(plots.confusion(matrix, classes), tmp_path / "confusion.png")
    assert 300 < width < 2000 and 300 < height < 2000


def test_a_confusion_matrix_names_every_class_and_count():
    figure = plots.confusion(np.array([[30, 2], [0, 41]]), ["cat", "dog"])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert [text.get_text() for text in axes.texts] == ["30", "2", "41"]
    assert "71 of 73" in axes.get_title(loc="left")


@pytest.mark.slow
def test_labels_stay_inside_the_picture():
    figure = plots.confusion(np.eye(10, dtype=int), [f"a rather long class name {i}" for i in range(10)])
    figure.draw_without_rendering()
    box, page = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page[0] and box.y1 <= page[1]


def test_a_class_without_images_is_drawn(tmp_path):
    assert size_of(plots.confusion(np.zeros((3, 3), dtype=int), ["a", "b", "c"]), tmp_path / "x.png")


def test_learning_curves_show_mean_and_range_of_folds_of_different_length(tmp_path):
    study = FakeStudy(tmp_path)
    study.add_trial()
    folds = [study.folds[key].epochs for key in study.trials[0].folds]
    folds[1] = folds[1][:2]
    figure = plots.learning_curves(folds)
    shown = figure.axes[0].get_lines()[0].get_ydata()
    assert shown[0] == pytest.approx(np.mean([fold[0].train_loss for fold in folds]))
    assert shown[3] == pytest.approx(np.mean([folds[0][3].train_loss, folds[2][3].train_loss]))
    assert size_of(figure, tmp_path / "curves.png")[0] > 900


def test_a_single_epoch_of_a_single_fold_is_drawn(tmp_path):
    study = FakeStudy(tmp_path, num_epochs=1)
    study.add_trial(num_folds=1)
    (record,) = study.folds.values()
    assert size_of(plots.learning_curves([record.epochs]), tmp_path / "curves.png")


def test_the_history_shows_complete_stopped_and_failed_trials(tmp_path):
    trials = fake_study(tmp_path).trials
    figure = plots.history(trials, "accuracy", "maximize")
    assert set(figure.axes[0].get_legend_handles_labels()[1]) == {
        "complete",
        "stopped early",
        "failed",
        "best so far",
    }
    assert size_of(figure, tmp_path / "history.png")[0] > 900


def test_a_history_of_failures_only_is_drawn(tmp_path):
    study = FakeStudy(tmp_path)
    study.add_trial("failed", num_folds=0)
    assert size_of(plots.history(study.trials, "accuracy", "maximize"), tmp_path / "history.png")


@pytest.mark.parametrize("shares", [{"train.lr": 0.75, "model.dropout": 0.25}, {"train.lr": 0.0}, {}])
def test_importances_are_drawn(shares, tmp_path):
    assert size_of(plots.importances(shares), tmp_path / "importances.png")


@pytest.mark.parametrize(("size", "shown"), [((8, 8), 96), ((32, 24), 96), ((5, 9), 50)])
def test_small_pictures_are_enlarged_without_smoothing(size, shown, tmp_path):
    """Every pixel becomes a square of that very colour, and all of them are on the page."""
    images = np.zeros((3, *size, 3))
    images[..., 0] = np.indices((3, *size)).sum(0) % 2  # red and black
    plots.save(plots.pictures("title", [("part", {"row": images})]), tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        reds = (np.asarray(image.convert("RGB")) == [255, 0, 0]).all(-1).sum()
    assert reds == images[..., 0].sum() * (shown // size[0]) ** 2


def test_large_pictures_are_made_smaller_and_labels_stay_on_the_page(tmp_path):
    images = np.random.default_rng(0).random((10, 300, 200, 3))
    rows = {"a label that is rather long": images, "b": images}
    figure = plots.pictures("a title", [("one part", rows), ("another", rows)])
    width, height = size_of(figure, tmp_path / "x.png")
    assert 700 < width < 1300 and 400 < height < 700
    box, page = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page[0] and box.y1 <= page[1]
