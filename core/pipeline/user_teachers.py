"""Teachers of the user that depend on the images: ONNX files, zero-shot classes, Python objects."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError
from inficond.core.file_access import in_home
from inficond.core.images import ImageSet, UnreadableImage
from inficond.core.models.encoder import Encoder
from inficond.core.models.label_names import read_label_names
from inficond.core.models.resolve import exporter
from inficond.core.models.tables import Table, is_table_name
from inficond.core.pipeline.label_teachers import KINDS as LABEL_KINDS
from inficond.core.pipeline.notes import BuildNotes
from inficond.core.pipeline.options import BuildOptions
from inficond.core.progress import Progress, Silent
from inficond.core.teachers.onnx_file import SEEN, TrialPictures, write_onnx_teacher
from inficond.core.teachers.python_callable import (
    answer,
    is_callable_name,
    is_keras_model,
    is_torch_module,
    load_callable,
    made,
    own_labels,
)
from inficond.core.teachers.zero_shot import write_zero_shot

KERAS = ".keras"
"""Suffix of model files of Keras."""


def teacher_kind(teacher: Any) -> str:
    """Return the kind of a teacher.

    Returns
    -------
    str
        ``auto``, ``labels``, ``probe``, ``zero-shot``, ``onnx`` (also a Keras file), ``table``, ``python`` or
        ``model`` (a model folder or a hub id).
    """
    if not isinstance(teacher, str | Path):
        return "python"
    text = str(teacher)
    if text in ("auto", "zero-shot", *LABEL_KINDS):
        return text
    suffix = Path(text).suffix.lower()
    if suffix in (".onnx", KERAS):
        return "onnx"
    if is_callable_name(text):
        return "python"
    return "table" if is_table_name(text) else "model"


def digest_of(table: Table) -> str:
    """Return the SHA-256 of a table's file, or of the answers of a Python teacher."""
    if table.path.is_file():
        return sha256_of(table.path)
    text = repr((table.images, table.classes)).encode(errors="surrogatepass")
    return hashlib.sha256(text + np.ascontiguousarray(table.values).tobytes()).hexdigest()


class UserTeachers:
    """Makes teachers from what the user named and from the images.

    Parameters
    ----------
    options : BuildOptions
    images : ImageSet
    label_names : sequence of str
        Names of the labels of the images.
    notes : BuildNotes
    progress : Progress
    """

    def __init__(
        self,
        options: BuildOptions,
        images: ImageSet,
        label_names: Sequence[str],
        notes: BuildNotes,
        progress: Progress,
    ) -> None:
        self._options, self._images, self._names = options, images, tuple(label_names)
        self._notes, self._progress = notes, progress

    def write_onnx(self, folder: Path) -> None:
        """Write the ONNX or Keras file of the options as a teacher folder.

        Raises
        ------
        InputError
            See `write_onnx_teacher`; a Keras file cannot be converted.
        """
        path = in_home(self._options.teacher)
        if path.suffix.lower() == KERAS:
            self._write_keras(folder, path, path.stem)
        else:
            self._write_graph(folder, path)

    def _write_keras(self, folder: Path, model: Any, name: str) -> None:
        """Convert a Keras file or model to ONNX, and write it as a teacher folder."""
        export = exporter("keras")
        if export is None:
            raise InputError(
                'a Keras model as teacher needs the extra `keras`: pip install "inficond[keras]"'
            )
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / f"{name}.onnx"
            export(model, path)
            self._write_graph(folder, path)

    def _write_graph(self, folder: Path, path: Path) -> None:
        for note in write_onnx_teacher(
            folder,
            path,
            self._trial_pictures(),
            self._labels(),
            self._options.provider,
            self._names,
        ):
            self._notes.remark(note)

    def write_zero_shot(
        self, folder: Path, encoder: Encoder, classes: Mapping[str, list[str]] | str | None
    ) -> None:
        """Write a teacher folder that classifies by the names of the classes.

        Parameters
        ----------
        folder : Path
        encoder : Encoder
        classes : mapping, str or None
            Class -> phrases; by default the names of the labels of the images.

        Raises
        ------
        InputError
            There are fewer than two classes.
        """
        prompts: dict[str, Sequence[str]]
        if isinstance(classes, Mapping):
            prompts = {name: [] if phrases == [name] else phrases for name, phrases in classes.items()}
        else:
            prompts = {name: [] for name in self._names}
        if len(prompts) < 2:
            raise InputError(
                "--teacher zero-shot needs the names of at least two classes: put the images into class "
                'folders, or give --classes FILE with {"class": ["a phrase", …]}'
            )
        write_zero_shot(folder, encoder, prompts, self._options.temperature)

    def write_module(self, folder: Path) -> bool:
        """Write a Python teacher as a folder if it is a torch module or a Keras model; return whether it is.

        Raises
        ------
        InputError
            The `export` extra is not installed, the classes have no names, or the export fails.
        """
        if is_keras_model(self._teacher):
            self._write_keras(folder, self._teacher, str(self._teacher.name))
            return True
        if not is_torch_module(self._teacher):
            return False
        export = exporter("module")
        if export is None:
            raise InputError(
                'a torch module as teacher needs the extra `export`: pip install "inficond[export]"'
            )
        labels = self._labels() or own_labels(self._teacher) or self._names
        if not labels:
            raise InputError(
                "the torch module does not name its classes: give their names with --labels-file, or as its "
                "attribute `labels`"
            )
        notes = Silent()
        export(self._teacher, labels, folder, notes)
        for note in notes.notes:
            self._notes.remark(note)
        return True

    @cached_property
    def _teacher(self) -> Any:
        """The Python object of the options; a module and name are imported."""
        teacher = self._options.teacher
        return made(load_callable(teacher) if isinstance(teacher, str) else teacher)

    def answers(self) -> Table:
        """Let the Python teacher of the options answer all images.

        Raises
        ------
        InputError
            See `answer`.
        """
        found = answer(self._teacher, self._images.records, self._labels(), self._names, self._progress)
        for id, reason in found.skipped:
            self._notes.skip(id, reason)
        return Table(Path(found.name), found.ids, found.classes, found.values, found.notes)

    def _labels(self) -> list[str] | None:
        given = self._options.teacher_labels
        if given is None:
            return None
        if not isinstance(given, str | Path):
            return [str(name) for name in given]
        names, notes = read_label_names(Path(given))
        for note in notes:
            if note not in self._notes.remarks:
                self._notes.remark(note)
        return names

    def _trial_pictures(self) -> TrialPictures:
        """Return some pictures, spread over the images."""
        records = self._images.records
        rows = np.linspace(0, len(records) - 1, min(2 * SEEN, len(records))).round().astype(int)
        pictures, labels = [], []
        for record in (records[row] for row in rows):
            try:
                pictures.append(record.open().image)
            except UnreadableImage:
                continue
            labels.append(record.labels[0] if record.labels and len(record.labels) == 1 else None)
            if len(pictures) == SEEN:
                break
        if not pictures:
            raise InputError(f"none of the first images in {self._images.name} can be read")
        return TrialPictures(pictures, labels)
