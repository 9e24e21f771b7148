"""The comparison of several studies on a page: a table, gains stage by stage, and paired statistics."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from harness.report import charts
from harness.report.format import duration, interval, percent, probability, score, with_error
from harness.report.tables import paragraph, table


def comparison(document: Mapping[str, Any]) -> str:
    found = document["comparison"]
    parts = [_table(found["compared"]), _scores(found["compared"]), _gains(found["compared"])]
    for one in found["paired"]:
        parts.append(_paired(one))
    parts += [paragraph(f"No paired statistics for {why}.", "hint") for why in found["absent"]]
    return "".join(parts)


def _table(rows: list[dict[str, Any]]) -> str:
    """What says nothing here, an objective that all share or a score that no study has, has no column."""
    columns: dict[str, list[Any]] = {
        "study": [row["study"] for row in rows],
        "objective": [row["objective"] for row in rows],
        "best ± se": [with_error(row["mean"], row["standard_error"]) for row in rows],
        "corrected (95 %)": [_corrected(row["honest"]) for row in rows],
        "gain ± se": [with_error(row["gain"], row["gain_standard_error"], sign="+") for row in rows],
        "trials": [f"{row['trials_done']}/{row['num_trials']}" for row in rows],
        "images": [f"{row['num_images']:,}" for row in rows],
        "time": [duration(row["seconds"]) for row in rows],
        "audit": [row["audit"] or "not made" for row in rows],
        "test": [
            None if row["test"] is None else f"{score(row['test'])} ({interval(*row['test_interval'])})"
            for row in rows
        ],
    }
    if len(set(columns["objective"])) == 1:
        del columns["objective"]
    shown = {name: cells for name, cells in columns.items() if any(cell is not None for cell in cells)}
    numbers = [
        place for place, name in enumerate(shown) if name not in ("study", "objective", "audit", "test")
    ]
    notes = [
        paragraph(
            f"No gain: {before['study']} and {row['study']} are of different {_and(row['no_gain'])}.", "hint"
        )
        for before, row in pairwise(rows)
        if row["no_gain"]
    ]
    body = list(zip(*shown.values(), strict=True))
    return table(list(shown), body, numbers=numbers) + "".join(notes)


def _and(listed: str) -> str:
    return " and ".join(listed.rsplit(", ", 1))


def _corrected(honest: Mapping[str, Any] | None) -> str | None:
    """The best score corrected for the choice, where there was one."""
    if not honest or honest["num_trials"] < 2:
        return None
    return f"{score(honest['corrected'])} ({score(honest['low'])}–{score(honest['high'])})"


def _scores(rows: list[dict[str, Any]]) -> str:
    """The best of each study with its corrected score, a chart for each objective and data set."""
    kinds = dict.fromkeys(_kind(row) for row in rows if row["mean"] is not None)
    parts = []
    for kind in kinds:
        drawn = []
        for row in rows:
            if _kind(row) != kind or row["mean"] is None:
                continue
            error = row["standard_error"] or 0.0
            ends = {"low": row["mean"] - error, "high": row["mean"] + error}
            drawn.append(
                {"label": row["study"], "value": row["mean"], **ends, "interval": "± standard error"}
            )
            if (honest := row["honest"]) and honest["num_trials"] > 1:
                ends = {"low": honest["low"], "high": honest["high"]}
                drawn.append(
                    {
                        "label": f"{row['study']}, corrected",
                        "value": honest["corrected"],
                        **ends,
                        "interval": "95 %",
                    }
                )
        objective, data, _ = kind
        title = f"{objective} of the best trials on {'a folder of images' if data == 'folder' else data}"
        parts.append(f"{paragraph(title)}{charts.forest(drawn, title)}")
    hint = "Blue: mean ± corrected standard error."
    if any(_corrected(row["honest"]) for row in rows):
        hint += " Orange: corrected for the choice among the study's trials, 95 %."
    return "".join(parts) + (paragraph(hint, "hint") if parts else "")


def _kind(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What the scores of two studies must share to be drawn side by side; two folders are two data sets."""
    return row["objective"], row["data"], row["data_hash"]


def _gains(rows: list[dict[str, Any]]) -> str:
    """Each study's gain over the one before it."""
    drawn = []
    for row in rows[1:]:
        if row["gain"] is not None:
            error = row["gain_standard_error"] or 0.0
            drawn.append({
                "label": row["study"], "value": row["gain"],
                "low": row["gain"] - error, "high": row["gain"] + error,
                "words": with_error(row["gain"], row["gain_standard_error"], sign="+"),
            })  # fmt: skip
    if not drawn:
        return ""
    hint = "Positive is better, whatever the metric; ± the corrected standard error of the differences fold by fold."
    return (
        paragraph("Gain of each study over the one before it")
        + charts.gains(drawn, "Gains from study to study")
        + paragraph(hint, "hint")
    )


def _paired(found: Mapping[str, Any]) -> str:
    """Each trial against the best, as `harness compare` has it."""
    first, *others = found["trials"]
    drawn = [
        {
            "label": row["trial"], "value": row["difference"], "low": row["low"], "high": row["high"],
            "words": f"{row['difference']:+.4f}, {charts.p_words(row['t_test']['adjusted'])}",
        }
        for row in others
    ]  # fmt: skip
    rows = [
        (
            row["trial"],
            f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})",
            probability(row["t_test"]["adjusted"]),
            f"{row['mcnemar']['only_best_right']:,} / {row['mcnemar']['only_this_right']:,}",
            probability(row["mcnemar"]["adjusted"]),
            " / ".join(percent(row["bayes"][part]) for part in ("worse", "equivalent", "better")),
            "no" if row["indistinguishable"] else "yes",
        )
        for row in others
    ]
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
        f"p adjusted for all pairs (Holm); equal is within ±{found['rope']:g}. With {found['num_folds']} folds a "
        f"difference of {score(found['smallest_difference'])} would be found four times out of five. The best of a "
        "study was chosen by these very scores, so it looks a little better than it is."
    )
    return (
        paragraph(f"Paired with the best, {first['trial']}, on the same folds: difference and 95 % interval")
        + charts.gains(drawn, f"Differences to {first['trial']}")
        + table(head, rows, numbers=(2, 4))
        + paragraph(hint, "hint")
    )
