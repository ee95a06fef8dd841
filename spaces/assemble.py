"""Assembles the folder that is pushed to a Hugging Face Space: `python spaces/assemble.py OUT`.

The folder is self-contained: the wheel built from this checkout, the demo project with its pictures already
rendered (so that a cold start encodes and renders nothing), and the files beside this script.
"""

import argparse
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent


def assemble(out: Path) -> None:
    """Write the Space's files into the new or empty folder `out`."""
    if out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty: choose another folder or empty it first")
    out.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip"]
    subprocess.run(
        [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(HERE.parent)], check=True
    )
    wheel = next(out.glob("inficond-*.whl"))
    for name in ("app.py", "packages.txt"):
        shutil.copy(HERE / name, out / name)
    gradio = version("gradio")
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    lines = [
        f"sdk_version: {gradio}" if line.startswith("sdk_version:") else line for line in readme.split("\n")
    ]
    (out / "README.md").write_text("\n".join(lines), encoding="utf-8")
    (out / "requirements.txt").write_text(f"./{wheel.name}\ngradio=={gradio}\n", encoding="utf-8")
    from inficond.core.demo import demo_project

    shutil.copytree(demo_project(), out / "demo", ignore=shutil.ignore_patterns("history.sqlite*"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    assemble(parser.parse_args().out)
