"""What the page does beyond showing: export, report, a new project, one's own image."""

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inficond.core.errors import InputError, one_line, unknown
from inficond.core.progress import Progress
from inficond.gradio_app.presenters import contribution_bars, format_number
from inficond.gradio_app.serialization import to_plain
from inficond.gradio_app.visitor import Visitor

if TYPE_CHECKING:
    from inficond.core.pipeline.build import BuildOptions

EXPORT_KINDS = ("safetensors", "onnx", "recipe", "report")
USES = {
    "safetensors": "Weights, words and standardisation; any safetensors reader opens it, no pickle inside.",
    "onnx": "Any ONNX Runtime runs it, and so does",
    "recipe": "Replay its steps on another project with",
    "report": "One page with pictures inside; it opens offline.",
}
COMMANDS = {"onnx": "inficond predict {name} IMAGES", "recipe": "inficond replay DIR {name}"}
MOST_BARS = 10
MOST_FILES = 2000


def export_file(visitor: Visitor, kind: str, progress: Progress) -> Path:
    """Write what a visitor takes away.

    Parameters
    ----------
    visitor : Visitor
    kind : str
        One of `EXPORT_KINDS`.
    progress : Progress

    Returns
    -------
    Path
        A file in the visitor's private folder.

    Raises
    ------
    InputError
        Unknown kind, or one that cannot be made here.
    """
    if kind not in EXPORT_KINDS:
        raise unknown("export", kind, EXPORT_KINDS)
    folder, stem = visitor.files.private(visitor.token), _stem(visitor.project.name)
    session = visitor.session
    progress.start("writing", 1)
    if kind == "safetensors":
        path = folder / f"{stem}-student.safetensors"
        session.students.save(path)
    elif kind == "recipe":
        path = folder / f"{stem}-recipe.json"
        path.write_text(
            json.dumps(session.recipe().to_json(), ensure_ascii=False, indent=1), encoding="utf-8"
        )
    elif kind == "report":
        path = _report_page(visitor, folder / f"{stem}-report.html", progress)
    else:
        path = folder / f"{stem}-student.onnx"
        _onnx(visitor, path, progress)
    progress.advance()
    return path


def _onnx(visitor: Visitor, path: Path, progress: Progress) -> None:
    from inficond.core.onnx_student.export import export_student

    export_student(visitor.session, path, overwrite=True, progress=progress)


def _report_page(visitor: Visitor, path: Path, progress: Progress) -> Path:
    from inficond.core.report import render_html, report
    from inficond.core.report.pictures import Pictures

    session = visitor.session
    data = report(session, progress=progress)
    path.write_text(
        render_html(data, Pictures(visitor.project, session.context.words.embedding)), encoding="utf-8"
    )
    return path


def export_payload(path: Path, visitor: Visitor, kind: str) -> dict[str, Any]:
    """An exported file as the page offers it."""
    size = path.stat().st_size
    shown = f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{max(1, round(size / 1024))} kB"
    return {
        "name": path.name,
        "url": visitor.files.url(path),
        "size": shown,
        "use": USES[kind],
        "command": COMMANDS.get(kind, "").format(name=path.name),
    }


def summary_payload(visitor: Visitor, progress: Progress) -> dict[str, Any]:
    """How good the students are, as a few sentences and a table; the last row is the random-concept
    baseline."""
    from inficond.core.report import report

    data = report(visitor.session, progress=progress)
    labelled = data["overall"]["accuracy"] is not None
    head = [
        "class",
        "fidelity (AP)",
        "95 % interval",
        "balanced agreement",
        "F1",
        "NEC",
        "AP with 5",
        *(["accuracy: teacher", "student"] if labelled else []),
    ]
    rows = []
    for c in data["classes"]:
        m, at = c["metrics"], c["intervals"]["ap"]
        cells = [
            c["name"],
            format_number(m["ap"]),
            f"{format_number(at['low'])}–{format_number(at['high'])}",
            format_number(m["balanced_agreement"]),
        ]
        cells += [format_number(m["f1"]), str(m["nec"]), format_number(m["anec5"])]
        if labelled:
            cells += [format_number((m[f"{who}_accuracy"] or {}).get("ap")) for who in ("teacher", "student")]
        rows.append({"cells": cells, "strong": False})
    overall = data["overall"]
    for name, row, nec in (
        ("all classes, words", overall["fidelity"], overall["nec"]),
        ("all classes, random concepts", overall["baseline"], (overall["baseline"] or {}).get("nec")),
    ):
        if row:
            few = overall["anec5"] if row is overall["fidelity"] else None
            cells = [
                name,
                format_number(row["ap"]),
                "",
                format_number(row["balanced_agreement"]),
                format_number(row["f1"]),
                format_number(nec, 0),
                format_number(few),
            ]
            if labelled:
                truth = overall["accuracy"] if row is overall["fidelity"] else {}
                cells += [format_number((truth.get(who) or {}).get("ap")) for who in ("teacher", "student")]
            rows.append({"cells": cells, "strong": True})
    return {"summary": list(data["summary"]), "head": head, "rows": rows}


def classify(visitor: Visitor, path: Any, name: Any, uploads: Path) -> dict[str, Any]:
    """Teacher and student on one's own image.

    Parameters
    ----------
    visitor : Visitor
    path : str
        Where the upload lies; only inside `uploads`.
    name : str
        What the person's file is called, for messages.
    uploads : Path
        The folder of uploads.

    Raises
    ------
    InputError
        No image, too large, a bomb, or not an upload at all.
    """
    import numpy as np
    from PIL import Image

    from inficond.core.concepts import evidence
    from inficond.core.images.decode import UnreadableImage, decode

    file = uploaded_file(path, uploads)
    shown = str(name)[:120] if isinstance(name, str) and name else file.name
    try:
        rgb = decode(file)
    except UnreadableImage as error:
        raise InputError(f"“{shown}” cannot be used: {error.reason}. Your session is as it was.") from None
    finally:
        delete_upload(file, uploads)
    session, project = visitor.session, visitor.project
    trial = session.classify(rgb)
    url = visitor.files.url(visitor.files.keep(visitor.token, Image.fromarray(rgb), "trial"))
    rows: list[dict[str, Any]] = []
    wanted: set[str] = set()
    for c, cls in enumerate(trial.classes):
        bars = contribution_bars(trial.contributions[cls], session.students, MOST_BARS)
        wanted |= {b["name"] for b in bars if b["kind"] == "concept" and "absence" not in b}
        rows.append(
            {
                "name": cls,
                "teacher": None if trial.teacher is None else float(trial.teacher[c]),
                "student": float(trial.student[c]),
                "bars": bars,
            }
        )
    rows.sort(key=lambda r: -max(r["student"], r["teacher"] or 0.0))
    seen = {}
    for word in wanted:
        found = evidence(trial.regions, trial.assignment, session.context.words.embedding(word))
        cells = "".join("1" if v else "0" for v in np.asarray(found.mask, bool).ravel())
        seen[word] = {"score": float(found.score), "cells": cells}
    crop = _seen(rgb.shape[1], rgb.shape[0], (project.config.get("encoder") or {}).get("crop_share", 1.0))
    line = "The image is used for this answer only and is removed when you close it."
    if trial.teacher is None:
        line += " The teacher of this project is a file of responses: it can say nothing of a new image."
    return to_plain(
        {
            "name": shown,
            "url": url,
            "rows": rows,
            "evidence": seen,
            "grid": list(trial.assignment.shape),
            "crop": crop,
            "line": line,
        }
    )


def _seen(width: int, height: int, share: float | None) -> list[float]:
    """The part of a picture that the encoder sees, as `Project.crop` gives it for the
    project's own images."""
    if share is None:
        return [0.0, 0.0, 1.0, 1.0]
    side = min(width, height) * float(share)
    left, top = (1 - side / width) / 2, (1 - side / height) / 2
    return [left, top, 1 - left, 1 - top]


def uploaded_file(path: Any, uploads: Path) -> Path:
    """The file of an upload; anything that is not a plain file inside the upload folder is refused."""
    if not isinstance(path, str) or len(path) > 4096:
        raise InputError("that is no upload: choose a file")
    file = Path(path)
    try:
        real = file.resolve(strict=True)
        inside = real.is_relative_to(uploads.resolve()) and real.is_file() and not file.is_symlink()
    except (OSError, ValueError):
        inside = False
    if not inside:
        raise InputError("the upload did not arrive: choose the file again")
    return real


def delete_upload(file: Path, uploads: Path) -> None:
    """Remove an upload and the folder made for it."""
    file.unlink(missing_ok=True)
    if file.parent != uploads.resolve() and not any(file.parent.iterdir()):
        file.parent.rmdir()


def project_options(request: Mapping[str, Any], uploads: Path, local_folders: bool) -> "BuildOptions":
    """What a new project is made from, as the page's form says it.

    Parameters
    ----------
    request : mapping
        `folder` or `files` (uploads), `name`, `teacher`, `encoder`, `classes` (text).
    uploads : Path
        Where Gradio puts uploads.
    local_folders : bool
        Whether folders, models and response files of this machine may be named.

    Raises
    ------
    InputError
        Nothing to encode, or something that only the machine's owner may name.
    """
    from inficond.core.models.cache_directory import cache_folder
    from inficond.core.pipeline.build import BuildOptions

    request = {key: _sendable(text) for key, text in request.items()}
    name = one_line(request.get("name") or "", 80)
    folder = str(request.get("folder") or "")
    teacher, encoder = (str(request.get(k) or "embedded") for k in ("teacher", "encoder"))
    if not local_folders and (folder or teacher != "embedded" or encoder != "embedded"):
        raise InputError("this page opens no folders and models of its machine: upload images")
    home = cache_folder("projects")
    home.mkdir(parents=True, exist_ok=True)
    if folder:
        images = _existing(folder)
        asked = f"{images.resolve()}\0{request.get('classes')}\0{teacher}\0{encoder}"
        key = hashlib.sha256(asked.encode()).hexdigest()[:8]
        out = home / f"{_stem(name or images.name)}-{key}"
    else:
        files = _named(request.get("files"), uploads)
        out = home / f"{_stem(name or 'uploads')}-{_digest(files, request)}"
        images = _gather(files, uploads, out.with_name(out.name + "-images"))
    return BuildOptions(
        images=images,
        out=out,
        teacher=teacher,
        encoder=encoder,
        classes=parse_class_lines(request.get("classes")),
        name=name or None,
    )


def project_origin(visitor: Visitor) -> dict[str, Any] | None:
    """What a project was made from, as the form of a new one takes it; None where its images are not in a
    folder or list of this machine any more.

    For the machine's owner only: it names paths.
    """
    config = visitor.project.config
    encoder, teacher = config.get("encoder") or {}, config.get("teacher") or {}
    images = str((config.get("source") or {}).get("images") or "")
    if not images:
        return None
    try:
        _existing(images)
    except InputError:
        return None
    labels: Mapping[str, list[str]] = config.get("class_labels") or {}
    lines = [f"{name}: {', '.join(labels.get(name) or [name])}" for name in visitor.project.classes]
    return {
        "folder": images,
        "name": f"{visitor.project.name}, other classes"[:80],
        "teacher": str(teacher.get("spec") or "embedded"),
        "encoder": str(encoder.get("spec") or "embedded"),
        "classes": "\n".join(lines),
    }


def _sendable(value: Any) -> Any:
    """A text of a request without halves of surrogates, which are no characters; anything else as it is."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _existing(folder: str) -> Path:
    """The folder that the machine's owner named."""
    try:
        images = Path(folder).expanduser()
        there = images.exists()
    except (OSError, RuntimeError, ValueError):  # too long a name, nobody's home
        there = False
    if not there:
        raise InputError(f"there is no {folder}: name a folder of photographs on this machine")
    return images


def _named(files: Any, uploads: Path) -> list[tuple[Path, str]]:
    """Uploads with the names that they get in a folder of ours, no name twice."""
    if not isinstance(files, list) or not files:
        raise InputError("choose images to upload, or name a folder")
    if len(files) > MOST_FILES:
        raise InputError(f"{len(files)} images are more than the {MOST_FILES} that can be uploaded at once")
    found: dict[Path, str] = {}
    taken: set[str] = set()
    for i, entry in enumerate(e for e in files if isinstance(e, Mapping)):
        file = uploaded_file(entry.get("path"), uploads)
        if file in found:
            continue
        name = _file_name(str(entry.get("name") or file.name))
        while name.casefold() in taken:
            name = f"{i}-{name}"
        found[file] = name
        taken.add(name.casefold())
    return list(found.items())


def _digest(files: list[tuple[Path, str]], request: Mapping[str, Any]) -> str:
    """The same for the same visitor, images and classes: a request that was stopped goes on where it was."""
    said = hashlib.sha256(f"{request.get('token')}\0{request.get('classes')}\0".encode())
    for file, name in sorted(files, key=lambda f: f[1]):
        said.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode())
    return said.hexdigest()[:8]


def _gather(files: list[tuple[Path, str]], uploads: Path, folder: Path) -> Path:
    """Move uploads into a folder of their own; where it is there already, they are what it holds."""
    if folder.is_dir():
        for file, _ in files:
            delete_upload(file, uploads)
        return folder
    part = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.part")
    part.mkdir(parents=True)
    for file, name in files:
        shutil.move(file, part / name)
    part.rename(folder)
    return folder


def parse_class_lines(text: Any) -> dict[str, list[str]] | None:
    """``boat: canoe, gondola`` a line -> a class set; a line without a colon names one label. None when
    empty."""
    if not isinstance(text, str) or not text.strip():
        return None
    classes: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, labels = line.partition(":")
        if name.strip():
            classes[name.strip()] = [x.strip() for x in labels.split(",") if x.strip()] or [name.strip()]
    return classes or None


def _stem(name: str) -> str:
    """A name as a file's: lower case, and where it is too long, cut between words."""
    said = re.sub(r"[^\w-]+", "-", name, flags=re.ASCII).strip("-").lower()
    whole = said[:41].rpartition("-")[0] if len(said) > 40 else said
    return (whole or said)[:40].strip("-") or "inficond"


def _file_name(name: str) -> str:
    """A name that is safe in a folder of ours, whatever a browser sent."""
    base = re.split(r"[\\/]", name.encode("utf-8", "replace").decode())[-1]
    short = re.sub(r"[\x00-\x1f<>:\"|?*]+", "_", base).strip(". ").encode()[-120:].decode("utf-8", "ignore")
    return short.strip(". ") or "image"
