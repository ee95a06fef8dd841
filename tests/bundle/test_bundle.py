"""Archives: every byte comes back, visits stay out, and unsafe archives are refused."""

import hashlib
import json
import os
import shutil
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inficond.core import Project
from inficond.core.bundle import MANIFEST, pack, unpack
from inficond.core.cli.main import main
from inficond.core.errors import InputError
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]


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
    """Write an archive with given members and a given list of members."""
    if listing is None:
        listing = {n: {"sha256": hashlib.sha256(b).hexdigest(), "bytes": len(b)} for n, b in members.items()}
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr(MANIFEST, json.dumps({"format": 1, "members": listing, **extra}))
        for name, data in members.items():
            z.writestr(zipfile.ZipInfo(name), data)
    return archive


def test_an_archive_restores_every_byte(project: Path, tmp_path: Path) -> None:
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
    with pytest.raises(InputError, match="not a plain file"):
        unpack(archive, tmp_path / "out")


def test_a_compressed_member_is_refused_before_it_is_decompressed(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        listing = {"p/zeros": {"sha256": "0" * 64, "bytes": 200 << 20}}
        z.writestr(MANIFEST, json.dumps({"format": 1, "members": listing}))
        z.writestr("p/zeros", bytes(200 << 20))
    assert archive.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="size it claims"):
        unpack(archive, tmp_path / "out")


def test_unlisted_members_are_refused(tmp_path: Path) -> None:
    archive = rewrite(
        tmp_path / "a.zip", {"p/a": b"1", "p/b": b"2"}, listing={"p/a": {"sha256": "", "bytes": 1}}
    )
    with pytest.raises(InputError, match="members differ"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_is_refused(version: object, tmp_path: Path) -> None:
    archive = rewrite(tmp_path / "a.zip", {"p/a": b"1"}, format=version)
    with pytest.raises(InputError, match="update inficond"):
        unpack(archive, tmp_path / "out")


def test_nothing_is_overwritten(project: Path, tmp_path: Path) -> None:
    pack([project], tmp_path / "a.zip")
    made = unpack(tmp_path / "a.zip", tmp_path / "out")
    # The same files, as after a kill at the end, are accepted …
    assert unpack(tmp_path / "a.zip", tmp_path / "out") == made
    pack([project], tmp_path / "a.zip")
    # … and others are refused.
    file = next(p for p in made[0].rglob("*") if p.is_file())
    file.write_bytes(file.read_bytes() + b"mine")
    with pytest.raises(InputError, match="exists already"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(InputError, match="exists already"):
        pack([made[0]], tmp_path / "a.zip")
    assert file.read_bytes().endswith(b"mine")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=400))
def test_noise_is_refused(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("noise")
    (folder / "a.zip").write_bytes(raw)
    with pytest.raises(InputError):
        unpack(folder / "a.zip", folder / "out")


# -- histories


def test_the_same_project_gives_the_same_archive(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project()
    session = project.session("main")
    for k in range(3):
        session.apply("boat", Action("mute", f"c{k}"))
    session.name(session.node, "named")
    pack([project.path], tmp_path / "a.zip")
    pack([project.path], tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert pack([project.path], tmp_path / "a.zip")["files"] > 0, "a run killed at its end is repeated"
    session.apply("boat", Action("mute", "c5"))
    with pytest.raises(InputError, match="exists already"):
        pack([project.path], tmp_path / "a.zip")


def test_steps_in_sqlites_log_are_packed(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project()
    node = project.session("main").apply("boat", Action("mute", "c1"))
    copied = tmp_path / "copied"
    shutil.copytree(project.path, copied)  # as it lies on a disk after a kill
    assert (copied / "history.sqlite-wal").stat().st_size > 0
    pack([copied], tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as z:
        assert [n for n in z.namelist() if "history" in n] == ["copied/history.sqlite"]
    assert Project.open(unpack(tmp_path / "a.zip", tmp_path / "out")[0]).session("main").node == node.id


@pytest.mark.parametrize("damage", [b"not a database at all" * 300, None])
def test_a_damaged_history_is_not_packed(
    make_project: MakeProject, tmp_path: Path, damage: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project()
    project.session("main").apply("boat", Action("mute", "c1"))
    project.context.history_store.close()
    path = project.path / "history.sqlite"
    if damage is not None:
        path.write_bytes(damage)
    else:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TRIGGER t AFTER INSERT ON node BEGIN DELETE FROM node; END")
    assert main(["pack", str(project.path), "--out", str(tmp_path / "a.zip")]) == 2
    said = capsys.readouterr().err
    assert "history.sqlite is damaged" in said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("*.zip"))


# -- what is not packed, and what is refused


def test_hidden_files_and_leftovers_are_not_packed(project: Path, tmp_path: Path) -> None:
    (project / ".env").write_text("SECRET=1")
    (project / ".git").mkdir()
    (project / ".git" / "config").write_text("[user]")
    (project / "regions" / ".r.npy.123.part").write_bytes(b"half")
    pack([project], tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as z:
        assert sorted(z.namelist()) == sorted(
            [MANIFEST, "Zoo ü/empty", "Zoo ü/project.json", "Zoo ü/regions/r.npy"]
        )
    hidden = tmp_path / ".ssh"
    hidden.mkdir()
    (hidden / "authorized_keys").write_text("x")
    with pytest.raises(InputError, match="is hidden"):
        pack([hidden], tmp_path / "b.zip")


def test_an_unreadable_file_is_named(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refuse(self: Path, *how: object, **more: object) -> object:
        if self.name == "r.npy":
            raise PermissionError(13, "Permission denied")
        return opened(self, *how, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"cannot read .*r\.npy \(Permission denied\): nothing was packed"):
        pack([project], tmp_path / "a.zip")
    assert not list(tmp_path.glob("*a.zip*"))


UNSAFE = {
    "a hidden folder at the top": ".ssh/authorized_keys",
    "a hidden file at the top": ".bashrc",
    "a terminal's escape": "p/\x1b[2Jgone",
    "a line break": "p/a\nb: forged",
    "a text direction": "p/\u202egpj.exe",
    "a control character of Latin-1": "p/\x9b31m",
    "1,500 folders": "/".join(["d"] * 1500) + "/f",
    "33 folders": "/".join(["d"] * 33) + "/f",
    "a part of 300 bytes": "p/" + "x" * 300,
    "a part of 300 bytes in 150 letters": "p/" + "ü" * 150,
    "a name of 1,100 bytes": "/".join(["y" * 100] * 11),
    "a stream of NTFS": "p/a.txt:hidden",
}


@pytest.mark.parametrize("name", UNSAFE.values(), ids=UNSAFE.keys())
def test_unsafe_names_are_refused_in_one_printable_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = rewrite(tmp_path / "evil.zip", {name: b"x", "p/ok": b"y"})
    assert main(["unpack", str(archive), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.strip().isprintable()
    assert "cannot be trusted" in said or "differ" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "names",
    [("p/a", "p/a/b"), ("p/A", "p/a/b"), ("P/x", "p/x"), ("p/\u00e9", "p/e\u0301"), ("p/ss", "p/\u00df")],
)
def test_names_that_are_the_same_on_another_system_are_refused(
    names: tuple[str, str], tmp_path: Path
) -> None:
    archive = rewrite(tmp_path / "evil.zip", dict.fromkeys(names, b"x"))
    with pytest.raises(InputError, match="cannot be trusted"):
        unpack(archive, tmp_path / "out")


def overlapping(archive: Path, copies: int, size: int) -> Path:
    """An archive whose members all refer to the same bytes: `copies` times `size` from `size` bytes."""
    names = [f"p/{i:04d}" for i in range(copies)]
    entry = {"sha256": hashlib.sha256(bytes(size)).hexdigest(), "bytes": size}
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr(zipfile.ZipInfo(names[0]), bytes(size))
        first = z.getinfo(names[0])
        for name in names[1:]:
            info = zipfile.ZipInfo(name)
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.file_size = info.compress_size = size
            z.filelist.append(info)
        z.writestr(MANIFEST, json.dumps({"format": 1, "members": dict.fromkeys(names, entry)}))
    return archive


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    """Regression: 2 MB became 1,000 MB."""
    archive = overlapping(tmp_path / "evil.zip", 500, 2 << 20)
    assert archive.stat().st_size < 3 << 20
    with pytest.raises(InputError, match="overlaps another member"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_members_that_reach_into_the_directory_are_refused(tmp_path: Path) -> None:
    archive = rewrite(tmp_path / "evil.zip", {"p/a": b"x" * 100})
    raw = bytearray(archive.read_bytes())
    at = raw.rindex(b"PK\x01\x02")  # the last member in the directory: p/a
    raw[at + 20 : at + 28] = struct.pack("<II", 100_000, 100_000)
    archive.write_bytes(raw)
    with pytest.raises(InputError, match="size it claims|shorter"):
        unpack(archive, tmp_path / "out")


@pytest.mark.skipif(os.name != "posix", reason="needs pipes")
def test_a_pipe_is_not_an_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a file"):
        unpack(tmp_path / "pipe", tmp_path / "out")


def test_a_list_of_members_that_is_nested_deep_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr(MANIFEST, "[" * 200_000)
    with pytest.raises(InputError, match="was not made by"):
        unpack(archive, tmp_path / "out")
