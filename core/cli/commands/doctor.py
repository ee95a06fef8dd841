"""Check this installation: providers, models, versions and memory.

ONNX Runtime also lists providers that cannot run here, so each is tried on the embedded encoder and compared
with the CPU. With a project folder, all its files are verified; with the address of a running page or
service, its health is requested.
"""

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output
from inficond.core.errors import InputError
from inficond.core.version import __version__

SUMMARY = "check this installation: providers, models, versions, memory"
PACKAGES = (
    "gradio", "huggingface_hub", "numba", "numpy", "onnxruntime", "onnxruntime-gpu", "pillow", "pyarrow",
    "safetensors", "tokenizers", "torch", "transformers", "onnx",
)  # fmt: skip
WORDS = {
    "model": ("the model responds", "THE MODEL DOES NOT RESPOND"),
    "queue": ("the queue advances", "THE QUEUE DOES NOT ADVANCE"),
    "jobs": ("jobs start", "JOBS DO NOT START"),
    "disk": ("the disk can be written", "THE DISK CANNOT BE WRITTEN"),
    "saving": ("steps can be saved", "STEPS CANNOT BE SAVED"),
}
"""Text for each part of a page's health, if it is healthy and if it is not."""
TOLERANCE = 2e-3
"""Maximum difference of a provider's unit-length embeddings from those of the CPU."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "project", nargs="?", type=given_path, metavar="DIR", help="also verify all files of this project"
    )
    parser.add_argument("--url", help="also request the health of this page or service")


def run(args: argparse.Namespace, out: Output) -> int:
    """Run all checks; return 2 if a required component does not work."""
    found = examine(args.project, args.url)
    for line in report_lines(found):
        out.say(line)
    out.result(found)
    return 0 if found["healthy"] else 2


def examine(project: Path | None = None, url: str | None = None) -> dict[str, Any]:
    """Return all results as plain values; `healthy` is whether everything that was checked works.

    Parameters
    ----------
    project : Path, optional
        A project, whose files are verified.
    url : str, optional
        Address of a running page or service, whose health is requested.
    """
    from inficond.core.models.hardware import available_cores, available_memory

    found: dict[str, Any] = {
        "inficond": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": available_cores(),
        "memory_available": available_memory(),
        "packages": {name: _version(name) for name in PACKAGES},
        "export_extra": all(_version(name) for name in ("torch", "transformers", "onnx")),
        "models": {kind: _model(kind) for kind in ("encoder", "teacher")},
        "providers": _providers(),
        "cache": _writable_cache(),
    }
    healthy = all(m["answers"] for m in found["models"].values())
    if project is not None:
        found["project"] = project_state(project)
        healthy = healthy and not found["project"]["faults"]
    if url is not None:
        found["page"] = page_state(url)
        healthy = healthy and found["page"]["ok"]
    found["healthy"] = healthy
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _model(kind: str) -> dict[str, Any]:
    """Load an embedded model and run it on a grey picture."""
    from inficond.core.models.encoder import load_encoder
    from inficond.core.models.teacher import load_teacher

    try:
        if kind == "encoder":
            model: Any = load_encoder("embedded", "cpu")
            pixels = np.full((1, *model.size, 3), 127, np.uint8)
            model.encode(pixels)
            facts = {"dim": model.dim, "grid": list(model.grid), "regions": model.n_regions}
        else:
            model = load_teacher("embedded", "cpu")
            model.respond(np.full((1, *model.preprocess.size, 3), 127, np.uint8))
            facts = {"labels": len(model.labels)}
    except InputError as error:
        return {"answers": False, "error": str(error)}
    return {"answers": True, "name": model.name, "licence": model.manifest.licence, **facts}


def _providers() -> dict[str, dict[str, Any]]:
    """Return for each provider whether it is listed and runs, its speed, and its difference from the CPU."""
    from inficond.core.models.providers import PROVIDERS, listed_providers

    listed = listed_providers()
    reference = _probe("cpu", None)
    result = {}
    for name in PROVIDERS:
        if name == "cpu":
            result[name] = {"listed": True, **reference[0]}
        elif name in listed:
            result[name] = {"listed": True, **_probe(name, reference[1])[0]}
        else:
            result[name] = {"listed": False, "runs": False}
    return result


def _probe(provider: str, reference: np.ndarray | None) -> tuple[dict[str, Any], np.ndarray | None]:
    """Run the embedded encoder on a provider; return the results and the embeddings."""
    from inficond.core.models.encoder import load_encoder

    try:
        encoder = load_encoder("embedded", provider)
        pixels = np.random.default_rng(0).integers(0, 256, (8, *encoder.size, 3), np.uint8)
        encoder.encode(pixels)
        start = time.perf_counter()
        regions = encoder.encode(pixels).regions
        rate = len(pixels) / (time.perf_counter() - start)
    except InputError as error:
        return {"runs": False, "error": str(error)}, None
    facts: dict[str, Any] = {"runs": True, "images_per_second": round(rate, 1)}
    if reference is not None:
        facts["difference"] = float(np.abs(regions - reference).max())
        if facts["difference"] > TOLERANCE:
            facts |= {
                "runs": False,
                "error": f"its results differ from those of the CPU by {facts['difference']:.2g}",
            }
    return facts, regions


def _writable_cache() -> dict[str, Any]:
    from inficond.core.models.cache_directory import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".doctor"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        return {"path": str(folder), "writable": False, "error": error.strerror}
    return {"path": str(folder), "writable": True}


def project_state(path: Path) -> dict[str, Any]:
    """Verify the files of a project; return its faults, and the memory that its steps need."""
    from inficond.core.facade import Project

    try:
        project = Project.open(path)
    except InputError as error:
        return {"path": str(path), "faults": [str(error)]}
    return {
        "path": str(path),
        "images": len(project),
        "exam": len(project.exam or ()),
        "faults": project.verify(),
        "writable": _is_writable(path),
        "cache": _memory(project),
    }


def _memory(project: Any) -> dict[str, int]:
    """Return the bytes in cache that each tuning step needs, and the budget of the cache."""
    workspace = project.context.workspace
    return {"needed": workspace.pinned_bytes, "budget": workspace.cache.usage.budget}


def _is_writable(folder: Path) -> bool:
    """Return whether a file can be written to a folder."""
    probe = folder / f".doctor-{os.getpid()}"
    try:
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError:
        return False
    return True


def page_state(url: str) -> dict[str, Any]:
    """Return the health of a running page or service, or the reason why it is unknown."""
    import urllib.error
    import urllib.request

    if not url.lower().startswith(("http://", "https://")):
        raise InputError(f"--url {url!r}: give an address such as http://127.0.0.1:7860")
    address = url.rstrip("/") + "/health"
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            health: dict[str, Any] = json.loads(answer.read(1 << 20))
    except urllib.error.HTTPError as error:
        try:
            health = json.loads(error.read(1 << 20))
        except ValueError:
            health = {"reason": f"its response has the status {error.code} and is not JSON"}
        health["ok"] = False
    except (OSError, ValueError) as error:
        return {"url": url, "ok": False, "parts": {}, "error": f"no response ({error}): is it running?"}
    parts = {n: p for n, p in health.items() if isinstance(p, dict) and "ok" in p}
    reason = health.get("reason") or health.get("detail") or ""
    return {"url": url, "ok": bool(health.get("ok")), "parts": parts, "error": str(reason)[:300]}


def report_lines(found: dict[str, Any]) -> list[str]:
    """Return the results of `examine` as lines of text."""
    memory = found["memory_available"]
    lines = [
        f"InFiConD {found['inficond']}, Python {found['python']} ({sys.executable}), {found['system']}",
        f"{found['cores']} cores" + (f", {memory / 2**30:.1f} GB of memory free" if memory else ""),
    ]
    for kind, model in found["models"].items():
        if model["answers"]:
            lines.append(f"embedded {kind}: {model['name']} works ({model['licence']})")
        else:
            lines.append(f"embedded {kind}: DOES NOT WORK: {model['error']}")
    for name, provider in found["providers"].items():
        if provider["runs"]:
            far = (
                f", differs from the CPU by {provider['difference']:.1g}" if "difference" in provider else ""
            )
            lines.append(f"provider {name}: runs, {provider['images_per_second']:g} images/s{far}")
        elif provider["listed"]:
            lines.append(f"provider {name}: listed, but does not run: {provider['error']}")
    lines.append(
        "export extra: "
        + ("installed" if found["export_extra"] else 'not installed (pip install "inficond[export]")')
    )
    cache = found["cache"]
    lines.append(
        f"cache: {cache['path']}" + ("" if cache["writable"] else f" CANNOT BE WRITTEN: {cache['error']}")
    )
    lines.append("versions: " + ", ".join(f"{n} {v}" for n, v in found["packages"].items() if v))
    if "project" in found:
        faults = found["project"]["faults"]
        lines.append(
            f"project {found['project']['path']}: " + ("all checksums match" if not faults else "DAMAGED")
        )
        lines += [f"  {fault}" for fault in faults]
        memory = found["project"].get("cache")
        if memory:
            needed, budget = (f"{memory[key] / 2**20:,.0f} MB" for key in ("needed", "budget"))
            line = f"  memory of tuning steps: {needed} needed, budget {budget}"
            if memory["needed"] > memory["budget"]:
                line += ": EXCEEDED, raise INFICOND_CACHE_MB"
            lines.append(line)
        if found["project"].get("writable") is False:
            lines.append("  its folder is read-only: tuning steps are not saved")
    if "page" in found:
        page = found["page"]
        lines.append(
            f"page {page['url']}: " + ("healthy" if page["ok"] else f"NOT HEALTHY {page['error']}".rstrip())
        )
        for name, part in page["parts"].items():
            lines.append(
                f"  {WORDS.get(name, (name, name))[not part['ok']]}"
                + (f": {part['reason']}" if part["reason"] else "")
            )
    return lines
