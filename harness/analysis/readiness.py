"""What must have been done with a study before its test images are opened: all trials, an audit, a confirmation."""

from collections.abc import Generator
from dataclasses import dataclass

from harness.analysis.audit import audit
from harness.analysis.confirm import confirm, with_estimate
from harness.errors import CheckFailed, UsageError
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.train_folds import Step
from harness.records import TrialRecord
from harness.store.findings import Audit, Confirmation
from harness.store.loaded_study import LoadedStudy, intact


@dataclass(frozen=True)
class Request:
    """How `final` is asked for.

    top: trials to confirm.   cluster: what trains.   checked: why a failed audit is no reason not to look, or "".
    again: why the test images are looked at once more, or "".
    """

    top: int = 3
    cluster: Cluster = THIS_PROCESS
    checked: str = ""
    again: str = ""


def ready(study: LoadedStudy, request: Request) -> Generator[Step, None, tuple[Audit, Confirmation]]:
    """The audit of the confirmed winner and the confirmation, each made now where it has not been.

    A trial is audited before any is confirmed, for most of what fails an audit is in the images.
    Raises UsageError for a study that is not finished or has no complete trial, CheckFailed where an audit failed.
    """
    _require_finished(study)
    if study.best is None:
        raise UsageError(f"study {study.name} has no complete trial: there is nothing to test")
    found = intact(study, Audit)
    if found is None or found.trial not in [trial.number for trial in study.top(request.top)]:
        found = yield from _audited(study, _confirmed_already(study, request) or study.best, request)
    yield from _passed(found, request)
    confirmation = yield from _confirmed(study, request)
    if found.trial != confirmation.winner:
        found = yield from _audited(study, study.trials[confirmation.winner], request)
        yield from _passed(found, request)
    yield f"audit of trial {found.trial} {found.verdict}: {found.sentence}"
    return found, confirmation


def _require_finished(study: LoadedStudy) -> None:
    done, begun, wanted = len(study.ended), len(study.trials), study.record.num_trials
    if done >= wanted:
        return
    advice = "run tune again first"
    if 0 < begun < wanted:  # fewer than have begun cannot be asked for
        advice += f", or end it with those that have begun: tune --trials {begun}"
    raise UsageError(f"study {study.name} is not finished ({done} of {wanted} trials): {advice}")


def _audited(study: LoadedStudy, trial: TrialRecord, request: Request) -> Generator[Step, None, Audit]:
    """The audit of the trial, made now."""
    yield f"auditing trial {trial.number}"
    for step in audit(study, trial=str(trial.number), cluster=request.cluster):
        if isinstance(step, Audit):
            return step
        yield step
    raise AssertionError("an audit ends with what it has found")


def _passed(found: Audit, request: Request) -> Generator[Step, None, None]:
    """What is worth a look. Raises CheckFailed for a failed audit, unless it is said why that is no reason to stop."""
    for check in found.findings:
        if check.verdict != "passed":
            yield f"audit {check.verdict}: {check.probe}: {check.sentence}"
    if found.verdict == "failed" and not request.checked:
        raise CheckFailed(
            f"{found.sentence} The test images stay sealed; if you have made sure that the score is honest, "
            'say why with --i-checked "reason"'
        )


def _confirmed_already(study: LoadedStudy, request: Request) -> TrialRecord | None:
    """The winner of the study's best trials, where they were confirmed."""
    found = intact(study, Confirmation)
    numbers = [trial.number for trial in study.top(request.top)]
    if found is None or [trial.number for trial in found.trials] != numbers:
        return None
    return study.trials[found.winner]


def _confirmed(study: LoadedStudy, request: Request) -> Generator[Step, None, Confirmation]:
    """The confirmation of the study's best trials, made now unless there is one, and what is expected of it."""
    found = intact(study, Confirmation)
    numbers = [trial.number for trial in study.top(request.top)]
    steps = confirm(study, top=request.top, cluster=request.cluster)
    if found and [trial.number for trial in found.trials] == numbers:
        if found.champion is not None:
            return found
        steps = with_estimate(study, found, cluster=request.cluster)  # it is of an earlier release
    for step in steps:
        if isinstance(step, Confirmation):
            found = step
        else:
            yield step
    assert found is not None
    return found
