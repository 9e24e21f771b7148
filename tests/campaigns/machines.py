"""Attacks by the machine itself: a full disk, refused operations, paused workers, many processes at once."""

import errno
import io
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.config.study_file import load_study_file
from harness.store.store import Store
from tests.campaigns.processes import descendants
from tests.campaigns.victim import STUDY_NAME, Victim

DISK = 16 * 2**20
PATIENCE = 6.0
FIRST_STARTS = 8
CROWD = 8
EVERY = 7  # operations that attempts are apart


def full_disk(victim: Victim, chance: random.Random, attempt: int) -> str:
    """A file system with too little room: one line that says where and how much; with more room it goes on."""
    home = victim.home("full_disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(home)], check=True)
    try:
        filler = home / "filler"
        filler.write_bytes(
            bytes(DISK - int(chance.choice([2**12, 2**16, 2**20, 2**22]) * chance.uniform(0.5, 2)))
        )
        code = victim.finish(home)
        told = victim.told(home)
        if code not in (0, 4) or (code == 4 and not (str(home) in told and " free" in told)):
            return f"exit code {code}: {told}"
        victim.notes.append(f"exit code {code}")
        filler.unlink()
        code = victim.finish(home)
        return f"after making room: exit code {code}: {victim.told(home)}" if code else victim.compare(home)
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


REFUSALS = (
    "EUCLEAN",
    "EREMOTEIO",
    "EIO",
    "EMFILE",
    "EACCES",
    "ENOSPC",
    "EROFS",
    "ENODEV",
    "EDQUOT",
    "ENOLCK",
)


def refusals(victim: Victim, chance: random.Random, attempt: int) -> str:
    """An operation on a file below the store is refused once, of ten kinds: no trial fails, one line says it.

    Which one grows with the attempts, by EVERY.
    """
    home, kind = victim.home("refusals", empty=True), chance.choice(REFUSALS)
    process = victim.start(home, before=partial(refuse_at, home, EVERY * attempt, getattr(errno, kind)))
    process.join(300)
    code, told = process.exitcode, victim.told(home)
    if code not in (0, 4) or (code == 4 and (not told or "\n" in told.strip())):
        return f"{kind} at operation {EVERY * attempt}: exit code {code}: {told}"
    victim.notes.append(f"{kind}: exit code {code}")
    code = victim.finish(home)
    return f"the same command ended with {code}: {victim.told(home)}" if code else victim.compare(home)


def refuse_at(home: Path, number: int, kind: int) -> None:
    """Have the `number`-th operation of this process on a file below `home` refused, once."""
    count = 0

    def refusing(real: Callable[..., object]) -> Callable[..., object]:
        def operation(path: object, *arguments: object, **options: object) -> object:
            nonlocal count
            known = (
                Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else Path(os.fsdecode(path))
            )  # type: ignore[arg-type,call-overload]
            if known.is_relative_to(home):
                mine, count = count, count + 1
                if mine == number:
                    raise OSError(kind, os.strerror(kind), str(known))
            return real(path, *arguments, **options)

        return operation

    for name in ("open", "mkdir", "rename", "replace", "fsync", "link", "unlink", "rmdir", "scandir", "stat"):
        setattr(os, name, refusing(getattr(os, name)))
    io.open = refusing(io.open)  # type: ignore[assignment]


def pauses(victim: Victim, chance: random.Random, attempt: int) -> str:
    """SIGSTOP of a worker, longer than the driver's patience or shorter, then SIGCONT: its late result is ignored."""
    home = victim.home("pauses")
    process = victim.start(home, workers=2, before=_be_impatient)
    deadline = time.monotonic() + 30
    while process.exitcode is None and time.monotonic() < deadline and not _workers(process.pid or 0):
        time.sleep(0.01)
    process.join(chance.uniform(0.0, 0.5) * victim.seconds)
    workers = sorted(_workers(process.pid or 0))
    if workers:
        worker = chance.choice(workers)
        os.kill(worker, signal.SIGSTOP)
        process.join(chance.choice([0.5, PATIENCE * 1.5]))
        try:
            os.kill(worker, signal.SIGCONT)
        except ProcessLookupError:
            victim.notes.append("given up")
    process.join(300)
    return f"exit code {process.exitcode}: {victim.told(home)}" if process.exitcode else victim.compare(home)


def first_starts(victim: Victim, chance: random.Random, attempt: int) -> str:
    """The first command in an empty folder, eight times at once, by other names: all end, and all alike."""
    home = victim.home("first_starts", empty=True)
    names = [f"{STUDY_NAME} {number}" for number in range(FIRST_STARTS)]
    processes = [victim.start(home, name=name) for name in names]
    for process in processes:
        process.join(300)
    codes = Counter(process.exitcode for process in processes)
    if codes != {0: FIRST_STARTS}:
        return f"exit codes {dict(codes)}: {[victim.told(home, name) for name in names]}"
    different = [victim.compare(home, name=name) for name in names]
    return "; ".join(filter(None, different))


def crowd(victim: Victim, chance: random.Random, attempt: int) -> str:
    """Eight workers and many small folds: none is lost, none is trained twice, and the study is that of one worker."""
    from harness.search.driver import EpochEnded, FoldEnded
    from harness.tuning import Settings, tune

    trials = 8 if attempt == 0 else 200
    changes = [
        f"search.trials={trials}",
        "search.batch=8",
        "train.epochs=1",
        "model.width=1",
        f"search.seed={attempt}",
    ]
    study, outcomes = load_study_file(str(victim.path), changes), []
    for workers in (CROWD, 1):
        home, trained, ended = (
            victim.home(f"crowd {attempt} {workers}"),
            Counter[tuple[int, int]](),
            Counter[tuple[int, int]](),
        )
        for event in tune(study, Settings(home, workers=workers, offline=True)):
            if isinstance(event, EpochEnded):
                trained[event.number, event.fold] += 1
            if isinstance(event, FoldEnded):
                ended[event.number, event.fold] += 1
        expected = {(trial, fold): 1 for trial in range(trials) for fold in range(2)}
        if trained != expected or ended != expected:
            return (
                f"{workers} workers: {len(ended)} folds of {len(expected)}, {sum(trained.values())} trained"
            )
        outcomes.append(
            [(trial.params, trial.scores, trial.folds) for trial in Store(home).read_trials(STUDY_NAME)]
        )
    victim.notes.append(f"{2 * trials} folds")
    return "" if outcomes[0] == outcomes[1] else "eight workers come to other results than one"


def _be_impatient() -> None:
    from harness.folds import cluster

    cluster.ProcessExecutor = partial(cluster.ProcessExecutor, patience=PATIENCE)  # type: ignore[misc,assignment]


def _workers(driver: int) -> set[int]:
    """The worker processes: children of the process that the driver forks them from."""
    found = set()
    for pid in descendants(driver):
        try:
            parent = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent != driver:
            found.add(pid)
    return found
