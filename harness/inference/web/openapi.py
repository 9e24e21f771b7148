"""The OpenAPI document: what FastAPI cannot read from signatures, since bodies are read by hand within limits."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from harness.inference.web.documents import Batch, Failure, Health, Prediction
from harness.records import SCHEMA
from harness.version import __version__

REFUSALS = (400, 408, 411, 413, 422, 503)
FILE = {"type": "string", "format": "binary"}


def answered(kind: Any, *refusals: int) -> dict[int | str, dict[str, Any]]:
    """For a route: the document that it answers with, and the statuses of its refusals."""
    return {200: {"model": kind}, **{status: {"model": Failure} for status in refusals}}


def takes_image() -> dict[str, Any]:
    """For a route: one image file, as the body or in a form."""
    return _takes({"image/*": {"schema": FILE}, **_form(FILE)})


def takes_images() -> dict[str, Any]:
    """For a route: a form of image files."""
    return _takes(_form({"type": "array", "items": FILE}))


def describe(app: FastAPI, *, has_token: bool) -> None:
    """Have the application's document say all of this; it is made when it is first asked for."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title, version=__version__, routes=app.routes,
                description="The classes of images, by a model of harness.",
            )  # fmt: skip
            for kind in (Batch, Failure, Health, Prediction):  # the outermost ones say their schema
                properties = made["components"]["schemas"][kind.__name__]["properties"]
                properties["schema"] = {"type": "integer", "const": SCHEMA}
            if has_token:
                made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                made["security"] = [{"token": []}]
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way that FastAPI documents


def _form(images: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"image": images}, "required": ["image"]}
    return {"multipart/form-data": {"schema": schema}}


def _takes(content: dict[str, Any]) -> dict[str, Any]:
    return {"openapi_extra": {"requestBody": {"required": True, "content": content}}}
