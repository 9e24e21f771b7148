"""Several studies side by side: gains from one to the next, and paired statistics where the splits are the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis import leaderboard
from harness.analysis.compare import Contender, compare
from harness.documents import to_json
from harness.errors import HarnessError
from harness.store.loaded_study import LoadedStudy


def comparison(opened: Sequence[LoadedStudy], studies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The best trials of studies in the order given.

    compared: as `leaderboard.compare` has it, with the corrected and the test score.   paired: `results.compare` of
    the best trials of each set of studies that share data, splits and objective.   absent: why there is none.
    """
    rows = to_json(leaderboard.compare(opened))["compared"]
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
    for group in _alike(opened):
        if len(group) > 1:
            try:
                paired.append(compare(group))
            except HarnessError:
                names = ", ".join(one.study.name for one in group)
                absent.append(f"{names}: held-out predictions are gone; harness tune makes them anew")
    return {"compared": rows, "paired": paired, "absent": absent}


def _alike(studies: Sequence[LoadedStudy]) -> list[list[Contender]]:
    """Their best trials, in sets whose scores can be compared."""
    groups: dict[tuple[str, str, str], list[Contender]] = {}
    for study in studies:
        record = study.record
        if study.best is not None:
            group = groups.setdefault((record.data["hash"], record.split_hash, record.objective), [])
            group.append(Contender(study, study.best))
    return list(groups.values())
