"""The audit: can the score of a study be believed? Its data, its splits, its guards, and probes of its best trial."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.analysis import (
    duplicate_leakage,
    file_clues,
    image_statistics,
    look_alikes,
    marks,
    repeated_patterns,
    watermarks,
)
from harness.analysis.false_stops import false_stops
from harness.analysis.leak_probes import AuditedTrial, probes
from harness.data.class_counts import count_classes
from harness.data.images import Images
from harness.data.snapshot import TRAIN
from harness.errors import CheckFailed, HarnessError
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.train_folds import Step, workplace_of
from harness.records import Scalar, StudyRecord, TrialRecord
from harness.scoring.metrics import METRICS
from harness.store.findings import Audit, Check, FalseStops, Verdict
from harness.store.loaded_study import LoadedStudy, in_use

TOO_MANY = 1000  # images, all of them right: rather a leak than a network


@dataclass(frozen=True)
class Ceiling:
    """No honest score on a data set is known to be higher."""

    accuracy: float
    source: str


CEILINGS = {
    "cifar10": Ceiling(
        0.997, "99.5 % with pretraining on 300 million images, Dosovitskiy et al. 2021, arXiv 2010.11929"
    ),
    "fashion_mnist": Ceiling(0.98, "96.9 %, the best of its public table; people reach 83.5 %"),
}
CIFAR10 = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}


@in_use
def audit(
    study: LoadedStudy,
    *,
    trial: str = "best",
    stopped: int = 0,
    options: Mapping[str, Mapping[str, Scalar]] | None = None,
    cluster: Cluster = THIS_PROCESS,
) -> Iterator[Step | Audit]:
    """Probe a study: yields how far it is, then the audit, which is kept as a finding of the study.

    trial: "best" or a number.   stopped: so many of the trials that racing stopped are finished and looked at.
    options: of probes, by the probe's name.
    Its verdict is "failed" if any check's is; its sentence is that check's. An interrupted audit goes on.
    Raises UsageError for a trial that is not complete, DataError or CheckFailed for images that have changed.
    """
    audited = study.complete_trial(trial)
    images, split, _ = workplace_of(study.store, study.record).open()
    subject = AuditedTrial(study, audited, images, split, cluster)
    score = METRICS["accuracy"](*study.out_of_fold(audited).known)
    checks = [_guards(study, audited)]
    for name, probe in probes(options or {}):
        yield f"probe: {name.replace('_', ' ')}"
        check = yield from probe.check(subject)
        checks += [check] if check else []
    yield "looking for marks in the pixels"
    checks += [_ceiling(study.record, score), *of_pixels(images)]
    yield "looking at files, names and order"
    columns = study.snapshot.columns(TRAIN) if study.snapshot else {}
    facts = file_clues.facts_of(images, columns, study.record.data["settings"])
    checks += file_clues.checks(images, facts)
    yield "looking for duplicates and look-alikes"
    duplicates = yield from duplicate_leakage.report(subject)
    checks += [*duplicates.checks, *look_alikes.checks(images, duplicates.found, split.groups)]
    verdict, sentence = _verdict(checks)
    document = Audit(
        study=study.name,
        trial=audited.number,
        verdict=verdict,
        sentence=sentence,
        findings=tuple(checks),
        options=options or {},
        data=count_classes(images),
        duplicates=duplicates.pairs,
        stopped=(yield from _check_stops(study, stopped, cluster)),
    )
    study.store.write_finding(study.name, document)
    subject.close()
    yield document


def of_pixels(images: Images) -> Iterator[Check]:
    """What the pixels of a sample of the images say of marks and of how they were made, whatever a trial scores."""
    some = images.take(marks.sample(images))
    for look in (marks.check, watermarks.check, repeated_patterns.check, image_statistics.check):
        yield look(some)


def require_passed(audit: Audit) -> None:
    """Raise CheckFailed if the study's score cannot be believed."""
    if audit.verdict == "failed":
        raise CheckFailed(f"study {audit.study} fails its audit: {audit.sentence}")


def _guards(study: LoadedStudy, trial: TrialRecord) -> Check:
    """That each image was predicted once, by a network that had not seen it."""
    try:
        found, repeats = study.out_of_fold(trial), study.record.repeats
        held_out = (study.split.by_repeat.T >= 0).ravel()
        missing = int((held_out & (found.fold_of < 0)).sum())
        problem = f"{missing} images were never predicted" if missing else ""
    except HarnessError as error:
        problem = str(error)
    if problem:
        return Check("folds", "failed", None, None, f"{problem[0].upper()}{problem[1:]}.")
    times = "once" if repeats == 1 else f"{repeats} times"
    what = f"Each of {found.num_images:,} images was held out {times}"
    if study.record.is_hold_out:
        what = f"Of {found.num_images:,} images {int(held_out.sum()):,} were held out" + f" in {times}" * (
            repeats > 1
        )
    sentence = f"{what}; images, split and predictions are unchanged."
    return Check("folds", "passed", None, None, sentence)


def _ceiling(record: StudyRecord, score: float) -> Check:
    known = str(record.data["settings"]["name"])
    if set(record.data["classes"]) == CIFAR10:
        known = "cifar10"
    ceiling = CEILINGS.get(known)
    total = record.data["num_images"]
    if ceiling and score > ceiling.accuracy:
        why = f"It scores {score:.2%}, more than anybody has honestly reached on {known} ({ceiling.source})."
        return Check("too good", "failed", score, ceiling.accuracy, why)
    if score == 1.0 and total >= TOO_MANY:
        why = f"Not one of {total:,} held-out images is wrong: look for a leak before you believe it."
        return Check("too good", "failed", score, 1.0, why)
    bound = ceiling.accuracy if ceiling else None
    return Check("too good", "passed", score, bound, f"It scores {score:.2%}, which is possible.")


def _verdict(checks: Sequence[Check]) -> tuple[Verdict, str]:
    failed = [check for check in checks if check.verdict == "failed"]
    if failed:
        return "failed", failed[0].sentence
    noted = [check for check in checks if check.verdict == "noted"]
    more = f" Worth a look: {', '.join(check.probe for check in noted)}." if noted else ""
    return "passed", f"None of {len(checks)} checks found a leak.{more}"


def _check_stops(
    study: LoadedStudy, sample: int, cluster: Cluster
) -> Generator[Step, None, FalseStops | None]:
    if not sample:
        return None
    for step in false_stops(study, sample=sample, cluster=cluster):
        if isinstance(step, FalseStops):
            return step
        yield step
    raise AssertionError("the steps end with what came of them")
