"""Selection of the images of a build: which are used, and the part of each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inficond.core.errors import InputError
from inficond.core.evaluation.parts import Parts, divide
from inficond.core.images import ImageRecord, ImageSet
from inficond.core.images.walk import inside
from inficond.core.models.class_sets import ClassSet
from inficond.core.models.tables import Table
from inficond.core.pipeline.label_alignment import unmatched
from inficond.core.pipeline.label_teachers import label_matrix
from inficond.core.pipeline.notes import BuildNotes
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.shards import ShardSummary, SourceFile
from inficond.core.pipeline.teacher_stage import TeacherStage
from inficond.core.project.image_table import ImageRow

MIN_IMAGES = 4


def usable_images(
    images: ImageSet, out: Path, teachers: TeacherStage, notes: BuildNotes
) -> list[ImageRecord]:
    """Return the images in order of their ids, without the project's own and those without response.

    Parameters
    ----------
    images : ImageSet
    out : Path
        The project folder.
    teachers : TeacherStage
        With an open teacher.
    notes : BuildNotes
        Gets the skipped images.

    Raises
    ------
    InputError
        A table of responses names none of the images.
    """
    own = inside(out)
    found = [f for f in images.records if f.path is None or not own(f.path)]
    table, kind = teachers.table, teachers.kind
    if kind == "python" and table is not None:
        answered = set(table.images)  # the others are reported as skipped already
        found = [f for f in found if f.id in answered]
    if table is not None:
        found = _with_response(found, table, notes)
    if kind == "labels":
        labels = label_matrix(images, teachers.label_table, [f.id for f in found])
        known = [bool(row.all()) for row in np.isfinite(labels)]
        for f in (f for f, ok in zip(found, known) if not ok):
            notes.skip(f.id, "it has no label")
        found = [f for f, ok in zip(found, known) if ok]
    return found


def _with_response(found: list[ImageRecord], table: Table, notes: BuildNotes) -> list[ImageRecord]:
    ids = [f.id for f in found]
    matching = table.match(ids)
    rows = matching.rows
    for note in table.notes:
        notes.remark(note)
    if not (rows >= 0).any():
        raise unmatched(table, ids)
    notes.remark(f"{table.path.name}: {matching.spelled}")
    for f, row in zip(found, rows):
        if row < 0:
            notes.skip(f.id, f"no response in {table.path.name}")
    used = {int(row) for row in rows if row >= 0}
    absent = [name for row, name in enumerate(table.images) if row not in used]
    if absent:
        notes.remark(
            f"{table.path.name}: responses for {len(absent):,} missing image(s) ignored, "
            f"first {absent[0]!r:.80}"
        )
    return [f for f, row in zip(found, rows) if row >= 0]


def image_rows(
    name: str,
    out: Path,
    sources: Sequence[SourceFile],
    summaries: Sequence[ShardSummary],
    notes: BuildNotes,
) -> list[ImageRow]:
    """Report what was skipped and changed; return the rows of the images that could be read.

    Parameters
    ----------
    name : str
        Of the source, for messages.
    out : Path
        The project folder.
    sources : sequence of SourceFile
    summaries : sequence of ShardSummary
        Of the shards of `sources`, in order.
    notes : BuildNotes

    Raises
    ------
    InputError
        Fewer than `MIN_IMAGES` images could be read.
    """
    for summary in summaries:
        for id, reason in summary.skipped:
            notes.skip(id, reason)
    notes.remark_kinds([remark for summary in summaries for remark in summary.remarks])
    makers = sorted({summary.maker for summary in summaries})
    if len(makers) > 1:
        notes.remark(f"shards were made by {len(makers)} kinds of workers: {'; '.join(makers):.300}")
    n = sum(len(summary.ids) for summary in summaries)
    if n == 0:
        id, reason = notes.skipped[0]
        raise InputError(
            f"none of the {len(sources):,} images in {name} can be used; the first is {id}: {reason}"
        )
    if n < MIN_IMAGES:
        raise InputError(
            f"{n} usable image{'s' * (n != 1)} in {name}: students need at "
            f"least {MIN_IMAGES}, and some hundreds for a useful result"
        )
    out, by_id = out.resolve(), {source.file.id: source.file for source in sources}
    rows = []
    for summary in summaries:
        for id, (width, height) in zip(summary.ids, summary.sizes.tolist()):
            f = by_id[id]
            where = f.where
            if f.path is not None:
                path = f.path.absolute()
                where = path.relative_to(out).as_posix() if path.is_relative_to(out) else str(path)
            rows.append(ImageRow(id=id, path=where, group=f.group, width=width, height=height))
    return rows


def image_parts(
    T: np.ndarray,
    classes: ClassSet,
    records: Sequence[ImageRecord],
    options: BuildOptions,
    notes: BuildNotes,
) -> Parts:
    """Return the parts of the images; test images of the source are the exam part.

    Parameters
    ----------
    T : (N, C)
        Responses of the teacher, or labels.
    classes : ClassSet
    records : sequence of N ImageRecord
    options : BuildOptions
    notes : BuildNotes
    """
    parts = divide(
        T,
        groups=[f.group for f in records],
        given=[f.split for f in records],
        seed=options.seed,
        exam=options.exam,
    )
    notes.choose(f"parts: {parts.reason}")
    tested = sum(f.split == "test" for f in records)
    if tested:
        use = "the exam" if parts.is_exam.any() else "validation"
        notes.remark(f"{tested:,} test images of the source are used for {use}")
    if parts.absent:
        names = ", ".join(classes.names[c] for c in parts.absent[:12])
        notes.remark(
            f"no exam image shows {names}: an exam leaves out the figures of "
            + ("this class" if len(parts.absent) == 1 else "these classes")
        )
    return parts
