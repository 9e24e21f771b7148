"""The comparison of several studies on a page: a table, gains stage by stage, and paired statistics."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from harness.results.report import charts
from harness.results.report.spelling import duration, interval, percent, probability, score, with_error
from harness.results.report.tables import paragraph, table


def comparison(document: Mapping[str, Any]) -> str:
    found = document["comparison"]
    parts = [_table(found["compared"]), _scores(found["compared"]), _gains(found["compared"])]
    for one in found["paired"]:
        parts.append(_paired(one))
    parts += [paragraph(f"No paired statistics for {why}.", "hint") for why in found["absent"]]
    return "".join(parts)


def _table(rows: list[dict[str, Any]]) -> str:
    with_test = any(row["test"] is not None for row in rows)
    head = [
        "study",
        "objective",
        "best ± se",
        "corrected (95 %)",
        "gain ± se",
        "trials",
        "images",
        "time",
        "audit",
    ]
    head += ["test"] if with_test else []
    body = []
    for row in rows:
        honest = row["honest"] or {}
        span = (
            f"{score(honest['corrected'])} ({score(honest['low'])}–{score(honest['high'])})"
            if honest
            else None
        )
        cells = [
            row["study"],
            row["objective"],
            with_error(row["mean"], row["standard_error"]),
            span,
            with_error(row["gain"], row["gain_standard_error"], sign="+"),
            f"{row['trials_done']}/{row['num_trials']}",
            f"{row['num_images']:,}",
            duration(row["seconds"]),
            row["audit"] or "not made",
        ]
        if with_test:
            cells.append(
                None if row["test"] is None else f"{score(row['test'])} ({interval(*row['test_interval'])})"
            )
        body.append(cells)
    notes = [
        paragraph(f"No gain: {before['study']} and {row['study']} are of different {row['no_gain']}.", "hint")
        for before, row in pairwise(rows)
        if row["no_gain"]
    ]
    return table(head, body, numbers=(2, 3, 4, 5, 6, 7)) + "".join(notes)


def _scores(rows: list[dict[str, Any]]) -> str:
    """The best of each study with its corrected score, a chart for each objective and data set."""
    kinds = dict.fromkeys((row["objective"], row["data"]) for row in rows if row["mean"] is not None)
    parts = []
    for objective, data in kinds:
        drawn = []
        for row in rows:
            if (row["objective"], row["data"]) != (objective, data) or row["mean"] is None:
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
        title = f"{objective} of the best trials on {data}"
        parts.append(f"{paragraph(title)}{charts.forest(drawn, title)}")
    hint = "Blue: mean ± corrected standard error. Orange: corrected for the choice among the study's trials, 95 %."
    return "".join(parts) + (paragraph(hint, "hint") if parts else "")


def _gains(rows: list[dict[str, Any]]) -> str:
    """Each study's gain over the one before it."""
    drawn = []
    for before, row in pairwise(rows):
        if row["gain"] is not None:
            error = row["gain_standard_error"] or 0.0
            drawn.append({
                "label": f"{before['study']} → {row['study']}", "value": row["gain"],
                "low": row["gain"] - error, "high": row["gain"] + error,
                "words": with_error(row["gain"], row["gain_standard_error"], sign="+"),
            })  # fmt: skip
    if not drawn:
        return ""
    hint = "Positive is better, whatever the metric; ± the corrected standard error of the differences fold by fold."
    return (
        paragraph("Gain of each stage over the one before it")
        + charts.gains(drawn, "Gains from study to study")
        + paragraph(hint, "hint")
    )


def _paired(found: Mapping[str, Any]) -> str:
    """Each trial against the best, as `harness compare` has it."""
    first, *others = found["trials"]
    drawn = [
        {
            "label": row["trial"], "value": row["difference"], "low": row["low"], "high": row["high"],
            "words": f"{row['difference']:+.4f}  {charts.p_words(row['t_test']['adjusted'])}",
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
        "t-test p",
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
