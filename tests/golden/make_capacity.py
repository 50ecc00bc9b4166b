#!/usr/bin/env python3
"""ops_capacity.h5: who is dropped where experts are full, which tokens experts choose, and whole layers of both.
Run from anywhere; needs torch, h5py.

The algorithms are written down here from the papers as loops over tokens, and differentiated by PyTorch's autograd."""

import math
import os

import torch
import torch.nn.functional as F

from golden import Golden
from philox import unit, words

RUN_SEED, RUN_STEP, LAYER = 20240917, 3, 5  # of tests/harness/opcase.c, and of the tests
SECOND = 12  # MO_RNG_SECOND
MARGIN = 2e-5  # between the numbers that decide the routing
N, E, D, H = 24, 5, 6, 4
PADDING = (2, 8, 9, 10, 11, 12, 13, 14, 15, 23)  # with groups of 8: one within, a whole group, one at the end


def uniform(n):
    bits = words(RUN_SEED, SECOND, RUN_STEP, LAYER, n)
    return unit(bits[0], bits[1])


def groups(tokens, size):
    for start in range(0, len(tokens), size):
        yield [n for n in range(start, start + size) if tokens[n] >= 0]


def apart(values):
    ordered = torch.sort(torch.as_tensor(values).detach()).values
    assert len(ordered) < 2 or (ordered[1:] - ordered[:-1]).min() > MARGIN, "the routing needs a margin"


def topk(scores, tokens, k):
    for n in range(len(scores)):
        apart(scores[n])
    ids = torch.sort(scores.detach(), dim=-1, descending=True, stable=True).indices[:, :k].to(torch.int32)
    ids[tokens < 0] = -1
    return ids


def limit(factor, choices, valid):
    return min(valid, math.ceil(factor * choices / E - 1e-9))


def capacity(ids, tokens, factor, size, scores=None):
    """GShard's queue (algorithm 1: all first choices, then all second ones); with scores those of a rank in their
    order, as in batch prioritized routing (V-MoE)."""
    kept = torch.full_like(ids, -1)
    for valid in groups(tokens, size):
        most, taken = limit(factor, ids.shape[1] * len(valid), len(valid)), [0] * E
        for k in range(ids.shape[1]):
            line = [n for n in valid if ids[n, k] >= 0]
            if scores is not None:
                line.sort(key=lambda n: -float(scores[n, ids[n, k]]))  # stable
            for n in line:
                e = int(ids[n, k])
                if taken[e] < most:
                    kept[n, k] = e
                taken[e] += 1
    return kept


def capacity_by_topk(ids, tokens, scores, factor):
    """One choice for each token: every expert keeps the top of its column, as Megatron-Core drops by probability."""
    valid = int((tokens >= 0).sum())
    most = limit(factor, valid, valid)
    chosen = F.one_hot(ids[:, 0].long().clamp(min=0), E) * (tokens >= 0)[:, None]
    best = torch.topk(torch.where(chosen > 0, scores, -1.0), most, dim=0).indices
    mask = torch.zeros_like(scores).scatter(0, best, 1) * chosen
    return torch.where(mask.sum(1, keepdim=True) > 0, ids, -1)


def expert_choice(p, tokens, factor, size, ties=False):
    """Zhou 2022, eq. 1: G, I = TopK(S^T, k) of each group's valid tokens."""
    ids = torch.full(p.shape, -1, dtype=torch.int32)
    for valid in groups(tokens, size):
        for e in range(E):
            if not ties:
                apart(p[valid, e])
            order = torch.sort(p[valid, e].detach(), descending=True, stable=True).indices
            for i in order[: limit(factor, len(valid), len(valid))]:
                ids[valid[i], e] = e
    return ids


def keep_second(ids, w, training):
    kept = ids.clone()
    for n in range(len(ids)):
        assert abs(2 * w[n, 1] - uniform(n)) > MARGIN
        if training and uniform(n) >= 2 * w[n, 1]:
            kept[n, 1] = -1
    return kept


# ---- whole layers: sum over kept (n, e) of weight * expert e of x_n ----


def mix(x, w1, w3, w2, weight):
    out = []
    for n in range(len(x)):
        terms = [w * (w2[e] @ (F.silu(w1[e] @ x[n]) * (w3[e] @ x[n]))) for (m, e), w in weight.items() if m == n]
        out.append(sum(terms, torch.zeros(x.shape[1])))
    return torch.stack(out)


def gshard_layer(x, wg, w1, w3, w2, tokens, factor, size, training):
    """GShard, algorithm 1, but that a second choice that is not dispatched at random takes no place (Lingvo)."""
    g = torch.softmax(x @ wg.T, -1)
    ids, weight = topk(g, tokens, 2), {}
    kept = torch.full_like(ids, -1)
    for valid in groups(tokens, size):
        most, count = limit(factor, 2 * len(valid), len(valid)), [0] * E
        for n in valid:
            e1, e2 = int(ids[n, 0]), int(ids[n, 1])
            if count[e1] < most:
                weight[n, e1], kept[n, 0] = g[n, e1] / (g[n, e1] + g[n, e2]), e1
            count[e1] += 1
        for n in valid:
            e1, e2 = int(ids[n, 0]), int(ids[n, 1])
            g2 = g[n, e2] / (g[n, e1] + g[n, e2])
            assert abs(2 * g2 - uniform(n)) > MARGIN
            if training and not 2 * g2 > uniform(n):
                continue
            if count[e2] < most:
                weight[n, e2], kept[n, 1] = g2, e2
            count[e2] += 1
    return mix(x, w1, w3, w2, weight), kept


def switch_layer(x, wg, w1, w3, w2, tokens, factor, size):
    """Fedus 2021, section 2.1: one expert, weighed by its probability; eq. 3 its capacity."""
    p = torch.softmax(x @ wg.T, -1)
    ids = topk(p, tokens, 1)
    kept = capacity(ids, tokens, factor, size)
    weight = {(n, int(kept[n, 0])): p[n, kept[n, 0]] for n in range(N) if kept[n, 0] >= 0}
    return mix(x, w1, w3, w2, weight), kept


def expert_choice_layer(x, wg, w1, w3, w2, tokens, factor, size):
    p = torch.softmax(x @ wg.T, -1)
    ids = expert_choice(p, tokens, factor, size)
    weight = {(n, e): p[n, e] for n in range(N) for e in range(E) if ids[n, e] >= 0}
    return mix(x, w1, w3, w2, weight), ids


def main():
    torch.set_default_dtype(torch.float64)
    folder = os.path.dirname(os.path.abspath(__file__))
    g = Golden(os.path.join(folder, "ops_capacity.h5"), seed=11)
    tokens = g.integers(0, 50, N)
    tokens[list(PADDING)] = -1
    scores = g.uniform(0.1, 1.1, N, E)
    steps = (g.uniform(0, 4, N, E)).floor() / 4
    ids = {k: topk(scores, tokens, k) for k in (1, 2, 3, E)}
    holes = ids[3].clone()
    holes[::3, 1] = -1

    def ranked(name, ids, scores, factor, size):
        g.case(name, lambda ids, tokens, scores: capacity(ids, tokens, factor, size, scores),
               {"ids": ids, "tokens": tokens, "scores": scores}, frozen=("scores",))

    def queued(name, ids, factor, size):
        g.case(name, lambda ids, tokens: capacity(ids, tokens, factor, size), {"ids": ids, "tokens": tokens})

    queued("position_k2_group8", ids[2], 1.0, 8)
    queued("position_k3_group24", ids[3], 0.8, 24)
    queued("position_holes", holes, 0.8, 12)
    ranked("probability_k2_group8", ids[2], scores, 1.0, 8)
    ranked("probability_k3_group24", ids[3], scores, 0.8, 24)
    ranked("probability_all_group12", ids[E], scores, 0.5, 12)
    ranked("probability_ties", ids[3], steps, 0.6, 24)
    ranked("probability_holes", holes, scores, 0.8, 12)
    g.case("probability_k1_by_topk", lambda ids, tokens, scores: capacity_by_topk(ids, tokens, scores, 0.7),
           {"ids": ids[1], "tokens": tokens, "scores": scores}, frozen=("scores",))

    p = {"p": scores, "tokens": tokens}
    for name, factor, size in (("group8", 2.0, 8), ("group24", 1.3, 24), ("group12", 0.4, 12), ("all", float(E), 8)):
        g.case(f"expert_choice_{name}", lambda p, tokens: expert_choice(p, tokens, factor, size), p, frozen=("p",))
    g.case("expert_choice_ties", lambda p, tokens: expert_choice(p, tokens, 2.0, 12, ties=True),
           {"p": steps, "tokens": tokens}, frozen=("p",))

    second = g.uniform(0, 0.5, N, 1)
    pair = {"ids": ids[2], "w": torch.cat([1 - second, second], 1)}
    for name, training in (("training", True), ("evaluation", False)):
        g.case(f"keep_second_{name}", lambda ids, w: keep_second(ids, w, training), pair, frozen=("w",))

    inputs = {"x": g.normal(N, D), "wg": g.normal(E, D, std=0.4), "w1": g.normal(E, H, D), "w3": g.normal(E, H, D),
              "w2": g.normal(E, D, H), "tokens": tokens}
    g.case("gshard_layer", lambda **i: gshard_layer(**i, factor=1.1, size=12, training=True), inputs)
    g.case("gshard_layer_evaluation", lambda **i: gshard_layer(**i, factor=1.1, size=12, training=False), inputs)
    g.case("switch_layer", lambda **i: switch_layer(**i, factor=0.7, size=24), inputs)
    g.case("expert_choice_layer", lambda **i: expert_choice_layer(**i, factor=1.5, size=12), inputs)
    g.close()


main()
