"""Fetches a registered model out of MLflow."""

from pathlib import Path

from harness.errors import UsageError
from harness.tracking.mlflow_store import connect, telling_store_errors

SCHEME = "models:/"


def download(uri: str, name: str, folder: Path) -> Path:
    """The folder, below `folder`, that `store/model_files.py` filled for this version of a registered model.

    uri: MLflow's.   name: models:/NAME@ALIAS or models:/NAME/VERSION.
    Raises UsageError for another name, or one that MLflow does not know; StoreError if it cannot be reached.
    """
    model, alias, version = _parts(name)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise UsageError(
            f"{name}: nothing has been tracked in {Path(uri.removeprefix('sqlite:///')).parent} yet"
        )
    with telling_store_errors(uri):
        client = connect(uri)
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            found = (
                client.get_model_version_by_alias(model, alias)
                if alias
                else client.get_model_version(model, version)
            )
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                known = ", ".join(sorted(one.name for one in client.search_registered_models())) or "none"
                raise UsageError(f"{name}: MLflow has no such model (registered: {known})") from None
            raise
        source = client.get_model_version_download_uri(model, found.version)
        return Path(download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=uri)) / "data"


def _parts(name: str) -> tuple[str, str, str]:
    """Of models:/NAME@ALIAS or models:/NAME/VERSION: the model, its alias and its version, one of them empty."""
    path = name.removeprefix(SCHEME)
    model, _, alias = path.partition("@")
    if not alias:
        model, _, version = path.partition("/")
    if not model or "/" in model or not (alias or version.isdigit()):
        raise UsageError(f"{name}: a registered model is models:/NAME@champion or models:/NAME/VERSION")
    return (model, alias, "") if alias else (model, "", version)
