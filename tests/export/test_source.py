"""Model folders and the hub: pickles are refused, the hub's own conversions of pickles are used."""

from types import SimpleNamespace

import pytest

from inficond.core.errors import InputError

torch = pytest.importorskip("torch")
huggingface_hub = pytest.importorskip("huggingface_hub")

from safetensors.torch import save  # noqa: E402

from inficond.export.source import find_source  # noqa: E402

WEIGHTS = save({"weight": torch.zeros(3)})


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub whose `main` has only a pickle; `offers` are its pull requests."""
    asked = []

    def snapshot_download(spec, revision=None, allow_patterns=()):
        asked.append(revision)
        assert not any("bin" in pattern for pattern in allow_patterns), "no pickle is downloaded"
        folder = tmp_path / "snapshots" / (revision or "0123abcd").replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text('{"model_type": "clip"}')
        if revision is not None:
            (folder / "model.safetensors").write_bytes(WEIGHTS)
        return str(folder)

    offers = []

    class Api:
        def get_repo_discussions(self, spec, author, discussion_type):
            return iter(offers)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return SimpleNamespace(asked=asked, offers=offers)


def offer(number, author="SFconvertbot", status="open", title="Adding `safetensors` variant of this model"):
    return SimpleNamespace(num=number, author=author, status=status, title=title)


def test_the_hubs_conversion_is_used_where_main_has_only_a_pickle(hub):
    hub.offers += [offer(3, author="stranger"), offer(4, status="closed"), offer(7)]
    source = find_source("owner/name")
    assert hub.asked == [None, "refs/pr/7"]
    assert source.folder.name == "refs-pr-7"
    assert source.describe()["source"].startswith("https://huggingface.co/owner/name@")


def test_a_conversion_by_another_account_is_not_used(hub):
    hub.offers.append(offer(3, author="stranger"))
    with pytest.raises(InputError, match="model.safetensors is missing"):
        find_source("owner/name")
    assert hub.asked == [None]


def test_the_named_revision_is_used(hub):
    assert find_source("owner/name", "v2").folder.name == "v2"
    assert hub.asked == ["v2"]


def test_the_licence_is_read_from_the_readme(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    for text, licence in (("---\nlicense: apache-2.0\n---\n", "apache-2.0"), ("no front matter", None)):
        (tmp_path / "README.md").write_text(text)
        assert find_source(str(tmp_path)).licence == licence


def damaged_folder(folder, files):
    """A folder with a valid config.json, and these files (None: no such file)."""
    for name, content in ({"config.json": b"{}", "model.safetensors": WEIGHTS} | files).items():
        if content is not None:
            (folder / name).write_bytes(content)
    return str(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": b'{"model_type": '}, "config.json is not valid JSON"),
        ({"config.json": b"[]"}, "config.json does not hold a JSON object"),
        ({"config.json": None}, "no config.json"),
        (
            {"config.json": None, "adapter_config.json": b"{}"},
            "holds an adapter.*merge it into its base model",
        ),
        ({"config.json": None, "net.onnx": b"x"}, "write a manifest.json beside it"),
        ({"model.safetensors": WEIGHTS[:-4]}, "damaged or incomplete.*download the model again"),
        ({"model.safetensors": b""}, "does not hold weights: the file is empty; download"),
        ({"model.safetensors": b"<!doctype html><html>"}, "does not hold weights: it is a web page"),
        ({"config.json": b"<html>"}, "config.json is not valid JSON.*it is a web page"),
        ({"config.json": b""}, "config.json is not valid JSON.*the file is empty"),
        ({"config.json": b"version https://git-lfs.github.com/spec"}, "pointer of Git LFS.*git lfs pull"),
        (
            {"model.safetensors": b"version https://git-lfs.github.com/spec"},
            "pointer of Git LFS.*git lfs pull",
        ),
        ({"model.safetensors": b"PK\x03\x04rest of an archive"}, "pickle under another name"),
        ({"model.safetensors": None}, "no weights"),
        ({"model.safetensors": None, "pytorch_model.bin": b"x"}, "only as pytorch_model.bin, a pickle"),
        ({"model.safetensors": None, "tf_model.h5": b"x"}, "only weights of TensorFlow"),
        (
            {
                "model.safetensors": None,
                "model-00001-of-00002.safetensors": WEIGHTS,
                "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00002.safetensors", '
                b'"b": "model-00002-of-00002.safetensors"}}',
            },
            "lacks 1 of the 2 files of its weights, model-00002-of-00002.safetensors",
        ),
        (
            {
                "model.safetensors": None,
                "model-1.safetensors": WEIGHTS,
                "model.safetensors.index.json": b"{}",
            },
            "index.json is damaged",
        ),
    ],
)
def test_damaged_folders_name_the_file_and_the_remedy(tmp_path, files, message):
    with pytest.raises(InputError, match=message) as refused:
        find_source(damaged_folder(tmp_path, files))
    assert "\n" not in str(refused.value)


def test_a_byte_order_mark_before_config_json_is_ignored(tmp_path):
    source = find_source(damaged_folder(tmp_path, {"config.json": b'\xef\xbb\xbf{"model_type": "vit"}'}))
    assert source.config == {"model_type": "vit"}


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("x.keras", "teacher", "inficond distill --teacher"),
        ("x.pth", "teacher", "torchvision/NAME --checkpoint x.pth"),
        ("x.keras", "encoder", "a model of Keras, which is not loaded; export the model to ONNX"),
        ("x.jpg", "encoder", "the folder of a transformers model"),
    ],
)
def test_a_file_in_place_of_a_folder_names_the_way_out(tmp_path, name, kind, message):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=f"is a file, not a model folder: .*{message}"):
        find_source(str(tmp_path / name), kind=kind)
