#!/usr/bin/env python3
"""ops_window.h5 and mistral_tiny.h5: attention in a sliding window. Run from anywhere; needs torch, transformers, h5py.

ops_window.h5 has PyTorch's scaled_dot_product_attention under explicit masks. mistral_tiny.h5 has two small Mistrals of
Hugging Face's transformers in double, laid out as models_tiny.h5 is (make_models.py), without experts: group `mistral`
has a window shorter than the sequence, `all` the same weights and tokens and none."""

import os

import torch
import torch.nn.functional as F
import transformers as hf

from golden import Golden
from make_attention import starts_of
from models import initialise, write
from precision import Float64

BATCH, SEQUENCE, WINDOW = 2, 12, 5
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
SIZES = dict(vocab_size=32, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=32, rms_norm_eps=1e-5)


def windowed(length, head_dim, window):
    """q [N, H d], k and v [N, Hkv d]; query t of a sequence sees keys max(starts_t, t - window + 1) .. t."""

    def function(q, k, v, starts):
        def heads(x):  # [B, heads, T, d]
            return x.reshape(-1, length, x.shape[1] // head_dim, head_dim).transpose(1, 2)

        key, query = torch.arange(length)[None, None, :], torch.arange(length)[None, :, None]
        mask = (key <= query) & (key >= starts.reshape(-1, length, 1)) & (key > query - window)
        o = F.scaled_dot_product_attention(heads(q), heads(k), heads(v), attn_mask=mask[:, None], enable_gqa=True)
        return o.transpose(1, 2).reshape(q.shape)

    return function


def ops(path):
    g = Golden(path, seed=5)

    def case(name, length, head_dim, heads, kv_heads, window, *documents):
        n = length * len(documents)
        g.case(name, windowed(length, head_dim, window), {
            "q": g.normal(n, heads * head_dim), "k": g.normal(n, kv_heads * head_dim),
            "v": g.normal(n, kv_heads * head_dim), "starts": starts_of(length, *documents)})

    case("short", 11, 4, 4, 2, 3, [], [3, 4, 9])
    # Past the blocks of 64 queries and 128 keys, the window's edge inside them and at theirs; documents shorter and
    # longer than it.
    case("blocks", 150, 4, 2, 1, 20, [], [37, 64, 129])
    case("skips", 300, 2, 2, 2, 64, [290])
    g.close()


def mistral(sliding_window):
    config = hf.MistralConfig(**SIZES, sliding_window=sliding_window, rope_parameters=ROPE, tie_word_embeddings=False,
                              pad_token_id=None, bos_token_id=None, eos_token_id=None, attn_implementation="eager")
    with Float64():
        model = hf.MistralForCausalLM(config).double()
    initialise(model, torch.Generator().manual_seed(1))
    return model


def logits_of(model, tokens):
    with Float64():
        return model(input_ids=tokens, use_cache=False).logits


def seen_by_last_query(model, tokens):
    """Which tokens move the logits at the last place: of one layer, those whose keys its query sees."""
    before, seen = logits_of(model, tokens)[0, -1], []
    for s in range(tokens.shape[1]):
        other = tokens.clone()
        other[0, s] = (other[0, s] + 1) % SIZES["vocab_size"]
        if (logits_of(model, other)[0, -1] - before).abs().max() > 1e-9:
            seen.append(s)
    return seen


def check_meaning(tokens):
    """transformers' window of W is W keys, the query's own included."""
    one = mistral(WINDOW)
    one.model.layers = one.model.layers[:1]
    assert seen_by_last_query(one, tokens) == list(range(SEQUENCE - WINDOW, SEQUENCE))


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    ops(os.path.join(folder, "ops_window.h5"))
    generator = torch.Generator().manual_seed(2)
    tokens, targets = (torch.randint(0, SIZES["vocab_size"], (BATCH, SEQUENCE), generator=generator) for _ in range(2))
    check_meaning(tokens[:1])
    configs, arrays, seen = {}, {}, {}
    for group, window in (("mistral", WINDOW), ("all", None)):
        model = mistral(window)
        logits = logits_of(model, tokens)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        seen[group] = logits.detach()
        configs[f"{group}/config"] = {**SIZES, "rope_theta": ROPE["rope_theta"], "num_local_experts": 0,
                                      "num_experts_per_tok": 0, "sliding_window": window or 0}
        data = {"tokens": tokens.int(), "targets": targets.int(), "logits": logits.detach(),
                "cross_entropy": loss.detach().reshape(1)}
        for name, p in model.named_parameters():
            data[f"parameters/{name}"] = p.detach()
            data[f"gradients/{name}"] = p.grad
        arrays.update({f"{group}/{path}": value.contiguous().numpy() for path, value in data.items()})
    assert (seen["mistral"] - seen["all"])[:, WINDOW:].abs().max() > 0.01
    assert (seen["mistral"] - seen["all"])[:, :WINDOW].abs().max() < 1e-12
    write("mistral_tiny.h5", "make_window.py", configs, arrays, bits={"gradients": 20, "logits": 22})


if __name__ == "__main__":
    main()
