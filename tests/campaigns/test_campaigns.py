"""The campaigns run, on a few attempts, and can fail: a victim that was changed is noticed."""

import os
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from harness.store.store import Store
from tests.campaigns.attacks import ATTACKS
from tests.campaigns.processes import descendants
from tests.campaigns.victim import Victim

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Victim]:
    with closing(Victim(tmp_path_factory.mktemp("campaign"), empty_database)) as found:
        yield found


QUICK = [
    ("kills", 0), ("writes", 20), ("writes", 61), ("bits", 0), ("pauses", 0), ("crowd", 0), ("clearing", 0),
    ("first_starts", 0), ("full_disk", 0), ("refusals", 9), ("refusals", 31),
    ("requests", 0), ("uploads", 0), ("outages", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "attempt"), QUICK)
def test_an_attack_does_no_lasting_harm(victim: Victim, name: str, attempt: int) -> None:
    if name == "full_disk" and os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    assert ATTACKS[name](victim, random.Random(attempt), attempt) == ""


def test_a_study_that_did_come_out_otherwise_is_noticed(victim: Victim, tmp_path: Path) -> None:
    home = victim.folder / "again"
    assert victim.compare(home) == ""
    store = Store(home)
    trial = store.read_trials("victim")[1]
    store.write_trial("victim", replace(trial, scores=(0.0, *trial.scores[1:])))
    assert victim.compare(home) == "trials differ"


def test_children_and_their_children_are_found() -> None:
    import subprocess
    import sys

    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        while len(found := descendants(os.getpid())) < 2:
            pass
        assert process.pid in found
    finally:
        process.communicate(b"\n")
