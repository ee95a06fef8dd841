"""Teachers that look at pictures: a classifier as an ONNX folder. (Teachers in a file: `responses`.)"""

from pathlib import Path

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.manifest import Manifest, read_manifest
from inficond.core.models.pixels import prepared
from inficond.core.models.preprocess import Preprocess
from inficond.core.models.resolve import locate
from inficond.core.models.sessions import Session, open_session


class Teacher:
    """A classifier folder, open. Safe to call from several threads.

    Parameters
    ----------
    manifest : Manifest
    session : Session

    Attributes
    ----------
    name : str
    labels : tuple of L str
    link : {"sigmoid", "softmax"}
    groups : mapping of str to tuple of str, or None
        Readable groups of the labels, where the folder brings some.
    preprocess : Preprocess
        Picture -> (S, S, 3) uint8.
    provider : str
        What it really runs on.
    """

    def __init__(self, manifest: Manifest, session: Session) -> None:
        self.manifest, self.session = manifest, session
        self.name, self.labels, self.link = manifest.name, manifest.labels, manifest.link
        self.groups = manifest.groups
        self.preprocess = Preprocess(manifest.image)
        self.provider = session.provider
        self._input = next(iter(session.inputs))
        if manifest.output and manifest.output not in session.outputs:
            known = ", ".join(session.outputs)
            raise InputError(f"{session.path} has no output {manifest.output!r}: it has {known}")
        self._output = manifest.output or session.outputs[0]

    def respond(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities of a batch.

        Parameters
        ----------
        pixels : (B, S, S, 3) uint8
            As `preprocess` gives them.

        Returns
        -------
        (B, L) float32 in [0, 1]

        Raises
        ------
        InputError
            The graph failed, gave another number of outputs than there are labels, or numbers not finite.
        """
        (raw,) = self.session.run({self._input: prepared(pixels, self.manifest.image)}, (self._output,))
        if raw.shape != (len(pixels), len(self.labels)):
            raise InputError(
                f"the teacher {self.name!r} gives {raw.shape[1:]} outputs for {len(self.labels)} labels: "
                "mend `labels` in its manifest"
            )
        if not np.isfinite(raw).all():
            raise InputError(f"the teacher {self.name!r} gave numbers that are not finite on {self.provider}")
        if self.manifest.output_kind == "probabilities":
            if raw.min() < -1e-4 or raw.max() > 1 + 1e-4:
                raise InputError(f"the teacher {self.name!r} gives logits: set `output_kind` to `logits`")
            return np.clip(raw, 0.0, 1.0).astype(np.float32)
        return apply_link(raw, self.link)


def apply_link(logits: np.ndarray, link: str) -> np.ndarray:
    """Logits to probabilities: each on its own (``sigmoid``) or over the last axis (``softmax``), float32."""
    logits = logits.astype(np.float32)
    if link == "sigmoid":
        return (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)


def load_teacher(
    spec: str | Path = "embedded", provider: str = "auto", threads: int | None = None
) -> Teacher:
    """Open a teacher that looks at pictures.

    Parameters
    ----------
    spec : str
        ``embedded``, a model folder, or a Hugging Face id (needs the `export` extra at first use).
    provider : str
        See `open_session`.
    threads : int, optional
        CPU threads inside one call; every available core by default.

    Returns
    -------
    Teacher
        Ready to be asked.

    Raises
    ------
    InputError
        No such teacher, a damaged folder, or a provider that does not run here.
    """
    manifest = read_manifest(locate(spec, "teacher"), "teacher")
    return Teacher(manifest, open_session(manifest.path_of(manifest.image.file), provider, threads))
