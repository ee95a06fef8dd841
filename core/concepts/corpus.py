"""The words a student is written in: the built-in corpus, or a person's own file, with their vectors."""

import csv
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.strict_json import parse_json

if TYPE_CHECKING:
    from inficond.core.models.encoder import Encoder

BUILT_IN = "concepts.json"
ASSETS = Path(__file__).resolve().parent.parent / "assets" / "concepts"
OWN_GROUP = "own words"
MOST = 20_000
LONGEST = 200
BIGGEST_FILE = 16 << 20


@dataclass(frozen=True)
class Concept:
    """A word a person can see in a picture.

    Parameters
    ----------
    name : str
        As it stands on the screen; distinct within a corpus whatever its case.
    group : str
        Such as "animal" or "sky and land".
    prompts : tuple of str
        Wordings whose vectors are averaged; empty: the encoder's own templates around the name.
    lookup : bool
        Whether classes an encoder knows below the word may speak for it; false where the usual sense of
        the word
        in the encoder's table is another one.
    """

    name: str
    group: str = OWN_GROUP
    prompts: tuple[str, ...] = ()
    lookup: bool = True


@dataclass(frozen=True, eq=False)
class Corpus:
    """Concepts and their vectors in the space of one encoder.

    Parameters
    ----------
    concepts : tuple of Concept
    embeddings : (K, D) float32
        Unit length.
    """

    concepts: tuple[Concept, ...]
    embeddings: np.ndarray

    @property
    def names(self) -> list[str]:
        """The K names, in order."""
        return [c.name for c in self.concepts]

    @property
    def groups(self) -> list[str]:
        """The group of each of the K concepts."""
        return [c.group for c in self.concepts]

    @cached_property
    def index(self) -> dict[str, int]:
        """Name → position."""
        return {c.name: k for k, c in enumerate(self.concepts)}

    def __len__(self) -> int:
        return len(self.concepts)


def load_corpus(spec: str | Path | None = None, encoder: "Encoder | None" = None) -> Corpus:
    """The built-in corpus or a person's own words, in an encoder's space.

    Parameters
    ----------
    spec : path, optional
        A text file with a word on each line, a CSV file with the columns ``name`` and optionally ``group``
        and
        ``prompts`` (several separated by ``|``), or a JSON list of words or of objects with these fields.
        None or ``embedded``: the built-in corpus.
    encoder : Encoder, optional
        Whose text tower embeds the words.  None: the embedded one, which for the built-in corpus is not even
        opened, since the vectors ship.

    Returns
    -------
    Corpus

    Raises
    ------
    InputError
        The file cannot be read, holds no words or one twice, or the encoder has no text tower.
    """
    built_in = spec is None or str(spec) == "embedded"
    concepts = read_corpus_file(ASSETS / BUILT_IN if spec is None or built_in else Path(spec))
    if built_in and (encoder is None or _shipped_for() == _digest_of(encoder)):
        return Corpus(concepts, _shipped_vectors(len(concepts)))
    if encoder is None:
        from inficond.core.models import load_encoder

        encoder = load_encoder("embedded")
    return Corpus(concepts, compute_vectors(concepts, encoder))


def compute_vectors(concepts: Sequence[Concept], encoder: "Encoder") -> np.ndarray:
    """The concepts in the encoder's space, (K, D) float32, unit length.

    A concept with prompts is the normalised mean of their vectors, written as they stand; one without goes
    through
    the encoder's templates.  Either way the encoder's table of classes has its say where it knows the word.

    Raises
    ------
    InputError
        The encoder has no text tower.
    """
    prompts = [p for c in concepts for p in c.prompts]
    flat = encoder.embed_words(prompts, ["{}"]) if prompts else np.zeros((0, encoder.dim), np.float32)
    bare = [c.name for c in concepts if not c.prompts]
    by_name = dict(zip(bare, encoder.embed_words(bare))) if bare else {}
    out = np.empty((len(concepts), encoder.dim), np.float32)
    lookup = encoder.lookup
    at = 0
    for k, concept in enumerate(concepts):
        if not concept.prompts:
            out[k] = by_name[concept.name]
            continue
        mean = flat[at : at + len(concept.prompts)].mean(axis=0)
        at += len(concept.prompts)
        mean /= max(float(np.linalg.norm(mean)), 1e-12)
        out[k] = lookup.mix(concept.name, mean) if lookup is not None and concept.lookup else mean
    return out


def read_corpus_file(path: Path) -> tuple[Concept, ...]:
    """The concepts of a ``.txt``, ``.csv`` or ``.json`` file; see `load_corpus`.

    Raises
    ------
    InputError
        Naming the file, the line and the mend.
    """
    try:
        if path.is_file() and path.stat().st_size > BIGGEST_FILE:
            raise InputError(f"{path} is too large for a list of words")
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"no file of concepts at {path}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no UTF-8 text: save it as UTF-8, one word a line") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if "\0" in text:
        raise InputError(f"{path} is no text: give one word a line, CSV or JSON")
    reader = {".json": _from_json, ".csv": _from_csv}.get(path.suffix.lower(), _from_lines)
    concepts = reader(path, text)
    if not concepts:
        raise InputError(f"{path} holds no words: write one a line")
    if len(concepts) > MOST:
        raise InputError(f"{path} holds {len(concepts):,} words; {MOST:,} is the most")
    _check_names(path, concepts)
    return tuple(concepts)


def _from_lines(path: Path, text: str) -> list[Concept]:
    words = (line.strip() for line in text.splitlines())
    return [_concept(path, f"line {n}", {"name": w}) for n, w in enumerate(words, 1) if w and w[0] != "#"]


def _from_csv(path: Path, text: str) -> list[Concept]:
    try:
        rows = list(csv.reader(StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise InputError(f"{path} is no CSV: {error}") from error
    head = [h.strip().lower() for h in rows[0]] if rows else []
    if "name" not in head:
        raise InputError(f"{path} has no column `name`: write `name,group,prompts` on the first line")
    unknown = [h for h in head if h not in ("name", "group", "prompts")]
    if unknown:
        raise InputError(f"{path} has an unknown column {unknown[0]!r}: there are name, group and prompts")
    concepts = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(head):
            raise InputError(f"{path}, line {number}: {len(row)} cells where the first line has {len(head)}")
        fields: dict[str, Any] = dict(zip(head, row))
        if "prompts" in fields:
            fields["prompts"] = [p.strip() for p in fields["prompts"].split("|") if p.strip()]
        concepts.append(_concept(path, f"line {number}", fields))
    return concepts


def _from_json(path: Path, text: str) -> list[Concept]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    if isinstance(value, dict):
        value = value.get("concepts")
    if not isinstance(value, list):
        raise InputError(f'{path} must hold a list of words, or of objects like {{"name": "sea"}}')
    entries = [{"name": v} if isinstance(v, str) else v for v in value]
    return [_concept(path, f"entry {n}", entry) for n, entry in enumerate(entries, 1)]


def _concept(path: Path, where: str, fields: Any) -> Concept:
    if not isinstance(fields, dict) or not isinstance(fields.get("name"), str):
        raise InputError(f"{path}, {where}: a concept is a word or an object with a `name`")
    name = _clean(path, where, fields["name"])
    group = fields.get("group") or OWN_GROUP
    prompts = fields.get("prompts") or []
    if isinstance(prompts, str):
        prompts = [prompts]
    if not isinstance(group, str) or not (
        isinstance(prompts, list) and all(isinstance(p, str) for p in prompts)
    ):
        raise InputError(f"{path}, {where}: `group` must be a text and `prompts` a list of texts")
    lookup = fields.get("lookup", True)
    if not isinstance(lookup, bool):
        raise InputError(f"{path}, {where}: `lookup` must be true or false")
    return Concept(
        name, _clean(path, where, group), tuple(_clean(path, where, p) for p in prompts if p.strip()), lookup
    )


def _clean(path: Path, where: str, text: str) -> str:
    clean = " ".join(text.split())
    if not clean or not clean.isprintable():
        raise InputError(f"{path}, {where}: {text!r:.60} is no word")
    if len(clean) > LONGEST:
        raise InputError(f"{path}, {where}: {clean[:40]!r}… is longer than {LONGEST} characters")
    return clean


def _check_names(path: Path, concepts: Sequence[Concept]) -> None:
    seen: dict[str, str] = {}
    for concept in concepts:
        key = concept.name.casefold()
        if key in seen:
            raise InputError(f"{path} has the word {concept.name!r} twice: remove one")
        seen[key] = concept.name


def _shipped_for() -> str:
    """The digest of the encoder that the shipped vectors were made with."""
    said = json.loads((ASSETS / "embedded.json").read_text("utf-8"))
    same = said["words"] == hashlib.sha256((ASSETS / BUILT_IN).read_bytes()).hexdigest()
    return str(said["encoder"]) if same else ""


def _digest_of(encoder: "Encoder") -> str:
    return encoder.manifest.digest


def _shipped_vectors(count: int) -> np.ndarray:
    vectors = np.load(ASSETS / "embedded.npy", allow_pickle=False).astype(np.float32)
    if len(vectors) != count:
        raise InputError("the built-in corpus of this installation is damaged: install InFiConD again")
    return vectors
