#!/usr/bin/env python3
"""ops_losses.h5: values and gradients of the balancing losses where choices have holes and where routers have groups.
Run from anywhere; needs torch, h5py.

The formulas are written down here from the papers, loop by loop, and differentiated by PyTorch's autograd. A token is
padding where tokens says so; a choice of -1 sends a token nowhere."""

import os

import torch

from golden import Golden

N, E, K, GROUP = 12, 6, 3, 4
G, J = 3, 2  # groups of experts, and how many of them a token chooses
WITHIN, K2 = E // G, 1
BIG_G, BIG_WITHIN, BIG_K2 = 3, 4, 2
PADDING = (3, 8, 9, 10, 11)  # one token within a group, and a group of nothing else
MARGIN = 1e-2  # between the scores that decide the routing


def by_group(group, tokens, loss):
    """Sum over groups of valid tokens * loss(their indices)."""
    total = torch.zeros(())
    for start in range(0, len(tokens), group):
        valid = [n for n in range(start, start + group) if tokens[n] >= 0]
        if valid:
            total = total + len(valid) * loss(valid)
    return total


def topk(scores, tokens, k):
    ordered, ids = torch.sort(scores.detach(), dim=-1, descending=True, stable=True)
    gaps = (ordered[:, :-1] - ordered[:, 1:])[tokens >= 0]
    assert gaps.min() > MARGIN, f"the routing needs a margin, not {gaps.min()}"
    ids = ids[:, :k].to(torch.int32)
    ids[tokens < 0] = -1
    return ids


# ---- f.P ----


def switch(p, ids):
    """Fedus 2021, eq. 4-6, for K choices: E/K sum_e f_e P_e."""
    loss = 0
    for e in range(E):
        f = sum(int(choice == e) for row in ids for choice in row) / len(p)
        loss = loss + f * p[:, e].sum() / len(p)
    return loss * E / ids.shape[1]


def gshard(p, ids):
    """Lepikhin 2020, algorithm 1, lines 1-13 (its 1/E sum_e c_e/S m_e), times E^2. The capacity, which line 8
    tests, does not enter c_e."""
    S = len(p)
    c, m = [0] * E, [p[:, e].sum() / S for e in range(E)]
    for s in range(S):
        e1 = int(ids[s, 0])
        if e1 >= 0:
            c[e1] = c[e1] + 1
    return sum(c[e] / S * m[e] for e in range(E)) / E * E**2


def deepseek_v2(z, tokens):
    """arXiv:2405.04434, eq. 21-25: the expert-level loss over each sequence, alpha_1 = 1; s = softmax."""
    s = torch.softmax(z, -1)
    chosen = topk(s, tokens, K)

    def sequence(tokens_of):
        T, loss = len(tokens_of), 0
        for i in range(E):
            f = E / (K * T) * sum(int(i in chosen[t]) for t in tokens_of)
            P = 1 / T * sum(s[t, i] for t in tokens_of)
            loss = loss + f * P
        return loss

    return by_group(GROUP, tokens, sequence), chosen


def deepseek_v3(z, tokens):
    """arXiv:2412.19437, eq. 15 and 17-20; the K largest s are without the bias."""
    s = torch.sigmoid(z)
    largest = topk(s, tokens, K)

    def sequence(tokens_of):
        T, loss = len(tokens_of), 0
        for i in range(E):
            f = E / (K * T) * sum(int(i in largest[t]) for t in tokens_of)
            P = 1 / T * sum(s[t, i] / sum(s[t, j] for j in range(E)) for t in tokens_of)
            loss = loss + f * P
        return loss

    return by_group(GROUP, tokens, sequence), largest


# ---- Shazeer 2017 ----


def cv2(x):
    mean = x.sum() / len(x)
    return ((x - mean) ** 2).sum() / len(x) / mean**2


def importance(w, ids):
    """Eq. 6 and 7; of two levels, eq. 13, where w is the product of both gates."""
    return cv2(torch.stack([(w * (ids == e)).sum() for e in range(E)]))


def smooth(z, h, sigma, k, i):
    """P(x, i) of eq. 9: i's noise drawn again."""
    threshold = torch.sort(torch.cat([h[:i], h[i + 1 :]]), descending=True).values[k - 1]
    return torch.distributions.Normal(0.0, 1.0).cdf((z[i] - threshold) / sigma[i])


def load_two(first, second, groups, within, k2, training):
    """Appendix B, eq. 14: Load_H(X)_i,j = Load_primary(X)_i Load_i(X^(i))_j / |X^(i)|. X^(i) empty: even."""
    z1, h1, s1, ids1 = first
    z2, h2, s2, ids2 = second
    loads = []
    for i in range(groups):
        primary = sum(smooth(z1[n], h1[n], s1[n], J, i) if training else float(i in ids1[n]) for n in range(len(z1)))
        subset = [n for n in range(len(z1)) if i in ids1[n]]
        span = slice(i * within, (i + 1) * within)
        for j in range(within):
            if not subset:
                loads.append(primary * k2 / within)
            elif not training or k2 == within:
                loads.append(primary * sum(float(i * within + j in ids2[n]) for n in subset) / len(subset))
            else:
                of_j = sum(smooth(z2[n, span], h2[n, span], s2[n, span], k2, j) for n in subset)
                loads.append(primary * of_j / len(subset))
    return cv2(torch.stack([torch.as_tensor(x) for x in loads]))


def within_groups(h2, ids1, tokens, groups, within, k2):
    """The k2 largest of each chosen group, in the order of ids1."""
    rows = [topk(h2[:, i * within : (i + 1) * within], tokens, k2) + i * within for i in range(groups)]
    out = torch.full((len(h2), J * k2), -1, dtype=torch.int32)
    for n in range(len(h2)):
        for j in range(J):
            if tokens[n] >= 0:
                out[n, j * k2 : (j + 1) * k2] = rows[ids1[n, j]][n]
    return out


def two_levels(z1, h1, sigma1, z2, h2, sigma2, ids2, tokens, group, training):
    groups = z1.shape[1]
    within, k2 = z2.shape[1] // groups, ids2.shape[1] // J
    ids1 = topk(h1, tokens, J)

    def loss(v):
        return load_two((z1[v], h1[v], sigma1[v], ids1[v]), (z2[v], h2[v], sigma2[v], ids2[v]), groups, within, k2,
                        training)

    unused = 0 if training else 0 * (z1 + h1 + sigma1).sum() + 0 * (z2 + h2 + sigma2).sum()
    return by_group(group, tokens, loss) + unused, ids1


def hierarchical(z1, h1, sigma1, z2, h2, sigma2, tokens):
    """Eq. 12's weights, and the losses of eq. 13 and 14 over all tokens."""
    groups, k2 = z1.shape[1], BIG_K2
    within = z2.shape[1] // groups
    ids1 = topk(h1, tokens, J)
    ids2 = within_groups(h2, ids1, tokens, groups, within, k2)
    w = []
    for n in range(len(h1)):
        row = []
        for j in range(J):
            if tokens[n] < 0:
                row.append(torch.zeros(k2))
                continue
            first = torch.exp(h1[n, ids1[n, j]]) / sum(torch.exp(h1[n, i]) for i in ids1[n])
            chosen = ids2[n, j * k2 : (j + 1) * k2]
            row.append(torch.stack([first * torch.exp(h2[n, e]) / sum(torch.exp(h2[n, i]) for i in chosen)
                                    for e in chosen]))
        w.append(torch.cat(row))
    w = torch.stack(w)
    valid = [n for n in range(len(h1)) if tokens[n] >= 0]
    sums = torch.stack([(w * (ids2 == e)).sum() for e in range(z2.shape[1])])
    load, _ = two_levels(z1, h1, sigma1, z2, h2, sigma2, ids2, tokens, N, True)
    return w, len(valid) * cv2(sums), load, ids2


def separated(g, rows, width):
    """Scores whose order has a margin."""
    order = torch.argsort(g.normal(rows, width), dim=-1).double()
    return (0.4 * order + g.uniform(-0.1, 0.1, rows, width) - 0.2 * width).float().double()


def two_inputs(g, tokens, groups, within, k2, empty=None):
    h1, h2 = separated(g, N, groups), torch.cat([separated(g, N, within) for _ in range(groups)], 1)
    if empty is not None:
        h1[:, empty] = h1.min(-1).values - 0.5
    ids2 = within_groups(h2, topk(h1, tokens, J), tokens, groups, within, k2)
    return {"z1": h1 + g.normal(N, groups, std=0.3), "h1": h1, "sigma1": g.uniform(0.3, 1.3, N, groups),
            "z2": h2 + g.normal(N, groups * within, std=0.3), "h2": h2,
            "sigma2": g.uniform(0.3, 1.3, N, groups * within), "ids2": ids2, "tokens": tokens}


def main():
    torch.set_default_dtype(torch.float64)
    folder = os.path.dirname(os.path.abspath(__file__))
    g = Golden(os.path.join(folder, "ops_losses.h5"), seed=17)
    tokens = g.integers(0, 50, N)
    tokens[list(PADDING)] = -1
    z = separated(g, N, E)
    p = torch.softmax(z, -1).float().double()
    ids = topk(z, tokens, K)
    for n, k in ((0, 1), (2, 2), (5, 0), (6, 0), (6, 1), (6, 2)):  # dropped choices; token 6 has none left
        ids[n, k] = -1
    for name, group in (("microbatch", N), ("sequence", GROUP)):
        for loss in (switch, gshard):
            g.case(f"balance_{loss.__name__}_{name}",
                   lambda p, ids, tokens: by_group(group, tokens, lambda v: loss(p[v], ids[v])),
                   {"p": p, "ids": ids, "tokens": tokens})
        g.case(f"balance_importance_{name}",
               lambda w, ids, tokens: by_group(group, tokens, lambda v: importance(w[v], ids[v])),
               {"w": g.uniform(0.1, 1, N, K), "ids": ids, "tokens": tokens})

    g.case("deepseek_v2", deepseek_v2, {"z": z, "tokens": tokens})
    g.case("deepseek_v3", deepseek_v3, {"z": separated(g, N, E), "tokens": tokens})

    shapes = {"": (G, WITHIN, K2), "_wide": (BIG_G, BIG_WITHIN, BIG_K2), "_whole": (G, WITHIN, WITHIN)}
    for shape, (groups, within, k2) in shapes.items():
        inputs = two_inputs(g, tokens, groups, within, k2)
        for name, group in (("microbatch", N), ("sequence", GROUP)):
            for training in (True, False):
                g.case(f"load_two{shape}_{name}{'' if training else '_hard'}",
                       lambda **given: two_levels(**given, group=group, training=training), inputs)
    inputs = two_inputs(g, tokens, G, WITHIN, K2, empty=1)
    g.case("load_two_empty", lambda **given: two_levels(**given, group=N, training=True), inputs)
    inputs = two_inputs(g, tokens, BIG_G, BIG_WITHIN, BIG_K2)
    del inputs["ids2"]
    g.case("hierarchical", hierarchical, inputs)
    g.close()


main()
