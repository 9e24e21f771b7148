"""What audit, confirm, final and compare have found, for people."""

from rich.text import Text

from harness.analysis.compare import AgainstBest, ComparedTrial, Comparison
from harness.cli.tables import say, table
from harness.report.format import duration
from harness.scoring.variance import Variance
from harness.store.findings import Audit, ChampionEstimate, Confirmation, FinalTest

COLUMN = 18  # where the scores of a final test stand


def confirmation(found: Confirmation) -> None:
    """The trials before and after, and whether the order held."""
    head = ("trial", "tuned", "± 95 %", "confirmed", "± 95 %", "change")
    rows = [
        (
            f"{number}{' *' if number == found.winner else ''}",
            *_pair(trial.tuned or 0.0, trial.tuned_half_width),
            *_pair(trial.confirmed, trial.confirmed_half_width),
            f"{trial.confirmed - (trial.tuned or 0.0):+.4f}",
        )
        for number, trial in ((number, found.of(number)) for number in found.confirmed_order)
    ]
    table(head, rows, header="dim")
    if found.winner_held:
        say(f"trial {found.winner} is the best again")
    else:
        say(f"trial {found.winner} is the best now; tuning had chosen trial {found.tuned_order[0]}")
        say(*_difference(found))
    if found.has_same_folds:
        say(
            "the new folds are the study's own, for nothing is drawn in its split: what was tried is the luck of the "
            "seeds, not that of the split"
        )
    if expected := found.champion:
        say(
            f"expected of its network, trained on all {expected.train_images:,} images, on "
            f"{expected.test_images:,} new ones:"
        )
        say(f"  {_expected(expected)}")
        say(
            f"  {expected.confirmed:.4f} confirmed, with networks trained on {expected.fold_images:,} images; "
            f"{-expected.optimism:+.4f} for being the best of these; {expected.gain:+.4f} for "
            f"{expected.train_images - expected.fold_images:,} images more",
            indent=4,
        )
        say(*_counted(found.objective, expected))
    say(*_causes(found.variance))


def final(found: FinalTest) -> None:
    """The test score, what the folds had promised, and how often the test images have been looked at."""
    metric = found.objective
    low, high = found.intervals[metric]
    trial, duplicates = found.confirm.of(found.trial), found.duplicates
    if found.contradiction:
        say(found.contradiction, style="red")
    say(f"trial {found.trial}, trained on all training images")
    test = f"{found.scores[metric]:.4f}   95 % {low:.4f} to {high:.4f}"
    right = f", {round(found.scores[metric] * found.num_images):,} right" if metric == "accuracy" else ""
    say(f"test {metric:<12} {test}   {found.num_images:,} images{right}", indent=COLUMN)
    if duplicates.num_images and duplicates.score_without is not None:
        what = f"without the {duplicates.num_images:,} that resemble a training image"
        say(f"{'':<17} {duplicates.score_without:.4f}   {what}", indent=COLUMN)
    if expected := found.confirm.champion:
        say(f"{'expected':<17} {_expected(expected)}   before {found.this_look}", indent=COLUMN)
    of = f"{expected.fold_images:,} images" if expected else "fewer images"
    for name, score, error in (
        ("confirmed", trial.confirmed, trial.confirmed_half_width),
        ("tuned", trial.tuned or 0.0, trial.tuned_half_width),
    ):
        known = "" if error is None else f" ± {error:.4f} (95 %)"
        say(f"{name:<17} {score:.4f}{known}   networks of {of}", indent=COLUMN)
    if found.worth:
        say(found.worth, style="green" if found.looks == 1 else "yellow")
    if found.looks == 1:
        say("these test images have been looked at once so far (ledger.jsonl)")
    if found.seen_before:
        say(f"{found.seen_before:,} of them were looked at before, by a study that this one extends")


def _difference(found: Confirmation) -> list[str]:
    """Whether the winner is better than what tuning had chosen by more than chance may do."""
    winner, before = found.of(found.winner), found.of(found.tuned_order[0])
    errors = [trial.confirmed_half_width for trial in (winner, before)]
    difference = abs(winner.confirmed - before.confirmed)
    if None in errors or difference > min(error or 0.0 for error in errors):
        return []
    return [f"they differ by {difference:.4f}, less than either is uncertain by: either will do"]


def _counted(objective: str, expected: ChampionEstimate) -> list[str]:
    """The same in images, which everybody can count."""
    if objective != "accuracy":
        return []
    right, low, high = (
        round(share * expected.test_images) for share in (expected.expected, expected.low, expected.high)
    )
    return [f"  in images: {right:,} of {expected.test_images:,} right, 95 % {low:,} to {high:,}"]


def _expected(found: ChampionEstimate) -> str:
    return f"{found.expected:.4f}   95 % {found.low:.4f} to {found.high:.4f}"


def comparison(found: Comparison) -> None:
    """The trials, best first, each against the best."""
    rows = [
        (
            row.trial,
            *_pair(row.mean or 0.0, row.half_width),
            *_against(row.against_best),
            duration(row.seconds),
            _verdict(row),
        )
        for row in found.trials
    ]
    head = (
        "trial",
        "mean",
        "± 95 %",
        "to the best",
        "95 %",
        "t-test p",
        "McNemar",
        "McNemar p",
        "worse/equal/better",
        "time",
        "",
    )
    table(head, rows, text=1, header="dim")
    level = f"p adjusted for all pairs (Holm), level {found.alpha:g}; equal is within ±{found.rope:g}"
    say(f"{level}; McNemar: images only the best has right, only this one")
    if any(_disagree(row.against_best, found.alpha) for row in found.trials):
        say(
            "McNemar's test is of these very networks, the t-test of what such a training comes to, which is what is "
            "asked here: where they differ, the t-test decides"
        )
    smallest = f"{found.smallest_difference:.4f}"
    folds = f"{found.num_folds} folds" if found.num_folds > 1 else "one held-out part"
    say(f"with {folds}, a difference of {smallest} would be found four times out of five")
    if found.scored_by:
        say(found.scored_by)
    if any(row.best_of_its_study for row in found.trials):
        say(
            "the best of a study was chosen by these very scores, so it looks a little better than it is: see confirm"
        )


def _disagree(best: AgainstBest | None, level: float) -> bool:
    return best is not None and (best.t_test.adjusted < level) != (best.mcnemar.adjusted < level)


def _verdict(row: ComparedTrial) -> str:
    alike = ["cannot be told from the best"] if row.indistinguishable and row.against_best else []
    return ", ".join(alike + ["cheapest within one error"] * row.cheapest)


def _against(best: AgainstBest | None) -> tuple[str, ...]:
    if best is None:
        return ("best", "", "", "", "", "")
    bayes, mcnemar = best.bayes, best.mcnemar
    return (
        f"{best.difference:+.4f}",
        f"{best.low:+.4f} to {best.high:+.4f}",
        f"{best.t_test.adjusted:.3g}",
        f"{mcnemar.only_best_right:,}/{mcnemar.only_this_right:,}",
        f"{mcnemar.adjusted:.2g}",
        f"{bayes.worse:.0%}/{bayes.equivalent:.0%}/{bayes.better:.0%}",
    )


def audit(found: Audit) -> None:
    """Every check in a line, the worst first, and the verdict."""
    styles = {"failed": "red", "noted": "yellow", "passed": "green"}
    order = list(styles)
    rows = [
        (check.probe, Text(check.verdict, styles[check.verdict]), check.sentence)
        for check in sorted(found.findings, key=lambda check: order.index(check.verdict))
    ]
    table(("check", "verdict", "what was found"), rows, text=1, header="dim")
    if (pairs := found.duplicates) and pairs.picture:
        say(f"pictures of duplicates: {pairs.picture}")
    if pairs and (leaky := pairs.leaky_split):
        say(
            f"plain folds: {leaky.images} of {leaky.of:,} images have a duplicate in training, "
            f"{leaky.leaky:.1%} of them right, {leaky.honest:.1%} without: "
            f"the score would change by {leaky.inflation:+.4f}"
        )
    if (stops := found.stopped) and stops.finished:
        rate = f"{len(stops.false)} of {stops.finished} would have won"
        say(
            f"stopped trials, finished for once: {rate} (95 % at most {stops.high:.0%} of all {stops.stopped})"
        )
    if found.options:
        options = [
            f"{probe}.{name} {value}" for probe, its in found.options.items() for name, value in its.items()
        ]
        say(f"options of probes: {', '.join(options)}")
    say(f"audit of trial {found.trial} {found.verdict}: {found.sentence}")


def _pair(mean: float, error: float | None) -> tuple[str, str]:
    return f"{mean:.4f}", "-" if error is None else f"{error:.4f}"


def _causes(variance: Variance | None) -> list[str]:
    """What the scores' spread comes from, and what another repeat would buy."""
    if variance is None:
        return []
    shares = variance.components.share.items()
    parts = [f"{name} {share:.0%}" for name, share in shares if share is not None]
    lines = [f"spread of one fold's score: {', '.join(parts)}"]
    pays = variance.what_pays
    now, seed, split = (
        ""
        if design.standard_error is None
        else f"{design.standard_error:.4f} ({design.trainings} folds a trial)"
        for design in (pays.now, pays.one_more_seed, pays.one_more_split)
    )
    if now:  # all three or none: the parts are known, or they are not
        options = f"one more seed each {seed}, one more split {split}"
        lines.append(f"error of a trial's mean: now {now}, {options}")
    return lines
