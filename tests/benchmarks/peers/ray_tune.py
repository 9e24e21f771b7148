"""Ray Tune with Optuna's search, a processor a trial; `asha` stops trials by their mean after each fold."""

import os
from typing import Any

import numpy as np
from ray import init, tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from tests.benchmarks.peers import BATCH_SIZES, LEAST_LR, MOST_DROPOUT, MOST_LR, WIDTHS, Found, Task

SPACE = {
    "width": tune.choice(WIDTHS),
    "dropout": tune.uniform(0.0, MOST_DROPOUT),
    "lr": tune.loguniform(LEAST_LR, MOST_LR),
    "batch_size": tune.choice(BATCH_SIZES),
}


def search(task: Task, scheduler: str = "none") -> Found:
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    asha = ASHAScheduler(max_t=task.folds, grace_period=1) if scheduler == "asha" else None
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, task=task), {"cpu": 1}),
        param_space=SPACE,
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(seed=task.seed),
            num_samples=task.trials,
            metric="accuracy",
            mode="max",
            scheduler=asha,
        ),
        run_config=tune.RunConfig(storage_path=os.path.abspath("ray"), verbose=0),  # noqa: PTH100
    )
    results = tuner.fit()
    complete = [
        result for result in results if result.metrics and len(result.metrics["scores"]) == task.folds
    ]
    best = max(complete, key=lambda result: result.metrics["accuracy"])
    folds = sum(len(result.metrics["scores"]) for result in results if result.metrics)
    return Found(best.config, best.metrics["scores"], folds)


def train(params: dict[str, Any], task: Task) -> None:
    import mlflow
    import torch
    from sklearn.model_selection import StratifiedKFold
    from torchvision.datasets import ImageFolder

    from tests.benchmarks.peers import stock

    torch.set_num_threads(1)
    stock.LOADERS = 0
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    labels = np.array(ImageFolder(task.train).targets)
    splitter = StratifiedKFold(n_splits=task.folds, shuffle=True, random_state=task.seed)
    scores: list[float] = []
    for fold, (train, held_out) in enumerate(splitter.split(np.zeros(len(labels)), labels)):
        with mlflow.start_run(run_name=f"fold {fold}"):
            *_, accuracy = stock.train_fold(params, task, train, held_out)
        scores.append(accuracy)
        tune.report({"accuracy": float(np.mean(scores)), "scores": scores})
