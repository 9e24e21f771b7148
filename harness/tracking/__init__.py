"""Shows records where people look at them: MLflow's pages, Optuna's dashboard, pictures."""
