"""Renew the files of ONNX Runtime Web that pages of students contain: `make runtime`, which needs npm."""

import argparse
import gzip
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

TARGET = Path(__file__).resolve().parents[2] / "core" / "student_page" / "runtime"
SCRIPT, BINARY = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"


def main() -> None:
    """Fetch the package of a version and write script, compressed binary and their checksums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", default=json.loads((TARGET / "runtime.json").read_text())["version"])
    version = parser.parse_args().version
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, f"onnxruntime-web@{version}"]
        name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        with tarfile.open(Path(folder) / name) as package:
            content = {n: read(package, f"package/dist/{n}") for n in (SCRIPT, BINARY)}
    files = {SCRIPT: content[SCRIPT], f"{BINARY}.gz": gzip.compress(content[BINARY], 9, mtime=0)}
    for file, data in files.items():
        (TARGET / file).write_bytes(data)
    record = {
        "package": "onnxruntime-web",
        "version": version,
        "licence": "MIT",
        "files": {file: hashlib.sha256(data).hexdigest() for file, data in files.items()},
    }
    (TARGET / "runtime.json").write_text(json.dumps(record, indent=2) + "\n")


def read(package: tarfile.TarFile, name: str) -> bytes:
    """Read a file of the package, without its reference to a source map."""
    file = package.extractfile(name)
    assert file is not None, f"the package has no {name}"
    return file.read().split(b"\n//# sourceMappingURL=")[0] if name.endswith(".mjs") else file.read()


if __name__ == "__main__":
    main()
