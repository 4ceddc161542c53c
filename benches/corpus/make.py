"""Cuts The Devil's Dictionary into the 1,000 texts of mixed-1000.txt.

Lengths come from the prose itself: sentences, and whole entries or as many
sentences of one as fit, never padded or cut inside a sentence. README.md says where the
source comes from and what the result looks like.
"""

from __future__ import annotations

import argparse
import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

COUNT = 1000
MIN_TOKENS, MAX_TOKENS = 4, 200
# Entries at these positions go sentence by sentence, the others in passages.
SENTENCES_EVERY = 3

FIRST_ENTRY = "ABASEMENT, n."
# Whitespace after a full stop, unless that stop ends an initial, a title, a
# reference or the part of speech that follows each headword.
# One pattern per length: a look-behind has a fixed width.
ABBREVIATIONS = ("[A-Znvx]", "Mr|Dr|St|Jo|pp|pl", r"Mrs|Rev|Gen|adj|adv|pro|v\.[it]")
SENTENCE_END = re.compile(
    "".join(rf"(?<!\b(?:{words})\.)" for words in ABBREVIATIONS)
    + r"""(?:(?<=[.!?])|(?<=[.!?]["')]))\s+(?=["'(]*[A-Z])"""
)
# Verse is left out, and with it goes the end or the whole of some sentences.
COMPLETE = re.compile(r"""["'(]*[A-Z].*[.!?]["')]*""")
BARE_HEADWORD = re.compile(r"[A-Z' -]+, [a-z.]+")

# A satire of 1911 holds jokes about peoples, faiths and women that a list of
# sample texts has no need of. Broad on purpose: there is prose to spare.
UNWANTED = re.compile(
    r"\b(?:nigg\w*|pigm\w*|negro\w*|\w*hebrew\w*|jew\w*|savages?|slave\w*|heathen\w*|infidel\w*"
    r"|mahomet\w*|mohammed\w*|moslem\w*|mormon\w*|indians?|irish\w*|chinese|chinaman"
    r"|africa\w*|caucasian\w*|mongolian\w*|aborigin\w*|races?|wom[ae]n\w*|wi[fv]es?"
    r"|female\w*|lady|ladies|girls?|virgin\w*|rape\w*|hang(?:ed|ing|man)?|lynch\w*"
    r"|hindoos?|swine|bastard\w*|barbarous|(?:black|white) m[ae]n"
    r"|suicid\w*|murder\w*|torture\w*|whip\w*|idiot\w*|lunatic\w*|cripple\w*)\b",
    re.IGNORECASE,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--source", type=Path, required=True, help="devil.dict.dz as Debian ships it"
    )
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="MiniLM's tokenizer.json"
    )
    args = parser.parse_args()

    tokenizer = Tokenizer.from_file(str(args.tokenizer))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def length(text: str) -> int:
        return len(tokenizer.encode(text).ids)

    source = gzip.decompress(args.source.read_bytes()).decode("ascii")
    candidates = [
        text
        for text in dict.fromkeys(texts(source, length))
        if is_wanted(text) and MIN_TOKENS <= length(text) <= MAX_TOKENS
    ]
    chosen = evenly(candidates, COUNT)
    target = Path(__file__).resolve().parent / f"mixed-{COUNT}.txt"
    target.write_text("".join(f"{text}\n" for text in chosen), encoding="utf-8")
    print(f"{len(candidates)} candidates")
    report([length(text) for text in chosen])


def texts(source: str, length: Callable[[str], int]) -> Iterator[str]:
    for index, entry in enumerate(prose(source)):
        sentences = SENTENCE_END.split(entry)
        if index % SENTENCES_EVERY == 0:
            yield from sentences
        else:
            yield from passages(sentences, length)


def passages(sentences: list[str], length: Callable[[str], int]) -> Iterator[str]:
    """Runs of sentences, each as long as the limit allows."""
    passage = sentences[0]
    for sentence in sentences[1:]:
        longer = f"{passage} {sentence}"
        if length(longer) > MAX_TOKENS:
            yield passage
            passage = sentence
        else:
            passage = longer
    yield passage


def prose(source: str) -> Iterator[str]:
    """Paragraphs set at the left margin; verse and its authors are indented."""
    body = source[source.index(FIRST_ENTRY) :]
    for block in re.split(r"\n\s*\n", body):
        if block and not block[0].isspace():
            joined = re.sub(r"(?<=\w-)\n", "", block)
            # The transcription's italics and the dictionary's links.
            yield " ".join(re.sub("[_{}]", "", joined).split())


def is_wanted(text: str) -> bool:
    return (
        COMPLETE.fullmatch(text) is not None
        and BARE_HEADWORD.fullmatch(text) is None
        and UNWANTED.search(text) is None
    )


def evenly(items: list[str], count: int) -> list[str]:
    """Spread over the whole book, in its order."""
    if len(items) < count:
        raise SystemExit(f"error: only {len(items)} candidates for {count} texts")
    return [items[index * len(items) // count] for index in range(count)]


def report(lengths: list[int]) -> None:
    values = np.array(lengths)
    p10, median, p90 = np.percentile(values, [10, 50, 90])
    print(
        f"tokens: min {values.min()}, p10 {p10:.0f}, median {median:.0f}, "
        f"p90 {p90:.0f}, max {values.max()}, total {values.sum()}"
    )
    for low, high in ((4, 15), (16, 30), (31, 60), (61, 100), (101, 200)):
        share = np.count_nonzero((values >= low) & (values <= high))
        print(f"{low} to {high} tokens: {share}")


if __name__ == "__main__":
    main()
