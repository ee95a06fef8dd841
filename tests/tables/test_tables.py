"""Tables in the styles of common programs are read, reported or refused with a remedy."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from inficond.core.errors import InputError
from inficond.core.models.tables import Table, read_labels, read_responses
from inficond.core.tables import TableOptions, decode_text, match_names

PAIRS = [(f"p{i}.jpg", c, (i + 1) / 10 + k / 2) for i in range(4) for k, c in enumerate(("cat", "dog"))]


def responses(folder: Path, content: str | bytes, name: str = "t.csv", **options: object) -> Table:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_responses(path, TableOptions(**options))  # type: ignore[arg-type]


def long(head: str, row: str, pairs: list[tuple[str, str, float]] = PAIRS) -> str:
    return (
        head + "\n" + "".join(row.format(n=n, i=i, c=c, p=p) + "\n" for n, (i, c, p) in enumerate(pairs, 1))
    )


def right(table: Table) -> bool:
    rows = table.rows_for([f"p{i}.jpg" for i in range(4)])
    return table.classes == ("cat", "dog") and np.allclose(
        table.values[rows], [[(i + 1) / 10, (i + 1) / 10 + 0.5] for i in range(4)], atol=1e-6
    )


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("image,class,probability", "{i},{c},{p}"),
        ('"image";"class";"probability"', '"{i}";"{c}";"{p}"'),
        ("id,image,class,probability", "{n},{i},{c},{p}"),
        ("image,label,score", "{i},{c},{p}"),
        ("image,rank,predicted_class,confidence,seconds", "{i},1,{c},{p},0.01"),
        ("# made by a script\n\nimage|class|probability", "{i}|{c}|{p}"),
        ("sep=;\nimage;class;probability", "{i};{c};{p}"),
        ("class,probability,image", "{c},{p},{i}"),
        ("path,filename,class,probability", "far/{i},{i},{c},{p}"),
        ("bild;klasse;wahrscheinlichkeit", "{i};{c};{p}"),
        ('"image"\t"class"\t"probability"', '"{n}"\t"{i}"\t"{c}"\t{p}'),  # R's write.table
        ("image,class,probability,", "{i},{c},{p},"),
        ("'image','class','probability'", "'{i}','{c}',{p}"),
        ("Image Path,Class Name,Prob", " {i} , {c} , {p} "),
    ],
)
def test_long_tables_of_many_kinds(tmp_path: Path, head: str, row: str) -> None:
    assert right(responses(tmp_path, long(head, row)))


@pytest.mark.parametrize("index", ["", "Unnamed: 0", "index", "id", "__index_level_0__"])
def test_row_numbers_of_a_data_frame_are_not_a_class(tmp_path: Path, index: str) -> None:
    rows = "".join(f"{i % 2},p{i}.jpg,{(i + 1) / 10},{(i + 1) / 10 + 0.5}\n" for i in range(4))
    table = responses(tmp_path, f"{index},image,cat,dog\n{rows}")
    assert right(table)
    assert "not used" in table.notes[0]


def test_an_index_of_file_names_without_a_header_names_the_images(tmp_path: Path) -> None:
    rows = "".join(f"p{i}.jpg,{(i + 1) / 10},{(i + 1) / 10 + 0.5}\n" for i in range(4))
    assert right(responses(tmp_path, ",cat,dog\n" + rows))


def test_metadata_of_a_wide_table_is_left_out_and_reported(tmp_path: Path) -> None:
    rows = "".join(
        f"p{i}.jpg,train,cam {i},640,480,cat,{(i + 1) / 10},{(i + 1) / 10 + 0.5}\n" for i in range(4)
    )
    table = responses(tmp_path, "image,split,camera,width,height,label,cat,dog\n" + rows)
    assert right(table)
    for name in ("split", "camera", "width", "height", "label"):
        assert f"'{name}'" in table.notes[0].partition("not used")[2]


def test_the_report_names_encoding_separator_style_and_columns(tmp_path: Path) -> None:
    text = "Datei;Klasse;Score\n" + "".join(f"p{i}.jpg;Wei\u00dfkopf;{i},5 %\n" for i in range(4))
    table = responses(tmp_path, text.encode("cp1252"))
    np.testing.assert_allclose(table.values[:, 0], [0.005, 0.015, 0.025, 0.035], atol=1e-6)
    for part in (
        "t.csv",
        "Windows-1252",
        "semicolon",
        "percent",
        "decimal comma",
        "'Datei'",
        "'Klasse'",
        "'Score'",
    ):
        assert part in table.notes[0]


def test_a_class_without_probability_counts_as_one(tmp_path: Path) -> None:
    table = responses(tmp_path, "image,class\na.jpg,cat\nb.jpg,dog\n")
    np.testing.assert_array_equal(table.values, np.eye(2))
    assert any("counts as 1" in note for note in table.notes)


def test_images_without_any_value_are_left_out(tmp_path: Path) -> None:
    table = responses(tmp_path, "image,cat,dog\na.jpg,0.5,nan\nb.jpg,,\nc.jpg,0.1,0.9\n")
    assert table.images == ("a.jpg", "c.jpg")
    assert any("'b.jpg'" in note for note in table.notes)
    assert any("1 of 4 pairs" in note for note in table.notes)


@pytest.mark.parametrize(
    ("values", "row", "expected"),
    [
        ("percent", "25,75", [0.25, 0.75]),
        ("logit", "0,-1.0986123", [0.5, 0.25]),
        ("softmax", "1.0986123,0", [0.75, 0.25]),
    ],
)
def test_other_meanings_of_numbers_by_option(
    tmp_path: Path, values: str, row: str, expected: list[float]
) -> None:
    table = responses(tmp_path, f"image,cat,dog\na.jpg,{row}\n", values=values)
    np.testing.assert_allclose(table.values[0], expected, atol=1e-6)
    if row != "1.0986123,0":
        with pytest.raises(InputError, match=r"line 2, column .* not a probability from 0 to 1.*--values"):
            responses(tmp_path, f"image,cat,dog\na.jpg,{row}\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,class,probability\na.jpg,cat,0,5\n", "line 2 has 4 cells, the header 3.*decimal comma"),
        (
            "image,class,probability\na.jpg,cat,97.5%\nb.jpg,cat,0.5\n",
            "line 2.*97.5%.*line 3.*0.5.*percent sign",
        ),
        ("image;cat;dog\na.jpg;0.5;0,5\n", "line 2.*decimal point and a decimal comma"),
        ("file,path,cat\na.jpg,x.jpg,0.5\n", "'path' or 'file'.*--image-column"),
        ("image,label,prediction,score\na.jpg,cat,dog,0.5\n", "'label' or 'prediction'.*--label-column"),
        (
            "image,class,score,confidence\na.jpg,cat,0.5,0.6\n",
            "'score' or 'confidence'.*--probability-column",
        ),
        ("image,class,x\na.jpg,cat,0.5\n", "'x' may hold.*--probability-column or --class-columns"),
        ("a.jpg,cat,0.5\nb.jpg,dog,0.1\n", "no header.*image,class,probability"),
        ("image\na.jpg\n", "no classes.*--label-column"),
        ("cat,dog\n0.1,0.2\n", "no column `image`: it has cat, dog; choose one with --image-column"),
        ("image,cat,cat\na.jpg,0.1,0.2\n", "column 'cat' twice"),
        ("image,cat,group\na.jpg,1,0\nb.jpg,0,1\n", "column 'group' may be a class.*--class-columns"),
        (
            "image,class,probability\na.jpg,cat,12.Jan\n",
            "line 2, column 'probability': '12.Jan' is not a number",
        ),
        ("image,class,probability\na.jpg,,0.5\n", "line 2, column 'class': no class name"),
        ("image,class,probability\n,cat,0.5\n", "line 2, column 'image': no image name"),
        ("image,class,probability\n\n\n\na.jpg,cat,x\n", "line 5, column 'probability'"),
        ('image,class,probability\n"a\nb.jpg",cat,0.5\nc.jpg,cat,x\n', "line 4, column 'probability'"),
        (b"PK\x03\x04rest", "workbook.*CSV"),
        (b"\x1f\x8brest", "gzip"),
        (
            "image,class\n\u043a\u043e\u0448\u043a\u0430.jpg,\u043a\u043e\u0442\n".encode("cp1251"),
            "--table-encoding",
        ),
        ("image,class\na.jpg,Wei\u00dfkopf\n".encode("mac-roman"), "--table-encoding"),
        ("image,class\na.jpg,\u732b\u3068\u72ac\u306e\u5199\u771f\n".encode("shift_jis"), "--table-encoding"),
        ("image,class\na.jpg,\u72d7\nb.jpg,\u9e1f\n".encode("gbk"), "--table-encoding"),
        ("image,class\na.jpg,Łódź\n".encode("cp1250"), "--table-encoding"),
        ("", "is empty"),
        ("image,class\n", "no rows"),
    ],
)
def test_ambiguous_or_wrong_tables_name_the_place_and_the_remedy(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(InputError, match=rf"t\.csv.*{message}") as caught:
        responses(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_options_decide_what_is_ambiguous(tmp_path: Path) -> None:
    content = "file,path,label,prediction,score\na.jpg,x.jpg,cat,dog,0.5\n"
    table = responses(tmp_path, content, image_columns=("file",), label_columns=("prediction",))
    assert (table.images, table.classes) == (("a.jpg",), ("dog",))
    table = responses(tmp_path, "image,cat,group\na.jpg,1,0\nb.jpg,0,1\n", class_columns=("group",))
    assert table.classes == ("group",)
    russian = "image,class\na.jpg,\u043a\u043e\u0442\n".encode("cp1251")
    assert responses(tmp_path, russian, encoding="cp1251").classes == ("\u043a\u043e\u0442",)
    with pytest.raises(InputError, match=r"--image-column.*'fiel'.*'file'"):
        responses(tmp_path, content, image_columns=("fiel",))
    for wrong in ({"encoding": "klingon"}, {"separator": ";;"}, {"values": "odds"}):
        with pytest.raises(InputError, match="--"):
            TableOptions(**wrong)  # type: ignore[arg-type]


def test_labels_with_a_number_beside_each_class(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("image,class,label\na.jpg,cat,1\na.jpg,dog,0\nb.jpg,cat,0\nb.jpg,dog,1\n")
    np.testing.assert_array_equal(read_labels(path).values, np.eye(2))
    path.write_text("image,class,label\na.jpg,cat,3\nb.jpg,dog,7\n")  # numbers of the classes
    np.testing.assert_array_equal(read_labels(path).values, np.eye(2))
    path.write_text("image,class,label\na.jpg,cat,0\nb.jpg,dog,1\n")
    with pytest.raises(InputError, match=r"may number the classes.*--probability-column"):
        read_labels(path)


def test_parquet_of_a_hub_data_set_uses_paths_and_class_names(tmp_path: Path) -> None:
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    table = pa.table(
        {"image": [{"bytes": b"\xff\xd8", "path": f"p{i}.jpg"} for i in range(4)], "label": [0, 1, 1, 0]}
    )

    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    for name, write in (("t.parquet", pq.write_table), ("t.feather", pyarrow.feather.write_feather)):
        write(table, tmp_path / name)
        labels = read_labels(tmp_path / name)
        assert labels.images == tuple(f"p{i}.jpg" for i in range(4))
        np.testing.assert_array_equal(
            labels.values[:, [labels.classes.index("cat"), labels.classes.index("dog")]],
            np.eye(2)[[0, 1, 1, 0]],
        )
    pq.write_table(table.set_column(0, "image", pa.array([b"\xff\xd8"] * 4)), tmp_path / "bytes.parquet")
    with pytest.raises(InputError, match=r"bytes.parquet.*--image-column"):
        read_labels(tmp_path / "bytes.parquet")


def test_json_lines(tmp_path: Path) -> None:
    lines = "".join(f'{{"file_name": "{i}", "label": "{c}", "score": {p}}}\n' for i, c, p in PAIRS)
    assert right(responses(tmp_path, lines, "t.jsonl"))
    with pytest.raises(InputError, match=r"t.jsonl line 9 is not JSON"):
        responses(tmp_path, lines + "{", "t.jsonl")
    with pytest.raises(InputError, match=r"t.jsonl line 10, column 'score': 'x' is not a number"):
        responses(tmp_path, lines + '\n{"file_name": "a.jpg", "label": "cat", "score": "x"}\n', "t.jsonl")


@pytest.mark.parametrize("form", ["rows", "by image", "columns"])
def test_json_documents(tmp_path: Path, form: str) -> None:
    pairs = {i: {c: p for i2, c, p in PAIRS if i2 == i} for i, _, _ in PAIRS}
    document = {
        "rows": [{"image": i, "label": c, "score": p} for i, c, p in PAIRS],
        "by image": pairs,
        "columns": {"image": list(pairs), **{c: [pairs[i][c] for i in pairs] for c in ("cat", "dog")}},
    }[form]
    assert right(responses(tmp_path, json.dumps(document), "t.json"))
    with pytest.raises(InputError, match=r"t.json is (not JSON|neither a COCO file nor a list of rows)"):
        responses(tmp_path, json.dumps(document)[:-1] if form == "rows" else "[1, 2]", "t.json")


def test_a_tab_separated_text_file_of_excel(tmp_path: Path) -> None:
    text = long("image\tclass\tprobability", "{i}\t{c}\t{p}").replace(".", ",").replace(",jpg", ".jpg")
    assert right(responses(tmp_path, text.encode("utf-16"), "t.txt"))


@pytest.mark.parametrize(
    ("names", "ids", "rule"),
    [
        (["a.jpg", "b/c.jpg"], ["a.jpg", "b/c.jpg"], "exactly"),
        (["b\\a.jpg", ".\\c.jpg"], ["b/a.jpg", "c.jpg"], "with / for"),
        (["cafe\u0301.jpg"], ["caf\u00e9.jpg"], "Unicode"),
        (["A.JPG"], ["a.jpg"], "case"),
        (["/home/x/p/a/1.jpg", "/home/x/p/b/1.jpg"], ["a/1.jpg", "b/1.jpg"], "relative to /home/x/p/"),
        (["a/1.jpg", "b/1.jpg"], ["train/a/1.jpg", "train/b/1.jpg"], "relative to . and train/"),
        (["C:\\p\\a\\1.jpg", "C:\\p\\b\\1.jpg"], ["q/a/1.jpg", "q/b/1.jpg"], "relative to C:/p/ and q/"),
        (["a", "b"], ["a.jpg", "b.png"], "without file extension"),
        (["x/a", "y/b"], ["p/a.jpg", "q/b.png"], "by file name without extension"),
        (["1", "12"], ["0001.jpg", "0012.jpg"], "leading zeros"),
        (["1.0", "12.0"], ["0001.jpg", "0012.jpg"], "leading zeros"),
        (["a%20b.jpg"], ["a b.jpg"], "% escapes"),
        (["['a.jpg']", "('b.jpg',)"], ["a.jpg", "b.jpg"], "quotes and brackets"),
        (["b'a.jpg'", "PosixPath('b.jpg')", '"c.jpg"'], ["a.jpg", "b.jpg", "c.jpg"], "quotes and brackets"),
        (
            ["my photo 1.jpg", "caf&#233;.jpg", "a%2520b.jpg"],
            ["my_photo_1.jpg", "café.jpg", "a b.jpg"],
            "letters",
        ),
        (["https://h/get?file=a.jpg", "data.tar#b.jpg"], ["a.jpg", "b.jpg"], "letters and digits"),
        (["https://h/o/photos%2Fa.jpg?alt=media"], ["a.jpg"], "relative to"),
    ],
)
def test_names_match_by_the_first_rule_that_fits(names: list[str], ids: list[str], rule: str) -> None:
    matching = match_names(names, ids)
    assert matching.rows.tolist() == list(range(len(ids)))
    assert rule in matching.spelled
    assert f"{len(ids)} of {len(ids)} images matched" in matching.spelled


def test_a_name_that_several_images_have_matches_none() -> None:
    matching = match_names(["1.jpg"], ["a/1.jpg", "b/1.jpg"])
    assert matching.rows.tolist() == [-1, -1]
    assert matching.ambiguous == ("1.jpg", "a/1.jpg", "b/1.jpg")
    assert match_names(["a/1.jpg", "b/1.jpg"], ["a/1.jpg", "c/1.jpg"]).rows.tolist() == [0, -1]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["img_1_2.jpg"], ["img_12.jpg"]),
        (["a-b.jpg", "a_b.jpg"], ["a b.jpg"]),
        (["a b.jpg"], ["a-b.jpg", "a_b.jpg"]),
        (["p.jpg?x=1", "p.jpg?x=2"], ["p.jpg"]),
    ],
)
def test_names_that_only_resemble_each_other_match_none(names: list[str], ids: list[str]) -> None:
    assert (match_names(names, ids).rows == -1).all()


def test_similar_names_match_their_own_rows() -> None:
    names = ["A.jpg", "a.jpg", "caf\u00e9.jpg", "cafe\u0301.jpg", " a.jpg", "a.png"]
    assert match_names(names, names[::-1]).rows.tolist() == [5, 4, 3, 2, 1, 0]


def test_encodings() -> None:
    text = "Stra\u00dfe \u2013 \u20ac"
    for codec, name in (
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8 with"),
        ("utf-16", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("utf-16-le", "UTF-16 without"),
        ("cp1252", "Windows-1252"),
    ):
        got, said = decode_text(text.encode(codec), "t.csv")
        assert got == text
        assert said.startswith(name)
    with pytest.raises(InputError, match="not a text file"):
        decode_text(b"\0\1\2\3\4\5\6", "t.csv")
