"""Files that name the outputs of a classifier, in the forms in which tools write them."""

import json
from pathlib import Path

import pytest

from inficond.core.errors import InputError
from inficond.core.models.label_names import count_hint, names_of_value, read_label_names

NAMES = ["cat", "dog", "cow", "hen"]
TEXTS = {
    "lines": "cat\ndog\ncow\nhen\n",
    "blank lines at the end": "cat\r\ndog\r\ncow\r\nhen\r\n\r\n",
    "Teachable Machine": "0 cat\n1 dog\n2 cow\n3 hen\n",
    "numbers and colons": "0: cat\n1: dog\n2: cow\n3: hen",
    "CSV": "0,cat\n1,dog\n2,cow\n3,hen",
    "CSV with a heading": "index,label\n0,cat\n1,dog\n2,cow\n3,hen",
    "CSV, name first": "name,id\ncat,0\ndog,1\ncow,2\nhen,3",
    "not in order": "2 cow\n0 cat\n3 hen\n1 dog",
    "numbers from 1": "1 cat\n2 dog\n3 cow\n4 hen",
    "one line": "cat, dog, cow, hen",
    "quoted": "'cat',\n'dog',\n'cow',\n'hen',",
    "WordNet ids": "n02123045 cat\nn02084071 dog\nn01887787 cow\nn01514668 hen",
    "JSON list": json.dumps(NAMES),
    "JSON object": json.dumps(dict(enumerate(NAMES))),
    "JSON names to numbers": json.dumps({name: i for i, name in enumerate(NAMES)}),
    "JSON under a key": json.dumps({"nc": 4, "names": NAMES}),
    "Keras class index": json.dumps({str(i): [f"n0000000{i}", name] for i, name in enumerate(NAMES)}),
    "JSON objects": json.dumps([{"id": 3 - i, "name": name} for i, name in enumerate(NAMES[::-1])]),
    "COCO categories": json.dumps({"categories": [{"id": i + 1, "name": n} for i, n in enumerate(NAMES)]}),
    "Python list": repr(NAMES),
    "Python dict": repr(dict(enumerate(NAMES))),
    "YAML block": "path: ../data\nnames:\n  0: cat\n  1: dog\n  2: cow\n  3: hen\nnc: 4\n",
    "YAML list": "names:\n- cat\n- dog\n- cow\n- hen\n",
    "YAML inline": "nc: 4\nnames: ['cat', 'dog', 'cow', 'hen']\n",
    "TensorFlow": "\n".join(f"item {{\n  id: {i + 1}\n  name: '{n}'\n}}" for i, n in enumerate(NAMES)),
}


@pytest.mark.parametrize("form", TEXTS)
def test_every_usual_form_gives_the_names_in_order(tmp_path: Path, form: str) -> None:
    path = tmp_path / "labels"
    path.write_text(TEXTS[form], newline="")
    assert read_label_names(path)[0] == NAMES


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_every_usual_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("Bär\nKröte\nMöwe\n".encode(encoding))
    assert read_label_names(path)[0] == ["Bär", "Kröte", "Möwe"]


@pytest.mark.parametrize(
    "names",
    [
        ["digit 0", "digit 1", "digit 2"],
        ["5 euro", "10 euro", "20 euro"],
        ["tench, Tinca tinca", "goldfish, Carassius auratus"],
        ["T-shirt", "Ankle boot 2"],
        ["3D print", "4D print"],
        ["don't know", 'so-called "bird"'],
    ],
)
def test_numbers_and_marks_that_belong_to_a_name_stay(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(names))
    assert read_label_names(path) == (names, [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: write one label per line"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "not text in UTF-8, UTF-16 or Windows-1252"),
        (b'["cat", "dog"', "is not valid JSON"),
        (b'["cat", "", "cow"]', "leaves output 1 without a name"),
        (b'{"0": "cat", "2": "cow"}', "number 1 is missing"),
        (b'{"cat": "Katze"}', "must number the labels"),
        (b'[{"colour": "red"}]', "has no `name`"),
        (b"[[1, 2], [3, 4]]", "is not the name of a label"),
        (b'[{"id": 0, "name": "a"}, {"id": 0, "name": "b"}]', "two labels have one number"),
        (b"item { name: 'cat' }", "each item needs an `id`"),
        (b'{"cat": 0, "dog": 1, "hound": 1}', "'dog' and 'hound' both have the number 1"),
        (b'{"0": "cat", "00": "dog", "1": "cow"}', "'cat' and 'dog' both have the number 0"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer.*git lfs pull"),
        (b"<!doctype html><html></html>", "HTML or XML document.*download"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_label_names(path)


def test_a_name_that_is_null_is_left_empty_for_the_caller() -> None:
    assert names_of_value({"0": "cat", "1": None}, "config")[0] == ["cat", ""]


@pytest.mark.parametrize(
    ("names", "outputs", "hint"),
    [
        (["label", "cat", "dog"], 2, "looks like the heading"),
        (["background", "cat", "dog"], 2, "which the model does not have"),
        (["cat", "dog"], 1, "name only that class"),
        ([str(i) for i in range(1000)], 1001, "background class has one output more"),
        (["cat", "dog"], 3, ""),
    ],
)
def test_likely_reasons_for_another_number_are_named(names: list[str], outputs: int, hint: str) -> None:
    assert hint in count_hint(names, outputs)
    assert bool(hint) == bool(count_hint(names, outputs))
