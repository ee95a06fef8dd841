"""Rendering: reproducible, with the subject visible and in its place."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from inficond.core.demo.material import background, cutout
from inficond.core.demo.plan import FRAME, Scene, scenes
from inficond.core.demo.render import render
from inficond.core.demo.staging import BACKGROUNDS, CUTOUTS

PICKED = range(0, 1200, 37)


def bare(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Render the scene without its subject."""
    from inficond.core.demo import render as module

    real = cutout(scene.cutout)
    nothing = replace(
        real,
        sprite=Image.new("RGBA", real.sprite.size),
        contact=Image.new("L", real.sprite.size),
        cast=Image.new("L", real.sprite.size),
    )
    with monkeypatch.context() as patch:
        patch.setattr(module, "cutout", lambda name: nothing)
        return np.asarray(render(scene)).astype(int)


def test_a_scene_is_256_pixels_of_rgb():
    picture = render(scenes()[0])
    assert picture.size == (FRAME, FRAME)
    assert picture.mode == "RGB"


def test_rendering_is_the_same_in_another_process_and_order():
    code = (
        "import hashlib\n"
        "from inficond.core.demo.plan import scenes\n"
        "from inficond.core.demo.render import render\n"
        f"for i in {list(PICKED)!r}: print(hashlib.sha256(render(scenes()[i]).tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = {i: hashlib.sha256(render(scenes()[i]).tobytes()).hexdigest() for i in reversed(PICKED)}
    assert done.stdout.split() == [here[i] for i in PICKED]


@pytest.mark.parametrize("i", PICKED)
def test_the_subject_is_in_the_frame_and_large_enough(i, monkeypatch):
    scene = scenes()[i]
    changed = np.abs(np.asarray(render(scene)).astype(int) - bare(scene, monkeypatch)).max(axis=2) > 12
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0])
    assert 0.6 * scene.size <= extent <= 1.6 * scene.size + 20
    assert 0.01 < changed.mean() < 0.5


def test_every_cutout_fits_on_every_background():
    for k, name in enumerate(CUTOUTS):
        for stage in list(BACKGROUNDS)[k % 4 :: 4]:
            scene = replace(
                scenes()[0], cutout=name, background=stage, size=CUTOUTS[name].size[1], x=1.0, y=1.0
            )
            assert render(scene).size == (FRAME, FRAME)


def test_a_standing_subject_darkens_the_ground(monkeypatch):
    checked = 0
    for scene in scenes():
        if scene.cutout != "pig" or scene.background not in ("red_pyramid", "bent_pyramid", "giza"):
            continue
        frame, empty = np.asarray(render(scene)).astype(int), bare(scene, monkeypatch)
        changed = np.abs(frame - empty).max(axis=2) > 12
        feet = int(np.flatnonzero(changed.any(axis=1))[-1])
        below = slice(feet - 8, feet + 1)
        assert (frame[below] - empty[below])[changed[below]].mean() < 0
        checked += 1
    assert checked


def test_water_reflects_the_subject(monkeypatch):
    scene = next(s for s in scenes() if s.cutout == "duck" and s.background == "chenonceau")
    changed = np.abs(np.asarray(render(scene)).astype(int) - bare(scene, monkeypatch)).max(axis=2) > 8
    sprite = cutout("duck")
    wet = scene.size * (sprite.box[3] - sprite.box[1]) / (sprite.box[2] - sprite.box[0])
    # A duck loses its feet under water, yet what it changes reaches further down than it is tall.
    rows = np.flatnonzero(changed.any(axis=1))
    assert rows[-1] - rows[0] > wet


def test_close_ups_have_a_blurred_background_and_large_subjects_a_sharp_one():
    def detail(size: int) -> float:
        scene = replace(
            scenes()[0], cutout="apple_green", background="arc", size=size, x=0.0, y=1.0, zoom=1.0
        )
        edges = render(scene).convert("L").filter(ImageFilter.FIND_EDGES)
        return float(np.asarray(edges)[: FRAME // 2, FRAME // 2 :].mean())

    assert detail(60) < 0.7 * detail(200)


def test_stretched_ground_keeps_the_horizon():
    for name, staging in BACKGROUNDS.items():
        place = background(name)
        if staging.stretch is None:
            assert place.horizon == staging.horizon
        else:
            assert place.horizon < staging.horizon or staging.stretch[0] < staging.horizon
            assert place.image.height > 341
