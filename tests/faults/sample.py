"""A sample of every kind of file, and hashes of everything that can be read from them.

The real commands build, tune, export and pack a project of coloured photographs with tiny models
(tests/tiny_models.py).
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from tests import tiny_models

from inficond.core import Project
from inficond.core.bundle import pack, unpack
from inficond.core.images import decode
from inficond.core.models.predictor import load_predictor
from inficond.core.onnx_student.export import export_student
from inficond.core.students import Students
from inficond.core.tuning.actions import Action

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "tests.faults.sample"]
WORDS = ("red", "green", "blue", "white")
ADDED = "yellow"


@dataclass(frozen=True)
class Sample:
    """Paths of the sample's files below one folder."""

    root: Path

    @property
    def encoder(self) -> Path:
        return self.root / "encoder"

    @property
    def teacher(self) -> Path:
        return self.root / "teacher"

    @property
    def photos(self) -> Path:
        return self.root / "photos"

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def weights(self) -> Path:
        return self.root / "student.safetensors"

    @property
    def onnx(self) -> Path:
        return self.root / "student.onnx"

    @property
    def archive(self) -> Path:
        return self.root / "packed.inficond"

    def distill(self, out: Path) -> list[str]:
        """Return the arguments of the command that builds the project."""
        return [
            "distill", str(self.photos), "--out", str(out), "--encoder", str(self.encoder), "--teacher",
            str(self.teacher), "--concepts", str(self.root / "words.txt"), "--labels",
            str(self.root / "labels.csv"), "--provider", "cpu", "--no-cache", "--json",
        ]  # fmt: skip


def make_inputs(root: Path, photos: int) -> Sample:
    """Write models, words, photographs and labels."""
    made = Sample(root)
    root.mkdir(parents=True, exist_ok=True)
    tiny_models.write_encoder(made.encoder)
    tiny_models.write_teacher(made.teacher)
    for folder in (made.encoder, made.teacher):  # as `inficond export` writes them
        from inficond.export.folder import write_manifest

        manifest = json.loads((folder / "manifest.json").read_text())
        write_manifest(folder, {k: v for k, v in manifest.items() if k not in ("format", "files")})
    tiny_models.write_photos(made.photos, photos)
    (root / "words.txt").write_text("\n".join(WORDS))
    names = sorted(p.relative_to(made.photos).as_posix() for p in made.photos.rglob("*.*"))
    lines = [f"{name},{int(i % 3 == 0)},{int(i % 3 == 1)}" for i, name in enumerate(names)]
    (root / "labels.csv").write_text("\n".join(["image,red,green", *lines]))
    return made


def make(root: Path, photos: int = 40, killed: bool = False) -> Sample:
    """Make a project with a history of every kind of step, exported students and an archive.

    Parameters
    ----------
    root : Path
        A new folder.
    photos : int
        Number of photographs.
    killed : bool
        Whether to leave the history as a killed process leaves it: the last steps are in SQLite's log only.
    """
    made = make_inputs(root, photos)
    command(made.distill(made.project))
    # In a separate process, which ends without closing the history.
    done = subprocess.run([*PROGRAM, "steps", str(root)], env=environment())
    assert done.returncode == 0
    if not killed:
        # Closing the history moves the steps from the log into the file.
        Project.open(made.project).session("main").context.history_store.close()
    backup = root / "backup"
    shutil.copytree(made.project, backup)
    project = Project.open(made.project)
    session = project.session("main")
    session.students.save(made.weights)
    export_student(session, made.onnx)
    session.context.history_store.close()
    if killed:  # reading has moved the steps into the file: restore the log
        shutil.rmtree(made.project)
        backup.rename(made.project)
    else:
        shutil.rmtree(backup)
        pack([made.project, made.weights], made.archive)
    return made


def _steps(made: Sample) -> Any:
    """Take steps; return the session, whose history stays open."""
    session = Project.open(made.project).session("main")
    first, second = session.classes[:2]
    session.apply(
        first,
        [Action("up", "red"), Action("lock", "white")],
        focus=session.project.image_ids[::3],
        note="noted",
    )
    session.add_concept(ADDED)
    session.override([session.project.image_ids[3]], second, 0.25)
    named = session.apply(second, Action("set", "blue", 0.125))
    session.name(named.id, "the one")
    session.annotate(named.id, "with a remark")
    session.apply(first, Action("mute", "green"))
    session.undo()
    visitor = session.project.session()
    visitor.apply(first, Action("down", "blue"))
    visitor.save()
    return session


def environment() -> dict[str, str]:
    """Return the environment of subprocesses, which use one thread and can import `tests`."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def command(arguments: list[str]) -> None:
    """Run `inficond` in a separate process."""
    program = [sys.executable, "-m", "inficond.core.cli.main"]
    done = subprocess.run([*program, *arguments], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr


def project_hashes(path: Path, photo: Path | None = None) -> dict[str, Any]:
    """Return the hash of each part of a project; with a photo, also of its classification."""
    project = Project.open(path)
    try:
        session = project.session("main")
        parts: dict[str, Any] = {
            "config": project.config,
            "names": [project.image_ids, project.image_groups, project.concepts, project.concept_groups,
                      project.concept_prompts, project.classes],
            "X": project.X, "T": project.T, "labels": project.labels, "validation": project.is_validation,
            "words": project.concept_embeddings, "regions": project.region_embeddings,
            "boxes": project.boxes, "root": project.students.predict(project.X),
            "baseline": project.baseline and project.baseline.weights,
            "rows": [[project.regions(i), project.assignment(i), project.crop(i),
                      str(project.image_path(i).relative_to(project.path.parent))]
                     for i in range(len(project))],
            "thumbnails": [project.thumbnail_bytes(i) for i in range(len(project))],
            "tree": [[t.node.to_json(states=True), t.name, t.note, t.current, t.depth]
                     for t in session.tree()],
            "redo": session.can_redo, "weights": session.state.weights(), "bias": session.state.bias(),
            "scores": session.scores(),
            "visitors": sorted(session.context.history_store.owners()),
        }  # fmt: skip
        if photo is not None:
            parts["trial"] = _trial(session, photo)
        return {name: digest(value) for name, value in parts.items()}
    finally:
        project.context.history_store.close()


def _trial(session: Any, photo: Path) -> list[Any]:
    trial = session.classify(decode(photo))
    words = session.context.encoder.embed_words([ADDED])
    return [trial.teacher, trial.student, trial.regions, trial.assignment, words]


def weights_hashes(path: Path) -> dict[str, Any]:
    """Return the hash of each field of a saved student."""
    s = Students.load(path)
    return {field.name: digest(getattr(s, field.name)) for field in fields(s)}


def onnx_hashes(path: Path) -> dict[str, Any]:
    """Return hashes of the metadata and of the predictions of an exported student."""
    p = load_predictor(path, "cpu", 1)
    pixels = np.random.default_rng(0).integers(0, 256, (3, *p.preprocess.size, 3), dtype=np.uint8)
    metadata = [p.classes, p.concepts, p.thresholds, p.link, p.provenance, p.encoder, vars(p.preprocess)]
    values = [p.predict(pixels), p.concept_values(pixels)]
    return {"metadata": digest(metadata), "values": digest(values)}


def archive_hashes(path: Path, scratch: Path) -> dict[str, Any]:
    """Return the hash of every file of an archive."""
    made = unpack(path, scratch)
    return {"made": sorted(p.name for p in made), "files": file_hashes(scratch)}


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by relative path."""
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def digest(value: Any) -> str:
    """Return a hash of arrays, bytes, and nested lists and dicts of values."""
    return hashlib.sha256(_plain(value)).hexdigest()[:16]


def _plain(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        return b"{" + b",".join(_plain(k) + b":" + _plain(value[k]) for k in sorted(value, key=str)) + b"}"
    if isinstance(value, list | tuple):
        return b"[" + b",".join(_plain(v) for v in value) + b"]"
    return repr(value).encode()


def make_in_subprocess(root: Path, photos: int) -> Sample:
    """Call `make` in a subprocess, so that this process starts no thread and can fork."""
    subprocess.run([*PROGRAM, "make", str(root), str(photos)], env=environment(), check=True)
    return Sample(root)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        alive = _steps(Sample(Path(sys.argv[2])))
        os._exit(0)  # without closing anything, as a kill does
