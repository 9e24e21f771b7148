"""A report as Markdown, short enough for a comment on a pull request."""

import re
from collections.abc import Sequence

from harness.analysis.leaderboard import ParetoFront
from harness.provenance import changes_in_words
from harness.report.document import ComparedReport, Report, StudyReport
from harness.report.format import duration, number, of_objective, score, with_error

MOST_ROWS = 5
SIGNS = re.compile(r"([\\`*_\[\]<>#|~&$])")  # that Markdown or HTML would take for more than text


def markdown(report: Report) -> str:
    """Warnings, the answer, the top trials and the commands of each study; for several first how they compare."""
    parts = [_comparison(report.comparison.compared)] if report.comparison else []
    return "\n\n".join([*parts, *map(_study, report.studies)]) + "\n"


def plain(text: object) -> str:
    """Text that is shown as it is, on one line, and calls nobody by @name."""
    return SIGNS.sub(r"\\\1", " ".join(str(text).split())).replace("@", "@\u200b")


def code(text: str) -> str:
    """Text in backticks, whatever backticks it has."""
    words = " ".join(text.split())
    longest = max((len(run) for run in re.findall("`+", words)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {words} {fence}" if longest else f"`{words}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _study(study: StudyReport) -> str:
    parts = [f"### {plain(study.study)}"]
    parts += [f"> ⚠ **{plain(warning.text)}**" for warning in study.warnings]
    parts += [f"_{plain(study.question)}_"] if study.question else []
    first, *others = study.answer
    parts.append(" ".join([f"**{plain(first)}**", *map(plain, others)]))
    if study.trials:
        parts.append(_trials(study))
    if study.pareto and study.pareto.trials:
        parts += [f"Pareto front: {plain(study.pareto.worth)}", _front(study.pareto)]
    origin = study.origin
    reproduce = [code(one.command) for one in origin.commands if "reproduce" in one.command]
    commit = f"commit {code(origin.commit[:10])}" if origin.commit else "no commit"
    changes = changes_in_words(vars(origin))
    parts.append(
        "; ".join(
            [
                *reproduce,
                f"{commit}{' ' * changes.startswith(' ')}{plain(changes)}",
                f"data {code(origin.data_hash[:12])}",
            ]
        )
    )
    return "\n\n".join(parts)


def _trials(study: StudyReport) -> str:
    head = ["trial", plain(study.objective), "folds", "time", "state"]
    head += [plain(option.name) for option in study.searched]
    rows = [
        [
            trial.number, with_error(trial.mean, trial.half_width), len(trial.folds),
            duration(trial.seconds), trial.state,
            *(plain(number(trial.params.get(option.path))) for option in study.searched),
        ]
        for trial in study.trials[:MOST_ROWS]
    ]  # fmt: skip
    left = len(study.trials) - MOST_ROWS
    return _table(head, rows) + (f"\n\n… and {left} more" if left > 0 else "")


def _front(found: ParetoFront) -> str:
    head = ["trial", *(plain(objective.name) for objective in found.objectives)]
    rows = [
        [
            trial.number,
            *(
                of_objective(objective.name, known.value, known.half_width)
                for objective, known in zip(found.objectives, trial.values, strict=True)
            ),
        ]
        for trial in found.trials
    ]
    return _table(head, rows)


def _comparison(rows: Sequence[ComparedReport]) -> str:
    head = ["study", "best ± 95 %", "corrected", "gain ± 95 %", "trials", "time"]
    body = [
        [
            plain(row.study), f"{plain(row.objective)} {with_error(row.mean, row.half_width)}",
            score(row.honest.corrected if row.honest else None),
            with_error(row.gain, row.gain_half_width, sign="+"),
            f"{row.trials_done}/{row.num_trials}", duration(row.seconds),
        ]
        for row in rows
    ]  # fmt: skip
    return _table(head, body)
