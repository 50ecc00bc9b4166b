#!/usr/bin/env python3
"""lora_tiny.h5: a small Mixtral of Hugging Face's transformers with low-rank adapters of our own beside every matrix of
attention and of each expert, computed in double. Run from anywhere; needs torch, transformers, h5py. Layout: that of
make_mixtral.py, with adapters among parameters/, whose gradients alone are there, and lora_rank and lora_alpha in
config. y = W x + alpha / rank B A x (Hu et al. 2021, eq. 3), written out for one matrix and one expert at a time."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import MixtralConfig, MixtralForCausalLM

from models import gradients, initialise, margin, moira_names, write
from precision import Float64

SEED, BATCH, SEQUENCE, MARGIN = 19, 2, 12, 0.03
RANK, ALPHA = 3, 5.0
CONFIG = dict(vocab_size=32, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=32, num_local_experts=4, num_experts_per_tok=2,
              rms_norm_eps=1e-5, router_aux_loss_coef=0.02)
THETA = 10000.0
SCALE = ALPHA / RANK


class Adapted(nn.Module):
    def __init__(self, base, lora):
        super().__init__()
        self.base, self.lora = base, lora

    def forward(self, x):
        return self.base(x) + SCALE * (x @ self.lora["A"].T) @ self.lora["B"].T


class AdaptedExperts(nn.Module):
    """One token and one expert at a time."""

    def __init__(self, base, lora):
        super().__init__()
        self.base, self.lora = base, lora

    def low(self, name, e, x):
        return SCALE * self.lora[name + "B"][e] @ (self.lora[name + "A"][e] @ x)

    def forward(self, hidden, ids, weights):
        tokens = []
        for x, token_ids, token_weights in zip(hidden, ids, weights):
            out = torch.zeros_like(x)
            for e, w in zip(token_ids.tolist(), token_weights):
                w1, w3 = self.base.gate_up_proj[e].chunk(2)
                gate, up = w1 @ x + self.low("w1", e, x), w3 @ x + self.low("w3", e, x)
                h = F.silu(gate) * up
                out = out + w * (self.base.down_proj[e] @ h + self.low("w2", e, h))
            tokens.append(out)
        return torch.stack(tokens)


def pair(outputs, inputs, generator, experts=()):
    """A and B, neither of them zero, on a coarse grid."""
    def draw(*shape):
        x = torch.randn(*experts, *shape, generator=generator, dtype=torch.float64) * 0.5 / shape[-1] ** 0.5
        return nn.Parameter(torch.round(x * 128) / 128)

    return {"A": draw(RANK, inputs), "B": draw(outputs, RANK)}


def adapt(model, generator):
    """Puts adapters in; returns them by our names."""
    named, width, inner = {}, CONFIG["hidden_size"], CONFIG["intermediate_size"]
    for l, layer in enumerate(model.model.layers):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            base = getattr(layer.self_attn, name)
            lora = pair(*base.weight.shape, generator)
            setattr(layer.self_attn, name, Adapted(base, nn.ParameterDict(lora)))
            for which, p in lora.items():
                named[f"model.layers.{l}.self_attn.{name}.lora_{which}.weight"] = p
        experts = {}
        for name, outputs, inputs in (("w1", inner, width), ("w2", width, inner), ("w3", inner, width)):
            for which, p in pair(outputs, inputs, generator, (CONFIG["num_local_experts"],)).items():
                experts[name + which] = p
                named[f"model.layers.{l}.block_sparse_moe.experts.{name}.lora_{which}.weight"] = p
        layer.mlp.experts = AdaptedExperts(layer.mlp.experts, nn.ParameterDict(experts))
    return named


def make_model():
    config = MixtralConfig(**CONFIG, rope_parameters={"rope_type": "default", "rope_theta": THETA}, hidden_act="silu",
                           tie_word_embeddings=False, output_router_logits=True, attn_implementation="eager")
    config._experts_implementation = "eager"
    with Float64():
        return MixtralForCausalLM(config).double()


def main():
    generator = torch.Generator().manual_seed(SEED)
    model = make_model()
    initialise(model, generator)
    tokens = torch.randint(0, CONFIG["vocab_size"], (BATCH, SEQUENCE), generator=generator)
    targets = torch.randint(0, CONFIG["vocab_size"], (BATCH, SEQUENCE), generator=generator)
    data = {"tokens": tokens.int(), "targets": targets.int()}
    for name, p in model.named_parameters():
        for moira, value in moira_names(name, p.detach()):
            data[f"parameters/{moira}"] = value.clone()
    with Float64():
        base = model(input_ids=tokens, use_cache=False).logits.detach()
    for p in model.parameters():
        p.requires_grad_(False)
    named = adapt(model, generator)
    cross_entropy, aux, out = gradients(model, tokens, targets, CONFIG["router_aux_loss_coef"])
    gap = margin(out.router_logits, 2)
    assert gap > MARGIN, f"routing is decided by {gap:.4f}: try another SEED"
    assert (out.logits - base).abs().max() > 0.1
    for name, p in named.items():
        data[f"parameters/{name}"] = p.detach()
        data[f"gradients/{name}"] = p.grad
    data |= {"logits": out.logits.detach(),
             "ids": torch.stack([z.topk(2).indices.int() for z in out.router_logits]),
             "cross_entropy": torch.tensor([cross_entropy], dtype=torch.float64),
             "aux_loss": torch.tensor([aux], dtype=torch.float64)}
    config = {**CONFIG, "rope_theta": THETA, "router_margin": gap, "lora_rank": RANK, "lora_alpha": ALPHA}
    write("lora_tiny.h5", "make_lora.py", {"config": config}, {path: value.numpy() for path, value in data.items()},
          bits={"gradients": 18, "logits": 22})


if __name__ == "__main__":
    main()
