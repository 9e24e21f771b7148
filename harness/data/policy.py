"""How images are made of files where there is more than one good way: `data.depth` and `data.fit` of a study.

A study's policy travels with its models, which are given files that are read in the same way.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

Fit = Literal["crop", "pad"]
Depth = Literal["full", "percentile"] | Sequence[float]


class Policy(NamedTuple):
    """As the options of these names: see `load` in folder.py.   depth: also (low, high)."""

    depth: Depth = "full"
    fit: Fit = "crop"

    def changed(self) -> dict[str, Any]:
        """What is not as it is by default, as JSON has it: what documents and the keys of caches say of it."""
        return {
            name: value if isinstance(value, str) else list(value)
            for name, value in self._asdict().items()
            if value != self._field_defaults[name]
        }


DEFAULT = Policy()


def of_settings(settings: Mapping[str, Any]) -> Policy:
    """Of a study's `data:` map. Raises ValueError for a damaged one."""
    return of_changes(settings) if settings.get("name") == "folder" else DEFAULT


def of_changes(given: Mapping[str, Any]) -> Policy:
    """What `changed` gave; other keys are passed over. Raises ValueError for a damaged one."""
    policy = Policy(**{name: given[name] for name in Policy._fields if name in given})
    if not isinstance(policy.depth, str):
        low, high = map(float, policy.depth)
        policy = policy._replace(depth=(low, high))
    if policy.fit not in ("crop", "pad") or (
        policy.depth not in ("full", "percentile") if isinstance(policy.depth, str) else low >= high
    ):
        raise ValueError(f"no way to read images: {policy}")
    return policy
