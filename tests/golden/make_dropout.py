#!/usr/bin/env python3
"""ops_dropout.h5: dropout and attention with dropout, with the masks that src/ops/dropout.h defines made again here.
Run from anywhere; needs torch, h5py.

PyTorch's scaled_dot_product_attention drops from normalised probabilities; its own masks cannot be given, so the
formula of its documentation runs here with ours."""

import os

import torch
import torch.nn.functional as F

from golden import Golden
from make_attention import starts_of
from philox import DROPOUT, words

RUN_SEED, RUN_STEP = 20240917, 3  # of tests/harness/opcase.c
ELEMENT_STREAM, ATTENTION_STREAM = 7, 77  # of test_dropout.c and test_attention.c


def factors(p, stream, first, count):
    """1 / (1 - p), or 0 where the element's word is below p 2^32; first is a multiple of 4."""
    kept = []
    for place in range(first // 4, (first + count + 3) // 4):
        kept += words(RUN_SEED, DROPOUT, RUN_STEP, stream, place)
    return torch.tensor([0.0 if w < round(p * 2**32) else 1 / (1 - p) for w in kept[:count]])


def dropout(p):
    return lambda x: x * factors(p, ELEMENT_STREAM, 0, x.numel()).reshape(x.shape)


def attention(length, head_dim, p):
    """As in make_attention.py, and with dropout of the probabilities."""

    def function(q, k, v, starts):
        def heads(x):  # [B, heads, T, d]
            return x.reshape(-1, length, x.shape[1] // head_dim, head_dim).transpose(1, 2)

        at = torch.arange(length)
        seen = (at[None, None, :] <= at[None, :, None]) & (at[None, None, :] >= starts.reshape(-1, length, 1))
        group = q.shape[1] // k.shape[1]
        q, k, v = heads(q), heads(k).repeat_interleave(group, 1), heads(v).repeat_interleave(group, 1)
        bias = torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))[:, None]
        torch.testing.assert_close(F.scaled_dot_product_attention(q, k, v, attn_mask=bias),
                                   torch.softmax(q @ k.mT / head_dim**0.5 + bias, -1) @ v)
        probabilities = torch.softmax(q @ k.mT / head_dim**0.5 + bias, -1)
        b, h = q.shape[:2]
        width = (length + 3) // 4 * 4
        mask = factors(p, ATTENTION_STREAM, 0, b * length * h * width).reshape(b, length, h, width)
        o = (probabilities * mask[..., :length].transpose(1, 2)) @ v
        return o.transpose(1, 2).reshape(b * length, -1)

    return function


def main():
    torch.set_default_dtype(torch.float64)
    folder = os.path.dirname(os.path.abspath(__file__))
    g = Golden(os.path.join(folder, "ops_dropout.h5"), seed=11)
    for name, p, shape in (("tenth", 0.1, (9, 7)), ("half", 0.5, (40, 33)), ("most", 0.9, (3, 5))):
        g.case(name, dropout(p), {"x": g.normal(*shape)})

    def case(name, length, head_dim, heads, kv_heads, p, *documents):
        n = length * len(documents)
        g.case(name, attention(length, head_dim, p), {
            "q": g.normal(n, heads * head_dim), "k": g.normal(n, kv_heads * head_dim),
            "v": g.normal(n, kv_heads * head_dim), "starts": starts_of(length, *documents)})

    case("dropped", 11, 4, 4, 2, 0.25, [], [3, 4, 9])
    case("dropped_heads", 6, 2, 3, 3, 0.5, [2], [], [1])
    case("dropped_blocks", 150, 4, 2, 1, 0.1, [], [37, 64, 129])
    g.close()


if __name__ == "__main__":
    main()
