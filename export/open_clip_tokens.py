"""Tokenizer of a model of open_clip as one `tokenizer.json`."""

from collections.abc import Iterator, Sequence
from typing import Any

from inficond.core.errors import InputError
from inficond.export.text import PROBES, TokenizerFile

_WORDS = r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_PUNCTUATION = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""


class OpenClipTokens(TokenizerFile):
    """Tokenizer of a model of open_clip; every text is padded to one length.

    Parameters
    ----------
    name : str
        Of the model, for messages.
    original : object
        What `open_clip.get_tokenizer` returns.
    templates : sequence of str
        Texts on which the two are compared.

    Raises
    ------
    InputError
        It cannot be written with the same ids.
    """

    fixed = True

    def __init__(self, name: str, original: Any, templates: Sequence[str]) -> None:
        self.max_length = int(original.context_length)
        texts = [t.format(w) for t in templates for w in PROBES]
        texts.append(" ".join(texts))  # longer than any text tower reads
        want = original(texts).tolist()
        for tokenizer in _candidates(original, self.max_length):
            if [e.ids for e in tokenizer.encode_batch(texts)] == want:
                self._tokenizer = tokenizer
                return
        raise InputError(
            f"the tokenizer of {name} ({type(original).__name__}) cannot be written as tokenizer.json with "
            "the same ids"
        )


def _candidates(original: Any, length: int) -> Iterator[Any]:
    """Yield tokenizers that may give the same ids."""
    from tokenizers import Regex, Tokenizer, normalizers

    inner = getattr(original, "tokenizer", None)
    if inner is None:
        yield _byte_pairs(original, length)
        return
    pad = inner.pad_token_id or 0
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    canonical = [normalizers.Replace(Regex(_PUNCTUATION), ""), spaces, normalizers.Lowercase()]
    for before in ([], [spaces], [*canonical, normalizers.Strip()]):
        tokenizer = Tokenizer.from_str(inner.backend_tokenizer.to_str())
        kept = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([*before, *kept])
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(
            direction=inner.padding_side,
            pad_id=pad,
            pad_token=inner.convert_ids_to_tokens(pad),
            length=length,
        )
        yield tokenizer


def _byte_pairs(original: Any, length: int) -> Any:
    """Return CLIP's own byte-pair tokenizer; texts are padded with 0, as open_clip does."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    ranks = sorted(original.bpe_ranks, key=original.bpe_ranks.__getitem__)
    tokenizer = Tokenizer(
        models.BPE(vocab=dict(original.encoder), merges=ranks, end_of_word_suffix="</w>", fuse_unk=False)
    )
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    start, end = (original.decoder[i] for i in (original.sot_token_id, original.eot_token_id))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=[(start, original.sot_token_id), (end, original.eot_token_id)],
    )
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(pad_id=0, pad_token=original.decoder[0], length=length)
    return tokenizer
