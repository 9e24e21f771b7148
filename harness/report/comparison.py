"""The comparison of several studies on a page: a table, gains from one to the next, and paired statistics."""

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from harness.analysis import compare
from harness.charts.scores import interval as interval_row
from harness.charts.scores import intervals
from harness.pages import joined, paragraph, table
from harness.report.answer import Score
from harness.report.document import ComparedReport, Comparison
from harness.report.figures import Figures
from harness.report.format import duration, interval, percent, probability, score, with_error
from harness.store.findings import CorrectedScore


def comparison(found: Comparison, draw: Figures) -> Markup:
    """As HTML."""
    parts = [_table(found.compared), _scores(found.compared, draw), _gains(found.compared, draw)]
    parts += [_paired(one, draw) for one in found.paired]
    parts += [paragraph(f"No paired statistics for {why}.", "hint") for why in found.absent]
    return joined(*parts)


def _table(rows: Sequence[ComparedReport]) -> Markup:
    """What says nothing here, an objective that all share or a score that no study has, has no column."""
    columns: dict[str, list[str | None]] = {
        "study": [row.study for row in rows],
        "objective": [row.objective for row in rows],
        "best ± 95 %": [with_error(row.mean, row.half_width) for row in rows],
        "corrected (95 %)": [
            f"{score(found.corrected)} ({score(found.low)}–{score(found.high)})" if found else None
            for found in map(_corrected, rows)
        ],
        "gain ± 95 %": [with_error(row.gain, row.gain_half_width, sign="+") for row in rows],
        "trials": [f"{row.trials_done}/{row.num_trials}" for row in rows],
        "images": [f"{row.num_images:,}" for row in rows],
        "time": [duration(row.seconds) for row in rows],
        "audit": [row.audit or "not made" for row in rows],
        "test": [
            f"{score(row.test)} ({interval(*row.test_interval)})" if row.test_interval else None
            for row in rows
        ],
    }
    if len(set(columns["objective"])) == 1:
        del columns["objective"]
    shown = {name: cells for name, cells in columns.items() if any(cell is not None for cell in cells)}
    words = ("study", "objective", "audit", "test")
    numbers = [place for place, name in enumerate(shown) if name not in words]
    notes = []
    for before, row in pairwise(rows):
        if row.no_gain:
            what = " and ".join(row.no_gain.rsplit(", ", 1))
            notes.append(
                paragraph(f"No gain: {before.study} and {row.study} are of different {what}.", "hint")
            )
    return table(list(shown), zip(*shown.values(), strict=True), numbers=numbers) + joined(*notes)


def _corrected(row: ComparedReport) -> CorrectedScore | None:
    """The best score corrected for the choice, where there was one."""
    return row.honest if row.honest and row.honest.num_trials > 1 else None


def _scores(rows: Sequence[ComparedReport], draw: Figures) -> Markup:
    """The best of each study with its corrected score, a chart for each objective and data set.

    Two folders of images are two data sets.
    """
    groups: dict[tuple[str, str, str], list[Score]] = {}
    for row in rows:
        if row.mean is None:
            continue
        group = groups.setdefault((row.objective, row.data, row.data_hash), [])
        group.append(Score.of_mean(row.study, row.mean, row.half_width))
        if found := _corrected(row):
            group.append(Score(f"{row.study}, corrected", found.corrected, found.low, found.high))
    parts = []
    for (objective, data, data_hash), drawn in groups.items():
        title = f"{objective} of the best trials on {'a folder of images' if data == 'folder' else data}"
        parts += [
            paragraph(title, "lead"),
            draw(f"scores-{objective}-{data_hash}", intervals([one.row for one in drawn], title)),
        ]
    if not parts:
        return Markup("")
    hint = "All bars are 95 % intervals. Blue: means over the folds."
    if any(map(_corrected, rows)):
        hint += " Orange: corrected for the choice among the study's trials."
    return joined(*parts, paragraph(hint, "hint"))


def _gains(rows: Sequence[ComparedReport], draw: Figures) -> Markup:
    """Each study's gain over the one before it."""
    drawn = []
    for row in rows[1:]:
        if row.gain is not None:
            error = row.gain_half_width or 0.0
            words = with_error(row.gain, row.gain_half_width, sign="+")
            drawn.append(interval_row(row.study, row.gain, row.gain - error, row.gain + error, words=words))
    if not drawn:
        return Markup("")
    title = "Gain of each study over the one before it"
    hint = "Positive is better, whatever the metric; ± the 95 % interval of the differences fold by fold."
    chart = draw("gains", intervals(drawn, title, rope=0.0))
    return joined(paragraph(title, "lead"), chart, paragraph(hint, "hint"))


def _paired(found: compare.Comparison, draw: Figures) -> Markup:
    """Each trial against the best, as `harness compare` has it."""
    drawn, rows = [], []
    for row in found.trials:
        if (other := row.against_best) is None:
            continue
        p, mcnemar, bayes = other.t_test.adjusted, other.mcnemar, other.bayes
        difference = f"{other.difference:+.4f}"
        words = f"{difference}, p {'= ' if p >= 0.001 else ''}{probability(p)}"
        kind = "rough" if row.indistinguishable else "grey"
        drawn.append(interval_row(row.trial, other.difference, other.low, other.high, words=words, kind=kind))
        rows.append((
            row.trial,
            f"{difference} ({other.low:+.4f} to {other.high:+.4f})",
            probability(p),
            f"{mcnemar.only_best_right:,} / {mcnemar.only_this_right:,}",
            probability(mcnemar.adjusted),
            " / ".join(map(percent, (bayes.worse, bayes.equivalent, bayes.better))),
            "no" if row.indistinguishable else "yes",
        ))  # fmt: skip
    head = (
        "trial",
        "to the best (95 %)",
        "t\u2011test p",  # a hyphen at which no line ends
        "only best / this right",
        "McNemar p",
        "worse / equal / better",
        "told apart",
    )
    hint = (
        f"p adjusted for all pairs (Holm); equal is within ±{found.rope:g}. With {found.num_folds} folds a "
        f"difference of {score(found.smallest_difference)} would be found four times out of five. The best of a "
        "study was chosen by these very scores, so it looks a little better than it is."
    )
    best = found.trials[0].trial
    said = (
        f"Paired with the best, {best}, on the same folds: difference and 95 % interval; grey are told apart"
    )
    chart = draw(f"paired-{best}", intervals(drawn, f"Differences to {best}", rope=found.rope))
    return joined(paragraph(said, "lead"), chart, table(head, rows, numbers=(2, 4)), paragraph(hint, "hint"))
