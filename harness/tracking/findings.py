"""What was found out about a study as a whole, as metrics, tags and words of its run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Finding = Mapping[str, Any] | None


@dataclass(frozen=True)
class Findings:
    """The study's findings by kind, as the store has them, and files to show with its run (gallery, pictures)."""

    honest: Finding = None
    audit: Finding = None
    confirm: Finding = None
    final: Finding = None
    files: tuple[Path, ...] = ()

    @property
    def version(self) -> str:
        """Changes whenever any of it does; "" for none."""
        if self == Findings():
            return ""
        written = [(str(path), path.stat().st_mtime_ns) for path in self.files]
        kinds = {**asdict(self), "files": written}
        return hashlib.sha256(json.dumps(kinds, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def points(self, objective: str, *, finished: bool) -> dict[str, float]:
        """finished: whether no trial is to come, after which the corrected score would be another."""
        points: dict[str, float] = {}
        if self.honest and finished:
            for part in ("naive", "corrected", "low", "high"):
                name = part if part in ("naive", "corrected") else f"corrected_{part}"
                points[f"{objective}.{name}"] = self.honest[part]
        if self.confirm:
            rows = {row["number"]: row for row in self.confirm["trials"]}
            points[f"{objective}.confirmed"] = rows[self.confirm["winner"]]["confirmed"]
        if self.final:
            points[f"{objective}.test"] = self.final["scores"][objective]
        return points

    def tags(self) -> dict[str, str]:
        tags = {"harness.audit": str(self.audit["verdict"]) if self.audit else "none"}
        if self.final:
            tags["harness.looks"] = str(self.final["looks"])
        return tags

    def words(self, objective: str) -> list[str]:
        """Markdown paragraphs for the study's note, the audit's first where it failed."""
        words = []
        if self.audit and self.audit["verdict"] == "failed":
            words.append(f"⚠ **This score cannot be believed.** {self.audit['sentence']}")
        if self.honest:
            interval = f"95 % {self.honest['low']:.4f} to {self.honest['high']:.4f}"
            words.append(
                f"**Corrected** for the choice among {self.honest['num_trials']} trials: "
                f"{objective} {self.honest['corrected']:.4f} ({interval}, BBC-CV)."
            )
        if self.audit and self.audit["verdict"] == "passed":
            words.append(f"**Audit passed.** {self.audit['sentence']}")
        if self.final:
            low, high = self.final["intervals"][objective]
            words.append(
                f"**Test images**, looked at {self.final['looks']} time(s): trial {self.final['trial']}, {objective} "
                f"{self.final['scores'][objective]:.4f} (95 % {low:.4f} to {high:.4f})."
            )
        return words
