"""The public Python interface to a project: create it, open it, work on it in sessions."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inficond.core.errors import InputError
from inficond.core.progress import Progress
from inficond.core.project.folder import ProjectFolder

if TYPE_CHECKING:
    from inficond.core.sessions.project_context import ProjectContext
    from inficond.core.sessions.session import Session
    from inficond.core.students import Students


class Project(ProjectFolder):
    """A project folder together with the sessions that work on it.

    Parameters
    ----------
    path : Path
        The folder; see `ProjectFolder` for the attributes.
    """

    @classmethod
    def create(
        cls,
        images: Path | str,
        out: Path | str,
        teacher: str = "auto",
        encoder: str = "embedded",
        concepts: Path | str | None = None,
        classes: Path | str | Mapping[str, list[str]] | None = None,
        labels: Path | str | None = None,
        lam: float | None = None,
        link: str | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> "Project":
        """Build a project from images and open it.

        An interrupted build resumes when this is called again with the same arguments. See
        `inficond.core.pipeline.build.BuildOptions` for the arguments and for further `options`.
        """
        from inficond.core.pipeline.build import BuildOptions, build

        given = BuildOptions(
            images=images,
            out=Path(out),
            teacher=teacher,
            encoder=encoder,
            concepts=concepts,
            classes=classes,
            labels=labels,
            lam=lam,
            link=link,
            **options,
        )
        return cls(build(given, progress))

    @cached_property
    def context(self) -> "ProjectContext":
        """The workspace, history file and models that all sessions on this project share."""
        from inficond.core.sessions.project_context import ProjectContext

        return ProjectContext(self)

    def session(self, token: str | None = None) -> "Session":
        """Return a new session, isolated from all others.

        Parameters
        ----------
        token : str, optional
            ``main``: the project's own history. The token of a saved session resumes it. None: a new
            session that starts at the current node of the project's own history.
        """
        from inficond.core.sessions.session import Session

        return Session(self.context, token)

    def student(self) -> "Students":
        """Return the students at the current node of the project's own history."""
        return self.session().students

    def verify(self) -> list[str]:
        """Check every byte of the project, thumbnails and history included.

        Returns
        -------
        list of str
            One line for each damaged or missing file; empty if there is none.
        """
        faults = super().verify()
        try:
            self.session("main")  # compares the history with the project
            self.context.history_store.check()
        except InputError as error:
            faults.append(str(error))
        return faults
