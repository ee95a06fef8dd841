"""Validation of the options in a plan, which another person may have written."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError
from inficond.core.extensions import SOURCES, extensions
from inficond.core.models.resolve import locate
from inficond.core.pipeline.user_teachers import teacher_kind

TEACHERS = ("auto", "labels", "probe", "table", "model")
"""Kinds of teachers that a plan may name. A Python object would run code of the plan's author."""
_URL = re.compile(r"hf:|[A-Za-z][A-Za-z0-9+.\-]+://")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list | tuple) and all(map(_is_text, value)))


def _are_classes(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, dict) and all(map(_are_texts, value.values())))


_REQUIRED: dict[str, Callable[[Any], bool]] = {
    "images": _is_text, "out": _is_text, "teacher": _is_text, "encoder": _is_text, "temperature": _is_number,
    "seed": _is_whole,
    **dict.fromkeys(("validity", "grounding", "baseline"), lambda value: isinstance(value, bool)),
}  # fmt: skip
_OPTIONAL: dict[str, Callable[[Any], bool]] = {
    "teacher_labels": _are_texts, "concepts": _are_texts, "classes": _are_classes, "labels": _is_text,
    "lam": _is_number, "nec": _is_number, "name_prior": _is_number, "words": _is_whole, "link": _is_text,
    "name": _is_text,
}  # fmt: skip


def check_plan_options(options: Mapping[str, Any], tables: Mapping[str, Any], path: Path) -> None:
    """Check the kinds of the values of a plan, and that its teacher is not Python code.

    Parameters
    ----------
    options : mapping
        As read from the plan, without `tables`.
    tables : mapping
        Its options of tables.
    path : Path
        Of the plan, for the message.

    Raises
    ------
    InputError
        A value is of another kind, or the teacher is a Python object.
    """
    wrong = [name for name, is_valid in _REQUIRED.items() if not is_valid(options[name])]
    wrong += [n for n, is_valid in _OPTIONAL.items() if options[n] is not None and not is_valid(options[n])]
    wrong += [name for name, value in tables.items() if value is not None and not _are_texts(value)]
    if wrong:
        raise InputError(f"{path} is damaged (invalid value of {wrong[0]}): make it again")
    if teacher_kind(options["teacher"]) not in TEACHERS:
        raise InputError(
            f"{path} names the teacher {options['teacher']!r:.80}, which a plan cannot hold: make it again "
            "with a model folder, a table of responses, labels or probe"
        )


def check_local(options: Mapping[str, Any], path: Path) -> None:
    """Check that a plan names nothing on another machine.

    Parameters
    ----------
    options : mapping
        As for `check_plan_options`.
    path : Path
        Of the plan, for the message.

    Raises
    ------
    InputError
        Its images are at a URL, or a model is not on this machine.
    """
    images = options["images"]
    if _URL.match(images) or images.partition(":")[0] in extensions(SOURCES):  # code that may use the network
        raise InputError(
            f"{path} names images on another machine, {images!r:.120}: add --network if you trust it"
        )
    locate(options["encoder"], "encoder", download=False)
    if teacher_kind(options["teacher"]) == "model":
        locate(options["teacher"], "teacher", download=False)
