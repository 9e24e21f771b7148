"""Which GPU each worker process of this machine sees. A fold is trained on one GPU."""

import logging
import os
from collections.abc import Sequence

logger = logging.getLogger(__name__)
VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus_here() -> tuple[str, ...]:
    """The GPUs that workers may use, as CUDA_VISIBLE_DEVICES names them: all of one model, for others give other bits.

    Starts CUDA in this process; the one that workers are forked from must not.
    """
    import torch

    if not torch.cuda.is_available():
        return ()
    torch.cuda.init()  # type: ignore[no-untyped-call]  # only then it counts what CUDA finds, and not what the driver lists
    models = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    found = alike(os.environ.get(VISIBLE), models)
    if others := sorted({model for model in models if model != models[0]}):
        logger.warning(
            "only the GPUs of the first one's model, %s, are used, for others give other bits: not %s; "
            "%s says which come first",
            models[0], ", ".join(others), VISIBLE,
        )  # fmt: skip
    return found


def alike(visible: str | None, models: Sequence[str]) -> tuple[str, ...]:
    """The names of the GPUs of the first one's model.

    visible: CUDA_VISIBLE_DEVICES, with numbers or UUIDs, or None where it is not set.
    models: of the GPUs that CUDA finds, in its order; it hides those after the first name that it does not know.
    """
    names = [str(number) for number in range(len(models))] if visible is None else visible.split(",")
    names = [name.strip() for name in names]
    if names[:1] and names[0].startswith("MIG-"):  # slices of a GPU, of which a process finds only the first
        return tuple(names)
    return tuple(name for name, model in zip(names, models, strict=False) if model == models[0])


def num_places(num_gpus: int, share: float) -> int:
    """Workers that there is room for, where each takes that share of a GPU: 0 is a whole one, 0.5 half of one."""
    return num_gpus * int(1 / (share or 1.0) + 1e-9)


def gpu_of(worker: int, gpus: Sequence[str]) -> str | None:
    """The GPU that this worker alone sees: one after the other, and round again; None where there are none."""
    return gpus[worker % len(gpus)] if gpus else None


def see_only(gpu: str | None) -> None:
    """Have CUDA, which must not have started in this process, find that GPU and no other."""
    if gpu is not None:
        os.environ[VISIBLE] = gpu
