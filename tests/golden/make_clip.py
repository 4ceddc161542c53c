"""Records which ids CLIP's tokenizer gives, by references that are not ours.

The Rust tests compare with clip-tokens.json and so need none of these. `--check`
holds tokenizer.json to it and needs the `tokenizers` package alone. Writing it
anew takes a venv with what models/tools/requirements.txt does not have:

    pip install transformers==5.23.0 ftfy==6.3.1 regex==2026.11.15
    pip download --no-deps --no-binary :all: openai-clip==1.0.1    (and unpack it)
    make_clip.py --vocabulary CLIP/clip/bpe_simple_vocab_16e6.txt.gz \\
        --tokenizer tokenizer.json --openai CLIP/clip

`ids` are transformers' (its CLIPTokenizer, made from vocabulary and merges, not
from tokenizer.json), cut to 77. Two others are told apart where they differ:

* `tokenizer_json_ids`: tokenizer.json itself, also when transformers loads it. It
  looks for <|startoftext|> after lower-casing, so <|STARTOFTEXT|> is one as well.
* `openai_differs`: OpenAI's own tokenizer, with the step that makes the
  difference. It repairs mojibake, maps compatibility forms and curly quotes and
  drops control characters (ftfy), then unescapes HTML; transformers does not.

The texts are those of texts.json and the ones below. All is stored as ASCII so
that invisible characters show.
"""

from __future__ import annotations

import argparse
import html
import importlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tokenizers

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parent.parent / "models" / "tools"
TOKENS = HERE / "clip-tokens.json"
MAX_TOKENS = 77

Entry = dict[str, Any]

TEXTS = [
    ("clip-caption", "a photo of a cat"),
    ("clip-caption-article", "A photo of an orange tabby cat, asleep on a windowsill."),
    ("contractions", "it's we're I've I'm they'll he'd don't can't o'clock 'tis"),
    ("contractions-upper", "IT'S WE'RE I'VE I'M THEY'LL HE'D DON'T"),
    ("contractions-curly", "it\u2019s we\u2019re I\u2019ve don\u2019t"),
    ("contractions-alone", "'s 't 're 've 'm 'll 'd"),
    ("contractions-glued", "dogs'toys 'sss 'llama"),
    ("apostrophes", "rock 'n' roll '''quoted''' d''d"),
    ("digits-split", "2026 007 3.14 1st 22nd a1b2c3"),
    (
        "digits-other",
        "\u0663\u0664\u0665 \u0967\u0968\u0969 \u2167 "
        "\u00bd \u00b2 \u2460 \uff11\uff12",
    ),
    ("turkish-upper-i", "\u0130STANBUL ISPARTA \u0131\u011fd\u0131r"),
    ("turkish-i-decomposed", "I\u0307stanbul i\u0307zmir"),
    ("german-sharp-s", "STRASSE Stra\u00dfe STRA\u1e9eE gro\u00df"),
    (
        "greek-final-sigma",
        "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3 \u03a3\u0391\u03a3 \u03a3",
    ),
    ("greek-accents-upper", "\u0386\u0395\u0399 \u038f\u03a1\u0391"),
    ("titlecase-digraph", "\u01c5ungla \u01c7ubav \u01ca"),
    ("georgian-upper", "\u1c90\u1c91\u1c92 \u10d0\u10d1\u10d2"),
    ("deseret-upper", "\U00010400\U00010428"),
    ("accents-nfc", "\u00c5 \u00e9 \u1e69 \ud55c\uae00"),
    (
        "accents-nfd",
        "A\u030a e\u0301 s\u0323\u0307 \u1112\u1161\u11ab\u1100\u1173\u11af",
    ),
    ("accents-unordered", "s\u0307\u0323 q\u0307\u0323"),
    ("nfc-excluded", "\u0958 \u2126 \u212a \u212b \u0340"),
    ("nfkc-only", "\ufb03 \u33a5 \u2122 \u00aa"),
    ("combining-first", "\u0301abc \u0301 a\u0301\u0301"),
    ("combining-after-digit", "1\u0301 !\u0301"),
    ("indic-marks", "\u0915\u094d\u0937\u093f \u0ba8\u0bbf"),
    ("space-nbsp", "a\u00a0b\u00a0\u00a0c"),
    ("space-ideographic", "\u3000a\u3000b\u3000"),
    ("space-tabs-newlines", "\ta\n\nb\r\nc\u000bd\u000ce\t"),
    ("space-unicode", "a\u1680b\u2000c\u2009d\u202fe\u205ff"),
    ("space-lines", "a\u0085b\u2028c\u2029d"),
    ("space-separators-control", "a\u001cb\u001dc\u001ed\u001fe"),
    ("space-zero-width", "a\u200bb\u200cc\u200dd\ufeffe\u180ef\u2060g"),
    ("space-between-punctuation", "a . b , c ! ? ! ? -- - -"),
    ("special-end", "<|endoftext|>"),
    ("special-start", "<|startoftext|>"),
    ("special-both", "<|startoftext|>a cat<|endoftext|>"),
    ("special-inside", "a <|endoftext|> b"),
    ("special-glued", "a<|endoftext|>b<|startoftext|>c"),
    ("special-upper-end", "<|ENDOFTEXT|>"),
    ("special-upper-start", "a <|STARTOFTEXT|> b"),
    ("special-broken", "<|endoftext| > <endoftext> |endoftext|"),
    ("special-many", "<|endoftext|>" * 80),
    ("suffix-literal", "a</w> </w> b</w>c"),
    ("exclamation-is-pad", "!"),
    ("exclamations", "! !! !!! !!!! hello!!!"),
    ("punctuation-runs", "...---... ???!!! ((())) [[]] {{}} <<>> ==> <= -> ~~"),
    ("punctuation-glued", "wait...what?!no,yes;maybe:so"),
    ("underscores", "snake_case __init__ _ a_b_c"),
    ("hashtags-mentions", "#throwbackthursday @someone r/aww"),
    ("emoji-basic", "\U0001f600\U0001f602\U0001f60d \u2764\ufe0f"),
    ("emoji-zwj-heart", "\U0001f469\u200d\u2764\ufe0f\u200d\U0001f48b\u200d\U0001f468"),
    ("emoji-in-word", "cat\U0001f431cat"),
    ("html-named", "&lt;b&gt;bold&lt;/b&gt; &amp; &quot;x&quot; &copy; &eacute;"),
    ("html-numeric", "&#169; &#x1F600; &#39;s"),
    ("html-twice", "&amp;amp; &amp;lt;p&amp;gt;"),
    ("html-without-semicolon", "AT&T R&D &amp &lt3"),
    ("html-nbsp", "a&nbsp;b"),
    (
        "mojibake-utf8",
        "sch\u00c3\u00b6n \u00e2\u20ac\u0153quoted\u00e2\u20ac\u009d "
        "it\u00e2\u20ac\u2122s",
    ),
    ("mojibake-double", "d\u00c3\u0192\u00c2\u00a9j\u00c3\u0192\u00c2  vu"),
    ("curly-quotes", "\u201cdouble\u201d \u2018single\u2019 \u00abguillemets\u00bb"),
    ("fullwidth", "\uff28\uff25\uff2c\uff2c\uff2f \uff01"),
    ("ligatures", "\ufb01\ufb02\ufb00 \u0132"),
    ("halfwidth-katakana", "\uff76\uff9e\uff77"),
    ("terminal-escape", "\u001b[31mred\u001b[0m"),
    ("control-inside", "a\u0000b\u0008c"),
    ("surrogate-free-planes", "\U00020000\U0002f800\U0001d400\U000e0001"),
    ("unassigned", "\u0378\U0003fffd"),
    ("number-letters", "x\u00b2+y\u00b2=z\u00b2 H\u2082O"),
    ("long-77-exactly", "a " * 75),
    ("long-78", "a " * 76),
    ("long-letters", "z" * 300),
    ("long-punctuation", "!" * 300),
    ("long-digits", "1" * 100),
    (
        "long-caption",
        "a very long caption about a small dog that runs on the beach, " * 12,
    ),
]


def main() -> int:
    args = parse_arguments()
    tokenizer = tokenizers.Tokenizer.from_file(str(args.tokenizer))
    tokenizer.enable_truncation(max_length=MAX_TOKENS)
    if args.check:
        return check(tokenizer)
    if not (args.vocabulary and args.openai):
        sys.exit("error: to write the file, --vocabulary and --openai are needed")
    write(tokenizer, args.vocabulary, args.openai)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        required=True,
        help="tokenizer.json, as models/tools/clip_tokenizer.py writes it",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare with the committed file instead of writing it",
    )
    parser.add_argument(
        "--vocabulary", type=Path, help="bpe_simple_vocab_16e6.txt.gz, to write"
    )
    parser.add_argument(
        "--openai", type=Path, help="folder with simple_tokenizer.py, to write"
    )
    return parser.parse_args()


def check(tokenizer: tokenizers.Tokenizer) -> int:
    """Reports every fault, not the first."""
    entries: list[Entry] = json.loads(TOKENS.read_text(encoding="utf-8"))["texts"]
    faults = [
        entry["name"]
        for entry in entries
        if tokenizer.encode(entry["text"]).ids
        != entry.get("tokenizer_json_ids", entry["ids"])
    ]
    for name in faults:
        print(f"error: {name}: token ids differ", file=sys.stderr)
    print(f"{len(entries)} texts, {len(faults)} differ")
    return 1 if faults or not entries else 0


def write(tokenizer: tokenizers.Tokenizer, vocabulary: Path, openai: Path) -> None:
    sys.path[:0] = [str(TOOLS), str(openai)]
    reference = transformers_tokenizer(vocabulary)
    own = OpenAi()
    entries = []
    for name, text in all_texts():
        uncut = reference(text)["input_ids"]
        ids = reference(text, truncation=True, max_length=MAX_TOKENS)["input_ids"]
        entry: Entry = {"name": name, "text": text, "length": len(uncut), "ids": ids}
        from_file = tokenizer.encode(text).ids
        if from_file != ids:
            entry["tokenizer_json_ids"] = from_file
        if own.ids(text) != ids:
            entry["openai_differs"] = True
            entry["openai_why"] = own.why(text, ids)
        entries.append(entry)
    TOKENS.write_text(dump(made_with(), entries), encoding="ascii")
    differing = sum("openai_differs" in entry for entry in entries)
    print(
        f"wrote {len(entries)} texts to {TOKENS.name}; OpenAI's differs in {differing}"
    )


def all_texts() -> list[tuple[str, str]]:
    shared = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
    texts = [*((entry["name"], entry["text"]) for entry in shared), *TEXTS]
    if len({name for name, _ in texts}) != len(texts):
        sys.exit("error: two texts have one name")
    return texts


def transformers_tokenizer(vocabulary: Path) -> Any:
    tools = importlib.import_module("clip_tokenizer")
    merges = tools.load_merges(vocabulary)
    return importlib.import_module("transformers").CLIPTokenizer(
        vocab=tools.vocabulary(merges),
        merges=[tuple(merge.split()) for merge in merges],
    )


class OpenAi:
    """OpenAI's tokenizer, whole and with single steps left out."""

    def __init__(self) -> None:
        self.module = importlib.import_module("simple_tokenizer")
        self.tokenizer = self.module.SimpleTokenizer()
        self.clean = self.module.basic_clean

    def ids(self, text: str) -> list[int]:
        """As clip.tokenize does with truncate=True, but not padded."""
        encoder = self.tokenizer.encoder
        start, end = encoder["<|startoftext|>"], encoder["<|endoftext|>"]
        ids = [start, *self.tokenizer.encode(text), end]
        return ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], end]

    def why(self, text: str, expected: list[int]) -> list[str]:
        """The steps that alone change the ids."""
        fix = importlib.import_module("ftfy").fix_text
        steps = {
            "ftfy": fix,
            "html": lambda text: html.unescape(html.unescape(text)),
        }
        bare = self._ids_with(str, text)
        found = [
            name for name, step in steps.items() if self._ids_with(step, text) != bare
        ]
        if bare != expected:
            # Python lower-cases with a view to the neighbours, the tokenizers
            # library letter by letter. What is left is a special token in upper
            # case, which OpenAI's looks for in the lower-cased text.
            lowered = "".join(letter.lower() for letter in text)
            by_letter = self._ids_with(str, lowered) == expected
            found.append("lowercase" if by_letter else "special")
        return found

    def _ids_with(self, clean: Any, text: str) -> list[int]:
        self.module.basic_clean = clean
        try:
            return self.ids(text)
        finally:
            self.module.basic_clean = self.clean


def made_with() -> dict[str, str]:
    packages = ("transformers", "tokenizers", "ftfy", "regex")
    return {name: version(name) for name in packages} | {"openai-clip": "1.0.1"}


def dump(made_with: dict[str, str], entries: list[Entry]) -> str:
    """One line for each text, so that a change shows where it is."""
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    head = json.dumps({"made_with": made_with, "max_tokens": MAX_TOKENS})
    return f'{head[:-1]}, "texts": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    sys.exit(main())
