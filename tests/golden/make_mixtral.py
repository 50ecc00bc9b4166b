#!/usr/bin/env python3
"""mixtral_tiny.h5: a small Mixtral of Hugging Face's transformers, computed in double: logits, losses, every gradient,
and five AdamW steps. Run from anywhere; needs torch, transformers, h5py. Layout:

    config              attributes: Hugging Face's names and numbers, router_margin (logits, smallest gap that decides)
    tokens, targets     int32 [batch, sequence]; every target counts
    parameters/<name>   float32, exact; names are Moira's
    gradients/<name>    of cross_entropy + router_aux_loss_coef * aux_loss; to 2^-16 of the largest or better
    updates/<name>      parameters after five steps minus before; to 2^-11 of the largest or better
    logits, ids         [batch, sequence, vocab], to 2^-22 of the largest or better; int32 [layer, token, 2], falling
    cross_entropy, aux_loss, grad_norm
                        float64 [6]: before each of the five steps and after the last; means over tokens; the norm is
                        of the unclipped gradient

A step is clip_grad_norm_(1.0), then AdamW (learning rate 1e-3, betas 0.9 and 0.95, epsilon 1e-8, weight decay 0.1 on
all but vectors). Initial weights lie on a coarse grid, and what need not be exact is rounded: the file stays small."""

import copy

import torch
import torch.nn.functional as F
from transformers import MixtralConfig, MixtralForCausalLM

from models import check_in_float, gradients, initialise, margin, moira_names, write
from precision import Float64

SEED, TARGET_SEED, BATCH, SEQUENCE, STEPS = 631, 462, 2, 16, 5
MARGIN, FLOAT_DRIFT = 0.03, 4e-6
CONFIG = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=32, num_local_experts=4, num_experts_per_tok=2,
              rms_norm_eps=1e-5, router_aux_loss_coef=0.02)
THETA = 10000.0


def make_model():
    config = MixtralConfig(**CONFIG, rope_parameters={"rope_type": "default", "rope_theta": THETA}, hidden_act="silu",
                           tie_word_embeddings=False, output_router_logits=True, attn_implementation="eager")
    config._experts_implementation = "eager"
    with Float64():
        return MixtralForCausalLM(config).double()


def optimizer_of(model):
    groups = [{"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
              {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)


def drift_in_float(start, end, tokens, targets):
    """How far the library's own float32 training ends from the double one. AdamW divides a gradient by its size, so
    an element whose gradient passes near zero can move by the learning rate on rounding alone; the targets are
    chosen so that none does."""
    model = copy.deepcopy(start).float()
    optimizer = optimizer_of(model)
    for _ in range(STEPS):
        model.zero_grad()
        out = model(input_ids=tokens, use_cache=False)
        loss = F.cross_entropy(out.logits.flatten(0, 1), targets.flatten())
        (loss + CONFIG["router_aux_loss_coef"] * out.aux_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return max((a.double() - b).abs().max().item() for a, b in zip(model.parameters(), end.parameters()))


def run(seed, target_seed):
    """Everything that the file holds, as numpy arrays by path; the router's margin; the drift in float32."""
    generator = torch.Generator().manual_seed(seed)
    model = make_model()
    initialise(model, generator)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    tokens = torch.randint(0, CONFIG["vocab_size"], (BATCH, SEQUENCE), generator=generator)
    targets = torch.randint(0, CONFIG["vocab_size"], (BATCH, SEQUENCE), generator=generator.manual_seed(target_seed))
    data = {"tokens": tokens.int(), "targets": targets.int()}
    start = copy.deepcopy(model)
    optimizer = optimizer_of(model)
    history, gap = [], float("inf")
    for step in range(STEPS + 1):
        cross_entropy, aux, out = gradients(model, tokens, targets, CONFIG["router_aux_loss_coef"])
        gap = min(gap, margin(out.router_logits, 2))
        if step == 0:
            check_in_float(model, tokens, out.logits, out.aux_loss)
            data["logits"] = out.logits.detach()
            assert margin(out.router_logits, 2, first=0) > MARGIN / 4
            data["ids"] = torch.stack([z.topk(2).indices.int() for z in out.router_logits])
            for name, p in model.named_parameters():
                for moira, grad in moira_names(name, p.grad.clone()):
                    data[f"gradients/{moira}"] = grad
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        history.append((cross_entropy, aux, norm.item()))
        if step < STEPS:
            optimizer.step()
    for i, key in enumerate(("cross_entropy", "aux_loss", "grad_norm")):
        data[key] = torch.tensor([h[i] for h in history], dtype=torch.float64)
    for name, p in model.named_parameters():
        for moira, value in moira_names(name, before[name]):
            data[f"parameters/{moira}"] = value
        for moira, value in moira_names(name, p.detach() - before[name]):
            data[f"updates/{moira}"] = value
    drift = drift_in_float(start, model, tokens, targets)
    return {path: value.numpy() for path, value in data.items()}, gap, drift


def main():
    data, gap, drift = run(SEED, TARGET_SEED)
    assert gap > MARGIN, f"routing is decided by {gap:.4f}: try another SEED"
    assert drift < FLOAT_DRIFT, f"float32 ends {drift:.1e} away: try another TARGET_SEED"
    write("mixtral_tiny.h5", "make_mixtral.py", {"config": {**CONFIG, "rope_theta": THETA, "router_margin": gap}}, data,
          bits={"gradients": 16, "updates": 11, "logits": 22})


if __name__ == "__main__":
    main()
