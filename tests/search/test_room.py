"""What is called too large for a machine, and what is only warned of."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.config.study_file import Study, load_study_file
from harness.data.images import Images
from harness.search.constraints import Size
from harness.search.room import Room, problems_of_room, room_here

IMAGES = Images(np.zeros((50, 3, 8, 8), np.uint8), np.arange(50) % 2, ("a", "b"))
SIZE = Size(parameters=1000, model_bytes=4100)
FIRST = 50 * 3 * 8 * 8 + 3 * 4100 + 3 * 4 * 1000 + 50 * 4 * 4  # images, folds, checkpoint, predictions
MEMORY = 4 * 4 * 1000
PLENTY = Room(2**40, 2**40, 2**40)


@pytest.fixture
def study(study_file: Path) -> Study:
    return load_study_file(str(study_file))


def judged(study: Study, room: Room, workers: int = 1) -> tuple[list[str], int]:
    problems, warnings = problems_of_room(study, SIZE, IMAGES, room, workers=workers)
    return [problem.path for problem in problems], len(warnings)


def test_the_first_trial_has_to_fit_and_the_study_should(study: Study) -> None:
    assert judged(study, PLENTY) == ([], 0)
    assert judged(study, replace(PLENTY, disk=FIRST - 1)) == (["--home"], 0)
    assert judged(study, replace(PLENTY, disk=FIRST)) == ([], 1)
    whole = (
        FIRST + 3 * 4100 + 3 * 50 * 4 * 4
    )  # the leader's folds too, and the predictions of three more trials
    assert judged(study, replace(PLENTY, disk=whole)) == ([], 0)
    everything = study.model_copy(update={"train": {**study.train, "keep_models": "all"}})
    assert judged(everything, replace(PLENTY, disk=whole)) == ([], 1)
    assert judged(everything, replace(PLENTY, disk=whole + 2 * 3 * 4100)) == ([], 0)


def test_a_network_has_to_fit_and_those_of_all_workers_should(study: Study) -> None:
    assert judged(study, Room(2**40, MEMORY, MEMORY - 1)) == (["model.name"], 0)
    assert judged(study, Room(2**40, MEMORY, 2**40)) == ([], 0)
    assert judged(study, Room(2**40, 2 * MEMORY, 2**40), workers=3) == ([], 1)
    assert judged(study, Room(None, None, None), workers=99) == ([], 0)


def test_a_machine_says_what_it_has(tmp_path: Path) -> None:
    found = room_here(tmp_path / "not" / "there")
    assert found.disk and found.memory and found.memory > 2**28
    assert found.all_memory is None or found.all_memory >= found.memory
