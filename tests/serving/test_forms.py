"""Pictures are found in upload forms, and malformed forms are refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inficond.core.serving.forms import MAX_PARTS, NoPicture, picture_in, sending_advice

HEADER = b'Content-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'


def form(*parts: bytes, boundary: bytes = b"x") -> bytes:
    return (
        b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"
    )


@given(st.binary(max_size=2000), st.text("abcdefXYZ0123-'", min_size=1, max_size=60))
def test_the_file_of_a_form_is_returned_byte_for_byte(content: bytes, boundary: str) -> None:
    line = b"--" + boundary.encode()
    if line in content:
        return
    body = form(HEADER + content, boundary=boundary.encode())
    assert picture_in(body, f'multipart/form-data; boundary="{boundary}"') == content


@given(st.binary(min_size=1, max_size=500))
def test_a_body_of_another_type_is_the_picture(content: bytes) -> None:
    for kind in ("", "image/jpeg", "application/x-www-form-urlencoded", "application/octet-stream", "é;;="):
        assert picture_in(content, kind) == content


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"", "image/png", "is empty"),
        (b'{"image": "/9j/4AAQ"}', "application/json; charset=utf-8", "JSON is not read.*--data-binary"),
        (form(HEADER + b"a"), "multipart/form-data", "no boundary"),
        (form(HEADER + b"a")[:-8], "multipart/form-data; boundary=x", "malformed or incomplete"),
        (form(HEADER + b"a"), "multipart/form-data; boundary=y", "malformed or incomplete"),
        (form(HEADER + b"a", HEADER + b"b"), "multipart/form-data; boundary=x", "contains 2 files"),
        (
            form(HEADER + b"a", *[HEADER] * MAX_PARTS),
            "multipart/form-data; boundary=x",
            "more than 32 fields",
        ),
        (
            form(b'Content-Disposition: form-data; name="a"\r\n\r\n1'),
            "multipart/form-data; boundary=x",
            "contains 0 files",
        ),
    ],
)
def test_a_form_without_one_picture_is_refused(body: bytes, kind: str, message: str) -> None:
    with pytest.raises(NoPicture, match=message):
        picture_in(body, kind)


def test_a_picture_that_curl_may_have_changed_gets_advice() -> None:
    assert "--data-binary" in sending_advice("application/x-www-form-urlencoded")
    assert sending_advice("image/jpeg") == ""


@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_refused(body: bytes) -> None:
    for content in (body, form(body), b"--x\r\n" + body):
        with suppress(NoPicture):
            assert picture_in(content, "multipart/form-data; boundary=x") in content
