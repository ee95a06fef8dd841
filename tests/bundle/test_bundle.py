"""An archive brings back every byte, and refuses to do anything else."""

import json
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inficond.core.bundle import MANIFEST, pack, unpack
from inficond.core.errors import InputError


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "source" / "Zoo ü"
    (folder / "regions").mkdir(parents=True)
    (folder / "project.json").write_text('{"format": 1}')
    (folder / "regions" / "r.npy").write_bytes(bytes(range(256)) * 50)
    (folder / "empty").write_bytes(b"")
    return folder


def rewrite(
    archive: Path, members: dict[str, bytes], listing: dict[str, dict] | None = None, **extra: object
) -> Path:
    """An archive with any members and any manifest, as an attacker would make it."""
    import hashlib

    if listing is None:
        listing = {n: {"sha256": hashlib.sha256(b).hexdigest(), "bytes": len(b)} for n, b in members.items()}
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr(MANIFEST, json.dumps({"format": 1, "members": listing, **extra}))
        for name, data in members.items():
            z.writestr(zipfile.ZipInfo(name), data)
    return archive


def test_every_byte_comes_back(project: Path, tmp_path: Path) -> None:
    packed = pack([project], tmp_path / "a.zip")
    assert packed["files"] == 3
    made = unpack(tmp_path / "a.zip", tmp_path / "out")
    assert made == [tmp_path / "out" / "Zoo ü"]
    assert tree(made[0]) == tree(project)


def test_links_are_not_followed_out_of_a_project(project: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("keep out")
    os.symlink(secret, project / "link")
    pack([project], tmp_path / "a.zip")
    made = unpack(tmp_path / "a.zip", tmp_path / "out")
    assert "link" not in tree(made[0])


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/etc/evil",
        "C:/evil",
        "a\\..\\evil",
        "a//b",
        "./a",
        "nul/x",
        "a/aux.txt",
        "a. /b",
    ],
)
def test_names_that_would_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    archive = rewrite(tmp_path / "evil.zip", {name: b"x"})
    with pytest.raises(InputError, match="cannot be trusted|differ"):
        unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {}
    assert not (tmp_path / "evil").exists()


def test_a_symbolic_link_inside_an_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "evil.zip"
    info = zipfile.ZipInfo("p/link")
    info.external_attr = (0o120777) << 16
    with zipfile.ZipFile(archive, "w") as z:
        listing = {"p/link": {"sha256": "0" * 64, "bytes": 11}}
        z.writestr(MANIFEST, json.dumps({"format": 1, "members": listing}))
        z.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match="no plain file"):
        unpack(archive, tmp_path / "out")


def test_a_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        listing = {"p/zeros": {"sha256": "0" * 64, "bytes": 200 << 20}}
        z.writestr(MANIFEST, json.dumps({"format": 1, "members": listing}))
        z.writestr("p/zeros", bytes(200 << 20))
    assert archive.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="size it claims"):
        unpack(archive, tmp_path / "out")


def test_members_that_the_listing_does_not_name_are_refused(tmp_path: Path) -> None:
    archive = rewrite(
        tmp_path / "a.zip", {"p/a": b"1", "p/b": b"2"}, listing={"p/a": {"sha256": "", "bytes": 1}}
    )
    with pytest.raises(InputError, match="members differ"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_says_so(version: object, tmp_path: Path) -> None:
    archive = rewrite(tmp_path / "a.zip", {"p/a": b"1"}, format=version)
    with pytest.raises(InputError, match="update inficond"):
        unpack(archive, tmp_path / "out")


def test_nothing_is_overwritten(project: Path, tmp_path: Path) -> None:
    pack([project], tmp_path / "a.zip")
    made = unpack(tmp_path / "a.zip", tmp_path / "out")
    # Just the same, as after a kill at the very end, is no harm …
    assert unpack(tmp_path / "a.zip", tmp_path / "out") == made
    pack([project], tmp_path / "a.zip")
    # … anything else is.
    file = next(p for p in made[0].rglob("*") if p.is_file())
    file.write_bytes(file.read_bytes() + b"mine")
    with pytest.raises(InputError, match="exists already"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(InputError, match="exists already"):
        pack([made[0]], tmp_path / "a.zip")
    assert file.read_bytes().endswith(b"mine")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_byte_never_passes(
    data: st.DataObject, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    pack([project], folder / "a.zip")
    raw = bytearray((folder / "a.zip").read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    (folder / "b.zip").write_bytes(raw)
    try:
        made = unpack(folder / "b.zip", folder / "out")
    except InputError:
        assert tree(folder / "out") == {}
    else:  # the flip hit a byte that carries nothing, such as a time stamp
        assert [tree(m) for m in made] == [tree(project)]


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=400))
def test_noise_is_no_archive(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("noise")
    (folder / "a.zip").write_bytes(raw)
    with pytest.raises(InputError):
        unpack(folder / "a.zip", folder / "out")
