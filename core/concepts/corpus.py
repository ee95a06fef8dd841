"""Corpus of concepts: built in or read from a file, with concept embeddings."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError, system_reason
from inficond.core.file_access import read_given
from inficond.core.strict_json import parse_json
from inficond.core.tables.encoding import decode_text
from inficond.core.tables.signatures import refuse_foreign

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
    """A word for something visible in a picture.

    Parameters
    ----------
    name : str
        Display name; unique in a corpus, ignoring case.
    group : str
        Such as "animal" or "sky and land".
    prompts : tuple of str
        Texts whose embeddings are averaged; if empty, the encoder's templates with the name.
    lookup : bool
        Whether the encoder's class vectors may be mixed in; false if its table knows the word in another
        sense.

    Examples
    --------
    >>> from inficond.core.concepts import Concept
    >>> Concept("sea", group="water", prompts=("a photo of the sea", "waves"))
    Concept(name='sea', group='water', prompts=('a photo of the sea', 'waves'), lookup=True)
    """

    name: str
    group: str = OWN_GROUP
    prompts: tuple[str, ...] = ()
    lookup: bool = True


@dataclass(frozen=True, eq=False)
class Corpus:
    """Concepts and their embeddings in the space of one encoder.

    Parameters
    ----------
    concepts : tuple of Concept
    embeddings : (K, D) float32
        Unit length.

    Examples
    --------
    >>> from inficond.core.concepts import load_corpus
    >>> corpus = load_corpus()
    >>> len(corpus.embeddings) == len(corpus)
    True
    >>> corpus.groups[corpus.index["sea"]]
    'water'
    """

    concepts: tuple[Concept, ...]
    embeddings: np.ndarray

    @property
    def names(self) -> list[str]:
        """Names of the K concepts."""
        return [c.name for c in self.concepts]

    @property
    def groups(self) -> list[str]:
        """Groups of the K concepts."""
        return [c.group for c in self.concepts]

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each name."""
        return {c.name: k for k, c in enumerate(self.concepts)}

    def __len__(self) -> int:
        return len(self.concepts)


def load_corpus(spec: str | Path | None = None, encoder: "Encoder | None" = None) -> Corpus:
    r"""Load the built-in corpus or a file of words, embedded by an encoder.

    Parameters
    ----------
    spec : path, optional
        A text file with one word per line, a CSV file with the columns ``name`` and optionally ``group`` and
        ``prompts`` (separated by ``|``), or a JSON list of words or of objects with these fields. None or
        ``embedded`` is the built-in corpus.
    encoder : Encoder, optional
        Embeds the words; the embedded encoder by default. The built-in corpus ships with its embeddings, so
        that it needs no encoder.

    Returns
    -------
    Corpus

    Raises
    ------
    InputError
        The file cannot be read, has no words or a repeated one, or the encoder has no text tower.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.concepts import load_corpus
    >>> _ = Path("words.txt").write_text("sea\nmast\nfoam\n")
    >>> corpus = load_corpus("words.txt")
    >>> corpus.names, corpus.embeddings.shape
    (['sea', 'mast', 'foam'], (3, 192))
    """
    built_in = spec is None or str(spec) == "embedded"
    concepts = _built_in_concepts() if spec is None or built_in else read_corpus_file(Path(spec))
    if built_in and (encoder is None or _shipped_for() == _digest_of(encoder)):
        return Corpus(concepts, _shipped_vectors(len(concepts)))
    if encoder is None:
        from inficond.core.models import load_encoder

        encoder = load_encoder("embedded")
    return Corpus(concepts, compute_vectors(concepts, encoder))


@cache
def _built_in_concepts() -> tuple[Concept, ...]:
    return read_corpus_file(ASSETS / BUILT_IN)


def corpus_of(words: Sequence[str], encoder: "Encoder") -> Corpus:
    """Embed words of a Python program.

    Parameters
    ----------
    words : sequence of str
    encoder : Encoder

    Returns
    -------
    Corpus

    Raises
    ------
    InputError
        There are no words, one is repeated or unprintable, or the encoder has no text tower.
    """
    where = Path("the words")
    concepts = [_concept(where, f"number {n}", {"name": word}) for n, word in enumerate(words, 1)]
    if not concepts:
        raise InputError("the list of words is empty: give at least one")
    if len(concepts) > MOST:
        raise InputError(f"{len(concepts):,} words are given: at most {MOST:,} are allowed")
    _check_names(where, concepts)
    return Corpus(tuple(concepts), compute_vectors(concepts, encoder))


def compute_vectors(concepts: Sequence[Concept], encoder: "Encoder") -> np.ndarray:
    """Embed concepts, (K, D) float32, unit length.

    The embedding of a concept with prompts is the normalised mean of their embeddings. A concept without
    prompts is embedded with the encoder's templates. In both cases, class vectors are mixed in if the
    encoder's table has the word.

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
    lookup = encoder.lookup if prompts else None
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
    """Read the concepts of a ``.txt``, ``.csv`` or ``.json`` file; see `load_corpus`.

    Raises
    ------
    InputError
        The file is invalid; the message names the file, the line and the remedy.
    """
    try:
        if path.is_file() and path.stat().st_size > BIGGEST_FILE:
            raise InputError(f"{path} has more than {BIGGEST_FILE >> 20} MB: name a list of words")
        content = read_given(path, BIGGEST_FILE)
        refuse_foreign(path, content)
    except FileNotFoundError:
        raise InputError(f"the file of concepts {path} does not exist: check the path") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {system_reason(error)}") from error
    try:
        text, encoding = decode_text(content, path)
        if not encoding.startswith("UTF"):  # no command reports the encoding of words
            raise InputError(encoding)
    except InputError:
        kind = "not a text file" if b"\0" in content else "not UTF-8"
        raise InputError(f"{path} is {kind}: save it as UTF-8 text with one word per line") from None
    reader = {".json": _from_json, ".csv": _from_csv}.get(path.suffix.lower(), _from_lines)
    concepts = reader(path, text)
    if not concepts:
        raise InputError(f"{path} contains no words: write one per line")
    if len(concepts) > MOST:
        raise InputError(f"{path} contains {len(concepts):,} words: at most {MOST:,} are allowed")
    _check_names(path, concepts)
    return tuple(concepts)


def _from_lines(path: Path, text: str) -> list[Concept]:
    words = (line.strip() for line in text.splitlines())
    return [_concept(path, f"line {n}", {"name": w}) for n, w in enumerate(words, 1) if w and w[0] != "#"]


def _from_csv(path: Path, text: str) -> list[Concept]:
    try:
        rows = list(csv.reader(StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise InputError(f"{path} is not valid CSV: {error}") from error
    head = [h.strip().lower() for h in rows[0]] if rows else []
    if "name" not in head:
        raise InputError(f"{path} has no column `name`: write `name,group,prompts` on the first line")
    unknown = [h for h in head if h not in ("name", "group", "prompts")]
    if unknown:
        raise InputError(f"{path} has an unknown column {unknown[0]!r}: name, group and prompts are known")
    concepts = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(head):
            raise InputError(f"{path}, line {number}: {len(row)} cells, but the first line has {len(head)}")
        fields: dict[str, Any] = dict(zip(head, row))
        if "prompts" in fields:
            fields["prompts"] = [p.strip() for p in fields["prompts"].split("|") if p.strip()]
        concepts.append(_concept(path, f"line {number}", fields))
    return concepts


def _from_json(path: Path, text: str) -> list[Concept]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    if isinstance(value, dict):
        value = value.get("concepts")
    if not isinstance(value, list):
        raise InputError(f'{path} must be a list of words, or of objects like {{"name": "sea"}}')
    entries = [{"name": v} if isinstance(v, str) else v for v in value]
    return [_concept(path, f"entry {n}", entry) for n, entry in enumerate(entries, 1)]


def _concept(path: Path, where: str, fields: Any) -> Concept:
    if not isinstance(fields, dict) or not isinstance(fields.get("name"), str):
        raise InputError(f"{path}, {where}: a concept must be a word or an object with a `name`")
    name = _clean(path, where, fields["name"])
    group = fields.get("group") or OWN_GROUP
    prompts = fields.get("prompts") or []
    if isinstance(prompts, str):
        prompts = [prompts]
    if not isinstance(group, str) or not (
        isinstance(prompts, list) and all(isinstance(p, str) for p in prompts)
    ):
        raise InputError(f"{path}, {where}: `group` must be a string and `prompts` a list of strings")
    lookup = fields.get("lookup", True)
    if not isinstance(lookup, bool):
        raise InputError(f"{path}, {where}: `lookup` must be true or false")
    return Concept(
        name, _clean(path, where, group), tuple(_clean(path, where, p) for p in prompts if p.strip()), lookup
    )


def _clean(path: Path, where: str, text: str) -> str:
    clean = " ".join(text.split())
    if not clean or not clean.isprintable():
        raise InputError(f"{path}, {where}: {text!r:.60} is not a printable word")
    if len(clean) > LONGEST:
        raise InputError(f"{path}, {where}: {clean[:40]!r}… is longer than {LONGEST} characters")
    return clean


def _check_names(path: Path, concepts: Sequence[Concept]) -> None:
    seen: dict[str, str] = {}
    for concept in concepts:
        key = concept.name.casefold()
        if key in seen:
            raise InputError(f"{path} contains the word {concept.name!r} twice: remove one")
        seen[key] = concept.name


def _shipped_for() -> str:
    """Return the digest of the encoder of the shipped embeddings, or an empty string if they are outdated."""
    facts = json.loads((ASSETS / "embedded.json").read_text("utf-8"))
    same = facts["words"] == sha256_of(ASSETS / BUILT_IN)
    return str(facts["encoder"]) if same else ""


def _digest_of(encoder: "Encoder") -> str:
    return encoder.manifest.digest


@cache
def _shipped_vectors(count: int) -> np.ndarray:
    vectors = np.load(ASSETS / "embedded.npy", allow_pickle=False).astype(np.float32)
    if len(vectors) != count:
        raise InputError("the built-in corpus of this installation is damaged: install InFiConD again")
    vectors.flags.writeable = False
    return vectors
