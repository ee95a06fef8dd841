"""Domains of class names and the words that belong to them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inficond.core.concepts.corpus import Concept, Corpus
from inficond.core.concepts.domains import class_domain, class_domains, load_domains, widened

D = 512


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def encoder() -> Any:
    """An encoder that gives each text a direction of its own."""

    def embed_words(words: list[str]) -> np.ndarray:
        return unit(np.stack([np.random.default_rng(list(w.encode())).normal(size=D) for w in words]))

    return SimpleNamespace(dim=D, manifest=SimpleNamespace(text="text.onnx"), embed_words=embed_words)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("daisy", "flower"),
        ("sunflowers", "flower"),
        ("buildings", "building"),
        ("trees", "tree and forest"),
        ("persian_cat", "cat"),
        ("garbage truck", "car and truck"),
        ("cardboard", "waste and packaging"),
        ("without_mask", "person and face"),
        ("sea", "coast and water"),
    ],
)
def test_a_class_has_the_domain_of_its_noun(name: str, domain: str) -> None:
    found = class_domain(name)
    assert found is not None
    assert found.name == domain


@pytest.mark.parametrize("name", ["class 7", "n01440764", "zzxq", "healthy", ""])
def test_a_name_without_a_known_noun_has_no_domain(name: str) -> None:
    assert class_domain(name) is None


def test_the_shipped_domains_have_distinct_names_and_many_words() -> None:
    domains = load_domains()
    assert len({d.name for d in domains}) == len(domains) >= 30
    assert all(len(d.words) >= 14 and all(d.words) for d in domains)


def test_words_belong_to_the_classes_whose_domain_lists_them(encoder: Any) -> None:
    found = class_domains(["tulip", "daisy", "sea", "thing 3"], encoder)
    assert found is not None
    assert not found.complete, "the last class has no domain"
    words = ["red petals", "breaking wave", "tulip", "sea", "traffic light"]
    belongs = found.belongs(words, encoder.embed_words(words), np.zeros(D, np.float32))
    assert belongs[0].tolist() == [True, False, True, False, False]
    assert belongs[1].tolist() == [True, False, False, False, False], "another class's name does not belong"
    assert belongs[2].tolist() == [False, True, False, True, False]
    assert belongs[3].tolist() == [True, True, False, False, True]


def test_an_unlisted_word_belongs_where_it_is_similar_to_a_listed_one(encoder: Any) -> None:
    found = class_domains(["tulip", "sea"], encoder)
    assert found is not None
    near = unit(encoder.embed_words(["breaking waves"]) + 0.01)
    assert found.belongs(["billows"], near, np.zeros(D, np.float32))[:, 0].tolist() == [False, True]


def test_a_corpus_is_widened_by_the_words_that_it_lacks(encoder: Any) -> None:
    found = class_domains(["tulip"], encoder)
    assert found is not None
    corpus = Corpus((Concept("Grass"), Concept("car")), encoder.embed_words(["grass", "car"]))
    wide = widened(corpus, found)
    assert list(wide.names[:2]) == ["Grass", "car"]
    assert "grass" not in wide.names
    assert len(wide) == 1 + len(found.corpus)
    assert set(found.corpus.names) - {"grass"} <= set(wide.names)


def test_an_encoder_without_a_text_tower_has_no_domains(encoder: Any) -> None:
    silent: Any = SimpleNamespace(**{**vars(encoder), "manifest": SimpleNamespace(text=None)})
    assert class_domains(["tulip"], silent) is None
