"""Training folds: the pure function, and where it runs."""
