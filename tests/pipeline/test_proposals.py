"""Proposal of words and the name prior of a project."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inficond.core.concepts.class_names import informative_names, meaningful_part
from inficond.core.concepts.corpus import Concept, Corpus
from inficond.core.concepts.neutral import NeutralRegions
from inficond.core.concepts.vectors import concept_vectors
from inficond.core.errors import InputError
from inficond.core.pipeline.options import BuildOptions
from inficond.core.students.distil import distil
from inficond.core.students.name_prior import STRENGTHS, ClassNames, choose_prior, class_names, helped_words
from inficond.core.students.proposals import most_words, propose_words
from inficond.core.tuning.word_selection import Teaching, select_words

D, CLASSES = 48, 3


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def images() -> dict[str, Any]:
    """240 images of three classes, each near a direction of its own; 60 words, the first three name them."""
    rng = np.random.default_rng(0)
    words = unit(rng.normal(size=(60, D)))
    label = np.arange(240) % CLASSES
    regions = unit(words[label][:, None] + 0.6 * unit(rng.normal(size=(240, 4, D)))).astype(np.float16)
    T = np.full((240, CLASSES), 0.05, np.float32)
    T[np.arange(240), label] = 0.9
    return {"words": words, "regions": regions, "T": T}


@pytest.mark.parametrize("name", ["class 7", "7", "class_12", "cls3", "n01440764", "label", "C", "№ 5", "__"])
def test_numbers_and_codes_say_nothing(name: str) -> None:
    assert meaningful_part(name) == ""


@pytest.mark.parametrize(
    ("name", "part"), [("golden_retriever", "golden retriever"), ("3 cats", "cats"), ("tulip", "tulip")]
)
def test_the_meaningful_part_has_the_words_of_a_name(name: str, part: str) -> None:
    assert meaningful_part(name) == part


def test_a_name_is_informative_if_its_images_have_the_larger_values(images: dict[str, Any]) -> None:
    vectors = images["words"][[0, 7, 2]]  # the second name belongs to other images
    found = informative_names(["daisy", "daffodil", "class 3"], vectors, images["regions"], images["T"])
    assert found.tolist() == [True, False, False]


def test_words_of_the_classes_are_proposed_and_the_number_is_kept(images: dict[str, Any]) -> None:
    rows, by_class = propose_words(images["regions"], images["words"], images["T"], "softmax", None, 9)
    assert len(rows) <= 9
    assert [turn[0] for turn in by_class] == [0, 1, 2]
    assert sorted(k for turn in by_class for k in turn) == rows.tolist()


def test_a_selection_lists_what_was_not_proposed(images: dict[str, Any]) -> None:
    corpus = Corpus(tuple(Concept(f"w{k}") for k in range(60)), images["words"])
    neutral = NeutralRegions(unit(np.random.default_rng(1).normal(size=(500, D))))
    teaching = Teaching(images["T"], "softmax", None, 0.0, 6)
    found = select_words(corpus, images["regions"], neutral, tested=True, grounded=False, teaching=teaching)
    given = {*found.corpus.names, *found.not_proposed, *(name for name, _ in found.left_out)}
    assert len(found.corpus) <= 6
    assert given == set(corpus.names)
    assert {name for turn in found.by_class for name in turn} == set(found.corpus.names)


def test_more_classes_get_more_words() -> None:
    assert (most_words(3), most_words(20)) == (34, 80)


def test_classes_with_uninformative_names_have_equal_penalties(images: dict[str, Any]) -> None:
    names = ClassNames(images["words"][:3], np.array([True, False, True]), np.zeros(D, np.float32))
    factors = names.penalties(images["words"], 0.4)
    assert factors is not None
    assert (factors[1] == 1).all()
    assert factors[0, 0] == factors[0].min() < 1 < factors[0].max()
    assert names.penalties(images["words"], 0.0) is None


def test_numbers_as_class_names_switch_the_prior_off(images: dict[str, Any]) -> None:
    encoder: Any = SimpleNamespace(dim=D, manifest=SimpleNamespace(text=None))
    names = class_names(["class 1", "2", "3"], encoder, images["regions"], images["T"], np.zeros(D))
    choice = choose_prior(names, images["words"], np.zeros((240, 60)), images["T"], "softmax", nec=3)
    assert (choice.strength, choice.penalty) == (0.0, None)
    assert "say nothing" in choice.reason


def test_the_chosen_prior_prefers_words_near_the_class_names(images: dict[str, Any]) -> None:
    names = ClassNames(images["words"][:3], np.ones(3, bool), np.zeros(D, np.float32))
    X = concept_vectors(images["regions"], images["words"])
    choice = choose_prior(names, images["words"], X, images["T"], "softmax", nec=2)
    assert choice.strength == STRENGTHS[-1], "the names are the best words, so no strength lowers fidelity"
    asked = choose_prior(names, images["words"], X, images["T"], "softmax", nec=2, asked=0.3)
    assert (asked.strength, "as asked" in asked.reason) == (0.3, True)


def test_helped_words_are_those_that_only_the_prior_brings_in(images: dict[str, Any]) -> None:
    X = concept_vectors(images["regions"], images["words"])
    concepts, classes = [f"w{k}" for k in range(60)], ["a", "b", "c"]
    penalty = np.ones((3, 60), np.float32)
    penalty[0, 40] = 0.01
    make = {"link": "softmax", "nec": 2.0}
    plain = distil(X, images["T"], classes, concepts, **make)[0]
    preferred = distil(X, images["T"], classes, concepts, penalty=penalty, **make)[0]
    assert helped_words(preferred, plain, penalty) == {"a": ["w40"]}


@pytest.mark.parametrize("options", [{"words": 0}, {"name_prior": -1}, {"name_prior": 6}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must be between"):
        BuildOptions(images="photos", out="out", **options)


def test_words_outside_a_class_only_count_against_it(images: dict[str, Any]) -> None:
    X = concept_vectors(images["regions"], images["words"])
    concepts, classes = [f"w{k}" for k in range(60)], ["a", "b", "c"]
    outside = np.zeros((3, 60), bool)
    outside[0, 0] = outside[1, 0] = True  # the first word names the first class
    make: Any = {"link": "softmax", "nec": 3.0, "relax": 0.1}
    free = distil(X, images["T"], classes, concepts, **make)[0]
    bound = distil(X, images["T"], classes, concepts, outside=outside, **make)[0]
    assert free.weights[0, 0] > 0
    assert (bound.weights[outside] <= 0).all()
    assert (bound.weights[2] != 0).any()
