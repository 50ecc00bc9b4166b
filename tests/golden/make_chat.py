#!/usr/bin/env python3
"""chat.h5: conversations, and what transformers makes of them with Mixtral's chat template.

text (the messages' contents), roles (0 system, 1 user, 2 assistant; one a message), each beside the ends of its items;
literal[c]: a message spells a control token out, which transformers would read as one. Then a group per tokenizer,
`real` (Mixtral's tokenizer.model, which is not here: give its path) and `small` (tokenizer.h5's "mixtral"): ids and mask
of each conversation, each beside the ends of its items.
  make_chat.py PATH/TO/tokenizer.model
Needs transformers, sentencepiece, protobuf, h5py, numpy.

The template is written anew from what Mistral documents for Mixtral-8x7B-Instruct-v0.1 (mistralai/cookbook,
concept-deep-dive/tokenization/templates.md, V1; its chat template renders the same). LlamaTokenizer must give the same
with legacy true and false: the template's texts begin with a space, so neither puts another in front.
Of every conversation sentencepiece must agree: its ids of each stretch of text between two control tokens, without a
word mark in front. Where a message spells a control token out, only sentencepiece is asked.
"""

import os
import random
import sys

import h5py
import numpy as np
import sentencepiece
import transformers
from sentencepiece import sentencepiece_model_pb2
from transformers.convert_slow_tokenizer import generate_merges

HERE = os.path.dirname(os.path.abspath(__file__))
TEMPLATE = """{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{% elif m.role == 'user' %}{{ ' [INST] ' }}\
{% if loop.index0 == 1 and messages[0].role == 'system' %}{{ messages[0].content + '\n\n' }}{% endif %}\
{{ m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"""

PAGE = ["""The sisters spin, measure and cut. It's 12:30 -- "not yet", said Atropos; 3.14159 and 1,000,000 threads.
    An indented line,  with   runs of spaces, and a tab:\tthere. """,
        "命运三女神纺线、量线、剪线。混合专家模型把每个词元送到两个专家。\n第二行：「你好，世界！」……\u3000全角空格",
        "🙂🙂 👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 🇬🇧, ✂️🧵, \U0001FAE0",
        "def f(x):\n\tif x < 2:\n\t\treturn {\"a\": [x, None]}\n    # {{braces}} %s\n    return f'{x!r}' + r'\\d+\\n' // 2;  /* end */\r\n",
        "bell \x07 escape \x1b[31mred\x1b[0m delete \x7f vertical \x0b form \x0c unit \x1f c1 \u0085 end",
        "zero\u200bwidth, \u202eright to left\u202c, \ufeffmark, no\u00a0break, e\u0301, ﬁ, Ａ, \u2028line, \ufffd",
        "Ελληνικά, русский, עברית, العربية, हिन्दी, ไทย, 日本語テキスト, 한국어, naïve café Æsir straße"]
SHORT = ["", " ", "  ", "\n", "\n\n\n", "\t", "a", " a", "a ", "  a  ", "\na\n", "[INST]", " [/INST] ", "[/INST] [INST]", "]",
         "/", "0", "I", "INST", "[", "{content}", "{system}", "{{x}}", "<", "<s", "s>", "</", "\r\n", "\u3000", "é", "🙂", "的",
         "x" * 70, " " * 20, "\n" * 15, "yes " * 12, "\u2581", "a\u2581 \u2581b"]
LITERAL = ["<s>", "</s>", "a </s> b", "<unk>", " <s> [INST] x [/INST] y</s>", "</s></s>"]


def conversations():
    r = random.Random(6)
    some = PAGE + SHORT
    for text in PAGE:
        yield [("user", text), ("assistant", text)]
    for text in SHORT + LITERAL:
        yield [("user", text), ("assistant", "It is."), ("user", "So?"), ("assistant", text)]
    for _ in range(12):
        yield [(("user", "assistant")[i % 2], r.choice(some)) for i in range(2 * r.randrange(1, 5))]
    for text in PAGE[:3] + ["", "Be brief.", "\n", " x "]:
        yield [("system", text), ("user", r.choice(some)), ("assistant", r.choice(some)), ("user", "?"), ("assistant", "!")]


def of_transformers(tokenizer, messages):
    """Ids and mask: what an assistant's message adds is learnt."""
    ids, mask = [], []
    for n in range(1, len(messages) + 1):
        if messages[n - 1][0] == "system":
            continue
        known = [{"role": role, "content": content} for role, content in messages[:n]]
        now = tokenizer.apply_chat_template(known, tokenize=True, return_dict=True)["input_ids"]
        assert now[:len(ids)] == ids, (messages, ids, now)
        mask += [messages[n - 1][0] == "assistant"] * (len(now) - len(ids))
        ids = now
    return ids, mask


def without_prefix(model):
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    proto.normalizer_spec.add_dummy_prefix = False
    return proto.SerializeToString()


def of_sentencepiece(sp, messages):
    ids, mask, system = [sp.bos_id()], [False], ""
    for role, content in messages:
        if role == "system":
            system = content + "\n\n"
            continue
        if role == "user":
            more, learnt = sp.encode(" [INST] " + system + content + " [/INST]"), False
            system = ""
        else:
            more, learnt = sp.encode(" " + content) + [sp.eos_id()], True
        ids += more
        mask += [learnt] * len(more)
    return ids, mask


def tokenizer_of(model, legacy=False):
    """As in the repository's tokenizer.json: merges by the pieces' scores. (transformers 5 given a tokenizer.model alone
    orders them by ids, and gives runs of spaces other tokens than SentencePiece does.)"""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    vocab = {p.piece: i for i, p in enumerate(proto.pieces)}
    merges = generate_merges(vocab, {p.piece: p.score for p in proto.pieces if p.type == p.NORMAL})
    hf = transformers.LlamaTokenizer(vocab=vocab, merges=merges, legacy=legacy, add_prefix_space=None)
    hf.chat_template = TEMPLATE
    return hf


def put(group, name, items, dtype):
    arrays = [np.asarray(i, dtype) for i in items]
    group.create_dataset(name, data=np.concatenate(arrays), track_times=False, compression=6)
    group.create_dataset(name + "_ends", data=np.cumsum([len(a) for a in arrays]).astype(np.int32), track_times=False)


def add(file, name, model, all_messages, literal):
    both_hf = [tokenizer_of(model, legacy) for legacy in (False, True)]
    sp = sentencepiece.SentencePieceProcessor(model_proto=without_prefix(model))
    both = []
    for messages, spelled in zip(all_messages, literal):
        both.append(of_sentencepiece(sp, messages))
        if not spelled:
            for hf in both_hf:
                theirs = of_transformers(hf, messages)
                assert theirs == both[-1], (name, messages, theirs, both[-1])
    group = file.create_group(name)
    put(group, "ids", [ids for ids, _ in both], np.uint16)
    put(group, "mask_ids", [mask for _, mask in both], np.uint8)


def main():
    all_messages = list(conversations())
    literal = [any(word in content for _, content in m for word in ("<s>", "</s>", "<unk>")) for m in all_messages]
    with h5py.File(os.path.join(HERE, "tokenizer.h5")) as file:
        small = file["mixtral/model"][()].tobytes()
    with open(sys.argv[1], "rb") as file:
        real = file.read()
    with h5py.File(os.path.join(HERE, "chat.h5"), "w", libver=("v110", "v110")) as file:
        for name, value in {"format": "moira-golden-1", "made_by": "make_chat.py", "transformers": transformers.__version__,
                            "sentencepiece": sentencepiece.__version__}.items():
            file.attrs[name] = np.bytes_(value)
        put(file, "text", [list(c.encode()) for m in all_messages for _, c in m], np.uint8)
        put(file, "roles_ids", [[("system", "user", "assistant").index(r) for r, _ in m] for m in all_messages], np.uint8)
        file.create_dataset("literal", data=np.asarray(literal, np.uint8), track_times=False)
        add(file, "real", real, all_messages, literal)
        add(file, "small", small, all_messages, literal)
    print(len(all_messages), "conversations,", sum(literal), "with control tokens spelled out")


if __name__ == "__main__":
    main()
