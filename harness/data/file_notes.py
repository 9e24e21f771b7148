"""What somebody should know of how a folder's files were read, in a line each."""

from collections.abc import Iterator, Sequence

from harness.data.file_facts import Facts
from harness.data.policy import Policy

FULL_RANGE = 2**16
NARROW = 1 / 8  # of the full range: fewer than 32 of 256 levels are left


def notes(facts: Sequence[Facts], policy: Policy) -> Iterator[str]:
    """facts: of all files; those of an unreadable one say nothing."""
    several = sum(one.frames > 1 for one in facts)
    if several:
        yield f"{several:,} files have several frames or pages; the first of each is used"
    cut = sum(one.mode.endswith(";16") and one.mode != "I;16" for one in facts)
    if cut:
        yield f"{cut:,} files have colours of 16 bits, of which the upper 8 are read, whatever data.depth says"
    deep = [(one.low, one.high) for one in facts if one.low is not None and one.high is not None]
    if deep and policy.depth == "full":
        low, high = min(low for low, _ in deep), max(high for _, high in deep)
        if high - low < NARROW * FULL_RANGE:
            yield (
                f"the values of {len(deep):,} files of 16 bits are {low}..{high}, which are few of the 256 levels they "
                f"are read as; data.depth: [{low}, {high}] uses all"
            )
