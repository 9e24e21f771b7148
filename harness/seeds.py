"""One integer for each (study seed, purpose, …): what is random never depends on what ran before it."""

import hashlib


def seed_for(study_seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2**63), the same for the same arguments on every machine and in every process.

    All trials of a study share the seed of a (fold, purpose) pair, so they meet the same order of images and
    the same augmentation: common random numbers make their scores comparable.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (study_seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
