"""What is answered where: the page, predictions, and what others ask of a service.

GET /                 the page, with /page.css and /page.js
GET /health           which model, and that it is there
GET /metrics          counters, as Prometheus reads them
GET /openapi.json     this list, for programs
POST /predict         an image file as the body, or as the file of a form
POST /predict/batch   many image files in a form
"""

import logging
from collections.abc import Set
from http import HTTPStatus
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from harness.errors import HarnessError
from harness.inference.web import openapi, page
from harness.inference.web.bodies import Bodies, images_of
from harness.inference.web.documents import Alive, Batch, BatchRow, Health, Prediction
from harness.inference.web.guard import Guard
from harness.inference.web.limits import Limits
from harness.inference.web.metrics import KIND, Metrics
from harness.inference.web.refusal import JSON, Refusal, json_bytes
from harness.inference.web.service import Service, Wanted
from harness.inference.web.work import Places, Work
from harness.pages import resource
from harness.standalone.image_pixels import UnreadableError

log = logging.getLogger(__name__)

PARTS = {"/page.css": "text/css", "/page.js": "text/javascript"}
WHY = {404: "there is no such page", 405: "{method} is of no use here"}
Explain = Annotated[bool, Query(description="Answer with a picture of where the network looked (Grad-CAM).")]
Similar = Annotated[bool, Query(description="Answer with similar images of the index.")]
Threshold = Annotated[
    float, Query(ge=0, le=1, description="The probability below which a label is `unsure`.")
]


def application(service: Service, limits: Limits, *, hosts: Set[str] | None, token: str = "") -> Guard:
    """What an ASGI server runs. hosts, token: as `Guard` has them."""
    metrics = Metrics()
    app = FastAPI(title="harness serve", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    _pages(app, service, limits, metrics)
    _predictions(app, Work(service, limits, metrics), Bodies(limits), Places(limits), limits)
    _failures(app)
    openapi.describe(app, has_token=bool(token))
    paths = {"/", "/health", "/metrics", "/openapi.json", "/predict", "/predict/batch", *PARTS}
    return Guard(app, hosts=hosts, token=token, metrics=metrics, paths=paths)


def _pages(app: FastAPI, service: Service, limits: Limits, metrics: Metrics) -> None:
    @app.get("/", include_in_schema=False)
    def first_page() -> Response:
        return Response(page.written(service.health(), limits), media_type="text/html")

    for path, kind in PARTS.items():
        content = page.style() if path == "/page.css" else resource(f"inference/web{path}")
        app.get(path, include_in_schema=False)(
            lambda content=content, kind=kind: Response(content, media_type=kind)
        )

    @app.get("/health", responses=openapi.answered(Health | Alive))
    async def health(request: Request) -> Response:
        """Which model this is; who lacks a token that is needed is told only that it is there."""
        document = service.health() if request.state.is_known else Alive("ok")
        return Response(json_bytes(document), media_type=JSON)

    @app.get("/metrics", responses={200: {"content": {"text/plain": {}}}})
    async def counters() -> Response:
        """Counters, as Prometheus reads them."""
        return Response(metrics.text(), media_type=KIND)


def _predictions(app: FastAPI, work: Work, bodies: Bodies, places: Places, limits: Limits) -> None:
    @app.post("/predict", **openapi.takes_image(), responses=openapi.answered(Prediction, *openapi.REFUSALS))
    async def predict(
        request: Request, explain: Explain = True, similar: Similar = True, threshold: Threshold = 0.0
    ) -> Response:
        """The classes of one image."""
        async with bodies.read(request, limits.body_bytes) as body:
            files = await images_of(request, body, most=limits.batch_images)
            if len(files) > 1:
                why = f"the form has {len(files)} images; /predict takes one, /predict/batch takes many"
                raise Refusal(HTTPStatus.BAD_REQUEST, why)
            async with places.one():
                wanted = Wanted(explain, similar, threshold)
                (found,) = await work.predictions([files[0].content], wanted)
        if isinstance(found, UnreadableError):
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(found))
        return Response(json_bytes(found), media_type=JSON)

    @app.post(
        "/predict/batch", **openapi.takes_images(), responses=openapi.answered(Batch, *openapi.REFUSALS)
    )
    async def predict_batch(
        request: Request, explain: Explain = False, similar: Similar = False, threshold: Threshold = 0.0
    ) -> Response:
        """The classes of many images. One that cannot be read gets an error of its own, and the others an answer."""
        async with bodies.read(request, limits.batch_bytes) as body:
            files = await images_of(request, body, most=limits.batch_images)
            async with places.one():
                wanted = Wanted(explain, similar, threshold)
                found = await work.predictions([file.content for file in files], wanted)
        rows = [
            BatchRow(file.name, None, str(one))
            if isinstance(one, UnreadableError)
            else BatchRow(file.name, one, None)
            for file, one in zip(files, found, strict=True)
        ]
        return Response(json_bytes(Batch(tuple(rows))), media_type=JSON)


def _failures(app: FastAPI) -> None:
    """Every failure is one line of JSON."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> Response:
        return error.response()

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> Response:
        why = WHY.get(error.status_code, str(error.detail)).format(method=request.scope["method"])
        return Refusal(HTTPStatus(error.status_code), why, headers=dict(error.headers or {})).response()

    @app.exception_handler(RequestValidationError)
    async def misspelt(_: Request, error: RequestValidationError) -> Response:
        problems = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(problems)).response()

    @app.exception_handler(HarnessError)
    async def mistaken(_: Request, error: HarnessError) -> Response:
        return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)).response()

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        why = f"{type(error).__name__}: {str(error)[:200]}"
        log.error("%s %s: %s", request.method, request.url.path[:80], why)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return Refusal(status, "something failed; the server's log says what").response()
