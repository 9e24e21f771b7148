"""What kinds of code a study may name: where each lies in a project, and what harness gives it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a name in one place of a study file means.

    word: for messages.   folder: of a project, with a file for each name.   function: what such a file defines.
    given: the arguments that harness gives by name, where a function or class takes them; the others are options.
    """

    word: str
    folder: str
    function: str
    given: tuple[str, ...]

    @property
    def group(self) -> str:
        """Of entry points."""
        return f"harness.{self.folder}"


METRIC_ARGUMENTS = ("labels", "probabilities", "predictions", "y_true", "y_score", "y_prob", "y_pred")
LOSS_ARGUMENTS = (
    "logits",
    "targets",
    "input",
    "target",
    "weight",
    "label_smoothing",
)  # two names each, as torch's
SPLIT_ARGUMENTS = (
    "labels",
    "groups",
    "names",
    "images",
    "num_folds",
    "seed",
    "n_splits",
    "random_state",
)  # the last two as scikit-learn's classes have them
STRATIFIED = "stratified"  # harness's own split maker


def is_table(split: str) -> bool:
    """Whether a study's `cv.split` is a table of images and folds, not a split maker."""
    return split.lower().endswith(".csv")


KINDS = {
    "model": Kind("model", "models", "build", ("in_channels", "image_size", "num_classes", "classes")),
    "data": Kind("data set", "datasets", "load", ("home", "part")),
    "objective": Kind("metric", "metrics", "score", METRIC_ARGUMENTS),
    "cv.split": Kind("split maker", "splits", "split", SPLIT_ARGUMENTS),
    "train.loss": Kind("loss", "losses", "loss", LOSS_ARGUMENTS),
    "train.optimizer": Kind(
        "optimiser", "optimizers", "optimizer", ("params", "lr", "momentum", "nesterov", "weight_decay")
    ),
    "train.schedule": Kind(
        "schedule", "schedules", "schedule", ("progress", "step", "num_steps", "epoch", "num_epochs")
    ),
    "train.augment": Kind("augmentation", "augmentations", "augment", ("images", "image")),
    "train.loop": Kind(
        "training loop",
        "loops",
        "fit",
        ("network", "dataset", "images", "labels", "soft_labels", "num_classes", "classes", "device", "seed"),
    ),
    "tracker": Kind("tracker", "trackers", "Tracker", ("home",)),
}
DIFF = "diff"  # what a study says as `provenance` to keep the text of uncommitted changes
MLFLOW = "mlflow"  # the tracker that is there without being named
NO_TRACKER = "none"
NO_NETWORK = "none"  # the model of a training loop that has what it trains itself
