"""The fixed sections of a study file, `cv` and `search`: what may be set, and within which limits."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Cv(Section):
    """Cross-validation of every trial: `folds` stratified parts of the training images.

    duplicates: images of the same picture are held out together: near ones too, exact ones only, or ignored.
    """

    folds: int = Field(default=5, ge=2, le=100)
    duplicates: Literal["near", "exact", "ignore"] = "near"


class Search(Section):
    """How trials are chosen, and which of them are stopped early.

    trials: how many in all.   batch: how many are asked for before the first of them is told; the result depends
    on it, and never on the number of workers.   timeout_minutes: no new trial is begun after it.
    rung: share of the epochs of a short training on fold 0 that comes first and may stop a trial; null is none. It
    pays from some 20 trials on: the study has to learn first what a short training foretells.
    """

    trials: int = Field(default=20, ge=1, le=100_000)
    sampler: Literal["tpe", "random", "gp", "grid"] = "tpe"
    racing: Literal["forgiving", "paired", "median", "none"] = "paired"
    rung: float | None = Field(default=None, gt=0, lt=1, strict=False)
    seed: int = Field(default=0, ge=0, lt=2**63)
    batch: int = Field(default=4, ge=1, le=256)
    timeout_minutes: float | None = Field(default=None, gt=0, strict=False)


def least_trials(racing: str, num_folds: int) -> int:
    """How many trials a study needs so that its racing rule can ever stop one, beside the first."""
    if racing == "median":
        return 6  # it compares with five others
    if racing == "paired":
        return 2 + -(-4 // (num_folds - 1))  # it needs a variance with four degrees of freedom
    return 1
