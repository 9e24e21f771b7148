"""What a model in MLflow brings along, to be loaded and to read images where harness is not installed.

These files import each other by relative names, and beside them numpy, Pillow, pandas and torch alone.
"""

PROGRAM = "model.pt2"  # where mlflow.pytorch looks for it
DOCUMENT = "harness.json"  # beside the program, in the same archive: what is known of the model
