"""Probes kept in the cache of encodings, by the features and labels they were fitted to."""

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.pipeline.encoding_cache import EncodingCache
from inficond.core.teachers.probe import Probe, fit_probe
from inficond.core.teachers.ridge import LinearClassifier

VERSION = "probe 2"
"""Part of every key; increased when the same features and labels would give another probe."""
MOST_BYTES = 100_000_000
"""Larger probes are not kept."""


def cached_probe(
    cache: EncodingCache | None,
    features: NDArray[np.float32],
    labels: NDArray[np.floating],
    link: str,
    *,
    groups: Sequence[str | None] | None,
    seed: int,
) -> Probe:
    """Return the probe of `fit_probe`, from the cache if the same one was fitted before.

    Parameters
    ----------
    cache : EncodingCache or None
        None: the probe is fitted.
    features, labels, link, groups, seed
        See `fit_probe`.

    Returns
    -------
    Probe

    Raises
    ------
    InputError
        A class has fewer than two labelled images.
    """
    if cache is None:
        return fit_probe(features, labels, link, groups=groups, seed=seed)
    key = _key(features, labels, link, groups, seed)
    value = cache.get(VERSION, key)
    found = None if value is None else _unpacked(value, link)
    if found is not None:
        return found
    probe = fit_probe(features, labels, link, groups=groups, seed=seed)
    packed = _packed(probe)
    if len(packed) <= MOST_BYTES:
        cache.put("probe", "probes", VERSION, {key: packed})
    return probe


def _key(*inputs: Any) -> bytes:
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, np.ndarray):
            digest.update(f"{item.dtype} {item.shape}".encode())
            digest.update(np.ascontiguousarray(item).data)
        else:
            digest.update(repr(item).encode(errors="surrogatepass"))
    return digest.digest()


def _packed(probe: Probe) -> bytes:
    out = io.BytesIO()
    classifier = probe.classifier
    np.savez(
        out,
        responses=probe.responses,
        weights=classifier.weights,
        bias=classifier.bias,
        mean=classifier.mean,
        scale=classifier.scale,
        facts=np.array([probe.l2, probe.accuracy, probe.chance]),
    )
    return out.getvalue()


def _unpacked(value: bytes, link: str) -> Probe | None:
    try:
        with np.load(io.BytesIO(value), allow_pickle=False) as data:
            classifier = LinearClassifier(data["weights"], data["bias"], data["mean"], data["scale"], link)
            l2, accuracy, chance = data["facts"].tolist()
            return Probe(data["responses"], classifier, l2, accuracy, chance)
    except Exception:  # zipfile and NumPy raise many types; the probe is fitted again
        return None
