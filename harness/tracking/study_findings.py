"""What was found out about a study as a whole, as metrics, tags and words of its run."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.documents import to_json
from harness.store.findings import Audit, Confirmation, CorrectedScore, FinalTest, Finding


@dataclass(frozen=True)
class StudyFindings:
    """The study's findings by kind, as the store has them, and files to show with its run (gallery, pictures)."""

    corrected: CorrectedScore | None = None
    audit: Audit | None = None
    confirm: Confirmation | None = None
    final: FinalTest | None = None
    files: tuple[Path, ...] = ()

    @property
    def by_kind(self) -> dict[str, Finding | None]:
        return {
            CorrectedScore.kind: self.corrected,
            Audit.kind: self.audit,
            Confirmation.kind: self.confirm,
            FinalTest.kind: self.final,
        }

    @property
    def version(self) -> str:
        """Changes whenever any of it does; "" for none."""
        if self == StudyFindings():
            return ""
        kinds = {kind: to_json(finding) for kind, finding in self.by_kind.items()}
        kinds |= {"files": [(str(path), path.stat().st_mtime_ns) for path in self.files]}
        return hashlib.sha256(json.dumps(kinds, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def points(self, objective: str, *, finished: bool) -> dict[str, float]:
        """finished: whether no trial is to come, after which the corrected score would be another."""
        points: dict[str, float] = {}
        if self.corrected and finished:
            points[f"corrected/{objective}"] = self.corrected.corrected
            points[f"corrected/{objective}_low"] = self.corrected.low
            points[f"corrected/{objective}_high"] = self.corrected.high
        if self.confirm:
            points[f"confirmed/{objective}"] = self.confirm.of(self.confirm.winner).confirmed
            if expected := self.confirm.champion:
                points[f"expected/{objective}"] = expected.expected
                points[f"expected/{objective}_low"] = expected.low
                points[f"expected/{objective}_high"] = expected.high
        if self.final:
            points |= final_points([objective], self.final, others=False)
        return points

    def tags(self) -> dict[str, str]:
        tags: dict[str, str] = {"harness.audit": self.audit.verdict if self.audit else "none"}
        if self.final:
            tags["harness.looks"] = str(self.final.looks)
        return tags

    def words(self, objective: str) -> list[str]:
        """Markdown paragraphs for the study's note, the audit's first where it failed."""
        words = []
        if self.final and self.final.contradiction:
            words.append(f"⚠ **{self.final.contradiction}**")
        if self.audit and self.audit.verdict == "failed":
            words.append(f"⚠ **This score cannot be believed.** {self.audit.sentence}")
        if self.corrected:
            interval = f"95 % {self.corrected.low:.4f} to {self.corrected.high:.4f}"
            words.append(
                f"**Corrected** for the choice among {self.corrected.num_trials} trials: "
                f"{objective} {self.corrected.corrected:.4f} ({interval}, BBC-CV)."
            )
        if self.confirm and (expected := self.confirm.champion):
            words.append(
                f"**Expected** of trial {expected.trial}'s network, trained on all {expected.train_images:,} images: "
                f"{objective} {expected.expected:.4f} (95 % {expected.low:.4f} to {expected.high:.4f})."
            )
        if self.audit and self.audit.verdict == "passed":
            words.append(f"**Audit passed.** {self.audit.sentence}")
        if self.final:
            low, high = self.final.intervals[objective]
            words.append(
                f"**Test images**, looked at {self.final.looks} time(s): trial {self.final.trial}, {objective} "
                f"{self.final.scores[objective]:.4f} (95 % {low:.4f} to {high:.4f})."
            )
        return words


def final_points(objectives: Sequence[str], found: FinalTest, *, others: bool = True) -> dict[str, float]:
    """The metrics of the look at the test images.   others: those that are no objectives, too."""
    points = {f"test/{name}": value for name, value in found.scores.items() if name in objectives}
    for name in objectives:
        if name in found.intervals:
            points[f"test/{name}_low"], points[f"test/{name}_high"] = found.intervals[name]
    if others:
        points |= {
            f"test_other/{name}": value for name, value in found.scores.items() if name not in objectives
        }
    return points
