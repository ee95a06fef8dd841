"""Verification of exported graphs: comparison with torch, output by output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.errors import InputError

BATCHES = (1, 7)
TOLERANCE = 1e-4
SEED = 20240617


@dataclass
class Verification:
    """Comparisons and their largest differences, for the manifest.

    Attributes
    ----------
    tolerance : float
        Largest difference allowed, relative to the output's largest magnitude where that is above 1.
    """

    tolerance: float = TOLERANCE
    errors: dict[str, float] = field(default_factory=dict)
    agreement: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def compare(self, name: str, expected: np.ndarray, got: np.ndarray) -> None:
        """Compare an output with its reference: integers by share of equal elements, others by difference.

        Raises
        ------
        InputError
            Shapes differ, a value is not finite, or the difference is above the tolerance.
        """
        if expected.shape != got.shape:
            raise InputError(
                f"verification failed: {name} has shape {got.shape}, but torch returns {expected.shape}"
            )
        if not np.isfinite(got).all():
            raise InputError(f"verification failed: {name} has NaN or infinite values on ONNX Runtime")
        if np.issubdtype(expected.dtype, np.integer):
            same = float((expected == got).mean())
            self.agreement[name] = min(same, self.agreement.get(name, 1.0))
            if same < 0.99:
                raise InputError(f"verification failed: only {same:.1%} of {name} equal those of torch")
            return
        scale = max(1.0, float(np.abs(expected).max()))
        error = float(np.abs(expected.astype(np.float64) - got).max()) / scale
        self.errors[name] = max(error, self.errors.get(name, 0.0))
        if error > self.tolerance:
            raise InputError(
                f"verification failed: {name} differs from torch by {error:.1e}, above "
                f"{self.tolerance:.0e}; nothing "
                "was written"
            )

    def manifest(self) -> dict[str, Any]:
        """Return the entry `verification` of the manifest."""
        return {
            "tolerance": self.tolerance,
            "max_error": self.errors,
            "agreement": self.agreement,
            **self.notes,
        }


def compare_graph(
    check: Verification,
    prefix: str,
    outputs: Sequence[str],
    reference: Callable[..., Any],
    run: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]],
    batches: Sequence[dict[str, np.ndarray]],
) -> None:
    """Compare every output of a graph with its torch module over several batches.

    Parameters
    ----------
    check : Verification
        Collects the errors and raises above the tolerance.
    prefix : str
        Prefix of each output's name in the record.
    outputs : sequence of str
        In the order in which `reference` returns them.
    reference : callable
        Takes the inputs as tensors.
    run : callable
        Takes and returns {name: array}.
    batches : sequence of dict
        Inputs by name.
    """
    import torch

    for feeds in batches:
        with torch.no_grad():
            expected = reference(*(torch.from_numpy(x) for x in feeds.values()))
        tensors = expected if isinstance(expected, tuple) else (expected,)
        got = run(feeds)
        for name, tensor in zip(outputs, tensors):
            check.compare(f"{prefix}{name}", tensor.numpy(), got[name])


def random_pixels(size: tuple[int, int], batches: Sequence[int] = BATCHES) -> list[np.ndarray]:
    """Return uint8 noise (B, H, W, 3), one array per batch size, the same at each call."""
    rng = np.random.default_rng(SEED)
    return [rng.integers(0, 256, (b, *size, 3), dtype=np.uint8) for b in batches]


def synthetic_photographs(size: tuple[int, int], n: int) -> list[np.ndarray]:
    """Return pictures with the spectrum of photographs (1/f noise).

    Parameters
    ----------
    size : tuple of int
        Height and width.
    n : int
        Number of pictures.

    Returns
    -------
    list of ndarray
        uint8 (H, W, 3). Natural images have amplitude spectra near 1/f (Field, 1987).
    """
    rng = np.random.default_rng(SEED)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(size[1]), np.fft.fftfreq(size[0])))
    f[0, 0] = 1.0
    pictures = []
    for _ in range(n):
        spectrum = np.fft.fft2(rng.standard_normal((3, *size))) / f
        plane = np.fft.ifft2(spectrum).real
        plane = 0.7 * plane.mean(0, keepdims=True) + 0.5 * plane
        plane = plane / plane.std() * 55 + rng.uniform(90, 150)
        pictures.append(np.clip(plane, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    return pictures


def real_photographs(
    folder: Path | None, preprocess: Callable[[np.ndarray], np.ndarray], n: int
) -> list[np.ndarray]:
    """Return up to `n` preprocessed pictures of a folder, evenly spread over it; none without a folder.

    Raises
    ------
    InputError
        The folder has no readable picture.
    """
    if folder is None:
        return []
    from inficond.core.images.find import find_images

    files = find_images(folder)
    step = max(1, len(files) // n)
    pictures = []
    for file in files[::step]:
        try:
            pictures.append(preprocess(np.asarray(file.open().image)))
        except ValueError:
            continue
        if len(pictures) == n:
            break
    if not pictures:
        raise InputError(f"no picture in {folder} can be read: give a folder of photographs")
    return pictures
