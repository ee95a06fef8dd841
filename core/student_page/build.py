"""Builds the page of a student: graph, runtime, scripts and styles in one HTML file."""

import base64
import gzip
import hashlib
import html
import json
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.atomic_io import replacing, write_errors
from inficond.core.concepts import concept_vectors
from inficond.core.errors import InputError
from inficond.core.facade import Project
from inficond.core.models import onnx_protobuf
from inficond.core.models.graph_file import read_graph
from inficond.core.models.sessions import open_session
from inficond.core.onnx_student.export import TOLERANCE, compared_pixels
from inficond.core.onnx_student.graph import cosine_nodes, image_fields
from inficond.core.progress import Progress, Silent
from inficond.core.report.exam_lines import short_line
from inficond.core.script_bundle import bundle, minify
from inficond.core.sessions.session import Session
from inficond.core.student_page.source import PageStudent, read_source
from inficond.core.students.student import probabilities

HERE = Path(__file__).parent
RUNTIME = HERE / "runtime"
SCRIPT, BINARY = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm.gz"
MAX_GRAPH = 100 * 2**20
"""Bytes of the largest graph that is put into a page."""
CHECKED = 8
"""Pictures on which every page is compared with the student."""


def export_student_page(
    source: Path | Project | Session,
    out: Path,
    *,
    node: str | None = None,
    encoder: str | Path = "embedded",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write students as one HTML file that runs them in a browser and makes no request.

    Parameters
    ----------
    source : Path, Project or Session
        A project (its current node), a session, or an ONNX file of `export_student`.
    out : Path
        The file.
    node : str, optional
        Another node of the project's history.
    encoder : str or Path
        Encoder of an ONNX file.
    overwrite : bool
        Replace an existing file.
    progress : Progress, optional
        Reports the pictures compared.

    Returns
    -------
    dict
        `file`, `bytes`, `classes`, `concepts` (number), `node`, `max_error`, `images` (number compared).

    Raises
    ------
    InputError
        The encoder is too large for a page, the output exists, or the graph's probabilities differ from the
        student's by more than 1e-3; nothing is written then.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.student_page import export_student_page
    >>> session = Project.open(demo_project()).session()
    >>> written = export_student_page(session, Path("student.html"))
    >>> written["max_error"] < 1e-3, written["bytes"] < 25_000_000
    (True, True)
    """
    out, progress = Path(out), progress or Silent()
    if out.is_dir():
        raise InputError(f"{out} is a folder; name a file, such as {out / 'student.html'}")
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists already; name another file, or replace it with --overwrite")
    student, session = read_source(source, node, encoder)
    graph = page_graph(student)
    largest, count = _compare(student, graph, session, progress)
    if not largest <= TOLERANCE:
        raise InputError(
            f"the page's student differs from the project by {largest:.1e}, more than the allowed "
            f"{TOLERANCE:.0e}; nothing was written"
        )
    data = page_html(student, graph).encode()
    with write_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as file:
            file.write(data)
    return {
        "file": str(out),
        "bytes": len(data),
        "classes": student.classes,
        "concepts": len(student.concepts),
        "node": student.provenance["node"],
        "max_error": largest,
        "images": count,
    }


def page_graph(student: PageStudent) -> bytes:
    """Build the graph of a page.

    Returns
    -------
    bytes
        Input `pixels` uint8 (B, H, W, 3); outputs `student_cosines` float32 (B, R, A), the cosines of regions
        and words, and `assignment` uint8 (B, h·w), the region of each cell.

    Raises
    ------
    InputError
        The encoder is too large for a page.
    """
    manifest = student.encoder.manifest
    source = student.encoder.session.read_file()
    graph = onnx_protobuf.Graph.parse(source.checked_content(), str(source.path))
    graph.keep_only(["regions", "assignment"])
    graph.nodes += cosine_nodes(graph, student.words)
    shape: list[int | str] = ["batch", manifest.regions, len(student.concepts)]
    graph.outputs = {
        "student_cosines": onnx_protobuf.value("student_cosines", onnx_protobuf.FLOAT, shape),
        "assignment": graph.outputs["assignment"],
    }
    graph.metadata = {}
    data = graph.dump("inficond student page")
    if len(data) > MAX_GRAPH:
        raise InputError(
            f"the encoder {manifest.name!r} has {len(data) / 2**20:.0f} MiB, a page holds at most "
            f"{MAX_GRAPH / 2**20:.0f}: use `inficond export student` and `inficond predict`, or build the "
            "project with a smaller encoder"
        )
    return data


def page_html(student: PageStudent, graph: bytes) -> str:
    """Return the page of a student with its graph."""
    script = f"(() => {{\n{bundle({'main': HERE / 'browser' / 'main.js'})}\nmain.start();\n}})();"
    style = minify((HERE / "page.css").read_text(encoding="utf-8"))
    files = {
        "graph": gzip.compress(graph, 9, mtime=0),
        "worker": gzip.compress(_worker_script().encode(), 9, mtime=0),
        "binary": _runtime_file(BINARY),
    }
    policy = (
        f"default-src 'none'; script-src '{_source_hash(script)}' 'wasm-unsafe-eval' blob:; "
        f"worker-src blob:; style-src '{_source_hash(style)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    title = f"Student of {student.name}"
    count = len(student.concepts)
    words = f"{count} word{'s' if count != 1 else ''}"
    summary = f"{len(student.classes)} classes over {words}, in one file that works offline."
    values = {
        "policy": html.escape(policy),
        "title": html.escape(title),
        "summary": html.escape(summary),
        "style": style,
        "footer": html.escape(_footer(student)),
        "student": _json(_fields(student)),
        "files": "\n".join(
            f'<script type="application/gzip" id="{name}">{base64.b64encode(data).decode()}</script>'
            for name, data in files.items()
        ),
        "script": script,
    }
    page = (HERE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], page)


@cache
def _runtime_file(name: str) -> bytes:
    """Read a file of ONNX Runtime Web; `runtime.json` states its checksum.

    Raises
    ------
    InputError
        The file is missing or has changed.
    """
    expected = json.loads((RUNTIME / "runtime.json").read_text(encoding="utf-8"))["files"][name]
    try:
        data = (RUNTIME / name).read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {name} of ONNX Runtime Web: {error.strerror}; install inficond again"
        ) from None
    if hashlib.sha256(data).hexdigest() != expected:
        raise InputError(f"{name} of ONNX Runtime Web is damaged: install inficond again")
    return data


def _worker_script() -> str:
    """Return ONNX Runtime Web and the worker's own code as one classic script.

    A page opened as a file can start classic workers only, and its workers cannot import modules. The runtime
    is one module without imports: its exports become properties of a constant.
    """
    module = _runtime_file(SCRIPT).decode()
    body, _, exports = module.rstrip().removesuffix("};").rpartition("export{")
    pairs = (item.partition(" as ") for item in exports.split(","))
    names = ", ".join(f"{public}: {local}" for local, _, public in pairs if public != "default")
    body = body.replace("import.meta.url", "self.location.href")
    own = (HERE / "browser" / "worker.js").read_text(encoding="utf-8")
    return f'"use strict";\nconst runtime = (() => {{\n{body}\nreturn {{ {names} }};\n}})();\n{own}'


def _source_hash(text: str) -> str:
    """Return the hash of an inline element for a content security policy."""
    # The element's text begins and ends with the line breaks of the template.
    return "sha256-" + base64.b64encode(hashlib.sha256(f"\n{text}\n".encode()).digest()).decode()


def _json(value: Any) -> str:
    """Encode JSON for a script element, which no `</script` in a name can close."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _footer(student: PageStudent) -> str:
    node = student.provenance.get("node")
    version = json.loads((RUNTIME / "runtime.json").read_text(encoding="utf-8"))["version"]
    return (
        f"Made by InFiConD from {student.name}{f', node {node}' if node else ''}. "
        f"{short_line(student.provenance.get('exam'))} "
        f"Encoder: {student.encoder.name} ({student.encoder.manifest.licence or 'licence not stated'}). "
        f"ONNX Runtime Web {version} (MIT licence, © Microsoft Corporation)."
    )


def _fields(student: PageStudent) -> dict[str, Any]:
    manifest = student.encoder.manifest
    order = np.argsort(-np.abs(student.weights), axis=1, kind="stable")
    return {
        "name": student.name,
        "classes": student.classes,
        "concepts": student.concepts,
        "link": student.link,
        "thresholds": student.thresholds.astype(float).tolist(),
        "weights": [
            [[int(k), float(row[k])] for k in columns if row[k] != 0]
            for row, columns in zip(student.weights, order)
        ],
        "bias": student.bias.astype(float).tolist(),
        "mean": student.mean.astype(float).tolist(),
        "scale": student.scale.astype(float).tolist(),
        "image": image_fields(manifest.image),
        "grid": list(manifest.grid),
        "regions": manifest.regions,
    }


def _compare(
    student: PageStudent, graph: bytes, session: Session | None, progress: Progress
) -> tuple[float, int]:
    """Compare the graph's probabilities with those of the encoder and the student.

    Returns
    -------
    largest : float
        Largest difference of a probability.
    count : int
        Pictures compared: some of the project's, or random pixels.
    """
    encoder, largest, count = student.encoder, 0.0, 0
    project = None if session is None else session.project
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "page.onnx"
        path.write_bytes(graph)
        opened = open_session(read_graph(path), "cpu")
        for pixels in compared_pixels(encoder, project, CHECKED, "page", progress):
            regions = encoder.encode(pixels).regions.astype(np.float16)
            (cosines,) = opened.run({"pixels": np.ascontiguousarray(pixels)}, ("student_cosines",))
            values = concept_vectors(regions, student.words), np.maximum(0, cosines.max(axis=1))
            one, other = (probabilities(student.logits(x), student.link) for x in values)
            largest = max(largest, float(np.abs(one - other).max()))
            count += len(pixels)
    return largest, count
