"""check, list, doctor, ui: the commands that look at what there is."""

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.completion import kinds, started_studies, study_files
from harness.cli.options import DEFAULT_HOME, AsJson, Home, Sets, print_json, require_folder
from harness.messages import to_stderr


class Kind(StrEnum):
    """What `harness list` can list."""

    studies = "studies"
    models = "models"
    datasets = "datasets"
    metrics = "metrics"
    train = "train"
    compute = "compute"


def check(
    study: Annotated[str, typer.Argument(help="A study's name or file.", autocompletion=study_files)],
    changes: Sets = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Estimate the time from a few real steps.")
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG", dir_okay=False, writable=True, help="Draw what training sees, as a picture."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a study file and show its search space.

    How many folds and epochs it trains at most, how large its models are; with --measure, how long it takes; with
    --images, how the training changes the images, and how every other augmentation would.
    """
    to_stderr()
    from harness.cli import checking, render
    from harness.config.study_file import load_study_file

    if images is not None:
        require_folder("--images", images)
    loaded = load_study_file(study, changes or [])
    plan = checking.plan(loaded)
    if not as_json:
        render.search_space(loaded, plan.rows, plan.totals)
    sizes = checking.ask_sizes(loaded, changes or [], measure=measure, images=images)
    if as_json:
        print_json(plan.document | sizes)
    else:
        for line in checking.size_lines(loaded, plan, sizes):
            print(line)


def list_(
    kind: Annotated[Kind, typer.Argument(help="studies, models, datasets, metrics, train or compute.")],
    name: Annotated[
        str | None, typer.Argument(help="One model or data set: its options.", autocompletion=kinds)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what a study file can name.

    Studies, models, data sets, metrics, options of train and of compute; with the name of a model or data set, its
    options: harness list models resnet.
    """
    from harness.cli import listing, render

    columns, rows = listing.table(kind.value, name)
    if as_json:
        print_json({"schema": 1, kind.value: [dict(zip(columns, row, strict=True)) for row in rows]})
    else:
        render.catalog_table(columns, rows)


def doctor(as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Say what is here and what is missing.

    Versions, device, threads, stores, data sets, and what to do about the rest.
    """
    to_stderr()
    from harness.cli import diagnosis, render

    rows = diagnosis.rows(home)
    if as_json:
        print_json(
            {
                "schema": 1,
                "doctor": [dict(zip(("what", "found", "advice"), row, strict=True)) for row in rows],
            }
        )
    else:
        render.catalog_table(("what", "found", "advice"), rows)


def ui(
    study: Annotated[
        str | None,
        typer.Argument(help="Open this study; all of them if omitted.", autocompletion=started_studies),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")] = 5000,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    optuna: Annotated[bool, typer.Option("--optuna", help="Optuna's dashboard instead.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Open MLflow's pages on this store.

    A study is an experiment; its trials are runs, their folds are runs below them, with curves, confusion matrices and
    models. With --optuna, Optuna's dashboard: search history, importances, parallel coordinates. Ctrl-C ends it.
    """
    to_stderr()
    from harness.errors import UsageError
    from harness.store.store import Store, started_study
    from harness.tracking import ui as pages

    store = Store(home)
    if study is not None:
        started_study(store, study)
    if not (store.home / "mlflow.db").exists():
        raise UsageError(
            f"nothing has been tracked in {store.home} yet; begin with: harness tune --study quickstart"
        )
    if optuna:
        from harness.tuning import Settings

        serving = pages.serve_optuna(Settings(store.home).storage_url, port=port, open_browser=browser)
    else:
        serving = pages.serve(store.home, port=port, study=study, open_browser=browser)
    with serving as server:
        print(f"{server.url}\nCtrl-C ends it", file=sys.stderr)
        server.wait()


COMMANDS: list[Callable[..., Any]] = [check, list_, doctor, ui]
