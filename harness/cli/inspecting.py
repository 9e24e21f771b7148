"""check, list, doctor, ui, smoke: the commands that look at what there is, and whether it works."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.cli.options import (
    DEFAULT_HOME,
    Document,
    Executor,
    Form,
    Home,
    Sets,
    advised,
    listens,
    print_csv,
    print_json,
    printed,
    require_folder,
    started_studies,
    study_files,
)
from harness.config import catalog, topics
from harness.config.catalog import Entry
from harness.config.signatures import Option
from harness.documents import INLINE
from harness.errors import CheckFailed, StudyError, UsageError, did_you_mean
from harness.messages import to_stderr

Kind = Literal[  # that `harness list` lists
    "studies", "models", "datasets", "metrics", "losses", "optimizers", "schedules", "augmentations", "loops", "splits",
    "train", "compute", "cv", "search", "racing", "samplers", "probes",
]  # fmt: skip
HAVE_OPTIONS: dict[str, Callable[[], dict[str, Entry]]] = {
    "models": partial(catalog.known, "model"),
    "datasets": partial(catalog.known, "data"),
    "losses": partial(catalog.known, "train.loss"),
    "optimizers": partial(catalog.known, "train.optimizer"),
    "schedules": partial(catalog.known, "train.schedule"),
    "augmentations": partial(catalog.known, "train.augment"),
    "loops": partial(catalog.known, "train.loop"),
    "splits": partial(catalog.known, "cv.split"),
    "racing": catalog.racing_rules,
    "samplers": catalog.samplers,
    "probes": catalog.probes,
}
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]  # columns, rows


@dataclass(frozen=True)
class Listing:
    """What `harness list KIND --json` prints: the rows under the kind's name, text by column."""

    rows: Mapping[str, tuple[Mapping[str, str], ...]] = field(metadata=INLINE)


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
    executor: Executor = "process",
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Check whether tune would begin a study, and what it searches.

    All that keeps it from being trained, at once (exit 2): images, classes, folds, models and weights, code of your
    own, device, room. How many folds and epochs it trains at most, how large its models are; with --measure, how long
    it takes; with --images, how the training changes the images, and how every other augmentation would.
    """
    to_stderr()
    from harness.cli import check as checking
    from harness.cli import tables
    from harness.cli.progress import working
    from harness.config.kinds import MLFLOW
    from harness.config.study_file import load_study_file
    from harness.folds.executor_options import require_installed
    from harness.search.sizes import Checked

    if images is not None:
        require_folder("--images", images)
    require_installed(executor)
    plan, checked = None, Checked((), ())
    try:
        loaded = load_study_file(study, changes or [])
        if {*loaded.trackers} - {MLFLOW}:
            from harness.tracking.trackers import own_trackers  # which tune makes before its first trial, too

            own_trackers(loaded.trackers, home)
        plan = checking.plan(loaded)
        if form == "text":
            tables.search_space(loaded, *checking.described(loaded, plan))
        with working("training a few steps, to measure them" if measure else "looking at the images"):
            checked = checking.ask_sizes(
                loaded, changes or [], home=home, executor=executor, measure=measure, images=images
            )
        if checked.sizes is not None and form == "text":
            tables.say(*checking.size_lines(loaded, plan, checked.sizes))
        if checked.problems:
            raise StudyError(loaded.source, checked.problems)
    except StudyError as error:
        if form == "json":
            print_json(checking.document(plan, replace(checked, problems=error.problems)))
        raise
    if form == "json":
        print_json(checking.document(plan, checked))
    if form == "csv":
        rows, _ = checking.described(loaded, plan)
        print_csv([dict(zip(("searched", "values", "trial 0"), row, strict=True)) for row in rows])


def _kinds(context: typer.Context, incomplete: str) -> list[str]:
    """Entries of the kind that `harness list` was asked for, which a shell offers after a TAB."""
    kind = str(context.params.get("kind"))
    names = catalog.studies() if kind == "studies" else _entries(kind) or {}
    return [name for name in sorted(names) if name.startswith(incomplete)]


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    name: Annotated[
        str | None,
        typer.Argument(
            help="One model, data set, racing rule, sampler or probe: its options.", autocompletion=_kinds
        ),
    ] = None,
    form: Form = "text",
) -> None:
    """List what a study file can name.

    Studies, models, data sets, metrics, options of train, compute, cv and search, racing rules, samplers, probes
    of an audit; with the name of one that has options, those: harness list models resnet.
    """
    columns, rows = _listed(kind, name)
    listing = Listing({kind: tuple(dict(zip(columns, row, strict=True)) for row in rows)})
    if printed(listing, form, kind):
        return
    from harness.cli import tables

    short = sum(column in ("parameters", "better") for column in columns)
    tables.table(columns, rows, text=len(columns) - 1 - short)


def doctor(form: Form = "text", home: Home = DEFAULT_HOME) -> None:
    """Say what is here and what is missing.

    Versions, device, threads, stores, data sets, and what to do about the rest.
    """
    to_stderr()
    from harness.cli import doctor as diagnosis
    from harness.cli import tables

    found = diagnosis.diagnose(home)
    if not printed(found, form, "doctor"):
        lines = [(line.what, line.found, line.advice) for line in found.doctor]
        tables.table(("what", "found", "advice"), lines, text=2)


def ui(
    study: Annotated[
        str | None,
        typer.Argument(help="Open this study; all of them if omitted.", autocompletion=started_studies),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")] = 5000,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    optuna: Annotated[bool, typer.Option("--optuna", help="Optuna's dashboard instead.")] = False,
    form: Document = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Open MLflow's pages on this store.

    A study is an experiment; its trials are runs, their folds are runs below them, with curves, confusion matrices and
    models. With --optuna, Optuna's dashboard: search history, importances, parallel coordinates. Ctrl-C ends it.
    """
    to_stderr()
    from harness.store.loaded_study import started_study
    from harness.store.store import Store
    from harness.tracking import ui as pages
    from harness.tuning import Settings

    store = Store(home)
    if study is not None:
        started_study(store, study)
    if not (store.home / "mlflow.db").exists():
        raise UsageError(
            f"nothing has been tracked in {store.home} yet; begin with: {advised(home, 'tune', 'quickstart')}"
        )
    what = "Optuna's dashboard" if optuna else "MLflow, which may take half a minute"
    print(f"starting {what}", file=sys.stderr, flush=True)
    if optuna:
        serving = pages.serve_optuna(Settings(store.home).storage_url, port=port, open_browser=browser)
    else:
        serving = pages.serve(store.home, port=port, study=study, open_browser=browser)
    with serving as server:
        listens(server.url, form)
        server.wait()


def smoke(form: Form = "text") -> None:
    """Run everything small and offline.

    On embedded images, in a folder of its own: says what held (exit 3 if something did not). For a CI.
    """
    to_stderr()
    from harness import smoke as running

    checks = []
    for check in running.smoke():
        checks.append(check)
        line = f"{'ok  ' if check.held else 'FAIL'}  {check.name}: {check.detail}  ({check.seconds:.1f} s)"
        print(line, file=sys.stdout if form == "text" else sys.stderr, flush=True)
    printed(running.SmokeRun(all(check.held for check in checks), tuple(checks)), form, "checks")
    broken = [check.name for check in checks if not check.held]
    if broken:
        raise CheckFailed(f"{len(broken)} of {len(checks)} did not hold: {'; '.join(broken)}")


def _listed(kind: str, name: str | None) -> Table:
    """Columns and rows of one kind of thing, or of one entry's options."""
    if name is not None:
        entries = _entries(kind)
        if entries is None:
            raise UsageError(f"harness list {kind} takes no name; {', '.join(HAVE_OPTIONS)} do")
        if name not in entries:
            raise UsageError(f"no {kind.rstrip('s')} {name!r}{did_you_mean(name, list(entries))}")
        if problem := entries[name].problem:
            raise UsageError(problem)
        return _options(entries[name].options)
    if kind == "studies":
        found = catalog.studies().items()
        return ("study", "question", "file"), [(study, _question(study), str(path)) for study, path in found]
    if kind == "metrics":
        return ("metric", "better", "what it is"), [
            (metric.name, "higher" if metric.higher_is_better else "lower", metric.summary)
            for metric in catalog.all_metrics()
        ]
    if kind in topics.fixed_options():
        return _options(topics.fixed_options()[kind])
    if kind == "models":
        return ("name", "parameters", "what it is", "source", "options"), [
            (entry.name, entry.parameters, _what(entry), entry.place or entry.source, _names(entry))
            for entry in catalog.known("model").values()
        ]
    if kind == "probes":
        return ("name", "what it does", "options"), [
            (entry.name, entry.summary, _names(entry)) for entry in catalog.probes().values()
        ]
    return ("name", "what it is", "source", "options"), [
        (entry.name, _what(entry), entry.place or entry.source, _names(entry))
        for entry in (_entries(kind) or {}).values()
    ]


def _entries(kind: str) -> dict[str, Entry] | None:
    """What has options of its own, by name; None for another kind."""
    return HAVE_OPTIONS[kind]() if kind in HAVE_OPTIONS else None


def _what(entry: Entry) -> str:
    return f"broken: {entry.problem}" if entry.problem else entry.summary


def _names(entry: Entry) -> str:
    return ", ".join(option.name for option in entry.options)


def _options(options: Iterable[Option]) -> Table:
    return ("option", "takes", "default", "meaning"), [
        (
            option.name,
            topics.allowed(option),
            "required" if option.required else topics.text_of(option.default),
            option.meaning,
        )
        for option in options
    ]


def _question(name: str) -> str:
    """The first line of a study file, without its mark."""
    with catalog.studies()[name].open(encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return first.lstrip("#").strip() if first.startswith("#") else ""
