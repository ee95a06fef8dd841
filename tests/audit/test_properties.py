"""Properties of images: a mark in a corner, near-duplicates, and the derived file."""

import os
from collections.abc import Callable

import numpy as np

from inficond.core import Project
from inficond.core.audit.audit import audit
from inficond.core.audit.properties import FILE, PROPERTIES, image_properties

Make = Callable[..., Project]
MARK = PROPERTIES.index("mark at the lower right")


def test_a_mark_in_the_corner_is_measured(make: Make) -> None:
    project = make(pictures=True, marked=True, n=160, fit=100)
    found = image_properties(project)
    assert found is not None
    shows = np.array(project.config["shows"])
    assert np.corrcoef(found.values[:, MARK], shows)[0, 1] > 0.9
    other = PROPERTIES.index("mark at the upper left")
    assert abs(np.corrcoef(found.values[:, other], shows)[0, 1]) < 0.4


def test_a_mark_that_the_student_follows_leads_its_finding(make: Make) -> None:
    first = audit(make(pictures=True, marked=True).session(), repairs=False).findings[0]
    assert first.shortcut.feature.name == "mark at the lower right"
    assert {"sea", "lake"} & {member.name for member in first.shortcut.members}


def test_the_derived_file_is_read_again_and_may_be_missing_or_damaged(make: Make) -> None:
    project = make(pictures=True, n=60, fit=40)
    first = image_properties(project)
    assert first is not None
    path = project.path / FILE
    written = path.stat().st_mtime_ns
    again = image_properties(project)
    assert again is not None
    np.testing.assert_array_equal(again.values, first.values)
    assert path.stat().st_mtime_ns == written
    for damage in (b"", path.read_bytes()[:-1], os.urandom(path.stat().st_size)):
        path.write_bytes(damage)
        repaired = image_properties(project)
        assert repaired is not None
        np.testing.assert_array_equal(repaired.values, first.values)
    path.unlink()
    assert project.verify() == []


def test_a_project_without_thumbnails_is_audited_without_properties(make: Make) -> None:
    project = make()
    assert image_properties(project) is None
    assert not (project.path / FILE).exists()
    assert all(f.shortcut.feature.kind == "concept" for f in audit(project.session()).findings)


def test_near_duplicates_across_the_parts_are_listed(make: Make) -> None:
    project = make(pictures=True, n=60, fit=40)
    found = image_properties(project)
    assert found is not None
    found.signatures.flags.writeable = False
    signatures, values = found.signatures.copy(), found.values.copy()
    signatures[50], values[50] = signatures[3] ^ np.uint64(1), values[3]
    copy = type(found)(values, signatures)
    assert (50, 3) in copy.duplicates(project.validation_rows, project.training_rows)
