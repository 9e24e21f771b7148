"""The sections of a study on its page, in reading order."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.inference.pictures import as_picture, data_url
from harness.provenance import changes_in_words
from harness.report import answer, charts, explore, front
from harness.report.alike import page_part
from harness.report.begun_with import data_table
from harness.report.document import ImageToLookAt, StudyReport
from harness.report.format import duration, percent, score, shortened, times, with_error
from harness.report.gallery import WORDS
from harness.report.markup import Markup, escaped, folded, legend, paragraph, table
from harness.scoring.quantities import QUANTITIES

Section = tuple[str, str, str]  # id, title, HTML
MOST_MISTAKES = 8  # below the confusion matrix
EXACT = 48  # pixels; up to there an image is shown bit for bit
SIDE = 128  # larger ones are made so small
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


def sections(study: StudyReport, pixels: Mapping[int, np.ndarray], *, prefix: str) -> list[Section]:
    """Those that there is something to say in.   prefix: of their ids, which must differ from study to study."""
    found = [
        ("answer", "Question and answer", _answer(study)),
        ("leaderboard", "Leaderboard", explore.leaderboard(study)),
        ("front", "Pareto front", front.front(study)),
        ("history", "Search history", _history(study)),
        ("importances", "Which options matter", _importances(study)),
        ("explore", "Explore the trials", _explore(study, prefix)),
        ("curves", "Learning curves", _curves(study)),
        ("confusion", "Confusion matrix", _confusion(study, prefix)),
        ("classes", "Classes", _classes(study)),
        ("calibration", "Calibration", _calibration(study)),
        ("racing", "Racing", _racing(study)),
        ("gallery", "Images to look at", _gallery(study, pixels)),
        ("alike", "Images that are alike", page_part(study.alike, pixels) if study.alike else ""),
        ("data", "Data", data_table(study.begun_with) if study.begun_with else ""),
        ("cost", "Cost", _cost(study)),
        ("provenance", "Provenance", _provenance(study)),
    ]
    return [(f"{prefix}{key}", title, inner) for key, title, inner in found if inner]


def _answer(study: StudyReport) -> str:
    parts = [
        paragraph(study.question or "The study file has no question at its top.", "question"),
        f'<div class="answer">{"".join(map(paragraph, study.answer))}</div>',
    ]
    rows = answer.scores(study)
    if len(rows) > 1:
        hint = "All bars are 95 % intervals. Blue: means over the folds."
        parts.append(charts.forest(rows, f"Scores of the study, {study.objective}"))
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
        parts.append(folded("All metrics of the best trial", table(head, metrics)))
    return "".join(parts)


def _history(study: StudyReport) -> str:
    if len(study.trials) < 2:
        return ""
    states = {trial.state for trial in study.trials}
    entries = [(FILLED, "complete"), (BEST_LINE, "best so far")]
    entries += [(HOLLOW, "stopped early, or off the scale")] if "stopped" in states else []
    entries += [(FAILED, "failed")] if "failed" in states else []
    return legend(*entries) + charts.history(study)


def _importances(study: StudyReport) -> str:
    if why := study.absent.get("importances"):
        return paragraph(f"Not shown: {why}", "hint")
    if not study.importances:
        few = "Too few trials to tell: it takes eight with different scores."
        return paragraph(few, "hint") if study.searched else ""
    hint = "Share of the variation between the trials' scores that each searched option explains (PED-ANOVA)."
    return charts.bars(study.importances, "Importances of the searched options") + paragraph(hint, "hint")


def _explore(study: StudyReport, prefix: str) -> str:
    scored = sum(trial.mean is not None for trial in study.trials)
    if not study.searched or scored < 2:
        return ""
    states = [
        state
        for state in ("complete", "stopped", "running", "failed")
        if any(trial.state == state for trial in study.trials)
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
        + paragraph(Markup(f"<b>Slices</b>: {escaped(study.objective)} by each searched option."))
        + explore.slices(study)
    )


def _curves(study: StudyReport) -> str:
    best = study.best_trial
    if not best:
        why = study.absent.get("best_trial")
        return paragraph(f"Not shown: {why}.", "hint") if why else ""
    folds = "one held-out part" if study.num_folds == 1 else f"the mean over {study.num_folds} folds"
    hint = f"Trial {best.number}: {folds}" + "; the band spans all of them" * (study.num_folds > 1) + "."
    return (
        legend((TRAINING, "training"), (HELD_OUT, "held-out"))
        + charts.learning_curves(best)
        + paragraph(hint, "hint")
    )


def _confusion(study: StudyReport, prefix: str) -> str:
    found = study.held_out
    if found is None:
        why = study.absent.get("predictions")
        return paragraph(f"Not shown: {why}.", "hint") if why else ""
    counts, classes = found.confusion, study.data.classes
    right, total = sum(counts[place][place] for place in range(len(counts))), sum(map(sum, counts))
    share = f"{100 * right / max(total, 1):.1f} %"
    said = f"{right:,} of {total:,} held-out images are right ({share}), pooled over the folds."
    drawn = charts.confusion(counts, classes)
    if drawn and len(classes) <= charts.MOST_NUMBERS:
        names = [("counts", "images"), ("rates", "% of the true class")]
        switches = "".join(
            f'<input type="radio" name="{prefix}cells" id="{prefix}{kind}" class="as-{kind}"'
            f'{" checked" if kind == "counts" else ""}><label for="{prefix}{kind}">{words}</label>'
            for kind, words in names
        )
        drawn = f'<div class="toggle">{switches}{drawn}</div>'
    mistakes = [
        (classes[row], classes[column], count, count / sum(values))
        for row, values in enumerate(counts)
        for column, count in enumerate(values)
        if count and row != column
    ]
    rows = [
        (shortened(true, 40), shortened(called, 40), f"{count:,}", percent(rate))
        for true, called, count, rate in sorted(mistakes, key=lambda mistake: -mistake[2])[:MOST_MISTAKES]
    ]
    head = ("true", "called", "images", "of the true class")
    listed = "<h4>Confused most</h4>" + table(head, rows, numbers=(2, 3)) if rows else ""
    return paragraph(said) + drawn + listed


def _classes(study: StudyReport) -> str:
    found = study.held_out
    if found is None:
        return ""
    rows = [
        (
            shortened(name, 40),
            f"{scores.support:,}",
            *(f"{value:.3f}" for value in (scores.precision, scores.recall, scores.f1)),
            score(scores.roc_auc),
        )
        for name, scores in zip(study.data.classes, found.classes, strict=True)
    ]
    head = ("class", "images", "precision", "recall", "F1", "ROC AUC")
    return table(head, rows, numbers=range(1, 6))


def _calibration(study: StudyReport) -> str:
    if (found := study.held_out) is None:
        return ""
    error, bins = found.calibration.error, len(found.calibration.count)
    said = (
        f"Expected calibration error {error:.4f} over {bins} bins of confidence: where the "
        "orange line is below the dashed one, the network is surer than it is right."
    )
    return paragraph(said) + charts.reliability(found.calibration)


def _racing(study: StudyReport) -> str:
    found = study.racing
    if len(study.trials) < 2 or (found.rule in (None, "none") and not found.stopped):
        return ""
    if not found.stopped:
        return paragraph(f"The rule “{found.rule}” has stopped none of {len(study.trials)} trials.")
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
    return (
        paragraph(said)
        + legend(*CELLS)
        + explore.folds_trained(study)
        + (folded("Why each was stopped", listed) if rows else "")
    )


def _gallery(study: StudyReport, pixels: Mapping[int, np.ndarray]) -> str:
    """Images to look at: misclassified with confidence, and with a label that is likely wrong."""
    found = study.gallery
    if found is None:
        why = study.absent.get("gallery")
        return paragraph(f"Not shown: {why}", "hint") if why else ""
    said = f"By trial{'s' if len(found.trials) > 1 else ''} {', '.join(map(str, found.trials))}"
    parts = [paragraph(f"{said}; each image was predicted by networks that had not seen it.", "hint")]
    for kind, classes in found.images.items():
        if not classes:
            parts.append(paragraph(f"{kind.capitalize()}: none found."))
            continue
        groups = []
        for label, images in classes.items():
            figures = "".join(_figure(image, pixels[image.index]) for image in images)
            groups.append(f'<div><h4>{escaped(label)}</h4><div class="images">{figures}</div></div>')
        head = f"<b>{kind.capitalize()} ({found.found[kind]:,}).</b> {escaped(WORDS[kind])}"
        parts.append(f'<p>{head}</p><div class="classes">{"".join(groups)}</div>')
    return "".join(parts)


def _figure(image: ImageToLookAt, pixels: np.ndarray) -> str:
    name = image.name or f"image {image.index}"
    said = f"{image.predicted} {percent(image.confidence)}".replace(" %", "\u00a0%")
    words = f"{escaped(said)}<br><small>label {percent(image.label_probability)}</small>"
    hint = escaped(f"{name}\nlabel {image.label}\ncalled {said}")
    alt = escaped(f"{name}, label {image.label}, called {image.predicted}")
    picture = as_picture(pixels)
    if max(picture.size) <= EXACT:
        kind, source = ' class="tiny"', data_url(picture, "PNG")
    else:
        picture.thumbnail((SIDE, SIDE))
        kind, source = "", data_url(picture, "JPEG")
    return (
        f'<figure><img{kind} src="{source}" alt="{alt}" data-tip="{hint}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _cost(study: StudyReport) -> str:
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


def _provenance(study: StudyReport) -> str:
    """Where the figures come from, and the commands that make them again."""
    found = study.origin
    commands = "".join(
        f'{paragraph(one.what, "hint")}<pre class="command"><code>{escaped(one.command)}</code></pre>'
        for one in found.commands
    )
    said, changes = "Again:", changes_in_words(vars(found))
    if found.dirty:
        said = (
            "Again (the code had changes that were not committed, and the commands do not bring them back; the study's "
            "record has the names and hashes of the files):"
        )
        changes += f", {found.untracked} untracked files" if found.untracked else ""

    def code(words: object) -> Markup:
        return Markup(f"<code>{escaped(words)}</code>")

    def listed(values: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in values.items())

    rows = [
        ("commit", Markup(f"{code(found.commit) if found.commit else 'none'}{escaped(changes)}")),
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
    study_file = folded("The study file", f"<pre><code>{escaped(found.text)}</code></pre>", printed=True)
    return (
        paragraph(said) + commands + study_file + "<h4>Record</h4>" + table(("what", "value"), rows, wrap=1)
    )
