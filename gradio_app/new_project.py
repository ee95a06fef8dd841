"""The form for a new project: its images, teacher and options, checked before anything is built."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError, one_line
from inficond.core.file_access import in_home
from inficond.core.project.files import OWN_ENCODER, OWN_TEACHER
from inficond.core.teachers.text2concept import TEXT2CONCEPT
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.file_names import file_stem, safe_file_name
from inficond.gradio_app.image_source import SourcePayload, describe_source
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.visitor import Visitor

if TYPE_CHECKING:
    from inficond.core.pipeline.build import BuildOptions

RESPONSE_SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".onnx")
"""Suffixes of files that may be a teacher: tables of responses and models."""
TEACHERS = ("auto", "probe", "labels", "zero-shot", "embedded")
"""Teachers that every visitor may choose."""
MAX_WORDS = 2000
MAX_DEPTH = 4
"""Folders of an upload's name that are kept, with the file name."""
MAX_FILES = 2000


class OriginPayload(TypedDict):
    """Inputs of a project's build as fields of the form for a new project."""

    folder: str
    name: str
    teacher: str
    encoder: str
    classes: str


def project_options(
    request: Mapping[str, Any], token: str, files: PageFiles, owner_key: OwnerKey, source: str = ""
) -> "tuple[BuildOptions, Path | None]":
    """Return the options of a new project from the fields of the page's form.

    Parameters
    ----------
    request : mapping
        `folder` or `files` (uploads, whose names may have folders), `name`, `labels` (a table), `teacher`,
        `encoder`, `classes` and `words` (texts with one in each line), `link`, `nec`, `owner_key`.
    token : str
        Of the visitor.
    files : PageFiles
    owner_key : OwnerKey
        Checked if the request names a folder or a model of this machine.
    source : str
        The list of images, if it is one, that the visitor's project was built from. No other file is accepted
        as a list, since the notes of a build quote the lines of a list.

    Returns
    -------
    options : BuildOptions
    temporary : Path or None
        The folder of the project if it is deleted when the visit ends; None for the machine's owner, whose
        projects stay in the cache folder.

    Raises
    ------
    InputError
        There are no images, or the request names a path without the owner key.
    """
    from inficond.core.models.cache_directory import cache_folder
    from inficond.core.pipeline.build import BuildOptions

    request = {key: _encodable(text) for key, text in request.items()}
    name = one_line(request.get("name") or "", 80)
    folder, labels = str(request.get("folder") or ""), str(request.get("labels") or "")
    teacher, encoder = str(request.get("teacher") or "auto"), str(request.get("encoder") or "embedded")
    if folder or labels or teacher not in TEACHERS or encoder != "embedded":
        owner_key.check(request.get("owner_key"))
        _check_teacher(teacher)
        _check_model_file("encoder", encoder, ())
    fit = _fit_options(request)
    is_owner = owner_key.matches(request.get("owner_key"))
    home = cache_folder("projects") if is_owner else files.projects
    home.mkdir(parents=True, exist_ok=True)
    if folder:
        images = _image_folder(folder, source)
        asked = f"{images.resolve()}\0{request.get('classes')}\0{teacher}\0{encoder}"
        if labels or fit:
            asked += f"\0{labels}\0{fit}"
        digest = hashlib.sha256(asked.encode()).hexdigest()[:8]
        out = home / f"{file_stem(name or images.name)}-{digest}"
    else:
        uploads = _uploads(request.get("files"), token, files)
        chosen = (
            request.get("classes")
            if teacher == "auto" and not fit
            else (request.get("classes"), teacher, fit)
        )
        digest = _uploads_digest(uploads, token, chosen)
        out = home / f"{file_stem(name or 'uploads')}-{digest}"
        if not is_owner:
            out = home / digest / out.name
            files.add_project_folder(out.parent, [path for path, _ in uploads], token)
        images = _gather(uploads, files, out.with_name(f"{out.name}-images"))
    options = BuildOptions(
        images=images,
        out=out,
        teacher=teacher,
        encoder=encoder,
        classes=parse_class_lines(request.get("classes")),
        labels=labels or None,
        name=name or None,
        **fit,
    )
    return options, None if is_owner or folder else out.parent


def examine_source(request: Mapping[str, Any], owner_key: OwnerKey) -> SourcePayload:
    """Return the number of images and the classes of a folder that the owner of the machine named.

    Raises
    ------
    InputError
        The request lacks the owner key, or the folder or the table of labels cannot be used.
    """
    owner_key.check(request.get("owner_key"))
    labels = str(_encodable(request.get("labels")) or "")
    images = _image_folder(str(_encodable(request.get("folder")) or ""), "")
    return describe_source(images, in_home(labels) if labels else None)


def _fit_options(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of words and fit that a form states; those left open are missing.

    Raises
    ------
    InputError
        The number of words is not a number.
    """
    found: dict[str, Any] = {}
    words = request.get("words")
    if isinstance(words, str) and words.strip():
        found["concepts"] = [line.strip() for line in words.splitlines() if line.strip()][:MAX_WORDS]
    if request.get("link") in ("softmax", "sigmoid"):
        found["link"] = request["link"]
    nec = request.get("nec")
    if nec not in (None, ""):
        try:
            found["nec"] = float(str(nec))
        except ValueError:
            raise InputError(f"words per class must be a number, not {str(nec)[:40]!r}") from None
    return found


def _check_teacher(teacher: str) -> None:
    """Refuse a teacher that is Python code, which no page may run, or a file of another kind.

    Raises
    ------
    InputError
        `teacher` names a Python object, or a file that cannot be a teacher.
    """
    from inficond.core.pipeline.user_teachers import teacher_kind

    if teacher_kind(teacher) == "python":
        raise InputError(f"teacher {teacher}: name a Python object on the command line, with --teacher")
    _check_model_file("teacher", teacher, RESPONSE_SUFFIXES)


def project_origin(visitor: Visitor) -> OriginPayload | None:
    """Return what a project was built from; None if its images are not on this machine any more.

    The result names paths, so it is only for holders of the owner key.
    """
    config = visitor.project.config
    encoder, teacher = config.get("encoder") or {}, config.get("teacher") or {}
    spec = encoder.get("spec")
    images = str((config.get("source") or {}).get("images") or "")
    if not images:
        return None
    try:
        _image_folder(images, images)
    except InputError:
        return None
    labels: Mapping[str, list[str]] = config.get("class_labels") or {}
    lines = [f"{name}: {', '.join(labels.get(name) or [name])}" for name in visitor.project.classes]
    return {
        "folder": images,
        "name": f"{visitor.project.name}, other classes"[:80],
        "teacher": "auto" if teacher.get("spec") in (None, OWN_TEACHER) else str(teacher["spec"]),
        "encoder": TEXT2CONCEPT if spec == OWN_ENCODER else str(spec or "embedded"),
        "classes": "\n".join(lines),
    }


def _encodable(value: Any) -> Any:
    """Replace lone surrogates in a text, which UTF-8 cannot encode; return other values unchanged."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _image_folder(folder: str, source: str) -> Path:
    """Return the folder that the owner of the machine named, or the list of images `source`.

    Raises
    ------
    InputError
        It does not exist, or is another file.
    """
    try:
        images = in_home(folder)
        exists, is_folder = images.exists(), images.is_dir()
    except (OSError, ValueError):  # the name is too long
        exists = is_folder = False
    if not exists:
        raise InputError(f"{folder} does not exist: name a folder of photographs on this machine")
    if not is_folder and folder != source:
        raise InputError(
            f"{folder} is not a folder; `inficond distill` builds a project from a list of images"
        )
    return images


def _check_model_file(name: str, spec: str, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that cannot be a model or a table of responses by its name: errors may quote its content.

    Raises
    ------
    InputError
        `spec` names an existing file with another suffix.
    """
    try:
        is_file = in_home(spec).is_file()
    except (OSError, ValueError):
        return
    if is_file and not spec.lower().endswith(suffixes):
        accepted = f" or a file ending in {', '.join(suffixes)}" if suffixes else ""
        raise InputError(f"{name} {spec}: name a model folder{accepted}")


def _uploads(entries: Any, token: str, files: PageFiles) -> list[tuple[Path, str]]:
    """Return uploads with the names that they get in the image folder, each name once."""
    if not isinstance(entries, list) or not entries:
        raise InputError("choose images to upload, or name a folder")
    if len(entries) > MAX_FILES:
        raise InputError(f"{len(entries)} images are too many: at most {MAX_FILES} can be uploaded at once")
    found: dict[Path, str] = {}
    taken: dict[str, str] = {}
    for i, entry in enumerate(e for e in entries if isinstance(e, Mapping)):
        path = files.find_upload(entry.get("path"), token)
        if path in found:
            continue
        name = _relative_name(str(entry.get("name") or path.name), i, taken)
        found[path] = name
    return list(found.items())


def _relative_name(name: str, number: int, taken: dict[str, str]) -> str:
    """Return a path below the image folder for an upload: its last folders and its file name, made safe.

    Parameters
    ----------
    name : str
        As the browser sent it.
    number : int
        Of the upload, which makes a repeated name unique.
    taken : dict
        Paths of earlier uploads in lower case -> ``file`` or ``folder``; extended.
    """
    *folders, last = name.replace("\\", "/").split("/")[-MAX_DEPTH:]
    parts = [safe_file_name(folder) for folder in folders if folder]
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    if any(taken.get(folder.casefold()) == "file" for folder in above):
        parts, above = [], []
    found = "/".join([*parts, safe_file_name(last)])
    while found.casefold() in taken:
        found = "/".join([*parts, f"{number}-{found.rpartition('/')[2]}"])
    taken.update({folder.casefold(): "folder" for folder in above})
    taken[found.casefold()] = "file"
    return found


def _uploads_digest(uploads: list[tuple[Path, str]], token: str, classes: Any) -> str:
    """Return a digest of visitor, images and classes, so that the same request resumes a cancelled one."""
    digest = hashlib.sha256(f"{token}\0{classes}\0".encode())
    for path, name in sorted(uploads, key=lambda f: f[1]):
        digest.update(f"{name}\0{sha256_of(path)}\0".encode())
    return digest.hexdigest()[:16]


def _gather(uploads: list[tuple[Path, str]], files: PageFiles, folder: Path) -> Path:
    """Move uploads to the image folder of a project; an existing folder holds the same images."""
    if not folder.is_dir():
        part = files.new_file("images")
        part.mkdir()
        for path, name in uploads:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, part / name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(part, folder)
        part.parent.rmdir()
    for path, _ in uploads:
        files.delete_upload(path)
    return folder


def parse_class_lines(text: Any) -> dict[str, list[str]] | None:
    """Parse one class per line, ``boat: canoe, gondola``; a line without a colon names one teacher label.

    Returns
    -------
    dict or None
        Class to teacher labels; None for an empty text.
    """
    if not isinstance(text, str) or not text.strip():
        return None
    classes: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, labels = line.partition(":")
        if name.strip():
            classes[name.strip()] = [x.strip() for x in labels.split(",") if x.strip()] or [name.strip()]
    return classes or None
