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
from philox import CHOICE, HASH, JITTER, normal, words
from precision import Float64

RUN_SEED, RUN_STEP, LAYER = 20240917, 3, 5  # of tests/harness/opcase.c, and of the tests
MARGIN = 2e-5  # between the scores that decide the routing
N, E, K, D, H, GROUPS, KEPT = 14, 12, 4, 6, 5, 4, 2
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


def deepseek_config():
    config = deepseek.DeepseekV3Config(hidden_size=D, moe_intermediate_size=H, n_routed_experts=E, num_experts_per_tok=K,
                                       n_group=GROUPS, topk_group=KEPT, routed_scaling_factor=2.5, norm_topk_prob=True,
                                       n_shared_experts=2)
    config._experts_implementation = "eager"
    return config


def deepseek_router(x, wg, bias, tokens):
    """The weights and ids of Hugging Face's router, in the order of falling s + b."""
    s = torch.sigmoid(x @ wg.T)
    has_margin(s, bias)
    ids = topk_limited(s, bias, tokens, K, GROUPS, KEPT)
    w = gate(s, ids, "normalise", 2.5)
    router = deepseek.DeepseekV3TopkRouter(deepseek_config())
    with Float64():
        _, theirs, their_ids = torch.func.functional_call(
            router, {"weight": wg, "e_score_correction_bias": bias.detach()}, (x,))
    assert torch.equal(their_ids.sort().values.int(), ids.sort().values)
    for n in range(len(x)):
        there = {int(e): theirs[n, i] for i, e in enumerate(their_ids[n])}
        for k in range(K):
            torch.testing.assert_close(w[n, k], there[int(ids[n, k])], rtol=0, atol=1e-14)
    return w, ids


def deepseek_layer(x, wg, bias, w1, w3, w2, s1, s3, s2, tokens):
    """Hugging Face's block of routed and shared experts."""
    block = deepseek.DeepseekV3MoE(deepseek_config())
    weights = {"gate.weight": wg, "gate.e_score_correction_bias": bias.detach(),
               "experts.gate_up_proj": torch.cat([w1, w3], 1), "experts.down_proj": w2,
               "shared_experts.gate_proj.weight": s1, "shared_experts.up_proj.weight": s3,
               "shared_experts.down_proj.weight": s2}
    assert set(weights) == {name for name, _ in [*block.named_parameters(), *block.named_buffers()]}
    with Float64():
        y = torch.func.functional_call(block, weights, (x.unsqueeze(0),)).squeeze(0)
    return y, deepseek_router(x, wg, bias, tokens)[1]


# ---- two levels (Shazeer 2017, arXiv:1701.06538, appendix B) ----


def two_level_logits(a, b):
    groups = torch.softmax(a, -1)
    within = torch.softmax(b.reshape(len(b), a.shape[1], -1), -1)
    return torch.log((groups[..., None] * within).reshape(b.shape))


def topk_within(scores, groups, n_group, k):
    size, rows = scores.shape[1] // n_group, []
    for score, chosen in zip(scores.detach(), groups):
        rows.append([])
        for g in map(int, chosen):
            best = largest(score[g * size : (g + 1) * size], k) if g >= 0 else []
            rows[-1] += [g * size + i for i in best] or [-1] * k
    return torch.tensor(rows, dtype=torch.int32)


def gate_product(u, h, ids):
    """Eq. 12: G_primary(x)_i G_i(x)_j, G_i by keeping the chosen of a group and a softmax (eq. 3 and 5)."""
    k, rows = ids.shape[1] // u.shape[1], []
    for n in range(len(ids)):
        rows.append([torch.zeros(())] * ids.shape[1])
        for j in range(u.shape[1]):
            block = [i for i in range(j * k, (j + 1) * k) if ids[n, i] >= 0]
            kept = torch.full((h.shape[1],), -torch.inf)
            for i in block:
                kept[ids[n, i]] = h[n, ids[n, i]]
            for i in block:
                rows[-1][i] = u[n, j] * torch.softmax(kept, 0)[ids[n, i]]
    return torch.stack([torch.stack(row) for row in rows])


def noisy(x, wg, wn, floor, layer):
    """Eq. 4, with this program's noise."""
    n, e = len(x), len(wg)
    eps = torch.tensor([[normal(RUN_SEED, RUN_STEP, layer, i * e + j) for j in range(e)] for i in range(n)])
    return x @ wg.T + eps * (torch.log(1 + torch.exp(x @ wn.T)) + floor)


def keep_top_softmax(h, k):
    """Eq. 3 and 5: G(x) = softmax(KeepTopK(h, k))."""
    kept = torch.full_like(h, -torch.inf)
    for e in largest(h.detach(), k):
        kept[e] = h[e]
    return torch.softmax(kept, 0)


def hierarchical(x, wg1, wn1, wg2, wn2, w, tokens):
    """Eq. 12 over all experts, of which most have weight 0: y_H = sum_ij G_primary(x)_i G_i(x)_j E_ij(x)."""
    h1, h2 = noisy(x, wg1, wn1, 0.01, LAYER + 2**20), noisy(x, wg2, wn2, 0.01, LAYER)
    assert h1.sort().values.diff().min() > MARGIN and h2.sort().values.diff().min() > MARGIN
    rows, ids, size = [], [], E // GROUPS
    for n in range(len(x)):
        if tokens[n] < 0:
            rows.append(torch.zeros(w.shape[1]))
            ids.append([-1] * 4)
            continue
        ids.append([i * size + j for i in largest(h1[n].detach(), KEPT)
                    for j in largest(h2[n, i * size : (i + 1) * size].detach(), 2)])
        first = keep_top_softmax(h1[n], KEPT)
        gates = [first[i] * keep_top_softmax(h2[n, i * size : (i + 1) * size], 2) for i in range(GROUPS)]
        rows.append(sum(gate * (w[e] @ x[n]) for e, gate in enumerate(torch.cat(gates))))
    return torch.stack(rows), torch.tensor(ids, dtype=torch.int32)


# ---- jitter and choices by Philox ----


def jitter(x, eps):
    """Switch's pseudo code (Fedus 2021, appendix F): inputs times U(1 - eps, 1 + eps)."""
    n, d = x.shape
    places = (d + 3) // 4
    rows = []
    for token in range(n):
        drawn = sum((words(RUN_SEED, JITTER, RUN_STEP, LAYER, token * places + i) for i in range(places)), [])
        rows.append([(word >> 8) * 2.0**-24 for word in drawn[:d]])
    return x * (1 - eps + 2 * eps * torch.tensor(rows))


def choose(e, k, seed, purpose, step, item):
    """src/ops/choose.c, again: Floyd's sampling, then a shuffle."""
    places = (2 * k + 2) // 4
    drawn = iter(sum((words(seed, purpose, step, LAYER, item * places + i) for i in range(places)), []))
    chosen = []
    for last in range(e - k, e):
        pick = next(drawn) * (last + 1) >> 32
        chosen.append(last if pick in chosen else pick)
    for i in range(k - 1, 0, -1):
        j = next(drawn) * (i + 1) >> 32
        chosen[i], chosen[j] = chosen[j], chosen[i]
    assert len(set(chosen)) == k and 0 <= min(chosen) and max(chosen) < e
    return chosen


def by_token(tokens, k, function):
    rows = [function(n, int(token)) if token >= 0 else [-1] * k for n, token in enumerate(tokens)]
    return torch.tensor(rows, dtype=torch.int32)


def hash_choice(tokens, e, k):
    return by_token(tokens, k, lambda n, token: choose(e, k, 0, HASH, 0, token))


def random_choice(tokens, positions, e, k, training):
    def one(n, token):
        if training:
            return choose(e, k, RUN_SEED, CHOICE, RUN_STEP, n)
        return choose(e, k, 0, CHOICE, int(positions[n]), token)

    return by_token(tokens, k, one)


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

    scores, first = g.normal(N, E), torch.stack([torch.randperm(GROUPS, generator=g.generator)[:2] for _ in range(N)])
    first = first.int()
    first[list(PADDING)] = -1
    first[0, 1] = -1
    g.case("two_level_logits", two_level_logits, {"a": g.normal(N, GROUPS, std=2), "b": g.normal(N, E, std=2)})
    g.case("within", lambda scores, groups: topk_within(scores, groups, GROUPS, 2),
           {"scores": scores, "groups": first}, frozen=("scores",))
    g.case("within_ties", lambda scores, groups: topk_within(scores, groups, GROUPS, 2),
           {"scores": scores.round(), "groups": first}, frozen=("scores",))
    ids = topk_within(scores, first, GROUPS, 2)
    ids[5, 2] = ids[6, 0] = ids[7, 0] = ids[7, 1] = -1
    g.case("gate_product", gate_product, {"u": g.uniform(0.1, 0.9, N, 2), "h": scores, "ids": ids})

    layer = {"x": g.normal(N, D), "wg": g.normal(E, D), "bias": bias, "w1": g.normal(E, H, D), "w3": g.normal(E, H, D),
             "w2": g.normal(E, D, H), "s1": g.normal(2 * H, D), "s3": g.normal(2 * H, D), "s2": g.normal(D, 2 * H)}
    g.case("deepseek_layer", deepseek_layer, {**layer, "tokens": all_tokens}, frozen=("bias",))
    g.case("hierarchical", hierarchical, {"x": g.normal(N, D), "wg1": g.normal(GROUPS, D), "wn1": g.normal(GROUPS, D),
                                          "wg2": g.normal(E, D), "wn2": g.normal(E, D), "w": g.normal(E, 3, D), "tokens": tokens})

    for name, eps, shape in (("", 0.01, (9, 7)), ("_wide", 0.3, (3, 515))):
        g.case(f"jitter{name}", lambda x: jitter(x, eps), {"x": g.normal(*shape)})
    positions = g.integers(0, 1000, N)
    for e, k in ((12, 1), (12, 4), (5, 5), (300, 9)):
        g.case(f"hash_{e}_{k}", lambda tokens: hash_choice(tokens, e, k), {"tokens": tokens})
        for name in ("training", "evaluation"):
            g.case(f"random_{e}_{k}_{name}",
                   lambda tokens, positions: random_choice(tokens, positions, e, k, name == "training"),
                   {"tokens": tokens, "positions": positions})
    g.close()


if __name__ == "__main__":
    main()
