"""Build of the demo's assets: `python -m inficond.core.demo.build` (needs neither network nor torch).

The scenes pass through the pipeline of `inficond distill`. Then the region embeddings are compressed, and
concept vectors and students are computed from the decompressed ones, which users will have.
"""

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.demo.attribution import attribution
from inficond.core.demo.material import ASSETS, manifest
from inficond.core.demo.packed import pack_bytes, pack_regions, unpack_regions
from inficond.core.demo.plan import HABITAT, SEED, scenes
from inficond.core.demo.project import ARRAYS, BASELINE, CONFIG, STUDENTS, scene_file
from inficond.core.demo.words import group_of
from inficond.core.models.class_sets import share_among
from inficond.core.progress import Progress, Terminal

STEP = 0.008  # rounding step of region embeddings: error 0.0023 along any direction
LAM = 2e-2
TEMPERATURE = 0.6
KEPT = ("encoder", "teacher", "class_labels", "class_origin", "corpus")  # of the pipeline's project.json


def build_demo(out: Path = ASSETS, progress: Progress | None = None, work: Path | None = None) -> Path:
    """Render and encode the scenes, run the teacher, fit the students, and compress the results.

    Parameters
    ----------
    out : Path
        Target folder; the assets of the package by default.
    progress : Progress, optional
        Reports the stages.
    work : Path, optional
        Folder of intermediate results, which a later build reuses.

    Returns
    -------
    Path
        `out`.
    """
    with tempfile.TemporaryDirectory(prefix="inficond-demo-") as folder:
        project = through_the_pipeline(work or Path(folder), progress)
        regions, assignment = np.array(project.region_embeddings), every_assignment(project)
        packed = pack_regions(regions, STEP)
        T = share_among(np.asarray(project.T), TEMPERATURE)
        config = {key: project.config[key] for key in KEPT if key in project.config}
        grid = project.grid
        keep = [
            k for k, w in enumerate(project.concepts) if group_of(w, project.concept_groups[k]) is not None
        ]
        embeddings = np.ascontiguousarray(np.asarray(project.concept_embeddings)[keep])
        names = [project.concepts[k] for k in keep]
        if [Path(name).name for name in project.image_ids] != [scene.id for scene in scenes()]:
            raise RuntimeError("the pipeline skipped or reordered scenes")
    config["class_share"] = {"temperature": TEMPERATURE}
    config["grid"] = list(grid)
    for key in ("encoder", "teacher"):
        config[key].pop("provider", None)
    config["source"] = {"images": "photo collages, rendered by inficond.core.demo", "files": len(scenes())}
    config["split"] = {"seed": SEED, "by": "cut-out"}
    config["fit"] = {"lam": LAM, "link": "sigmoid"}
    fitted = fit_students(unpack_regions(packed), T, embeddings, names, config["encoder"]["name"])
    out.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"regions_{key}": value for key, value in packed.items()}
    arrays |= {"teacher": T, "assignment": pack_bytes(assignment)}
    np.savez(out / ARRAYS.name, **arrays)
    fitted["students"].save(out / STUDENTS.name)
    fitted["baseline"].save(out / BASELINE.name)
    text = json.dumps(config, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    (out / CONFIG.name).write_text(text, encoding="utf-8")
    return out


def through_the_pipeline(folder: Path, progress: Progress | None = None, seed: int = SEED) -> Any:
    """Build a project of the scenes with the pipeline of `inficond distill`.

    Parameters
    ----------
    folder : Path
        Folder of scenes, lists and the project.
    progress : Progress, optional
    seed : int
        Another seed gives other scenes of the same design.

    Returns
    -------
    Project
        Open.
    """
    from inficond.core.facade import Project
    from inficond.core.models.teacher import load_teacher
    from inficond.core.pipeline.build import BuildOptions, build

    plan = scenes(seed)
    (folder / "scenes").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        for scene, data in zip(plan, pool.map(scene_file, plan)):
            file = folder / "scenes" / scene.id
            if not file.exists() or file.read_bytes() != data:
                file.write_bytes(data)
    with open(folder / "images.csv", "w", newline="", encoding="utf-8") as listed:
        table = csv.writer(listed)
        table.writerow(["path", "group", "split"])
        table.writerows([f"scenes/{scene.id}", scene.cutout, scene.split] for scene in plan)
    known = load_teacher("embedded").labels
    classes = {klass: [known[i] for i in manifest()["classes"][klass]] for klass in HABITAT}
    build(
        BuildOptions(
            images=folder / "images.csv",
            out=folder / "project",
            classes=classes,
            baseline=False,
            teacher="embedded",
            lam=2.5e-3,
            link="sigmoid",
            validity=False,
            grounding=False,
            exam=False,
        ),
        progress,
    )
    return Project.open(folder / "project")


def every_assignment(project: Any) -> np.ndarray:
    """Return the region of each cell of all images, (N, h*w) uint8."""
    return np.stack([project.assignment(row).ravel() for row in range(len(project.image_ids))])


def fit_students(
    regions: np.ndarray, T: np.ndarray, embeddings: np.ndarray, concepts: Sequence[str], encoder: str
) -> dict[str, Any]:
    """Fit the demo's students and the random-concept baseline.

    Parameters
    ----------
    regions : (N, R, D) float16
    T : (N, C) float32
    embeddings : (K, D) float32
    concepts : K names
    encoder : str
        Name of the encoder.

    Returns
    -------
    dict
        `students`, `baseline`: both `Students`; `X`: (N, K) concept vectors.
    """
    from inficond.core.concepts import concept_vectors
    from inficond.core.students.baseline import random_concept_baseline
    from inficond.core.students.distil import distil

    training = np.array([scene.split == "train" for scene in scenes()])
    X = concept_vectors(regions, embeddings)
    students, _ = distil(
        X[training], T[training], list(HABITAT), concepts, lam=LAM, encoder=encoder, embeddings=embeddings
    )
    random = random_concept_baseline(regions, T, training, list(HABITAT), len(concepts), lam=LAM)
    return {"students": students, "baseline": random.students, "X": X}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m inficond.core.demo.build", description=__doc__)
    parser.add_argument("--out", type=Path, default=ASSETS, help="target folder (default: the package)")
    parser.add_argument("--work", type=Path, help="folder of intermediate results")
    parser.add_argument("--attribution", action="store_true", help="only the attribution page")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "ATTRIBUTION.md").write_text(attribution(manifest()), encoding="utf-8")
    if not options.attribution:
        build_demo(options.out, Terminal(), options.work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
