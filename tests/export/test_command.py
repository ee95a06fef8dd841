"""Command `inficond export`: output, exit codes and error messages."""

import json
import sys

import pytest

pytest.importorskip("torch")

from inficond.core.cli.main import main


def test_an_encoder_with_json(tiny_encoder, tmp_path, capsys):
    argv = ["export", "encoder", str(tiny_encoder("siglip")), "--out", str(tmp_path / "x"), "--json"]
    assert main([*argv, "--size", "32", "--size", "40"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [f["folder"] for f in said["folders"]] == [str(tmp_path / "x" / "32"), str(tmp_path / "x" / "40")]
    assert max(said["folders"][0]["verification"]["max_error"].values()) < 1e-4


def test_a_teacher_as_text(tiny_classifier, tmp_path, capsys):
    assert main(["export", "teacher", str(tiny_classifier("resnet")), "--out", str(tmp_path / "x")]) == 0
    out = capsys.readouterr().out
    assert "32×32 pixels" in out
    assert "verified against torch" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["encoder", "{tmp}/nothing/here"], "not a Hugging Face id"),
        (["encoder", "{tmp}"], "no config.json"),
        (["encoder", "{file}"], "is a file"),
        (["teacher", "./nowhere"], "not a Hugging Face id"),
        (["encoder", "{clip}", "--size", "7"], "--size is 7"),
        (["encoder", "{clip}", "--templates", "{tmp}/none.txt"], "cannot read the templates"),
        (["encoder", "{clip}", "--templates", "{file}"], "must contain {} once"),
        (["encoder", "{vit}"], "not an image-text encoder"),
        (["encoder", "radio-b"], "transformers includes the image tower of C-RADIO only"),
        (["encoder", "{clip}", "--precision", "int8"], "--images"),
        (["student", "{tmp}"], "no project"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tiny_encoder, tiny_classifier, tmp_path, capsys, argv, message
):
    file = tmp_path / "file.txt"
    file.write_text("a photo of something\n")
    places = {
        "{tmp}": tmp_path,
        "{file}": file,
        "{clip}": tiny_encoder("clip"),
        "{vit}": tiny_classifier("vit"),
    }
    for name, place in places.items():
        argv = [a.replace(name, str(place)) for a in argv]
    out = tmp_path / "out"
    capsys.readouterr()
    assert main(["export", *argv, "--out", str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if line.startswith("inficond export:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in captured.err
    assert not out.exists()


def test_an_unknown_model_id_without_a_network(tmp_path, capsys, monkeypatch):
    import httpx
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    answer = httpx.Response(404, request=httpx.Request("GET", "https://example.org"))

    def unreachable(*args, **kwargs):
        raise LocalEntryNotFoundError("no network")

    def unknown(*args, **kwargs):
        raise RepositoryNotFoundError("404", response=answer)

    for fault, message in ((unreachable, "cannot be reached"), (unknown, "has no model 'no/such'")):
        monkeypatch.setattr(huggingface_hub, "snapshot_download", fault)
        assert main(["export", "encoder", "no/such", "--out", str(tmp_path / "x")]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "x").exists()


def test_open_clip_that_is_not_installed_is_named_with_its_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)  # an import of it fails
    assert main(["export", "encoder", "open_clip:ViT-B-16/openai", "--out", str(tmp_path / "x")]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "pip install 'inficond[open-clip]'" in message


def test_a_folder_of_c_radio_is_refused_because_it_reads_no_words(tmp_path, capsys):
    import torch
    import transformers

    if not hasattr(transformers, "RadioModel"):
        pytest.skip("needs transformers 5.24 or newer")
    torch.manual_seed(0)
    config = transformers.RadioConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, max_img_size=32
    )
    transformers.RadioModel(config).save_pretrained(tmp_path / "radio")
    capsys.readouterr()
    assert main(["export", "encoder", str(tmp_path / "radio"), "--out", str(tmp_path / "x")]) == 2
    message = capsys.readouterr().err
    assert "includes the image tower only" in message
    assert message.splitlines()[-1].startswith("inficond export: radio is a C-RADIO model")
