"""The lock contains all dependencies at allowed versions, and the bill of materials is that of the lock."""

import hashlib
import json
import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.tools import sbom

ROOT = Path(__file__).resolve().parents[2]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
BILL = (ROOT / "sbom.cdx.json").read_text(encoding="utf-8")
FLOORS = {"gradio": (6, 31), "pillow": (12, 3), "onnx": (1, 21)}
"""See SECURITY.md."""


@pytest.fixture(scope="module")
def locked() -> list[sbom.Locked]:
    return sbom.read_lock(LOCK)


def test_every_direct_dependency_is_locked_at_an_allowed_version(locked: list[sbom.Locked]) -> None:
    for text in PROJECT["dependencies"]:
        wanted = Requirement(text)
        found = [one for one in locked if one.name == canonicalize_name(wanted.name)]
        assert found, f"make lock: {text} is not in it"
        assert all(wanted.specifier.contains(one.version) for one in found), f"make lock: {text}"
        assert all("inficond" in one.via for one in found)
        assert bool(wanted.marker) == any(one.marker for one in found if one.name.startswith("onnx")), text


def test_every_locked_package_is_required(locked: list[sbom.Locked]) -> None:
    names = {one.name for one in locked}
    for one in locked:
        assert one.via
        assert set(one.via) <= names | {"inficond"}, one.name


def test_the_lock_respects_security_floors(locked: list[sbom.Locked]) -> None:
    versions = {one.name: one.version for one in locked}
    assert {"gradio", "pillow"} <= versions.keys()
    for name, floor in FLOORS.items():
        if name in versions:
            assert tuple(int(n) for n in re.findall(r"\d+", versions[name])[:2]) >= floor


def test_every_locked_file_has_a_hash_and_no_url(locked: list[sbom.Locked]) -> None:
    assert all(one.hashes and len(set(one.hashes)) == len(one.hashes) for one in locked)
    for text in (LOCK, BILL):
        assert not re.search(
            r"file:|--(extra-)?index-url|--find-links|https?://(?!cyclonedx\.org/schema/)", text
        )


@pytest.mark.parametrize(("machine", "runtime"), [("x86_64", "onnxruntime-gpu"), ("aarch64", "onnxruntime")])
def test_exactly_one_runtime_is_installed_on_each_platform(
    locked: list[sbom.Locked], machine: str, runtime: str
) -> None:
    """The GPU build on x86-64 under Linux and Windows, the other build on other platforms."""
    here = {"platform_machine": machine, "sys_platform": "linux", "python_full_version": "3.11.9"}
    chosen = {
        one.name
        for one in locked
        if not one.marker or Requirement(f"{one.name}=={one.version}; {one.marker}").marker.evaluate(here)  # type: ignore[union-attr]
    }
    assert {n for n in chosen if n.startswith("onnxruntime")} == {runtime}
    assert {"numpy", "gradio", "numba"} <= chosen


def test_the_bill_of_materials_lists_the_lock(locked: list[sbom.Locked]) -> None:
    parts = json.loads(BILL)["components"]
    assert sorted((p["name"], p["version"]) for p in parts) == sorted((o.name, o.version) for o in locked)
    for part in parts:
        assert part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}"
        assert part["licenses"], part["name"]


def normalised_bill(bill: str) -> list[Any]:
    """Return the content of a bill of materials in an order that does not depend on the library's version."""
    sbom_ = json.loads(bill)
    parts = [[p["bom-ref"], p["type"], p.get("licenses"), p.get("properties")] for p in sbom_["components"]]
    needs = sorted((d["ref"], sorted(d.get("dependsOn", []))) for d in sbom_["dependencies"])
    return [sorted(parts, key=str), needs, sbom_["metadata"]["properties"], sbom_["serialNumber"]]


def test_the_bill_of_materials_is_that_of_this_lock() -> None:
    """It contains the lock's checksum and is valid by the schema of CycloneDX."""
    made = sbom.document(LOCK, sbom.known_licences(BILL))
    assert normalised_bill(made) == normalised_bill(BILL), "run `make sbom`"
    digest = hashlib.sha256(LOCK.encode()).hexdigest()
    assert json.loads(BILL)["metadata"]["properties"] == [
        {"name": "inficond:lock", "value": f"sha256:{digest}"}
    ]
    other = sbom.document(LOCK + "# later\n", sbom.known_licences(BILL))
    assert normalised_bill(other) != normalised_bill(BILL)


def test_licences_equal_those_of_installed_packages(locked: list[sbom.Locked]) -> None:
    known = sbom.known_licences(BILL)
    compared = 0
    for one in locked:
        try:
            if version(one.name) != one.version:
                continue
        except PackageNotFoundError:
            continue
        found = metadata(one.name)
        declared = sbom.declared({
            "license_expression": found.get("License-Expression"),
            "license": found.get("License"),
            "classifier": found.get_all("Classifier") or [],
        })  # fmt: skip
        assert known[one.name, one.version] == declared, one.name
        compared += 1
    if not compared:
        pytest.skip("no package is installed at the lock's version")


def test_an_invalid_lock_is_refused() -> None:
    with pytest.raises(ValueError, match="not a pinned package"):
        sbom.read_lock("gradio>=6.31\n")
    with pytest.raises(ValueError, match="not a pinned package"):
        sbom.read_lock("gradio==6.31.0\n")
    with pytest.raises(ValueError, match="CycloneDX"):
        sbom.check('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"name": "x"}]}')


@pytest.mark.parametrize(
    ("address", "valid"),
    [
        ("https://example.org/päckage?x=1#y", True),
        ("urn:uuid:8f4b1c52-8e0c-5b0c-9d6f-0e1a4f5d6c7b", True),
        ("../licence", True),
        ("https://example.org/a b", False),
        ("http://[::1", False),
        ("%zz", False),
    ],
)
def test_addresses_in_the_bill_of_materials_are_checked(address: str, valid: bool) -> None:
    bill = json.loads(BILL)
    bill["components"][0]["externalReferences"] = [{"type": "website", "url": address}]
    if valid:
        sbom.check(json.dumps(bill))
    else:
        with pytest.raises(ValueError, match="CycloneDX"):
            sbom.check(json.dumps(bill))
