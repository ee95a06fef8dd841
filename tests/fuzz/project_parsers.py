"""Parsers of projects, histories and shards, with correct checksums."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from tests.fuzz import inputs
from tests.fuzz.harness import Parser
from tests.fuzz.inputs import content, documents, mangled, odd, texts, value
from tests.fuzz.registry import finite, npy_seeds, parser, place_name, told
from tests.fuzz.table_parsers import columns
from tests.fuzz.workshop import Workshop, entry_of

from inficond.core import Project
from inficond.core.history import integrity
from inficond.core.images import ImageRecord
from inficond.core.pipeline.shards import Shard, ShardStore, SourceFile
from inficond.core.project import files
from inficond.core.tuning.actions import Action


@parser("project", 1.5)
def project(shop: Workshop) -> Parser:
    """Changed documents of a project, with correct checksums."""
    shop.project.session().summary()
    config = json.loads((shop.project.path / files.PROJECT).read_text())
    del config["checksum"]
    words = json.loads((shop.project.path / files.CONCEPTS).read_text())
    students = (shop.project.path / files.STUDENTS).read_bytes()
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(shop.project.T))
    config_alone = st.tuples(st.just(files.PROJECT), inputs.files([config], 3))
    given = st.one_of(
        config_alone,
        config_alone,
        st.tuples(st.just(files.CONCEPTS), inputs.files([words], 3)),
        st.tuples(st.just(files.STUDENTS), mangled([students], 3)),
        st.tuples(
            st.sampled_from([files.RESPONSES, files.CONCEPT_VECTORS, files.LABELS]),
            mangled([buffer.getvalue(), *npy_seeds()], 3),
        ),
        st.tuples(st.just(files.IMAGES), st.one_of(columns(), image_tables(shop))),
        st.tuples(
            st.sampled_from([files.RESPONSES, files.CONCEPT_VECTORS, files.LABELS, files.CONCEPT_EMBEDDINGS]),
            st.tuples(
                st.integers(0, 99), st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 2.0, 1e30, 3e38, 1e-40])
            ),
        ),
    )

    def parse(given: Any, place: Path) -> Project:
        name, made = given
        folder = shop.copy_of(shop.project, place)
        if isinstance(made, tuple):
            array = np.load(folder / name)
            array.flat[made[0] % array.size] = made[1]
            buffer = io.BytesIO()
            np.save(buffer, array)
            made = buffer.getvalue()
        data = content(made)
        (folder / name).unlink()
        whole = inputs.text(config).encode()
        if name == files.PROJECT:
            whole = data
        else:
            (folder / name).write_bytes(data)
            entry = {**config["files"][name], **entry_of(data)}
            whole = json.dumps({**config, "files": {**config["files"], name: entry}}).encode()
            (folder / files.PROJECT).unlink()
        (folder / files.PROJECT).write_bytes(resealed(whole))
        return Project.open(folder)

    def holds(made: Project, given: Any, place: Path) -> None:
        n = len(made.image_ids)
        assert made.X.shape == (n, len(made.concepts))
        assert made.T.shape == (n, len(made.classes))
        assert all(isinstance(i, str) for i in (*made.image_ids, *made.concepts, *made.classes, made.name))
        assert all(isinstance(line, str) for line in made.verify())
        for ask in (lambda: made.session().summary(), lambda: made.crop(0), lambda: made.thumbnail_bytes(0),
                    lambda: made.image_path(0), lambda: made.regions(0), lambda: made.assignment(0),
                    lambda: made.session().influence(made.classes[0]), lambda: tuned(made),
                    lambda: made.session().suggest(made.classes[0])):  # fmt: skip
            told(ask)

    return Parser("project", given, parse, holds, (place_name,))


def tuned(project: Project) -> None:
    """Return a step and its description, which must be numbers."""
    session = project.session()
    session.apply(project.classes[0], Action("mute", project.concepts[0]))
    assert finite(session.state.weights())
    assert finite(session.scores())


@st.composite
def image_tables(draw: st.DrawFn, shop: Workshop) -> bytes:
    """`images.parquet` with a missing or changed column."""
    table = pq.read_table(shop.project.path / files.IMAGES)
    at = draw(st.integers(0, table.num_columns - 1))
    how = draw(st.sampled_from(["drop", "nulls", "text", "shorter", "as it is", "numbers", "twice"]))
    name, n = table.column_names[at], table.num_rows
    if how == "drop":
        table = table.drop_columns([name])
    elif how == "nulls":
        table = table.set_column(at, name, pa.nulls(n, table.schema.types[at]))
    elif how == "text":
        new = str(value(draw(texts)))[:1000].encode("utf-8", "replace").decode()
        table = table.set_column(at, name, pa.array([new] * n, pa.string()))
    elif how == "numbers":
        table = table.set_column(at, name, pa.array([draw(st.integers(-2, 2**40))] * n, pa.int64()))
    elif how == "shorter":
        table = table.slice(0, draw(st.integers(0, n - 1)))
    elif how == "twice":
        table = table.append_column(name, table.column(at))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def resealed(whole: bytes) -> bytes:
    """Return a document with a correct checksum if possible."""
    try:
        said = json.loads(whole)
        if isinstance(said, dict):
            said.pop("checksum", None)
            total = files.with_checksum(said)["checksum"]
            body = whole.rstrip()[:-1].rstrip()
            return body + (b"," if said else b"") + f'"checksum":"{total}"}}'.encode()
    except (ValueError, RecursionError, TypeError):
        pass
    return whole


@parser("history", 0.6)
def history(shop: Workshop) -> Parser:
    """Changed rows of `history.sqlite`, with correct checksums."""
    import sqlite3

    folder = shop.copy_of(shop.project, shop.root / "history")
    made = Project.open(folder)
    session = made.session("main")
    first = session.apply(
        "boat", [Action("up", "c0"), Action("lock", "group:land")], focus=made.image_ids[::3], note="n"
    )
    session.override([made.image_ids[3]], "bird", 0.25)
    session.drop_concept("c3")
    session.name(first.id, "the one")
    session.undo()
    made.context.history_store.close()
    seed = (folder / files.HISTORY).read_bytes()
    with sqlite3.connect(folder / files.HISTORY) as db:
        infos = [json.loads(row[0]) for row in db.execute("SELECT info FROM node")]
    said = {
        "node": infos,
        "bounds": [
            {"c0": {"kind": "up", "concept": "c0", "value": 1.5, "lower": 0.5, "upper": None, "weight": 0.1}}
        ],
        "focus": [["20 images", 5.0, 20]],
        "overrides": [{made.image_ids[3]: 0.25}],
        "redo": [["0" * 12]],
    }
    del session, made
    blobs = st.one_of(
        st.binary(max_size=16),
        st.sampled_from([b"", b"\0" * 4, b"\xff" * 4, b"\x00\x00\x00\x7f", b"x\x9c" + b"\0" * 9]),
    )
    change = st.one_of(
        st.tuples(st.just("node"), st.sampled_from(["info"]), documents(said["node"], 2)),
        st.tuples(st.just("node"), st.sampled_from(["id", "parent", "owner"]), texts),
        st.tuples(st.just("state"), st.sampled_from(["bounds", "focus", "overrides"]),
                  documents([*said["bounds"], *said["focus"], *said["overrides"]], 2)),
        st.tuples(st.just("state"), st.sampled_from(["columns", "weights", "mask"]), blobs | odd),
        st.tuples(st.just("state"), st.sampled_from(["size", "bias", "class"]), odd),
        st.tuples(st.just("head"), st.just("redo"), documents(said["redo"], 2)),
        st.tuples(st.just("head"), st.sampled_from(["node", "used"]), odd),
        st.tuples(st.just("remark"), st.sampled_from(["name", "note", "node"]), texts),
        st.tuples(st.just("meta"), st.just("value"), odd),
    )  # fmt: skip
    given = st.one_of(
        st.lists(change, min_size=1, max_size=2), st.lists(change, min_size=1, max_size=2), mangled([seed])
    )

    def parse(given: Any, place: Path) -> Any:
        folder = shop.copy_of(shop.project, place)
        path = folder / files.HISTORY
        path.write_bytes(given if isinstance(given, bytes) else seed)
        if not isinstance(given, bytes):
            rewritten(path, given)
        project = Project.open(folder)
        try:
            return project, project.session("main")
        except BaseException:
            project.context.history_store.close()
            raise

    def holds(made: Any, given: Any, place: Path) -> None:
        project, session = made
        try:
            for ask in (lambda: session.tree(), lambda: session.summary(),
                        lambda: project.context.history_store.check(), lambda: session.recipe().to_json(),
                        lambda: session.undo(), lambda: session.redo(),
                        lambda: session.students, lambda: session.influence("boat"),
                        lambda: session.apply("boat", Action("mute", "c1")),
                        lambda: session.scores()):  # fmt: skip
                told(ask)
            assert all(isinstance(line, str) for line in project.verify())
        finally:
            project.context.history_store.close()

    return Parser("history", given, parse, holds, (place_name, "history", "node"))


def rewritten(path: Path, changes: list[tuple[str, str, Any]]) -> None:
    """Change columns of the last row of tables, and correct the checksums."""
    import sqlite3

    db = sqlite3.connect(path)
    try:
        for table, column, given in changes:
            new = given
            if not isinstance(given, bytes):
                new = (
                    value(given)
                    if table in ("meta", "remark")
                    or column
                    in (
                        "size",
                        "bias",
                        "class",
                        "node",
                        "used",
                        "id",
                        "parent",
                        "owner",
                        "columns",
                        "weights",
                        "mask",
                    )
                    else inputs.text(given)
                )
            if isinstance(new, dict | list | bool) or (isinstance(new, int) and abs(new) >= 2**63):
                new = json.dumps(new)
            if isinstance(new, str):
                new = new.encode("utf-8", "replace").decode()
            key = {"node": "seq", "state": "node", "head": "owner", "remark": "owner", "meta": "key"}[table]
            try:
                db.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {key} = (SELECT max({key}) FROM {table})", (new,)
                )
            except sqlite3.Error:
                continue
        for (owner,) in db.execute(
            "SELECT owner FROM node UNION SELECT owner FROM head UNION SELECT owner FROM remark"
        ).fetchall():
            try:
                integrity.store_checksum(db, owner, integrity.owner_checksum(db, owner))
            except (sqlite3.Error, UnicodeDecodeError):
                continue
        db.commit()
    finally:
        db.close()


@parser("shard")
def shard(shop: Workshop) -> Parser:
    """A finished shard of an interrupted build."""
    sources = [SourceFile(ImageRecord("a.jpg", Path("/nowhere/a.jpg")), 1, "2")]
    store = ShardStore(shop.root / "shards", "basis")
    shape = {"regions": (1, 4, 8), "assignment": (1, 16), "responses": (1, 3), "sizes": (1, 2)}
    kinds = {"regions": np.float16, "assignment": np.uint8, "responses": np.float32, "sizes": np.int32}
    store.save(
        sources,
        Shard(
            ids=["a.jpg"],
            **{k: np.zeros(s, kinds[k]) for k, s in shape.items()},
            thumbnails=[b"\xff\xd8\xff"],
        ),
    )
    seed = store.path(sources).read_bytes()
    said = {"ids": ["a.jpg"], "skipped": [["b.jpg", "cut short"]], "remarks": [], "maker": "cpu"}

    @st.composite
    def shards(draw: st.DrawFn) -> bytes:
        if draw(st.booleans()):
            return draw(mangled([seed]))
        members = {
            f"{k}.npy": v
            for k, v in zip(
                ("regions", "thumbnail_ends"),
                draw(st.lists(st.sampled_from(npy_seeds()), min_size=2, max_size=2)),
            )
        }
        text = np.frombuffer(content(draw(documents([said], 2))), np.uint8)
        buffer, out = io.BytesIO(), io.BytesIO()
        np.save(buffer, text)
        with zipfile.ZipFile(io.BytesIO(seed)) as old, zipfile.ZipFile(out, "w") as new:
            for name in old.namelist():
                data = buffer.getvalue() if name == "said.npy" else old.read(name)
                new.writestr(name, members.get(name, data) if draw(st.booleans()) else data)
        return out.getvalue()

    def parse(given: bytes, place: Path) -> bool:
        store = ShardStore(place, "basis")
        store.path(sources).write_bytes(given)
        return store.finished(sources) is not None

    def holds(made: bool, given: bytes, place: Path) -> None:
        store = ShardStore(place, "basis")
        try:
            found = store.load(sources)
        except Exception:  # damaged arrays: the shard is made again when it is needed
            return
        assert len(found.ids) == len(found.regions) == len(found.thumbnails)

    return Parser("shard", shards(), parse, holds, ("shard",))
