-- Run once, when the volume is empty: Optuna's trials lie beside MLflow's database, not in it.
CREATE DATABASE optuna;
