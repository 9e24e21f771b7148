"""The script everybody writes: Optuna, StratifiedKFold, ImageFolder, DataLoader and MLflow, as their tutorials do it.

With an option it has one of Optuna's pruners, too: `wilcoxon` reports each fold's score, `hyperband` each epoch's.
"""

from typing import Any

import mlflow
import numpy as np
import optuna
import torch
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import StratifiedKFold
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from tests.benchmarks.peers import (
    BATCH_SIZES,
    LEAST_LR,
    MOMENTUM,
    MOST_DROPOUT,
    MOST_LR,
    PADDING,
    WEIGHT_DECAY,
    WIDTHS,
    Found,
    Task,
    network,
)

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
LOADERS = 2


def search(task: Task, pruner: str = "none") -> Found:
    study = optuna.create_study(
        study_name="stock",
        storage="sqlite:///optuna.db",
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=task.seed),
        pruner=make_pruner(pruner, task),
    )
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("stock")
    study.optimize(lambda trial: objective(trial, task, pruner), n_trials=task.trials)
    folds = sum(trial.user_attrs.get("folds", 0) for trial in study.trials)
    return Found(study.best_params, study.best_trial.user_attrs["scores"], folds)


def make_pruner(name: str, task: Task) -> optuna.pruners.BasePruner:
    if name == "wilcoxon":
        return optuna.pruners.WilcoxonPruner(p_threshold=0.1)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=task.folds * task.epochs)
    return optuna.pruners.NopPruner()


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "width": trial.suggest_categorical("width", WIDTHS),
        "dropout": trial.suggest_float("dropout", 0.0, MOST_DROPOUT),
        "lr": trial.suggest_float("lr", LEAST_LR, MOST_LR, log=True),
        "batch_size": trial.suggest_categorical("batch_size", BATCH_SIZES),
    }


def objective(trial: optuna.Trial, task: Task, pruner: str) -> float:
    params = suggest(trial)
    labels = np.array(ImageFolder(task.train).targets)
    splitter = StratifiedKFold(n_splits=task.folds, shuffle=True, random_state=task.seed)
    scores: list[float] = []
    with mlflow.start_run(run_name=f"trial {trial.number}"):
        mlflow.log_params(params)
        for fold, (train, held_out) in enumerate(splitter.split(np.zeros(len(labels)), labels)):
            trial.set_user_attr("folds", fold + 1)
            with mlflow.start_run(run_name=f"fold {fold}", nested=True):
                accuracy = 0.0
                for epoch, accuracy in enumerate(train_fold(params, task, train, held_out)):
                    if pruner == "hyperband":
                        trial.report(accuracy, fold * task.epochs + epoch)
                        if trial.should_prune():
                            raise optuna.TrialPruned
            scores.append(accuracy)
            if pruner == "wilcoxon":
                trial.report(accuracy, fold)
                if trial.should_prune():
                    raise optuna.TrialPruned
        mlflow.log_metric("accuracy", float(np.mean(scores)))
    trial.set_user_attr("scores", scores)
    return float(np.mean(scores))


def train_fold(params: dict[str, Any], task: Task, train: np.ndarray, held_out: np.ndarray) -> Any:
    """Train, yielding the accuracy on the held-out images after every epoch."""
    torch.manual_seed(task.seed)
    loader, evaluation = loaders(params, task, train, held_out)
    model = network(params, len(evaluation.dataset.dataset.classes))  # type: ignore[attr-defined]
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=params["lr"], momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=params["lr"], total_steps=task.epochs * len(loader)
    )
    for epoch in range(task.epochs):
        model.train()
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(labels)
        predicted, true = predictions(model, evaluation)
        accuracy = float((predicted == true).mean())
        mlflow.log_metrics({"train_loss": total / len(train), "accuracy": accuracy}, step=epoch)
        if epoch == task.epochs - 1:
            mlflow.log_figure(
                ConfusionMatrixDisplay.from_predictions(true, predicted).figure_, "confusion.png"
            )
            mlflow.pytorch.log_model(
                model, name="model", serialization_format="pickle", pip_requirements=["torch"]
            )
        yield accuracy


def loaders(
    params: dict[str, Any], task: Task, train: np.ndarray, held_out: np.ndarray
) -> tuple[DataLoader[Any], DataLoader[Any]]:
    normalise = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    augment = [transforms.RandomCrop(32, padding=PADDING), transforms.RandomHorizontalFlip()]
    augmented = ImageFolder(task.train, transforms.Compose(augment + normalise))
    plain = ImageFolder(task.train, transforms.Compose(normalise))
    loader = DataLoader(
        Subset(augmented, train.tolist()),
        batch_size=params["batch_size"],
        shuffle=True,
        num_workers=LOADERS,
        drop_last=len(train) % params["batch_size"] == 1,
    )
    return loader, DataLoader(Subset(plain, held_out.tolist()), batch_size=256, num_workers=LOADERS)


def predictions(model: nn.Module, loader: DataLoader[Any]) -> tuple[np.ndarray, np.ndarray]:
    model.eval()
    predicted, true = [], []
    with torch.no_grad():
        for images, labels in loader:
            predicted.append(model(images).argmax(1))
            true.append(labels)
    return torch.cat(predicted).numpy(), torch.cat(true).numpy()
