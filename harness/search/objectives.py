"""What a study's objectives beside the first are worth for a trial, as far as it has got."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.config.sections import COSTS, SIZES
from harness.records import FoldRecord, StudyRecord, Values
from harness.search.constraints import Networks
from harness.store.predictions import score_by

logger = logging.getLogger(__name__)
(SECONDS,) = set(COSTS) - set(SIZES)


@dataclass(frozen=True)
class OtherObjectives:
    """names: of the objectives beside the first."""

    names: Sequence[str]
    networks: Networks
    _scores: dict[tuple[str, str], float] = field(default_factory=dict)

    def of(self, values: Values, records: Sequence[FoldRecord]) -> dict[str, tuple[float, ...]]:
        """As a trial's record has them, for a trial with these values and folds; what is not known yet is left out.

        Raises what `score_by` does.
        """
        found: dict[str, tuple[float, ...]] = {}
        for name in self.names:
            if name in SIZES:
                size = self.networks.size(values)
                found[name] = () if size is None else (float(getattr(size, name)),)
            elif name == SECONDS:
                found[name] = tuple(record.seconds for record in records)
            else:
                found[name] = tuple(self._score(record, name) for record in records)
        return {name: known for name, known in found.items() if known}

    def _score(self, record: FoldRecord, name: str) -> float:
        """Each is computed once: one of the user's own reads the predictions."""
        place = (record.key, name)
        if place not in self._scores:
            self._scores[place] = score_by(record, name)
        return self._scores[place]


def other_objectives(record: StudyRecord) -> OtherObjectives | None:
    """Those of a study that has several; warns where they depend on the machine."""
    names = [objective.name for objective in record.others]
    if not names:
        return None
    if SECONDS in names:
        logger.warning(
            "objective seconds_per_fold: what is asked for and which trials are on the front depends on the speed and "
            "load of what trains them"
        )
    return OtherObjectives(names, Networks(record.data["image_shape"], record.data["classes"]))
