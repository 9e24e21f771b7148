"""evaluate: the command that scores a model on labelled images, and what it says."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli.options import (
    DEFAULT_HOME,
    Ensemble,
    Form,
    Home,
    Model,
    found_model,
    printed,
    require_folder,
)
from harness.errors import UsageError
from harness.messages import to_stderr
from harness.report.format import times

if TYPE_CHECKING:
    from harness.data.grouping import Groups
    from harness.inference.evaluate import Evaluation

WIDTH = 80
MOST_NAMED = 3  # unreadable files
MOST_FOLDERS = 10  # that are left out
MOST_CONFUSIONS = 10  # pairs of classes, where the matrix is too wide


def evaluate(
    model: Model,
    folder: Annotated[Path, typer.Argument(help="Labelled images: one folder per class of the model.")],
    groups_from: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="Images that belong together: study (as the study says), parent, regex:PATTERN, csv:FILE, none.",
        ),
    ] = "study",
    images: Annotated[
        Path | None, typer.Option("--images", metavar="PNG", help="Draw the confusion matrix, too.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="The network's own probabilities, without calibration.")
    ] = False,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out folders that are no class of the model.")
    ] = False,
    ensemble: Ensemble = False,
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Score a model on labelled images of your own.

    Accuracy with its 95 % interval, where images belong together with groups as units; each class, confusions, and
    whether probabilities mean what they say. Images that the model was trained on are told, with the score without
    them. This is no look at a study's sealed test images: those are left out.
    """
    to_stderr()
    if images is not None:
        require_folder("--images", images)
    groups = _groups(groups_from)
    from harness.inference.evaluate import evaluate as evaluating
    from harness.store.store import Store

    found = found_model(home, model, ensemble=ensemble)
    document = evaluating(Store(home), found, folder, groups=groups, raw=raw, skip_unknown=skip_unknown)
    for line in _warnings(document):
        print(line, file=sys.stderr)
    if images is not None:
        _draw(document, images)
    if not printed(document, form, "classes"):
        _print(document)


def _groups(text: str) -> "Groups | Literal['study'] | None":
    """Raises UsageError for what is none of these."""
    kind, _, value = text.partition(":")
    if text == "study":
        return "study"
    if text == "none":
        return None
    if text == "parent":
        return {"from": "parent"}
    if kind == "regex" and value:
        return {"regex": value}
    if kind == "csv" and value:
        return {"csv": value}
    raise UsageError(f"--groups-from must be study, parent, regex:PATTERN, csv:FILE or none (got {text!r})")


def _warnings(found: "Evaluation") -> list[str]:
    """What keeps the figures from being what they seem."""
    known, lines = found.known, []
    if known.equal or known.alike:
        kinds = [
            (known.equal, "are the model's own training images"),
            (known.alike, "resembles a training image" if known.alike == 1 else "resemble training images"),
        ]
        what = " and ".join(f"{count:,} {words}" for count, words in kinds if count)
        without = "no image is left without them"
        if known.accuracy_without is not None and known.interval_without is not None:
            low, high = known.interval_without
            without = (
                f"accuracy of the other {known.num_without:,} is {known.accuracy_without:.4f} "
                f"(95 % {low:.4f} to {high:.4f})"
            )
        lines.append(
            f"of {found.num_images:,} images {what}: a score on training images is no score; {without}"
        )
    if known.unchecked:
        lines.append(f"nobody looked whether training images are among them: {known.unchecked}")
    if known.sealed:
        lines.append(
            f"{known.sealed:,} images are of the sealed test part of study {found.study}, which only harness final "
            "opens; they are left out"
        )
    if found.left_out:
        counts = [f"{name} ({count:,})" for name, count in found.left_out.items()]
        more = f" and {len(counts) - MOST_FOLDERS:,} more" if len(counts) > MOST_FOLDERS else ""
        total = sum(found.left_out.values())
        lines.append(
            f"{total:,} images of classes that the model does not know are left out, so the score says nothing of "
            f"them: {', '.join(counts[:MOST_FOLDERS])}{more}"
        )
    if found.missing:
        lines.append(f"no image of {len(found.missing)} classes: {', '.join(found.missing)}")
    if found.unreadable:
        named = [f"{path}: {why}" for path, why in found.unreadable.items()]
        more = f"; and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        lines.append(f"{times(len(named), 'file')} cannot be read: {'; '.join(named[:MOST_NAMED])}{more}")
    if not found.calibrated:
        lines.append("probabilities are not calibrated")
    return lines


def _print(found: "Evaluation") -> None:
    """Within 80 columns, unless names of classes are long."""
    from harness.cli.tables import table

    units = f" in {found.num_groups:,} groups, the units of the intervals" if found.groups else ""
    print(f"{times(found.num_images, 'image')}{units}")
    width = max(map(len, found.scores))
    for name, value in found.scores.items():
        if name == "top3_accuracy" and len(found.classes) <= 3:  # which is 1
            continue
        interval = found.intervals.get(name)
        words = f"   95 % {interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
        print(f"{name.replace('_', ' '):<{width}} {value:.4f}{words}")
    rows = []
    for row in found.classes:
        one = row.scores
        figures = (one.precision, one.recall, one.f1) if one.support else (one.precision, None, None)
        said = ("-" if figure is None else f"{figure:.4f}" for figure in figures)
        rows.append((_short(row.name, 40), f"{one.support:,}", *said))
    table(("class", "images", "precision", "recall", "f1"), rows, header="dim")
    if not _print_matrix(found):
        _print_confusions(found)


def _print_matrix(found: "Evaluation") -> bool:
    """The confusion matrix, if it is narrow enough."""
    from harness.cli.tables import console, table

    names = [_short(row.name, 20) for row in found.classes]
    size = max(3, *(len(str(count)) for row in found.confusion for count in row)) + 2
    if max(map(len, names)) + 6 + size * len(names) > min(WIDTH, console().width):
        return False
    numbers = [str(number) for number in range(1, len(names) + 1)]
    rows = [
        (f"{number} {name}", *(str(count) if count else "·" for count in row))
        for number, name, row in zip(numbers, names, found.confusion, strict=True)
    ]
    table(("true \\ predicted", *numbers), rows, header="dim")
    return True


def _print_confusions(found: "Evaluation") -> None:
    names = [row.name for row in found.classes]
    pairs = [
        (count, names[true], names[predicted])
        for true, row in enumerate(found.confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    pairs.sort(key=lambda pair: -pair[0])
    for count, true, predicted in pairs[:MOST_CONFUSIONS]:
        print(f"{count:>6,}  {_short(true, 30)} called {_short(predicted, 30)}")
    if len(pairs) > MOST_CONFUSIONS:
        print(f"… and {len(pairs) - MOST_CONFUSIONS} more pairs of classes (--json has all)")


def _draw(found: "Evaluation", path: Path) -> None:
    import numpy as np

    from harness.charts import networks, png
    from harness.files import telling_disk_trouble

    chart = networks.confusion(np.array(found.confusion), [row.name for row in found.classes], of="images")
    with telling_disk_trouble(path, 0):
        png.save(chart, path)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
