"""What was found on this machine: providers that really run, models, versions, memory.

ONNX Runtime lists providers that cannot run here; each is tried on the embedded encoder and its numbers are
held against the CPU's. With a project folder, every byte of it is checked as well; with the address of a
running page or service, it is asked for its health.
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

from inficond.core.cli.output import Output
from inficond.core.errors import InputError
from inficond.core.version import __version__

SUMMARY = "what was found: providers that really run, models, versions, memory"
PACKAGES = (
    "gradio", "huggingface_hub", "numba", "numpy", "onnxruntime", "onnxruntime-gpu", "pillow", "pyarrow",
    "safetensors", "tokenizers", "torch", "transformers", "onnx",
)  # fmt: skip
WORDS = {
    "model": ("the model answers", "THE MODEL DOES NOT ANSWER"),
    "queue": ("the queue moves", "THE QUEUE DOES NOT MOVE"),
    "jobs": ("jobs get their turn", "JOBS DO NOT GET THEIR TURN"),
    "disk": ("the disk can be written", "THE DISK CANNOT BE WRITTEN"),
    "saving": ("steps can be saved", "STEPS CANNOT BE SAVED"),
}
"""What each part of a page's health is called where it is well and where it is not."""
CLOSE = 2e-3
"""Largest difference between a provider's unit-length embeddings and the CPU's that counts as the same."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "project", nargs="?", type=Path, metavar="DIR", help="also check every byte of this project"
    )
    parser.add_argument("--url", help="also ask this running page (or `inficond serve`) how it is")


def run(args: argparse.Namespace, out: Output) -> int:
    """Look at everything; exit code 2 where something that should work does not."""
    found = examine(args.project, args.url)
    for line in report_lines(found):
        out.say(line)
    out.result(found)
    return 0 if found["healthy"] else 2


def examine(project: Path | None = None, url: str | None = None) -> dict[str, Any]:
    """All findings as plain values; `healthy` says whether encoder and teacher answer on the CPU.

    Parameters
    ----------
    project : Path, optional
        A project to be checked byte by byte.
    url : str, optional
        Of a running page or service, to be asked for its health.
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
    """Load an embedded model and let it answer on a grey picture."""
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
    """Every provider of ONNX Runtime that we know: listed, running, how far from the CPU, how fast."""
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
    """A real run of the embedded encoder, compared with the CPU's numbers."""
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
        if facts["difference"] > CLOSE:
            facts |= {
                "runs": False,
                "error": f"its numbers differ from the CPU's by {facts['difference']:.2g}",
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
    from inficond.core.facade import Project

    try:
        project = Project.open(path)
    except InputError as error:
        return {"path": str(path), "faults": [str(error)]}
    return {
        "path": str(path),
        "images": len(project),
        "faults": project.verify(),
        "writable": _takes_a_file(path),
        "cache": _memory(project),
    }


def _memory(project: Any) -> dict[str, int]:
    """Bytes that every tuning step of a project needs, and the budget of the cache that holds them."""
    workspace = project.context.workspace
    return {"needed": workspace.pinned_bytes, "budget": workspace.cache.usage.budget}


def _takes_a_file(folder: Path) -> bool:
    """Whether a file can be written there: one is."""
    probe = folder / f".doctor-{os.getpid()}"
    try:
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError:
        return False
    return True


def page_state(url: str) -> dict[str, Any]:
    """What a running page or service says of its health; where it says nothing, why."""
    import urllib.error
    import urllib.request

    if not url.lower().startswith(("http://", "https://")):
        raise InputError(f"--url {url!r}: give an address such as http://127.0.0.1:7860")
    address = url.rstrip("/") + "/health"
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            said: dict[str, Any] = json.loads(answer.read(1 << 20))
    except urllib.error.HTTPError as error:
        try:
            said = json.loads(error.read(1 << 20))
        except ValueError:
            said = {"reason": f"it answers {error.code} and nothing that can be read"}
        said["ok"] = False
    except (OSError, ValueError) as error:
        return {"url": url, "ok": False, "parts": {}, "error": f"no answer ({error}): is it running?"}
    parts = {n: p for n, p in said.items() if isinstance(p, dict) and "ok" in p}
    reason = said.get("reason") or said.get("detail") or ""
    return {"url": url, "ok": bool(said.get("ok")), "parts": parts, "error": str(reason)[:300]}


def report_lines(found: dict[str, Any]) -> list[str]:
    memory = found["memory_available"]
    lines = [
        f"InFiConD {found['inficond']}, Python {found['python']} ({sys.executable}), {found['system']}",
        f"{found['cores']} cores" + (f", {memory / 2**30:.1f} GB of memory free" if memory else ""),
    ]
    for kind, model in found["models"].items():
        if model["answers"]:
            lines.append(f"embedded {kind}: {model['name']} answers ({model['licence']})")
        else:
            lines.append(f"embedded {kind}: DOES NOT WORK: {model['error']}")
    for name, provider in found["providers"].items():
        if provider["runs"]:
            far = f", {provider['difference']:.1g} from the CPU" if "difference" in provider else ""
            lines.append(f"provider {name}: runs, {provider['images_per_second']:g} images/s{far}")
        elif provider["listed"]:
            lines.append(f"provider {name}: listed, but does not run: {provider['error']}")
    lines.append(
        "export extra: "
        + ("installed" if found["export_extra"] else 'absent (pip install "inficond[export]")')
    )
    cache = found["cache"]
    lines.append(
        f"cache: {cache['path']}" + ("" if cache["writable"] else f" CANNOT BE WRITTEN: {cache['error']}")
    )
    lines.append("versions: " + ", ".join(f"{n} {v}" for n, v in found["packages"].items() if v))
    if "project" in found:
        faults = found["project"]["faults"]
        lines.append(
            f"project {found['project']['path']}: " + ("every byte is right" if not faults else "DAMAGED")
        )
        lines += [f"  {fault}" for fault in faults]
        memory = found["project"].get("cache")
        if memory:
            needed, budget = (f"{memory[key] / 2**20:,.0f} MB" for key in ("needed", "budget"))
            line = f"  memory of its tuning steps: {needed} needed, budget {budget}"
            if memory["needed"] > memory["budget"]:
                line += ": EXCEEDED, raise INFICOND_CACHE_MB"
            lines.append(line)
        if found["project"].get("writable") is False:
            lines.append("  its folder cannot be written: tuning lives in memory only and is not kept")
    if "page" in found:
        page = found["page"]
        lines.append(
            f"page {page['url']}: " + ("well" if page["ok"] else f"NOT WELL {page['error']}".rstrip())
        )
        for name, part in page["parts"].items():
            lines.append(
                f"  {WORDS.get(name, (name, name))[not part['ok']]}"
                + (f": {part['reason']}" if part["reason"] else "")
            )
    return lines
