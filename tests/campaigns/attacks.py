"""The attacks: each takes a victim and a random state, and says what did not hold, or "".

Add one by writing a function and its name in ATTACKS.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.campaigns import machines, network
from tests.campaigns.processes import alive, descendants
from tests.campaigns.victim import Victim

Attack = Callable[[Victim, random.Random, int], str]
ORPHAN_SECONDS = 5.0
MUCH_GARBAGE = 5000  # folders that take gc some seconds
INTERRUPT_SECONDS = {False: 10.0, True: 2.0}  # once, twice; a process takes a moment to end, too


def kills(victim: Victim, chance: random.Random, attempt: int) -> str:
    """kill -9 of the driver at random moments, up to three times, then the same command to its end."""
    home, workers = victim.home("kills", empty=True), chance.choice([1, 1, 2])
    for _ in range(chance.randint(1, 3)):
        process = victim.start(home, workers=workers)
        process.join(chance.uniform(0, 1.2 * victim.seconds))
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
    return _goes_on(victim, home)


def writes(victim: Victim, chance: random.Random, attempt: int) -> str:
    """kill -9 of itself just before or after the k-th durable write, fsync or rename; k grows with the attempts."""
    home = victim.home("writes", empty=True)
    process = victim.start(home, before=partial(die_at, attempt // 2, before=attempt % 2 == 0))
    process.join(300)
    if process.exitcode not in (0, -signal.SIGKILL):
        return f"the attacked run ended with {process.exitcode}"
    return _goes_on(victim, home)


def trees(victim: Victim, chance: random.Random, attempt: int) -> str:
    """kill -9 of a real `harness tune` with two workers: none is left after five seconds, nothing in /dev/shm."""
    home = victim.home("trees")
    before = set(Path("/dev/shm").iterdir())
    words = ["-m", "harness", "tune", "--study", str(victim.path), "--workers", "2", "--home", str(home)]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(chance.uniform(1.0, 12.0))
    family = descendants(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + ORPHAN_SECONDS
    while (left := [pid for pid in family if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    if left:
        return f"{len(left)} of {len(family)} processes are left"
    if more := set(Path("/dev/shm").iterdir()) - before:
        return f"left in /dev/shm: {sorted(more)}"
    return _goes_on(victim, home)


def bits(victim: Victim, chance: random.Random, attempt: int) -> str:
    """One flipped bit in a record, an array, weights, a split or a checkpoint of an interrupted study."""
    home = victim.home("bits")
    process = victim.start(home)
    process.join(chance.uniform(0.5, 1.0) * victim.seconds)
    if process.exitcode is None:
        os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    files = [path for path in home.rglob("*") if path.is_file() and _is_record(path)]
    if not files:
        return ""
    path = chance.choice(sorted(files))
    content = bytearray(path.read_bytes())
    if content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    code = victim.finish(home)
    if code == 0:
        problem = victim.compare(home)
        return f"{path.relative_to(home)}: {problem}" if problem else ""
    return "" if path.name in victim.told(home) else f"{path.relative_to(home)}: exit code {code}"


def signals(victim: Victim, chance: random.Random, attempt: int) -> str:
    """SIGSTOP of the driver for a while, then SIGCONT: nothing is lost by a pause."""
    home = victim.home("signals")
    process = victim.start(home, workers=2)
    process.join(chance.uniform(0.2, 0.9) * victim.seconds)
    if process.exitcode is None:
        os.kill(process.pid or 0, signal.SIGSTOP)
        time.sleep(chance.uniform(0.5, 2.0))
        os.kill(process.pid or 0, signal.SIGCONT)
    process.join(300)
    return f"exit code {process.exitcode}" if process.exitcode else victim.compare(home)


def interrupts(victim: Victim, chance: random.Random, attempt: int) -> str:
    """Ctrl-C, twice Ctrl-C or SIGTERM of a real `harness tune`: it ends in ten seconds, twice in one, as documented."""
    home = victim.home("interrupts")
    words = ["-m", "harness", "tune", "--study", str(victim.path), "--workers", "2", "--home", str(home)]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kind, code = chance.choice([(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    twice = kind == signal.SIGINT and chance.random() < 0.5
    try:
        process.wait(chance.uniform(4.0, 10.0))  # before, Python itself may still be starting
    except subprocess.TimeoutExpired:
        process.send_signal(kind)
        if twice:
            time.sleep(chance.uniform(0.1, 0.5))
            process.send_signal(kind)
        try:
            found = process.wait(INTERRUPT_SECONDS[twice])
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"{kind.name}{' twice' * twice}: not ended after {INTERRUPT_SECONDS[twice]:.0f} s"
        if found not in (code, 0, *([-kind] if twice else [])):  # a shell calls the last 130, too
            return f"{kind.name}{' twice' * twice}: exit code {found}"
    return _goes_on(victim, home)


def clearing(victim: Victim, chance: random.Random, attempt: int) -> str:
    """`gc --yes` again and again while a study starts of whose images and folds gc has just called some garbage."""
    home = victim.home("clearing")
    for name in ("data", "folds", "duplicates"):
        shutil.copytree(victim.folder / "again" / name, home / name)
    for path in home.glob("*/*"):
        os.utime(path, (0, 0))  # nobody has wanted it for long
    for number in range(MUCH_GARBAGE):
        (home / "folds" / f"{number:040x}").mkdir()
    cleaner = victim.context.Process(target=_clear, args=(home,))
    cleaner.start()
    try:
        time.sleep(chance.uniform(0.0, 1.0))
        process = victim.start(home)
        process.join(300)
    finally:
        cleaner.kill()
        cleaner.join()
    if process.exitcode:
        return f"exit code {process.exitcode}: {victim.told(home)}"
    return victim.compare(home)


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        kills,
        writes,
        trees,
        bits,
        signals,
        interrupts,
        clearing,
        network.requests,
        network.uploads,
        network.outages,
        machines.full_disk,
        machines.refusals,
        machines.pauses,
        machines.first_starts,
        machines.crowd,
    )
}


def die_at(number: int, *, before: bool) -> None:
    """Have this process die at its `number`-th durable operation: before it, or right after it."""
    count = 0

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def operation(*arguments: object, **options: object) -> object:
            nonlocal count
            mine, count = count, count + 1
            if mine == number and before:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*arguments, **options)
            if mine == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return operation

    os.fsync = dying(os.fsync)  # type: ignore[assignment]
    Path.replace = dying(Path.replace)  # type: ignore[method-assign,assignment]
    Path.rename = dying(Path.rename)  # type: ignore[method-assign,assignment]


def _clear(home: Path) -> None:
    """In the child: until it is killed."""
    from contextlib import redirect_stderr, redirect_stdout

    from harness.cli import run

    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        while True:
            run(["gc", "--yes", "--home", str(home)])


def _goes_on(victim: Victim, home: Path) -> str:
    code = victim.finish(home)
    return f"the same command ended with {code}" if code else victim.compare(home)


def _is_record(path: Path) -> bool:
    return path.suffix in (".json", ".npz", ".safetensors", ".checkpoint") and path.name not in (
        "holder.json",
        "mlflow.json",
    )
