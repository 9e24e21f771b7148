"""Imported once, in the process that attempts are forked from: one then costs its training, not its imports."""

import mlflow
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
