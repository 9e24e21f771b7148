-- Run once, when the volume is empty. Each service has a role of its own that owns its databases and no others.
-- The passwords come from the environment of the postgres service.
\getenv mlflow_password MLFLOW_DB_PASSWORD
\getenv optuna_password OPTUNA_DB_PASSWORD
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE ROLE optuna LOGIN PASSWORD :'optuna_password';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_auth OWNER mlflow;
CREATE DATABASE optuna OWNER optuna;
REVOKE CONNECT ON DATABASE mlflow, mlflow_auth, optuna FROM PUBLIC;
