"""Compatibility fixtures of the installed version: `python -m tests.tools.make_compat_fixtures OUT`.

Run it with the version whose files must stay readable, before a release. It uses only the command line and
the models of `tests/tiny_models.py`. `OUT/expected.json` records the results of that version.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("red", "green", "blue", "white", "yellow")
STEPS = (
    ("tune", "--class", "warm", "--down", "blue", "--note", "not the sky"),
    ("tune", "--class", "warm", "--up", "red=2", "--focus", "agree-pos"),
    ("undo",),
    ("tune", "--class", "cold", "--mute", "white"),
    ("tune", "--class", "cold", "--set", "green=0.25", "--lock", "blue"),
)


def run(*args: object) -> Any:
    """Run a command and return its JSON result."""
    done = subprocess.run(
        [sys.executable, "-m", "inficond.core.cli.main", *map(str, args), "--json"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{args}: {done.stderr}")
    return json.loads(done.stdout)


def make(out: Path, link: str, work: Path) -> dict[str, Any]:
    """Make a project, five steps on it, and each kind of file made from it."""
    from tests import tiny_models

    home = work / link
    photos = tiny_models.write_photos(home / "photos", 48, seed=3, side=24)
    encoder = tiny_models.write_encoder(home / "encoder")
    teacher = tiny_models.write_teacher(home / "teacher", link=link)
    (home / "classes.json").write_text(json.dumps({"warm": ["red"], "cold": ["blue", "green"]}))
    (home / "words.txt").write_text("\n".join(WORDS))
    project = home / "project"
    run("distill", photos, "--out", project, "--encoder", encoder, "--teacher", teacher, "--concepts",
        home / "words.txt", "--classes", home / "classes.json", "--lam", "1e-3", "--link", link)  # fmt: skip
    for command, *rest in STEPS:
        run(command, project, *rest)
    out.mkdir(parents=True)
    run("export", "student", project, "--out", out / "student.onnx")
    recipe = subprocess.run(
        [sys.executable, "-m", "inficond.core.cli.main", "recipe", str(project)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (out / "recipe.json").write_text(recipe)
    from inficond.core import Project

    opened = Project.open(project)
    students = opened.student()
    students.save(out / "students.safetensors")
    run("pack", project, encoder, teacher, "--out", out / "project.inficond")
    for picture in sorted(photos.rglob("*.*"))[:4]:
        shutil.copy(picture, out / picture.name)
    kept = ("id", "kind", "parent", "classes", "actions", "note", "current", "lam")
    return {
        "history": [{name: node[name] for name in kept} for node in run("history", project)["nodes"]],
        "weights": students.weights.tolist(),
        "bias": students.bias.tolist(),
        "predict": {
            Path(image["image"]).name: image["probabilities"]
            for image in run("predict", out / "student.onnx", *sorted(out.glob("0*")))["images"]
        },
        "X": opened.X.astype(float).tolist(),
        "T": opened.T.astype(float).tolist(),
    }


def main() -> None:
    """Write the fixtures of both links."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as work:
        for link in ("sigmoid", "softmax"):
            found = make(out / link, link, Path(work))
            (out / link / "expected.json").write_text(json.dumps(found, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
