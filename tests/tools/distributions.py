"""Wheel and source archive of a release: `make dist` writes them to dist.

The same commit gives the same bytes in every checkout: times are those of the commit, owners are removed,
files are sorted, and modes do not depend on the umask.
"""

import argparse
import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SDIST = "from setuptools import build_meta; import sys; build_meta.build_sdist(sys.argv[1])"


def build(source: Path, out: Path, epoch: int) -> list[Path]:
    """Build both distributions of a source tree.

    Parameters
    ----------
    source : Path
        A checkout without build products.
    out : Path
        Folder of the files.
    epoch : int
        Time of all files, in seconds since 1970.

    Returns
    -------
    list of Path
        Wheel and source archive.
    """
    out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)]
    subprocess.run(pip, env=environment, check=True, stdout=subprocess.DEVNULL)
    sdist = [sys.executable, "-c", SDIST, str(out)]
    subprocess.run(sdist, cwd=source, env=environment, check=True, stdout=subprocess.DEVNULL)
    wheel, archive = next(out.glob("*.whl")), next(out.glob("*.tar.gz"))
    wheel.write_bytes(normalised_wheel(wheel.read_bytes()))
    archive.write_bytes(normalised_archive(archive.read_bytes(), epoch))
    return [wheel, archive]


def normalised_wheel(wheel: bytes) -> bytes:
    """Return a wheel whose files have the mode 644, or 755 where the owner may execute them."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel)) as given, zipfile.ZipFile(written, "w") as archive:
        for member in given.infolist():
            mode = 0o755 if member.external_attr >> 16 & 0o100 else 0o644
            member.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(member, given.read(member), zipfile.ZIP_DEFLATED)
    return written.getvalue()


def normalised_archive(archive: bytes, epoch: int) -> bytes:
    """Return a source archive whose bytes depend on names, contents and the owner's right to execute only."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as given, tarfile.open(fileobj=plain, mode="w") as written:
        for member in sorted(given.getmembers(), key=lambda m: m.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            written.addfile(member, given.extractfile(member) if member.isfile() else None)
    return gzip.compress(plain.getvalue(), 9, mtime=epoch)


def main() -> None:
    """Build the distributions of the current commit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    out = parser.parse_args().out
    time = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for path in build(ROOT, out, int(time.stdout)):
        print(path)


if __name__ == "__main__":
    main()
