"""compare, gallery: the commands that look into trials."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_HOME, AsJson, Home, Study, print_json, require_folder, require_place
from harness.messages import to_stderr


def compare(
    trials: Annotated[
        list[str],
        typer.Argument(metavar="TRIAL...", help="STUDY is its best trial, STUDY:3 trial 3, STUDY:* all."),
    ],
    rope: Annotated[
        float, typer.Option(min=0.0, help="Differences of the score up to it are equal in practice.")
    ] = 0.01,
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Level of the tests, for all together.")
    ] = 0.05,
    picture: Annotated[
        Path | None, typer.Option(metavar="PNG", dir_okay=False, help="Draw the comparison.")
    ] = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Say which trials differ by more than chance.

    Corrected t-test, exact McNemar, Bayesian correlated t-test, the set that cannot be told apart, and the cheapest.
    """
    to_stderr()
    from functools import cache

    from harness.analysis.compare import compare as comparing
    from harness.analysis.compare import named
    from harness.cli import verdicts
    from harness.store.loaded_study import LoadedStudy
    from harness.store.store import Store

    if picture is not None:
        require_folder("--picture", picture)
    store = Store(home)
    contenders = named(cache(lambda name: LoadedStudy.open(store, name)), trials)
    document = comparing(contenders, rope=rope, alpha=alpha)
    if picture is not None:
        from harness import plots

        plots.save(plots.comparison(document), picture)
    print_json(document) if as_json else verdicts.comparison(document)


def gallery(
    study: Study,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials must agree.")] = 3,
    most: Annotated[int, typer.Option(min=1, help="Images of each class and kind.")] = 24,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            dir_okay=False,
            help="By default gallery.html in the study's folder, from where MLflow gets it.",
        ),
    ] = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Make a page of images that the best trials get wrong.

    Wrong, confident and agreed on by all, and labels that are likely wrong, by class; never the test images.
    """
    to_stderr()
    from harness.cli.finishing import show_in_mlflow
    from harness.report.gallery import gallery as making
    from harness.store.loaded_study import LoadedStudy
    from harness.store.store import Store

    store = Store(home)
    require_place(output, store.study_folder(study))
    opened = LoadedStudy.open(store, study)
    document = making(opened, top=top, most=most, output=output and output.absolute())
    if as_json:
        print_json(document)
    else:
        kinds = {kind: sum(map(len, classes.values())) for kind, classes in document["images"].items()}
        print(", ".join(f"{count:,} {kind}" for kind, count in kinds.items()))
        print(output or document["page"])
    if output is None:
        show_in_mlflow(opened)


COMMANDS: list[Callable[..., None]] = [compare, gallery]
