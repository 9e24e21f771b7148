"""compare, gallery, report: the commands that look into trials and make pages of them."""

import logging
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli.options import (
    DEFAULT_HOME,
    Document,
    Form,
    Home,
    Study,
    advised,
    opened,
    printed,
    require_folder,
    require_place,
    started_studies,
)
from harness.files import write_file
from harness.messages import to_stderr

if TYPE_CHECKING:
    from harness.store.loaded_study import LoadedStudy

logger = logging.getLogger(__name__)
DELIVERY_SECONDS = 10.0  # to wait for another process that is delivering the study


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
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Say which trials differ by more than chance.

    Corrected t-test, exact McNemar, Bayesian correlated t-test, the set that cannot be told apart, and the cheapest.
    """
    to_stderr()
    from harness.analysis import compare as comparing
    from harness.cli import finding_tables

    if picture is not None:
        require_folder("--picture", picture)
    contenders = comparing.named(cache(partial(opened, home)), trials)
    found = comparing.compare(contenders, rope=rope, alpha=alpha)
    if picture is not None:
        from harness.charts import png, scores

        drawn = [
            scores.interval(
                row.trial,
                best.difference,
                best.low,
                best.high,
                kind="rough" if row.indistinguishable else "grey",
            )
            if (best := row.against_best)
            else scores.interval(row.trial, 0.0, 0.0, 0.0, kind="exact")
            for row in found.trials
        ]
        folds = {row.trial: row.folds for row in found.trials}
        png.save(scores.comparison(drawn, folds, found.objective, found.rope), picture, width=460)
    if not printed(found, form, "trials"):
        finding_tables.comparison(found)


def diff(
    first: Annotated[
        str, typer.Argument(help="A study that has been started.", autocompletion=started_studies)
    ],
    second: Annotated[str, typer.Argument(help="Another.", autocompletion=started_studies)],
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Say in what two studies differ.

    Values, data, code, environment, scores. Of code that is the user's own it shows how its text differs, as each study
    began with it. Whether their scores differ by more than chance is for compare to say.
    """
    to_stderr()
    from harness.analysis import diff as differing
    from harness.cli import tables

    found = differing.diff(opened(home, first), opened(home, second))
    if printed(found, form, "found"):
        return
    if not found.found:
        tables.say(f"{first} and {second} do not differ in anything that is recorded")
    else:
        rows = [(one.section, one.what, one.first, one.second) for one in found.found]
        tables.table(("part", "what", first, second), rows, text=2)
    for line in found.sources:  # of code: as it is
        print(line)


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
    form: Document = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Make a page of images that the best trials get wrong.

    Wrong, confident and agreed on by all, and labels that are likely wrong, by class; never the test images.
    """
    to_stderr()
    from harness.cli.progress import working
    from harness.report import gallery as pages

    require_place(output, home, study)
    looked_at = opened(home, study)
    with working(f"looking for images of {study} that are wrong"):
        document = pages.gallery(looked_at, top=top, most=most, output=output and output.absolute())
    if not printed(document, form):
        kinds = {kind: sum(map(len, classes.values())) for kind, classes in document.images.items()}
        print(", ".join(f"{count:,} {kind}" for kind, count in kinds.items()))
        print(output or document.page)
    if output is None:
        show_in_mlflow(looked_at)


def report(
    studies: Annotated[
        list[str],
        typer.Argument(metavar="STUDY...", help="Several are compared.", autocompletion=started_studies),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            dir_okay=False,
            help="By default report.html in the study's folder, comparison.html here; Markdown is printed.",
        ),
    ] = None,
    form: Annotated[
        Literal["html", "md", "json"],
        typer.Option("--format", help="A page for people, Markdown for a pull request, or what is in it."),
    ] = "html",
    images: Annotated[
        int, typer.Option(min=0, help="Misclassified and suspicious images of each class; 0 for none.")
    ] = 4,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a study as one page to read and to send.

    Answer, errors, leaderboard, curves, confusion, images, cost and provenance in one HTML file that needs no network;
    several studies are compared first. Without -o the page of one is kept with it, and MLflow shows it.
    """  # fmt: skip
    to_stderr()
    from harness.cli.progress import working
    from harness.report import html
    from harness.report.collect import collect
    from harness.report.markdown import markdown

    if form == "html" and len(set(studies)) == 1:
        require_place(output, home, studies[0])
    elif output is not None:
        require_folder("--output", output)
    reported = [opened(home, name) for name in dict.fromkeys(studies)]
    with working(f"collecting what is recorded of {', '.join(one.name for one in reported)}"):
        found = collect(reported, images=0 if form == "md" else images)
    if printed(found.document, form):
        return
    content = markdown(found) if form == "md" else html.page(found)
    if form == "md" and output is None:
        print(content, end="")
        return
    own = form == "html" and output is None and len(reported) == 1  # it is kept with its study
    path = html.own_page(reported[0].store, reported[0].name) if own else output or Path("comparison.html")
    write_file(path.absolute(), content.encode())
    print(path)
    if own and not reported[0].is_driven:
        try:
            show_in_mlflow(reported[0], lock_seconds=DELIVERY_SECONDS)
        except Exception as error:  # a fault in a view is no reason to fail: the page is there
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            logger.warning(
                "MLflow does not show the page yet (%s); %s delivers it",
                said,
                advised(home, "sync", reported[0].name),
            )


def show_in_mlflow(study: "LoadedStudy", *, lock_seconds: float = -1) -> None:
    """Have MLflow's pages say what was found; without MLflow it is kept, and shown later.

    lock_seconds, errors: as in `redeliver`.
    """
    from harness.tracking.deliver import redeliver
    from harness.tuning import Settings

    redeliver(study, tracking_uri=Settings(study.store.home).tracking_uri, lock_seconds=lock_seconds)
