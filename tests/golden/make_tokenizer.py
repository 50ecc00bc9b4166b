#!/usr/bin/env python3
"""tokenizer.h5: tiny SentencePiece models with what Python's sentencepiece makes of tricky texts.

The texts, then a group per model: model (the file's bytes), ids of the texts, decoded (those ids), random_ids,
random_text (those decoded); each beside the ends of its items in the array that holds them all. Run from anywhere; needs sentencepiece, h5py, numpy.
"""

import io
import os
import platform
import random
import tempfile

import h5py
import numpy as np
import sentencepiece

WORDS = """the a of and to in loom thread spindle weaver shears measure allots cuts spins draws three sisters fate life
share expert router token gate learns routes layer loss gradient step balance 7 12 365 2024 3.14 x=y f(x) "quoted"
naïve café Moira Clotho Lachesis Atropos don't it's re-reads under_score CamelCase end. really? yes! a, b; c:""".split()

TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "a", " a", "a ", " a ", "  a  b   c    d", "the loom",
    "The sisters spin, measure and cut.\nA second line.\n\n\tAn indented one,  with   runs    of spaces.\n",
    "tabs\tand\ttabs\t\t", "digits 0123456789 365,000 3.14159", "naïve café Æsir straße", "e\u0301 combining",
    "日本語のテキスト", "日本語 with spaces 日本語", "🙂", "🙂🙂 emoji 👩‍👩‍👧‍👦 family", "\u2581", "a\u2581b", "\u2581\u2581 a",
    "\u00a0no-break\u00a0space", "\ufeffbyte order mark", "zero\u200bwidth", "\u202eright to left",
    "a\x00b NUL", "\x01\x1b[31mescape\x7f", "<s>", "</s> in text <unk>", "<0x0A> written out", "<sep>a<sep><sep>b",
    "ﬁne ﬂow Ａ Ｂ", "x" * 300, " " * 70, "\n" * 40, "the the the " * 30, "ﬁ" * 20, "¿unknown? ¡ñ! ÿþ ƒ",
]
BYTES = [b"\xff", b"a\xc3", b"a\xc3 b", b"\xe2\x96", b"\xe2\x96 \x81", b"\x80\x80", b"\xf0\x9f\x99", b"ok \xed\xa0\x80 bad",
         b"\xc0\xaf overlong", b"half \xf0\x9f\x99 of \xf0\x9f\x99\x82"]
ALL = [t.encode() for t in TEXTS] + BYTES

BASE = dict(model_type="bpe", normalization_rule_name="identity", remove_extra_whitespaces=False,
            character_coverage=1.0, minloglevel=2)
MODELS = {
    # As Mixtral's.
    "mixtral": dict(BASE, vocab_size=600, byte_fallback=True, allow_whitespace_only_pieces=True, split_digits=True),
    # Unknown characters merge; symbols are found before anything is merged.
    "symbols": dict(BASE, vocab_size=330, user_defined_symbols=["<sep>", "<sep><sep>", "\n", "\n\n", "a\u2581b"],
                    control_symbols=["<mask>"], bos_id=-1, eos_id=-1),
    "bare": dict(BASE, vocab_size=450, byte_fallback=True, add_dummy_prefix=False, split_by_whitespace=False),
    "suffix": dict(BASE, vocab_size=300, treat_whitespace_as_suffix=True),
    "trimmed": dict(BASE, vocab_size=300, remove_extra_whitespaces=True, bos_piece="<begin>", eos_piece="<end>"),
    "unigram": dict(BASE, model_type="unigram", vocab_size=350, byte_fallback=True, unk_surface="?"),
    "char": dict(BASE, model_type="char", vocab_size=100),
    "word": dict(BASE, model_type="word", vocab_size=60),
}
RULES = "FB01\t66 69\nFB02\t66 6C\nFF21\t41\nFF22\t42\n65 301\tE9\n200B\t\n"


def corpus():
    r = random.Random(3)
    for _ in range(400):
        yield " ".join(r.choice(WORDS) for _ in range(r.randrange(4, 14)))
    for _ in range(20):
        yield "    " * r.randrange(1, 4) + "  ".join(r.choice(WORDS) for _ in range(5))
    yield "ñandú ﬁn"


def train(settings):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=corpus(), model_writer=out, **settings)
    return out.getvalue()


def put(group, name, items, dtype):
    arrays = [np.frombuffer(i, np.uint8) if dtype == np.uint8 else np.asarray(i, dtype) for i in items]
    group.create_dataset(name, data=np.concatenate(arrays).astype(dtype), track_times=False)
    group.create_dataset(name + "_ends", data=np.cumsum([len(a) for a in arrays]).astype(np.uint16), track_times=False)


def add(file, name, model):
    sp = sentencepiece.SentencePieceProcessor(model_proto=model)
    r = random.Random(4)
    ids = [sp.encode(t) for t in ALL]
    size = sp.get_piece_size()
    some = [[r.randrange(size if r.random() < 0.5 else min(size, 262)) for _ in range(n)]
            for n in [1] * 20 + [2] * 20 + [7] * 40 + [60] * 10]
    group = file.create_group(name)
    put(group, "model", [model], np.uint8)
    put(group, "ids", ids, np.uint16)
    put(group, "decoded", [sp.decode(i).encode() for i in ids], np.uint8)
    put(group, "random_ids", some, np.uint16)
    put(group, "random_text", [sp.decode(i).encode() for i in some], np.uint8)
    group.attrs["bos"], group.attrs["eos"] = float(sp.bos_id()), float(sp.eos_id())


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer.h5")
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        versions = {"format": "moira-golden-1", "made_by": "make_tokenizer.py", "python": platform.python_version(),
                    "sentencepiece": sentencepiece.__version__}
        for name, value in versions.items():
            file.attrs[name] = np.bytes_(value)
        put(file, "text", ALL, np.uint8)
        for name, settings in MODELS.items():
            add(file, name, train(settings))
        with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as rules:
            rules.write(RULES)
            rules.flush()
            settings = {k: v for k, v in BASE.items() if k != "normalization_rule_name"}
            model = train(dict(settings, vocab_size=300, normalization_rule_tsv=rules.name, unk_piece="<what>"))
            model = bytes(model).replace(rules.name.encode(), b"x" * len(rules.name))
        add(file, "rules", model)


if __name__ == "__main__":
    main()
