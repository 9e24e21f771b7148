"""The version of harness: `harness.__version__`, and what hatchling reads."""

__version__ = "0.2.0"
