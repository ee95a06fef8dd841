"""A student in one ONNX file: what `inficond export student` wrote, read back and run."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.hardware import available_cores
from inficond.core.models.manifest import LINKS, read_image_input
from inficond.core.models.onnx_protobuf import put
from inficond.core.models.onnx_safety import check_graph
from inficond.core.models.preprocess import Preprocess
from inficond.core.models.sessions import Session, open_session
from inficond.core.strict_json import parse_json

FORMAT = "inficond-student-onnx"
FORMAT_VERSION = 1
_DOCUMENTS = ("classes", "concepts", "thresholds", "image", "encoder", "provenance")
"""Metadata that are JSON."""


@dataclass(frozen=True)
class Prediction:
    """What a student says of one picture.

    Parameters
    ----------
    path : Path
        The file.
    probabilities : (C,) float32, or None
        None where the picture could not be read.
    reason : str
        Why not.
    """

    path: Path
    probabilities: np.ndarray | None
    reason: str = ""


class Predictor:
    """An exported student, open. Safe to call from several threads.

    Parameters
    ----------
    session : Session
        The graph.
    metadata : dict
        The file's own.

    Attributes
    ----------
    classes : list of C str
    concepts : list of A str
        The active concepts, in the order of the output `concepts`.
    thresholds : (C,) float32
        A probability at or above it means yes.
    link : {"sigmoid", "softmax"}
    preprocess : Preprocess
        Picture -> (H, W, 3) uint8.
    provenance : dict
        Project and node of its history.
    """

    def __init__(self, session: Session, metadata: dict[str, str]) -> None:
        self.session, self.path = session, session.path
        self.provider = session.provider
        if metadata.get("format") != FORMAT:
            raise InputError(
                f"{self.path} is no exported student; make one with `inficond export student DIR --out FILE`"
            )
        if metadata.get("format_version") != str(FORMAT_VERSION):
            raise InputError(
                f"{self.path} has format version {metadata.get('format_version', '?')!r:.20}, "
                "this program reads"
                f" {FORMAT_VERSION}: use the version of inficond that wrote it"
            )
        try:
            said = {key: parse_json(metadata[key]) for key in _DOCUMENTS}
            self.link, self.students_sha256 = metadata["link"], metadata["students_sha256"]
            self.classes, self.concepts = _names(said["classes"]), _names(said["concepts"])
            self.thresholds = np.array([float(t) for t in said["thresholds"]], np.float32)
            image = {**said["image"], "file": "graph.onnx"}
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{self.path} is damaged: its metadata lack or garble {error}") from None
        self.preprocess = Preprocess(read_image_input(self.path, image))
        self.provenance: dict[str, Any] = said["provenance"]
        self.encoder: dict[str, Any] = said["encoder"]
        sections = isinstance(self.provenance, dict) and isinstance(self.encoder, dict)
        if not sections or self.link not in LINKS:
            raise InputError(f"{self.path} is damaged: its metadata garble link, encoder or provenance")
        shape = session.inputs.get("pixels", ("", ()))[1]
        if tuple(shape[1:]) != (*self.preprocess.size, 3) or "probabilities" not in session.outputs:
            raise InputError(f"{self.path} is damaged: its graph does not take the pixels its metadata state")
        if len(self.thresholds) != len(self.classes) or not np.isfinite(self.thresholds).all():
            raise InputError(
                f"{self.path} is damaged: {len(self.thresholds)} thresholds, not all of them numbers, for "
                f"{len(self.classes)} classes"
            )

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities of a batch.

        Parameters
        ----------
        pixels : (B, H, W, 3) uint8
            As `preprocess` gives them.

        Returns
        -------
        (B, C) float32 in [0, 1]
        """
        (out,) = self.session.run({"pixels": np.ascontiguousarray(pixels)}, ("probabilities",))
        if out.shape != (len(pixels), len(self.classes)) or not np.isfinite(out).all():
            raise InputError(f"{self.path} gave no probability for each of its {len(self.classes)} classes")
        return out

    def concept_values(self, pixels: np.ndarray) -> np.ndarray:
        """How much of each active concept a batch shows, (B, A) float32."""
        return self.session.run({"pixels": np.ascontiguousarray(pixels)}, ("concepts",))[0]

    def predict_files(
        self, paths: Iterable[Path], batch: int = 8, workers: int | None = None
    ) -> Iterator[Prediction]:
        """Predictions of image files in their order; one that cannot be read says why and stops nobody.

        Parameters
        ----------
        paths : iterable of Path
        batch : int
            Pictures in one call.
        workers : int, optional
            Batches decoded side by side; the cores by default. What waits is bounded.

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

    def _batch(self, paths: Sequence[Path]) -> list[Prediction]:
        from inficond.core.images import UnreadableImage, open_picture

        pixels, reasons = [], {}
        for path in paths:
            try:
                pixels.append(self.preprocess(open_picture(path, self.preprocess.at_least).image))
            except UnreadableImage as error:
                reasons[path] = error.reason
        rows = iter(self.predict(np.stack(pixels))) if pixels else iter(())
        return [
            Prediction(path, None, reasons[path]) if path in reasons else Prediction(path, next(rows))
            for path in paths
        ]


def _names(said: Any) -> list[str]:
    """Names of a student's metadata: at least one, all different, all to be shown."""
    if not isinstance(said, list) or not all(isinstance(n, str) and n.isprintable() for n in said):
        raise ValueError("its names")
    if not said or len(set(said)) < len(said):
        raise ValueError("its names: there are none, or one stands twice")
    return said


def _chunks(paths: Iterable[Path], size: int) -> Iterator[list[Path]]:
    chunk: list[Path] = []
    for path in paths:
        chunk.append(path)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


CHECKSUM = "file_sha256"
_ENTRY = put(14, put(1, CHECKSUM) + put(2, "0" * 64))


def sealed(model: bytes) -> bytes:
    """A model with the SHA-256 of its bytes as its last metadata entry, where a reader finds it unparsed."""
    digest = hashlib.sha256(model).hexdigest()
    return model + put(14, put(1, CHECKSUM) + put(2, digest))


def check_sealed(path: Path) -> None:
    """Hold a file against the checksum in its last entry; files from before there was one have none.

    Raises
    ------
    InputError
        A byte has changed, or bytes were added or lost.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    rest, entry = data[: -len(_ENTRY)], data[-len(_ENTRY) :]
    whole = entry[:-64] == _ENTRY[:-64] and entry[-64:] == hashlib.sha256(rest).hexdigest().encode()
    if not whole and CHECKSUM.encode() in data:
        raise InputError(
            f"{path} is damaged: its bytes are not those that were exported; copy it or export it again"
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
        If it is not there, is no exported student, or is unsafe to load.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder: export its student first, `inficond export student {path} --out FILE.onnx`"
        )
    if path.suffix == ".safetensors":
        raise InputError(
            f"{path} holds weights only and no encoder: export the whole with `inficond export "
            "student DIR --out FILE.onnx`"
        )
    facts = check_graph(path)
    check_sealed(path)
    if facts.metadata.get("format") != FORMAT:
        raise InputError(
            f"{path} is no exported student; make one with `inficond export student DIR --out FILE.onnx`"
        )
    return Predictor(open_session(path, provider, threads), facts.metadata)
