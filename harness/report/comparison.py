"""Several studies side by side: gains from one to the next, and paired statistics where the splits are the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis import leaderboard
from harness.analysis.compare import compare
from harness.errors import HarnessError
from harness.store.store import Store, started_study


def comparison(store: Store, studies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The best trials of studies in the order given.

    compared: as `leaderboard.compare` has it, with the corrected and the test score.   paired: `results.compare` of
    the best trials of each set of studies that share data, splits and objective.   absent: why there is none.
    """
    names = [study["study"] for study in studies]
    rows = leaderboard.compare(store, names)["compared"]
    for row, study in zip(rows, studies, strict=True):
        final = study["final"]
        row |= {
            "direction": study["direction"],
            "honest": study["honest"],
            "test": final and final["scores"][study["objective"]],
            "test_interval": final and final["intervals"][study["objective"]],
            "audit": study["audit"] and study["audit"]["verdict"],
            "data": study["data"]["name"],
            "data_hash": study["origin"]["data_hash"],
        }
    paired, absent = [], []
    for group in _alike(store, [study for study in studies if study["best"]]):
        if len(group) > 1:
            try:
                paired.append(compare(store, group))
            except HarnessError:
                absent.append(
                    f"{', '.join(group)}: held-out predictions are gone; harness tune makes them anew"
                )
    return {"compared": rows, "paired": paired, "absent": absent}


def _alike(store: Store, studies: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Their names, in sets whose scores can be compared."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for study in studies:
        record = started_study(store, study["study"])
        groups.setdefault((record.data["hash"], record.split_hash, record.objective), []).append(record.name)
    return list(groups.values())
