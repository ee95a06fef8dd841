"""Pictures with very many pixels, whose files are small."""

import struct
import zlib
from functools import cache


@cache
def blank_png(width: int, height: int, depth: int = 1) -> bytes:
    """Return a black grey-level PNG of `depth` bits a pixel.

    The rows are compressed one after the other, so that even 30,000 by 30,000 pixels need little memory.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = bytes(1 + -(-width * depth // 8))
    compressor = zlib.compressobj()
    rows = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
