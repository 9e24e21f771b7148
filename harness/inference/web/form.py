"""The image in the body of a request: the body itself, or the first file of a form."""

import re
from email.message import Message

MOST_HEADER_BYTES = 8192
MOST_PARTS = 100
BOUNDARY = re.compile(r"[ -~]{1,70}")


class FormError(Exception):
    """Why there is no image in a form, in a few words."""


def image_of(headers: Message, body: bytes) -> bytes:
    """The content of the image file. Raises FormError for a form without one."""
    if headers.get_content_type() != "multipart/form-data":
        return body
    boundary = headers.get_boundary()
    if boundary is None or not BOUNDARY.fullmatch(boundary):
        raise FormError("the form names no boundary")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode(), MOST_PARTS + 1)
    for part in parts[1 : MOST_PARTS + 1]:
        head, found, content = part.partition(b"\r\n\r\n")
        if found and len(head) <= MOST_HEADER_BYTES and b"filename=" in head.lower():
            return content
    raise FormError("there is no file in the form")
