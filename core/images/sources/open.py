"""Choice of the source that a name, a path or an object means."""

import glob
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from inficond.core.errors import InputError, system_reason
from inficond.core.extensions import SOURCES, extensions, load
from inficond.core.file_access import in_home
from inficond.core.images.signatures import UNREAD_SUFFIXES
from inficond.core.images.sources import arrow, coco, yolo
from inficond.core.images.sources.addresses import without_credentials
from inficond.core.images.sources.folder import Folder
from inficond.core.images.sources.hub import HubImages
from inficond.core.images.sources.memory import MemoryImages
from inficond.core.images.sources.record import ImageSet, ImageSource, Note, collect
from inficond.core.images.sources.remote import Remote, RemoteFolder
from inficond.core.images.sources.tables import PathList, PathTable
from inficond.core.images.sources.webdataset import TarImages
from inficond.core.images.walk import ARCHIVE_SUFFIXES, SUFFIXES, is_utf8, walk
from inficond.core.tables import SUFFIXES as TABLE_SUFFIXES
from inficond.core.tables import TableOptions

TAR_SUFFIXES = (".tar", ".tgz")
OTHER_CONTAINERS = {
    **dict.fromkeys((".tfrecord", ".tfrecords"), "a file of TensorFlow records"),
    **dict.fromkeys((".npy", ".npz"), "an array of NumPy"),
    **dict.fromkeys((".h5", ".hdf5"), "an HDF5 file"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm"), "a video"),
    ".mat": "a file of MATLAB",
    ".mdb": "a database of LMDB",
    ".rec": "a file of MXNet records",
}
"""File extension -> what it is, of files that hold pictures in a form that is not read."""
_MAX_EXPANDED, _MAX_BRACES = 100_000, 20


def open_source(
    source: Path | str | Iterable[Any],
    note: Note | None = None,
    options: TableOptions | None = None,
    downloads: Path | None = None,
) -> ImageSet:
    """Find the images of a source.

    Parameters
    ----------
    source : Path, str or iterable
        A folder; a text file or table of paths; Parquet or Arrow files with images; WebDataset archives
        (``{000..099}.tar``, globs); COCO or YOLO annotations; ``hf:`` and the id of a hub data set; ``NAME:``
        and an address for a source of another package (`inficond.core.extensions`); a URL; or an iterable of
        paths, Pillow images, arrays or bytes.
    note : callable, optional
        Called with every image and file that is left out, and the reason.
    options : TableOptions, optional
        How tables and text files are read, and which columns hold images and labels.
    downloads : Path, optional
        Where single files at URLs are kept; a temporary folder by default.

    Returns
    -------
    ImageSet

    Raises
    ------
    InputError
        The source is missing, unreadable, or holds no image.

    Examples
    --------
    >>> from PIL import Image
    >>> from inficond.core.images import open_source
    >>> images = open_source([(Image.new("RGB", (64, 48)), "boat"), (Image.new("RGB", (64, 48)), "bird")])
    >>> len(images.records), images.classes
    (2, ('bird', 'boat'))
    """
    name = "the given images"
    if isinstance(source, str | os.PathLike):
        name = without_credentials(os.fspath(source))
    opened = choose(source, options or TableOptions(), downloads)
    return collect(opened, note or (lambda id, reason: None), name)


def choose(source: Any, options: TableOptions, downloads: Path | None = None) -> ImageSource:
    """Return the source that a name, a path or an object means; see `open_source`."""
    if not isinstance(source, str | os.PathLike):
        if not isinstance(source, Iterable) or isinstance(source, Mapping | bytes | bytearray):
            raise InputError(f"images must be a path, a name or an iterable, not {type(source).__name__}")
        return MemoryImages(source)
    text = os.fspath(source)
    if not text.strip():
        raise InputError("the path of the images is empty; give a folder, a list of paths or a table")
    if text.startswith("hf:") and not text.startswith("hf://"):
        return HubImages(text[3:], options)
    scheme, colon, address = text.partition(":")
    if colon and not address.startswith("//") and scheme in (added := extensions(SOURCES)):
        return _added(load(added[scheme]), scheme, address, options)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
        text = text if os.path.exists(text) else unquote(text)
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]+://", text):
        return _remote(text, options, downloads)
    if not is_utf8(text):
        raise InputError(f"the path {text} is not UTF-8; rename the folder or file")
    path = in_home(text)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        expanded = expand(text)
        if expanded:
            return _several(text, expanded, options)
        said = system_reason(error) if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot read {text}: {said}{_advice(text)}") from error
    return _folder(path, options) if stat.S_ISDIR(mode) else _file(path, options)


def _added(make: Callable[..., Any], name: str, address: str, options: TableOptions) -> ImageSource:
    """Return the source of an extension."""
    try:
        source = make(address, options)
    except InputError:
        raise
    except Exception as error:  # the code of another package may raise anything
        raise InputError(f"the extension {name!r} failed ({type(error).__name__}: {error})") from error
    if isinstance(source, ImageSource):
        return source
    raise InputError(
        f"the extension {name!r} returned {type(source).__name__}, not a source of images: it lacks "
        "`records`, `notes` or `rule`"
    )


def _advice(text: str) -> str:
    if re.fullmatch(r"[\w.\-]+/[\w.\-]+", text):
        return f"; for a data set of the Hugging Face hub write hf:{text}"
    bare = text.strip().strip("\"'").strip()
    if bare != text:
        return "; remove the quotes, spaces and line breaks around it"
    if glob.has_magic(text):
        return "; the pattern matches no file"
    if re.match(r"[A-Za-z]:\\", text) and os.sep == "/":
        return "; it is a path of Windows: write it as this system does"
    return "; check its spelling, and give an absolute path if the command runs in another folder"


def expand(text: str) -> list[Path]:
    """Return the paths that a pattern with braces or wildcards means.

    Parameters
    ----------
    text : str
        ``{000..099}`` counts, ``{a,b}`` lists, ``*``, ``?`` and ``[…]`` match existing files.

    Returns
    -------
    list of Path
        Empty where nothing matches or the text is not a pattern.
    """
    names: list[Path] = []
    if text.count("{") > _MAX_BRACES:
        raise InputError(f"{text:.80}… has more than {_MAX_BRACES} braces")
    for number, pattern in enumerate(_braces(text)):
        if number >= _MAX_EXPANDED:
            raise InputError(f"{text} means more than {_MAX_EXPANDED:,} files")
        if glob.has_magic(pattern):
            names += [Path(name) for name in sorted(glob.glob(os.path.expanduser(pattern), recursive=True))]
        elif pattern != text:
            names.append(in_home(pattern))
    return names if any(os.path.exists(name) for name in names) else []


def _braces(text: str) -> Iterator[str]:
    found = re.search(r"\{([^{}]*)\}", text)
    if found is None:
        yield text
        return
    counted = re.fullmatch(r"(\d{1,18})\.\.(\d{1,18})", found[1])
    if counted:
        first, last = int(counted[1]), int(counted[2])
        step = 1 if last >= first else -1
        inner: Iterable[str] = (f"{n:0{len(counted[1])}d}" for n in range(first, last + step, step))
    else:
        inner = found[1].split(",")
    for part in inner:
        yield from _braces(text[: found.start()] + part + text[found.end() :])


def _several(text: str, paths: Sequence[Path], options: TableOptions) -> ImageSource:
    kinds = {_kind(path) for path in paths}
    if kinds == {"tar"}:
        return TarImages(paths)
    if kinds == {"arrow"}:
        return arrow.ArrowImages([path for path in paths if path.exists()], options)
    if kinds == {"image"}:
        return MemoryImages(list(paths))
    raise InputError(
        f"{text} matches files of several kinds: use a pattern for tar archives, Parquet or images"
    )


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in TAR_SUFFIXES:
        return "tar"
    return "arrow" if suffix in arrow.SUFFIXES else "image" if suffix in SUFFIXES else "other"


def holds_images(path: Path) -> bool:
    """Return whether the name of a file ends like a list, a table or an archive of images."""
    suffix = path.suffix.lower()
    lists = (".txt", ".lst", ".json", *TABLE_SUFFIXES, *TAR_SUFFIXES, *ARCHIVE_SUFFIXES)
    return suffix in lists or suffix in arrow.SUFFIXES


def _file(path: Path, options: TableOptions) -> ImageSource:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        raise InputError(f"{path} is one image: give the folder that holds the images, or a list of paths")
    if suffix in UNREAD_SUFFIXES:
        raise InputError(
            f"{path} is {UNREAD_SUFFIXES[suffix]}: convert it to JPEG or PNG, and give the folder of images"
        )
    if suffix in TAR_SUFFIXES or path.name.lower().endswith(".tar.gz"):
        return TarImages([path])
    if suffix in ARCHIVE_SUFFIXES:
        raise InputError(f"{path} is an archive: unpack it and give the folder")
    if suffix in arrow.SUFFIXES:
        return _parquet(path, options)
    if suffix == ".json":
        return coco.CocoImages([path]) if coco.is_coco_file(path) else PathTable(path, options)
    if suffix in (".yaml", ".yml"):
        return yolo.YoloImages(path.parent, path)
    if suffix in TABLE_SUFFIXES:
        return PathTable(path, options)
    if suffix in OTHER_CONTAINERS:
        raise InputError(
            f"{path} is {OTHER_CONTAINERS[suffix]}: write its pictures as JPEG or PNG "
            "files, and give their folder"
        )
    return PathList(path, options)


def _parquet(path: Path, options: TableOptions) -> ImageSource:
    """Return the images inside a Parquet or Arrow file, or named by it."""
    try:
        schema = arrow.read_schema(path)
    except Exception:  # PathTable explains what is wrong
        return PathTable(path, options)
    if arrow.picture_column(path, schema, options) is not None:
        return arrow.ArrowImages([path], options)
    return PathTable(path, options)


def _folder(path: Path, options: TableOptions) -> ImageSource:
    config = yolo.config_file(path)
    if config is not None:
        return yolo.YoloImages(path, config)
    annotations = coco.annotation_files(path)
    if annotations:
        return coco.CocoImages(annotations, path.resolve())
    if yolo.is_yolo_folder(path):
        return yolo.YoloImages(path)
    try:
        packed = sorted([*path.glob("*.*"), *path.glob("*/*.*")])
    except OSError:
        packed = []
    for kind in ("tar", "arrow"):
        files = [file for file in packed if _kind(file) == kind and file.is_file()]
        if files and not any(True for _ in walk(path, lambda name, reason: None)):
            return TarImages(files) if kind == "tar" else arrow.ArrowImages(files, options)
    return Folder(path, options)


def _remote(url: str, options: TableOptions, downloads: Path | None) -> ImageSource:
    import tempfile

    remote = Remote(url)
    if remote.is_folder():
        return RemoteFolder(remote)
    folder = downloads or Path(tempfile.mkdtemp(prefix="inficond-"))
    return _file(remote.download(folder), options)
