"""The loader that MLflow calls for a model that needs harness: of a trial, or one that torch cannot export."""

from pathlib import Path

import numpy as np

from harness.config import plugins
from harness.data.decoding import decode
from harness.environment import environment
from harness.errors import DataError
from harness.inference.model import load_trial_model
from harness.standalone.classifier import Classifier
from harness.standalone.image_pixels import UnreadableError


def _load_pyfunc(path: str) -> Classifier:
    with environment({plugins.TRUST: "1"}):  # whoever has MLflow load a model runs its code
        model = load_trial_model(Path(path))

    def decoded(content: bytes) -> np.ndarray:
        try:
            channels, side = model.require_files()
        except DataError as error:
            raise UnreadableError(str(error)) from None
        return decode(content, image_size=side, channels=channels, policy=model.policy)

    return Classifier(model.classes, model.image_shape, decoded, model.predict)
