"""Array types that `fit` converts, and array types that it rejects by name."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inficond.core.solver import fit

from .test_properties import many

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 8)).astype(np.float32)
T = 1 / (1 + np.exp(-2 * X[:, :2].astype(np.float64)))
expected = fit(X, T)


def check_same(found, atol=1e-6):
    assert found.weights == pytest.approx(expected.weights, abs=atol)
    assert found.bias == pytest.approx(expected.bias, abs=atol)


@many(60)
@given(
    dtype=st.sampled_from(["<f4", ">f4", "<f8", ">f8", "g", "f2"]),
    order=st.sampled_from("CF"),
    writeable=st.booleans(),
    reverse=st.booleans(),
    argument=st.sampled_from("XT"),
)
def test_layouts_and_dtypes_give_the_same_fit(dtype, order, writeable, reverse, argument):
    arrays = {"X": X, "T": T}
    array = np.array(arrays[argument], dtype, order=order)
    if reverse:
        array = np.array(array[::-1], order=order)[::-1]
    array.flags.writeable = writeable
    arrays[argument] = array
    check_same(fit(**arrays), atol=1e-6 if dtype != "f2" else 5e-3)
    assert array.flags.writeable == writeable


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", ">i4", "i8", "u8", "?"])
def test_integers_and_booleans_are_numbers(dtype):
    whole = (rng.random((100, 4)) < 0.4).astype(dtype)
    t = (rng.random((100, 1)) < 0.3).astype(dtype)
    assert np.array_equal(fit(whole, t).weights, fit(whole.astype(float), t.astype(float)).weights)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("argument", ["X", "T", "sample_weight", "lower"])
def test_torch_tensors_are_converted(dtype, argument):
    torch = pytest.importorskip("torch")
    values = {"X": X, "T": T, "sample_weight": np.ones(200), "lower": np.full((2, 8), -np.inf)}
    arguments = {"X": X, "T": T}
    arguments[argument] = torch.tensor(values[argument]).to(getattr(torch, dtype)).requires_grad_()
    check_same(fit(**arguments), atol={"float16": 5e-3, "bfloat16": 5e-2}.get(dtype, 1e-6))


def test_probabilities_of_a_16_bit_softmax_are_accepted():
    torch = pytest.importorskip("torch")
    logits = torch.tensor(rng.normal(size=(500, 30)) * 3).bfloat16()
    rows = rng.standard_normal((500, 5))
    r = fit(rows, torch.softmax(logits, 1), 0.05, "softmax")
    assert r.converged.all()
    grouped = (torch.softmax(logits, 1)[:, :29].sum(1, keepdim=True)).half()
    assert fit(rows, grouped).converged.all()


def test_pandas_frames_are_converted():
    pd = pytest.importorskip("pandas")
    names = [f"c{k}" for k in range(8)]
    for frame in (
        pd.DataFrame(X, columns=names),
        pd.DataFrame(X, columns=names).astype("Float32"),
        pd.DataFrame(X, columns=names, index=np.arange(200)[::-1]),
        pd.DataFrame({name: X[:, k].astype(float if k % 2 else "f4") for k, name in enumerate(names)}),
    ):
        check_same(fit(frame, pd.DataFrame(T)))
    flags = pd.DataFrame({"a": X[:, 0], "b": X[:, 1] > 0})
    assert fit(flags, T).weights == pytest.approx(fit(flags.to_numpy(float), T).weights)
    frame = pd.DataFrame(X, columns=names).astype("Float64")
    frame.loc[3, "c0"] = pd.NA
    with pytest.raises(ValueError, match=r"X must be finite: X\[3, 0\] is nan"):
        fit(frame, T)


def test_lists_are_converted():
    check_same(fit(X.tolist(), T.tolist()))


def sparse(value):
    return pytest.importorskip("scipy.sparse").csr_matrix(value)


def sparse_array(value):
    return pytest.importorskip("scipy.sparse").coo_array(value)


def sparse_tensor(value):
    return pytest.importorskip("torch").tensor(value).to_sparse()


def complex_tensor(value):
    return pytest.importorskip("torch").tensor(value) * 1j


def categories(value):
    pd = pytest.importorskip("pandas")
    return pd.DataFrame({"size": pd.Categorical(["small"] * len(value)), "n": 1.0})


def masked(value):
    return np.ma.masked_array(value, np.eye(len(value), value.shape[1]) > 0)


def records(value):
    return np.zeros(len(value), [("a", "f4"), ("b", "f4")])[:, None]


@pytest.mark.parametrize("argument", ["X", "T"])
@pytest.mark.parametrize(
    ("convert", "words"),
    [
        (sparse, ("sparse", "toarray")),
        (sparse_array, ("sparse", "toarray")),
        (sparse_tensor, ("sparse", "to_dense")),
        (complex_tensor, ("complex", "real numbers")),
        (categories, ("'size'", "category")),
        (masked, ("masked", "filled")),
        (records, ("real numbers",)),
        (lambda v: v.astype(object), ("object", "astype(float)")),
        (lambda v: v.astype(str), ("real numbers",)),
        (lambda v: np.full(v.shape, "2020-01-01", "M8[D]"), ("datetime64", "real numbers")),
        (lambda v: [[1.0, 2.0], [3.0]], ("array of real numbers",)),
        (lambda v: None, ("object",)),
        (lambda v: iter(v), ("object",)),
        (lambda v: v[:, 0], ("1 dimensions", "[:, None]")),
        (lambda v: v[None], ("3 dimensions",)),
    ],
)
def test_other_types_are_rejected_by_name(argument, convert, words):
    arrays = {"X": X, "T": T}
    arrays[argument] = convert(arrays[argument].astype(np.float32))
    with pytest.raises(ValueError) as caught:
        fit(**arrays)
    message = str(caught.value)
    assert message.startswith(f"{argument} must")
    assert "\n" not in message
    assert all(word in message for word in words), message


def _fit_in_child(queue, rows, targets) -> None:
    queue.put(fit(rows, targets, n_threads=2).weights)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("two_blas_threads")
def test_a_forked_child_fits_after_a_threaded_fit_of_its_parent():
    rows = np.random.default_rng(1).random((3000, 60)).astype(np.float32)
    targets = (rows[:, :3] > 0.8).astype(np.float32)
    parent = fit(rows, targets, n_threads=2)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_fit_in_child, args=(queue, rows, targets))
    child.start()
    child.join(120)
    alive = child.is_alive()
    if alive:
        child.kill()
    assert not alive, "the child waits for threads of its parent"
    assert np.array_equal(queue.get(), parent.weights)


def test_a_read_only_memory_map_of_a_slice(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.repeat(X, 2, 1))
    check_same(fit(np.load(tmp_path / "x.npy", mmap_mode="r")[:, ::2], T))


def test_a_large_offset_in_float64_changes_nothing():
    wide = X.astype(np.float64)
    check_same(fit(wide + 1e6, T), atol=1e-4)


def test_large_integers_keep_their_last_digits():
    whole = np.repeat(17_000_000_000 + np.arange(60_000)[:, None] % 50, 6, 1) + np.arange(6)
    yes = (whole[:, :1] % 50 > 25).astype(float)
    for dtype in (np.int64, np.uint64):
        found = fit(whole.astype(dtype), yes, 0.001)
        assert np.array_equal(found.weights, fit(whole.astype(float), yes, 0.001).weights)
        assert found.nec.sum() > 0


def test_tensors_of_other_layouts_are_converted_or_refused():
    torch = pytest.importorskip("torch")
    check_same(fit(torch._neg_view(torch.tensor(-X)), T))
    check_same(fit(torch.tensor(X).to_mkldnn(), T))
    check_same(fit(X, T, torch.tensor(2.5e-3, requires_grad=True)))
    with pytest.warns(UserWarning, match="nested"):
        ragged = torch.nested.nested_tensor([torch.ones(3), torch.ones(2)])
    with pytest.raises(ValueError, match="^X must be an array of real numbers: the tensor of layout"):
        fit(ragged, T)


def test_embeddings_in_one_column_name_the_way_out():
    pd = pytest.importorskip("pandas")
    column = pd.Series(list(X))
    for embeddings in (column, column.to_frame(), column.to_numpy()):
        with pytest.raises(ValueError, match="sequence in each entry; use np.stack"):
            fit(embeddings, T)
    check_same(fit(np.stack(column.tolist()), T))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (T[:, 0], r"T\[:, None\]"),
        (T[:, 0].tolist(), r"np.reshape\(T, \(-1, 1\)\)"),
        (np.sign(X[:, :1]), "T > 0 for labels -1 and 1"),
        (100 * T, "T / 100 for percentages"),
        (np.arange(200)[:, None] % 3, r"np.eye\(C\)\[T"),
        (np.arange(200) % 3, r"use np.eye\(3\)\[T\] for the numbers of classes"),
        ((np.arange(200) % 2).tolist(), r"np.reshape\(T, \(-1, 1\)\) for one column"),
    ],
)
def test_targets_of_other_forms_name_the_conversion(value, words):
    with pytest.raises(ValueError, match=words):
        fit(X, value)


def test_a_series_names_its_own_conversion():
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"use T.to_frame\(\) for one column"):
        fit(X, pd.Series(T[:, 0]))
    assert fit(X, pd.Series(T[:, 0]).to_frame()).converged.all()


def test_a_tensor_without_values_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="X must hold values: the tensor on device meta has none"):
        fit(torch.empty(200, 8, device="meta"), T)
