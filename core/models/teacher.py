"""Teachers that classify pictures: a classifier as an ONNX folder."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.manifest import Manifest, read_manifest
from inficond.core.models.preprocess import Preprocess
from inficond.core.models.resolve import locate
from inficond.core.models.sessions import GraphSession, open_session
from inficond.core.models.teacher_trial import (
    SUM_TOLERANCE_8,
    check_batch_independence,
    output_kind,
    trial_pictures,
)


class Signature(NamedTuple):
    """Input and output of a classifier's graph.

    Attributes
    ----------
    input, output : str
    dtype : numpy.dtype or None
        Of the input, where it is neither uint8 nor float32.
    batch : int or None
        The fixed batch size.
    """

    input: str
    output: str
    dtype: np.dtype | None
    batch: int | None


class Teacher:
    """An open classifier. Thread-safe.

    Parameters
    ----------
    manifest : Manifest
    session : GraphSession

    Attributes
    ----------
    name : str
    labels : tuple of L str
    link : {"sigmoid", "softmax"}
    groups : mapping of str to tuple of str, or None
        Named groups of labels, if the folder has some.
    preprocess : Preprocess
        Picture -> (H, W, 3) uint8.
    provider : str
        The execution provider in use.
    output_kind : {"logits", "probabilities"}
        What the graph returns.
    notes : list of str
        Notes on the model for the user.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.models import load_teacher
    >>> teacher = load_teacher("embedded", provider="cpu")
    >>> pixels = teacher.preprocess(np.zeros((480, 640, 3), np.uint8))
    >>> responses = teacher.respond(pixels[None])
    >>> responses.shape, round(float(responses.sum()), 3)
    ((1, 1000), 1.0)
    """

    def __init__(self, manifest: Manifest, session: GraphSession) -> None:
        self.manifest, self.session = manifest, session
        self.name, self.labels, self.link = manifest.name, manifest.labels, manifest.link
        self.groups = manifest.groups
        self.preprocess = Preprocess(manifest.image)
        self.provider = session.provider
        self.output_kind = manifest.output_kind
        self.notes: list[str] = []
        if len(self.labels) == 1 and self.link == "softmax" and self.output_kind == "logits":
            raise InputError(
                f"the teacher {self.name!r} has a single label, whose softmax is always 1: set `link` to "
                '"sigmoid" in its manifest.json, or export it with --link sigmoid'
            )
        if not session.shipped:  # a shipped graph is opened on first use
            _ = self._signature  # raises

    @cached_property
    def _signature(self) -> Signature:
        """Input and output of the graph."""
        session, output = self.session, self.manifest.output
        if output and output not in session.outputs:
            known = ", ".join(session.outputs)
            raise InputError(f"{session.path} has no output {output!r}: it has {known}")
        name = next(iter(session.inputs))
        kind, shape = session.inputs[name]
        batch = shape[0] if shape else None
        return Signature(
            name,
            output or session.outputs[0],
            FLOATS.get(kind),
            batch if isinstance(batch, int) and batch > 0 else None,
        )

    def respond(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the probabilities of a batch.

        Parameters
        ----------
        pixels : (B, S, S, 3) uint8
            As returned by `preprocess`.

        Returns
        -------
        (B, L) float32 in [0, 1]

        Raises
        ------
        InputError
            The graph failed, or returned NaN or another number of outputs than there are labels.

        Examples
        --------
        >>> teacher.respond(np.stack([pixels, pixels])).shape == (2, len(teacher.labels))
        True
        """
        raw = self.outputs(pixels)
        if self.output_kind == "probabilities":
            if raw.min() < -1e-4 or raw.max() > 1 + 1e-4:
                raise InputError(
                    f'the teacher {self.name!r} returns logits: set `output_kind` to "logits" in its '
                    "manifest.json"
                )
            return _rounded_off(np.clip(raw, 0.0, 1.0).astype(np.float32), self.link)
        return apply_link(raw, self.link)

    def outputs(self, pixels: np.ndarray) -> np.ndarray:
        """Return the graph's outputs for a batch, without the link.

        A graph with a fixed batch size is run as often as needed; the last batch is filled up.

        Parameters
        ----------
        pixels : (B, H, W, 3) uint8

        Returns
        -------
        (B, L)

        Raises
        ------
        InputError
            As for `respond`.
        """
        feed = self.preprocess.graph_input(pixels)
        name, output, dtype, batch = self._signature
        step = batch or max(1, len(feed))
        parts = []
        for start in range(0, len(feed), step):
            part = feed[start : start + step]
            padding = (step - len(part)) if batch else 0
            whole = np.concatenate([part, np.repeat(part[-1:], padding, axis=0)]) if padding else part
            (answer,) = self.session.run({name: whole if dtype is None else whole.astype(dtype)}, (output,))
            parts.append(rows_of_outputs(answer, len(whole), self.session.path)[: len(part)])
        raw = np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), np.float32)
        if raw.shape != (len(pixels), len(self.labels)):
            raise InputError(
                f"the teacher {self.name!r} returns {'×'.join(map(str, raw.shape[1:]))} outputs per picture "
                f"for {len(self.labels)} labels: correct `labels` in its manifest.json"
            )
        if not np.isfinite(raw).all():
            raise InputError(f"the teacher {self.name!r} returned NaN or infinite values on {self.provider}")
        return raw

    def check_outputs(self) -> None:
        """Run the model on made-up pictures and set `output_kind` and `notes` accordingly.

        Raises
        ------
        InputError
            As for `outputs` and `teacher_trial.output_kind`.
        """
        pictures = trial_pictures(self.manifest.image.size)
        outputs = self.outputs(pictures)
        check_batch_independence(outputs, self.outputs(pictures[:1]), f"the graph of {self.name!r}")
        self.output_kind, note = output_kind(outputs, self.manifest.raw.get("output_kind"), self.name)
        if note:
            self.notes.append(note)
        batch = self._signature.batch
        if batch:
            self.notes.append(
                f"the graph of {self.name!r} has a fixed batch size of {batch}, which is slower: "
                "export it with a dynamic batch axis"
            )


EXACT_SUM = 1e-4
"""How far the sum of a softmax of float32 may be from 1."""
FLOATS: dict[str, np.dtype] = {
    "tensor(float16)": np.dtype(np.float16),
    "tensor(double)": np.dtype(np.float64),
}
"""Types of an input that are neither uint8 nor float32."""


def _rounded_off(probabilities: np.ndarray, link: str) -> np.ndarray:
    """Divide rows (B, L) of a softmax by their sum where 16-bit or 8-bit rounding moved it from 1."""
    if link != "softmax":
        return probabilities
    sums = probabilities.sum(axis=1, dtype=np.float64)
    off = np.abs(sums - 1)
    coarse = (off > EXACT_SUM) & (off <= SUM_TOLERANCE_8)
    probabilities[coarse] /= sums[coarse, None].astype(np.float32)
    return probabilities


def rows_of_outputs(answer: np.ndarray, pictures: int, path: Path) -> np.ndarray:
    """Return a graph's output with one row of floats for each picture.

    Parameters
    ----------
    answer : (B,), (B, L) or (B, L, 1, 1)
    pictures : int
        Size B of the batch.
    path : Path
        Names the graph in errors.

    Returns
    -------
    (B, L) floating point

    Raises
    ------
    InputError
        The output has another number of rows or more axes, or holds whole numbers.
    """
    shape = "×".join(map(str, answer.shape)) or "a single number"
    if answer.dtype.kind != "f":
        raise InputError(
            f"{path} returns whole numbers ({answer.dtype}, {shape}), such as the number of the best class "
            "or quantized scores: export it so that it returns the scores of all classes as float32"
        )
    if not answer.ndim or len(answer) != pictures:
        raise InputError(
            f"{path} returns {shape} for {pictures} pictures, where one row for each is needed: its input "
            "size or its batch axis differs from what is stated"
        )
    if answer.ndim > 2 and max(answer.shape[2:]) > 1:
        raise InputError(
            f"{path} returns {answer.ndim - 1} axes per picture ({shape}): a classifier returns one score "
            "for each class"
        )
    return answer.reshape(pictures, -1)


def apply_link(logits: np.ndarray, link: str) -> np.ndarray:
    """Convert logits to float32 probabilities, with a sigmoid, or a softmax over the last axis."""
    logits = logits.astype(np.float32)
    if link == "sigmoid":
        return (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)


def load_teacher(
    spec: str | Path = "embedded",
    provider: str = "auto",
    threads: int | None = None,
    download: bool = True,
) -> Teacher:
    """Open a teacher that classifies pictures.

    Parameters
    ----------
    spec : str
        ``embedded``, a model folder, or a Hugging Face id (needs the `export` extra at first use).
    provider : str
        See `open_session`.
    threads : int, optional
        CPU threads inside one call; every available core by default.
    download : bool
        See `locate`.

    Returns
    -------
    Teacher

    Raises
    ------
    InputError
        The teacher does not exist, its folder is damaged, or the provider does not work here.

    Examples
    --------
    >>> from inficond.core.models import load_teacher
    >>> teacher = load_teacher("embedded", provider="cpu")
    >>> len(teacher.labels), teacher.link
    (1000, 'softmax')
    """
    manifest = read_manifest(locate(spec, "teacher", download), "teacher")
    teacher = Teacher(manifest, open_session(manifest.graph(manifest.image.file), provider, threads))
    if "verification" not in manifest.raw:  # written by hand: `inficond export` checks what it writes
        teacher.check_outputs()
    return teacher
