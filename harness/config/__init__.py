"""Study file in, checked and complete Study out: names, options, ranges. No torch, no MLflow."""
