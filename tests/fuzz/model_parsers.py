"""Parsers of model folders, graphs and students."""

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import strategies as st
from tests.fuzz import inputs
from tests.fuzz.harness import Parser
from tests.fuzz.inputs import Pairs, content, documents, mangled, messages, texts, value
from tests.fuzz.registry import PICTURE, finite, npy_seeds, parser, place_name, plain_text
from tests.fuzz.workshop import Workshop, entry_of

from inficond.core.errors import InputError
from inficond.core.models import onnx_protobuf, protobuf
from inficond.core.models import resolve as locating
from inficond.core.models.class_lookup import read_lookup
from inficond.core.models.manifest import INTERPOLATIONS, read_manifest
from inficond.core.models.onnx_safety import check_graph
from inficond.core.models.predictor import load_predictor, with_checksum
from inficond.core.models.preprocess import Preprocess
from inficond.core.students import Students, safetensors_io


@parser("manifest", 1.5)
def manifest(shop: Workshop) -> Parser:
    def parse(given: Any, place: Path) -> Any:
        (place / "groups.json").write_text('{"warm": ["red"], "cold": ["blue"]}')
        (place / "manifest.json").write_bytes(content(given))
        (place / "folder").mkdir()
        return read_manifest(place)

    def holds(made: Any, given: Any, place: Path) -> None:
        assert made.kind in ("encoder", "teacher")
        assert made.image.interpolation in INTERPOLATIONS
        assert len(made.digest) == 64
        height, width = made.image.size
        assert 0 < height <= 16384
        assert 0 < width <= 16384
        left, top, right, bottom = Preprocess(made.image).box(40, 31)
        assert 0 <= left < right <= 40
        assert 0 <= top < bottom <= 31
        if height * width < 10_000:
            preprocess = Preprocess(made.image)
            pixels = preprocess(PICTURE)
            assert pixels.shape == (height, width, 3)
            assert finite(preprocess.graph_input(pixels[None]))
        for name in (made.image.file, *made.files):
            assert "/" not in name
            assert "\\" not in name
            with suppress(InputError):
                assert made.path_of(name).parent == place
        assert len(set(made.labels)) == len(made.labels)
        assert all(plain_text(text) for text in (made.name, made.licence, made.source, *made.labels))

    return Parser("manifest", inputs.files(shop.manifests), parse, holds, (place_name,))


@parser("lookup")
def lookup(shop: Workshop) -> Parser:
    words, whole = {"words": {"boat": [0, 1], "bird": [2], "nothing": []}}, shop.manifests[0]
    buffer = io.BytesIO()
    np.save(buffer, np.eye(3, 8, dtype=np.float32))
    vectors = buffer.getvalue()
    said = {"words": "words.json", "vectors": "vectors.npy", "weight": 0.5}
    given = st.tuples(
        inputs.one_in(3, documents([said]), st.just(said)),
        inputs.one_in(2, st.just(words), inputs.files([words])),
        inputs.one_in(2, st.just(vectors), mangled([vectors, *npy_seeds()])),
    )

    def parse(given: Any, place: Path) -> Any:
        said, table, array = given
        made = {**whole, "files": dict(whole["files"]), "text": dict(whole["text"])}
        (place / "words.json").write_bytes(content(table))
        (place / "vectors.npy").write_bytes(array)
        made["files"] |= {"words.json": entry_of(content(table)), "vectors.npy": entry_of(array)}
        made["text"]["lookup"] = value(said)
        (place / "manifest.json").write_text(json.dumps(made))
        return read_lookup(read_manifest(place, "encoder"))

    def holds(made: Any, given: Any, place: Path) -> None:
        if made is None:
            return
        vector = np.full(8, 8**-0.5, np.float32)
        for word in ("boat", "boats", "bird", "nothing", "x"):
            mixed = made.mix(word, vector)
            assert mixed.shape == (8,)
            assert finite(mixed)

    return Parser("lookup", given, parse, holds, (place_name,))


@parser("onnx", 2)
def onnx(shop: Workshop) -> Parser:
    def parse(given: bytes, place: Path) -> Any:
        try:
            facts = check_graph(given, "case-graph")
        except InputError:
            onnx_protobuf.Graph.parse(given, "case-graph")  # on its own account it must not fail otherwise
            raise
        return facts, onnx_protobuf.Graph.parse(given, "case-graph")

    def holds(made: Any, given: bytes, place: Path) -> None:
        facts, graph = made
        assert facts.weights >= 0
        assert all(n >= 0 for shape in facts.inputs.values() for n in shape)
        again = onnx_protobuf.Graph.parse(graph.dump("g"), "again")
        assert again.nodes == graph.nodes
        assert again.initializers == graph.initializers
        assert again.inputs == graph.inputs
        graph.keep_only(list(graph.outputs))
        assert len(graph.nodes) <= len(again.nodes)

    seeds = shop.graphs
    return Parser(
        "onnx", st.one_of(messages(seeds), messages(seeds), mangled(seeds)), parse, holds, (place_name,)
    )


@parser("exported student", 1.5)
def exported_student(shop: Workshop) -> Parser:
    graph = onnx_protobuf.Graph.parse(shop.exported, "exported")
    said = {k: (json.loads(v) if v[:1] in '[{"' else v) for k, v in graph.metadata.items()} or metadata_of(
        shop.exported
    )
    edited = inputs.documents([said], 3)
    given = st.one_of(edited, edited, messages([shop.exported], 3), mangled([shop.exported]))

    def parse(given: Any, place: Path) -> Any:
        path = place / "student.onnx"
        path.write_bytes(given if isinstance(given, bytes) else with_metadata(shop.exported, given))
        # In this process: starting another for each input would take hours, and has tests of its own.
        with patch("inficond.core.models.sessions.is_trusted", lambda sha256: True):
            return load_predictor(path, "cpu", 1)

    def holds(made: Any, given: Any, place: Path) -> None:
        pixels = made.preprocess(PICTURE)
        try:
            out = made.predict(pixels[None])
        except InputError:
            return  # a graph may fail at work; it says so in a line
        assert out.shape == (1, len(made.classes))
        assert finite(out)
        assert made.thresholds.shape == (len(made.classes),)
        assert finite(made.thresholds)
        assert made.link in ("sigmoid", "softmax")
        assert len(set(made.classes)) == len(made.classes) > 0
        assert all(plain_text(c) for c in (*made.classes, *made.concepts))
        assert isinstance(made.provenance, dict)
        assert isinstance(made.encoder, dict)

    return Parser("exported student", given, parse, holds, ("student.onnx",))


def metadata_of(model: bytes) -> dict[str, Any]:
    """Of an exported student, JSON unfolded."""
    facts = check_graph(model, "exported")
    return {
        k: (json.loads(v) if v[:1] in '[{"' else v) for k, v in facts.metadata.items() if k != "file_sha256"
    }


def with_metadata(model: bytes, said: Any) -> bytes:
    """The same graph with other metadata, sealed as the program seals it."""
    graph = onnx_protobuf.Graph.parse(model, "exported")
    items = said.items if isinstance(said, Pairs) else said.items() if isinstance(said, dict) else ()
    pairs = b""
    for key, given in items:
        text = given if isinstance(given, str) else inputs.text(given)
        key, text = (str(value(t)).encode("utf-8", "replace") for t in (key, text))
        pairs += protobuf.field(14, protobuf.field(1, key) + protobuf.field(2, text))
    graph.metadata = {}
    return with_checksum(graph.dump("inficond student") + pairs)


@parser("model name")
def model_name(shop: Workshop) -> Parser:
    def parse(given: Any, place: Path) -> Path:
        return locating.locate(value(given), "encoder")

    def holds(made: Path, given: Any, place: Path) -> None:
        assert (made / "manifest.json").is_file()

    names = st.one_of(
        texts, st.sampled_from(["embedded", str(shop.encoder), str(shop.root), "~", "~nobody", "/", "."])
    )
    return Parser(
        "model name", names.filter(lambda n: not hub_like(n)), parse, holds, ("encoder", "model", "embedded")
    )


def hub_like(name: Any) -> bool:
    """What would be looked for on a hub, if there were a network."""
    return bool(locating._HUB_ID.fullmatch(value(name)))


@parser("safetensors", 1.5)
def safetensors(shop: Workshop) -> Parser:
    rng = np.random.default_rng(0)
    tensors = {
        "weights": rng.normal(size=(2, 3)).astype(np.float32),
        "bias": np.zeros(2, np.float16),
        "n": np.arange(4),
    }
    seed = safetensors_io.dump(tensors, {"format": "x", "k": "é"})
    length = int.from_bytes(seed[:8], "little")
    header, body = json.loads(seed[8 : 8 + length]), seed[8 + length :]

    def parse(given: Any, place: Path) -> Any:
        data = given
        if not isinstance(given, bytes):
            text = content(given)
            data = len(text).to_bytes(8, "little") + text + body
        (place / "student.safetensors").write_bytes(data)
        return safetensors_io.read(place / "student.safetensors")

    def holds(made: Any, given: Any, place: Path) -> None:
        tensors, metadata = made
        assert all(isinstance(v, str) for v in metadata.values())
        again, said = safetensors_io.parse(safetensors_io.dump(tensors, metadata))
        assert said == metadata
        for name, array in tensors.items():
            assert again[name].tobytes() == array.tobytes()
            assert again[name].shape == array.shape

    given = st.one_of(documents([header]), mangled([seed]))
    return Parser("safetensors", given, parse, holds, ("student.safetensors",))


@parser("students", 1.5)
def students(shop: Workshop) -> Parser:
    made = shop.students
    tensors = {
        n: np.asarray(getattr(made, n)).tolist() for n in ("weights", "bias", "mean", "scale", "thresholds")
    }
    said = {"format": "inficond-students", "format_version": "1", "classes": list(made.classes),
            "concepts": list(made.concepts), "link": "sigmoid", "lam": "0.0025", "encoder": "x"}  # fmt: skip
    shop.root.mkdir(parents=True, exist_ok=True)
    made.save(shop.root / "students.safetensors")
    whole = (shop.root / "students.safetensors").read_bytes()

    def parse(given: Any, place: Path) -> Students:
        path = place / "student.safetensors"
        if isinstance(given, bytes):
            path.write_bytes(given)
            return Students.load(path)
        metadata, arrays, kind = given
        pairs = (
            metadata.items
            if isinstance(metadata, Pairs)
            else metadata.items()
            if isinstance(metadata, dict)
            else ()
        )
        texts = {
            str(value(k)): v if isinstance(v, str) else inputs.text(v).replace("\ud800", "?")
            for k, v in pairs
        }
        found = {}
        for name, rows in (value(arrays) if isinstance(value(arrays), dict) else {}).items():
            try:
                with np.errstate(all="ignore"):
                    found[name] = np.array(rows, kind)
            except (ValueError, TypeError, OverflowError):
                found[name] = np.zeros((2, 1), kind)
        with suppress(ValueError):  # half a surrogate cannot be sealed: it is tried without a checksum
            texts = safetensors_io.with_checksum(found, texts)
        header = {n: v for n, v in json.loads(tensorfile_header(found)).items() if n != "__metadata__"}
        text = json.dumps({"__metadata__": texts, **header}).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + tensorfile_body(found))
        return Students.load(path)

    def holds(made: Students, given: Any, place: Path) -> None:
        with np.errstate(all="ignore"):
            said = made.predict(np.zeros((1, made.n_concepts), np.float32))
        assert ((said >= 0) & (said <= 1)).all() or not finite(made.raw_bias)
        made.save(place / "again.safetensors")
        again = Students.load(place / "again.safetensors")
        assert again.weights.tobytes() == made.weights.tobytes()
        assert (again.classes, again.concepts, again.lam, again.link) == (
            made.classes,
            made.concepts,
            made.lam,
            made.link,
        )
        assert all(c.isprintable() for c in (*made.classes, *made.concepts))

    kinds = st.sampled_from([np.float32, np.float32, np.float64, np.float16, np.int64])
    edited = st.tuples(
        documents([said], 3), inputs.one_in(2, st.just(tensors), documents([tensors], 2)), kinds
    )
    return Parser(
        "students",
        st.one_of(edited, edited, mangled([whole])),
        parse,
        holds,
        ("student.safetensors", "students", "concept", "class", "λ"),
    )


def tensorfile_header(tensors: dict[str, np.ndarray]) -> bytes:
    """The header of a safetensors file of these arrays."""
    data = safetensors_io.dump(ascii_names(tensors), {})
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def tensorfile_body(tensors: dict[str, np.ndarray]) -> bytes:
    data = safetensors_io.dump(ascii_names(tensors), {})
    return data[8 + int.from_bytes(data[:8], "little") :]


def ascii_names(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n.encode("utf-8", "replace").decode(): a for n, a in tensors.items()}
