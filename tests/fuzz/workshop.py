"""Valid files from which inputs are derived, each created once when it is first needed."""

import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests import tiny_models
from tests.conftest import write_small_project

from inficond.core import Project
from inficond.core.models import onnx_protobuf, protobuf
from inficond.core.models.encoder import load_encoder
from inficond.core.models.manifest import checksum_of
from inficond.core.onnx_student.export import student_graph
from inficond.core.students import Students


class Workshop:
    """Folder of valid models, projects and files, for reading.

    Parameters
    ----------
    root : Path
        An empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: dict[str, Any] = {}

    @cached_property
    def encoder(self) -> Path:
        return tiny_models.write_encoder(self.root / "encoder")

    @cached_property
    def teacher(self) -> Path:
        return tiny_models.write_teacher(self.root / "teacher")

    @cached_property
    def manifests(self) -> list[dict[str, Any]]:
        """Manifests of an encoder with lookup table and a teacher with groups, also without checksums."""
        encoder = json.loads((self.encoder / "manifest.json").read_text())
        encoder["text"]["lookup"] = {"words": "words.json", "vectors": "vectors.npy", "weight": 0.5}
        teacher = json.loads((self.teacher / "manifest.json").read_text())
        teacher["groups"] = {"warm": ["red"], "cold": ["blue", "green"]}
        named = {**teacher, "groups": "groups.json", "output_kind": "probabilities"}
        bare = {"format": 1, "kind": "teacher", "name": "mine", "labels": ["cat", "dog", "cat"],
                "link": "sigmoid",
                "image": {"file": "model.onnx", "size": [24, 20], "resize": [32, 32], "crop": [24, 20],
                          "interpolation": "bicubic", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2],
                          "input_layout": "float_bchw"}}  # fmt: skip
        return [encoder, teacher, named, bare, {**encoder, "checksum": checksum_of(encoder)}]

    @cached_property
    def project(self) -> Project:
        """Project of 60 images, 9 concepts and 2 classes."""
        return write_small_project(self.root / "small", n=60, k=9, classes=("boat", "bird"))

    @cached_property
    def softmax_project(self) -> Project:
        """The same project with the softmax link."""
        return write_small_project(
            self.root / "joint", n=60, k=9, classes=("boat", "bird", "barn"), link="softmax"
        )

    @cached_property
    def students(self) -> Students:
        """Students over the words of the tiny encoder."""
        words = list(tiny_models.WORDS)
        rng = np.random.default_rng(3)
        return Students(
            ["boat", "bird"],
            words,
            rng.normal(size=(2, len(words))).astype(np.float32),
            np.array([0.1, -0.2], np.float32),
            np.full(len(words), 0.2, np.float32),
            np.full(len(words), 0.3, np.float32),
            encoder="tiny-colours",
        )

    @cached_property
    def exported(self) -> bytes:
        """An exported student."""
        encoder = load_encoder(self.encoder, "cpu", 1)
        words = encoder.embed_words(list(tiny_models.WORDS))
        return student_graph(encoder, self.students, words, {"project": "small", "node": "0" * 12})

    @cached_property
    def graphs(self) -> list[bytes]:
        """ONNX files of the tiny models, of a student, and with large intermediate results."""
        folders = [(self.encoder, "image.onnx"), (self.encoder, "text.onnx"), (self.teacher, "teacher.onnx")]
        made = [(folder / name).read_bytes() for folder, name in folders]
        shape = onnx_protobuf.tensor("shape", np.array([2, 3], np.int64))
        four = (
            protobuf.field(1, 3)
            + protobuf.field(2, 22)
            + protobuf.field(8, "four")
            + protobuf.field(9, b"\x12\x03")
        )
        outside = protobuf.field(1, 2) + protobuf.field(2, 1) + protobuf.field(8, "w")
        outside += protobuf.field(
            13, protobuf.field(1, "location") + protobuf.field(2, "weights.bin")
        ) + protobuf.field(14, 1)
        nodes = [
            onnx_protobuf.node("ConstantOfShape", ["shape"], ["zeros"]),
            onnx_protobuf.node("Expand", ["zeros", "shape"], ["wide"]),
            onnx_protobuf.node("Tile", ["wide", "shape"], ["tiled"]),
            onnx_protobuf.node("Concat", ["tiled", "tiled"], ["both"], axis=0),
            onnx_protobuf.node("RandomNormal", [], ["noise"], shape=[2, 3]),
        ]
        for constants in ([shape], [shape, four], [shape, outside]):
            graph = b"".join(protobuf.field(1, n) for n in nodes) + protobuf.field(2, "g")
            graph += b"".join(protobuf.field(5, c) for c in constants)
            graph += protobuf.field(11, onnx_protobuf.value("x", 1, ["n", 3])) + protobuf.field(
                12, onnx_protobuf.value("both", 1, [8, 6])
            )
            opset = protobuf.field(8, protobuf.field(1, "") + protobuf.field(2, 17))
            made.append(
                protobuf.field(1, 9)
                + opset
                + protobuf.field(7, graph)
                + protobuf.field(14, protobuf.field(1, "k") + protobuf.field(2, "v"))
            )
        return [*made, self.exported]

    @cached_property
    def pictures(self) -> list[bytes]:
        """A small picture in every supported format and mode."""
        rng = np.random.default_rng(2)
        rgb = Image.fromarray(rng.integers(0, 255, (12, 10, 3), dtype=np.uint8))
        made = []

        def keep(image: Image.Image, kind: str, **how: Any) -> None:
            from io import BytesIO

            file = BytesIO()
            try:
                image.save(file, kind, **how)
            except (OSError, KeyError):  # this Pillow was built without it
                return
            made.append(file.getvalue())

        turned = Image.Exif()
        turned[0x0112] = 6
        for kind in (
            "AVIF",
            "BMP",
            "DIB",
            "GIF",
            "JPEG",
            "JPEG2000",
            "PCX",
            "PNG",
            "PPM",
            "QOI",
            "TGA",
            "TIFF",
            "WEBP",
        ):
            keep(rgb, kind)
        keep(rgb, "JPEG", exif=turned)
        keep(rgb, "JPEG", progressive=True)
        keep(rgb.convert("CMYK"), "JPEG")
        keep(rgb.convert("P"), "GIF", save_all=True, append_images=[rgb.convert("P")] * 3)
        keep(rgb.convert("RGBA"), "PNG")
        keep(rgb.convert("P"), "PNG", transparency=0)
        keep(Image.fromarray(rng.integers(0, 65535, (9, 9), dtype=np.uint16)), "PNG")
        keep(Image.fromarray(rng.random((9, 9), dtype=np.float32)), "TIFF")
        keep(rgb, "TIFF", compression="tiff_lzw")
        keep(rgb.convert("L"), "TIFF", compression="jpeg")
        keep(rgb, "TGA", compression="tga_rle")
        keep(rgb.convert("1"), "PPM")
        return made

    def copy_of(self, project: Project, place: Path) -> Path:
        """Return a copy of a project whose constant files are hard links."""
        folder = place / "project"
        for file in sorted(project.path.rglob("*")):
            if file.is_file() and not file.name.startswith("history"):
                target = folder / file.relative_to(project.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(file, target)
        return folder


def entry_of(data: bytes) -> dict[str, Any]:
    """Return the entry of a file in a manifest."""
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
