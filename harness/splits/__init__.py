"""Cross-validation: which images are held out when, and the manifest that fixes it."""
