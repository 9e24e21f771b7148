"""skorch's NeuralNetClassifier under scikit-learn's cross_val_score, tuned by Optuna."""

from typing import Any

import numpy as np
import optuna
import torch
from sklearn.model_selection import StratifiedKFold, cross_val_score
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn
from torchvision import transforms

from tests.benchmarks.peers import MOMENTUM, PADDING, WEIGHT_DECAY, Found, Task, network, read
from tests.benchmarks.peers.stock import MEAN, STD, suggest


class Network(nn.Module):
    """The network with the values as arguments, which skorch asks for; it augments while it is trained."""

    def __init__(self, width: int, dropout: float, num_classes: int):
        super().__init__()
        self.body = network({"width": width, "dropout": dropout}, num_classes)
        self.augment = transforms.Compose(
            [transforms.RandomCrop(32, padding=PADDING), transforms.RandomHorizontalFlip()]
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            images = torch.stack([self.augment(image) for image in images])
        return self.body(images)


def search(task: Task) -> Found:
    pixels, labels = read(task.train)
    mean, std = (np.array(value, np.float32)[:, None, None] for value in (MEAN, STD))
    images = (pixels.astype(np.float32) / 255 - mean) / std
    folds = StratifiedKFold(n_splits=task.folds, shuffle=True, random_state=task.seed)

    def objective(trial: optuna.Trial) -> float:
        net = classifier(suggest(trial), task, len(np.unique(labels)), len(labels))
        scores = cross_val_score(net, images, labels, cv=folds, scoring="accuracy")
        trial.set_user_attr("scores", scores.tolist())
        return float(scores.mean())

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=task.seed))
    study.optimize(objective, n_trials=task.trials)
    return Found(study.best_params, study.best_trial.user_attrs["scores"], task.trials * task.folds)


def classifier(params: dict[str, Any], task: Task, num_classes: int, num_images: int) -> NeuralNetClassifier:
    steps = -(-num_images * (task.folds - 1) // task.folds // params["batch_size"]) + 1
    return NeuralNetClassifier(
        Network,
        module__width=params["width"],
        module__dropout=params["dropout"],
        module__num_classes=num_classes,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=MOMENTUM,
        optimizer__nesterov=True,
        optimizer__weight_decay=WEIGHT_DECAY,
        lr=params["lr"],
        batch_size=params["batch_size"],
        max_epochs=task.epochs,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[
            LRScheduler(
                torch.optim.lr_scheduler.OneCycleLR,
                max_lr=params["lr"],
                total_steps=task.epochs * steps,
                step_every="batch",
            )
        ],
        verbose=0,
    )
