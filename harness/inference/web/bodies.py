"""The images in the body of a request: the body itself, or the files of a form; read within limits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from harness.inference.web.limits import Limits
from harness.inference.web.refusal import Refusal

MOST_FIELDS = 100  # of a form, that are no files
MOST_DIGITS = 18


@dataclass(frozen=True)
class ImageFile:
    """name: of the file, as the client says; empty where it says none."""

    name: str
    content: bytes


class Bodies:
    """Reads bodies, which together never take more memory than is allowed."""

    def __init__(self, limits: Limits):
        self._limits, self._held = limits, 0

    @asynccontextmanager
    async def read(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """The whole body, while it is used. Raises Refusal for one that is too large, too slow or not all there."""
        length, body = _length(request, most), bytearray()
        try:
            async with asyncio.timeout(self._limits.receive_seconds):
                async for chunk in request.stream():
                    body += chunk
                    self._held += len(chunk)
                    if self._held > self._limits.held_bytes:
                        raise Refusal(
                            HTTPStatus.SERVICE_UNAVAILABLE, "too many images at once", retry_seconds=1
                        )
            if len(body) < length:
                raise Refusal(HTTPStatus.BAD_REQUEST, "the body is shorter than Content-Length says")
            yield bytes(body)
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the body came too slowly") from None
        except ClientDisconnect:
            raise Refusal(HTTPStatus.BAD_REQUEST, "the body is shorter than Content-Length says") from None
        finally:
            self._held -= len(body)


async def images_of(request: Request, body: bytes, *, most: int) -> list[ImageFile]:
    """Raises Refusal for a form that cannot be read, has no file or more than `most`."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        return [ImageFile("", body)]

    async def stream() -> AsyncIterator[bytes]:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=most, max_fields=MOST_FIELDS)  # type: ignore[arg-type]
    parser.spool_max_size = len(body) + 1  # nothing is written to disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the form cannot be read: {error.message}") from None
    try:
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        images = [ImageFile(file.filename or "", await file.read()) for file in files]
    finally:
        await form.close()
    if not images:
        raise Refusal(HTTPStatus.BAD_REQUEST, "there is no file in the form")
    return images


def _length(request: Request, most: int) -> int:
    lengths = request.headers.getlist("Content-Length")
    if not lengths or "Transfer-Encoding" in request.headers:
        raise Refusal(HTTPStatus.LENGTH_REQUIRED, "Content-Length must say how long the body is")
    if len(lengths) > 1 or not lengths[0].isascii() or not lengths[0].isdigit():
        raise Refusal(HTTPStatus.BAD_REQUEST, "Content-Length must be one number")
    if len(lengths[0]) > MOST_DIGITS or int(lengths[0]) > most:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have {most:,} bytes")
    return int(lengths[0])
