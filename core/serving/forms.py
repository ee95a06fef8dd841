"""Pictures in request bodies: the body itself, or the file of an upload form."""

from email.message import Message

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

MAX_PARTS = 32


class NoPicture(ValueError):
    """A body that does not contain exactly one picture."""


def picture_in(body: bytes, content_type: str) -> bytes:
    """Return the bytes of the picture in a request body.

    Parameters
    ----------
    body : bytes
    content_type : str
        The header; ``multipart/form-data`` is parsed as a form, and any other body is the picture itself.

    Raises
    ------
    NoPicture
        The body is empty or JSON, the form is malformed, or it does not contain exactly one file.
    """
    if not body:
        raise NoPicture("the request body is empty: POST the bytes of one picture, or a form with one file")
    kind, options = parse_options_header(content_type)
    if kind.lower() == b"application/json":
        raise NoPicture(
            "JSON is not read: POST the bytes of one picture, as does `curl --data-binary @photo.jpg`, or a "
            "form with one file"
        )
    if kind.lower() != b"multipart/form-data":
        return body
    boundary = options.get(b"boundary")
    if not boundary:
        raise NoPicture("the form has no boundary in its Content-Type header")
    files = [content for name, content in _parts(body, boundary) if name is not None]
    if len(files) != 1:
        raise NoPicture(
            f"the form contains {len(files)} files: send one picture in a file field, as does "
            "`curl -F file=@photo.jpg`"
        )
    return files[0]


def sending_advice(content_type: str) -> str:
    """Return what may have changed a picture on its way; empty where nothing points to it."""
    kind, _ = parse_options_header(content_type)
    if kind.lower() != b"application/x-www-form-urlencoded":
        return ""
    return "; `curl -d` removes line breaks from a picture: use `--data-binary`, or `-F file=@photo.jpg`"


def _parts(body: bytes, boundary: bytes) -> list[tuple[str | None, bytes]]:
    """Return file name (None for a plain field) and content of each part of a form."""
    parts: list[tuple[list[tuple[bytes, bytes]], list[bytes]]] = []
    header: list[bytes] = [b"", b""]
    complete: list[bool] = []

    def begin() -> None:
        if len(parts) >= MAX_PARTS:
            raise NoPicture(f"the form has more than {MAX_PARTS} fields")
        parts.append(([], []))

    def name(data: bytes, start: int, end: int) -> None:
        header[0] += data[start:end]

    def value(data: bytes, start: int, end: int) -> None:
        header[1] += data[start:end]

    def header_end() -> None:
        parts[-1][0].append((header[0], header[1]))
        header[:] = [b"", b""]

    def content(data: bytes, start: int, end: int) -> None:
        parts[-1][1].append(data[start:end])

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin, "on_header_field": name, "on_header_value": value,
            "on_header_end": header_end, "on_part_data": content, "on_end": lambda: complete.append(True),
        },
    )  # fmt: skip
    try:
        parser.write(body)
    except MultipartParseError:
        complete.clear()
    if not complete:
        raise NoPicture("the form is malformed or incomplete")
    return [(_file_name(headers), b"".join(blocks)) for headers, blocks in parts]


def _file_name(headers: list[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name.lower() == b"content-disposition":
            message = Message()
            message["Content-Disposition"] = value.decode("latin-1").replace("\r", "").replace("\n", "")
            return message.get_filename()
    return None
