"""A report as Markdown, short enough for a comment on a pull request."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.report.format import duration, number, score, with_error

MOST_ROWS = 5
SIGNS = re.compile(r"([\\`*_\[\]<>#|~&$])")  # that Markdown or HTML would take for more than text


def markdown(document: Mapping[str, Any]) -> str:
    """Warnings, the answer, the top trials and the commands of each study; for several first how they compare."""
    several = document["comparison"] is not None
    parts = [_comparison(document["comparison"]["compared"])] if several else []
    parts += [_study(study) for study in document["studies"]]
    return "\n\n".join(parts) + "\n"


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


def _study(study: Mapping[str, Any]) -> str:
    parts = [f"### {plain(study['study'])}"]
    parts += [f"> ⚠ **{plain(warning['text'])}**" for warning in study["warnings"]]
    parts += [f"_{plain(study['question'])}_"] if study["question"] else []
    first, *others = study["answer"]
    parts.append(" ".join([f"**{plain(first)}**", *map(plain, others)]))
    if study["trials"]:
        parts.append(_trials(study))
    reproduce = [one["command"] for one in study["origin"]["commands"] if "reproduce" in one["command"]]
    commit = study["origin"]["commit"]
    origin = f"commit {code(commit[:10])}" if commit else "no commit"
    dirty = " with uncommitted changes" if study["origin"]["dirty"] else ""
    parts.append(
        "; ".join(
            [*map(code, reproduce), f"{origin}{dirty}", f"data {code(study['origin']['data_hash'][:12])}"]
        )
    )
    return "\n\n".join(parts)


def _trials(study: Mapping[str, Any]) -> str:
    head = ["trial", plain(study["objective"]), "folds", "time", "state"]
    head += [plain(option["name"]) for option in study["searched"]]
    rows = [
        [
            trial["number"], with_error(trial["mean"], trial["standard_error"]), len(trial["folds"]),
            duration(trial["seconds"]), trial["state"],
            *(plain(number(trial["params"].get(option["path"]))) for option in study["searched"]),
        ]
        for trial in study["trials"][:MOST_ROWS]
    ]  # fmt: skip
    left = len(study["trials"]) - MOST_ROWS
    return _table(head, rows) + (f"\n\n… and {left} more" if left > 0 else "")


def _comparison(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ["study", "best ± se", "corrected", "gain ± se", "trials", "time"]
    body = [
        [
            plain(row["study"]), f"{plain(row['objective'])} {with_error(row['mean'], row['standard_error'])}",
            score((row["honest"] or {}).get("corrected")),
            with_error(row["gain"], row["gain_standard_error"], sign="+"),
            f"{row['trials_done']}/{row['num_trials']}", duration(row["seconds"]),
        ]
        for row in rows
    ]  # fmt: skip
    return _table(head, body)
