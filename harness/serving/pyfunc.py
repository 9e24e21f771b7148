"""What the MLmodel files of earlier releases name as their loader."""

from harness.inference.pyfunc import _load_pyfunc

__all__ = ["_load_pyfunc"]
