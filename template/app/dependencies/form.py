"""The form of an upload, read only after the caller is known."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from app.dependencies.caller import CurrentCaller
from engine.errors import InvalidRequest

EXTENDED_NAME = re.compile(rb"; *filename\*=utf-8'[^']*'([^;]*)", re.IGNORECASE)
"""A file's name as https://www.rfc-editor.org/rfc/rfc8187 has it, which the parser passes over."""


class Parser(MultiPartParser):
    """Takes a file for one also where only the extended form of its name is given."""

    def on_headers_finished(self) -> None:
        """Make the plain form of a name out of the extended one."""
        part = self._current_part
        disposition = part.content_disposition or b""
        if extended := EXTENDED_NAME.search(disposition):
            name = unquote_to_bytes(extended[1]).replace(b'"', b"%22")
            rest = disposition.replace(extended[0], b"")
            part.content_disposition = re.sub(rb'; *filename="[^"]*"', b"", rest)
            part.content_disposition += b'; filename="' + name + b'"'
        super().on_headers_finished()


async def form(request: Request, _caller: CurrentCaller) -> AsyncIterator[FormData]:
    """Give the form, of one file and a few fields; its temporary file ends with it."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise InvalidRequest("Send the file as multipart/form-data.", param="file")
    try:
        async with aclosing(request.stream()) as stream:
            fields = await Parser(request.headers, stream, max_files=1, max_fields=10).parse()
    except MultiPartException as error:
        raise InvalidRequest(error.message) from error
    try:
        yield fields
    finally:
        await fields.close()


UploadForm = Annotated[FormData, Depends(form)]
