"""Search for images: which files are found, in which order, and the notes about others."""

import os
from pathlib import Path
from unicodedata import normalize

import pytest

from inficond.core.errors import InputError
from inficond.core.images import ImageRecord, find_images, open_source
from inficond.core.images.decode import UnreadableImage, decode
from inficond.core.images.walk import inside


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_a_folder_is_searched_recursively_and_sorted_by_id(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a/z.png", "a/b/c.webp", "notes.txt", ".hidden.jpg", ".git/x.jpg", "noext")
    found = find_images(tmp_path)
    assert [f.id for f in found] == ["a/b/c.webp", "a/z.png", "b.JPG"]
    assert all(f.path == tmp_path / f.id for f in found)


def test_a_link_loop_ends_and_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jpg")
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    notes: list[tuple[str, str]] = []
    found = find_images(tmp_path, lambda file, reason: notes.append((file, reason)))
    assert "a/x.jpg" in [f.id for f in found]
    assert ("a/again", "a symbolic link to a folder already searched") in notes
    assert len(found) == len({f.id for f in found}) <= 2  # self.jpg may be left to the decoder


def test_a_linked_folder_is_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/x.jpg")
    (tmp_path / "photos").mkdir()
    for name in ("one", "two"):
        (tmp_path / "photos" / name).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert len(find_images(tmp_path / "photos")) == 1


@pytest.mark.parametrize("make", [lambda p: None, lambda p: touch(p, "readme.txt", "movie.mp4")])
def test_a_folder_without_images_is_refused(tmp_path: Path, make: object) -> None:
    make(tmp_path)  # type: ignore[operator]
    with pytest.raises(InputError, match="no images in"):
        find_images(tmp_path)


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.*No such file"):
        find_images(tmp_path / "nowhere")


@pytest.mark.skipif(os.name == "nt", reason="permissions")
def test_an_unreadable_folder_is_left_out_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "open/x.jpg", "closed/y.jpg")
    tmp_path.chmod(0o755)
    (tmp_path / "closed").chmod(0)
    notes: list[tuple[str, str]] = []
    root = os.geteuid() == 0
    parents = [
        p for p in tmp_path.parents if p.stat().st_uid == os.getuid() and p.stat().st_mode & 0o055 != 0o055
    ]
    before = {p: p.stat().st_mode for p in parents}
    try:
        if root:  # root reads everything, so be somebody else for a moment
            for parent in parents:
                parent.chmod(before[parent] | 0o055)
            os.seteuid(65534)
        found = find_images(tmp_path, lambda file, reason: notes.append((file, reason)))
    finally:
        if root:
            os.seteuid(0)
            for parent in parents:
                parent.chmod(before[parent])
        (tmp_path / "closed").chmod(0o755)
    assert [f.id for f in found] == ["open/x.jpg"]
    assert notes == [("closed", "cannot be read: Permission denied")]


def test_a_list_of_paths(tmp_path: Path) -> None:
    touch(tmp_path, "p/x.jpg", "p/y.jpg")
    (tmp_path / "list.txt").write_text("# mine\np/y.jpg\n\n" + str(tmp_path / "p" / "x.jpg") + "\np/y.jpg\n")
    notes: list[tuple[str, str]] = []
    found = find_images(tmp_path / "list.txt", lambda file, reason: notes.append((file, reason)))
    assert [f.id for f in found] == ["p/x.jpg", "p/y.jpg"]
    assert notes == [("p/y.jpg", "listed more than once; the first is used")]


def test_ids_of_listed_paths_are_relative_to_their_common_folder(tmp_path: Path) -> None:
    touch(tmp_path, "far/a/x.jpg", "far/b/x.jpg")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "list.txt").write_text("../far/a/x.jpg\n../far/b/x.jpg\n")
    assert [f.id for f in find_images(tmp_path / "here" / "list.txt")] == ["a/x.jpg", "b/x.jpg"]


def test_groups_and_split_are_read_from_a_csv(tmp_path: Path) -> None:
    touch(tmp_path, "x.jpg", "y.jpg", "z.jpg")
    (tmp_path / "images.csv").write_text("path,group,split\nx.jpg,cam1,val\ny.jpg,,train\nz.jpg,cam1,\n")
    assert find_images(tmp_path / "images.csv") == [
        ImageRecord("x.jpg", tmp_path / "x.jpg", "cam1", "val"),
        ImageRecord("y.jpg", tmp_path / "y.jpg", None, "train"),
        ImageRecord("z.jpg", tmp_path / "z.jpg", "cam1", None),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("i.csv", "photographer\nAnna\n", "no column `image`.*--image-column"),
        ("i.csv", "path,split\nx.jpg,maybe\n", "line 2, column 'split': 'maybe' is not a split"),
        ("i.csv", "path\n", "has no rows"),
        ("i.txt", "", "lists no path"),
        ("i.txt", "\x81\xfe", "not UTF-8"),
        ("i.txt", "a b c d e\0b", "not a text file: line 1 contains a zero byte"),
        ("i.txt", "https://host/a.jpg\n", "none of the 1 listed files exists.*download the images"),
        ("i.csv", "image,label\nhttps://host/a.jpg,cat\n", "none of the 1 listed .*download the images"),
        ("i.csv", "id,label\nb,cat\n", "'b': write the path of one file.*the table with --labels"),
        ("i.txt", "x.jpg 0\n", "'x.jpg 0': write the path of one file"),
        ("i.txt", "/home/other/x.jpg\n", "paths start at the folder of the list"),
        ("i.pkl", "\x80\x04\x95x", "a Python pickle, which is never loaded"),
        ("i.zst", "x", "is an archive: unpack it"),
        ("i.NEF", "x", "a camera raw file: convert it to JPEG"),
        ("x.jpg", "x", "is one image"),
    ],
)
def test_an_invalid_list_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        find_images(tmp_path / name)


@pytest.mark.skipif(os.name == "nt", reason="file names there are always text")
def test_a_name_that_is_not_utf_8_is_left_out_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, "good.jpg")
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.jpg"))).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    notes: list[tuple[str, str]] = []
    found = find_images(tmp_path, lambda file, reason: notes.append((file, reason)))
    assert [f.id for f in found] == ["good.jpg"]
    assert notes == [("b\\udcff.jpg", "its name is not UTF-8; rename it")]
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xff"))
    touch(folder, "1.jpg", "2.jpg")
    notes.clear()
    assert len(find_images(tmp_path, lambda file, reason: notes.append((file, reason)))) == 1
    assert sorted(file for file, _ in notes) == ["b\\udcff.jpg", "d\\udcff/1.jpg", "d\\udcff/2.jpg"]


def test_real_folders_are_preferred_to_links(tmp_path: Path) -> None:
    touch(tmp_path, "photos/z/1.jpg", "photos/m/n/2.jpg", "elsewhere/3.jpg", "elsewhere/deep/4.jpg")
    photos = tmp_path / "photos"
    for link, target in (
        ("a", "z"),
        ("m/a", "../z"),
        ("b", "m/n"),
        ("c", "../elsewhere/deep"),
        ("d", "../elsewhere"),
    ):
        (photos / link).symlink_to(target, target_is_directory=True)
    notes: list[tuple[str, str]] = []
    found = find_images(photos, lambda file, reason: notes.append((file, reason)))
    assert [f.id for f in found] == ["c/4.jpg", "d/3.jpg", "m/n/2.jpg", "z/1.jpg"]
    assert sorted(file for file, _ in notes) == ["a", "b", "d/deep", "m/a"]
    assert {reason for _, reason in notes} == {"a symbolic link to a folder already searched"}


def test_a_link_to_an_image_in_the_folder_is_not_a_second_image(tmp_path: Path) -> None:
    touch(tmp_path, "p/b/real.jpg", "store/blob")
    for link, target in (
        ("a.jpg", "b/real.jpg"),
        ("outside.jpg", "../store/blob"),
        ("same.jpg", "../store/blob"),
    ):
        (tmp_path / "p" / link).symlink_to(target)
    notes: list[tuple[str, str]] = []
    found = find_images(tmp_path / "p", lambda file, reason: notes.append((file, reason)))
    assert [f.id for f in found] == ["b/real.jpg", "outside.jpg", "same.jpg"]
    assert notes == [("a.jpg", "a symbolic link to an image that is found already")]


def test_pictures_in_unsupported_formats_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.NEF", "c.psd", "d.svg", "e.mp4", "f.txt")
    (tmp_path / "download").write_bytes(b"\xff\xd8\xff\xe0rest")
    (tmp_path / "photo.jpg_large").write_bytes(b"\x89PNG\r\n\x1a\n")
    notes: dict[str, str] = {}
    assert [f.id for f in find_images(tmp_path, notes.__setitem__)] == ["a.jpg"]
    assert set(notes) == {"b.NEF", "c.psd", "d.svg", "download", "photo.jpg_large"}
    assert "camera raw" in notes["b.NEF"]
    assert "a JPEG picture" in notes["download"]


def test_lists_with_paths_of_other_systems_are_read(tmp_path: Path) -> None:
    touch(tmp_path, "ph/caf\u00e9.jpg", "ph/back\\slash.jpg", "ph/b.jpg")
    listed = ["ph\\b.jpg", "ph/cafe\u0301.jpg", "ph/back\\slash.jpg"]
    want = sorted(["ph/b.jpg", "ph/caf\u00e9.jpg", "ph/back\\slash.jpg"])
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "l.txt").write_text("\r\n".join(listed), encoding=encoding)
        assert [f.id for f in find_images(tmp_path / "l.txt")] == want
        rows = "".join(f"{name};{i};train\n" for i, name in enumerate(listed))
        (tmp_path / "l.csv").write_text("file name;group;split\n" + rows, encoding=encoding)
        found = find_images(tmp_path / "l.csv")
        assert [f.id for f in found] == want
        assert {f.group for f in found} == {"0", "1", "2"}


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("'{}'", "remove the quotes, spaces and line breaks"),
        ("{}\n", "remove the quotes, spaces and line breaks"),
        ("{}/*.bmp", "the pattern matches no file"),
        ("C:\\Users\\x", "a path of Windows"),
        ("{}x", "check its spelling"),
    ],
)
def test_a_path_that_is_not_there_gets_advice(tmp_path: Path, text: str, advice: str) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(InputError, match=f"cannot read .*{advice}"):
        find_images(text.format(tmp_path))


def test_an_address_of_a_folder_may_be_escaped(tmp_path: Path) -> None:
    touch(tmp_path, "my photos/a.jpg", "100%25/b.jpg")
    assert [f.id for f in find_images((tmp_path / "my photos").as_uri())] == ["a.jpg"]
    assert [f.id for f in find_images(f"file://{tmp_path}/100%25")] == ["b.jpg"]


def test_class_folders_without_an_image_that_is_read_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/2.jpg", "fish/3.NEF", "@eaDir/x.txt")
    (tmp_path / "bird").symlink_to("nowhere")
    notes: dict[str, str] = {}
    images = open_source(tmp_path, notes.__setitem__)
    assert images.classes == ("cat", "dog")
    assert set(notes) == {"bird", "fish/3.NEF"}
    assert "not there" in notes["bird"]
    assert [note for note in images.notes if "no image" in note] == [
        "folder 'fish' beside the class folders holds no image that is read"
    ]


def test_hidden_images_and_folders_of_images_are_named(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a.jpg",
        ".b.jpg",
        "._a.jpg",
        ".album/1.jpg",
        ".thumbnails/1.jpg",
        ".notes/x.txt",
        ".DS_Store",
    )
    notes: dict[str, str] = {}
    assert [f.id for f in find_images(tmp_path, notes.__setitem__)] == ["a.jpg"]
    assert set(notes) == {".b.jpg", ".album"}
    assert "begins with a dot; rename it" in notes[".album"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".a/x.jpg", "begins with a dot"),
        ("x.NEF", "a camera raw file"),
        ("photos.zip", "an archive; unpack it"),
    ],
)
def test_a_folder_of_which_everything_is_left_out_says_why(tmp_path: Path, name: str, reason: str) -> None:
    touch(tmp_path, name)
    with pytest.raises(InputError, match=f"no images in .*: 1 left out, the first .*{reason}"):
        find_images(tmp_path)


def test_folders_of_systems_are_not_classes(tmp_path: Path) -> None:
    touch(
        tmp_path, "a/1.jpg", "b/2.jpg", "@eaDir/1.jpg", "__MACOSX/a/._1.jpg", "$RECYCLE.BIN/3.jpg", ".x/4.jpg"
    )
    assert [f.id for f in find_images(tmp_path)] == ["a/1.jpg", "b/2.jpg"]


def test_listed_paths_may_be_quoted_or_addresses_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "p/a.jpg", "p/b c.jpg", "p/d.jpg", "p/'e'.jpg")
    address = (tmp_path / "p" / "b c.jpg").as_uri()
    (tmp_path / "l.txt").write_text(f"\"p/a.jpg\"\n{address}\n~/p/d.jpg\np/'e'.jpg\n")
    assert [f.id for f in find_images(tmp_path / "l.txt")] == ["p/'e'.jpg", "p/a.jpg", "p/b c.jpg", "p/d.jpg"]
    (tmp_path / "m.txt").write_bytes(b"\xef\xbb\xbfp/a.jpg\n\xef\xbb\xbfp/b%20c.jpg\n")
    assert [f.id for f in find_images(tmp_path / "m.txt")] == ["p/a.jpg", "p/b c.jpg"]


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_path_is_refused(empty: str) -> None:
    with pytest.raises(InputError, match="path of the images is empty"):
        find_images(empty)  # type: ignore[arg-type]


def test_links_in_circles_and_to_nowhere_end(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg")
    for link, target in (("a/up", ".."), ("b", "b"), ("c", "nowhere"), ("d.jpg", "d.jpg")):
        (tmp_path / link).symlink_to(target)
    notes: dict[str, str] = {}
    assert [f.id for f in find_images(tmp_path, notes.__setitem__)] == ["a/1.jpg"]
    assert "already searched" in notes["a/up"]
    assert "symbolic links" in notes["b"] + notes["d.jpg"]


def test_a_path_longer_than_the_system_allows_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "x.jpg")
    here = os.open(".", os.O_RDONLY)
    os.chdir(tmp_path)
    try:
        for _ in range(25):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.fchdir(here)
        os.close(here)
    notes: list[str] = []
    assert [f.id for f in find_images(tmp_path, lambda file, reason: notes.append(reason))] == ["x.jpg"]
    assert notes == ["cannot be read: File name too long"]


def test_files_inside_a_folder_are_recognised_through_links(tmp_path: Path) -> None:
    project, photos = tmp_path / "project", tmp_path / "photos"
    (project / "thumbnails").mkdir(parents=True)
    photos.mkdir()
    for path in (project / "thumbnails" / "1.jpg", photos / "2.jpg"):
        path.write_bytes(b"")
    (photos / "linked.jpg").symlink_to(project / "thumbnails" / "1.jpg")
    (photos / "folder").symlink_to(project / "thumbnails")
    names = ("2.jpg", "linked.jpg", "folder/1.jpg")
    assert [inside(project)(photos / name) for name in names] == [False, True, True]


def test_folders_of_disk_stations_are_left_out(tmp_path: Path) -> None:
    for folder in ("#recycle", "#Snapshot", "@eaDir", ".Trash-1000", "RECYCLER", "photos"):
        touch(tmp_path, f"{folder}/a.png")
    assert [record.id for record in find_images(tmp_path)] == ["photos/a.png"]


def test_names_that_look_alike_are_two_images(tmp_path: Path) -> None:
    names = ["a.png", "A.png", "a.PNG", normalize("NFC", "é.png"), normalize("NFD", "é.png"), "\u200b.png"]
    touch(tmp_path, *names)
    assert sorted(record.id for record in find_images(tmp_path)) == sorted(names)


@pytest.mark.parametrize(
    "name", ["a\nb.png", "\x1b[31m.png", "a\u202egnp.png", "back\\slash.png", "-e.png", "é" * 125 + "a.png"]
)
def test_names_of_any_characters_are_found(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name, f"sub/{name}")
    assert [record.id for record in find_images(tmp_path)] == sorted([name, f"sub/{name}"])


def test_pipes_sockets_and_devices_are_not_opened(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.txt")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    found = {record.id: record for record in find_images(tmp_path)}
    assert set(found) == {"a.png", "pipe.png"}
    with pytest.raises(UnreadableImage, match="not a file"):
        decode(tmp_path / "pipe.png")
