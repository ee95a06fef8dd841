"""Recorded runs of benchmarks belong to the present code, and the documents show them."""

import json
from pathlib import Path

import pytest

from inficond.core.bench.recorded import code_digest, commit_of, markers, replace_table
from inficond.core.bench.tuning import TABLE, TIMED, table_of
from inficond.core.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
AGAIN = "taskset -c 0 inficond bench tuning --images 5000 50000 200000 --write docs/tuning.md"


def recorded() -> dict:
    return json.loads((ROOT / "docs" / "tuning.json").read_text(encoding="utf-8"))


def test_the_recorded_times_of_tuning_are_those_of_the_present_code() -> None:
    assert recorded()["code"] == code_digest(TIMED), f"the timed code has changed: run {AGAIN}"


def test_the_document_shows_the_recorded_times() -> None:
    text = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
    begin, end = markers(TABLE)
    assert text.split(begin)[1].split(end)[0].strip() == "\n".join(table_of(recorded()))


def test_a_checksum_of_code_ignores_prose(tmp_path: Path) -> None:
    module = tmp_path / "m.py"

    def digest(source: str) -> str:
        module.write_text(source, encoding="utf-8")
        return code_digest(["m.py"], tmp_path)

    plain = digest('def f(a):\n    return "# no comment", a\n\nB = 1\n')
    body = '    """Return « a »."""  # why\n    return "# no comment", a\n'
    prose = f'"""Module."""\n\ndef f(a):\n{body}\n\nB = 1\n"""One."""\n'
    assert digest(prose) == plain
    assert digest('def f(a):\n    return "# a comment", a\n\nB = 1\n') != plain
    assert digest('def f(a):\n    return "# no comment", a\n\nB = 2\n') != plain


def test_a_place_without_code_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no Python module"):
        code_digest(["nowhere"], tmp_path)


def test_a_folder_outside_a_checkout_has_no_commit(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "unknown"


def test_a_table_replaces_what_stands_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- t: begin -->\nold\n<!-- t: end -->\nbelow\n", encoding="utf-8")
    replace_table(page, markers("t"), ["| new |"])
    assert (
        page.read_text(encoding="utf-8") == "above\n<!-- t: begin -->\n\n| new |\n\n<!-- t: end -->\nbelow\n"
    )
    with pytest.raises(InputError, match="it needs <!-- other: begin --> once, then <!-- other: end -->"):
        replace_table(page, markers("other"), [])
