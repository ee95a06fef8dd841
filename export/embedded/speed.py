"""Speed of the shipped graphs: 8 bits, float32, and torch with the same weights.

Each runs on one thread and its processor time is measured. Rounds alternate; medians are compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from inficond.export.embedded.build import (
    ENCODER_SIZE,
    TEACHER_SIZE,
    Trained,
    encoder_graph,
    teacher_graph,
    without_output,
)
from inficond.export.embedded.network import EmbeddedEncoder, EmbeddedTeacher, Lite
from inficond.export.graph import cpu_session
from inficond.export.regions import RegionFinder

BATCH = 8
Call = Callable[[np.ndarray], Any]


def speed(rounds: int = 9) -> dict[str, Any]:
    """Measure pictures per second of processor time.

    Parameters
    ----------
    rounds : int
        Number of rounds, after one for warm-up.

    Returns
    -------
    dict
        For ``encoder`` and ``teacher`` the medians of ``int8`` (the shipped file), ``float32`` and ``torch``
        (eager), and the medians over rounds of the ratios ``int8 / float32``, ``float32 / torch`` and
        ``int8 / torch``; ``vector_extensions`` of this processor, which determine the speed of 8 bits.
    """
    from inficond.core.models import load_encoder, load_teacher

    torch.set_num_threads(1)
    encoder = load_encoder("embedded", provider="cpu", threads=1)
    teacher = load_teacher("embedded", provider="cpu", threads=1)
    trained = Trained.load()
    plain = cpu_session(without_output(encoder_graph(trained), "dense"), threads=1)
    plain_teacher = cpu_session(teacher_graph(), threads=1)
    module = EmbeddedEncoder(
        Lite(0, ENCODER_SIZE), trained.projection, trained.mid_mean, RegionFinder()
    ).eval()
    teacher_module = EmbeddedTeacher(Lite(2, TEACHER_SIZE)).eval()
    return {
        "vector_extensions": _vector_extensions(),
        "encoder": _race(
            ENCODER_SIZE,
            rounds,
            int8=encoder.encode,
            float32=lambda pixels: plain.run(None, {"pixels": pixels}),
            torch=_eager(module),
        ),
        "teacher": _race(
            TEACHER_SIZE,
            rounds,
            int8=teacher.respond,
            float32=lambda pixels: plain_teacher.run(None, {"pixels": pixels}),
            torch=_eager(teacher_module),
        ),
    }


def _eager(module: torch.nn.Module) -> Call:
    def call(pixels: np.ndarray) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(pixels))

    return call


def _race(size: int, rounds: int, **contenders: Call) -> dict[str, float]:
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, call in contenders.items():
            start = time.process_time()
            call(pixels)
            if turn:
                seen[name].append(BATCH / (time.process_time() - start))
    found = {name: statistics.median(values) for name, values in seen.items()}
    for a, b in (("int8", "float32"), ("float32", "torch"), ("int8", "torch")):
        found[f"{a} / {b}"] = statistics.median(x / y for x, y in zip(seen[a], seen[b]))
    return found


def _vector_extensions() -> list[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next((line.split(":")[1].split() for line in file if line.startswith("flags")), [])
    except OSError:
        return []
    return [f for f in ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8") if f in flags]
