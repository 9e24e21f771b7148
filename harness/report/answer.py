"""The answer of a study in a sentence or two, what warns of it, and its scores side by side."""

from typing import NamedTuple

from harness.charts.scores import Row
from harness.charts.scores import interval as interval_row
from harness.report.document import Notice, StudyReport
from harness.report.format import interval, number, score, times, with_error
from harness.store.findings import Confirmation, FinalTest


def sentences(study: StudyReport) -> list[str]:
    """The answer, and what it is worth: plain text, the first sentence by itself says it all."""
    best, metric, ended = study.best, study.objective, study.num_ended
    if best is None:
        return [f"There is no answer yet: {ended} of {study.num_trials} trials have ended, none is complete."]
    values = ", ".join(f"{path.partition('.')[2]} {number(value)}" for path, value in best.params.items())
    which = f"The best of {ended} trials is trial {best.number}" if ended > 1 else "The one trial"
    if best.number == 0 and ended > 1:
        which += ", the defaults: tuning has found nothing better"
    folds = "one held-out part" if study.num_folds == 1 else f"the mean of {study.num_folds} folds"
    of_folds = (
        f"{which}{f' ({values})' if values else ''}: {metric} {with_error(best.mean, best.half_width)}, {folds} "
        "(± is the 95 % interval)."
    )
    confirmed = _of_confirmation(study.confirm) if study.confirm else []
    said = [of_folds]
    if final := study.final:
        said = [_of_test(final, metric), f"By the folds alone: {of_folds[0].lower()}{of_folds[1:]}"]
    elif study.confirm and not study.confirm.winner_held:
        said = [*confirmed[:1], f"By the folds alone: {of_folds[0].lower()}{of_folds[1:]}"]
        confirmed = confirmed[1:]
    if study.scored_by:
        said.append(f"{study.scored_by[0].upper()}{study.scored_by[1:]}.")
    if corrected := study.corrected:
        said.append(
            f"Without the luck of being the best of {corrected.num_trials} trials: {score(corrected.corrected)} "
            f"({interval(corrected.low, corrected.high)})."
        )
    if found := study.defaults:
        better = "better" if found.gain >= 0 else "worse"
        gains = f"is {abs(found.gain):.4f} {better} than the defaults (trial 0)"
        chance = "that may be chance" if found.low <= 0 <= found.high else "more than chance explains"
        said.append(
            f"Without that luck trial {best.number} {gains}: {chance} (95 % {found.low:+.4f} to {found.high:+.4f})."
        )
    said += confirmed
    if study.audit is None:
        said.append("It has not been audited for leaks.")
    elif study.audit.verdict == "passed":
        said.append(f"The audit of trial {study.audit.trial} has passed: {study.audit.sentence}")
    else:
        said.append("The audit has failed: this score cannot be believed.")
    return said


def _of_test(final: FinalTest, metric: str) -> str:
    value = final.scores[metric]
    right = (
        f"{round(value * final.num_images):,} of {final.num_images:,} right, " if metric == "accuracy" else ""
    )
    sealed = ", which nothing was trained on or chosen by," if final.looks == 1 else ""
    return (
        f"On the sealed test images{sealed} trial {final.trial} has {right}"
        f"{score(value)} ({interval(*final.intervals[metric])}). {final.worth}"
    ).rstrip()


def _of_confirmation(confirm: Confirmation) -> list[str]:
    winner, before = confirm.of(confirm.winner), confirm.tuned_order[0]
    value = with_error(winner.confirmed, winner.confirmed_half_width)
    folds = "the same folds" if confirm.has_same_folds else "new folds"
    held = "is the best again" if confirm.winner_held else f"is the best now, where trial {before} was"
    said = [
        f"With {times(len(confirm.trials), 'trial')} trained again from other seeds on {folds}, trial {confirm.winner} "
        f"{held}: {value}."
    ]
    if expected := confirm.champion:
        said.append(
            f"Trained on all {expected.train_images:,} training images, trial {expected.trial} is expected to score "
            f"{score(expected.expected)} on {expected.test_images:,} new images "
            f"({interval(expected.low, expected.high)}); the folds' networks are trained on {expected.fold_images:,}."
        )
    return said


def warnings(study: StudyReport) -> list[Notice]:
    """What a reader must know first."""
    failed: list[str] = []
    notes: list[str] = []
    audit, final, confirm = study.audit, study.final, study.confirm
    if final and final.contradiction:
        failed.append(final.contradiction)
    if audit and audit.verdict == "failed":
        said = " ".join(
            f"{check.probe}: {check.sentence}" for check in audit.findings if check.verdict == "failed"
        )
        failed.append(f"This score cannot be believed: the audit has failed. {said}")
    if final and final.checked:
        failed.append(f"The test was opened all the same, because: {final.checked}")
    if study.state != "finished":
        notes.append(f"The study is {study.state}: {study.num_ended} of {study.num_trials} trials ended.")
    if failures := [trial for trial in study.trials if trial.state == "failed"]:
        kinds = ", ".join(sorted({trial.failure or "unknown" for trial in failures}))
        notes.append(f"{times(len(failures), 'trial')} failed ({kinds}).")
    if slow := [trial for trial in study.trials if "seconds_per_fold" in trial.reason]:
        notes.append(
            f"{times(len(slow), 'trial')} could not win, for the seconds of a fold (search.constraints): on other "
            "machines another trial may be best."
        )
    notes += [f"{said[0].upper()}{said[1:]}." for said in study.hidden]
    if audit and study.chosen is not None and audit.trial != study.chosen:
        notes.append(
            f"The audit was of trial {audit.trial}, and trial {study.chosen} is the one that final "
            f"{'took' if final else 'takes'}."
        )
    if confirm and not confirm.winner_held:
        folds = "" if confirm.has_same_folds else " and new folds"
        notes.append(f"The order of the trials did not hold with fresh seeds{folds}.")
    if final and final.looks > 1:
        reason = f" (reason: {final.reason})" if final.reason else ""
        notes.append(f"These test images have been looked at {final.looks} times{reason}.")
    if final and final.seen_before:
        seen = f"{final.seen_before:,} of {final.num_images:,}"
        notes.append(f"{seen} test images were looked at before, by a study that this one extends.")
    return [*(Notice("failed", text) for text in failed), *(Notice("note", text) for text in notes)]


class Score(NamedTuple):
    """low, high: its 95 % interval.   of_folds: whether it is a mean over folds, whose interval is ± as much."""

    label: str
    value: float
    low: float
    high: float
    of_folds: bool = False

    @classmethod
    def of_mean(cls, label: str, mean: float | None, half_width: float | None) -> "Score":
        mean, half_width = mean or 0.0, half_width or 0.0
        return cls(label, mean, mean - half_width, mean + half_width, of_folds=True)

    @property
    def row(self) -> Row:
        """Of a chart of intervals."""
        words = f"{score(self.value)} ({score(self.low)}–{score(self.high)})"
        if self.of_folds:
            words = with_error(self.value, (self.high - self.low) / 2)
        kind = "rough" if self.of_folds else "exact"
        return interval_row(self.label, self.value, self.low, self.high, words=words, kind=kind)


def scores(study: StudyReport) -> list[Score]:
    """The study's scores from the defaults to the test, each with the interval that belongs to it."""
    best, rows = study.best, []
    first = next((trial for trial in study.trials if trial.number == 0), None)
    if best and best.number != 0 and first and first.state == "complete":
        rows.append(Score.of_mean("fold score, defaults", first.mean, first.half_width))
    if best:
        rows.append(Score.of_mean(f"fold score, trial {best.number}", best.mean, best.half_width))
    if found := study.corrected:
        rows.append(Score(f"corrected, trial {found.trial}", found.corrected, found.low, found.high))
    if confirm := study.confirm:
        winner = confirm.of(confirm.winner)
        label = f"confirmed, trial {winner.number}"
        rows.append(Score.of_mean(label, winner.confirmed, winner.confirmed_half_width))
        if expected := confirm.champion:
            label = f"expected, trial {expected.trial}"
            rows.append(Score(label, expected.expected, expected.low, expected.high))
    if final := study.final:
        low, high = final.intervals[study.objective]
        rows.append(Score(f"test, trial {final.trial}", final.scores[study.objective], low, high))
    return rows
