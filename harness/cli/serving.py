"""serve: a model behind a page on this machine."""

import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_HOME, Home
from harness.cli.predicting import Ensemble, Model, found_model
from harness.cli.searching import IndexOf
from harness.messages import to_stderr


def serve(
    model: Model,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")] = 8000,
    index: IndexOf = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = False,
    ensemble: Ensemble = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Try a model in a browser.

    Drop an image, and see its classes, where the model looked, and with --index similar images.

    Only this machine is answered, without users or encryption; for others use `mlflow models serve`. POST /predict
    takes an image file and answers with JSON; GET /health says which model it is.
    """
    to_stderr()
    import webbrowser

    from harness.inference import index as indices
    from harness.inference.embedding import Embedder
    from harness.inference.web.server import Server
    from harness.inference.web.service import Service

    warnings.filterwarnings("ignore", module="PIL")  # it doubts files that it reads all the same
    found = found_model(home, model, ensemble=ensemble)
    embedder = None if index is None else Embedder(found.model)
    searched = None
    if index is not None and embedder is not None:
        searched = indices.update(home, embedder, index, model=found.origin)
    service = Service(found.model, found.source, index=searched, embedder=embedder)
    with Server(service, port=port) as server:
        print(f"{server.url}\nCtrl-C ends it", file=sys.stderr)
        if browser:
            webbrowser.open(server.url)
        server.serve_forever()


COMMANDS: list[Callable[..., None]] = [serve]
