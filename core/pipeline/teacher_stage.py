"""The stage of a build that opens the teacher and computes its responses to the classes."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.images import ImageSet
from inficond.core.models.class_sets import ClassSet, class_set, most_frequent
from inficond.core.models.encoder import Encoder
from inficond.core.models.manifest import Manifest, read_manifest
from inficond.core.models.tables import Table, read_responses
from inficond.core.models.teacher import Teacher, load_teacher
from inficond.core.pipeline.encoding_cache import EncodingCache
from inficond.core.pipeline.label_alignment import aligned_labels
from inficond.core.pipeline.label_teachers import KINDS as LABEL_KINDS
from inficond.core.pipeline.label_teachers import check_labels, label_matrix, label_names, teach_from_labels
from inficond.core.pipeline.notes import BuildNotes
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.teacher_check import self_test
from inficond.core.pipeline.user_teachers import UserTeachers, digest_of, teacher_kind
from inficond.core.progress import Progress
from inficond.core.project import files
from inficond.core.project.arrays import row_blocks
from inficond.core.teachers.probe import Probe
from inficond.core.teachers.probe_folder import write_probe
from inficond.core.teachers.text2concept import TEXT2CONCEPT

MIN_SPREAD = 1e-6
"""Difference between the largest and the smallest response below which a class is constant."""
FEWEST_YES = 5
"""Responses of at least 0.5 that a class needs to be chosen by default: with fewer, it can hardly be learned
or measured."""


class TeacherStage:
    """The stage of a build that opens the teacher and computes its responses to the classes.

    Parameters
    ----------
    options : BuildOptions
    given_classes : mapping or str, optional
        Classes that a person gave; see `class_set`.
    label_table : Table, optional
        Labels of the images; by default those of their source.
    encoder : Encoder
        For a zero-shot teacher.
    cache : EncodingCache, optional
    notes : BuildNotes
    progress : Progress

    Attributes
    ----------
    kind : str
        See `teacher_kind`; never "auto" once the teacher is open.
    table : Table or None
        Responses in a file, or of a Python function.
    teacher : Teacher or None
        A model.
    images : ImageSet
        Known once the teacher is open.
    """

    images: ImageSet

    def __init__(
        self,
        options: BuildOptions,
        given_classes: Mapping[str, list[str]] | str | None,
        label_table: Table | None,
        encoder: Encoder,
        cache: EncodingCache | None,
        notes: BuildNotes,
        progress: Progress,
    ) -> None:
        self.options, self.encoder, self.cache = options, encoder, cache
        self.given_classes, self.label_table = given_classes, label_table
        self.notes, self.progress = notes, progress
        self.out = Path(options.out)
        self.table: Table | None = None
        self.teacher: Teacher | None = None
        self._own_folder: Path | None = None
        self.kind = teacher_kind(options.teacher)
        # A teacher that does not depend on the images is opened before they are searched.
        self._is_open = self.kind in ("table", "model")
        if self._is_open:
            self._open()

    def open_for(self, images: ImageSet) -> None:
        """Choose the kind of the teacher that suits the images if it was left open, and open the teacher."""
        self.images = images
        if self.kind == "auto":
            labelled = len(label_names(images, self.label_table)) > 1
            self.kind = "probe" if labelled and self.given_classes is None else "model"
        if not self._is_open:
            self._open()

    def feature_teacher(self) -> Teacher:
        """Return the teacher whose features an encoder of this project can use."""
        if self.teacher is None or self.kind == "zero-shot":
            raise InputError(
                f"{TEXT2CONCEPT} reads words in the features of a teacher, and this teacher ({self.kind}) "
                "has none: give a model with --teacher, or use the embedded encoder"
            )
        return self.teacher

    def check_names(self, ids: Sequence[str]) -> None:
        """Check classes and labels against the teacher and the images, before any image is encoded."""
        if self.kind in LABEL_KINDS:
            chosen = self.label_classes()
            check_labels(chosen, label_matrix(self.images, self.label_table, ids))
        else:
            chosen = self._model_classes(len(ids))
        if self.label_table is not None and ids:
            aligned_labels(self.label_table, ids, chosen.names)

    def label_classes(self) -> ClassSet:
        """Return the classes over the names of the labels."""
        if self.given_classes == "groups":
            raise InputError("labels have no groups; give a class file, or leave --classes out")
        return class_set(self.given_classes or "labels", label_names(self.images, self.label_table), None)

    def responses(
        self,
        ids: Sequence[str],
        image_groups: Sequence[str | None],
        responses: np.ndarray,
        is_exam: np.ndarray | None = None,
    ) -> tuple[ClassSet, np.ndarray, Probe | None]:
        """Return the classes, the teacher's responses (N, C) to them, and the probe if one was fitted.

        Parameters
        ----------
        ids : sequence of N str
        image_groups : sequence of N str or None
            Images of one group stay in one fold of a probe.
        responses : (N, L)
            Responses of a model to its L labels; not used otherwise.
        is_exam : (N,) bool, optional
            Images whose labels a probe does not see.

        Raises
        ------
        InputError
            More given classes than images, or the teacher's responses are constant in every class.
        """
        if self.kind in LABEL_KINDS:
            return self._responses_from_labels(ids, image_groups, responses, is_exam)
        labels, _ = self._teacher_labels()
        if self.table is not None:
            responses = self.table.values[self.table.rows_for(ids)]
        self._test_teacher(ids, labels, responses)

        chosen = self._model_classes(len(ids))
        by_default = not isinstance(self.given_classes, Mapping) and (self.table is None or len(labels) > 20)
        if by_default:
            chosen = most_frequent(chosen, row_blocks(responses))
        T = np.concatenate([chosen.responses(block) for block in row_blocks(responses)])
        chosen, T = _without_constant(chosen, T, self.notes.remark)
        if by_default and self.kind != "zero-shot":  # a person named the classes of a zero-shot teacher
            chosen, T = _without_rare(chosen, T, self.notes.remark)
        if len(chosen.names) > len(ids):
            chosen, T = chosen.keep(range(len(ids))), T[:, : len(ids)]
            self.notes.remark(f"only {len(ids)} images: the {len(ids)} most frequent classes are kept")
        return chosen, T, None

    def write_own(self, probe: Probe | None, chosen: ClassSet) -> Manifest | None:
        """Write a probe, or copy a teacher made for this project, so that it answers for new images.

        Returns the manifest of a probe.
        """
        if self._own_folder is not None and probe is None:
            shutil.copytree(self._own_folder, self.out / files.OWN_TEACHER, dirs_exist_ok=True)
        if probe is None or self.teacher is None:
            return None
        folder = write_probe(self.out / files.OWN_TEACHER, self.teacher, probe.classifier, chosen.names)
        return read_manifest(folder, "teacher")

    def description(
        self, own_teacher: Manifest | None, chosen: ClassSet
    ) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """Return the description of the teacher, and its labels of each class."""
        labels: Sequence[str]
        if own_teacher is not None:
            assert self.teacher is not None
            found = _model_config(own_teacher, self.teacher.provider, files.OWN_TEACHER)
            return found, {name: [name] for name in chosen.names}
        if self.kind == "labels":
            labels = label_names(self.images, self.label_table)
            found = {"spec": "labels", "name": "labels", "link": "responses", "labels": len(labels)}
        elif self.table is not None:
            labels = self.table.classes
            found = {
                "spec": self.table.path.name if self.kind == "python" else str(self.options.teacher),
                "name": self.table.path.name, "link": "responses",
                "digest": digest_of(self.table), "labels": len(labels),
            }  # fmt: skip
        else:
            assert self.teacher is not None
            labels = self.teacher.labels
            spec = "embedded" if self.options.teacher == "auto" else str(self.options.teacher)
            spec = files.OWN_TEACHER if self._own_folder is not None else spec
            found = _model_config(self.teacher.manifest, self.teacher.provider, spec)
        named = zip(chosen.names, chosen.members)
        return found, {name: [labels[i] for i in members] for name, members in named}

    def _open(self) -> None:
        """Open the teacher of this kind."""
        options, kind = self.options, self.kind
        if kind == "table":
            self.table = read_responses(Path(options.teacher), options.tables)
            return
        if kind in LABEL_KINDS:
            label_matrix(self.images, self.label_table, [r.id for r in self.images.records])
        if kind == "labels":
            return
        if kind in ("onnx", "zero-shot", "python"):
            teachers = UserTeachers(
                options, self.images, label_names(self.images, self.label_table), self.notes, self.progress
            )
            folder = self.out / files.BUILD / files.OWN_TEACHER
            if kind == "python":
                if not teachers.write_module(folder):
                    self.table = teachers.answers()
                    return
            elif kind == "onnx":
                teachers.write_onnx(folder)
            else:
                teachers.write_zero_shot(folder, self.encoder, self.given_classes)
                self.given_classes = "labels"
            self._own_folder = folder
            self.teacher = load_teacher(folder, options.provider, threads=1)
            return
        spec = "embedded" if str(options.teacher) in ("auto", "probe") else options.teacher
        self.teacher = load_teacher(spec, options.provider, threads=1)

    def _teacher_labels(self) -> tuple[Sequence[str], Any]:
        """Return the labels of a table or a model, and the groups of labels that a model has."""
        if self.table is not None:
            return self.table.classes, None
        assert self.teacher is not None
        return self.teacher.labels, self.teacher.groups

    def _model_classes(self, n_images: int) -> ClassSet:
        """Return the classes over the labels of a table or a model; given ones are at most the images."""
        labels, groups = self._teacher_labels()
        chosen = class_set(self.given_classes, labels, groups)
        n = len(chosen.names)
        if isinstance(self.given_classes, Mapping) and n > n_images:
            raise InputError(
                f"{n_images} images for {n} classes: give more images, or fewer classes with --classes"
            )
        return chosen

    def _responses_from_labels(
        self,
        ids: Sequence[str],
        image_groups: Sequence[str | None],
        base: np.ndarray,
        is_exam: np.ndarray | None,
    ) -> tuple[ClassSet, np.ndarray, Probe | None]:
        labels = label_matrix(self.images, self.label_table, ids)
        if is_exam is not None and is_exam.any():
            labels = np.where(is_exam[:, None], np.float32(np.nan), labels)
        chosen = self.label_classes()
        if self.teacher is not None:
            self.progress.start("fitting a probe", 1)
        taught = teach_from_labels(
            self.kind,
            chosen,
            labels,
            None if self.teacher is None else np.asarray(base),
            base_name=self.teacher.name if self.teacher else "",
            groups=image_groups,
            seed=self.options.seed,
            cache=self.cache,
        )
        for note in taught.notes:
            self.notes.choose(note)
        return taught.classes, taught.responses, taught.probe

    def _test_teacher(self, ids: Sequence[str], labels: Sequence[str], responses: np.ndarray) -> None:
        """Report the teacher's answers on a few images, and how often it agrees with the labels."""
        names = label_names(self.images, self.label_table)
        truth = label_matrix(self.images, self.label_table, ids) if names else None
        for line in self_test(responses, labels, ids, truth, names):
            self.notes.choose(line)


def _without_constant(
    chosen: ClassSet, T: np.ndarray, remark: Callable[[str], None]
) -> tuple[ClassSet, np.ndarray]:
    spread = T.max(axis=0) - T.min(axis=0)
    for c in np.flatnonzero(spread <= MIN_SPREAD):
        remark(
            f"class {chosen.names[c]!r} left out: the teacher's response is {T[0, c]:.3g} for every image, "
            "so there is nothing to learn"
        )
    keep = np.flatnonzero(spread > MIN_SPREAD).tolist()
    if not keep:
        raise InputError(
            "the teacher's responses are the same for every image, in every class: there is nothing to learn"
        )
    return chosen.keep(keep), np.ascontiguousarray(T[:, keep])


def _without_rare(
    chosen: ClassSet, T: np.ndarray, remark: Callable[[str], None]
) -> tuple[ClassSet, np.ndarray]:
    """Leave out classes that few images show; where fewer than two remain, keep all and warn."""
    if len(T) < 10 * FEWEST_YES:  # too few images to tell a rare class from a small folder
        return chosen, T
    enough = (T >= 0.5).sum(axis=0) >= FEWEST_YES
    kept = np.flatnonzero(enough).tolist()
    if len(kept) < 2:
        sure = f"only {chosen.names[kept[0]]!r}" if kept else "no class"
        remark(
            f"teacher: WARNING: {sure} has a probability of at least 0.5 on {FEWEST_YES} images or more, and "
            f"{(T.max(axis=1) < 0.5).mean():.0%} of the images reach it for no class: the teacher's classes "
            "hardly fit these images; sort the images into class folders, give labels, or name classes for "
            "--teacher zero-shot with --classes"
        )
        return chosen, T
    if len(kept) < len(enough):
        rare = ", ".join(chosen.names[c] for c in np.flatnonzero(~enough))
        remark(
            f"classes left out, because the teacher is sure of them on fewer than {FEWEST_YES} images: "
            f"{rare}; --classes chooses classes"
        )
    return chosen.keep(kept), np.ascontiguousarray(T[:, kept])


def _model_config(manifest: Manifest, provider: str, spec: str) -> dict[str, Any]:
    return {
        "spec": spec, "name": manifest.name, "link": manifest.link, "digest": manifest.digest,
        "provider": provider, "labels": len(manifest.labels),
    }  # fmt: skip
