"""Writes CLIP's tokenizer.json from OpenAI's vocabulary file, byte for byte.

The model hub serves a ready tokenizer.json; the package registries carry the
vocabulary it was made from, bpe_simple_vocab_16e6.txt.gz. What this writes is
not merely equal in meaning to the hub's file (Xenova/clip-vit-base-patch32):
it is that file, and the hash below proves it on every run.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

VOCABULARY_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
TOKENIZER_SHA256 = "f7f3b7af117d467b58374797691a6438d3e6b9e9cef800dfd5dced7f697a90cd"
START, END = "<|startoftext|>", "<|endoftext|>"
SUFFIX = "</w>"
# What is left of 49,152 tokens after the bytes and the two special ones. The
# file has more merges, and a version line before them.
MERGES = 49152 - 256 - 2
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def main() -> None:
    args = parse_arguments()
    data = serialize(tokenizer_json(load_merges(args.vocabulary)))
    refuse_other(data, TOKENIZER_SHA256, "the result")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_bytes(data)
    print(f"sha256  {TOKENIZER_SHA256}")
    print(f"size    {len(data)}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--vocabulary",
        type=Path,
        required=True,
        help="bpe_simple_vocab_16e6.txt.gz",
    )
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    return parser.parse_args()


def load_merges(path: Path) -> list[str]:
    """Parses the very bytes that were hashed, never a file reread later."""
    data = path.read_bytes()
    refuse_other(data, VOCABULARY_SHA256, str(path))
    return gzip.decompress(data).decode("utf-8").split("\n")[1 : MERGES + 1]


def refuse_other(data: bytes, sha256: str, subject: str) -> None:
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        sys.exit(f"error: {subject} has sha256 {actual}, expected {sha256}")


def serialize(tokenizer: dict[str, Any]) -> bytes:
    """As the tokenizers library writes it: no newline at the end."""
    return json.dumps(tokenizer, ensure_ascii=False, indent=2).encode("utf-8")


def vocabulary(merges: list[str]) -> dict[str, int]:
    """Bytes, bytes that end a word, merges in their order, special tokens."""
    letters = byte_letters()
    tokens = [
        *letters,
        *(letter + SUFFIX for letter in letters),
        *(merge.replace(" ", "") for merge in merges),
        START,
        END,
    ]
    return {token: index for index, token in enumerate(tokens)}


def byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte, the printable bytes first."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = 256 - len(printable)
    return [chr(code) for code in [*printable, *range(256, 256 + others)]]


def tokenizer_json(merges: list[str]) -> dict[str, Any]:
    """The keys in the order, and with the defaults, of the hub's file."""
    vocab = vocabulary(merges)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            # Only the first is looked for after lower-casing.
            added_token(vocab[START], START, normalized=True),
            added_token(vocab[END], END, normalized=False),
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": rf"<\|startoftext\|>|<\|endoftext\|>|{WORDS}"},
                    "behavior": "Removed",
                    "invert": True,
                },
                byte_level(add_prefix_space=False),
            ],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [END, vocab[END]],
            "cls": [START, vocab[START]],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": byte_level(add_prefix_space=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": END,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": SUFFIX,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocab,
            "merges": merges,
        },
    }


def added_token(index: int, content: str, normalized: bool) -> dict[str, Any]:
    return {
        "id": index,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": normalized,
        "special": True,
    }


def byte_level(add_prefix_space: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": True,
        "use_regex": True,
    }


if __name__ == "__main__":
    main()
