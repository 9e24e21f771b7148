"""The sections of a study on its page, in reading order."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from harness.charts import networks, trials
from harness.charts.scores import intervals
from harness.pages import folded, joined, paragraph, table
from harness.provenance import changes_in_words
from harness.report import answer, explore, front
from harness.report.alike import page_part
from harness.report.begun_with import data_table
from harness.report.document import StudyReport
from harness.report.figures import Figures, numbers_of
from harness.report.format import duration, percent, score, shortened, times, with_error
from harness.report.gallery import by_kind
from harness.scoring.quantities import QUANTITIES

Section = tuple[str, str, Markup]  # id, title, HTML
MOST_MISTAKES = 8  # below the confusion matrix
MOST_LISTED = 300  # mistakes, where all are asked for
NOTHING = Markup("")


def sections(
    study: StudyReport, pixels: Mapping[int, np.ndarray], draw: Figures, *, prefix: str
) -> list[Section]:
    """Those that there is something to say in.   draw: gets the charts.   prefix: of ids, which differ by study."""
    found = [
        ("answer", "Question and answer", _answer(study, draw)),
        ("leaderboard", "Leaderboard", explore.leaderboard(study)),
        ("front", "Pareto front", front.front(study, draw)),
        ("history", "Search history", _history(study, draw, prefix)),
        ("explore", "Explore the trials", explore.explored(study, draw, prefix)),
        ("importances", "Which options matter", _importances(study, draw)),
        ("two", "Two trials side by side", explore.two_trials(study, draw, prefix)),
        ("racing", "Folds and racing", _racing(study, draw)),
        ("curves", "Learning curves", _curves(study, draw)),
        ("confusion", "Confusion matrix", _confusion(study, draw)),
        ("classes", "Classes", _classes(study, draw)),
        ("thresholds", "ROC and precision-recall", _thresholds(study, draw)),
        ("calibration", "Calibration", _calibration(study, draw)),
        ("gallery", "Images to look at", _gallery(study, pixels)),
        ("alike", "Images that are alike", page_part(study.alike, pixels) if study.alike else NOTHING),
        ("data", "Data", data_table(study.begun_with) if study.begun_with else NOTHING),
        ("cost", "Cost", joined(_cost(study), explore.timeline(study, draw))),
        ("provenance", "Provenance", _provenance(study)),
    ]
    return [(f"{prefix}{key}", title, inner) for key, title, inner in found if inner]


def _answer(study: StudyReport, draw: Figures) -> Markup:
    parts = [
        paragraph(study.question or "The study file has no question at its top.", "question"),
        Markup('<div class="answer">{}</div>').format(joined(*map(paragraph, study.answer))),
    ]
    rows = answer.scores(study)
    if len(rows) > 1:
        hint = "All bars are 95 % intervals. Blue: means over the folds."
        title = f"Scores of the study, {study.objective}"
        parts.append(draw("scores", intervals([row.row for row in rows], title)))
        parts.append(paragraph(hint, "hint"))
        named = [name for name in QUANTITIES if any(row.label.startswith(name) for row in rows)]
        meanings = table(("score", "what it is"), [(name, QUANTITIES[name]) for name in named], wrap=1)
        parts.append(folded("What each score is of", meanings))
    if best := study.best_trial:
        test = study.final.scores if study.final and study.final.trial == best.number else {}
        metrics = [
            (name, with_error(found.mean, found.half_width), *([score(test.get(name))] if test else []))
            for name, found in best.metrics.items()
        ]
        head = ("metric", f"trial {best.number}, mean of folds ± 95 %", *(["test"] if test else []))
        parts.append(folded(f"All metrics of trial {best.number}", table(head, metrics)))
    return joined(*parts)


def _beside(*parts: str) -> Markup:
    """Side by side, where there is room."""
    return Markup('<div class="charts large">{}</div>').format(joined(*parts))


def _history(study: StudyReport, draw: Figures, prefix: str) -> Markup:
    if len(study.trials) < 2:
        return NOTHING
    title = f"Search history: {study.objective} of every trial, by number"
    hint = (
        "Mean over the folds with its 95 % interval; a triangle lies off the scale; the line is the best so far of the "
        "complete trials. What is chosen above holds for all charts of trials. Drag a chart to move it, zoom with Ctrl "
        "and the wheel, double-click to go back."
    )
    chart = draw(
        "history", trials.history(study.objective, study.direction, title, explore.states(study)), ""
    )
    return joined(explore.controls(study, prefix), chart, paragraph(hint, "hint screen"))


def _importances(study: StudyReport, draw: Figures) -> Markup:
    if why := study.absent.get("importances"):
        return paragraph(f"Not shown: {why}", "hint")
    if not study.importances:
        few = "Too few trials to tell: it takes eight with different scores."
        return paragraph(few, "hint") if study.searched else NOTHING
    hint = "Share of the variation between the trials' scores that each searched option explains (PED-ANOVA)."
    return draw("importances", networks.importances(study.importances)) + paragraph(hint, "hint")


def _curves(study: StudyReport, draw: Figures) -> Markup:
    best = study.best_trial
    if not best:
        why = study.absent.get("best_trial")
        return paragraph(f"Not shown: {why}.", "hint") if why else NOTHING
    folds = "one held-out part" if study.num_folds == 1 else f"the mean over {study.num_folds} folds"
    hint = f"Trial {best.number}: {folds}" + "; the band spans all of them" * (study.num_folds > 1) + "."
    if study.honest and (study.honest.epochs.inflation or 0) >= 0.00005:
        hint += (
            f" The best epoch of each fold of trial {study.honest.trial} would give an accuracy of "
            f"{study.honest.epochs.oracle:.4f} (+{study.honest.epochs.inflation:.4f}), chosen by the very images that "
            "it is scored on: nobody should report it."
        )
    curves = {name: (curve.mean, curve.low, curve.high) for name, curve in best.curves.items()}
    drawn = [
        draw(
            f"curve-{what}",
            networks.learning_curve(curves, what, f"Learning curves of trial {best.number}: {what}"),
        )
        for what in ("loss", "accuracy")
    ]
    return joined(_beside(*drawn), paragraph(hint, "hint"))


def _confusion(study: StudyReport, draw: Figures) -> Markup:
    found = study.held_out
    if found is None:
        why = study.absent.get("predictions")
        return paragraph(f"Not shown: {why}.", "hint") if why else NOTHING
    counts, classes = found.confusion, study.data.classes
    right, total = sum(counts[place][place] for place in range(len(counts))), sum(map(sum, counts))
    trial = f"Trial {study.best_trial.number}: " if study.best_trial else ""
    said = (
        f"{trial}{right:,} of {total:,} held-out images are right ({100 * right / max(total, 1):.1f} %), pooled over "
        "the folds; the shade is the share of the true class."
    )
    if len(classes) > networks.IN_ORDER:
        said += " Classes stand together that are taken for each other."
    mistakes = sorted(
        (
            (classes[row], classes[column], count, count / sum(values))
            for row, values in enumerate(counts)
            for column, count in enumerate(values)
            if count and row != column
        ),
        key=lambda mistake: -mistake[2],
    )
    rows = [
        (shortened(true, 26), shortened(called, 26), f"{count:,}", percent(rate))
        for true, called, count, rate in mistakes
    ]
    head, numbers = ("true", "called", "images", "of the true class"), (2, 3)
    every = table(head, rows[:MOST_LISTED], numbers=numbers, of="Numbers: confusion matrix")
    chart = draw("confusion", networks.confusion(np.asarray(counts), classes), every)
    listed = table(head, rows[:MOST_MISTAKES], numbers=numbers, of="Confused most")
    most = Markup('<div><p class="sub">Confused most</p>{}</div>').format(listed) if rows else NOTHING
    return joined(
        paragraph(said), _beside(chart, most) if len(classes) <= networks.MOST_NUMBERS else chart + most
    )


def _classes(study: StudyReport, draw: Figures) -> Markup:
    found = study.held_out
    if found is None:
        return NOTHING
    known = list(zip(study.data.classes, found.classes, strict=True))
    rows = [
        (
            shortened(name, 40),
            f"{scores.support:,}",
            *(f"{value:.3f}" for value in (scores.precision, scores.recall, scores.f1)),
            score(scores.roc_auc),
        )
        for name, scores in known
    ]
    head = ("class", "images", "precision", "recall", "F1", "ROC AUC")
    drawn = [
        {"class": name, "images": one.support, "precision": one.precision, "recall": one.recall, "F1": one.f1}
        for name, one in known
    ]
    few = len(rows) > networks.MOST_CLASSES
    title = "Classes" + f": the {networks.MOST_CLASSES} that are found worst" * few + ", the lowest F1 first"
    listed = table(head, rows, numbers=range(1, 6), of="Classes")
    chart = draw("classes", networks.of_classes(drawn, title), "")
    return joined(chart, folded(f"All {len(rows)} classes", listed)) if few else _beside(chart, listed)


def _thresholds(study: StudyReport, draw: Figures) -> Markup:
    curves = study.held_out.thresholds if study.held_out else {}
    if not curves:
        return NOTHING
    charts = []
    for key, across, up, title in (
        ("roc", "false_positive_rate", "recall", "ROC curves"),
        ("precision", "recall", "precision", "Precision and recall"),
    ):
        rows = [
            {"class": name, "x": x, "y": y, "at": at, "step": step}
            for name, curve in curves.items()
            for step, (x, y, at) in enumerate(
                zip(getattr(curve, across), getattr(curve, up), curve.threshold, strict=True)
            )
        ]
        spec = networks.thresholds(rows, across.replace("_", " "), up, title)
        charts.append(draw(key, spec, numbers_of(spec, every=10)))
    which = "" if len(curves) == len(study.data.classes) else f", of the {len(curves)} with the lowest F1"
    hint = f"A class against all others, at every threshold of its probability{which}; pooled over the folds."
    return joined(_beside(*charts), paragraph(hint, "hint"))


def _calibration(study: StudyReport, draw: Figures) -> Markup:
    if (held_out := study.held_out) is None:
        return NOTHING
    found = held_out.calibration
    said = (
        f"Expected calibration error {found.error:.4f}, pooled over the folds, in {len(found.count)} bins of "
        "confidence: where the orange line is below the dashed one, the network is surer than it is right."
    )
    bins = [row for row in zip(found.confidence, found.accuracy, found.count, strict=True) if row[2]]
    return paragraph(said) + draw("calibration", networks.calibration(bins))


def _racing(study: StudyReport, draw: Figures) -> Markup:
    found, by_fold = study.racing, explore.by_fold(study, draw)
    if len(study.trials) < 2 or (found.rule in (None, "none") and not found.stopped):
        return by_fold
    if not found.stopped:
        said = f"The rule “{found.rule}” has stopped none of {len(study.trials)} trials."
        return paragraph(said) + by_fold
    were = "was" if found.stopped == 1 else "were"
    share = found.folds_saved / max(found.folds_of_ended_trials, 1)
    said = (
        f"{found.stopped} of {times(len(study.trials), 'trial')} {were} stopped before the last fold, by the "
        f"rule “{found.rule}”"
        + (f" with a short training of {percent(found.rung)} first" if found.rung else "")
        + ". "
        f"That saved {times(found.folds_saved, 'fold')}, {percent(share)} of all that the trials would have had: "
        f"about {duration(found.seconds_saved)} of training, at the folds' mean duration."
    )
    if checked := found.checked:
        said += (
            f" Of {checked.finished} stopped trials that the audit finished, {len(checked.false)} would have "
            f"been {'on the front' if study.pareto else 'better than the best'}."
        )
    rows = [
        (trial.number, len(trial.folds), score(trial.mean), trial.reason)
        for trial in sorted(study.trials, key=lambda trial: trial.number)
        if trial.state == "stopped"
    ]
    listed = table(("trial", "folds", study.objective, "why"), rows, numbers=(0, 1, 2), wrap=3)
    return joined(paragraph(said), by_fold, folded("Why each was stopped", listed) if rows else "")


def _gallery(study: StudyReport, pixels: Mapping[int, np.ndarray]) -> Markup:
    """Images to look at: misclassified with confidence, and with a label that is likely wrong."""
    found = study.gallery
    if found is None:
        why = study.absent.get("gallery")
        return paragraph(f"Not shown: {why}", "hint") if why else NOTHING
    said = f"By trial{'s' if len(found.trials) > 1 else ''} {', '.join(map(str, found.trials))}"
    hint = f"{said}; each image was predicted by networks that had not seen it."
    return paragraph(hint, "hint") + by_kind(found.found, found.images, pixels)


def _cost(study: StudyReport) -> Markup:
    found = study.cost
    trained = f"{duration(found.seconds)} ({times(found.folds, 'fold')})"
    rows: list[tuple[str, str | None]] = [("training of the trials' folds", trained)]
    if found.short_trainings:
        rows.append(("short trainings", f"{duration(found.short_seconds)} ({found.short_trainings})"))
    rows.append(("device", found.device))
    if study.best:
        rows.append(("the best trial, all folds", duration(found.best_seconds)))
    if found.images_per_second:
        rows.append(("its speed of training", f"{found.images_per_second:,.0f} images/s"))
    if study.best_trial:
        rows.append(("its parameters", f"{study.best_trial.num_parameters:,}"))
    rows.append(("energy", "not measured"))
    hint = "Sum over the processes that trained, as recorded; folds that an earlier study had trained count as if anew."
    return table(("what", "how much"), rows) + paragraph(hint, "hint")


def _provenance(study: StudyReport) -> Markup:
    """Where the figures come from, and the commands that make them again."""
    found = study.origin
    command = Markup("<pre><code>{}</code></pre>")
    commands = joined(*(paragraph(one.what, "hint") + command.format(one.command) for one in found.commands))
    said, changes = "Again:", changes_in_words(vars(found))
    if found.dirty:
        said = (
            "Again (the code had changes that were not committed, and the commands do not bring them back; the study's "
            "record has the names and hashes of the files):"
        )
        changes += f", {found.untracked} untracked files" if found.untracked else ""

    def code(words: object) -> Markup:
        return Markup("<code>{}</code>").format(words)

    def listed(values: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in values.items())

    rows = [
        ("commit", joined(code(found.commit) if found.commit else "none", changes)),
        ("data hash", code(found.data_hash)),
        ("split hash", code(found.split_hash)),
        ("definition hash", code(found.definition_hash or "–")),
        ("seed", f"{found.seed}; every trial, fold and epoch has one made from it"),
        ("harness, Python", f"{found.harness or '–'}, {found.python or '–'}"),
        ("packages", listed(found.packages) or "–"),
        ("machine", listed(found.hardware) or "–"),
        ("compute", listed(found.compute) or "–"),
        ("may change the bits", listed(found.fingerprint) or "–"),
        *([("not computed alike", found.mixed)] if found.mixed else []),
        ("started", found.started),
    ]
    study_file = folded("The study file", command.format(found.text), printed=True)
    record = table(("what", "value"), rows, wrap=1)
    return joined(paragraph(said), commands, study_file, Markup('<p class="sub">Record</p>'), record)
