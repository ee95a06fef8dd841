"""The public Python interface: distil a project, open it, work on it in sessions."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inficond.core.errors import InputError
from inficond.core.file_access import in_home
from inficond.core.html_table import html_table
from inficond.core.progress import Bars, Progress
from inficond.core.project.folder import ProjectFolder

if TYPE_CHECKING:
    import pyarrow as pa

    from inficond.core.models.tables import Table
    from inficond.core.sessions.project_context import ProjectContext
    from inficond.core.sessions.session import Session
    from inficond.core.students import Students


class Project(ProjectFolder):
    """A project folder together with the sessions that work on it.

    Parameters
    ----------
    path : Path
        The folder; see `ProjectFolder` for the attributes.

    Examples
    --------
    The examples of the methods use this project.

    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> project = Project.open(demo_project())
    >>> len(project), project.classes[:3], project.X.shape
    (1200, ['water bird', 'land bird', 'cattle'], (1200, 163))
    """

    @classmethod
    def create(
        cls,
        images: Path | str | Iterable[Any],
        out: Path | str,
        teacher: Any = "auto",
        encoder: str = "embedded",
        concepts: Path | str | Sequence[str] | None = None,
        classes: Path | str | Mapping[str, list[str]] | None = None,
        labels: "Path | str | Table | None" = None,
        lam: float | None = None,
        link: str | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> "Project":
        """Build a project from images and open it.

        An interrupted build resumes when this is called again with the same arguments. See
        `inficond.core.pipeline.build.BuildOptions` for the arguments and for further `options`.

        Examples
        --------
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> generator = np.random.default_rng(0)
        >>> for name, level in (("day", 180), ("night", 0)):  # class folders
        ...     Path("photos", name).mkdir(parents=True)
        ...     for n in range(6):
        ...         pixels = generator.integers(level, level + 60, (64, 64, 3), np.uint8)
        ...         Image.fromarray(pixels).save(f"photos/{name}/{n}.png")
        >>> made = Project.create("photos", "made", concepts=["snow", "night"], baseline=False)
        >>> made.classes, len(made)
        (['day', 'night'], 12)
        """
        from inficond.core.pipeline.build import BuildOptions, build

        given = BuildOptions(
            images=images,
            out=in_home(out),
            teacher=_in_home(teacher),
            encoder=_in_home(encoder),
            concepts=_in_home(concepts),
            classes=_in_home(classes),
            labels=_in_home(labels),
            lam=lam,
            link=link,
            **options,
        )
        return cls(build(given, progress))

    @cached_property
    def context(self) -> "ProjectContext":
        """The workspace, history file and models that all sessions on this project share.

        Examples
        --------
        >>> project.context.workspace.n_images
        1200
        >>> project.context.encoder.grid == project.grid
        True
        """
        from inficond.core.sessions.project_context import ProjectContext

        return ProjectContext(self)

    def session(self, token: str | None = None) -> "Session":
        """Return a new session, isolated from all others.

        Parameters
        ----------
        token : str, optional
            ``main``: the project's own history. The token of a saved session resumes it. None: a new
            session that starts at the current node of the project's own history.

        Examples
        --------
        >>> session = project.session()  # in memory
        >>> session.persistent, session.can_undo
        (False, False)
        """
        from inficond.core.sessions.session import Session

        return Session(self.context, token)

    def table(self) -> "pa.Table":
        """Return the answers of teacher and students on all images as an Arrow table.

        The students are those at the current node of the project's own history; see `results_table` for the
        columns.

        Examples
        --------
        >>> table = project.table()
        >>> table.num_rows, table.column_names[:4]
        (1200, ['image', 'validation', 'teacher water bird', 'student water bird'])
        """
        return self.session().table()

    def _repr_html_(self) -> str:
        """Show the quality of the students in a notebook, and what was chosen and why."""
        session = self.session()
        rows = []
        for name in self.classes:
            m = session.metrics(name)
            rows.append((name, m.nec, m.ap, m.f1, m.agreement))
        held = len(self.validation_rows)
        title = f"{self.name}: {len(self):,} images ({held:,} held out), {len(self.concepts)} concepts"
        head = ("class", "concepts", "fidelity AP", "F1", "agreement")
        return html_table(title, head, rows, " · ".join(self.config.get("choices", [])))

    def student(self) -> "Students":
        """Return the students at the current node of the project's own history.

        Examples
        --------
        >>> students = project.student()
        >>> students.predict(project.X[:5]).shape
        (5, 10)
        """
        return self.session().students

    def verify(self) -> list[str]:
        """Check every byte of the project, thumbnails and history included.

        Returns
        -------
        list of str
            One line for each damaged or missing file; empty if there is none.

        Examples
        --------
        >>> project.verify()
        []
        """
        faults = super().verify()
        try:
            self.session("main")  # compares the history with the project
            self.context.history_store.check()
        except InputError as error:
            faults.append(str(error))
        return faults


def _in_home(value: Any) -> Any:
    """Expand a leading ``~``, which a shell has not seen; other values are returned unchanged."""
    return type(value)(in_home(value)) if isinstance(value, str | Path) and str(value)[:1] == "~" else value


def distill(
    images: Path | str | Iterable[Any],
    labels: "Path | str | Mapping[str, Any] | Sequence[Any] | None" = None,
    teacher: Any = "auto",
    words: int | Path | str | Sequence[str] | None = None,
    *,
    out: Path | str | None = None,
    classes: Path | str | Mapping[str, list[str]] | Sequence[str] | None = None,
    encoder: str = "embedded",
    progress: Progress | None = None,
    **options: Any,
) -> Project:
    """Build a project from images: encode them, ask the teacher, fit the students.

    Parameters
    ----------
    images : Path, str or iterable
        A folder, a table, a data set (see docs/data.md), or an iterable of paths, Pillow images or arrays.
    labels : path, mapping or sequence, optional
        A table; a mapping of image id to the name or names of classes; or one name, or list of names, for
        each image of a sequence. By default the labels of the source, such as class folders.
    teacher : optional
        A name or file as for ``--teacher``, or a Python object: a callable from a list of Pillow images to
        (n, C) numbers, a pipeline of scikit-learn or of transformers.
    words : path, sequence of str or int, optional
        The concepts; by default, or where a number limits them, built-in words.
    out : Path, optional
        The project folder; by default a temporary one, deleted when Python ends.
    classes : optional
        See `BuildOptions`; a sequence of names means one class for each label.
    encoder : str
        ``embedded``, a model folder or a hub id.
    progress : Progress, optional
        Bars of `tqdm.auto` and printed notes by default.
    **options
        Further options of `BuildOptions`, for example ``nec=10`` or ``link="softmax"``.

    Returns
    -------
    Project

    Raises
    ------
    InputError
        Bad input.

    Examples
    --------
    >>> import numpy as np
    >>> from PIL import Image
    >>> from inficond.core import distill
    >>> from inficond.core.progress import Silent
    >>> noise = np.random.default_rng(0).integers(0, 60, (12, 64, 64, 3), np.uint8)
    >>> pictures = [Image.fromarray(one + np.uint8(180 * (n % 2))) for n, one in enumerate(noise)]
    >>> def teacher(pictures):  # bright and dark
    ...     light = np.array([np.asarray(picture).mean() / 255 for picture in pictures])
    ...     return np.stack([light, 1 - light], axis=1)
    >>> project = distill(
    ...     pictures, ["dark", "bright"] * 6, teacher, ["snow", "night"], baseline=False, progress=Silent()
    ... )
    >>> len(project), project.classes, project.concepts
    (12, ['bright', 'dark'], ['snow', 'night'])
    """
    if out is None:
        folder = tempfile.TemporaryDirectory(prefix="inficond-")
        _TEMPORARY.append(folder)
        out = Path(folder.name) / "project"
    if classes is not None and not isinstance(classes, str | Path | Mapping):
        classes = {name: [name] for name in classes}
    if labels is not None and not isinstance(labels, str | Path | Mapping):
        images, labels = _labelled(images, labels), None
    if isinstance(words, int):
        options, words = {"words": words, **options}, None
    table = _label_table(labels) if isinstance(labels, Mapping) else labels
    bars = Bars() if progress is None else None
    try:
        return Project.create(
            images,
            out,
            teacher=teacher,
            encoder=encoder,
            concepts=words,
            classes=classes,
            labels=table,
            progress=progress or bars,
            **options,
        )
    finally:
        if bars is not None:
            bars.clear()


_TEMPORARY: list[tempfile.TemporaryDirectory[str]] = []
"""Folders of projects without `out`; deleted when Python ends."""


def _labelled(images: Any, labels: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Return pairs of an image and its labels."""
    if isinstance(images, str | Path):
        raise InputError(
            "labels in order need images in order: give a list of images, or a mapping of image id to label"
        )
    images, labels = list(images), list(labels)
    if len(images) != len(labels):
        raise InputError(f"{len(labels)} labels for {len(images)} images: give one for each")
    return list(zip(images, labels))


def _label_table(labels: Mapping[str, Any]) -> "Table":
    """Return labels by image id as a table."""
    import numpy as np

    from inficond.core.models.tables import Table

    if not labels:
        raise InputError("the mapping of labels is empty")
    held = [{value} if isinstance(value, str) else set(map(str, value)) for value in labels.values()]
    names = sorted(set().union(*held))
    values = np.array([[float(name in one) for name in names] for one in held], np.float32)
    return Table(Path("labels"), tuple(map(str, labels)), tuple(names), values)
