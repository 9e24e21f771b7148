"""The loader that MLflow calls for a model whose network is an exported program of torch, without harness."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253  it is loaded where a model is, elsewhere
from torch.export.passes import move_to_device_pass  # noqa: TID253

from . import DOCUMENT, PROGRAM
from .classifier import Classifier
from .image_pixels import UnreadableError, pixels_of

DEVICE = "MLFLOW_DEFAULT_PREDICTION_DEVICE"


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> Classifier:
    """The model whose program lies in the folder `path`.

    model_config: {"device": "cuda"} computes there; by default MLFLOW_DEFAULT_PREDICTION_DEVICE, or else the processor,
    on which the program was compared with the network.
    """
    files = {DOCUMENT: ""}
    program = torch.export.load(Path(path) / PROGRAM, extra_files=files)
    document = json.loads(files[DOCUMENT])
    device = (model_config or {}).get("device") or os.environ.get(DEVICE) or "cpu"
    if device != "cpu":
        program = move_to_device_pass(program, device)
    module = program.module()

    def predict(pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            found: np.ndarray = module(torch.from_numpy(pixels).to(device)).cpu().numpy()
        return found

    channels, height, width = document["image_shape"]
    is_of_files = height == width and channels in (1, 3)
    decode = partial(pixels_of, image_size=height, channels=channels, **document.get("decoding", {}))
    return Classifier(
        document["classes"], (channels, height, width), decode if is_of_files else _not_of_files, predict
    )


def _not_of_files(content: bytes) -> np.ndarray:
    raise UnreadableError("the model takes pixels, which no file is made into")
