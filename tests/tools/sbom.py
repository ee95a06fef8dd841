"""The software bill of materials, made from requirements.lock: `python tests/tools/sbom.py`.

Writes sbom.cdx.json in the format CycloneDX: each package of the lock with version, licence, package URL,
platforms and dependencies. The document contains no time and no random number, so the same lock gives the
same bytes. Licences are those that the packages declare; the package index is asked only for versions that
the file does not contain yet.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.exception import MissingOptionalDependencyException
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema.validators import Draft7Validator
from packageurl import PackageURL
from rfc3986_validator import validate_rfc3986

from inficond.core import __version__

ROOT = Path(__file__).resolve().parents[2]
LOCK, SBOM = ROOT / "requirements.lock", ROOT / "sbom.cdx.json"
_CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "License :: OSI Approved :: BSD License": "BSD License",
}


@dataclass(frozen=True)
class Locked:
    """A line of the lock.

    Parameters
    ----------
    name, version : str
    marker : str
        Environment marker; empty if the package is needed on all platforms.
    hashes : tuple of str
        SHA-256 of every file that may be installed.
    via : tuple of str
        Packages that need it, among them ``inficond`` for direct dependencies.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    via: tuple[str, ...]

    @property
    def purl(self) -> PackageURL:
        """The package URL."""
        return PackageURL("pypi", None, self.name, self.version)


def read_lock(text: str) -> list[Locked]:
    """Parse the packages of a lock, in its order.

    Raises
    ------
    ValueError
        A line is not a pinned package with hashes.
    """
    found = []
    whole = re.sub(r"^#.*\n", "", text.replace("\\\n", " "), flags=re.M)
    for entry in re.split(r"\n(?=\S)", whole.strip()):
        said, _, via = entry.partition("\n")
        line = re.fullmatch(
            r"([a-z0-9._-]+)==([^\s;]+)\s*(?:;\s*(.*?))?((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", said
        )
        if line is None:
            raise ValueError(f"not a pinned package with hashes: {said[:80]!r}")
        names = re.sub(r"\s*#\s*(via)?|\(pyproject\.toml\)", " ", via).replace(",", " ").split()
        hashes = tuple(re.findall(r"sha256:([0-9a-f]{64})", line[4]))
        found.append(Locked(line[1], line[2], line[3] or "", hashes, tuple(names)))
    return found


def document(lock: str, licences: Mapping[tuple[str, str], str]) -> str:
    """Return the bill of materials.

    Parameters
    ----------
    lock : str
        The text of the lock.
    licences : mapping from (name, version) to str
        Declared licence of each package.

    Returns
    -------
    str
        CycloneDX 1.6 as JSON, deterministic.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    digest, make = hashlib.sha256(lock.encode()).hexdigest(), LicenseFactory()
    product = Component(
        name=project["name"],
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref=project["name"],
        licenses=[make.make_from_string(project["license"])],
    )
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{digest}"))
    bom.metadata.component = product
    bom.metadata.properties.add(Property(name="inficond:lock", value=f"sha256:{digest}"))
    parts: dict[str, list[Component]] = {project["name"]: [product]}
    locked = read_lock(lock)
    for one in locked:
        part = Component(
            name=one.name,
            version=one.version,
            type=ComponentType.LIBRARY,
            bom_ref=str(one.purl),
            purl=one.purl,
            licenses=[
                make.make_from_string(
                    licences[one.name, one.version], license_acknowledgement=LicenseAcknowledgement.DECLARED
                )
            ],
            properties=[Property(name="inficond:marker", value=one.marker)] if one.marker else [],
        )
        bom.components.add(part)
        parts.setdefault(one.name, []).append(part)
    for owner, components in parts.items():
        needed = [
            c for one in locked if owner in one.via for c in parts[one.name] if c.version == one.version
        ]
        for component in components:
            bom.register_dependency(component, needed)
    said = json.loads(JsonV1Dot6(bom).output_as_string())
    said["metadata"].pop("timestamp", None)
    said["metadata"].pop("tools", None)
    text = json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    check(text)
    return text


@Draft7Validator.FORMAT_CHECKER.checks("iri-reference")
def is_address(value: object) -> bool:
    """Return whether a string is an IRI reference: its mapping to a URI (RFC 3987, 3.1) is a reference."""
    ascii_characters = "".join(map(chr, range(128)))
    return not isinstance(value, str) or bool(
        validate_rfc3986(quote(value, safe=ascii_characters), rule="URI_reference")
    )


def check(text: str) -> None:
    """Validate a document with the schema of CycloneDX 1.6.

    Raises
    ------
    ValueError
        It is not valid.
    """
    try:
        wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    except MissingOptionalDependencyException as error:  # jsonschema
        raise ValueError(f"it cannot be checked: {error}") from error
    if wrong is not None:
        raise ValueError(f"not valid CycloneDX 1.6: {wrong!s:.300}")


def known_licences(text: str) -> dict[tuple[str, str], str]:
    """Return the licences in a bill of materials, by name and version."""
    found = {}
    for part in json.loads(text).get("components", []):
        for entry in part.get("licenses", []):
            one = entry.get("license", {})
            said = entry.get("expression") or one.get("id") or one.get("name")
            if said:
                found[part["name"], part["version"]] = str(said)
    return found


def declared(metadata: Mapping[str, Any]) -> str | None:
    """Return the licence that a package's metadata declare, if possible as an SPDX expression."""
    if metadata.get("license_expression"):
        return str(metadata["license_expression"])
    short = str(metadata.get("license") or "").strip()
    named = [_CLASSIFIERS[c] for c in metadata.get("classifier", ()) if c in _CLASSIFIERS]
    if len(named) == 1 and (not re.fullmatch(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*", short)):
        return named[0]
    return short.splitlines()[0][:80] if short else (" OR ".join(named) or None)


def asked_licences(wanted: Iterable[Locked]) -> dict[tuple[str, str], str]:
    """Ask the package index for the licences of packages, without downloading files if it serves metadata."""
    found: dict[tuple[str, str], str] = {}
    rest = list(wanted)
    while rest:
        now = {one.name: one for one in reversed(rest)}  # one version of each at a time
        rest = [one for one in rest if now[one.name] is not one]
        with tempfile.TemporaryDirectory() as place:
            report = Path(place) / "report.json"
            pip = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--dry-run",
                "--no-deps",
                "--ignore-installed",
            ]
            pip += [
                "--ignore-requires-python",
                "--only-binary=:all:",
                "--python-version",
                "3.13",
                "--platform",
                "any",
            ]
            for glibc in ("2_17", "2_27", "2_28", "2_34"):
                pip += ["--platform", f"manylinux_{glibc}_x86_64"]
            pip += ["--platform", "manylinux2014_x86_64", "--target", place, "--report", str(report)]
            subprocess.run([*pip, *(f"{one.name}=={one.version}" for one in now.values())], check=True)
            for entry in json.loads(report.read_text(encoding="utf-8"))["install"]:
                metadata = entry["metadata"]
                name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
                said = declared(metadata)
                if said is None:
                    raise SystemExit(f"{name} {metadata['version']} declares no licence: check it by hand")
                found[name, now[name].version] = said
    return found


def main() -> None:
    """Write the document for the present lock."""
    lock = LOCK.read_text(encoding="utf-8")
    licences = known_licences(SBOM.read_text(encoding="utf-8")) if SBOM.exists() else {}
    licences |= asked_licences(one for one in read_lock(lock) if (one.name, one.version) not in licences)
    SBOM.write_text(document(lock, licences), encoding="utf-8")
    print(f"{SBOM.name}: {len(read_lock(lock))} packages")


if __name__ == "__main__":
    main()
