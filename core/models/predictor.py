"""Exported students: reading and running the ONNX files of `inficond export student`."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.graph_file import GraphFile, read_graph
from inficond.core.models.hardware import available_cores
from inficond.core.models.manifest import LINKS, read_image_input
from inficond.core.models.onnx_protobuf import METADATA, metadata_entry
from inficond.core.models.preprocess import Preprocess
from inficond.core.models.protobuf import field
from inficond.core.models.sessions import GraphSession, open_session
from inficond.core.strict_json import parse_json

if TYPE_CHECKING:
    from inficond.core.images import ImageRecord

FORMAT = "inficond-student-onnx"
FORMAT_VERSION = 1
_DOCUMENTS = ("classes", "concepts", "thresholds", "image", "encoder", "provenance")
"""Metadata entries that are JSON."""


@dataclass(frozen=True)
class Prediction:
    """Prediction of one image file.

    Parameters
    ----------
    path : Path
        The file; the place of an image inside another file.
    probabilities : (C,) float32, or None
        None if the file could not be read.
    reason : str
        Why it could not be read.
    """

    path: Path
    probabilities: np.ndarray | None
    reason: str = ""


class Predictor:
    """An exported student, open. Safe to call from several threads.

    Parameters
    ----------
    session : GraphSession
    metadata : dict
        Of the file.

    Attributes
    ----------
    classes : list of C str
    concepts : list of A str
        The active concepts, in the order of the output `concepts`.
    thresholds : (C,) float32
        A class is predicted if its probability is at or above its threshold.
    link : {"sigmoid", "softmax"}
    preprocess : Preprocess
        Picture -> (H, W, 3) uint8.
    provider : str
        The execution provider in use.
    provenance : dict
        Project and history node.

    Raises
    ------
    InputError
        The metadata are invalid or contradict the graph.
    """

    def __init__(self, session: GraphSession, metadata: dict[str, str]) -> None:
        self.session, self.path = session, session.path
        self.provider = session.provider
        try:
            documents = {key: parse_json(metadata[key]) for key in _DOCUMENTS}
            self.link, self.students_sha256 = metadata["link"], metadata["students_sha256"]
            self.classes, self.concepts = _names(documents["classes"]), _names(documents["concepts"])
            self.thresholds = np.array([float(t) for t in documents["thresholds"]], np.float32)
            image = {**documents["image"], "file": "graph.onnx"}
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{self.path} is damaged: invalid or missing metadata: {error}") from None
        self.preprocess = Preprocess(read_image_input(self.path, image))
        self.provenance: dict[str, Any] = documents["provenance"]
        self.encoder: dict[str, Any] = documents["encoder"]
        sections = isinstance(self.provenance, dict) and isinstance(self.encoder, dict)
        if not sections or self.link not in LINKS:
            raise InputError(f"{self.path} is damaged: invalid metadata: link, encoder or provenance")
        shape = session.inputs.get("pixels", ("", ()))[1]
        if tuple(shape[1:]) != (*self.preprocess.size, 3) or "probabilities" not in session.outputs:
            raise InputError(
                f"{self.path} is damaged: its graph and its metadata state different inputs or outputs"
            )
        if len(self.thresholds) != len(self.classes) or not np.isfinite(self.thresholds).all():
            raise InputError(
                f"{self.path} is damaged: each of its {len(self.classes)} classes needs a finite threshold"
            )

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the probabilities of a batch.

        Parameters
        ----------
        pixels : (B, H, W, 3) uint8
            As returned by `preprocess`.

        Returns
        -------
        (B, C) float32 in [0, 1]

        Raises
        ------
        InputError
            The graph failed, or returned NaN or another number of values.
        """
        (out,) = self.session.run({"pixels": np.ascontiguousarray(pixels)}, ("probabilities",))
        if out.shape != (len(pixels), len(self.classes)) or not np.isfinite(out).all():
            raise InputError(
                f"{self.path} did not return a probability for each of its {len(self.classes)} classes"
            )
        return out

    def concept_values(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the values of the active concepts for a batch, (B, A) float32."""
        return self.session.run({"pixels": np.ascontiguousarray(pixels)}, ("concepts",))[0]

    def predict_files(
        self, paths: Iterable["Path | ImageRecord"], batch: int = 8, workers: int | None = None
    ) -> Iterator[Prediction]:
        """Predict image files in order; a file that cannot be read does not stop the others.

        Parameters
        ----------
        paths : iterable of Path or ImageRecord
        batch : int
            Pictures in one call.
        workers : int, optional
            Batches processed in parallel; the number of cores by default.

        Yields
        ------
        Prediction
        """
        workers = workers or available_cores()
        pending: deque[Future[list[Prediction]]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="predict") as pool:
            try:
                for chunk in _chunks(paths, max(1, batch)):
                    pending.append(pool.submit(self._batch, chunk))
                    if len(pending) > workers:
                        yield from pending.popleft().result()
                while pending:
                    yield from pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _batch(self, paths: Sequence["Path | ImageRecord"]) -> list[Prediction]:
        from inficond.core.images import ImageRecord, UnreadableImage, open_picture

        pixels, reasons = [], {}
        for at, path in enumerate(paths):
            try:
                least = self.preprocess.at_least
                picture = path.open(least) if isinstance(path, ImageRecord) else open_picture(path, least)
                pixels.append(self.preprocess(picture.image))
            except UnreadableImage as error:
                reasons[at] = error.reason
        rows = iter(self.predict(np.stack(pixels))) if pixels else iter(())
        places = [Path(path.where) if isinstance(path, ImageRecord) else path for path in paths]
        return [
            Prediction(place, None, reasons[at]) if at in reasons else Prediction(place, next(rows))
            for at, place in enumerate(places)
        ]


def _names(names: Any) -> list[str]:
    """Check the names of a student's metadata: at least one, distinct and printable."""
    if not isinstance(names, list) or not all(isinstance(n, str) and n.isprintable() for n in names):
        raise ValueError("names must be printable strings")
    if not names or len(set(names)) < len(names):
        raise ValueError("names must be distinct, and at least one is needed")
    return names


def _chunks(paths: Iterable["Path | ImageRecord"], size: int) -> Iterator[list["Path | ImageRecord"]]:
    chunk: list[Path | ImageRecord] = []
    for path in paths:
        chunk.append(path)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


CHECKSUM = "file_sha256"
_ENTRY = field(METADATA, metadata_entry(CHECKSUM, "0" * 64))


def with_checksum(model: bytes) -> bytes:
    """Append the SHA-256 of a model as its last metadata entry."""
    digest = hashlib.sha256(model).hexdigest()
    return model + field(METADATA, metadata_entry(CHECKSUM, digest))


def check_checksum(graph: GraphFile) -> None:
    """Verify the checksum in the last metadata entry; files of the first format version have none.

    Raises
    ------
    InputError
        The bytes are not those that were exported.
    """
    last = bytes(graph.content[-len(_ENTRY) :])
    intact = last[:-64] == _ENTRY[:-64] and last[-64:] == graph.body_sha256.encode()
    if not intact and CHECKSUM in graph.facts.metadata:
        raise InputError(
            f"{graph.path} is damaged: its bytes are not those that were exported; copy it or export it again"
        )


def load_predictor(path: Path | str, provider: str = "auto", threads: int | None = None) -> Predictor:
    """Open an exported student.

    Parameters
    ----------
    path : Path
        The ONNX file.
    provider : str
        See `open_session`.
    threads : int, optional
        CPU threads inside one call; every available core by default.

    Raises
    ------
    InputError
        The file is missing, is not an exported student, or is not safe to load.
    """
    graph = read_student(Path(path))
    return Predictor(open_session(graph, provider, threads), graph.facts.metadata)


def read_student(path: Path) -> GraphFile:
    """Read an exported student and check it, without loading its graph.

    Raises
    ------
    InputError
        See `load_predictor`.
    """
    if path.is_dir():
        raise InputError(
            f"{path} is a folder: export its student first, `inficond export student {path} --out FILE.onnx`"
        )
    if path.suffix == ".safetensors":
        raise InputError(
            f"{path} contains weights but no encoder: export the student with `inficond export student DIR "
            "--out FILE.onnx`"
        )
    graph = read_graph(path, trailer=len(_ENTRY))
    check_checksum(graph)
    check_format(graph)
    return graph


def check_format(graph: GraphFile) -> None:
    """Check that a graph is an exported student of a known version.

    Raises
    ------
    InputError
        It is not.
    """
    metadata = graph.facts.metadata
    if metadata.get("format") != FORMAT:
        raise InputError(
            f"{graph.path} is not an exported student; make one with `inficond export student DIR --out FILE`"
        )
    if metadata.get("format_version") != str(FORMAT_VERSION):
        raise InputError(
            f"{graph.path} has format version {metadata.get('format_version', '?')!r:.20}, but this program "
            f"reads {FORMAT_VERSION}: use the version of InFiConD that wrote the file"
        )
