"""What things are called elsewhere, and how harness calls them: the first guess where a name is not known.

From the documentation of PyTorch, torchvision, Lightning, timm, Keras, scikit-learn, Optuna and Hugging Face's Trainer.
"""

SYNONYMS: dict[str, str] = {
    # sections
    "training": "train", "dataset": "data", "network": "model", "net": "model", "metric": "objective",
    "cross_validation": "cv", "optuna": "search", "hardware": "compute",
    # options of train, cv, search and compute
    "learning_rate": "lr", "lr0": "lr", "init_lr": "lr", "wd": "weight_decay", "l2": "weight_decay",
    "num_epochs": "epochs", "max_epochs": "epochs", "n_epochs": "epochs", "num_train_epochs": "epochs",
    "bs": "batch_size", "batch": "batch_size", "per_device_train_batch_size": "batch_size",
    "optim": "optimizer", "optimiser": "optimizer", "opt": "optimizer",
    "scheduler": "schedule", "lr_scheduler": "schedule", "lr_schedule": "schedule", "sched": "schedule",
    "early_stopping": "patience", "early_stopping_patience": "patience", "early_stop": "patience",
    "grad_clip": "clip_norm", "gradient_clip_val": "clip_norm", "max_grad_norm": "clip_norm",
    "clip_grad": "clip_norm", "warmup": "warmup_epochs", "smoothing": "label_smoothing",
    "focusing": "focal_gamma", "gamma_focal": "focal_gamma", "criterion": "loss", "loss_fn": "loss",
    "loss_function": "loss", "cb_beta": "effective_beta",
    "augmentation": "augment", "augmentations": "augment", "transforms": "augment",
    "ema_decay": "ema", "erasing": "cutout", "random_erasing": "cutout", "color_jitter": "brightness",
    "drop_rate": "dropout", "dropout_rate": "dropout", "p_drop": "dropout",
    "class_weight": "class_weights", "sampler_weights": "sampling", "save_models": "keep_models",
    "k": "folds", "n_splits": "folds", "k_folds": "folds", "num_folds": "folds", "n_folds": "folds",
    "n_trials": "trials", "num_trials": "trials", "max_trials": "trials", "pruner": "racing",
    "pruning": "racing", "timeout": "timeout_minutes", "random_state": "seed", "random_seed": "seed",
    "accelerator": "device", "amp": "precision", "dtype": "precision", "num_threads": "threads",
    "directory": "root", "path": "root", "data_dir": "root", "folder": "root",
    # values
    "gpu": "cuda", "cuda:0": "cuda", "metal": "mps", "float32": "fp32", "32": "fp32",
    "bfloat16": "bf16", "bf16-mixed": "bf16", "fp16": "bf16", "float16": "bf16",
    "acc": "accuracy", "top1": "accuracy", "f1": "macro_f1", "f1_macro": "macro_f1", "f1_score": "macro_f1",
    "precision": "macro_precision", "recall": "macro_recall", "bacc": "balanced_accuracy",
    "nll": "log_loss", "loss": "log_loss", "cross_entropy": "log_loss", "val_loss": "log_loss",
    "auc": "roc_auc", "auroc": "roc_auc", "rocauc": "roc_auc", "roc_auc_ovr": "roc_auc", "map": "average_precision",
    "ap": "average_precision", "pr_auc": "average_precision", "auprc": "average_precision",
    "kappa": "cohen_kappa", "qwk": "quadratic_kappa", "quadratic_weighted_kappa": "quadratic_kappa",
    "mcc": "matthews_correlation", "matthews_corrcoef": "matthews_correlation",
    "brier": "brier_score", "brier_score_loss": "brier_score", "neg_brier_score": "brier_score",
    "params": "parameters", "num_parameters": "parameters", "size": "parameters", "bytes": "model_bytes",
    "time": "seconds_per_fold", "seconds": "seconds_per_fold",
    "top3": "top3_accuracy", "top_3": "top3_accuracy", "ece": "calibration_error",
    "cosine_annealing": "cosine", "CosineAnnealingLR": "cosine", "steplr": "step", "StepLR": "step",
    "onecycle": "one_cycle", "OneCycleLR": "one_cycle", "none": "constant", "null": "constant",
    "focal_loss": "focal", "FocalLoss": "focal", "sigmoid_focal_loss": "focal", "ce": "cross_entropy",
    "CrossEntropyLoss": "cross_entropy", "class_balanced": "effective", "effective_number": "effective",
    "SGD": "sgd", "Adam": "adam", "AdamW": "adamw",
    "bayesian": "tpe", "TPESampler": "tpe", "RandomSampler": "random", "GridSampler": "grid",
    "gaussian_process": "gp", "hyperband": "paired", "asha": "paired", "wilcoxon": "paired",
    "MedianPruner": "median", "NopPruner": "none",
    "imagefolder": "folder", "image_folder": "folder", "cifar": "cifar10", "fashion": "fashion_mnist",
    # parts of a range
    "min": "low", "minimum": "low", "from": "low", "max": "high", "maximum": "high", "to": "high",
    "log_scale": "log", "logarithmic": "log", "q": "step",
}  # fmt: skip
