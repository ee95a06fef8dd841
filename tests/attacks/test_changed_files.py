"""Files that change between a check and their use: what was checked is what is used."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import tiny_models

from inficond.core.errors import InputError
from inficond.core.images import ImageRecord
from inficond.core.models import load_encoder, load_teacher
from inficond.core.models.graph_file import read_graph
from inficond.core.models.sessions import open_session
from inficond.core.models.trust import registered
from inficond.core.pipeline.encode import Encoding
from inficond.core.pipeline.shards import SourceFile
from inficond.core.teachers.zero_shot import write_zero_shot


def test_a_teacher_is_not_made_from_a_graph_that_was_replaced(tmp_path: Path) -> None:
    folder = tiny_models.write_encoder(tmp_path / "encoder")
    encoder = load_encoder(folder, "cpu")
    graph = folder / encoder.manifest.image.file
    graph.write_bytes(graph.read_bytes() + b"\x0a\x00")
    before = registered()
    with pytest.raises(InputError, match="has changed since it was opened|does not match its manifest"):
        write_zero_shot(tmp_path / "teacher", encoder, {"red": [], "blue": []})
    assert registered() == before
    assert not (tmp_path / "teacher").exists()


def test_a_graph_that_changes_after_its_check_is_not_run(tmp_path: Path) -> None:
    folder = tiny_models.write_teacher(tmp_path / "teacher")
    path = next(folder.glob("*.onnx"))
    graph = read_graph(path)
    with path.open("r+b") as file:  # the same file, which is mapped
        file.seek(40)
        file.write(b"\xff")
    with pytest.raises(InputError, match="has changed since it was checked"):
        open_session(graph, "cpu")


def test_a_picture_that_changes_after_its_checksum_is_not_stored_under_it(tmp_path: Path) -> None:
    encoder = load_encoder(tiny_models.write_encoder(tmp_path / "encoder"), "cpu", threads=1)
    teacher = load_teacher(tiny_models.write_teacher(tmp_path / "teacher"), "cpu", threads=1)
    picture = tmp_path / "a.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(picture)
    source = SourceFile.of(ImageRecord("a.png", picture))
    encoding = Encoding(encoder, teacher)
    assert encoding.run([source]).ids == ["a.png"]
    Image.fromarray(np.full((40, 40, 3), 255, np.uint8)).save(picture)
    with pytest.raises(InputError, match="has changed during the build"):
        encoding.run([source])
