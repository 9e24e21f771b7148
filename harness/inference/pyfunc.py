"""The loader that MLflow calls for the models of earlier releases, whose answers are logits."""

from pathlib import Path
from typing import Any

import numpy as np

from harness.config import plugins
from harness.environment import environment
from harness.inference.model import TrialModel, load_trial_model


class PyfuncModel:
    """uint8 (N, C, H, W) images in, float32 (N, classes) logits out."""

    def __init__(self, model: TrialModel):
        self.model = model

    def predict(self, images: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        return self.model.predict_logits(np.asarray(images))


def _load_pyfunc(path: str) -> PyfuncModel:
    with environment({plugins.TRUST: "1"}):  # whoever has MLflow load a model runs its code
        return PyfuncModel(load_trial_model(Path(path)))
