"""What a study's scores are worth, in the lines below its trials."""

from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from harness.analysis.leaderboard import Status
from harness.cli.options import advised
from harness.records import mixed_words, sign_of
from harness.store.findings import CorrectedScore


def worth(status: Status, home: Path) -> list[Text]:
    """What the best score is worth: corrected for the choice, and what the audit has found."""
    lines = [Text(status.scored_by)] if status.scored_by else []
    corrected = status.honest
    if corrected and corrected.num_trials > 1:
        interval = f"95 % {corrected.low:.4f} to {corrected.high:.4f}"
        what = f"corrected for the choice among {corrected.num_trials} trials"
        lines.append(Text(f"{what}: {corrected.corrected:.4f}   {interval}{_no_luck(status, corrected)}"))
    if status.best and status.best.number == 0 and len(status.trials) > 1:
        lines.append(Text("trial 0, the defaults, has the best fold score: tuning has found nothing better"))
    if status.mixed_fingerprints:
        lines.append(Text(mixed_words(status.mixed_fingerprints), style="yellow"))
    if status.pending:
        lines.append(
            Text(
                f"MLflow does not show all of it yet: {advised(home, 'sync', status.study)}",
                style="yellow",
            )
        )
    lines += [Text(said, style="yellow") for said in status.hidden]
    if status.contradiction:
        lines.append(Text(status.contradiction, style="red"))
    return [*lines, *_confirmed(status), *_tested(status), *_audited(status, home)]


def _confirmed(status: Status) -> Iterator[Text]:
    if found := status.confirmed:
        error = "" if found.half_width is None else f" ± {found.half_width:.4f}"
        was = "" if found.trial == found.tuned else f"; tuning had chosen trial {found.tuned}"
        yield Text(
            f"confirmed with fresh seeds: trial {found.trial} is the best, {found.mean:.4f}{error}{was}"
        )


def _tested(status: Status) -> Iterator[Text]:
    if (test := status.test) is None:
        return
    interval = f"95 % {test.low:.4f} to {test.high:.4f}"
    yield Text(f"test of trial {test.trial}, on {test.num_images:,} images: {test.score:.4f}   {interval}")
    yield from (Text(said) for said in (test.worth,) if said)
    known = {test.trial, status.confirmed.tuned} if status.confirmed else {test.trial}
    if status.best and status.best.number not in known:
        yield Text(f"trial {status.best.number} came after that look", style="yellow")


def _audited(status: Status, home: Path) -> Iterator[Text]:
    """What the audit found, and of which trial: the one that final took or takes, or another."""
    if (audit := status.audit) is None:
        return
    used = status.chosen if status.chosen is not None else status.best.number if status.best else audit.trial
    style = "red" if audit.verdict == "failed" else "green" if audit.trial == used else "yellow"
    yield Text(f"audit of trial {audit.trial} {audit.verdict}: {audit.sentence}", style=style)
    if audit.trial != used:
        advice = advised(home, "audit", status.study, "--trial", str(used))
        yield Text(f"trial {used} has not been audited: {advice}", style="yellow")


def _no_luck(status: Status, corrected: CorrectedScore) -> str:
    """Said where the correction takes nothing away, which it does by chance where there is little to choose."""
    best = status.best.mean if status.best else None
    if best is None or sign_of(status.direction) * (corrected.corrected - best) < 0:
        return ""
    return "   (no luck of the choice is seen)"
