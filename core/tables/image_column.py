"""The column of a table that names the images."""

import re
from collections.abc import Sequence

from inficond.core.errors import InputError
from inficond.core.tables import names
from inficond.core.tables.column_contents import ColumnContents
from inficond.core.tables.columnar import is_binary
from inficond.core.tables.names import normal_name
from inficond.core.tables.options import TableOptions
from inficond.core.tables.raw_table import Column, RawTable, named_column


def image_column(
    table: RawTable, options: TableOptions | None = None, contents: ColumnContents | None = None
) -> Column:
    """Find the column that names the images.

    Parameters
    ----------
    table : RawTable
    options : TableOptions, optional
    contents : optional
        Contents that are known already.

    Returns
    -------
    Column

    Raises
    ------
    InputError
        There is none, or several may be meant.
    """
    options, contents = options or TableOptions(), contents or ColumnContents()
    given = named_column(table, options.image_columns, "--image-column")
    if given is not None:
        return _with_paths(table, given)
    if any(names.FILE.fullmatch(c.name) and contents[c].files for c in table.columns):
        shown = ",".join(c.name for c in table.columns[:4])
        raise InputError(
            f"{table.path} has no header: its first line is {shown}; put a line like image,class,probability "
            "above it"
        )
    others = _given_others(table, options)
    columns = [c for c in table.columns if c not in others]
    known = [c for c in columns if normal_name(c.name) in names.IMAGE_COLUMNS]
    strong = [c for c in known if normal_name(c.name) not in names.WEAK_IMAGE_COLUMNS]
    strong = [c for c in strong if not contents[c].numeric] or strong
    files = [c for c in known if contents[c].files] or [
        c for c in columns if not strong and contents[c].files
    ]
    for candidates in (files, strong, known):
        if candidates:
            candidates = sorted(candidates, key=_image_rank)
            if len(candidates) > 1 and normal_name(candidates[0].name) != "image":
                candidates = [_longest(table, candidates)]
            return _with_paths(table, candidates[0])
    shown = ", ".join(c.name for c in table.columns[:8])
    advice = "choose one with --image-column"
    if len(table.columns) == 1 and re.search(r"[^\w.\-/]", table.columns[0].name):
        advice = "separate columns by commas, semicolons or tabs, or choose with --separator"
    raise InputError(f"{table.path} has no column `image`: it has {shown}; {advice}")


def _image_rank(column: Column) -> int:
    name = normal_name(column.name)
    return names.IMAGE_COLUMNS.index(name) if name in names.IMAGE_COLUMNS else len(names.IMAGE_COLUMNS)


def _longest(table: RawTable, candidates: Sequence[Column]) -> Column:
    """Return the candidate whose paths end with those of every other one."""
    for column in candidates:
        if all(
            long.strip().replace("\\", "/").endswith(short.strip().replace("\\", "/"))
            for other in candidates
            for long, short in zip(column.texts, other.texts)
        ):
            return column
    shown = " or ".join(repr(c.name) for c in candidates)
    raise InputError(f"{table.path}: the images are named in {shown}; choose one with --image-column")


def _with_paths(table: RawTable, column: Column) -> Column:
    import pyarrow as pa

    kind = column.arrow.type
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if is_binary(kind) or any(test(kind) for test in lists):
        raise InputError(
            f"{table.path}, {column.shown} holds {kind}, not names of images; choose a column with "
            "--image-column"
        )
    if pa.types.is_struct(kind) and (kind.get_field_index("path") < 0 or column.is_empty):
        raise InputError(
            f"{table.path}, {column.shown} holds pictures without a path; choose a column of names with "
            "--image-column"
        )
    return column


def _given_others(table: RawTable, options: TableOptions) -> set[Column]:
    wanted = (*options.label_columns, *options.probability_columns, *options.class_columns)
    return {c for name in wanted if (c := table.named([name])) is not None}
