"""The built-in corpus, and corpora from a user's file."""

import json

import numpy as np
import pytest

from inficond.core.concepts import load_corpus
from inficond.core.concepts.corpus import read_corpus_file
from inficond.core.errors import InputError


class OneHot:
    """An encoder that distinguishes words by their letters and has no table of classes."""

    dim = 26
    lookup = None

    class manifest:
        digest = "another encoder"

    def embed_words(self, words, templates=None):
        rows = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in words], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_built_in_corpus_is_readable():
    corpus = load_corpus()
    assert 560 <= len(corpus) <= 590
    assert len({n.casefold() for n in corpus.names}) == len(corpus)
    for concept in corpus.concepts:
        assert concept.name == concept.name.strip()
        assert "-other" not in concept.name
        assert "_" not in concept.name
        assert len(concept.prompts) >= 2, concept.name
    assert {"animal", "vehicle", "plant", "material", "sky and land", "clothing"} <= set(corpus.groups)
    assert {"boat", "sea", "dock", "cabinet door", "hot air balloon"} <= set(corpus.names)
    assert not {"unknown", "cabinetdoor", "parterre"} & set(corpus.names)


def test_built_in_vectors_are_unit_and_distinct():
    corpus = load_corpus()
    assert corpus.embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(corpus.embeddings, axis=1), 1, atol=1e-4)
    cosines = corpus.embeddings @ corpus.embeddings.T - 2 * np.eye(len(corpus))
    assert cosines.max() < 0.99999


def test_shipped_vectors_are_those_of_the_shipped_text_tower():
    from inficond.core.concepts.corpus import compute_vectors
    from inficond.core.models import load_encoder

    corpus = load_corpus()
    encoder = load_encoder("embedded")
    rows = [corpus.index[n] for n in ("boat", "sea", "person", "metal", "hot air balloon")]
    again = compute_vectors([corpus.concepts[k] for k in rows], encoder)
    assert (again * corpus.embeddings[rows]).sum(axis=1).min() > 0.9999


def test_related_words_have_similar_vectors():
    corpus = load_corpus()

    def cosine(a, b):
        return float(corpus.embeddings[corpus.index[a]] @ corpus.embeddings[corpus.index[b]])

    assert cosine("boat", "ship") > cosine("boat", "sofa") + 0.2
    assert cosine("sea", "beach") > cosine("sea", "printer") + 0.2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("words.txt", "# mine\nrusty metal\n\n  wet   sand \n"),
        ("words.csv", "name,group,prompts\nrusty metal,material,\nwet sand,material,wet sand|a wet beach\n"),
        ("words.json", json.dumps(["rusty metal", {"name": "wet sand", "prompts": ["wet sand"]}])),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_users_words_are_read_from_three_formats_for_any_encoder(tmp_path, name, text, encoding):
    path = tmp_path / name
    path.write_text(text, encoding)
    corpus = load_corpus(path, OneHot())
    assert corpus.names == ["rusty metal", "wet sand"]
    assert corpus.embeddings.shape == (2, 26)
    np.testing.assert_allclose(np.linalg.norm(corpus.embeddings, axis=1), 1, atol=1e-6)


def test_vectors_are_computed_for_another_encoder():
    corpus = load_corpus(None, OneHot())
    assert corpus.embeddings.shape == (len(load_corpus()), 26)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "contains no words"),
        ("a.txt", b"# only a comment\n", "contains no words"),
        ("a.txt", b"Sea\nsea\n", "twice"),
        ("a.txt", b"\xff\xfe\x00", "UTF-8"),
        ("a.txt", "Möwe\n".encode("cp1252"), "not UTF-8: save it"),
        ("a.txt", b"PK\x03\x04", "a workbook or an archive"),
        ("a.txt", b"sea\x00\n", "not a text file"),
        ("a.txt", b"x" * 300, "longer than 200"),
        ("a.csv", b"word\nsea\n", "no column `name`"),
        ("a.csv", b"name,colour\nsea,blue\n", "colour"),
        ("a.csv", b"name,group\nsea\n", "line 2"),
        ("a.csv", b'name\n"sea', "not valid CSV"),
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[" * 100_000, "not valid JSON"),
        ("a.json", b'{"words": []}', "list of words"),
        ("a.json", b'[{"group": "x"}]', "entry 1"),
        ("a.json", b'[{"name": "sea", "prompts": [1]}]', "entry 1"),
        ("a.json", b"[3]", "entry 1"),
    ],
)
def test_invalid_files_are_named_with_the_reason(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_corpus_file(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            load_corpus(path, OneHot())


def test_typed_words_are_looked_up_in_the_encoders_table_of_classes():
    from inficond.core.models import load_encoder

    encoder = load_encoder("embedded")
    lookup = encoder.lookup
    assert lookup is not None
    assert len(lookup.classes("dog")) == 118
    assert lookup.classes("Dogs") == lookup.classes("dog")
    assert lookup.classes("rusty metal") == []
    dog, plain = encoder.embed_words(["dog"])[0], encoder.embed_words(["dog"], ["{}"])[0]
    assert np.isclose(np.linalg.norm(dog), 1, atol=1e-5)
    assert 0.5 < float(dog @ plain) < 0.9999


def test_odd_words_are_words_of_the_list_that_no_domain_names():
    from inficond.core.concepts.domains import load_domains
    from inficond.core.concepts.odd_words import odd_words, without_odd_words

    corpus = load_corpus()
    kept = without_odd_words(corpus)
    assert odd_words() <= set(corpus.names)
    assert len(kept) == len(corpus) - len(odd_words())
    assert not odd_words() & set(kept.names)
    np.testing.assert_array_equal(kept.embeddings[kept.index["sea"]], corpus.embeddings[corpus.index["sea"]])
    for domain in load_domains():
        assert not odd_words() & set(domain.words), domain.name
