"""The audit: can the score of a study be believed? Its data, its splits, its guards, and probes of its best trial."""

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from harness.analysis import duplicate_leakage, shortcut_features
from harness.analysis.leak_probes import TRAINED, Bench, Finding
from harness.analysis.stopped import false_stops
from harness.data.class_counts import count_classes
from harness.errors import CheckFailed, HarnessError, UsageError
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.train_folds import workplace_of
from harness.records import StudyRecord, TrialRecord, best_of
from harness.scoring.metrics import METRICS
from harness.store.predictions import out_of_fold
from harness.store.store import Store, started_study

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


def audit(
    store: Store, name: str, *, trial: str = "best", stopped: int = 0, cluster: Cluster = THIS_PROCESS
) -> Iterator[str | dict[str, Any]]:
    """Probe a study: yields lines of progress, then the document, which is kept as the study's finding "audit".

    trial: "best" or a number.   stopped: so many of the trials that racing stopped are finished and looked at.
    Its verdict is "failed" if any finding's is; its sentence is that finding's. An interrupted audit goes on.
    Raises UsageError for a trial that is not complete, DataError or CheckFailed for images that have changed.
    """
    record, trials = started_study(store, name), store.read_trials(name)
    audited = _complete_trial(record, trials, trial)
    images, split, _ = workplace_of(store, record).open()
    bench = Bench(store, record, audited, images, split, cluster)
    score = _accuracy(store, record, audited)
    findings = [_guards(store, record, audited)]
    for probe in TRAINED:
        yield f"probe: {probe.__name__.replace('_', ' ')}"
        finding = yield from probe(bench)
        findings += [finding] if finding else []
    yield "looking at names, sizes and outermost pixels"
    findings += [shortcut_features.border(images, score), _ceiling(record, score)]
    found = shortcut_features.metadata(images, record.data["settings"])
    findings += [found] if found else []
    yield "looking for duplicates"
    duplicates = yield from duplicate_leakage.report(bench)
    findings += duplicates.findings
    document = {
        "study": name,
        "trial": audited.number,
        **_verdict(findings),
        "findings": [asdict(finding) for finding in findings],
        "data": asdict(count_classes(images)),
        "duplicates": duplicates.document,
        "stopped": (yield from _stopped(store, record, trials, stopped, cluster)),
    }
    store.write_finding(name, "audit", document)
    bench.close()
    yield document


def require_passed(document: dict[str, Any]) -> None:
    """Raise CheckFailed if the study's score cannot be believed."""
    if document["verdict"] == "failed":
        raise CheckFailed(f"study {document['study']} fails its audit: {document['sentence']}")


def _complete_trial(record: StudyRecord, trials: list[TrialRecord], wanted: str) -> TrialRecord:
    best = best_of(trials, record.direction)
    found = best if wanted == "best" else next((t for t in trials if str(t.number) == wanted), None)
    if found is None or found.state != "complete":
        what = "has no complete trial yet" if wanted == "best" else f"has no complete trial {wanted}"
        raise UsageError(f"study {record.name} {what}; go on with tune, or choose another with --trial")
    return found


def _accuracy(store: Store, record: StudyRecord, trial: TrialRecord) -> float:
    found = out_of_fold(store, record, trial)
    return METRICS["accuracy"](found.labels, found.probabilities)


def _guards(store: Store, record: StudyRecord, trial: TrialRecord) -> Finding:
    """That each image was predicted once, by a network that had not seen it."""
    try:
        found = out_of_fold(store, record, trial)
        missing = int((found.fold_of < 0).sum())
        problem = f"{missing} images were never predicted" if missing else ""
    except HarnessError as error:
        problem = str(error)
    if problem:
        return Finding("folds", "failed", None, None, f"{problem[0].upper()}{problem[1:]}.")
    sentence = f"Each of {len(found.labels):,} images was held out once; images, split and predictions are unchanged."
    return Finding("folds", "passed", None, None, sentence)


def _ceiling(record: StudyRecord, score: float) -> Finding:
    known = str(record.data["settings"]["name"])
    if set(record.data["classes"]) == CIFAR10:
        known = "cifar10"
    ceiling = CEILINGS.get(known)
    total = record.data["num_images"]
    if ceiling and score > ceiling.accuracy:
        why = f"It scores {score:.2%}, more than anybody has honestly reached on {known} ({ceiling.source})."
        return Finding("too good", "failed", score, ceiling.accuracy, why)
    if score == 1.0 and total >= TOO_MANY:
        why = f"Not one of {total:,} held-out images is wrong: look for a leak before you believe it."
        return Finding("too good", "failed", score, 1.0, why)
    bound = ceiling.accuracy if ceiling else None
    return Finding("too good", "passed", score, bound, f"It scores {score:.2%}, which is possible.")


def _verdict(findings: list[Finding]) -> dict[str, str]:
    failed = [finding for finding in findings if finding.verdict == "failed"]
    if failed:
        return {"verdict": "failed", "sentence": failed[0].sentence}
    noted = [finding for finding in findings if finding.verdict == "noted"]
    more = f" {len(noted)} worth a look." if noted else ""
    return {"verdict": "passed", "sentence": f"None of {len(findings)} checks found a leak.{more}"}


def _stopped(
    store: Store, record: StudyRecord, trials: list[TrialRecord], sample: int, cluster: Cluster
) -> Generator[str, None, dict[str, Any] | None]:
    if not sample:
        return None
    document = None
    for step in false_stops(store, record, trials, sample=sample, cluster=cluster):
        if isinstance(step, dict):
            document = step
        else:
            yield f"stopped trial {step[0]} fold {step[1]}"
    return document
