"""Students: predictions, immutability and files."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inficond.core.errors import InputError
from inficond.core.students import Students, contributions, safetensors_io
from inficond.core.students.student import probabilities

CLASSES, CONCEPTS = ("boat", "bird"), ("water", "wing", "tree")


def make(link: str = "sigmoid", seed: int = 0, **changes) -> Students:
    rng = np.random.default_rng(seed)
    values = {
        "classes": CLASSES,
        "concepts": CONCEPTS,
        "weights": rng.normal(size=(2, 3)),
        "bias": rng.normal(size=2),
        "mean": rng.uniform(0.1, 0.3, 3),
        "scale": rng.uniform(0.02, 0.06, 3),
        "link": link,
    }
    return Students(**(values | changes))


def test_logits_follow_the_definition() -> None:
    s = make()
    X = np.random.default_rng(1).uniform(0, 0.4, (50, 3)).astype(np.float32)
    Z = (X.astype(np.float64) - s.mean) / s.scale
    np.testing.assert_allclose(s.logits(X), Z @ s.weights.T.astype(np.float64) + s.bias, atol=1e-4)
    np.testing.assert_allclose(s.logits(X, 1), s.logits(X)[:, 1], atol=1e-5)
    np.testing.assert_allclose(s.predict(X), 1 / (1 + np.exp(-s.logits(X).astype(np.float64))), atol=1e-6)


def test_softmax_rows_sum_to_one() -> None:
    X = np.random.default_rng(1).uniform(0, 0.4, (50, 3))
    np.testing.assert_allclose(make("softmax").predict(X).sum(axis=1), 1, atol=1e-6)


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=2, max_size=6))
@settings(deadline=None)
def test_probabilities_never_overflow(logits: list[float]) -> None:
    with np.errstate(over="raise", invalid="raise"):
        for link in ("sigmoid", "softmax"):
            p = probabilities(np.array([logits], np.float32), link)
            assert ((p >= 0) & (p <= 1)).all()


def test_students_are_immutable() -> None:
    W = np.ones((2, 3), np.float32)
    s = make(weights=W)
    W[0, 0] = 7
    assert s.weights[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        s.weights[0, 0] = 2
    with pytest.raises(AttributeError):
        s.link = "softmax"  # type: ignore[misc]


def test_top_is_by_absolute_weight() -> None:
    s = make(weights=[[0.5, -2, 0], [0, 0, 0]])
    np.testing.assert_array_equal(s.top(0, 5), [1, 0])
    assert len(s.top(1, 5)) == 0


def test_errors_about_unknown_names_list_similar_names() -> None:
    s = make()
    assert s.class_index("bird") == 1
    assert s.concept_index("tree") == 2
    with pytest.raises(InputError, match="boat"):
        s.class_index("boot")
    with pytest.raises(InputError, match="water"):
        s.concept_index("watr")


def test_contributions_sum_to_the_logit() -> None:
    s = make(weights=[[0.5, -2, 0], [0, 0, 0]])
    x = np.array([0.3, 0.1, 0.2], np.float32)
    found = contributions(s, 0, x)
    assert len(found.columns) == 2
    assert (np.diff(np.abs(found.values)) <= 0).all()
    assert found.logit == pytest.approx(float(s.logits(x[None], 0)[0]), abs=1e-4)
    assert found.bias + found.values.sum() == pytest.approx(found.logit, abs=1e-5)
    assert len(contributions(s, 1, x).columns) == 0
    with pytest.raises(InputError, match="3 values"):
        contributions(s, 0, [1.0])


BAD = {
    "weights of another shape": {"weights": np.zeros((3, 2))},
    "NaN": {"bias": [0, np.nan]},
    "infinite": {"mean": [0, np.inf, 0]},
    "scale of zero": {"scale": [1, 0, 1]},
    "a class twice": {"classes": ["boat", "boat"]},
    "a concept without letters": {"concepts": ["water", " ", "tree"]},
    "a name with a control character": {"concepts": ["water", "a\x1b[2J", "tree"]},
    "names that are not a list": {"classes": "ab"},
    "unknown link": {"link": "probit"},
    "negative λ": {"lam": -1},
    "embeddings of another length": {"embeddings": np.ones((2, 4))},
}


@pytest.mark.parametrize("name", list(BAD))
def test_inconsistent_fields_are_rejected(name: str) -> None:
    with pytest.raises(InputError):
        make(**BAD[name])


def test_vectors_of_another_corpus_are_rejected() -> None:
    with pytest.raises(InputError, match="3 concepts"):
        make().predict(np.zeros((4, 5)))


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_saved_students_are_loaded_bit_for_bit(tmp_path: Path, link: str) -> None:
    s = make(link, encoder="embedded", thresholds=[0.3, 0.6], lam=1e-3, embeddings=np.eye(3, 5))
    s.save(tmp_path / "a.safetensors")
    back = Students.load(tmp_path / "a.safetensors")
    for name in ("weights", "bias", "mean", "scale", "thresholds", "embeddings"):
        assert getattr(back, name).tobytes() == getattr(s, name).tobytes()
    for name in ("classes", "concepts", "link", "lam", "encoder"):
        assert getattr(back, name) == getattr(s, name)
    back.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def saved_with(tmp_path: Path, drop: str = "", **metadata: str) -> Path:
    """Write a valid file with some of its contents replaced."""
    make().save(tmp_path / "good.safetensors")
    tensors, stored = safetensors_io.read(tmp_path / "good.safetensors")
    tensors.pop(drop, None)
    stored = {k: v for k, v in (stored | metadata).items() if k not in (drop, safetensors_io.CHECKSUM)}
    safetensors_io.write(tmp_path / "bad.safetensors", tensors, stored)
    return tmp_path / "bad.safetensors"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "llama"}, "not a file of students"),
        ({"format_version": "2"}, "version"),
        ({"drop": "weights"}, "weights"),
        ({"drop": "concepts"}, "concepts"),
        ({"classes": "[1, 2]"}, "class"),
        ({"classes": "[" * 5000}, "cannot be used"),
        ({"classes": '{"a": 1}'}, "class"),
        ({"concepts": json.dumps(["a", "b"])}, "shape"),
        ({"lam": "much"}, "much"),
        ({"lam": "nan"}, "λ"),
        ({"link": "exec"}, "link"),
    ],
)
def test_files_with_inconsistent_contents_are_rejected(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        Students.load(saved_with(tmp_path, **changes))
    assert "\n" not in str(error.value)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    file = tmp_path / "student.safetensors"
    file.write_bytes(b"\x80\x04\x95" + b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    with pytest.raises(InputError, match="safetensors"):
        Students.load(file)


def test_reading_and_predicting_do_not_import_numba(tmp_path: Path) -> None:
    s = make()
    s.save(tmp_path / "s.safetensors")
    X = np.random.default_rng(3).uniform(0, 0.4, (5, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    code = (
        "import sys, numpy as np\n"
        "from inficond.core.students import Students\n"
        f"s = Students.load({str(tmp_path / 's.safetensors')!r})\n"
        f"np.save({str(tmp_path / 'p.npy')!r}, s.predict(np.load({str(tmp_path / 'x.npy')!r})))\n"
        "assert not {'numba', 'onnxruntime', 'pyarrow', 'gradio'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), s.predict(X))


def test_predict_regions_equals_predict_on_concept_vectors() -> None:
    from inficond.core.concepts import concept_vectors

    rng = np.random.default_rng(0)
    words = rng.normal(size=(3, 8)).astype(np.float32)
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    regions = rng.normal(size=(6, 4, 8))
    regions = (regions / np.linalg.norm(regions, axis=2, keepdims=True)).astype(np.float16)
    s = make(embeddings=words, encoder="toy")
    np.testing.assert_array_equal(s.predict_regions(regions), s.predict(concept_vectors(regions, words)))
    with pytest.raises(InputError, match="toy"):
        s.predict_regions(regions[:, :, :5])
    with pytest.raises(InputError, match="no word embeddings"):
        replace(s, embeddings=None).predict_regions(regions)


def test_functions_with_the_name_of_their_module_are_importable() -> None:
    code = (
        "import inficond.core.evaluation.subsets, inficond.core.students.distil\n"
        "import inficond.core.students.contributions\n"
        "import inficond.core.students as s, inficond.core.evaluation as e\n"
        "assert all(callable(f) for f in (e.subsets, s.distil, s.contributions))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
