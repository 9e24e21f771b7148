"""The sections of a study on its page, in reading order."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.report import answer, charts, explore, matrix, pictures, provenance, ranks
from harness.report.format import duration, number, percent, score, shortened, times, with_error
from harness.report.svg import escaped
from harness.report.tables import Markup, folded, legend, paragraph, table

Section = tuple[str, str, str]  # id, title, HTML
TRAINING = '<line x1="0" y1="6" x2="16" y2="6" class="curve train"/>'
HELD_OUT = '<line x1="0" y1="6" x2="16" y2="6" class="curve validation"/>'
FILLED = '<circle cx="8" cy="6" r="4.5" class="point complete"/>'
HOLLOW = '<path d="M3.5 2.5L12.5 2.5L8 10.5Z" class="point stopped"/>'
FAILED = '<path d="M4 2L12 10L8 6L12 2L4 10L8 6Z" class="point failed"/>'
CELLS = (
    ('<rect x="2" y="1" width="11" height="10" class="cell complete"/>', "trained, trial complete"),
    ('<rect x="2" y="1" width="11" height="10" class="cell stopped"/>', "trained, then stopped"),
    ('<rect x="2" y="1" width="11" height="10" class="cell untrained"/>', "not trained"),
)
BEST_LINE = '<line x1="0" y1="6" x2="16" y2="6" class="best-line"/>'


def sections(study: Mapping[str, Any], pixels: Mapping[int, np.ndarray], *, prefix: str) -> list[Section]:
    """Those that there is something to say in.   prefix: of their ids, which must differ from study to study."""
    found = [
        ("answer", "Question and answer", _answer(study)),
        ("leaderboard", "Leaderboard", ranks.leaderboard(study)),
        ("history", "Search history", _history(study)),
        ("importances", "Which options matter", _importances(study)),
        ("explore", "Explore the trials", _explore(study, prefix)),
        ("curves", "Learning curves", _curves(study)),
        ("confusion", "Confusion matrix", _confusion(study, prefix)),
        ("classes", "Classes", _classes(study)),
        ("calibration", "Calibration", _calibration(study)),
        ("racing", "Racing", _racing(study)),
        ("gallery", "Images to look at", pictures.gallery(study, pixels)),
        ("cost", "Cost", _cost(study)),
        ("provenance", "Provenance", provenance.provenance(study)),
    ]
    return [(f"{prefix}{key}", title, inner) for key, title, inner in found if inner]


def _answer(study: Mapping[str, Any]) -> str:
    question = study["question"] or "The study file has no question at its top."
    said = "".join(paragraph(sentence) for sentence in study["answer"])
    rows = answer.scores(study)
    hint = "Blue: mean ± corrected standard error. Orange: 95 % interval."
    drawn = charts.forest(rows, f"Scores of the study, {study['objective']}") if len(rows) > 1 else ""
    return (
        paragraph(question, "question")
        + f'<div class="answer">{said}</div>'
        + drawn
        + (paragraph(hint, "hint") if drawn else "")
        + _metrics(study)
    )


def _metrics(study: Mapping[str, Any]) -> str:
    best, final = study["best_trial"], study["final"]
    if not best:
        return ""
    test = (final or {}).get("scores", {})
    rows = [
        (name, with_error(value["mean"], value["standard_error"]), *([score(test.get(name))] if test else []))
        for name, value in best["metrics"].items()
    ]
    head = ("metric", f"trial {best['number']}, mean of folds ± se", *(["test"] if test else []))
    return folded("All metrics of the best trial", table(head, rows))


def _history(study: Mapping[str, Any]) -> str:
    if len(study["trials"]) < 2:
        return ""
    states = {trial["state"] for trial in study["trials"]}
    entries = [(FILLED, "complete"), (BEST_LINE, "best so far")]
    entries += [(HOLLOW, "stopped early, or off the scale")] if "stopped" in states else []
    entries += [(FAILED, "failed")] if "failed" in states else []
    return legend(*entries) + charts.history(study)


def _importances(study: Mapping[str, Any]) -> str:
    if why := study["absent"].get("importances"):
        return paragraph(f"Not shown: {why}", "hint")
    if not study["importances"]:
        few = "Too few trials to tell: it takes eight with different scores."
        return paragraph(few, "hint") if study["searched"] else ""
    hint = "Share of the variation between the trials' scores that each searched option explains (PED-ANOVA)."
    return charts.bars(study["importances"], "Importances of the searched options") + paragraph(hint, "hint")


def _explore(study: Mapping[str, Any], prefix: str) -> str:
    scored = sum(trial["mean"] is not None for trial in study["trials"])
    if not study["searched"] or scored < 2:
        return ""
    states = [
        state
        for state in ("complete", "stopped", "running", "failed")
        if any(trial["state"] == state for trial in study["trials"])
    ]
    boxes = "".join(
        f'<label><input type="checkbox" value="{state}" checked> {state}</label> ' for state in states
    )
    controls = (
        f'<div class="controls"><span>{boxes}</span><label>only the best <input type="range" min="1" max="{scored}" '
        f'value="{scored}" id="{prefix}rank"> <output class="rank" for="{prefix}rank"></output></label>'
        '<button type="button">all again</button><output class="kept"></output></div>'
    )
    hint = (
        "Point at a trial to see it in every chart and in the leaderboard. Drag along an axis to keep the trials that "
        "go through there; a click on the axis lets it go. Lines: the darker (in the dark the lighter) the better; "
        "orange is the best."
    )
    return (
        paragraph(hint, "hint screen")
        + controls
        + explore.parallel(study)
        + paragraph(Markup(f"<b>Slices</b>: {escaped(study['objective'])} by each searched option."))
        + explore.slices(study)
    )


def _curves(study: Mapping[str, Any]) -> str:
    best = study["best_trial"]
    if not best:
        why = study["absent"].get("best_trial")
        return paragraph(f"Not shown: {why}.", "hint") if why else ""
    hint = f"Trial {best['number']}: the mean over {study['num_folds']} folds; the band spans all of them."
    return (
        legend((TRAINING, "training"), (HELD_OUT, "held-out"))
        + charts.learning_curves(best)
        + paragraph(hint, "hint")
    )


def _confusion(study: Mapping[str, Any], prefix: str) -> str:
    best = study["best_trial"] or {}
    if "confusion" not in best:
        why = study["absent"].get("predictions")
        return paragraph(f"Not shown: {why}.", "hint") if why else ""
    counts, classes = best["confusion"], study["data"]["classes"]
    right, total = sum(counts[place][place] for place in range(len(counts))), sum(map(sum, counts))
    share = f"{100 * right / max(total, 1):.1f} %"
    said = f"{right:,} of {total:,} held-out images are right ({share}), pooled over the folds."
    drawn = matrix.confusion(counts, classes)
    if drawn and len(classes) <= matrix.MOST_NUMBERS:
        names = [("counts", "images"), ("rates", "% of the true class")]
        switches = "".join(
            f'<input type="radio" name="{prefix}cells" id="{prefix}{kind}" class="as-{kind}"'
            f'{" checked" if kind == "counts" else ""}><label for="{prefix}{kind}">{words}</label>'
            for kind, words in names
        )
        drawn = f'<div class="toggle">{switches}{drawn}</div>'
    mistakes = [
        (shortened(true, 40), shortened(predicted, 40), f"{count:,}", percent(rate))
        for true, predicted, count, rate in matrix.most_confused(counts, classes)
    ]
    head = ("true", "called", "images", "of the true class")
    listed = "<h4>Confused most</h4>" + table(head, mistakes, numbers=(2, 3)) if mistakes else ""
    return paragraph(said) + drawn + listed


def _classes(study: Mapping[str, Any]) -> str:
    best = study["best_trial"] or {}
    if "classes" not in best:
        return ""
    rows = [
        (
            shortened(name, 40),
            f"{found['support']:,}",
            *(f"{found[part]:.3f}" for part in ("precision", "recall", "f1")),
            "–" if found["roc_auc"] is None else f"{found['roc_auc']:.4f}",
        )
        for name, found in zip(study["data"]["classes"], best["classes"], strict=True)
    ]
    head = ("class", "images", "precision", "recall", "F1", "ROC AUC")
    return table(head, rows, numbers=range(1, 6))


def _calibration(study: Mapping[str, Any]) -> str:
    best = study["best_trial"] or {}
    if "calibration" not in best:
        return ""
    found = best["calibration"]
    said = (
        f"Expected calibration error {found['error']:.4f} over {len(found['count'])} bins of confidence: where the "
        "orange line is below the dashed one, the network is surer than it is right."
    )
    return paragraph(said) + charts.reliability(found)


def _racing(study: Mapping[str, Any]) -> str:
    found = study["racing"]
    if len(study["trials"]) < 2 or (found["rule"] in (None, "none") and not found["stopped"]):
        return ""
    if not found["stopped"]:
        return paragraph(f"The rule “{found['rule']}” has stopped none of {len(study['trials'])} trials.")
    were = "was" if found["stopped"] == 1 else "were"
    share = found["folds_saved"] / max(found["folds_of_ended_trials"], 1)
    said = (
        f"{found['stopped']} of {times(len(study['trials']), 'trial')} {were} stopped before the last fold, by the "
        f"rule “{found['rule']}”"
        + (f" with a short training of {percent(found['rung'])} first" if found["rung"] else "")
        + ". "
        f"That saved {times(found['folds_saved'], 'fold')}, {percent(share)} of all that the trials would have had: "
        f"about {duration(found['seconds_saved'])} of training, at the folds' mean duration."
    )
    if checked := found["checked"]:
        said += (
            f" Of {checked['finished']} stopped trials that the audit finished, {len(checked['false'])} would have "
            "been better than the best."
        )
    rows = [
        (trial["number"], len(trial["folds"]), score(trial["mean"]), trial["reason"])
        for trial in sorted(study["trials"], key=lambda trial: trial["number"])
        if trial["state"] == "stopped"
    ]
    listed = table(("trial", "folds", study["objective"], "why"), rows, numbers=(0, 1, 2), wrap=3)
    return (
        paragraph(said)
        + legend(*CELLS)
        + explore.folds_trained(study)
        + (folded("Why each was stopped", listed) if rows else "")
    )


def _cost(study: Mapping[str, Any]) -> str:
    found, best = study["cost"], study["best_trial"]
    rows = [
        (
            "training of the trials' folds",
            f"{duration(found['seconds'])} ({times(found['folds'], 'fold')})",
        ),
        ("device", found["device"]),
    ]
    if found["short_trainings"]:
        rows.insert(
            1, ("short trainings", f"{duration(found['short_seconds'])} ({found['short_trainings']})")
        )
    if study["best"]:
        rows.append(("the best trial, all folds", duration(found["best_seconds"])))
    if found["images_per_second"]:
        rows.append(("its speed of training", f"{found['images_per_second']:,.0f} images/s"))
    if best:
        rows.append(("its parameters", number(f"{best['num_parameters']:,}")))
    rows.append(("energy", "not measured"))
    hint = "Sum over the processes that trained, as recorded; folds that an earlier study had trained count as if anew."
    return table(("what", "how much"), rows) + paragraph(hint, "hint")
