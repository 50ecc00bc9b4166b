#!/usr/bin/env python3
"""ops_plain.h5: PyTorch's values and gradients for the plain ops. Run from anywhere; needs torch, transformers, h5py."""

import os

import torch
import torch.nn.functional as F
import transformers
from transformers.models.mixtral.modeling_mixtral import MixtralRMSNorm, apply_rotary_pos_emb

from golden import Golden


def embedding(tokens, table):
    rows = F.embedding(tokens.clamp(min=0).long(), table)
    return rows * (tokens >= 0).double()[:, None]


def rmsnorm(x, w):
    # MixtralRMSNorm computes in float32 whatever it is given; this is its formula, checked against it below.
    return w * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


def check_rmsnorm(x, w):
    module = MixtralRMSNorm(x.shape[1], eps=1e-5)
    module.weight.data = w.float()
    torch.testing.assert_close(module(x.float()).double(), rmsnorm(x, w), rtol=1e-5, atol=1e-5)


def rope(x, positions, head_dim=4, theta=10000.0):
    inverse = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angle = positions.double()[:, None] * inverse[None, :]
    angle = torch.cat((angle, angle), -1)[None]
    heads = x.reshape(1, x.shape[0], -1, head_dim).transpose(1, 2)
    y, _ = apply_rotary_pos_emb(heads, heads, angle.cos(), angle.sin())
    return y.transpose(1, 2).reshape(x.shape)


def cross_entropy(x, w, targets):
    return F.cross_entropy(x @ w.T, targets.long().where(targets >= 0, torch.tensor(-100)), reduction="sum")


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    g = Golden(os.path.join(folder, "ops_plain.h5"), seed=1, transformers=transformers.__version__)

    tokens = g.integers(0, 11, 20)
    tokens[[3, 17]] = -1
    g.case("embedding", embedding, {"tokens": tokens, "table": g.normal(11, 9)})
    g.case("linear", lambda x, w: F.linear(x, w), {"x": g.normal(40, 33), "w": g.normal(21, 33)})

    x, w = g.normal(13, 48), g.uniform(0.5, 1.5, 48)
    x[5] *= 1e-3
    x[6] *= 100
    check_rmsnorm(x, w)
    g.case("rmsnorm", rmsnorm, {"x": x, "w": w})
    g.case("add", lambda a, b: a + b, {"a": g.normal(6, 10), "b": g.normal(6, 10)})

    positions = torch.tensor([0, 1, 2, 3, 0, 1, 2, 500, 501, 502, 4095, 4095, 32767], dtype=torch.int32)
    g.case("rope", rope, {"x": g.normal(13, 24), "positions": positions})

    def wide():
        x = g.normal(8, 25, std=3)
        x[0, :4] = torch.tensor([-90.0, 90.0, -20.0, 20.0])
        return x

    acts = {"silu": F.silu, "gelu": F.gelu, "relu": F.relu}
    for name, act in acts.items():
        g.case(f"act/{name}", act_of(act), {"x": wide()})
        g.case(f"glu/{name}", glu_of(act), {"gate": wide(), "up": g.normal(8, 25)})

    z = g.normal(15, 12, std=2)
    z[0] *= 20
    g.case("softmax", lambda z: F.softmax(z, dim=-1), {"z": z})

    targets = g.integers(0, 37, 30)
    targets[[0, 11, 29]] = -1
    x = g.normal(30, 24)
    x[4] *= 5
    g.case("cross_entropy", cross_entropy, {"x": x, "w": g.normal(37, 24), "targets": targets})
    g.close()


def act_of(act):
    return lambda x: act(x)


def glu_of(act):
    return lambda gate, up: act(gate) * up


if __name__ == "__main__":
    main()
