#!/usr/bin/env python3
"""ops_attention.h5: PyTorch's scaled_dot_product_attention under explicit masks. Run from anywhere; needs torch, h5py."""

import os

import torch
import torch.nn.functional as F

from golden import Golden


def attention(length, head_dim):
    """q [N, H d], k and v [N, Hkv d]; query t of a sequence sees keys starts_t .. t of the same sequence."""

    def function(q, k, v, starts):
        def heads(x):  # [B, heads, T, d]
            return x.reshape(-1, length, x.shape[1] // head_dim, head_dim).transpose(1, 2)

        at = torch.arange(length)
        mask = (at[None, None, :] <= at[None, :, None]) & (at[None, None, :] >= starts.reshape(-1, length, 1))
        o = F.scaled_dot_product_attention(heads(q), heads(k), heads(v), attn_mask=mask[:, None], enable_gqa=True)
        return o.transpose(1, 2).reshape(q.shape)

    return function


def starts_of(length, *documents):
    """One list of first tokens per sequence; 0 is always one."""
    rows = []
    for firsts in documents:
        starts = torch.zeros(length, dtype=torch.int32)
        for first in firsts:
            starts[first:] = first
        rows.append(starts)
    return torch.cat(rows)


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    g = Golden(os.path.join(folder, "ops_attention.h5"), seed=3)

    def case(name, length, head_dim, heads, kv_heads, *documents, std=1.0):
        n = length * len(documents)
        g.case(name, attention(length, head_dim), {
            "q": g.normal(n, heads * head_dim, std=std), "k": g.normal(n, kv_heads * head_dim),
            "v": g.normal(n, kv_heads * head_dim), "starts": starts_of(length, *documents)})

    case("grouped", 11, 4, 4, 2, [], [3, 4, 9])
    case("one_kv_head", 7, 6, 3, 1, [])
    case("own_kv_heads", 5, 2, 3, 3, [2], [], [1])
    # Scores up to about 100: softmax is all but a maximum.
    case("sharp", 9, 4, 2, 1, [], [5], std=30.0)
    # Past the blocks of 64 queries and 128 keys; documents that begin inside them, at their edges, and skip one whole.
    case("blocks", 150, 4, 2, 1, [], [37, 64, 129])
    case("late", 200, 2, 2, 2, [140])
    g.close()


if __name__ == "__main__":
    main()
