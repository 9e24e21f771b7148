"""Findings made up for tests of what is said of them."""

from dataclasses import replace
from typing import Any

from harness.store.findings import (
    Audit,
    AuditVerdict,
    Confirmation,
    ConfirmedTrial,
    CorrectedScore,
    Epochs,
    FinalTest,
    LedgerPlace,
    TestDuplicates,
)

CORRECTED = CorrectedScore(
    of="f" * 64, trial=3, naive=0.9, corrected=0.8, low=0.7, high=0.85, num_trials=4, epochs=Epochs(0.9, 0.9, 0.9, 0.0)
)  # fmt: skip
CONFIRMED = ConfirmedTrial(
    number=3, tuned=0.9, tuned_standard_error=0.02, confirmed=0.871, confirmed_standard_error=0.02, shrinkage=0.029,
    scores=((0.86, 0.87, 0.883),), tuned_half_width=0.0392, confirmed_half_width=0.0392,
)  # fmt: skip


def audit(**changes: Any) -> Audit:
    """Of the study `small`, passed, without a check."""
    return replace(Audit(study="small", trial=0, verdict="passed", sentence="No leak."), **changes)


def confirmation(**changes: Any) -> Confirmation:
    """Of trial 3, which has won, as it had not before."""
    made_up = Confirmation(
        objective="accuracy", repeats=1, trials=(CONFIRMED,), tuned_order=(1, 3), confirmed_order=(3,), winner=3,
        winner_held=False,
    )  # fmt: skip
    return replace(made_up, **changes)


def final_test(**changes: Any) -> FinalTest:
    """Of trial 3, at the second look."""
    made_up = FinalTest(
        study="small", trial=3, objective="accuracy", refit="a" * 40, look=1, looks=2, test_hash="e" * 64,
        reason="a typo", ledger=LedgerPlace(2, "b" * 64), scores={"accuracy": 0.8512},
        intervals={"accuracy": (0.8, 0.9)}, num_images=100, confusion=((50, 0), (15, 35)),
        duplicates=TestDuplicates(0, None), confirm=confirmation(), audit=AuditVerdict("passed", "No leak."),
    )  # fmt: skip
    return replace(made_up, **changes)
