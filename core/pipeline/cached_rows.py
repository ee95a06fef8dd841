"""Rows of the cache of encodings: the stored data of one image, packed into bytes."""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inficond.core.models.encoder import Encoder
from inficond.core.models.teacher import Teacher
from inficond.core.pipeline.encoding_cache import EncodingCache

VERSION = "1"
"""Part of every key; increased when the same image would give other numbers or the packing changes."""
_FACTS = struct.Struct("<IIH")


@dataclass(frozen=True)
class PictureFacts:
    """Data of a picture that a project stores in addition to the results of models.

    Parameters
    ----------
    width, height : int
        Of the upright original, in pixels.
    remark : str
        The conversion that was made while reading.
    thumbnail : bytes
    """

    width: int
    height: int
    remark: str
    thumbnail: bytes


@dataclass
class Row:
    """Results of one image; None where they must be computed.

    Parameters
    ----------
    key : bytes
        SHA-256 of the image file; empty if nothing is cached.
    picture : PictureFacts or None
    encoded : ((R, D) float16, (h*w,) uint8) or None
        Region embeddings and the region of each cell.
    response : (L,) float32 or None
        The teacher's probabilities.
    missing : set of str
        The kinds that the cache lacks.
    complete : bool
        Whether nothing must be computed.
    """

    key: bytes = b""
    picture: PictureFacts | None = None
    encoded: tuple[np.ndarray, np.ndarray] | None = None
    response: np.ndarray | None = None
    missing: frozenset[str] = frozenset()
    complete: bool = False


class CachedRows:
    """Looks images up in a cache of encodings and stores new results.

    Parameters
    ----------
    cache : EncodingCache or None
        None: every row is new.
    encoder : Encoder
    teacher : Teacher or None
    batch : int
        Images in a call of a model; part of the key.
    at_least : int
        Shorter side of reduced pictures in pixels; part of the key.
    """

    def __init__(
        self,
        cache: EncodingCache | None,
        encoder: Encoder,
        teacher: Teacher | None,
        batch: int,
        at_least: int,
    ) -> None:
        self._cache, self._encoder, self._teacher = cache, encoder, teacher
        cells = encoder.grid[0] * encoder.grid[1]
        self._shape = (encoder.n_regions, encoder.dim)
        self._split = 2 * encoder.n_regions * encoder.dim
        self._bytes = self._split + cells
        self._names: dict[str, tuple[str, str]] = {}
        if cache is None:
            return
        decoding = f"{VERSION} {decoder_version()} {at_least}"
        self._names["thumbnail"] = "thumbnails", f"thumbnail {decoding}"
        for kind, model in (("encoder", encoder), ("teacher", teacher)):
            if model is not None:
                run = f"{model.manifest.digest} {model.provider} {runtime_version()} {batch}"
                self._names[kind] = model.name, f"{kind} {run} {decoding}"

    def find(self, content: bytes | None) -> Row:
        """Return what is known of an image.

        Parameters
        ----------
        content : bytes or None
            The image file; None: nothing is looked up or stored.
        """
        if self._cache is None or content is None:
            return Row()
        return self.at([hashlib.sha256(content).digest()])[0]

    def at(self, keys: Sequence[bytes]) -> list[Row]:
        """Return what is known of the images whose files have the SHA-256 `keys`."""
        if self._cache is None:
            return [Row() for _ in keys]
        found = {kind: self._cache.get_all(basis, keys) for kind, (_, basis) in self._names.items()}
        return [self._row(key, {kind: values.get(key) for kind, values in found.items()}) for key in keys]

    def _row(self, key: bytes, found: Mapping[str, bytes | None]) -> Row:
        row = Row(key)
        row.picture = _unpacked_facts(found["thumbnail"])
        row.encoded = self._unpacked_encoding(found["encoder"])
        known: dict[str, object] = {"thumbnail": row.picture, "encoder": row.encoded}
        if self._teacher is not None:
            row.response = self._unpacked_response(found["teacher"])
            known["teacher"] = row.response
        row.missing = frozenset(kind for kind, value in known.items() if value is None)
        row.complete = not row.missing
        return row

    def store(self, rows: Sequence[Row]) -> None:
        """Store what was computed for rows that `find` returned."""
        if self._cache is None:
            return
        for kind, (name, basis) in self._names.items():
            values = {row.key: _packed(kind, row) for row in rows if kind in row.missing}
            self._cache.put(kind, name, basis, values)

    def _unpacked_encoding(self, value: bytes | None) -> tuple[np.ndarray, np.ndarray] | None:
        if value is None or len(value) != self._bytes:
            return None
        regions = np.frombuffer(value[: self._split], np.float16).reshape(self._shape)
        return regions, np.frombuffer(value[self._split :], np.uint8)

    def _unpacked_response(self, value: bytes | None) -> np.ndarray | None:
        if self._teacher is None or value is None or len(value) != 4 * len(self._teacher.labels):
            return None
        return np.frombuffer(value, np.float32)


def _packed(kind: str, row: Row) -> bytes:
    if kind == "thumbnail":
        assert row.picture is not None
        remark = row.picture.remark.encode()
        head = _FACTS.pack(row.picture.width, row.picture.height, len(remark))
        return head + remark + row.picture.thumbnail
    if kind == "encoder":
        assert row.encoded is not None
        regions, assignment = row.encoded
        return regions.astype(np.float16).tobytes() + assignment.astype(np.uint8).tobytes()
    assert row.response is not None
    return row.response.astype(np.float32).tobytes()


def _unpacked_facts(value: bytes | None) -> PictureFacts | None:
    if value is None or len(value) < _FACTS.size:
        return None
    width, height, length = _FACTS.unpack_from(value)
    end = _FACTS.size + length
    return PictureFacts(width, height, value[_FACTS.size : end].decode(), value[end:])


def decoder_version() -> str:
    """Return the name and version of the library that decodes pictures."""
    import PIL

    return f"Pillow {PIL.__version__}"


def runtime_version() -> str:
    """Return the name and version of the library that runs models."""
    from inficond.core.models.runtime import onnxruntime as ort

    return f"ONNX Runtime {ort.__version__}"
