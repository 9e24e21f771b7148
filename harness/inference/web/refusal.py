"""A request that is not answered: one line of JSON that says why, and the headers that every answer has."""

import json
import math
from http import HTTPStatus
from typing import Any

from fastapi import Response

from harness.documents import to_json
from harness.inference.web.documents import Failure

JSON = "application/json"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
    "Server": "harness",
}


class Refusal(Exception):
    """The status, and why in a few words."""

    def __init__(
        self,
        status: HTTPStatus,
        why: str,
        *,
        retry_seconds: float | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(why)
        self.status = status
        self.headers = dict(headers or {})
        if retry_seconds is not None:
            self.headers["Retry-After"] = str(math.ceil(retry_seconds))

    def response(self) -> Response:
        return Response(json_bytes(Failure(str(self))), self.status, self.headers, JSON)


def json_bytes(document: Any) -> bytes:
    """A document as JSON, without NaN."""
    return json.dumps(to_json(document), ensure_ascii=False, allow_nan=False).encode()
