"""Arguments that say how tables of images, responses and labels are read."""

import argparse
import csv
from typing import get_args

from inficond.core.tables.options import TableOptions, Values


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of reading tables."""
    group = parser.add_argument_group("tables of images, responses and labels")
    add = group.add_argument
    add(
        "--image-column",
        action="append",
        default=[],
        metavar="NAME",
        help="the column that names the images (repeat it for tables with different names)",
    )
    add(
        "--label-column",
        action="append",
        default=[],
        metavar="NAME",
        help="the column of class names",
    )
    add(
        "--probability-column",
        action="append",
        default=[],
        metavar="NAME",
        help="the column of probabilities beside a column of class names",
    )
    add(
        "--class-columns",
        metavar="A,B,…",
        help="the columns that are classes (default: every column of numbers)",
    )
    add(
        "--values",
        default="probability",
        choices=get_args(Values),
        help="meaning of the teacher's numbers: probability (default), percent, logit (of a sigmoid), "
        "softmax (logits of a softmax)",
    )
    add("--table-encoding", metavar="E", help="text encoding, for example cp1252 (default: detected)")
    add(
        "--separator", metavar="S", help="character between columns, for example ; or tab (default: detected)"
    )


def table_options(args: argparse.Namespace) -> TableOptions:
    """Return the options that `add_table_options` added."""
    classes = next(csv.reader([args.class_columns or ""]), [])
    return TableOptions(
        image_columns=tuple(args.image_column),
        label_columns=tuple(args.label_column),
        probability_columns=tuple(args.probability_column),
        class_columns=tuple(classes),
        values=args.values,
        encoding=args.table_encoding,
        separator=args.separator,
    )
