"""Assembly of the folder of a Hugging Face Space: `python spaces/assemble.py OUT`.

The folder is self-contained: the packages as source, a project of photographs from the Hugging Face hub, the
demo project, which is opened where the hub was not reachable, the files beside this script, and a
`requirements.txt` with every direct dependency at the version installed here. All pictures are rendered and
encoded, so that a cold start encodes nothing. The packages are not a wheel, because a Space installs
its requirements before it copies the repository, and would not find the file.
"""

import argparse
import re
import shutil
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import compiled_kernels
import photographs

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PACKAGES = ("core", "gradio_app")
"""Packages that a Space needs; `export` is not among them, since it needs torch."""
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")


COLLAGES = "The pictures are photo collages made for this demonstration."


def assemble(out: Path, compile_kernels: bool = True, with_photographs: bool = True) -> None:
    """Write the Space's files into the new or empty folder `out`.

    Parameters
    ----------
    out : Path
    compile_kernels : bool
        Whether to compile the kernels, which takes about a minute here and saves it at every start there.
    with_photographs : bool
        Whether to add a project of photographs, if the hub can be reached.
    """
    if out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty: choose another folder or empty it first")
    out.mkdir(parents=True, exist_ok=True)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, out / "inficond" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "compiled_kernels.py", "served.py", "packages.txt"):
        shutil.copy(HERE / name, out / name)
    shutil.copy(ROOT / "LICENSE", out / "LICENSE")
    wanted = requirements()
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    gradio = next(line.split("==")[1] for line in wanted if line.startswith("gradio=="))
    python = f'python_version: "{sys.version_info.major}.{sys.version_info.minor}"'
    readme = re.sub(r"^python_version:.*$", python, readme, count=1, flags=re.M)
    readme = re.sub(r"^sdk_version:.*$", f"sdk_version: {gradio}", readme, count=1, flags=re.M)
    if with_photographs:
        try:
            about = photographs.add(out)
            readme = readme.replace(COLLAGES, about)
            (out / photographs.PROJECT).chmod(0o755)
            print(f"the Space opens with photographs: {photographs.SNACKS.name}", file=sys.stderr)
        except photographs.Unavailable as error:
            print(f"the Space opens with the collages of the demo: {error}", file=sys.stderr)
    (out / "README.md").write_text(readme, encoding="utf-8")
    (out / "requirements.txt").write_text("\n".join(wanted) + "\n", encoding="utf-8")
    from inficond.core.demo import demo_project

    shutil.copytree(demo_project(), out / "demo", ignore=shutil.ignore_patterns("history.sqlite*"))
    if compile_kernels and not compiled_kernels.compile_kernels(out):
        print(
            "this machine cannot compile kernels for a Space; the Space compiles them at every start",
            file=sys.stderr,
        )
    (out / "demo").chmod(0o755)  # projects are private by default; a Space runs as another user


def requirements() -> list[str]:
    """Return the direct dependencies at the versions installed here, ONNX Runtime for CPUs, and `spaces`.

    The version of `spaces` is chosen by the Space.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[\[<>=!~; ]", line)[0] for line in project["dependencies"]}
    pinned = [f"{name}=={version(name)}" for name in sorted(names - set(RUNTIMES))]
    return [*pinned, f"onnxruntime=={_runtime()}", "spaces"]


def _runtime() -> str:
    for name in RUNTIMES:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise SystemExit("neither onnxruntime nor onnxruntime-gpu is installed here: pip install inficond")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--no-compile", action="store_true", help="leave the kernels to the Space")
    parser.add_argument(
        "--no-photographs", action="store_true", help="open the collages of the demo; download nothing"
    )
    chosen = parser.parse_args()
    assemble(chosen.out, not chosen.no_compile, not chosen.no_photographs)
