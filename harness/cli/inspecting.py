"""list, ui, smoke: what a study file can name, the pages on a store, and a run that says whether all works."""

import sys
from collections.abc import Iterable
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_HOME, AsJson, Home, print_json, started_studies
from harness.config import catalog
from harness.config.catalog import Entry
from harness.config.signatures import Option
from harness.errors import CheckFailed, UsageError, did_you_mean
from harness.messages import to_stderr

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]  # columns, rows


class Kind(StrEnum):
    """What `harness list` can list."""

    studies = "studies"
    models = "models"
    datasets = "datasets"
    metrics = "metrics"
    train = "train"
    compute = "compute"


def _kinds(context: typer.Context, incomplete: str) -> list[str]:
    """Entries of the kind that `harness list` was asked for, which a shell offers after a TAB."""
    kind = str(getattr(context.params.get("kind"), "value", context.params.get("kind")))
    names = {
        "models": [*catalog.models()], "datasets": [*catalog.datasets()], "studies": [*catalog.studies()]
    }.get(kind, [])  # fmt: skip
    return [name for name in sorted(names) if name.startswith(incomplete)]


def list_(
    kind: Annotated[Kind, typer.Argument(help="studies, models, datasets, metrics, train or compute.")],
    name: Annotated[
        str | None, typer.Argument(help="One model or data set: its options.", autocompletion=_kinds)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what a study file can name.

    Studies, models, data sets, metrics, options of train and of compute; with the name of a model or data set, its
    options: harness list models resnet.
    """
    columns, rows = _listed(kind.value, name)
    if as_json:
        print_json({"schema": 1, kind.value: [dict(zip(columns, row, strict=True)) for row in rows]})
        return
    from harness.cli import tables

    tables.plain(columns, rows)


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
    from harness.store.store import Store, started_study
    from harness.tracking import ui as pages
    from harness.tuning import Settings

    store = Store(home)
    if study is not None:
        started_study(store, study)
    if not (store.home / "mlflow.db").exists():
        raise UsageError(
            f"nothing has been tracked in {store.home} yet; begin with: harness tune --study quickstart"
        )
    if optuna:
        serving = pages.serve_optuna(Settings(store.home).storage_url, port=port, open_browser=browser)
    else:
        serving = pages.serve(store.home, port=port, study=study, open_browser=browser)
    with serving as server:
        print(f"{server.url}\nCtrl-C ends it", file=sys.stderr)
        server.wait()


def smoke(as_json: AsJson = False) -> None:
    """Run everything small and offline.

    On embedded images, in a folder of its own: says what held (exit 3 if something did not). For a CI.
    """
    to_stderr()
    from harness import smoke as running

    checks = []
    for check in running.smoke():
        checks.append(check)
        line = f"{'ok  ' if check.held else 'FAIL'}  {check.name}: {check.detail}  ({check.seconds:.1f} s)"
        print(line, file=sys.stderr if as_json else sys.stdout, flush=True)
    if as_json:
        print_json({"schema": 1, "held": all(c.held for c in checks), "checks": [asdict(c) for c in checks]})
    broken = [check.name for check in checks if not check.held]
    if broken:
        raise CheckFailed(f"{len(broken)} of {len(checks)} did not hold: {'; '.join(broken)}")


def _listed(kind: str, name: str | None) -> Table:
    """Columns and rows of one kind of thing, or of one entry's options."""
    if name is not None:
        entries = {"models": catalog.models(), "datasets": catalog.datasets()}.get(kind)
        if entries is None:
            raise UsageError(f"harness list {kind} takes no name; models and datasets do")
        if name not in entries:
            raise UsageError(f"no {kind.rstrip('s')} {name!r}{did_you_mean(name, list(entries))}")
        if problem := entries[name].problem:
            raise UsageError(problem)
        return _options(entries[name].options)
    if kind == "studies":
        found = catalog.studies().items()
        return ("study", "question", "file"), [(study, _question(study), str(path)) for study, path in found]
    if kind == "metrics":
        return ("metric", "what it is", "better"), [
            (metric.name, metric.summary, "higher" if metric.higher_is_better else "lower")
            for metric in catalog.metrics().values()
        ]
    if kind in ("train", "compute"):
        return _options((catalog.train_options() if kind == "train" else catalog.compute_options()).values())
    if kind == "models":
        return ("name", "what it is", "parameters", "source", "options"), [
            (entry.name, _what(entry), entry.parameters, entry.source, _names(entry))
            for entry in catalog.models().values()
        ]
    return ("name", "what it is", "source", "options"), [
        (entry.name, _what(entry), entry.source, _names(entry)) for entry in catalog.datasets().values()
    ]


def _what(entry: Entry) -> str:
    return f"broken: {entry.problem}" if entry.problem else entry.summary


def _names(entry: Entry) -> str:
    return ", ".join(option.name for option in entry.options)


def _options(options: Iterable[Option]) -> Table:
    return ("option", "takes", "default"), [
        (option.name, option.allowed(), "required" if option.required else _text(option.default))
        for option in options
    ]


def _text(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _question(name: str) -> str:
    """The first line of a study file, without its mark."""
    with catalog.studies()[name].open(encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return first.lstrip("#").strip() if first.startswith("#") else ""
