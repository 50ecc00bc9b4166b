#!/usr/bin/env python3
"""ops_parts.h5: PyTorch's values and gradients for layernorm, rmsnorm per head, and clamp. Run from anywhere; needs
torch, transformers, h5py."""

import os

import torch
import torch.nn.functional as F
import transformers
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from golden import Golden


def layernorm(x, w):
    return F.layer_norm(x, w.shape, w, None, 1e-5)


def head_norm(x, w):
    heads = x.reshape(x.shape[0], -1, w.shape[0])
    return (w * heads * torch.rsqrt(heads.pow(2).mean(-1, keepdim=True) + 1e-6)).reshape(x.shape)


def check_head_norm(x, w):
    """Qwen3's own module computes in float32 whatever it is given."""
    module = Qwen3RMSNorm(w.shape[0], eps=1e-6)
    module.weight.data = w.float()
    got = module(x.float().view(x.shape[0], -1, w.shape[0])).view(x.shape).double()
    torch.testing.assert_close(got, head_norm(x, w), rtol=1e-5, atol=1e-5)


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    g = Golden(os.path.join(folder, "ops_parts.h5"), seed=5, transformers=transformers.__version__)

    x, w = g.normal(13, 150), g.uniform(0.5, 1.5, 150)
    x[3] *= 1e-3
    x[4] = 30 + x[4]
    g.case("layernorm", layernorm, {"x": x, "w": w})

    x, w = g.normal(11, 60), g.uniform(0.5, 1.5, 12)
    x[5] *= 1e-3
    x[6, 12:24] *= 100
    check_head_norm(x, w)
    g.case("rmsnorm/heads", head_norm, {"x": x, "w": w})

    x = g.normal(9, 21, std=2)
    x[0, :2] = torch.tensor([0.0, 40.0])
    g.case("clamp", lambda x: x.clamp(-1.5, 1.5), {"x": x})
    g.close()


if __name__ == "__main__":
    main()
