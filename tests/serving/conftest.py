"""The empty MLflow database of the tracking tests."""

from tests.tracking.conftest import empty_database

__all__ = ["empty_database"]
