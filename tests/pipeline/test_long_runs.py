"""Builds with many images and the embedded models: bounded memory, and a kill in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inficond.core.checksum import sha256_of
from inficond.core.project import files

COMMAND = [sys.executable, "-m", "inficond.core.cli.main", "distill"]
MANY = int(os.environ.get("INFICOND_TEST_MANY", "20000"))
"""Pictures of the memory run; fewer for a quick look."""
MOST_MEMORY = 1.5e9


def generate_pictures(folder: Path, n: int, seed: int = 0) -> None:
    """Write `n` different small JPEGs: a gradient, a disc and a bar with random colours and positions."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:72, 0:96].astype(np.float32) / 96
    for i in range(n):
        if i % 1000 == 0:
            (folder / f"{i // 1000:02d}").mkdir(parents=True)
        colours = rng.uniform(0, 255, (4, 3)).astype(np.float32)
        picture = colours[0] + (colours[1] - colours[0]) * (x * rng.random() + y * rng.random())[:, :, None]
        cy, cx, r, edge = rng.uniform(0.1, 0.7, 4)
        picture[(y - cy) ** 2 + (x - cx) ** 2 < r * r / 4] = colours[2]
        picture[(x > edge) & (x < edge + 0.1)] = colours[3]
        image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        image.save(folder / f"{i // 1000:02d}" / f"{i:05d}.jpg", quality=80)


def checksums(folder: Path) -> dict[str, str]:
    """Return the checksum of every array, table and pack of thumbnails of a project."""
    kinds = {".npy", ".safetensors", ".parquet", ".pack"}
    return {str(p.relative_to(folder)): sha256_of(p) for p in folder.rglob("*") if p.suffix in kinds}


@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not tell a child's peak memory")
def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    generate_pictures(photos, MANY)
    told = (tmp_path / "told.json").open("w+")
    process = subprocess.Popen(
        [*COMMAND, photos, "--out", out, "--provider", "cpu", "--json"],
        stdout=told,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{MANY} pictures: peak {peak / 1e6:.0f} MB, processor time {used.ru_utime + used.ru_stime:.0f} s")
    assert process.returncode == 0
    told.seek(0)
    assert json.load(told)["images"] == MANY
    assert peak < MOST_MEMORY


@pytest.mark.nightly
@pytest.mark.data
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_build_of_scenes_resumes_to_the_same_bytes(
    scenes_run: tuple[Path, dict[str, Any]], shared_data: Path, tmp_path: Path
) -> None:
    whole, told = scenes_run
    out, pieces = tmp_path / "project", tmp_path / "project" / ".build" / "shards"
    scenes = shared_data / "scenes"
    command = [
        *COMMAND, scenes / "images", "--labels", scenes / "labels.csv", "--teacher",
        whole.parent / "responses.csv", "--out", out, "--no-exam", "--lam", "0.015", "--words", "400",
        "--provider", "cpu", "--json",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(pieces.glob("*.npz"))) < 4:  # of the 8 that 1,022 pictures make
        assert process.poll() is None, "finished before it could be killed"
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (out / files.PROJECT).exists()
    again = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert again["reused"] >= 4 * 128
    assert again["images"] == told["images"] == 1022
    assert "thumbnails/001.pack" in checksums(whole)
    assert checksums(out) == checksums(whole)
