"""A model's network as an exported program beside its own files, for those who have torch and not harness."""

from pathlib import Path

from harness.config import plugins
from harness.config.kinds import NO_NETWORK
from harness.environment import environment
from harness.errors import HarnessError
from harness.inference.export import exported
from harness.inference.model import load_trial_model
from harness.standalone import PROGRAM


def write_program(files: Path, target: Path, *, study: str, trial: int) -> str:
    """Write `target`/model.pt2, in a new folder; or why it cannot be, in one line, and then nothing is written.

    files: the folder that `store/model_files.py` filled, of a study whose code has just been run.
    The program agrees with the network to `export.TOLERANCE`.
    """
    with environment({plugins.TRUST: "1"}):
        model = load_trial_model(files)
    if model.architecture.get("name") == NO_NETWORK:
        return f"the training loop {model.architecture['loop']} makes no network"
    try:
        content, _ = exported(model, "pt2", study=study, trial=trial)
    except HarnessError as error:
        return str(error)
    target.mkdir()
    (target / PROGRAM).write_bytes(content)
    return ""
