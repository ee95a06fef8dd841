"""Properties of reading tables: every style gives the correct matrix, and errors name the wrong cell."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inficond.core.errors import InputError
from inficond.core.models.tables import read_labels, read_responses

FREE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CLASSES = (
    "cat", "dog", "Weißkopf", "café", "great white shark, white shark", "a;b", "x|y", "None", "nan", "true",
    "0", "no", "class 1", "12", "猫",
)  # fmt: skip
IMAGES = (
    "a.jpg", "b/c.png", "Straße 1.jpg", "x,y.jpg", "semi;colon.jpg", "IMG_0001.JPG", "été.webp", 
    "quo\"te.jpg", "d e f.jpeg", "#1.jpg", "100%.jpg", "back\\slash.png",
)  # fmt: skip
NAMES = {
    "image": ("image", "path", "file_name", "filename", "Image", "FILE", "image path"),
    "class": ("class", "label", "category", "Class Name"),
    "value": ("probability", "score", "prob", "Confidence"),
}


@dataclass(frozen=True)
class Style:
    """A style of writing a table."""

    wide: bool
    names: tuple[str, str, str]
    separator: str
    encoding: str
    newline: str
    comma: bool
    percent: bool
    quote_all: bool
    index: str | None
    extra: bool
    blank_end: str
    joined: str


styles = st.builds(
    Style,
    wide=st.booleans(),
    names=st.tuples(*(st.sampled_from(NAMES[kind]) for kind in ("image", "class", "value"))),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    comma=st.booleans(),
    percent=st.booleans(),
    quote_all=st.booleans(),
    index=st.sampled_from([None, "", "Unnamed: 0", "index", "id"]),
    extra=st.booleans(),
    blank_end=st.sampled_from(["", "\n\n", ",,,", "  \n", "\x1a"]),
    joined=st.sampled_from(["", "", "header", "mark", "header and mark", "blank"]),
)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[list[str], list[str], np.ndarray]:
    """Image names, class names and probabilities in steps of 1/1000."""
    images = draw(st.lists(st.sampled_from(IMAGES), min_size=2, max_size=6, unique=True))
    classes = draw(st.lists(st.sampled_from(CLASSES), min_size=2, max_size=4, unique=True))
    numbers = draw(
        st.lists(
            st.integers(0, 1000), min_size=len(images) * len(classes), max_size=len(images) * len(classes)
        )
    )
    return images, classes, np.array(numbers).reshape(len(images), len(classes)) / 1000  # pyright: ignore[reportReturnType]


def spelled(value: float, style: Style) -> str:
    text = f"{100 * value:.1f}%" if style.percent else f"{value:g}"
    return text.replace(".", ",") if style.comma else text


def written(matrix: tuple[list[str], list[str], np.ndarray], style: Style) -> bytes:
    """The bytes of the table, in a style."""
    images, classes, values = matrix
    if style.wide:
        rows = [[style.names[0], *classes]]
        rows += [[image, *(spelled(v, style) for v in row)] for image, row in zip(images, values)]
    else:
        rows = [list(style.names)]
        rows += [
            [image, name, spelled(values[i, c], style)]
            for i, image in enumerate(images)
            for c, name in enumerate(classes)
        ]
    if style.extra:
        rows = [[*row, "split" if n == 0 else "train"] for n, row in enumerate(rows)]
    if style.index is not None:
        rows = [[style.index if n == 0 else str(n - 1), *row] for n, row in enumerate(rows)]
    quoting = csv.QUOTE_ALL if style.quote_all else csv.QUOTE_MINIMAL

    def text_of(some: list[list[str]]) -> str:
        out = io.StringIO()
        csv.writer(out, delimiter=style.separator, lineterminator=style.newline, quoting=quoting).writerows(
            some
        )
        return out.getvalue()

    half = len(rows) // 2 + 1
    text = text_of(rows[:half])
    text += "\ufeff" * ("mark" in style.joined) + "  \t "[: 2 * (style.joined == "blank")]
    text += style.newline * (style.joined == "blank") + text_of(rows[:1]) * ("header" in style.joined)
    text += text_of(rows[half:])
    end = style.blank_end.replace("\n", style.newline)
    if end == ",,,":
        end = style.separator * (len(rows[0]) - 1) + style.newline
    return (text + end).encode(style.encoding)


@FREE
@given(matrix=matrices(), style=styles)
def test_every_style_of_writing_gives_the_same_matrix(
    tmp_path: Path, matrix: tuple[list[str], list[str], np.ndarray], style: Style
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(written(matrix, style))
    images, classes, values = matrix
    table = read_responses(path)
    assert set(table.classes) == {normalize("NFC", c) for c in classes}
    rows = table.rows_for(images)
    assert (rows >= 0).all()
    columns = [table.classes.index(normalize("NFC", c)) for c in classes]
    np.testing.assert_allclose(table.values[rows][:, columns], values, atol=1e-6)


DAMAGES = ("x", "0.5.1", "1.5", "-0.2", "inf", "1e400", "12:30", "#VALUE!", "0,5,1", "0x1", "١", "1_0", "5%%")


@FREE
@given(
    matrix=matrices(),
    style=styles,
    damage=st.sampled_from(DAMAGES),
    row=st.integers(0, 5),
    column=st.integers(0, 3),
)
def test_a_wrong_number_is_refused_with_its_line_and_column(
    tmp_path: Path,
    matrix: tuple[list[str], list[str], np.ndarray],
    style: Style,
    damage: str,
    row: int,
    column: int,
) -> None:
    images, classes, values = matrix
    row, column = row % len(images), column % len(classes)
    marked = np.where(values == 0.777, 0.778, values)
    marked[row, column] = 0.777
    marker = spelled(0.777, style)
    data = written((images, classes, marked), style).decode(style.encoding)
    unquoted = not style.quote_all and style.separator not in marker
    written_damage = f'"{damage}"' if style.separator in damage and unquoted else damage
    lines = re.split("\r\n|\r|\n", data)
    where = next(n for n, line in enumerate(lines, 1) if marker in line)
    path = tmp_path / "t.csv"
    path.write_bytes(data.replace(marker, written_damage).encode(style.encoding))
    with pytest.raises(InputError) as caught:
        read_responses(path)
    line = str(caught.value)
    assert "\n" not in line
    assert "t.csv" in line
    assert f"line {where}" in line
    assert (classes[column] if style.wide else style.names[2]) in line


@FREE
@given(matrix=matrices(), wide=st.booleans(), kind=st.sampled_from(["float64", "float32", "decimal", "text"]))
def test_parquet_gives_the_same_matrix(
    tmp_path: Path, matrix: tuple[list[str], list[str], np.ndarray], wide: bool, kind: str
) -> None:
    images, classes, values = matrix

    def numbers(column: np.ndarray) -> pa.Array:
        if kind == "decimal":
            return pa.array(column).cast(pa.decimal128(10, 3))
        return pa.array([f"{v:g}" for v in column]) if kind == "text" else pa.array(column, kind)

    if wide:
        columns = {"image": pa.array(images), **{c: numbers(values[:, i]) for i, c in enumerate(classes)}}
    else:
        n = len(classes)
        columns = {
            "image": pa.array([i for i in images for _ in range(n)]),
            "class": pa.array(classes * len(images)).dictionary_encode(),
            "probability": numbers(values.ravel()),
        }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = read_responses(tmp_path / "t.parquet")
    got = table.values[table.rows_for(images)][:, [table.classes.index(c) for c in classes]]
    np.testing.assert_allclose(got, values, atol=1e-6)


@FREE
@given(matrix=matrices(), style=styles, form=st.sampled_from(["wide", "rows", "bars", "json", "python"]))
def test_every_form_of_labels_gives_the_same_truth(
    tmp_path: Path, matrix: tuple[list[str], list[str], np.ndarray], style: Style, form: str
) -> None:
    images, classes, values = matrix
    truth = values > 0.5
    truth[0] = True
    if form == "wide":
        rows = [[style.names[0], *classes]] + [[i, *map(str, map(int, t))] for i, t in zip(images, truth)]
    elif form == "rows":
        rows = [["image", "class"]]
        rows += [[i, c] for i, t in zip(images, truth) for c, yes in zip(classes, t) if yes]
    else:
        classes = [c for c in classes if "|" not in c and ";" not in c]
        truth = truth[:, [matrix[1].index(c) for c in classes]]
        join = {
            "bars": " | ".join,
            "json": lambda n: str(list(n)).replace("'", '"'),
            "python": lambda n: str(list(n)),
        }
        listed = [[c for c, yes in zip(classes, t) if yes] for t in truth]
        rows = [["image", "labels"], *([i, join[form](names)] for i, names in zip(images, listed))]
    if not classes:
        return
    path = tmp_path / "l.csv"
    with open(path, "w", encoding=style.encoding, newline="") as file:
        csv.writer(file, delimiter=style.separator).writerows(rows)
    table = read_labels(path)
    known = [i for i, t in zip(images, truth) if form != "rows" or t.any()]
    got = table.values[table.rows_for(known)][:, [table.classes.index(normalize("NFC", c)) for c in classes]]
    np.testing.assert_array_equal(got, truth[[images.index(i) for i in known]])
