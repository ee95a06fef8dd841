"""Rewriting a project folder in the current format."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError
from inficond.core.progress import Progress, Silent
from inficond.core.project import files
from inficond.core.project.folder import ProjectFolder
from inficond.core.project.thumbnails import ThumbnailWriter


def upgrade(folder: Path | str, progress: Progress | None = None) -> str:
    """Pack the thumbnails of a project of format 1; nothing else of the project changes.

    The packs are written beside the old files, `project.json` is replaced in one step, and only then are the
    old files deleted. An interrupted upgrade leaves a valid project and can be repeated.

    Parameters
    ----------
    folder : Path
    progress : Progress, optional

    Returns
    -------
    str
        One line: what was done.

    Raises
    ------
    InputError
        There is no project, a thumbnail is damaged, or the folder cannot be written.
    """
    project = ProjectFolder.open(folder)
    root, progress = project.path, progress or Silent()
    version = int(project.config["format"])
    if files.THUMBNAIL_ENDS in project.config["files"]:
        _delete_single_files(root)
        return f"{root} already has format {version}"
    if any(project.image_path(row).is_relative_to(root / files.THUMBNAILS) for row in range(len(project))):
        return f"{root} keeps format {version}: its thumbnails are its original images"
    n = int(project.config["counts"]["images"])
    progress.start("packing thumbnails", n)

    def thumbnails() -> Iterator[bytes]:
        for thumbnail in project.stored_thumbnails():
            yield thumbnail
            progress.advance(1)

    writer = ThumbnailWriter(root, n)
    try:
        writer.append(thumbnails(), 0)
        writer.close()
    except ValueError as error:
        raise InputError(f"{root}: {error}; restore it from a copy") from error
    finally:
        writer.discard()
    document: dict[str, Any] = {**project.config, "format": files.FORMAT}
    document["files"] = {**project.config["files"], **writer.entries}
    files.write_json(root / files.PROJECT, files.with_checksum(document))
    _delete_single_files(root)
    packs = len(writer.entries) - 1
    return f"{root} has format {files.FORMAT} now: {n:,} thumbnails in {packs:,} file(s)"


def _delete_single_files(root: Path) -> None:
    """Delete the thumbnails of format 1, which have a folder for each thousand."""
    for folder in (root / files.THUMBNAILS).glob("[0-9]*"):
        if not folder.is_dir() or folder.is_symlink():
            continue
        for kind in files.THUMBNAIL_KINDS.values():
            for file in folder.glob(f"*.{kind}"):
                file.unlink(missing_ok=True)
        with suppress(OSError):  # other files stay
            folder.rmdir()
