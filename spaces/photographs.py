"""The photographs of a Space: a data set of the Hugging Face hub whose licence lets a Space show them.

`add` downloads the data set, builds a project from it in the folder of a Space, and copies the list of
photographers. A copy in the hub's cache is used where the hub cannot be reached.
"""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PhotoSet:
    """A data set of the hub, and what its licence asks for.

    Parameters
    ----------
    name : str
        Its id on the hub.
    revision : str
        Revision of the Parquet files.
    files : tuple of str
        Patterns of the Parquet files.
    licence : str
        As its card states it; another one on the hub is refused.
    credits : str
        File of the data set that names the author of each photograph.
    text : str
        Sentence for visitors; `{images}` and `{classes}` are filled in.
    """

    name: str
    revision: str
    files: tuple[str, ...]
    licence: str
    credits: str
    text: str


SNACKS = PhotoSet(
    "Matthijs/snacks",
    "refs/convert/parquet",
    ("default/test/*.parquet", "default/validation/*.parquet"),
    "cc-by-4.0",
    "credits.csv",
    "The pictures are {images:,} photographs of {classes} kinds of snacks from the data set\n"
    "[Matthijs/snacks](https://huggingface.co/datasets/Matthijs/snacks), which selected and resized them\n"
    "from Open Images. They are licensed under CC BY 2.0; `CREDITS.csv` names their authors and sources.",
)
"""Its parts `test` and `validation`: 1,907 photographs. The part `train` would make a start slower."""
PROJECT = "photographs"
"""Folder of the project in the folder of a Space."""


class Unavailable(Exception):
    """The photographs cannot be used; the message says why, in one line."""


def add(folder: Path, photos: PhotoSet = SNACKS) -> str:
    """Build the project of the photographs in a folder of a Space.

    Parameters
    ----------
    folder : Path
        The folder of a Space. Nothing is left in it if this fails.
    photos : PhotoSet

    Returns
    -------
    str
        Text about the pictures for the README of the Space.

    Raises
    ------
    Unavailable
        The hub cannot be reached, or the data set cannot be read or has another licence.
    """
    from inficond.core import distill
    from inficond.core.errors import InputError

    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        credits = download(photos, scratch / "photos")
        try:
            project = distill(scratch / "photos", out=scratch / PROJECT)
        except InputError as error:
            raise Unavailable(f"{photos.name} cannot be used: {error}") from error
        ignored = shutil.ignore_patterns("history.sqlite*")
        shutil.copytree(scratch / PROJECT, folder / PROJECT, ignore=ignored)
        shutil.copy(credits, folder / "CREDITS.csv")
    return photos.text.format(images=len(project), classes=len(project.classes))


def download(photos: PhotoSet, out: Path) -> Path:
    """Write the Parquet files of a data set into a new folder; return the path of its list of authors."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    try:
        HfApi().dataset_info(photos.name, timeout=10)
        cached = False
    except Exception:  # of the library's HTTP client, which changes between its versions
        cached = True  # the download would repeat each request for half a minute
    try:
        card = hf_hub_download(photos.name, "README.md", repo_type="dataset", local_files_only=cached)
        credits = hf_hub_download(photos.name, photos.credits, repo_type="dataset", local_files_only=cached)
        snapshot = snapshot_download(
            photos.name, repo_type="dataset", revision=photos.revision, allow_patterns=list(photos.files),
            local_files_only=cached,
        )  # fmt: skip
    except Exception as error:
        reason = "the hub cannot be reached" if cached else " ".join(str(error).split())[:200]
        raise Unavailable(f"{photos.name}: {reason}") from error
    stated = re.search(r"^license: *\n?[- ]*(\S+)$", Path(card).read_text(encoding="utf-8"), re.MULTILINE)
    if stated is None or stated[1] != photos.licence:
        found = stated[1] if stated else "no licence"
        raise Unavailable(f"{photos.name}: its card states {found}, not {photos.licence}")
    out.mkdir()
    files = sorted(file for pattern in photos.files for file in Path(snapshot).glob(pattern))
    for number, file in enumerate(files):
        shutil.copy(file, out / f"{number}.parquet")
    if not files:
        raise Unavailable(f"{photos.name}: no files {' and '.join(photos.files)} in {photos.revision}")
    return Path(credits)
