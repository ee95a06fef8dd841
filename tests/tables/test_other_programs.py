"""Tables as other programs write them: nested cells, unusual names, damaged text."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inficond.core.errors import InputError
from inficond.core.models.tables import Table, read_labels, read_responses
from inficond.core.pipeline.user_teachers import teacher_kind
from inficond.core.tables import TableOptions, match_names

IMAGES = ["p0.jpg", "p1.jpg", "p2.jpg"]
ROWS = [{"image": i, "cat": 0.25, "dog": 0.75} for i in IMAGES]
TEXT = "image,cat,dog\n" + "".join(f"{i},0.25,0.75\n" for i in IMAGES)
PIPELINE = [{"label": "cat", "score": 0.25}, {"label": "dog", "score": 0.75}]


def read(folder: Path, content: str | bytes | object, name: str, **options: object) -> Table:
    path = folder / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_responses(path, TableOptions(**options))  # type: ignore[arg-type]


def column(cells: list[object], name: str = "predictions") -> pa.Table:
    return pa.table({"image": IMAGES, name: cells})


SAME = {
    "pandas columns": ("t.json", {k: {str(n): row[k] for n, row in enumerate(ROWS)} for k in ROWS[0]}),
    "pandas split": (
        "t.json",
        {"columns": list(ROWS[0]), "index": [0, 1, 2], "data": [list(r.values()) for r in ROWS]},
    ),
    "pandas table": ("t.json", {"schema": {}, "data": ROWS}),
    "rows by image": ("t.json", {i: {"cat": 0.25, "dog": 0.75} for i in IMAGES}),
    "columns by image, as pandas writes an index": (
        "t.json",
        {"cat": dict.fromkeys(IMAGES, 0.25), "dog": {**dict.fromkeys(IMAGES, 0.75), "p9.jpg": 0.5}},
    ),
    "ends of line of old systems": ("t.csv", TEXT.replace("\n", "\r")),
    "two returns at each end of line": ("t.csv", TEXT.replace("\n", "\r\r\n")),
    "UTF-16 without a mark": ("t.csv", TEXT.encode("utf-16-le")),
    "UTF-32": ("t.csv", TEXT.encode("utf-32")),
    "single quotes": ("t.csv", TEXT.replace("p", "'p").replace(".jpg", ".jpg'")),
    "empty lines and columns": ("t.csv", TEXT.replace("\n", ",,\n") + ",,,,\n\n"),
    "line of Excel about the separator": ("t.csv", "sep=;\n" + TEXT.replace(",", ";")),
    "a comment above": ("t.csv", "# written by a tool\n" + TEXT),
    "percent with a thin space": ("t.csv", TEXT.replace("0.25", "25\u202f%").replace("0.75", "75\u202f%")),
    "escaped spaces and a file address": ("t.csv", TEXT.replace("p", "file:///my%20data/p")),
    "numbers of numbers of pandas": (
        "t.csv",
        "Unnamed: 0,Unnamed: 0.1,image,cat,dog\n" + "".join(f"3,7,{i},0.25,0.75\n" for i in IMAGES),
    ),
    "object of probabilities": (
        "t.json",
        [{"image": i, "probs": {"cat": 0.25, "dog": 0.75}} for i in IMAGES],
    ),
    "pipeline in JSON": ("t.json", [{"image": i, "predictions": PIPELINE} for i in IMAGES]),
    "pipeline in JSON Lines": (
        "t.jsonl",
        "".join(json.dumps({"image": i, "out": PIPELINE}) + "\n" for i in IMAGES),
    ),
    "pipeline as text of Python": (
        "t.csv",
        "image,predictions\n" + "".join(f'{i},"{PIPELINE}"\n' for i in IMAGES),
    ),
    "pipeline in Parquet": ("t.parquet", column([PIPELINE] * 3)),
    "struct in Parquet": ("t.parquet", column([{"cat": 0.25, "dog": 0.75}] * 3)),
    "parallel lists in Parquet": (
        "t.parquet",
        column([["cat", "dog"]] * 3, "labels").append_column("scores", pa.array([[0.25, 0.75]] * 3)),
    ),
    "parallel lists as text": (
        "t.csv",
        "image,label,prob\n" + "".join(f"{i},\"['cat', 'dog']\",\"[0.25, 0.75]\"\n" for i in IMAGES),
    ),
    "the best class beside all classes": (
        "t.csv",
        "filename,cat,dog,predicted_class,confidence\n"
        + "".join(f"{i},0.25,0.75,dog,0.75\n" for i in IMAGES),
    ),
    "addresses with a query": ("t.csv", TEXT.replace("p", "https://host/a/p").replace(".jpg", ".jpg?w=2#x")),
    "buckets": ("t.csv", TEXT.replace("p", "s3://bucket/p")),
    "no-break spaces": ("t.csv", TEXT.replace(",", "\u00a0,\u00a0")),
    "characters without width": ("t.csv", TEXT.replace("p", "\u200bp").replace("dog", "dog\u200b")),
    "suffix of a converted copy": ("t.csv", TEXT.replace(".jpg", ".webp")),
    "joined files": ("t.csv", TEXT + TEXT.replace("image", "Image ")),
    "joined files with marks": ("t.csv", ("\ufeff" + TEXT).encode() * 2),
    "a joined file without a header": (
        "t.csv",
        TEXT.replace("p2", "\ufeffp2").encode(),
    ),
    "lines of spaces": ("t.csv", TEXT.replace("p1", "  \np1") + "   \n"),
    "the end mark of DOS": ("t.csv", TEXT + "\x1a"),
    "the header as a comment": ("t.csv", "# made by NumPy\n# " + TEXT),
    "Excel's line in quotes": ("t.csv", '"sep=;"\n' + TEXT.replace(",", ";")),
    "row names of R": ("t.csv", TEXT.removeprefix("image,")),
    "exponents with a comma": (
        "t.csv",
        TEXT.replace(",", ";").replace("0.25", "2,5e-1").replace("0.75", "7,5E-01"),
    ),
    "what R writes without options": (
        "t.csv",
        '"image" "cat" "dog"\n' + "".join(f'"{n}" "{i}" 0.25 0.75\n' for n, i in enumerate(IMAGES, 1)),
    ),
    "spaces between columns": ("t.txt", TEXT.replace(",", " ")),
    "numbers of classes beside their probabilities": (
        "t.csv",
        "image,y_true,y_pred,worker_id,cat,dog\n"
        + "".join(f"{i},{n},1,{n},0.25,0.75\n" for n, i in enumerate(IMAGES)),
    ),
    "JSON Lines called JSON": ("t.json", "".join(json.dumps(row) + "\n" for row in ROWS)),
    "JSON called JSON Lines": ("t.jsonl", json.dumps(ROWS, indent=1)),
    "rows inside an object": ("t.json", {"version": 1, "results": ROWS}),
    "samples of FiftyOne": (
        "t.json",
        {
            "samples": [
                {
                    "filepath": f"/x/{i}",
                    "scores": [{"_cls": "Classification", "tags": [], **p} for p in PIPELINE],
                }
                for i in IMAGES
            ]
        },
    ),
    "pairs by image": ("t.json", {i: [["cat", 0.25], ["dog", 0.75]] for i in IMAGES}),
    "pairs as text of Python": (
        "t.csv",
        "image,top\n" + "".join(f"{i},\"[('cat', 0.25), ('dog', 0.75)]\"\n" for i in IMAGES),
    ),
    "pairs with the value first": (
        "t.jsonl",
        "".join(json.dumps({"image": i, "top": [[0.75, "dog"], [0.25, "cat"]]}) + "\n" for i in IMAGES),
    ),
    "maps of Parquet": (
        "t.parquet",
        pa.table(
            {
                "image": IMAGES,
                "p": pa.array([[("cat", 0.25), ("dog", 0.75)]] * 3, pa.map_(pa.string(), pa.float64())),
            }
        ),
    ),
    "16-bit floats of Parquet": (
        "t.parquet",
        pa.table(
            {
                "image": IMAGES,
                **{c: pa.array([v] * 3, pa.float16()) for c, v in (("cat", 0.25), ("dog", 0.75))},
            }
        ),
    ),
    "names with quotes of their own": (
        "t.csv",
        "image,cat,dog\n" + "".join(f'"""{i}""",0.25,0.75\n' for i in IMAGES),
    ),
    "a very long line": ("t.csv", "image,cat,dog\n" + "x" * 300_000 + ".jpg,1,0\n" + TEXT.partition("\n")[2]),
    "network share": ("t.csv", TEXT.replace("p", "\\\\server\\share\\p")),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_numbers_in_the_form_of_another_program(tmp_path: Path, kind: str) -> None:
    name, content = SAME[kind]
    table = read(tmp_path, content, name)
    assert sorted(table.classes) == ["cat", "dog"]
    found = table.values[table.rows_for(IMAGES)][:, [table.classes.index(c) for c in ("cat", "dog")]]
    np.testing.assert_allclose(found, [[0.25, 0.75]] * 3, atol=1e-6)


REFUSED = {
    "a score beside probabilities that sum to one": (
        "image,label_quality,cat,dog\n" + "".join(f"{i},0.{n},0.25,0.75\n" for n, i in enumerate(IMAGES, 3)),
        "cat, dog sum to 1 in every row without column 'label_quality'.*--class-columns",
    ),
    "the number of the best class": (
        "image,cat,dog,best\n" + "".join(f"{i},0.{25 + n},0.{75 - n},1\n" for n, i in enumerate(IMAGES)),
        "cat, dog sum to 1 in every row without column 'best'",
    ),
    "several columns before the classes": (
        "image,lat,lon,cat,dog\n" + "".join(f"{i},0.{n}1,0.5,0.25,0.75\n" for n, i in enumerate(IMAGES)),
        "cat, dog sum to 1 in every row without columns 'lat', 'lon'",
    ),
    "several columns after the classes": (
        "image,cat,dog,margin,entropy\n"
        + "".join(f"{i},0.25,0.75,0.5,0.{n}\n" for n, i in enumerate(IMAGES)),
        "cat, dog sum to 1 in every row without columns 'margin', 'entropy'",
    ),
    "numbers in one cell": (
        "image,expected\n" + "".join(f"{i},0.25 0.75\n" for i in IMAGES),
        "line 2, column 'expected': '0.25 0.75' holds several numbers without the names",
    ),
    "digits of another script": (
        "image,cat\n" + "".join(f"{i},\u0660\u066b\u0662\n" for i in IMAGES),
        "line 2, column 'cat': .* is not a number that is read",
    ),
    "numbers of programming languages": (
        "image,cat,dog\n" + "".join(f"{i},0x1p-2,0.7_5\n" for i in IMAGES),
        "line 2, column 'cat': '0x1p-2' is not a number that is read",
    ),
    "another separator": (TEXT.replace(",", "^"), "no column `image`.*choose with --separator"),
    "columns of equal width, more than one space": (TEXT.replace(",", "  "), "separate columns by commas"),
    "a sum of all rows": (TEXT + "TOTAL,0.75,2.25\n", r"line 5, column 'dog' .image 'TOTAL'.: 2.25 is not"),
    "a title": ("My answers\n" + TEXT, "line 2 has 3 cells, the header 1.*remove the lines above the header"),
    "two rows of headers": (
        ",prob,prob\nimage,cat,dog\n" + TEXT.partition("\n")[2],
        "has the column 'prob' twice",
    ),
    "images as columns": (
        f"class,{','.join(IMAGES)}\ncat,0.25,0.25,0.25\ndog,0.75,0.75,0.75\n",
        "has no column `image`.*--image-column",
    ),
    "a joined file with other columns": (
        TEXT + TEXT.replace("image,cat,dog", "dog,cat,image"),
        "line 5 is a header in another order",
    ),
    "a joined file with the classes in another order": (
        TEXT + TEXT.replace("cat,dog", "dog,cat"),
        "line 5 is a header in another order",
    ),
    "cells of formulas": (
        TEXT.replace("0.25", '="0.25"'),
        "line 2, column 'cat': '=\"0.25\"' is not a number",
    ),
    "a currency": (
        TEXT.replace("0.25", "$0.25"),
        "line 2, column 'cat': '.0.25' is not a number that is read",
    ),
    "a line below": (
        TEXT + "Total rows: 3\n",
        "line 5 has 1 cell, the header 3.*complete or remove that line",
    ),
    "spaces before quotes": (
        'image, class, score\np0.jpg, "cat", 0.25\n',
        'line 2: a cell has spaces before its quote ": remove them',
    ),
    "spaces before quotes around a comma": (
        'image, class, score\np0.jpg, "a, b", 0.25\n',
        "line 2 has 4 cells, the header 3.*remove the spaces before the quotes",
    ),
    "a zero byte": (TEXT.replace("p1", "p\x001").encode(), "line 3 contains a zero byte; save it again"),
    "two encodings": (
        TEXT.replace("p0", "ÜBER").encode() + "ÄB.jpg,0.25,0.75\n".encode("latin-1"),
        "line 5 is not UTF-8 text, and line 2 is: save all of it as UTF-8",
    ),
    "marks": (
        "image,cat,dog\np0.jpg,x,\np1.jpg,,x\n",
        "line 2, column 'cat': 'x' may mean yes or no: write 1",
    ),
    "a mark beside numbers": (
        "image,cat,dog\np0.jpg,Y,1\np1.jpg,N,0\n",
        "line 2, column 'cat': 'Y' may mean",
    ),
    "words of a German sheet": (
        TEXT.replace("0.25", "WAHR"),
        "line 2, column 'cat': 'WAHR' may mean yes or no",
    ),
    "values without classes": (
        "filename,index,prob\np0.jpg,3,0.9\np1.jpg,4,0.8\n",
        "column 'prob' may hold the values of classes.*--label-column or --class-columns",
    ),
    "a confidence beside independent classes": (
        "image,cat,dog,confidence\np0.jpg,0.9,0.8,0.9\np1.jpg,0.1,0.7,0.7\np2.jpg,0.1,0.2,0.2\n",
        "column 'confidence' may hold the values",
    ),
    "a repeated column as pandas names it": (
        "image,cat,dog,cat.1\np0.jpg,0.1,0.2,0.3\n",
        "column 'cat.1' may be a second column 'cat'.*remove it",
    ),
    "bounds": (TEXT.replace("0.25", "<0.01"), "line 2, column 'cat': '<0.01' is not a number that is read"),
    "errors beside values": (
        TEXT.replace("0.25", "0.2±0.1"),
        "line 2, column 'cat': '0.2±0.1' is not a number",
    ),
    "powers of ten": (TEXT.replace("0.25", "2.5×10^-1"), "line 2, column 'cat': '2.5×10.-1' is not a number"),
    "a dash for a missing value": (
        TEXT.replace("0.25", "-", 1),
        "line 2, column 'cat': '-' is not a number; write it like 0.25.* or leave the cell empty",
    ),
    "bytes": (
        TEXT.replace("0.25", "64").replace("0.75", "191"),
        "64 is not a .*shares of 255, divide them by 255",
    ),
    "per mille": (TEXT.replace("0.25", "250").replace("0.75", "750"), "250 is not .*divide them by 1000"),
    "JSON called CSV": (json.dumps(ROWS), r"is JSON: let its name end in \.json"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file: save the table as CSV or Parquet"),
    "an array of NumPy": (b"\x93NUMPY\x01\0" + bytes(99), "a NumPy array, which names no images"),
    "a table of Markdown": (TEXT.replace(",", " | ").replace("dog\n", "dog\n--- | --- | ---\n"), "line 2"),
    "errors of Excel": (TEXT.replace("0.25", "#DIV/0!"), "line 2, column 'cat': '#DIV/0!' is not a number"),
    "columns of equal width": (TEXT.replace(",", "   "), "separate columns by commas"),
    "thousands": (TEXT.replace("0.25", '"1,234.5"'), r"line 2, column 'cat': '1,234.5' is not a number"),
    "fractions": (TEXT.replace("0.25", "1/4"), r"line 2, column 'cat': '1/4' is not a number"),
    "two separators": (
        TEXT.replace("image,", "image;").replace("jpg,", "jpg;"),
        "column 'cat,dog' and each of its cells contain commas: separate all columns alike",
    ),
    "milliseconds beside probabilities": (
        "image,cat,dog,speed\n" + "".join(f"{i},0.25,0.75,13.2\n" for i in IMAGES),
        "sum to 1 in every row without column 'speed'.*list the classes with --class-columns",
    ),
    "tensors": (TEXT.replace("0.25", "tensor(0.25)"), r"line 2, column 'cat': 'tensor\(0.25\)'"),
    "full-width digits": (TEXT.replace("0.25", "\uff10.25"), "line 2, column 'cat'"),
    "lists without names": (
        "image,probs\n" + "".join(f'{i},"[0.25, 0.75]"\n' for i in IMAGES),
        r"line 2, column 'probs': .* is neither a class nor a number; write a column for each class",
    ),
    "arrays of NumPy": (
        "image,probs\n" + "".join(f"{i},[0.25 0.75]\n" for i in IMAGES),
        "line 2, column 'probs': .* is neither a class nor a number",
    ),
    "classes by rank": (
        "image,label_1,label_2,prob_1,prob_2\n" + "".join(f"{i},cat,dog,0.7,0.2\n" for i in IMAGES),
        "classes by rank.*a row for each image and class",
    ),
    "an open quote": (TEXT.replace("p1", '"p1'), "line 3 .*close the quote"),
    "an open quote in the last cell": (TEXT + 'p3.jpg,0.1,"0.2\n', "line 5: a cell begins with the quote"),
    "a backslash before a quote": ('image,class\np0.jpg,"a\\"b"\n', "line 2: a cell begins with the quote"),
    "comments between rows": (TEXT.replace("p1", "# checked\np1"), "line 3 .*remove comments"),
    "one class twice but for a character without width": (
        TEXT.replace("dog", "cat\u200b"),
        "has the column 'cat' twice",
    ),
    "a web page": ("<!DOCTYPE html>\n<html>404</html>", "an HTML or XML document, not a table"),
    "a pointer of Git LFS": ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "Parquet called CSV": (b"PAR1" + bytes(20), r"a Parquet file: let its name end in \.parquet"),
    "gzip": (gzip.compress(TEXT.encode()), "compressed with gzip: decompress it"),
    "a pickle": (b"\x80\x04\x95" + bytes(20), "a Python pickle, which is never loaded"),
    "a database": (b"SQLite format 3\0" + bytes(20), "export the table as CSV"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_named_with_its_place(tmp_path: Path, kind: str) -> None:
    content, message = REFUSED[kind]
    with pytest.raises(InputError, match=message) as refused:
        read(tmp_path, content, "t.csv")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.parquet", TEXT, r"does not begin like a file of Parquet: it may be text: .* \.csv"),
        ("t.parquet", b"PK\x03\x04" + bytes(99), "a workbook or an archive: save the sheet as CSV"),
        ("t.parquet", b"PAR1" + bytes(99), "write or copy it again"),
        ("t.arrow", json.dumps(ROWS), r"a file of Arrow: it may be JSON: let its name end in \.json"),
        ("t.arrow", b"", "is empty"),
        ("t.feather", b"FEA1" + bytes(99), "Feather file of version 1: write it again"),
        ("t.json", TEXT, r"is not JSON: if it is separated text, let its name end in \.csv"),
        ("t.jsonl", b"", "is empty"),
        (
            "t.jsonl",
            '{"image": "a.jpg", "cat": 0.1}\n{"image": "b',
            "line 2 is not JSON: Unterminated string starting at character 11",
        ),
        (
            "t.json",
            '[{"image": "a.jpg", "cat": 0.1, "cat": 0.2}]',
            "the key 'cat' is there twice in an object",
        ),
        ("t.json", json.dumps({i: [0.25, 0.75] for i in IMAGES}), "row 1, .* neither a class nor a number"),
    ],
)
def test_content_that_does_not_fit_the_name_is_refused_with_advice(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        read(tmp_path, content, name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.tsv.zst", "t.json.zip", "t.numbers", "t.xlsx"])
def test_a_compressed_table_or_a_workbook_is_named_as_such(name: str) -> None:
    assert teacher_kind(name) == "table"


def test_a_repeated_column_of_parquet_is_refused(tmp_path: Path) -> None:
    columns = [pa.array(IMAGES), pa.array([0.25] * 3), pa.array([0.75] * 3)]
    with pytest.raises(InputError, match="has the column 'cat' twice: rename one"):
        read(tmp_path, pa.Table.from_arrays(columns, names=["image", "cat", "cat"]), "t.parquet")


@pytest.mark.parametrize(
    "content",
    [
        {"p0.jpg": "cat", "p1.jpg": "dog", "p2.jpg": "cat"},
        {"p0.jpg": ["cat"], "p1.jpg": ["dog"], "p2.jpg": ["cat"]},
        {"cat": ["p0.jpg", "p2.jpg"], "dog": ["p1.jpg"]},
        "image,class\np0.jpg,cat\np1.jpg,dog\nimage,class\np2.jpg,cat\n",
    ],
)
def test_labels_in_the_form_of_another_program(tmp_path: Path, content: object) -> None:
    path = tmp_path / ("l.csv" if isinstance(content, str) else "l.json")
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    table = read_labels(path)
    assert sorted(table.classes) == ["cat", "dog"]
    found = table.values[table.rows_for(IMAGES)][:, [table.classes.index(c) for c in ("cat", "dog")]]
    np.testing.assert_array_equal(found, [[1, 0], [0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("head", "cells", "classes"),
    [
        ("image,age,Finding Labels", ["80,cat|dog", "7,dog", "9,cat"], ("cat", "dog")),
        ("image,category_id", ["1", "17", "1"], ("1", "17")),
        ("image,label_id", ["0", "1", "1"], ("0", "1")),
    ],
)
def test_labels_in_columns_of_less_usual_names(
    tmp_path: Path, head: str, cells: list[str], classes: tuple[str, ...]
) -> None:
    path = tmp_path / "l.csv"
    path.write_text(head + "\n" + "".join(f"{i},{c}\n" for i, c in zip(IMAGES, cells)))
    assert read_labels(path).classes == classes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,y\np0.jpg,0\np1.jpg,2\n", "line 3, column 'y' .*2 is not a label.*--label-column"),
        ("image,dx,age\np0.jpg,nv,80\n", "80 is not a label; .*--class-columns"),
        (
            "image,Finding Labels,new\np0.jpg,nv,1\np1.jpg,bkl,0\n",
            "named in column 'Finding Labels', or be the columns 'new'",
        ),
    ],
)
def test_labels_that_are_not_understood_name_the_option(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "l.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_labels(path)


def test_dots_in_names_without_extension() -> None:
    ids = ["2024.01.02.jpg", "2024.01.03.png"]
    assert match_names(["2024.01.03", "2024.01.02"], ids).rows.tolist() == [1, 0]


def test_numbers_that_are_written_differently_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("image,class\np0.jpg,1\np1.jpg,01\np2.jpg,dog\n")
    assert any(
        "'1' and '01' differ in the way of writing a number" in note for note in read_labels(path).notes
    )


def test_an_error_in_a_nested_cell_names_the_row_of_the_file(tmp_path: Path) -> None:
    rows = [json.dumps({"image": i, "out": PIPELINE}) for i in IMAGES]
    rows[2] = rows[2].replace("0.75", "7.5")
    with pytest.raises(InputError, match=r"line 3, column 'out' \(image 'p2.jpg', class 'dog'\): 7.5"):
        read(tmp_path, "\n".join(rows), "t.jsonl")
    rows[2] = json.dumps({"image": "p2.jpg", "out": ["cat"]})
    with pytest.raises(InputError, match="line 3, column 'out': .* does not name classes with values"):
        read(tmp_path, "\n".join(rows), "t.jsonl")


def test_an_image_without_predictions_is_left_out_and_reported(tmp_path: Path) -> None:
    rows = [{"image": i, "out": PIPELINE if i != "p1.jpg" else []} for i in IMAGES]
    table = read(tmp_path, rows, "t.json")
    assert table.images == ("p0.jpg", "p2.jpg")
    assert any("'p1.jpg'" in note for note in table.notes)


def test_lists_beside_plain_classes_are_metadata(tmp_path: Path) -> None:
    rows = [
        {"image": i, "label": "cat", "score": 0.5, "box": [1, 2, 3, 4], "size": {"w": 1, "h": 2}}
        for i in IMAGES
    ]
    table = read(tmp_path, rows, "t.json")
    assert table.classes == ("cat",)
    np.testing.assert_allclose(table.values, 0.5)


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["1.0", "", "2.0"], ("1", "2")),
        (["white\u00a0wolf", "white wolf", "white  wolf"], ("white wolf",)),
        (["cat\ufeff", "cat ", "cat"], ("cat",)),
        (["caf\u00e9", "cafe\u0301", "caf\u00e9"], ("caf\u00e9",)),
    ],
)
def test_names_that_look_alike_are_one_class(
    tmp_path: Path, cells: list[str], classes: tuple[str, ...]
) -> None:
    path = tmp_path / "l.csv"
    path.write_text("image,label\n" + "".join(f"{i},{c}\n" for i, c in zip(IMAGES, cells)), encoding="utf-8")
    assert read_labels(path).classes == classes


def test_classes_that_differ_in_case_stay_apart_and_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("image,label\np0.jpg,Cat\np1.jpg,cat\n")
    table = read_labels(path)
    assert table.classes == ("Cat", "cat")
    assert any("'Cat' and 'cat' differ in case only" in note for note in table.notes)


def test_commas_between_known_names_ask_for_a_separator(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text('image,labels\np0.jpg,cat\np1.jpg,"cat, dog"\np2.jpg,dog\n')
    with pytest.raises(
        InputError, match=r"line 3, column 'labels': 'cat, dog' may be one class or 2.*by \| or ;"
    ):
        read_labels(path)
    path.write_text('image,labels\np0.jpg,"cat,dog"\np1.jpg,"dog,bird"\n')
    with pytest.raises(InputError, match="line 2, column 'labels': 'cat,dog' may be one class or 2"):
        read_labels(path)
    path.write_text('image,labels\np0.jpg,"cat,dog"\np1.jpg,dog\n')
    with pytest.raises(InputError, match="line 2, column 'labels': 'cat,dog' may be one class or 2"):
        read_labels(path)
    path.write_text('image,label\np0.jpg,"projectile, missile"\np1.jpg,missile\n')
    assert set(read_labels(path).classes) == {"projectile, missile", "missile"}
    path.write_text('image,labels\np0.jpg,"great white shark, white shark"\np1.jpg,cat\n')
    assert "great white shark, white shark" in read_labels(path).classes


def test_a_name_in_several_folders_is_not_guessed() -> None:
    found = match_names(["1.jpg"], ["a/1.jpg", "b/1.jpg"])
    assert found.rows.tolist() == [-1, -1]
    assert found.ambiguous == ("1.jpg", "a/1.jpg", "b/1.jpg")


@pytest.mark.parametrize(
    "cell", ["{'cat', 'dog'}", "('cat', 'dog')", '["cat", "dog"]', "['dog', 'cat']", "cat|dog", "cat;dog"]
)
def test_several_labels_in_a_cell(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("image\tlabels\n" + "".join(f"{i}\t{cell}\n" for i in IMAGES[:2]) + "p2.jpg\tset()\n")
    table = read_labels(path)
    assert sorted(table.classes) == ["cat", "dog"]
    np.testing.assert_array_equal(table.values[table.rows_for(IMAGES[:2])], np.ones((2, 2)))


@pytest.mark.parametrize("name", ["{braces}", "(in brackets)", "(1 + 2)", "{'a': 1}", "()x"])
def test_brackets_in_the_name_of_a_class_are_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f'image,labels\np0.jpg,"{name}"\np1.jpg,dog\n')
    assert set(read_labels(path).classes) == {name, "dog"}


def test_an_independent_label_beside_two_that_exclude_each_other_is_a_class(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "image,cat,dog,indoors\n" + "".join(f"{i},{n % 2},{1 - n % 2},1\n" for n, i in enumerate(IMAGES))
    )
    assert read_labels(path).classes == ("cat", "dog", "indoors")
