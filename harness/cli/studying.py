"""tune, status, show, reproduce: the commands that run a study and look at it."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import (
    DEFAULT_HOME,
    Address,
    Executor,
    Form,
    Gpus,
    Home,
    Sets,
    Slurm,
    Study,
    Workers,
    advised,
    connected,
    executor_options,
    opened,
    printed,
    started_studies,
    study_files,
)
from harness.config import catalog
from harness.config.settings import Choice, Range, parse_setting
from harness.config.yaml import parse_value
from harness.documents import plain_json, to_json
from harness.errors import (
    CheckFailed,
    HarnessError,
    Interrupted,
    Problem,
    StoreError,
    StudyError,
    Terminated,
    UsageError,
    did_you_mean,
)
from harness.messages import to_stderr
from harness.records import sign_of

if TYPE_CHECKING:
    from harness.analysis.leaderboard import Status
    from harness.config.study_file import Study as Definition
    from harness.tuning import StudyEnded

StudyFile = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="A study's name (harness list studies) or file.", autocompletion=study_files
    ),
]
Timeout = Annotated[
    float | None, typer.Option(metavar="MINUTES", min=0.0, help="Begin no trial after so many minutes.")
]


def tune(
    study: StudyFile,
    changes: Sets = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials in all, instead of the study's own.")
    ] = None,
    workers: Workers = "auto",
    executor: Executor = "process",
    address: Address = "",
    gpus: Gpus = 0.0,
    slurm: Slurm = None,
    timeout: Timeout = None,
    as_name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Run it as a new study of that name.")
    ] = None,
    extends: Annotated[
        str | None,
        typer.Option(
            "--extend",
            metavar="STUDY",
            help="Begin a new study, --as NAME, on what the data are now: images of STUDY keep their fold and part.",
            autocompletion=started_studies,
        ),
    ] = None,
    fail_below: Annotated[
        float | None,
        typer.Option(metavar="VALUE", help="Exit with 3 if the best mean is worse: a gate for a CI."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed trials again.")] = False,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Say where the time went; profile.json opens in ui.perfetto.dev."),
    ] = False,
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Run a study, or go on with it.

    Every trial is cross-validated; the best is known with its error; MLflow shows it all. Interrupt it whenever you
    like: the same command goes on where it stopped, to the same bits.
    """
    to_stderr()
    from harness import tuning
    from harness.analysis import leaderboard
    from harness.cli import live, tables
    from harness.config.kinds import MLFLOW
    from harness.config.study_file import load_study_file
    from harness.store.store import Store

    if extends is not None and as_name in (None, extends):
        raise UsageError(f"--extend {extends} begins another study: name it with --as NAME")
    settings = tuning.Settings(
        home=home,
        extends=extends,
        num_trials=trials,
        timeout_minutes=timeout,
        name=as_name,
        profile=profile,
        retry_failed=retry_failed,
        **executor_options(executor, workers, address, gpus, slurm),
    )
    _require_file(study, home)
    definition = load_study_file(study, changes or [])
    _tell_where(study, definition, as_name, home)
    try:
        with closing(tuning.tune(definition, settings)) as events:
            ended = live.show(events, as_name or definition.name)
    except (KeyboardInterrupt, Terminated) as signal:
        if Store(home).has_study(as_name or definition.name):
            raise
        raise Interrupted(
            f"{'terminated' if isinstance(signal, Terminated) else 'interrupted'} before the first fold had ended; the "
            "same command goes on where it stopped (status has nothing to show until a fold has ended)",
            signal,
        ) from None
    if not Store(home).has_study(ended.record.name):
        raise HarnessError(
            "the time was over before a fold was trained; run it again with a longer --timeout"
        )
    status = leaderboard.status(opened(home, ended.record.name))
    document = to_json(status) | ({"profile": plain_json(ended.profile)} if profile else {})
    if not printed(document, form, "trials"):
        _print_standing(status, home, whole=False)
        if profile:
            tables.profile(ended.profile)
        tables.next_steps(status, home, in_mlflow=MLFLOW in definition.trackers)
    _require_success(ended, home)
    if fail_below is not None:
        _require_as_good(status, fail_below)


def status(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY]...",
            help="Studies that have been started; all of them if omitted.",
            autocompletion=started_studies,
        ),
    ] = None,
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Show a leaderboard, or compare studies.

    Of one study every trial with its error bar, best first, and the best score corrected for the choice among them; of
    several what each gains over the one before it, with the gain's error.
    """
    to_stderr()
    from harness.analysis import leaderboard
    from harness.cli import tables
    from harness.store.store import Store

    named = [opened(home, name) for name in studies or ()]
    if len(named) > 1:
        compared = leaderboard.compare(named)
        if not printed(compared, form, "compared"):
            tables.comparison(compared)
        return
    if named:
        standing = leaderboard.status(named[0])
        if not printed(standing, form, "trials"):
            _print_standing(standing, home)
        return
    store = Store(home)
    found = leaderboard.started(store)
    if not printed(found, form, "studies"):
        tables.studies_started(found, store)


def show(
    study: Study,
    trial: Annotated[str, typer.Argument(help="Which trial: best, or its number.")] = "best",
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Show all that is recorded of one trial.

    Its state and why, the values, each fold's score and time, what it was computed on, its run in MLflow; of a failed
    one the traceback.
    """
    to_stderr()
    from harness.analysis.trial import trial_page
    from harness.cli import tables

    page = trial_page(opened(home, study), trial)
    if not printed(page, form, "folds"):
        tables.trial(page)


def reproduce(
    study: Study,
    trial: Annotated[str, typer.Option(help="Which trial: best, or its number.")] = "best",
    changes: Sets = None,
    workers: Workers = "auto",
    executor: Executor = "process",
    address: Address = "",
    gpus: Gpus = 0.0,
    slurm: Slurm = None,
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Train a recorded trial again and compare.

    Says BITWISE, WITHIN-NOISE or DRIFT (exit 3), and what differs. Nothing is used but the record and the data;
    --set compute.threads=2 and the like try it under other circumstances.
    """
    to_stderr()
    from harness.analysis import reproduce as reproducing
    from harness.cli import tables
    from harness.cli.progress import follow

    compute = _compute_changes(changes or [])
    with connected(home, executor, workers, address, gpus, slurm) as cluster:
        steps = reproducing.reproduce(opened(home, study), trial=trial, cluster=cluster, compute=compute)
        found = follow(steps, f"reproduce {study}")
    if not printed(found, form, "folds"):
        tables.reproduction(found)
    reproducing.require_reproduced(found)


def _require_file(study: str, home: Path) -> None:
    """Raise UsageError for a study that has begun under a name that no file has, with the command that goes on."""
    from harness.store.begun_with import begun_with
    from harness.store.store import Store, valid_name

    store = Store(home)
    if study in catalog.studies() or not valid_name(study) or Path(study).is_file():
        return
    record = store.read_study(study) if store.has_study(study) else None
    if record is None:
        return
    command, where = begun_with(record, home), ""
    if not command:
        command, where = begun_with(record, home, "FILE"), ", where FILE is the one that it began with"
    raise UsageError(
        f"study {study} has begun, and no study file is called so: {command} goes on with it{where}"
    )


def _tell_where(study: str, definition: "Definition", as_name: str | None, home: Path) -> None:
    """Say where the study file and the store are, where a name has led to a file that is not in this folder."""
    from harness.store.store import Store

    file, here = Path(definition.source).absolute(), Path.cwd()
    if study not in catalog.studies() or here in file.parents:
        return
    name, beside = as_name or definition.name, file.parent.parent / DEFAULT_HOME
    said = f"study file {file}, store {home}"
    if beside != home and not Store(home).has_study(name) and Store(beside).has_study(name):
        said += f", where {name} begins anew; --home {beside} goes on with the study there"
    print(said, file=sys.stderr)


def _compute_changes(changes: list[str]) -> dict[str, Any]:
    """The `compute.…=` overrides of reproduce, checked like a study's."""
    options, chosen, problems = catalog.compute_options(), {}, []
    for change in changes:
        path, _, text = change.partition("=")
        name = path.strip().removeprefix("compute.")
        if not path.strip().startswith("compute.") or name not in options:
            known = [f"compute.{option}" for option in options]
            problems.append(Problem(path, f"reproduce can change compute only{did_you_mean(path, known)}"))
            continue
        value, found = parse_setting(parse_value(text), options[name], path)
        if isinstance(value, Choice | Range) or value == "auto":
            found = [Problem(path, "must be one value")]
        problems += found
        chosen[name] = value
    if problems:
        raise StudyError("--set", problems)
    return chosen


def _print_standing(status: "Status", home: Path, *, whole: bool = True) -> None:
    """The leaderboard, and of a study with several objectives its front.

    whole: even if the terminal is not high enough.
    """
    from harness.cli import pareto, tables

    tables.leaderboard(status, home, whole=whole)
    if status.state == "interrupted" and whole:
        from harness.store.begun_with import begun_with

        command = begun_with(opened(home, status.study).record, home)
        tables.say(f"goes on with: {command}" if command else "the command that began it goes on with it")
    if status.pareto and status.trials:
        pareto.front(status.pareto, best=status.best.number if status.best else None)


def _require_success(ended: "StudyEnded", home: Path) -> None:
    """Raise StoreError if something was not delivered, HarnessError if no trial has succeeded."""
    if ended.pending:
        raise StoreError(
            f"MLflow or Optuna has not taken everything ({ended.pending}); nothing is lost: when that is mended, "
            f"{advised(home, 'sync', ended.record.name)} delivers the rest"
        )
    if ended.best is None and ended.state == "finished":
        reasons = "; ".join(sorted({trial.reason for trial in ended.trials}))
        raise HarnessError(f"no trial has succeeded ({reasons})")


def _require_as_good(status: "Status", bound: float) -> None:
    """Raise CheckFailed if the best mean is worse than the bound."""
    if status.best is None or status.best.mean is None:
        raise CheckFailed(f"no complete trial to compare with --fail-below {bound:g}")
    mean, sign = status.best.mean, sign_of(status.direction)
    if sign * mean < sign * bound:
        word = "below" if sign > 0 else "above"
        raise CheckFailed(f"the best {status.objective}, {mean:.4f}, is {word} {bound:g}")
