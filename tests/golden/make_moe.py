#!/usr/bin/env python3
"""ops_moe.h5: values and gradients of the router and Mixture-of-Experts ops, and of whole routers and MoE layers.
Run from anywhere; needs torch, transformers, h5py.

The formulas are written down here from the papers, in the most literal way, and differentiated by PyTorch's autograd;
where Hugging Face's code is the definition, it is that code that runs, in double."""

import math
import os

import torch
import torch.nn.functional as F
import transformers
from transformers.models.mixtral import modeling_mixtral as mixtral
from transformers.models.olmoe import modeling_olmoe as olmoe

from golden import Golden
from philox import normal
from precision import Float64

RUN_SEED, RUN_STEP, LAYER = 20240917, 3, 5  # of tests/harness/opcase.c, and of the tests
MARGIN = 1e-3  # between the scores that decide the routing
N, E, K, D, H, GROUP = 12, 5, 2, 6, 4, 4
PADDING = (3, 8, 9, 10, 11)  # one token within a group, and a group of nothing else


def noise(n, e):
    return torch.tensor([[normal(RUN_SEED, RUN_STEP, LAYER, i * e + j) for j in range(e)] for i in range(n)])


# ---- routing ----


def noisy_logits(z, s, floor, training=True):
    sigma = torch.log(1 + torch.exp(s)) + floor
    return (z + noise(*z.shape) * sigma if training else z + 0), sigma


def topk(scores, tokens, k):
    ordered, ids = torch.sort(scores.detach(), dim=-1, descending=True, stable=True)
    kept = F.pad(ordered[tokens >= 0], (0, 1), value=-1e3)
    assert (kept[:, :k] - kept[:, 1 : k + 1]).min() > MARGIN, "the routing needs a margin"
    ids = ids[:, :k].to(torch.int32)
    ids[tokens < 0] = -1
    return ids


def gate(scores, ids, mode):
    rows = []
    for score, id_k in zip(scores, ids):
        if id_k[0] < 0:
            rows.append(torch.zeros(len(id_k)))
            continue
        c = score[id_k.long()]
        rows.append({"select": c, "normalise": c / c.sum(), "softmax": torch.softmax(c, 0)}[mode])
    return torch.stack(rows)


def dispatch(ids):
    pairs = sorted((int(e), n, k) for n, row in enumerate(ids) for k, e in enumerate(row) if e >= 0)
    offsets = torch.tensor([sum(pair[0] < e for pair in pairs) for e in range(E + 1)], dtype=torch.int32)
    token, row = torch.full((ids.numel(),), -1, dtype=torch.int32), torch.full_like(ids, -1)
    for r, (_, n, k) in enumerate(pairs):
        token[r], row[n, k] = n, r
    return offsets, token, row


def gather(x, ids):
    _, token, _ = dispatch(ids)
    return torch.stack([x[n] if n >= 0 else torch.zeros(x.shape[1]) for n in token])


def experts(x, w, ids):
    offsets, _, _ = dispatch(ids)
    rows = []
    for r in range(len(x)):
        owner = [e for e in range(E) if offsets[e] <= r < offsets[e + 1]]
        rows.append(w[owner[0]] @ x[r] if owner else torch.zeros(w.shape[1]))
    return torch.stack(rows)


def combine(y, w, ids):
    _, _, row = dispatch(ids)
    out = []
    for n in range(len(row)):
        terms = [w[n, k] * y[r] for k, r in enumerate(row[n]) if r >= 0]
        out.append(sum(terms, torch.zeros(y.shape[1])))
    return torch.stack(out)


# ---- losses of one group of valid tokens ----


def cv2(x):
    mean = x.sum() / len(x)
    return ((x - mean) ** 2).sum() / len(x) / mean**2


def importance(w, ids):
    return cv2(torch.stack([(w * (ids == e)).sum() for e in range(E)]))


def kth_excluding(h, k, e):
    """The k-th largest component of h without e (Shazeer 2017, appendix A)."""
    return torch.sort(torch.cat([h[:e], h[e + 1 :]]), descending=True).values[k - 1]


def load(z, h, sigma):
    cdf = torch.distributions.Normal(0.0, 1.0).cdf
    return cv2(torch.stack([sum(cdf((z[n, e] - kth_excluding(h[n], K, e)) / sigma[n, e]) for n in range(len(z)))
                            for e in range(E)]))


def hard_load(ids):
    return cv2(torch.stack([(ids == e).sum().double() for e in range(E)]))


def by_group(group, ids, loss):
    """Sum over groups of valid tokens * loss(their indices)."""
    total = torch.zeros(())
    for start in range(0, len(ids), group):
        valid = [n for n in range(start, start + group) if ids[n, 0] >= 0]
        if valid:
            total = total + len(valid) * loss(valid)
    return total


# ---- whole routers and layers ----


def shazeer(x, wg, wn, tokens):
    """Noisy top-K gating with both losses (Shazeer 2017, section 2.1, section 4, appendix A)."""
    z = x @ wg.T
    h, sigma = noisy_logits(z, x @ wn.T, 0.0)
    ids = topk(h, tokens, K)
    topk(h, tokens, K + 1)
    w = gate(h, ids, "softmax")
    return (w, by_group(N, ids, lambda v: importance(w[v], ids[v])),
            by_group(N, ids, lambda v: load(z[v], h[v], sigma[v])), ids)


def mixtral_loss(z0, z1, z2, tokens):
    mask = (tokens >= 0).reshape(3, -1)
    with Float64():
        loss = mixtral.load_balancing_loss_func((z0, z1, z2), E, K, None if mask.all() else mask)
    ids = [topk(torch.softmax(z, -1), tokens, K) for z in (z0, z1, z2)]
    return mask.sum() * loss, *ids


def layer(x, wg, w1, w3, w2, tokens, mode):
    p = torch.softmax(x @ wg.T, -1)
    ids = topk(p, tokens, K)
    w, out = gate(p, ids, mode), []
    for n in range(len(x)):
        terms = [w[n, k] * (w2[e] @ (F.silu(w1[e] @ x[n]) * (w3[e] @ x[n]))) for k, e in enumerate(ids[n]) if e >= 0]
        out.append(sum(terms, torch.zeros(x.shape[1])))
    return torch.stack(out), ids


def block_layer(block, x, wg, w1, w3, w2, tokens, mode):
    weights = {"gate.weight": wg, "experts.gate_up_proj": torch.cat([w1, w3], 1), "experts.down_proj": w2}
    with Float64():
        out = torch.func.functional_call(block, weights, (x.unsqueeze(0),)).squeeze(0)
    plain, ids = layer(x, wg, w1, w3, w2, tokens, mode)
    torch.testing.assert_close(out, plain, rtol=0, atol=1e-13)
    return out, ids


def mixtral_layer(**inputs):
    config = mixtral.MixtralConfig(hidden_size=D, intermediate_size=H, num_local_experts=E, num_experts_per_tok=K)
    config._experts_implementation = "eager"
    return block_layer(mixtral.MixtralSparseMoeBlock(config), mode="normalise", **inputs)


def olmoe_layer(**inputs):
    config = olmoe.OlmoeConfig(hidden_size=D, intermediate_size=H, num_experts=E, num_experts_per_tok=K,
                               norm_topk_prob=False)
    config._experts_implementation = "eager"
    return block_layer(olmoe.OlmoeSparseMoeBlock(config), mode="select", **inputs)


def main():
    torch.set_default_dtype(torch.float64)
    folder = os.path.dirname(os.path.abspath(__file__))
    g = Golden(os.path.join(folder, "ops_moe.h5"), seed=7, transformers=transformers.__version__)
    all_tokens = g.integers(0, 50, N)
    tokens = all_tokens.clone()
    tokens[list(PADDING)] = -1

    inputs = {"z": g.normal(N, E), "s": g.normal(N, E, std=3)}
    g.case("noisy_logits", lambda z, s: noisy_logits(z, s, 0.01), inputs)
    g.case("noisy_logits_evaluation", lambda z, s: noisy_logits(z, s, 0.01, training=False), inputs)
    g.put("noise", noise(N, E))

    scores = g.uniform(0.1, 1.1, N, E)
    ids = topk(scores, tokens, K)
    for k in (K, E):
        g.case(f"topk_{k}", lambda scores, tokens: topk(scores, tokens, k), {"scores": scores, "tokens": tokens},
               frozen=("scores",))
    for mode in ("select", "normalise", "softmax"):
        g.case(f"gate_{mode}", lambda scores, ids: gate(scores, ids, mode), {"scores": scores, "ids": ids})
    g.case("dispatch", dispatch, {"ids": ids})
    g.case("gather", gather, {"x": g.normal(N, D), "ids": ids})
    g.case("experts", experts, {"x": g.normal(N * K, D), "w": g.normal(E, H, D), "ids": ids})
    g.case("combine", combine, {"y": g.normal(N * K, D), "w": g.normal(N, K), "ids": ids})

    noisy = {"z": g.normal(N, E), "h": g.normal(N, E), "sigma": g.uniform(0.3, 1.3, N, E), "tokens": tokens}
    for name, group in (("microbatch", N), ("sequence", GROUP)):
        def smooth(z, h, sigma, tokens):
            topk(h, tokens, K + 1)
            chosen = topk(h, tokens, K)
            return by_group(group, chosen, lambda v: load(z[v], h[v], sigma[v])), chosen

        def hard(z, h, sigma, tokens):
            chosen = topk(h, tokens, K)
            return by_group(group, chosen, lambda v: hard_load(chosen[v])) + 0 * (z + h + sigma).sum(), chosen

        g.case(f"balance_load_{name}", smooth, noisy)
        g.case(f"balance_load_{name}_hard", hard, noisy)
    g.case("z_loss", lambda z, tokens: (torch.logsumexp(z, -1) ** 2 * (tokens >= 0)).sum(),
           {"z": g.normal(N, E, std=4), "tokens": tokens})

    inputs = {"x": g.normal(N, D), "wg": g.normal(E, D), "wn": g.normal(E, D)}
    g.case("shazeer", shazeer, {**inputs, "tokens": all_tokens})
    g.case("shazeer_padded", shazeer, {**inputs, "tokens": tokens})

    inputs = {f"z{i}": g.normal(N, E, std=2) for i in range(3)}
    g.case("mixtral_loss", mixtral_loss, {**inputs, "tokens": all_tokens})
    g.case("mixtral_loss_masked", mixtral_loss, {**inputs, "tokens": tokens})

    inputs = {"x": g.normal(N, D), "wg": g.normal(E, D), "w1": g.normal(E, H, D), "w3": g.normal(E, H, D),
              "w2": g.normal(E, D, H)}
    g.case("mixtral_layer", mixtral_layer, {**inputs, "tokens": all_tokens})
    g.case("olmoe_layer", olmoe_layer, {**inputs, "tokens": all_tokens})
    g.case("mixtral_layer_padded", lambda **i: layer(**i, mode="normalise"), {**inputs, "tokens": tokens})
    g.close()


main()
