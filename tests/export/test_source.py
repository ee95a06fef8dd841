"""Where models come from: folders and the hub; never a pickle, but the hub's own conversions of one."""

from types import SimpleNamespace

import pytest

from inficond.core.errors import InputError

pytest.importorskip("torch")
huggingface_hub = pytest.importorskip("huggingface_hub")

from inficond.export.source import find_source  # noqa: E402


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub whose `main` has a pickle only; `offers` are its pull requests."""
    asked = []

    def snapshot_download(spec, revision=None, allow_patterns=()):
        asked.append(revision)
        assert not any("bin" in pattern for pattern in allow_patterns), "a pickle is not even fetched"
        folder = tmp_path / "snapshots" / (revision or "0123abcd").replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text('{"model_type": "clip"}')
        if revision is not None:
            (folder / "model.safetensors").write_bytes(b"")
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


def test_the_hubs_own_conversion_is_used_where_main_has_a_pickle_only(hub):
    hub.offers += [offer(3, author="stranger"), offer(4, status="closed"), offer(7)]
    source = find_source("owner/name")
    assert hub.asked == [None, "refs/pr/7"]
    assert source.folder.name == "refs-pr-7"
    assert source.describe()["source"].startswith("https://huggingface.co/owner/name@")


def test_a_strangers_conversion_is_not(hub):
    hub.offers.append(offer(3, author="stranger"))
    with pytest.raises(InputError, match=r"no \*\.safetensors"):
        find_source("owner/name")
    assert hub.asked == [None]


def test_a_revision_that_was_named_is_the_one_that_is_used(hub):
    assert find_source("owner/name", "v2").folder.name == "v2"
    assert hub.asked == ["v2"]


def test_the_licence_is_read_from_the_readme(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    for text, licence in (("---\nlicense: apache-2.0\n---\n", "apache-2.0"), ("no front matter", None)):
        (tmp_path / "README.md").write_text(text)
        assert find_source(str(tmp_path)).licence == licence
