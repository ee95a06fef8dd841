"""Manifests of model folders, read strictly; docs/formats.md describes the format."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from inficond.core.errors import InputError, system_reason
from inficond.core.models.graph_file import GraphFile, read_graph
from inficond.core.models.integrity import check_file, check_location
from inficond.core.strict_json import parse_json

FORMAT = 1
MANIFEST = "manifest.json"
CHECKSUM = "checksum"
"""Key of the checksum over all other entries; optional in a manifest written by hand."""
LINKS = ("sigmoid", "softmax")
INTERPOLATIONS = ("bicubic", "bilinear", "lanczos", "nearest")
LAYOUTS = ("uint8_bhwc", "uint8_bchw", "float_bchw", "float_bhwc")
CROP_OFFSETS = ("floor", "round")
REDUCING_GAP = 3.0
"""Of manifests that state none: pictures six or more times too large are first reduced by a whole factor."""

Kind = Literal["encoder", "teacher"]


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """Preprocessing of pictures.

    Parameters
    ----------
    file : str
        The ONNX file.
    size : (H, W)
        Input size in pixels.
    resize : int or (h, w)
        Length of the shorter side after resizing, or size to which the whole picture is stretched.
    crop : (h, w) or None
        Centre crop after resizing.
    interpolation : str
    mean, std : three floats
        Standardisation outside the graph, for the layouts `float_bchw` and `float_bhwc` only.
    input_layout : str
    crop_offset : {"floor", "round"}
        How half a pixel is rounded where an odd number of pixels is cropped off: "floor" as transformers
        does, "round" (to even) as torchvision and timm do.
    reducing_gap : float or None
        Pillow's `reducing_gap` of a resampling that crops at the same time; None resizes the whole picture
        and crops afterwards, as transformers, torchvision and timm do.
    """

    file: str
    size: tuple[int, int]
    resize: int | tuple[int, int]
    crop: tuple[int, int] | None
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    input_layout: str = "uint8_bhwc"
    crop_offset: str = "floor"
    reducing_gap: float | None = REDUCING_GAP


@dataclass(frozen=True, kw_only=True)
class TextInput:
    """Preprocessing of words."""

    file: str
    tokenizer: str
    max_length: int
    templates: tuple[str, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A checked `manifest.json`; the fields of the other kind are empty.

    Parameters
    ----------
    folder : Path
    kind : {"encoder", "teacher"}
    name, licence, source : str
    files : mapping
        Name to ``sha256`` and ``bytes``.
    image : ImageInput
    dim, regions : int
        Of an encoder: dimension of the embeddings, regions per picture.
    grid : tuple of int
        Of an encoder: cells, height and width.
    text : TextInput or None
        Of an encoder with a text tower.
    labels : tuple of str
        Of a teacher.
    groups : mapping or None
        Of a teacher: named groups of labels.
    link : {"softmax", "sigmoid"}
        Of a teacher.
    output, output_kind : str
        Of a teacher: which of the graph's outputs, and whether it is ``logits`` or ``probabilities``.
    raw : mapping
        The parsed file.

    Examples
    --------
    >>> from inficond.core.models import load_teacher
    >>> manifest = load_teacher("embedded").manifest
    >>> manifest.kind, manifest.link, len(manifest.labels)
    ('teacher', 'softmax', 1000)
    >>> len(manifest.digest)
    64
    """

    folder: Path
    kind: Kind
    name: str
    licence: str
    source: str
    files: Mapping[str, Mapping[str, Any]]
    image: ImageInput
    dim: int = 0
    grid: tuple[int, int] = (0, 0)
    regions: int = 0
    text: TextInput | None = None
    labels: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] | None = None
    link: str = "softmax"
    output: str = ""
    output_kind: str = "logits"
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 that identifies the model: over the checksums of its files and its preprocessing."""
        identity = {
            key: value
            for key, value in self.raw.items()
            if key not in ("verification", "source", "licence", CHECKSUM)
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def path_of(self, name: str) -> Path:
        """Return the path of a file of the folder, checked once per process against the manifest.

        Raises
        ------
        InputError
            The file is missing, or its bytes differ from those the manifest was written for.
        """
        path = self.folder / name
        check_file(path, self._entry(name))
        return path

    def graph(self, name: str) -> GraphFile:
        """Read an ONNX file of the folder and check it against the manifest.

        Raises
        ------
        InputError
            See `path_of`; or the graph is not safe to load.
        """
        path = self.folder / name
        check_location(path)
        return read_graph(path, self._entry(name))

    def _entry(self, name: str) -> Mapping[str, Any] | None:
        entry = self.files.get(name)
        if entry is None and (self.kind == "encoder" or self.files):
            raise InputError(
                f"{self.folder / MANIFEST} does not list {name!r} among its files: export the model again"
            )
        return entry


def checksum_of(raw: Mapping[str, Any]) -> str:
    """Compute the SHA-256 of a manifest without its own checksum, in hexadecimal."""
    rest = {key: value for key, value in raw.items() if key != CHECKSUM}
    text = json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(folder: Path, kind: Kind | None = None) -> Manifest:
    """Read and check the manifest of a model folder.

    Parameters
    ----------
    folder : Path
    kind : {"encoder", "teacher"}, optional
        Required kind.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        The manifest is missing, malformed, of a newer format or of another kind.

    Examples
    --------
    >>> from inficond.core.models import load_encoder, read_manifest
    >>> folder = load_encoder("embedded").manifest.folder
    >>> manifest = read_manifest(folder, "encoder")
    >>> manifest.kind, manifest.grid
    ('encoder', (14, 14))
    """
    path = folder / MANIFEST
    try:
        raw = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{folder} is not a model folder: it has no {MANIFEST}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {system_reason(error)}") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    # An unknown version may compute its checksum differently; `_Reader` reports the version.
    ours = isinstance(raw, dict) and raw.get("format", FORMAT) == FORMAT
    if ours and CHECKSUM in raw and raw[CHECKSUM] != checksum_of(raw):
        raise InputError(
            f"{path} is damaged (its checksum does not match its contents): copy the folder again, or export "
            "the model again; after an intended change, remove the line `checksum`"
        )
    return _Reader(path, raw).manifest(kind)


def read_image_input(where: Path, section: Any) -> ImageInput:
    """Read the preprocessing from a manifest's section or a student's metadata.

    Parameters
    ----------
    where : Path
        Name of the file in messages.
    section : object
        The section ``image``.

    Raises
    ------
    InputError
        A field is missing or invalid.
    """
    return _Reader(where, {}).image(section)


class _Reader:
    """Checks the fields of a manifest; errors name the file and the field."""

    def __init__(self, path: Path, raw: Any) -> None:
        self.path = path
        if not isinstance(raw, dict):
            raise InputError(f"{path} is not a JSON object")
        self.raw = raw

    def fail(self, name: str, wanted: str, value: Any) -> InputError:
        return InputError(f"{self.path}: `{name}` must be {wanted}, not {json.dumps(value)[:80]}")

    def manifest(self, kind: Kind | None) -> Manifest:
        raw = self.raw
        version = raw.get("format")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise self.fail("format", f"a number ({FORMAT})", version)
        if version > FORMAT:
            raise InputError(f"{self.path} has a newer format ({version}): upgrade InFiConD")
        if raw.get("kind") not in ("encoder", "teacher"):
            raise self.fail("kind", "`encoder` or `teacher`", raw.get("kind"))
        if kind is not None and raw["kind"] != kind:
            raise InputError(f"{self.path.parent} is {_a(raw['kind'])}, not {_a(kind)}")
        files = raw.get("files", {})
        if not isinstance(files, dict) or not all(isinstance(f, dict) for f in files.values()):
            raise self.fail("files", "an object of file names", files)
        for name in files:
            self.file_name("files", name)
        common: dict[str, Any] = {
            "folder": self.path.parent,
            "kind": raw["kind"],
            "name": self.text("name", raw.get("name")),
            "licence": str(raw.get("licence", "")),
            "source": str(raw.get("source", "")),
            "files": files,
            "image": self.image(raw.get("image")),
            "raw": raw,
        }
        return Manifest(**common, **(self.encoder() if raw["kind"] == "encoder" else self.teacher()))

    def encoder(self) -> dict[str, Any]:
        grid = self.pair("grid", self.raw.get("grid"))
        regions = self.count("regions", self.raw.get("regions"))
        if regions > 255:
            raise self.fail("regions", "at most 255", regions)
        text = self.raw.get("text")
        return {
            "dim": self.count("dim", self.raw.get("dim")),
            "grid": grid,
            "regions": regions,
            "text": None if text is None else self.words(text),
        }

    def teacher(self) -> dict[str, Any]:
        labels = self.raw.get("labels")
        if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
            raise self.fail("labels", "a list of names", labels)
        if self.raw.get("link") not in LINKS:
            raise self.fail("link", "`sigmoid` or `softmax`", self.raw.get("link"))
        kind = self.raw.get("output_kind", "logits")
        if kind not in ("logits", "probabilities"):
            raise self.fail("output_kind", "`logits` or `probabilities`", kind)
        output = self.raw.get("output", "")
        groups = self.groups(self.raw.get("groups"))
        return {
            "labels": tuple(numbered(labels)),
            "groups": {name: tuple(group) for name, group in groups.items()} if groups else None,
            "link": self.raw["link"],
            "output": output if isinstance(output, str) else "",
            "output_kind": kind,
        }

    def groups(self, value: Any) -> dict[str, list[str]] | None:
        """Read groups of labels, from the manifest or from a file that it names."""
        if isinstance(value, str):
            path = self.path.parent / self.file_name("groups", value)
            check_file(path, self.raw.get("files", {}).get(value))
            try:
                value = parse_json(path.read_bytes())
            except ValueError as error:
                raise InputError(f"{path} is not valid JSON: {error}") from error
        if value is None:
            return None
        if not isinstance(value, dict) or not all(
            isinstance(g, list) and g and all(isinstance(n, str) for n in g) for g in value.values()
        ):
            raise self.fail("groups", "lists of labels by name, or a file of them", value)
        return value

    def image(self, value: Any) -> ImageInput:
        if not isinstance(value, dict):
            raise self.fail("image", "an object", value)
        size = self.pair("image.size", value.get("size"))
        resize_given = value.get("resize", list(size))
        resize = (
            self.pair("image.resize", resize_given)
            if isinstance(resize_given, list)
            else self.count("image.resize", resize_given)
        )
        crop = self.crop(value.get("crop"), size)
        if crop is not None and crop != size:
            raise self.fail("image.crop", f"equal to image.size {list(size)}", value.get("crop"))
        shortest = resize if isinstance(resize, int) else min(resize)
        if crop is not None and (max(crop) > shortest if isinstance(resize, int) else _larger(crop, resize)):
            raise self.fail("image.crop", f"at most the resized picture ({resize_given})", value.get("crop"))
        if crop is None and (resize != size):
            if not isinstance(resize, int):
                raise self.fail(
                    "image.resize", f"equal to image.size {list(size)} where nothing is cropped", resize_given
                )
            crop = size
        interpolation = str(value.get("interpolation", "bicubic")).lower()
        if interpolation not in INTERPOLATIONS:
            raise self.fail("image.interpolation", " or ".join(INTERPOLATIONS), interpolation)
        layout = value.get("input_layout", "uint8_bhwc")
        if layout not in LAYOUTS:
            raise self.fail("image.input_layout", " or ".join(LAYOUTS), layout)
        offset = value.get("crop_offset", "floor")
        if offset not in CROP_OFFSETS:
            raise self.fail("image.crop_offset", " or ".join(CROP_OFFSETS), offset)
        gap = value.get("reducing_gap", REDUCING_GAP)
        if gap is not None and (
            isinstance(gap, bool) or not isinstance(gap, int | float) or not 1 <= gap <= 100
        ):
            raise self.fail("image.reducing_gap", "null or a number from 1 to 100", gap)
        std = self.triple("image.std", value.get("std", [1, 1, 1]))
        if min(std) <= 0:
            raise self.fail("image.std", "above 0", value.get("std"))
        return ImageInput(
            file=self.file_name("image.file", value.get("file")),
            size=size,
            resize=resize,
            crop=crop,
            interpolation=interpolation,
            mean=self.triple("image.mean", value.get("mean", [0, 0, 0])),
            std=std,
            input_layout=layout,
            crop_offset=offset,
            reducing_gap=None if gap is None else float(gap),
        )

    def crop(self, value: Any, size: tuple[int, int]) -> tuple[int, int] | None:
        if value is None or value is False or value == "none":
            return None
        if value is True or value in ("center", "centre"):
            return size
        return self.pair("image.crop", value if isinstance(value, list) else [value, value])

    def words(self, value: Any) -> TextInput:
        if not isinstance(value, dict):
            raise self.fail("text", "an object", value)
        templates = value.get("templates") or ["{}"]
        if not isinstance(templates, list) or not all(
            isinstance(t, str) and t.count("{}") == 1 for t in templates
        ):
            raise self.fail("text.templates", "a list of texts with {} in each", templates)
        return TextInput(
            file=self.file_name("text.file", value.get("file")),
            tokenizer=self.file_name("text.tokenizer", value.get("tokenizer", "tokenizer.json")),
            max_length=self.count("text.max_length", value.get("max_length", 77)),
            templates=tuple(templates),
            extra=value,
        )

    def text(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise self.fail(name, "a text", value)
        return value

    def file_name(self, name: str, value: Any) -> str:
        """Check a file name: without folder or drive, and not hidden."""
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,120}", value):
            raise self.fail(name, "a plain file name in the same folder", value)
        return value

    def count(self, name: str, value: Any) -> int:
        if not is_count(value):
            raise self.fail(name, "a whole number from 1 to 16384", value)
        return cast(int, value)

    def pair(self, name: str, value: Any) -> tuple[int, int]:
        if not isinstance(value, list) or len(value) != 2:
            raise self.fail(name, "[height, width]", value)
        return self.count(name, value[0]), self.count(name, value[1])

    def triple(self, name: str, value: Any) -> tuple[float, float, float]:
        if (
            not isinstance(value, list)
            or len(value) != 3
            or not all(isinstance(v, int | float) and -1e6 <= v <= 1e6 for v in value)  # false for NaN
        ):
            raise self.fail(name, "three numbers within ±1,000,000", value)
        return cast(tuple[float, float, float], tuple(float(v) for v in value))


def is_count(value: Any) -> bool:
    """Return whether a value is a whole number from 1 to 16384, such as a side in pixels.

    >>> is_count(224), is_count(0), is_count(True)
    (True, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 16384


def _larger(crop: tuple[int, int], whole: tuple[int, int]) -> bool:
    return crop[0] > whole[0] or crop[1] > whole[1]


def _a(kind: str) -> str:
    return ("an " if kind[0] in "aeiou" else "a ") + kind


def numbered(labels: list[str]) -> list[str]:
    """Number repeated labels: ``crane, crane`` becomes ``crane, crane (2)``."""
    seen: dict[str, int] = {}
    taken = set(labels)
    result = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        name = label
        while seen[label] > 1 and (name in taken):
            name = f"{label} ({seen[label]})"
            if name in taken:
                seen[label] += 1
        taken.add(name)
        result.append(name)
    return result
