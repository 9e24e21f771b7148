"""The answer of a study in a sentence or two, what warns of it, and its scores side by side."""

from collections.abc import Mapping
from typing import Any

from harness.analysis.compare import Contender, compare
from harness.errors import HarnessError
from harness.report.format import interval, number, score, times, with_error
from harness.store.loaded_study import LoadedStudy


def sentences(study: Mapping[str, Any]) -> list[str]:
    """The answer, and what it is worth: plain text, the first sentence by itself says it all."""
    best, metric = study["best"], study["objective"]
    ended = sum(trial["state"] != "running" for trial in study["trials"])
    if best is None:
        return [
            f"There is no answer yet: {ended} of {study['num_trials']} trials have ended, none is complete."
        ]
    values = ", ".join(f"{path.partition('.')[2]} {number(value)}" for path, value in best["params"].items())
    which = f"The best of {ended} trials is trial {best['number']}" if ended > 1 else "The one trial"
    parts = [
        f"{which}{f' ({values})' if values else ''}: {metric} {with_error(best['mean'], best['standard_error'])} "
        f"(mean of {study['num_folds']} folds ± corrected standard error)"
    ]
    honest, final = study["honest"], study["final"]
    if honest and honest["num_trials"] > 1:
        parts.append(
            f"corrected for the choice among {honest['num_trials']} trials {score(honest['corrected'])} "
            f"({interval(honest['low'], honest['high'])})"
        )
    if final:
        parts.append(
            f"on the sealed test images trial {final['trial']} scores {score(final['scores'][metric])} "
            f"({interval(*final['intervals'][metric])})"
        )
    return [f"{'; '.join(parts)}.", *_gained(study)]


def _gained(study: Mapping[str, Any]) -> list[str]:
    """What tuning has brought, and what a confirmation and the audit say."""
    said = []
    if found := study["defaults"]:
        span = f"95 % {found['low']:+.4f} to {found['high']:+.4f}"
        if not found["low"] <= 0 <= found["high"]:
            verdict = "more than chance explains"
        else:
            verdict = "which may be chance"
        said.append(f"Against the defaults (trial 0) it gains {found['gain']:+.4f} ({span}), {verdict}.")
    if confirm := study["confirm"]:
        row = next(row for row in confirm["trials"] if row["number"] == confirm["winner"])
        held = "the winner held" if confirm["winner_held"] else f"the winner is now trial {confirm['winner']}"
        value = with_error(row["confirmed"], row["confirmed_standard_error"])
        said.append(f"Confirmed with fresh seeds and new folds: {value}; {held}.")
    if (audit := study["audit"]) and audit["verdict"] == "passed":
        said.append(f"The audit of trial {audit['trial']} has passed: {audit['sentence']}")
    elif audit is None:
        said.append("It has not been audited for leaks.")
    else:
        said.append("The audit has failed: this score cannot be believed.")
    return said


def against_defaults(study: LoadedStudy) -> dict[str, Any] | None:
    """The best trial's gain over trial 0, positive for better, with its 95 % interval; None without either."""
    best = study.best
    if best is None or best.number == 0 or study.trials[0].state != "complete":
        return None
    try:
        found = compare([Contender(study, best), Contender(study, study.trials[0])])
    except HarnessError:
        return None
    defaults = found["trials"][1]
    return {
        "gain": -defaults["difference"],
        "low": -defaults["high"],
        "high": -defaults["low"],
        "p": defaults["t_test"]["p"],
    }


def warnings(study: Mapping[str, Any]) -> list[dict[str, str]]:
    """What a reader must know first. level: "failed" where the score cannot be believed, else "note"."""
    found = []
    audit, final, confirm = study["audit"], study["final"], study["confirm"]
    if audit and audit["verdict"] == "failed":
        failed = [finding for finding in audit["findings"] if finding["verdict"] == "failed"]
        said = " ".join(f"{finding['probe']}: {finding['sentence']}" for finding in failed)
        found.append(_warning("failed", f"This score cannot be believed: the audit has failed. {said}"))
    if final and final["checked"]:
        found.append(_warning("failed", f"The test was opened all the same, because: {final['checked']}"))
    ended = sum(trial["state"] != "running" for trial in study["trials"])
    if study["state"] != "finished":
        found.append(
            _warning("note", f"The study is {study['state']}: {ended} of {study['num_trials']} trials ended.")
        )
    if failures := [trial for trial in study["trials"] if trial["state"] == "failed"]:
        kinds = ", ".join(sorted({trial["failure"] or "unknown" for trial in failures}))
        found.append(_warning("note", f"{times(len(failures), 'trial')} failed ({kinds})."))
    if audit and study["best"] and audit["trial"] != study["best"]["number"]:
        found.append(
            _warning("note", f"The audit was of trial {audit['trial']}, which is not the best any more.")
        )
    if confirm and not confirm["winner_held"]:
        found.append(_warning("note", "The order of the trials did not hold with fresh seeds and new folds."))
    if final and final["looks"] > 1:
        reason = f" (reason: {final['reason']})" if final["reason"] else ""
        found.append(
            _warning("note", f"These test images have been looked at {final['looks']} times{reason}.")
        )
    return found


def _warning(level: str, text: str) -> dict[str, str]:
    return {"level": level, "text": text}


def scores(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The study's scores from the defaults to the test, each with the interval that belongs to it.

    low, high: ± one standard error, or a 95 % interval; `interval` says which.
    """
    metric, best = study["objective"], study["best"]
    rows: list[dict[str, Any]] = []

    def add(label: str, value: float, low: float, high: float, interval: str) -> None:
        rows.append({"label": label, "value": value, "low": low, "high": high, "interval": interval})

    def with_standard_error(label: str, value: float, error: float | None) -> None:
        add(label, value, value - (error or 0.0), value + (error or 0.0), "± standard error")

    first = next((trial for trial in study["trials"] if trial["number"] == 0), None)
    if best and first and first["state"] == "complete" and best["number"] != 0:
        with_standard_error("defaults, trial 0", first["mean"], first["standard_error"])
    if best:
        with_standard_error(f"best, trial {best['number']}", best["mean"], best["standard_error"])
    if (honest := study["honest"]) and honest["num_trials"] > 1:
        add("best, corrected for the choice", honest["corrected"], honest["low"], honest["high"], "95 %")
    if confirm := study["confirm"]:
        row = next(row for row in confirm["trials"] if row["number"] == confirm["winner"])
        with_standard_error(
            f"confirmed, trial {row['number']}", row["confirmed"], row["confirmed_standard_error"]
        )
    if final := study["final"]:
        low, high = final["intervals"][metric]
        add(f"test, trial {final['trial']}", final["scores"][metric], low, high, "95 %")
    return rows
