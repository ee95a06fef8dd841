"""Recognition of file contents that cannot be read as pictures."""

import re

_ADVICE = "convert it to JPEG or PNG"
_START = rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*"
"""What may come before the first element of a document."""
_AS_TEXT = "a program that took it for text; copy the original again"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (_START + rb"(<!DOCTYPE svg[^>]*>\s*)?<svg", f"an SVG drawing; {_ADVICE}"),
    (_START + rb"<(!doctype html|html|head|body)", "an HTML page, not a picture; download the file again"),
    (_START + rb"<\w", "an XML document, not a picture; download the file again"),
    (rb"\x89PNG(\n|\r\r|\r[^\n])", f"a PNG changed by {_AS_TEXT}"),
    (rb"\xc3\xbf\xc3\x98|\xc2\x89PNG|(\xef\xbf\xbd){2}|\xef\xbf\xbdPNG", f"a picture changed by {_AS_TEXT}"),
    (rb"data:image/|/9j/[A-Za-z0-9+/]|iVBORw0KGgo", "a picture written as Base64 text; decode it"),
    (rb"\x00\x05\x16[\x00\x07]", "metadata of macOS, not a picture; delete it"),
    (rb"\x93NUMPY", "a NumPy array; save it as PNG"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the picture itself; run `git lfs pull`"),
    (rb"8BPS", f"a Photoshop document; {_ADVICE}"),
    (rb"%PDF-", f"a PDF document; {_ADVICE}"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", f"a PostScript drawing; {_ADVICE}"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", f"a JPEG XL picture; {_ADVICE}"),
    (rb"\x76\x2f\x31\x01", f"an OpenEXR picture; {_ADVICE}"),
    (rb"#\?(RADIANCE|RGBE)", f"a Radiance HDR picture; {_ADVICE}"),
    (rb"\x00\x00\x01\x00", f"an icon; {_ADVICE}"),
    (rb"II\xbc\x01", f"a JPEG XR picture; {_ADVICE}"),
    (rb"P7\n(#|WIDTH)", f"a PAM picture; {_ADVICE}"),
    (rb"gimp xcf", f"a document of GIMP; {_ADVICE}"),
    (
        rb"icns|\xd7\xcd\xc6\x9a|BPG\xfb|FLIF|AT&TFORM|\xabKTX|\x01\xda",
        f"a kind of picture that is not read; {_ADVICE}",
    ),
    (rb"DDS ", f"a DDS texture; {_ADVICE}"),
    (rb"SIMPLE  =", f"a FITS picture; {_ADVICE}"),
    (rb".{128}DICM", f"a DICOM picture; {_ADVICE}"),
    (rb"II\x1a\0\0\0HEAPCCDR|FUJIFILMCCD-RAW|IIRO|IIRS|IIU\0|.{4}ftypcrx ", f"a camera raw file; {_ADVICE}"),
    (rb"II\*\0.{4}CR\x02", f"a camera raw file; {_ADVICE}"),
    (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf|BZh", "an archive, not a picture; unpack it"),
    (
        rb".{4}ftyp(?!hei|hev|hif|mif|msf|avi[fs])|\x1a\x45\xdf\xa3|RIFF.{4}AVI |.{4}moov",
        "a video, not a picture",
    ),
    (
        rb".{1,64}?(\xff\xd8\xff[\xdb\xe0\xe1\xee]|\x89PNG\r\n\x1a\n)",
        "a picture with other bytes before it; copy or download it again",
    ),
    (rb"\x00{64}|\xff{64}", "filled with one value instead of a picture; copy or download it again"),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", f"a kind of TIFF that cannot be read; {_ADVICE}"),
)
_HEIC = re.compile(rb"(?s).{4}ftyp(?:hei[cxms]|hev[cxms]|hif|mif[12]|msf1)")
_AVIF = re.compile(rb"(?s).{4}ftyp.{0,40}avi[fs]")
_COMPILED = [(re.compile(pattern, re.DOTALL | re.IGNORECASE), what) for pattern, what in _SIGNATURES]

_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]+")

HEAD = 4096
"""Bytes at the beginning of a file that are looked at."""

_RAW = ".3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .kdc .mrw .nef .nrw .orf .pef .raf .raw .rw2 .srw .x3f"
_RARE = ".exr .hdr .dcm .fits .fit .jxl .jxr .ico .icns .dds .xcf .sgi .xbm .xpm .emf .wmf"
UNREAD_SUFFIXES = {
    **dict.fromkeys(_RAW.split(), "a camera raw file"),
    **dict.fromkeys((".psd", ".psb"), "a Photoshop document"),
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ai"), "a drawing"),
    **dict.fromkeys(_RARE.split(), "a kind of picture that is not read"),
}
"""File extension of picture formats that are not read -> what they are."""


def is_heic(head: bytes) -> bool:
    """Return whether a file's first bytes are those of a HEIC or HEIF picture."""
    return _HEIC.match(head) is not None and _AVIF.match(head) is None


def unsupported_kind(head: bytes) -> str | None:
    """Return the kind of a file that cannot be read as a picture, with advice; None where it is unknown.

    Parameters
    ----------
    head : bytes
        The first `HEAD` bytes.
    """
    known = unusual_jpeg(head) or next((what for pattern, what in _COMPILED if pattern.match(head)), None)
    if known is None and head and _TEXT.fullmatch(head):
        return "a text file, not a picture; download the picture again"
    return known


def camera_raw(head: bytes) -> str | None:
    """Return the description of a camera raw file, with advice; None for other files."""
    found = next((what for pattern, what in _COMPILED if pattern.match(head)), "")
    return found if found.startswith("a camera raw file") else None


def looks_like_picture(head: bytes) -> str | None:
    """Return the format of a file that begins like a picture of a common format, None for other files."""
    for start, name in (
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF8", "GIF"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
    ):
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if is_heic(head):
        return "HEIC"
    return "AVIF" if _AVIF.match(head) else None


def changed_as_text(data: bytes) -> bool:
    """Return whether the ends of lines in compressed bytes were rewritten, as programs do with text.

    Compressed bytes are nearly uniform: where their neighbours are common, a byte 13 occurs, and not before
    every byte 10.

    Parameters
    ----------
    data : bytes
        Some 4 KiB at least of a compressed file; fewer are never recognised.
    """
    returns, feeds = data.count(b"\r"), data.count(b"\n")
    always_both = feeds >= 16 and data.count(b"\r\n") == feeds
    one_missing = min(returns, feeds) == 0 < max(returns, feeds)
    if not (always_both or one_missing):
        return False
    rarest = min(data.count(value) for value in (b"\x09", b"\x0b", b"\x0c", b"\x0e", b"\x0f"))
    return rarest >= (16 if always_both else 24)


CHANGED_JPEG = f"a JPEG changed by {_AS_TEXT}"


def unusual_jpeg(head: bytes) -> str | None:
    """Return the kind of a JPEG that common decoders do not read; None for other files."""
    if not head.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if marker in (0xC3, 0xC7, 0xCB, 0xCF):
                return f"a lossless JPEG; {_ADVICE}"
            if head[at + 4] != 8:
                return f"a JPEG of {head[at + 4]} bits per channel; {_ADVICE}"
            return None
        at += 2 + length
    return None
