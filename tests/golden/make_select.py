#!/usr/bin/env python3
"""ops_select.h5: selections, their weights and their scores (DeepSeek-V3's, two levels, jitter, hash and random).
Run from anywhere; needs torch, transformers, h5py.

The formulas are written down here from the papers, token by token, and differentiated by PyTorch's autograd; where
Hugging Face's code is the definition, it is that code that runs, in double."""

import os

import torch
import transformers
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as deepseek

from golden import Golden
from precision import Float64

RUN_SEED, RUN_STEP, LAYER = 20240917, 3, 5  # of tests/harness/opcase.c, and of the tests
MARGIN = 2e-5  # between the scores that decide the routing
N, E, K, D, GROUPS, KEPT = 14, 12, 4, 6, 4, 2
PADDING = (3, 8, 9, 13)


def largest(values, k):
    """Places of the k largest, the first place first among equals."""
    return sorted(range(len(values)), key=lambda i: (-float(values[i]), i))[:k]


# ---- DeepSeek-V3 (arXiv:2412.19437) ----


def limited(s, bias, k, groups, kept):
    """Ids of one token: eq. 16 for the choice, section 2.1.2 for the groups."""
    size = len(s) // groups
    choice = s + bias
    blocks = [choice[g * size : (g + 1) * size] for g in range(groups)]
    allowed = largest([sum(block[i] for i in largest(block, 2)) for block in blocks], kept)
    experts = sorted(e for g in allowed for e in range(g * size, (g + 1) * size))
    return [experts[i] for i in largest([choice[e] for e in experts], k)]


def topk_limited(s, bias, tokens, k, groups, kept):
    none = [-1] * k
    rows = [limited(s_n, bias, k, groups, kept) if token >= 0 else none for s_n, token in zip(s.detach(), tokens)]
    return torch.tensor(rows, dtype=torch.int32)


def has_margin(s, bias):
    """Every two s + b of a token, and every two sums of two groups' best, are apart."""
    for row in (s + bias).detach():
        pairs = row.reshape(GROUPS, -1).sort(descending=True).values[:, :2].sum(1)
        for x in (row, pairs):
            assert x.sort().values.diff().min() > MARGIN, "the routing needs a margin"


def gate(scores, ids, mode, scale):
    rows = []
    for score, id_k in zip(scores, ids):
        c = [score[e] for e in id_k if e >= 0]
        w = {"select": lambda: c, "normalise": lambda: [x / (sum(c) + 1e-20) for x in c],
             "softmax": lambda: list(torch.softmax(torch.stack(c), 0))}[mode]() if c else []
        w = iter(w)
        rows.append(torch.stack([scale * next(w) if e >= 0 else torch.zeros(()) for e in id_k]))
    return torch.stack(rows)


def deepseek_router(x, wg, bias, tokens):
    """The weights and ids of Hugging Face's router, in the order of falling s + b."""
    s = torch.sigmoid(x @ wg.T)
    has_margin(s, bias)
    ids = topk_limited(s, bias, tokens, K, GROUPS, KEPT)
    w = gate(s, ids, "normalise", 2.5)
    config = deepseek.DeepseekV3Config(hidden_size=D, n_routed_experts=E, num_experts_per_tok=K, n_group=GROUPS,
                                       topk_group=KEPT, routed_scaling_factor=2.5, norm_topk_prob=True)
    router = deepseek.DeepseekV3TopkRouter(config)
    with Float64():
        _, theirs, their_ids = torch.func.functional_call(
            router, {"weight": wg, "e_score_correction_bias": bias.detach()}, (x,))
    assert torch.equal(their_ids.sort().values.int(), ids.sort().values)
    for n in range(len(x)):
        there = {int(e): theirs[n, i] for i, e in enumerate(their_ids[n])}
        for k in range(K):
            torch.testing.assert_close(w[n, k], there[int(ids[n, k])], rtol=0, atol=1e-14)
    return w, ids


def main():
    torch.set_default_dtype(torch.float64)
    folder = os.path.dirname(os.path.abspath(__file__))
    g = Golden(os.path.join(folder, "ops_select.h5"), seed=21, transformers=transformers.__version__)
    all_tokens = g.integers(0, 50, N)
    tokens = all_tokens.clone()
    tokens[list(PADDING)] = -1

    s, bias = g.uniform(0.05, 0.95, N, E), g.uniform(-1.2, 0.3, E)
    has_margin(s, bias)
    coarse = (s * 4).round() / 4, (bias * 2).round() / 2  # ties everywhere, and s + b on both sides of 0
    for name, (a, b) in (("", (s, bias)), ("_ties", coarse)):
        for groups, kept, k in ((1, 1, 4), (4, 2, 4), (4, 1, 3), (3, 2, 8), (12, 5, 5), (4, 4, 12)):
            def choose(s, bias, tokens):
                return topk_limited(s, bias, tokens, k, groups, kept)

            g.case(f"limited_{groups}_{kept}_{k}{name}", choose, {"s": a, "bias": b, "tokens": tokens},
                   frozen=("s", "bias"))
    ids = topk_limited(s, bias, tokens, K, GROUPS, KEPT)
    for mode in ("select", "normalise", "softmax"):
        g.case(f"gate_{mode}", lambda scores, ids: gate(scores, ids, mode, 2.5), {"scores": s, "ids": ids})
    g.case("row_shares", lambda s: s / (s.sum(-1, keepdim=True) + 1e-20), {"s": s})
    g.case("sigmoid", torch.sigmoid, {"x": g.normal(5, 13, std=4)})
    g.case("deepseek_router", deepseek_router, {"x": g.normal(N, D), "wg": g.normal(E, D), "bias": bias,
                                                "tokens": all_tokens}, frozen=("bias",))

    g.close()


if __name__ == "__main__":
    main()
