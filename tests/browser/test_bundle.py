"""The bundler of the page's modules."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from inficond.core.script_bundle import bundle, minify
from inficond.gradio_app import theme


def write(folder: Path, **modules: str) -> Path:
    """Write modules and return the path of the one named `main`."""
    for name, source in modules.items():
        (folder / f"{name}.js").write_text(source, encoding="utf-8")
    return folder / "main.js"


def test_each_module_runs_once_behind_those_it_imports(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node")
    entry = write(
        tmp_path,
        main='import { twice as double } from "./a.js";\nimport { one, log } from "./b.js";\n'
        "export const result = [double(one), ...log];\n",
        a='import { one } from "./b.js";\nexport function twice(x) {\n  return x + one;\n}\n',
        b='export const log = [];\nexport const one = 1;\nlog.push("b ran");\n',
    )
    code = bundle({"main": entry}) + "\nconsole.log(JSON.stringify(main.result));"
    done = subprocess.run([node, "-e", code], check=True, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == [2, "b ran"]


def test_a_cycle_of_imports_is_rejected(tmp_path: Path) -> None:
    entry = write(
        tmp_path,
        main='import { a } from "./a.js";\nexport const b = a;\n',
        a='import { b } from "./main.js";\nexport const a = b;\n',
    )
    with pytest.raises(ValueError, match="cycle: main.js → a.js"):
        bundle({"main": entry})


@pytest.mark.parametrize(
    "statement",
    ['import "./a.js";', 'import * as a from "./a.js";', "export default 1;", "export let x = 1;"],
)
def test_unsupported_statements_are_rejected(tmp_path: Path, statement: str) -> None:
    with pytest.raises(ValueError, match="main.js: the bundler does not support"):
        bundle({"main": write(tmp_path, main=statement + "\n", a="export const y = 1;\n")})


def test_minify_removes_comments_and_indentation_only() -> None:
    source = (
        "/* head\n more */\n  // line\n  const a = 'http://x'; // kept\n\n  /** cast */ (b)();\n/* end */\n"
    )
    assert minify(source) == "const a = 'http://x'; // kept\n/** cast */ (b)();"


def test_the_page_has_a_setup_function_for_each_view() -> None:
    code = theme.script()
    for name in ("configuration", "performance", "influence", "tuning", "instances", "provenance"):
        assert f"{name}: {name}View.setup" in code
