"""Random BERT weights and a small WordPiece tokenizer for test models.

A freshly initialised model has zero biases and unit LayerNorm scales, which
hide whole classes of errors: a bias that is never added changes nothing. Here
every parameter is drawn at random, so each one matters to the result.
"""

from __future__ import annotations

import string
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from bert_onnx import BertConfig, Weights

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = (
    "the of and to in a is that it was for on are as with his they at be this from "
    "have or by one had not but what all were when we there can an your which their "
    "said if do will each about how up out them then she many some so these would "
    "other into has more her two like him see time could no make than first been its "
    "who now people my made over did down only way find use may water long little "
    "very after words called just where most know query passage hello world cat dog "
    "river house tree bread light night morning green small river vector model"
).split()
SUFFIXES = ["##s", "##ed", "##ing", "##er", "##ly", "##est", "##ness", "##tion"]


def vocabulary() -> dict[str, int]:
    """Every ASCII word can be spelt; everything else becomes [UNK]."""
    characters = string.ascii_lowercase + string.digits
    tokens = [
        *SPECIAL_TOKENS,
        *string.punctuation,
        *characters,
        *(f"##{character}" for character in characters),
        *SUFFIXES,
        *WORDS,
    ]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def tokenizer() -> Tokenizer:
    vocab = vocabulary()
    result = Tokenizer(WordPiece(vocab, unk_token="[UNK]"))
    result.normalizer = BertNormalizer(lowercase=True)
    result.pre_tokenizer = BertPreTokenizer()
    result.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocab[token]) for token in ("[CLS]", "[SEP]")],
    )
    result.decoder = WordPieceDecoder()
    result.add_special_tokens(SPECIAL_TOKENS)
    return result


def random_weights(config: BertConfig, seed: int) -> Weights:
    rng = np.random.Generator(np.random.PCG64(seed))

    def normal(*shape: int, mean: float = 0.0, deviation: float) -> NDArray[Any]:
        return rng.normal(mean, deviation, shape).astype(np.float32)

    hidden, inner = config.hidden_size, config.intermediate_size
    weights: Weights = {}

    def linear(prefix: str, inputs: int, outputs: int) -> None:
        weights[f"{prefix}.weight"] = normal(outputs, inputs, deviation=inputs**-0.5)
        weights[f"{prefix}.bias"] = normal(outputs, deviation=0.2)

    def layer_norm(prefix: str) -> None:
        weights[f"{prefix}.weight"] = normal(hidden, mean=1.0, deviation=0.2)
        weights[f"{prefix}.bias"] = normal(hidden, deviation=0.2)

    for name, rows in (
        ("word", config.vocab_size),
        ("position", config.max_position_embeddings),
        ("token_type", config.type_vocab_size),
    ):
        weights[f"embeddings.{name}_embeddings.weight"] = normal(
            rows, hidden, deviation=0.5
        )
    layer_norm("embeddings.LayerNorm")

    for index in range(config.num_hidden_layers):
        prefix = f"encoder.layer.{index}"
        for projection in ("query", "key", "value"):
            linear(f"{prefix}.attention.self.{projection}", hidden, hidden)
        linear(f"{prefix}.attention.output.dense", hidden, hidden)
        layer_norm(f"{prefix}.attention.output.LayerNorm")
        linear(f"{prefix}.intermediate.dense", hidden, inner)
        linear(f"{prefix}.output.dense", inner, hidden)
        layer_norm(f"{prefix}.output.LayerNorm")
    return weights
