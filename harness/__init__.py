"""harness: tune, cross-validate, track and reproduce image classifiers, with scores you can believe."""

__version__ = "0.1.0"
