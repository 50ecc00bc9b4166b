#!/usr/bin/env python3
"""models_tiny.h5: small models of Hugging Face's transformers, computed in double: logits and every gradient. Run from
anywhere; needs torch, transformers, h5py. A group for each:

    olmoe       query-key norm over all heads, clipping after it, weights not normalised
    dbrx        LayerNorm, clipping, 4 of 16 experts
    deepseek    DeepSeek-V2's block of routed and shared experts (the library has DeepSeek only with another attention)
                in Qwen3-MoE's layers with its query-key norm per head: dense first layers, experts in every second
    dots1       DeepSeek-V3's routing by sigmoid, bias and groups; query-key norm per head

Layout of a group:

    config              attributes: our names and numbers, router_margin (scores, smallest gap that decides)
    tokens, targets     int32 [batch, sequence]; every target counts
    parameters/<name>   float32, exact; names and layouts are ours
    gradients/<name>    of cross_entropy + aux_coefficient * aux_loss; to 2^-20 of the largest or better
    logits, ids         [batch, sequence, vocab], to 2^-22 of the largest or better; int32 [MoE layer, token, K],
                        falling
    cross_entropy, aux_loss
                        float64 [1], means over tokens; aux_loss is transformers' own, pooled over the MoE layers, and 0
                        for dots1"""

import copy
import re
from types import SimpleNamespace

import torch
import transformers as hf
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Config, DeepseekV2Moe
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from models import check_in_float, gradients, initialise, margin, moira_names, write
from precision import Float64

BATCH, SEQUENCE, MARGIN, AUX = 2, 12, 2e-3, 0.02
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
COMMON = dict(vocab_size=32, hidden_size=16, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32)
# A padding token would have no gradient in the library's embedding.
LIBRARY = dict(pad_token_id=None, bos_token_id=None, eos_token_id=None, attn_implementation="eager",
               rope_parameters=ROPE, tie_word_embeddings=False)


class Reference(torch.nn.Module):
    """A model of the library with the router's logits and the auxiliary loss of its other models."""

    def __init__(self, model, gate, config, aux=True):
        super().__init__()
        self.model, self.gate, self.config, self.aux = model, gate, config, aux
        self.names = moira_names

    def forward(self, input_ids, use_cache=False):
        seen = []

        def see(module, inputs, output):
            seen.append(output[0] if isinstance(output, tuple) else output)

        hooks = [module.register_forward_hook(see) for name, module in self.model.named_modules()
                 if name.endswith(self.gate)]
        logits = self.model(input_ids=input_ids, use_cache=use_cache).logits
        for hook in hooks:
            hook.remove()
        K, E = self.config["num_experts_per_tok"], self.config["num_local_experts"]
        aux = load_balancing_loss_func(tuple(seen), E, K) if self.aux else logits.new_zeros(())
        return SimpleNamespace(logits=logits, aux_loss=aux, router_logits=seen)

    def scores(self, router_logits):
        """By which experts are chosen: [MoE layer, token, expert]."""
        return torch.stack(router_logits).detach()


def make(model_class, config):
    config._experts_implementation = "eager"
    with Float64():
        return model_class(config).double()


def olmoe():
    config = dict(COMMON, num_hidden_layers=2, intermediate_size=12, num_local_experts=8, num_experts_per_tok=3,
                  rms_norm_eps=1e-5, clip_qkv=1.0)
    library = hf.OlmoeConfig(**{**config, **LIBRARY}, num_experts=8, norm_topk_prob=False)
    return Reference(make(hf.OlmoeForCausalLM, library), "mlp.gate", config)


DBRX_NAMES = {"transformer.wte": "model.embed_tokens", "transformer.norm_f": "model.norm",
              "transformer.blocks": "model.layers", "norm_attn_norm.norm_1": "input_layernorm",
              "norm_attn_norm.norm_2": "post_attention_layernorm", "norm_attn_norm.attn.out_proj": "self_attn.o_proj",
              "ffn.router.layer": "block_sparse_moe.gate"}


def dbrx():
    config = dict(COMMON, num_hidden_layers=2, intermediate_size=8, num_local_experts=16, num_experts_per_tok=4,
                  rms_norm_eps=1e-5, clip_qkv=0.75)
    D, kv = config["hidden_size"], config["num_key_value_heads"] * 4
    library = hf.DbrxConfig(
        vocab_size=32, d_model=D, n_heads=4, n_layers=2, max_seq_len=32, attn_implementation="eager", rope_parameters=ROPE,
        attn_config=dict(clip_qkv=config["clip_qkv"], kv_n_heads=2),
        ffn_config=dict(ffn_hidden_size=8, moe_num_experts=16, moe_top_k=4))
    library.attn_config.rope_theta = ROPE["rope_theta"]  # read, yet not used, by the library

    def names(name, tensor):
        for theirs, ours in DBRX_NAMES.items():
            name = name.replace(theirs, ours)
        if name.endswith("norm_attn_norm.attn.Wqkv.weight"):
            return [(name.replace("norm_attn_norm.attn.Wqkv", f"self_attn.{x}_proj"), part)
                    for x, part in zip("qkv", tensor.split([D, kv, kv]))]
        expert = re.fullmatch(r"(.*)ffn\.experts\.mlp\.(w1|v1|w2)", name)
        if not expert:
            return [(name, tensor)]
        stacked = tensor.view(config["num_local_experts"], -1, D)
        ours = {"w1": "w1", "v1": "w3", "w2": "w2"}[expert[2]]
        return [(f"{expert[1]}block_sparse_moe.experts.{ours}.weight",
                 stacked.transpose(1, 2) if ours == "w2" else stacked)]

    reference = Reference(make(hf.DbrxForCausalLM, library), "ffn.router", config)
    reference.names = names
    return reference


def deepseek():
    config = dict(COMMON, num_hidden_layers=5, intermediate_size=20, moe_intermediate_size=6, num_local_experts=6,
                  num_experts_per_tok=3, n_shared_experts=2, first_k_dense_replace=1, moe_layer_freq=2, head_dim=6,
                  rms_norm_eps=1e-6)
    library = hf.Qwen3MoeConfig(**{**config, **LIBRARY}, mlp_only_layers=list(range(5)), num_experts=6)
    model = make(hf.Qwen3MoeForCausalLM, library)
    block = DeepseekV2Config(hidden_size=16, moe_intermediate_size=6, n_routed_experts=6, num_experts_per_tok=3,
                             n_shared_experts=2, num_attention_heads=4)
    block._experts_implementation = "eager"
    for layer in (2, 4):
        model.model.layers[layer].mlp = DeepseekV2Moe(block).double()
    return Reference(model, "mlp.gate", config)


class Dots1(Reference):
    """No gradient reaches the bias: it is a buffer, here with values that change the choices."""

    def scores(self, router_logits):
        E, groups, kept = (self.config[key] for key in ("num_local_experts", "n_group", "topk_group"))
        biased = torch.stack([torch.sigmoid(z) + layer.mlp.gate.e_score_correction_bias
                              for z, layer in zip(router_logits, self.model.model.layers[1:])]).detach()
        two = biased.unflatten(-1, (groups, -1)).topk(2).values.sum(-1)
        self.group_margin = margin(two, kept)
        dropped = torch.ones_like(two).scatter(-1, two.topk(kept).indices, 0).repeat_interleave(E // groups, -1)
        return biased - 10 * dropped


def dots1():
    config = dict(COMMON, num_hidden_layers=3, intermediate_size=20, moe_intermediate_size=6, num_local_experts=8,
                  num_experts_per_tok=3, n_shared_experts=1, first_k_dense_replace=1, n_group=4, topk_group=2,
                  routed_scaling_factor=2.5, head_dim=6, rms_norm_eps=1e-6)
    library = hf.Dots1Config(**{**config, **LIBRARY}, n_routed_experts=8, norm_topk_prob=True)
    return Dots1(make(hf.Dots1ForCausalLM, library), "mlp.gate", config, aux=False)


def fill_biases(reference, generator):
    for name, buffer in reference.model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            noise = 0.1 * torch.randn(buffer.shape, generator=generator, dtype=torch.float64)
            buffer.data = torch.round(noise * 128) / 128


def check_clipping(reference, tokens, logits):
    """It is at work."""
    free = copy.deepcopy(reference)
    for module in free.modules():
        if hasattr(module, "clip_qkv"):
            module.clip_qkv = 1e9
        elif "clip_qkv" in getattr(getattr(module, "config", None), "__dict__", {}):
            module.config.clip_qkv = 1e9
    with Float64():
        assert (free(tokens).logits - logits).abs().max() > 0.01


def run(make_reference, seed):
    """Attributes, and arrays by path."""
    generator = torch.Generator().manual_seed(seed)
    reference = make_reference()
    config, model = reference.config, reference.model
    initialise(model, generator)
    fill_biases(reference, generator)
    draw = lambda: torch.randint(0, config["vocab_size"], (BATCH, SEQUENCE), generator=generator)
    tokens, targets = draw(), draw()
    aux_coefficient = AUX if reference.aux else 0.0
    cross_entropy, aux, out = gradients(reference, tokens, targets, aux_coefficient)
    check_in_float(reference, tokens, out.logits, out.aux_loss)
    if "clip_qkv" in config:
        check_clipping(reference, tokens, out.logits.detach())
    scores, K = reference.scores(out.router_logits), config["num_experts_per_tok"]
    gap = min(margin(scores, K, first=0), getattr(reference, "group_margin", 1))
    data = {"tokens": tokens.int(), "targets": targets.int(), "logits": out.logits.detach(),
            "ids": scores.topk(K).indices.int(), "cross_entropy": torch.tensor([cross_entropy], dtype=torch.float64),
            "aux_loss": torch.tensor([aux], dtype=torch.float64)}
    for name, p in model.named_parameters():
        for ours, value in reference.names(name, p.detach()):
            data[f"parameters/{ours}"] = value
        for ours, value in reference.names(name, p.grad):
            data[f"gradients/{ours}"] = value
    for name, value in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            data[f"parameters/{reference.names(name, value)[0][0]}"] = value
    attributes = {**config, "rope_theta": ROPE["rope_theta"], "router_margin": gap, "aux_coefficient": aux_coefficient}
    return attributes, {path: value.contiguous().numpy() for path, value in data.items()}, gap


def main():
    configs, arrays = {}, {}
    for make_reference in (olmoe, dbrx, deepseek, dots1):
        name, seed = make_reference.__name__, 1
        while True:
            config, data, gap = run(make_reference, seed)
            if gap > MARGIN:
                break
            seed += 1
        print(f"{name}: seed {seed}, margin {gap:.4f}, cross-entropy {data['cross_entropy'][0]:.4f}")
        configs[f"{name}/config"] = {**config, "seed": seed}
        arrays.update({f"{name}/{path}": value for path, value in data.items()})
    write("models_tiny.h5", "make_models.py", configs, arrays, bits={"gradients": 20, "logits": 22})


if __name__ == "__main__":
    main()
