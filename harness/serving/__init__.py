"""The name under which models that are already in MLflow look for their loader; it lives in `harness.inference`."""
