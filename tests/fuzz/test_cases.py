"""Regression tests of all inputs that revealed a bug, stored in `cases/PARSER.json`."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.fuzz.harness import ACCEPTED, decoded, encoded, folder_in, judge, kept_cases, watched
from tests.fuzz.inputs import Long, Pairs, Raw
from tests.fuzz.parsers import MAKERS, parser_of
from tests.fuzz.workshop import Workshop

from inficond.core.errors import InputError
from inficond.core.models.onnx_safety import check_graph
from inficond.core.models.protobuf import field
from inficond.core.models.tables import read_labels, read_responses
from inficond.core.students import Students
from inficond.core.tuning.state import Focus

CASES = kept_cases()


@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, _, case in CASES], ids=[f"{n} {i}" for n, i, _ in CASES]
)
def test_stored_case(name: str, case: dict[str, Any], workshop: Workshop, tmp_path: Path) -> None:
    with folder_in(tmp_path) as place:
        assert judge(parser_of(name, workshop), decoded(case["input"]), place) == case["now"], (
            f"before: {case['was']}"
        )


def test_every_stored_case_belongs_to_a_parser() -> None:
    assert {name for name, _, _ in CASES} <= set(MAKERS)
    assert len(CASES) > 100


def test_a_file_without_a_recorded_type_is_read(workshop: Workshop, tmp_path: Path) -> None:
    """Regression: KeyError: 'dtype'. Not stored in `cases`, since checksums depend on the processor."""
    config = json.loads((workshop.project.path / "project.json").read_text())
    del config["checksum"], config["files"]["regions/embeddings.npy"]["dtype"]
    with folder_in(tmp_path) as place:
        assert judge(parser_of("project", workshop), ("project.json", config), place) == ACCEPTED


# Too large to be kept as files; each took minutes, or tens of gigabytes.


def test_a_small_table_of_many_names_is_refused(tmp_path: Path) -> None:
    """Each line has a different image and class, so the table would have 4,294,967,296 numbers."""
    lines = [f"i{n},c{n}" for n in range(1 << 16)]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["image,class", *lines]))
    with (
        watched(tmp_path),
        pytest.raises(InputError, match=r"labels.csv names 65,536 images and 65,536 classes"),
    ):
        read_labels(path)
    path.write_text("\n".join(["image,class,probability", *(f"{line},0.5" for line in lines)]))
    with watched(tmp_path), pytest.raises(InputError, match="keep fewer classes"):
        read_responses(path)


def test_a_table_of_very_many_columns_is_read(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(20_000)]
    path = tmp_path / "wide.parquet"
    pq.write_table(pa.table({"image": ["a.jpg"], **{n: [1.0] for n in names}}), path)
    with watched(tmp_path):
        table = read_labels(path)
    assert table.classes == tuple(names)
    assert table.values.sum() == len(names)


def test_a_repeated_name_in_a_long_list_is_found(tmp_path: Path) -> None:
    names = [f"word {n}" for n in range(300_000)]
    weights, mean = np.zeros((1, len(names) + 1)), np.zeros(len(names) + 1)
    with watched(tmp_path), pytest.raises(InputError, match="'word 299999' occurs twice"):
        Students(["boat"], [*names, names[-1]], weights, [0.0], mean, mean + 1)


def test_a_tensor_of_very_many_dimensions_is_refused(tmp_path: Path) -> None:
    tensor = field(1, 2**62) * 400_000 + field(2, 1) + field(9, b"x")
    model = field(1, 9) + field(8, field(1, "") + field(2, 17)) + field(7, field(2, "g") + field(5, tensor))
    with watched(tmp_path), pytest.raises(InputError, match="dimensions"):
        check_graph(model, "deep.onnx")


def test_a_focus_that_decompresses_to_a_gigabyte_is_refused(tmp_path: Path) -> None:
    """A small compressed mask can decompress to a gigabyte."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # after it, it may begin anew
    bomb = head + block * 3000
    assert len(bomb) < 4_000_000
    with watched(tmp_path), pytest.raises(InputError, match="damaged in the history"):
        Focus("missed", 5.0, 3, bomb).mask(60)
    mask = np.arange(60) % 7 == 0
    assert (Focus.of("x", mask, 2).mask(60) == mask).all()


def test_cases_are_stored_losslessly() -> None:
    given = [
        b"\0\xff",
        (Long("a", 3), Raw("[")),
        Pairs((("k", 1), ("k", [None]))),
        {"x": "\ud800", "n": 10**400},
    ]
    assert decoded(json.loads(json.dumps(encoded(given)))) == given
