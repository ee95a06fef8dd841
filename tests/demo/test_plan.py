"""Design of the scenes: split by cut-out, pairing in training, half of it broken in validation."""

import json
import subprocess
import sys
from collections import Counter

from inficond.core.demo.material import ASSETS, manifest
from inficond.core.demo.plan import HABITAT, HELD_OUT, UNUSED, scenes
from inficond.core.demo.staging import BACKGROUNDS, CUTOUTS


def test_there_are_1200_scenes_of_ten_classes_with_their_own_names():
    plan = scenes()
    assert len(plan) == 1200
    assert len({scene.id for scene in plan}) == 1200
    assert set(Counter(scene.klass for scene in plan)) == set(manifest()["classes"]) == set(HABITAT)


def test_no_cutout_is_in_both_parts():
    parts = {"train": set(), "val": set()}
    for scene in scenes():
        parts[scene.split].add(scene.cutout)
    assert not parts["train"] & parts["val"]
    assert parts["val"] == {name for names in HELD_OUT.values() for name in names}
    assert parts["train"] | parts["val"] == set(CUTOUTS)


def test_training_keeps_every_class_in_its_habitat():
    for scene in scenes():
        if scene.split == "train":
            assert not scene.broken
            assert scene.background in HABITAT[scene.klass]


def test_half_of_validation_breaks_the_pairing_in_every_class():
    for klass, habitat in HABITAT.items():
        mine = [scene for scene in scenes() if scene.split == "val" and scene.klass == klass]
        broken = [scene for scene in mine if scene.broken]
        assert len(broken) * 2 == len(mine)
        kinds = {BACKGROUNDS[name].kind for name in habitat}
        assert all(BACKGROUNDS[scene.background].kind not in kinds for scene in broken)
        assert all(scene.background in habitat for scene in mine if not scene.broken)


def test_only_water_birds_are_on_water_in_training_and_others_are_there_in_validation():
    on_water = [scene for scene in scenes() if BACKGROUNDS[scene.background].kind == "water"]
    assert {scene.klass for scene in on_water if scene.split == "train"} == {"water bird"}
    others = {scene.klass for scene in on_water if scene.split == "val"} - {"water bird"}
    assert len(others) == 9


def test_another_seed_gives_other_scenes_of_the_same_design():
    ours, other = scenes(), scenes(seed=7)
    assert [scene.id for scene in ours] != [scene.id for scene in other]
    assert Counter((s.klass, s.split, s.broken) for s in ours) == Counter(
        (s.klass, s.split, s.broken) for s in other
    )


def test_the_plan_does_not_depend_on_the_process():
    code = (
        "import json; from inficond.core.demo.plan import scenes;"
        "print(json.dumps([list(vars(s).values()) for s in scenes()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "123"},
    )
    assert json.loads(done.stdout) == [list(vars(s).values()) for s in scenes()]


def test_material_staging_and_licences_have_the_same_names():
    listed = manifest()
    assert set(listed["cutouts"]) == set(CUTOUTS)
    assert set(listed["backgrounds"]) == set(BACKGROUNDS)
    for folder, key in (("cut", "cutouts"), ("bg", "backgrounds")):
        assert {path.stem for path in (ASSETS / folder).iterdir()} == set(listed[key])
    attribution = (ASSETS / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for key in ("cutouts", "backgrounds"):
        for name, entry in listed[key].items():
            assert entry["licence"]
            assert entry["source"]
            assert f"`{name}`" in attribution
            assert entry["licence"] in attribution
    for name, background in BACKGROUNDS.items():
        assert listed["backgrounds"][name]["kind"] == background.kind
    assert set(UNUSED) <= set(BACKGROUNDS)
    assert "GNU GENERAL PUBLIC LICENSE" in (ASSETS / "LICENSE").read_text(encoding="utf-8")
