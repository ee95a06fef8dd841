"""Actions of the page beyond showing results: exports, the report, own images and new projects."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError, one_line, unknown
from inficond.core.images.crop import centre_crop
from inficond.core.progress import Progress
from inficond.core.project.files import OWN_TEACHER
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.image_source import SourcePayload, describe_source
from inficond.gradio_app.page_files import EXPORT_SECONDS, PUBLIC, PageFiles, safe_file_name
from inficond.gradio_app.presenters import ContributionBar, contribution_bars, format_number
from inficond.gradio_app.serialization import to_plain
from inficond.gradio_app.visitor import Visitor

if TYPE_CHECKING:
    import numpy as np

    from inficond.core.pipeline.build import BuildOptions

EXPORT_KINDS = ("safetensors", "onnx", "page", "recipe", "report")
EXPORT_SUFFIXES = {
    "safetensors": "student.safetensors",
    "onnx": "student.onnx",
    "page": "student.html",
    "recipe": "recipe.json",
    "report": "report.html",
}
EXPORT_USES = {
    "safetensors": "Weights, concepts and standardization; any safetensors reader opens it, without pickle.",
    "onnx": "Any ONNX Runtime runs it, and so does",
    "page": "Open it in a browser, offline, and drop a photograph on it.",
    "recipe": "Replay its steps on another project with",
    "report": "One page that contains its pictures and opens offline.",
}
EXPORT_COMMANDS = {"onnx": "inficond predict {name} IMAGES", "recipe": "inficond replay DIR {name}"}
EXPORT_COSTS = {"safetensors": 0.1, "onnx": 2.0, "page": 4.0, "recipe": 0.1, "report": 8.0}
"""Expected duration in seconds, for scheduling."""
RESPONSE_SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".onnx")
"""Suffixes of files that may be a teacher: tables of responses and models."""
TEACHERS = ("auto", "probe", "labels", "zero-shot", "embedded")
"""Teachers that every visitor may choose."""
MAX_BARS = 10
MAX_WORDS = 2000
MAX_DEPTH = 4
"""Folders of an upload's name that are kept, with the file name."""
MAX_FILES = 2000
MAX_FULL_PIXELS = 24_000_000
"""Pixels up to which an own image is decoded at full size."""
REDUCED_SIDE = 2000
"""Shorter side to which a larger image is reduced at most."""


class ExportPayload(TypedDict):
    """An exported file as the page offers it."""

    name: str
    url: str
    size: str
    use: str
    command: str


class SummaryRow(TypedDict):
    """A row of the table of the summary."""

    cells: list[str]
    strong: bool


class SummaryPayload(TypedDict):
    """Sentences and a table about the quality of the students."""

    summary: list[str]
    head: list[str]
    rows: list[SummaryRow]


class PredictionRow(TypedDict):
    """Probabilities and contributions of one class on an own image."""

    name: str
    teacher: float | None
    student: float
    bars: list[ContributionBar]


class PredictionPayload(TypedDict):
    """Teacher and student on an own image, with the evidence region of each concept shown."""

    name: str
    url: str
    rows: list[PredictionRow]
    evidence: dict[str, dict[str, Any]]
    grid: list[int]
    crop: list[float]
    line: str


class OriginPayload(TypedDict):
    """Return the inputs of a project's build as fields of the form for a new project."""

    folder: str
    name: str
    teacher: str
    encoder: str
    classes: str


# -- exports


def export_file(visitor: Visitor, kind: str, progress: Progress) -> Path:
    """Write a file for the visitor to download.

    Visits without a step share one file of each kind.

    Parameters
    ----------
    visitor : Visitor
    kind : str
        One of `EXPORT_KINDS`.
    progress : Progress

    Returns
    -------
    Path
        A registered file.

    Raises
    ------
    InputError
        The kind is unknown, or the project cannot be exported to it.
    """
    if kind not in EXPORT_KINDS:
        raise unknown("export", kind, EXPORT_KINDS)
    if visitor.has_steps:
        return _write_export(visitor, kind, progress, visitor.token, EXPORT_SECONDS)
    return visitor.cached(
        ("export", kind), lambda: _write_export(visitor, kind, progress, PUBLIC, float("inf"))
    )


def _write_export(visitor: Visitor, kind: str, progress: Progress, owner: str, seconds: float) -> Path:
    path = visitor.files.new_file(f"{_stem(visitor.project.name)}-{EXPORT_SUFFIXES[kind]}")
    session = visitor.session
    progress.start("writing", 1)
    if kind == "safetensors":
        session.students.save(path)
    elif kind == "recipe":
        text = json.dumps(session.recipe().to_json(), ensure_ascii=False, indent=1)
        path.write_text(text, encoding="utf-8")
    elif kind == "report":
        _write_report(visitor, path, progress)
    elif kind == "page":
        from inficond.core.student_page import export_student_page

        export_student_page(session, path, overwrite=True, progress=progress)
    else:
        from inficond.core.onnx_student.export import export_student

        export_student(session, path, overwrite=True, progress=progress)
    progress.advance()
    visitor.files.register(path, owner, seconds)
    return path


def _write_report(visitor: Visitor, path: Path, progress: Progress) -> None:
    from inficond.core.report import render_html, report
    from inficond.core.report.pictures import ReportPictures

    session = visitor.session
    pictures = ReportPictures(visitor.project, session.context.words.embedding, session.context.windows)
    html = render_html(report(session, progress=progress), pictures)
    path.write_text(html, encoding="utf-8")


def export_payload(path: Path, visitor: Visitor, kind: str) -> ExportPayload:
    """Return an exported file as the page offers it."""
    size = path.stat().st_size
    shown = f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{max(1, round(size / 1024))} kB"
    return {
        "name": path.name,
        "url": visitor.files.url(path),
        "size": shown,
        "use": EXPORT_USES[kind],
        "command": EXPORT_COMMANDS.get(kind, "").format(name=path.name),
    }


# -- the summary


def summary_payload(visitor: Visitor, progress: Progress) -> SummaryPayload:
    """Return sentences and a table about the quality of the students, with the random-concept baseline."""
    from inficond.core.report import report

    data = report(visitor.session, progress=progress)
    labelled = data["overall"]["accuracy"] is not None
    head = ["class", "fidelity (AP)", "95 % interval", "balanced agreement", "F1", "NEC", "AP with 5"]
    head += ["accuracy: teacher", "student"] if labelled else []
    rows: list[SummaryRow] = [{"cells": _class_cells(c, labelled), "strong": False} for c in data["classes"]]
    overall = data["overall"]
    baseline = overall["baseline"]
    rows.append(
        _overall_row("all classes, concepts", overall["fidelity"], overall["nec"], overall["anec5"],
                     overall["accuracy"] if labelled else None)
    )  # fmt: skip
    if baseline:
        none: dict[str, Any] | None = {} if labelled else None
        rows.append(_overall_row("all classes, random concepts", baseline, baseline.get("nec"), None, none))
    return {"summary": list(data["summary"]), "head": head, "rows": rows}


def _class_cells(row: Mapping[str, Any], labelled: bool) -> list[str]:
    m, interval = row["metrics"], row["intervals"]["ap"]
    cells = [
        row["name"],
        format_number(m["ap"]),
        f"{format_number(interval['low'])}–{format_number(interval['high'])}",
        format_number(m["balanced_agreement"]),
        format_number(m["f1"]),
        str(m["nec"]),
        format_number(m["anec5"]),
    ]
    if labelled:
        cells += [format_number((m[f"{who}_accuracy"] or {}).get("ap")) for who in ("teacher", "student")]
    return cells


def _overall_row(
    name: str,
    metrics: Mapping[str, Any],
    nec: float | None,
    anec5: float | None,
    accuracy: Mapping[str, Any] | None,
) -> SummaryRow:
    cells = [
        name,
        format_number(metrics["ap"]),
        "",
        format_number(metrics["balanced_agreement"]),
        format_number(metrics["f1"]),
        format_number(nec, 0),
        format_number(anec5),
    ]
    if accuracy is not None:
        cells += [format_number((accuracy.get(who) or {}).get("ap")) for who in ("teacher", "student")]
    return {"cells": cells, "strong": True}


# -- own images


def classify(visitor: Visitor, address: Any, name: Any) -> PredictionPayload:
    """Return the predictions of teacher and student for an uploaded image; delete the upload.

    Parameters
    ----------
    visitor : Visitor
    address : str
        Of an upload of this visitor.
    name : str
        Name of the person's file, for messages.

    Raises
    ------
    InputError
        There is no such upload, or it is not a readable image.
    """
    from PIL import Image

    files = visitor.files
    path = files.find_upload(address, visitor.token)
    shown = str(name)[:120] if isinstance(name, str) and name else path.name
    try:
        rgb = _decode(path, shown, files)
    finally:
        files.delete_upload(path)
    session, project = visitor.session, visitor.project
    found = session.classify(rgb)
    rows: list[PredictionRow] = [
        {
            "name": cls,
            "teacher": None if found.teacher is None else to_plain(float(found.teacher[c])),
            "student": to_plain(float(found.student[c])),
            "bars": to_plain(contribution_bars(found.contributions[cls], session.students, MAX_BARS)),
        }
        for c, cls in enumerate(found.classes)
    ]
    rows.sort(key=lambda r: -max(r["student"], r["teacher"] or 0.0))
    line = "The image is used for this answer only. It is deleted when you close it."
    if found.teacher is None:
        line += " The teacher of this project is a file of responses, which does not cover new images."
    share = (project.config.get("encoder") or {}).get("crop_share", 1.0)
    return {
        "name": shown,
        "url": files.add_own_image(visitor.token, Image.fromarray(rgb)),
        "rows": rows,
        "evidence": to_plain(_evidence(session, found, rows, rgb)),
        "grid": list(found.assignment.shape),
        "crop": list(centre_crop(rgb.shape[1], rgb.shape[0], share)),
        "line": line,
    }


def _decode(path: Path, shown: str, files: PageFiles) -> "np.ndarray":
    from PIL import Image

    from inficond.core.images.decode import UnreadableImage

    try:
        with Image.open(path) as image:
            is_large = image.size[0] * image.size[1] > MAX_FULL_PIXELS
    except Exception:  # `decode` explains what is wrong
        is_large = False
    try:
        return files.decoder.decode(path, REDUCED_SIDE if is_large else None)
    except UnreadableImage as error:
        raise InputError(f"“{shown}” cannot be used: {error.reason}. Your session is unchanged.") from None


def _evidence(
    session: Any, found: Any, rows: list[PredictionRow], rgb: "np.ndarray"
) -> dict[str, dict[str, Any]]:
    """Return the evidence of each concept in the bars: its score and its cells."""
    import numpy as np

    from inficond.core.concepts import evidence

    bars = [bar for row in rows for bar in row["bars"]]
    concepts = {bar["name"] for bar in bars if bar["kind"] == "concept" and "absence" not in bar}
    windows = session.context.windows_of(rgb)
    regions = {}
    for concept in concepts:
        embedding = session.context.words.embedding(concept)
        region = evidence(found.regions, found.assignment, embedding, windows)
        cells = "".join("1" if v else "0" for v in np.asarray(region.mask, bool).ravel())
        regions[concept] = {"score": float(region.score), "cells": cells}
    return regions


# -- new projects


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
        out = home / f"{_stem(name or images.name)}-{digest}"
    else:
        uploads = _uploads(request.get("files"), token, files)
        chosen = (
            request.get("classes")
            if teacher == "auto" and not fit
            else (request.get("classes"), teacher, fit)
        )
        digest = _uploads_digest(uploads, token, chosen)
        out = home / f"{_stem(name or 'uploads')}-{digest}"
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
    return describe_source(images, Path(labels).expanduser() if labels else None)


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
        "encoder": str(encoder.get("spec") or "embedded"),
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
        images = Path(folder).expanduser()
        exists, is_folder = images.exists(), images.is_dir()
    except (OSError, RuntimeError, ValueError):  # the name is too long, or there is no home directory
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
        is_file = Path(spec).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):
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


def _stem(name: str) -> str:
    """Return the stem of a file name for a name: lower case, shortened at a word boundary."""
    slug = re.sub(r"[^\w-]+", "-", name, flags=re.ASCII).strip("-").lower()
    short = slug[:41].rpartition("-")[0] if len(slug) > 40 else slug
    return (short or slug)[:40].strip("-") or "inficond"
