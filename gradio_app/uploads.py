"""Upload handler: one image per request, written to a folder of its own with a random name."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from inficond.gradio_app.file_register import PUBLIC
from inficond.gradio_app.guard import CALLER_KEY, discard
from inficond.gradio_app.limits import MIB, UPLOAD_BYTES, UPLOAD_FILES, UPLOADS, Budget, Caller, LimitExceeded
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.routes import MAX_UPLOAD, TOKEN_HEADER
from inficond.gradio_app.visitor_registry import TOKEN_PATTERN

LOG = logging.getLogger("inficond.page")
MIN_FREE_DISK = 512 * MIB
"""Bytes of disk that uploads leave free."""
MAX_HEADER = 4096
"""Bytes of the headers of a part."""
MAX_PIXELS = 64_000_000
"""Pixels of an uploaded image."""
FLUSH_BYTES = 1 * MIB
FIELD = "files"
DISK_FULL = "the server has no disk space left for uploads: try again later"


class BadUpload(Exception):
    """An upload that is refused.

    Parameters
    ----------
    reason : str
        One line.
    status : int
        HTTP status.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


class UploadHandler:
    """Receives uploads.

    Parameters
    ----------
    files : PageFiles
        The register that owns the uploads.
    """

    def __init__(self, files: PageFiles) -> None:
        self._files = files
        self._running = Budget(UPLOADS)

    def route(self) -> Route:
        """Return the Starlette route."""
        return Route("/gradio_api/upload", self.receive, methods=["POST"])

    async def receive(self, request: Request) -> Response:
        """Store the uploaded file; answer with a list of its address, as Gradio's clients expect."""
        caller: Caller = request.scope[CALLER_KEY]
        token = request.headers.get(TOKEN_HEADER, "")
        owner = token if TOKEN_PATTERN.fullmatch(token) else PUBLIC
        form = _Form(self._files)
        try:
            with self._running.using(caller):
                check_space(self._files, caller, owner)
                address = await self._store(request, form, caller, owner)
        except LimitExceeded as error:
            refusal = error.args[0], 429
        except BadUpload as error:
            refusal = error.reason, error.status
        except ClientDisconnect:
            return _refused("the upload was broken off", 400)
        except OSError as error:
            LOG.warning("an upload could not be stored: %s", error.strerror)
            refusal = DISK_FULL, 507
        else:
            return JSONResponse([address])
        if not form.read_to_end:  # otherwise the client sees a reset connection instead of the response
            await discard(request.receive)
        return _refused(*refusal)

    async def _store(self, request: Request, form: "_Form", caller: Caller, owner: str) -> str:
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 1 <= len(boundary) <= 70:
            raise BadUpload("an upload is a multipart form with one file")
        try:
            await form.receive(request.stream(), boundary)
            if form.path is None or not form.complete:
                raise BadUpload("the form holds no complete file")
            pixels = await asyncio.to_thread(_pixels, form.path)
            if pixels > MAX_PIXELS:
                size, most = pixels // 10**6, MAX_PIXELS // 10**6
                raise BadUpload(f"the image has {size} megapixels; at most {most} are accepted", 413)
            return self._files.add_upload(form.path, owner, pixels, caller.address)
        except BaseException:
            form.discard()
            raise


def check_space(files: PageFiles, caller: Caller, owner: str) -> None:
    """Check whether there is room for another upload; the health check asks the same.

    Parameters
    ----------
    files : PageFiles
    caller : Caller
    owner : str
        Token of the visitor, or `PUBLIC`.

    Raises
    ------
    BadUpload
        The disk is full, or all visitors, the address or the visitor have too many uploads.
    """
    shares = [(files.upload_use(), UPLOAD_FILES.total, UPLOAD_BYTES.total)]
    if owner != PUBLIC:
        shares.append((files.upload_use(owner=owner), UPLOAD_FILES.per_visit, UPLOAD_BYTES.per_visit))
    if not caller.is_local:
        use = files.upload_use(address=caller.address)
        shares.append((use, UPLOAD_FILES.per_address, UPLOAD_BYTES.per_address))
    if any(count >= most or size + MAX_UPLOAD > limit for (count, size), most, limit in shares):
        raise BadUpload("too many uploads are unused: use or cancel them, or try again later", 429)
    if shutil.disk_usage(files.uploads).free < MIN_FREE_DISK + MAX_UPLOAD:
        raise BadUpload(DISK_FULL, 507)


class _Form:
    """A multipart form with one file, written to disk while it arrives."""

    def __init__(self, files: PageFiles) -> None:
        self.path: Path | None = None
        self.complete = self.read_to_end = False
        self._files = files
        self._file: BinaryIO | None = None
        self._size = 0
        self._pending = bytearray()
        self._name, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}

    async def receive(self, stream: AsyncIterator[bytes], boundary: bytes) -> None:
        """Read the form.

        Raises
        ------
        BadUpload
            It is not a form with one file, or the file is too long.
        OSError
            The file cannot be written.
        """
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": lambda data, start, end: self._add(self._name, data[start:end]),
                "on_header_value": lambda data, start, end: self._add(self._value, data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": self._add_data,
                "on_end": self._end,
            },
        )
        try:
            async for chunk in stream:
                try:
                    parser.write(chunk)
                except ValueError:
                    raise BadUpload("the form is malformed") from None
                if len(self._pending) >= FLUSH_BYTES:
                    await self._flush()
            self.read_to_end = True
            await self._flush()
        finally:
            if self._file is not None:
                self._file.close()

    def discard(self) -> None:
        """Delete what was written."""
        if self.path is not None:
            self._files.discard_upload(self.path)

    def _begin_part(self) -> None:
        if self.path is not None:
            raise BadUpload("upload one file per request")
        self._headers.clear()

    def _add(self, buffer: bytearray, data: bytes) -> None:
        buffer += data
        if len(self._name) + len(self._value) > MAX_HEADER or len(self._headers) > 8:
            raise BadUpload("the headers of the form are too long")

    def _end_header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _open(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if options.get(b"name") != FIELD.encode() or b"filename" not in options:
            raise BadUpload(f"the form may hold only the file field {FIELD!r}")
        self.path = self._files.new_upload(options[b"filename"].decode("utf-8", "replace"))
        self._file = open(self.path, "xb")  # noqa: SIM115  (closed by `receive`)

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > MAX_UPLOAD:
            raise BadUpload(f"a file may have at most {MAX_UPLOAD // MIB} MB", 413)
        self._pending += data[start:end]

    def _end(self) -> None:
        self.complete = True

    async def _flush(self) -> None:
        if self._file is not None and self._pending:
            data = bytes(self._pending)
            self._pending.clear()
            await asyncio.to_thread(self._file.write, data)


def _pixels(path: Path) -> int:
    """Return the number of pixels that an image file declares; 0 if it is not an image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size[0] * image.size[1]
    except Exception:  # the reason is given when the image is used
        return 0


def _refused(reason: str, status: int) -> Response:
    return PlainTextResponse(reason, status, {"Connection": "close"})
