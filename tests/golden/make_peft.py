#!/usr/bin/env python3
"""peft/NAME: folders of adapters for models of hf/, and peft_logits.h5: what PEFT computes with them.

    per_expert   hf/mixtral_f32: all its matrices, a pair for each expert under transformers 4's names, of which PEFT
                 itself makes what transformers 5 needs
    fused        hf/mixtral_f32: attention and the experts' two parameters as PEFT saves them; use_rslora
    dense        hf/llama: q_proj, o_proj and down_proj of layer 1 alone, in bf16

Layout of peft_logits.h5: a group for each, with tokens int32 [1, T], targets (the same) and logits float64 [T, V],
computed in double. Run from anywhere; needs torch, transformers, peft, safetensors, h5py."""

import json
import os
import shutil

import peft
import torch
import transformers as hf
from safetensors.torch import save_file

from golden import Golden
from make_hf import MARGIN, margin
from precision import Float64

HERE = os.path.dirname(os.path.abspath(__file__))
LENGTH = 12
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def exact(path):
    """The model of a folder in double, its rotary tables too."""
    model = hf.AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager")
    model.config._experts_implementation = "eager"
    with Float64():
        wide = type(model)(model.config).double().eval()
    wide.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
    wide.tie_weights()
    return wide


def base(name):
    return exact(os.path.join(HERE, "hf", name))


def folder(name):
    path = os.path.join(HERE, "peft", name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def load(name, adapter):
    return peft.PeftModel.from_pretrained(base(name), adapter, autocast_adapter_dtype=False).double().eval()


def noise(shape, seed):
    return 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_per_expert():
    """As PEFT under transformers 4 writes it: every expert's matrices are modules of their own."""
    path, tensors, r = folder("per_expert"), {}, 3
    c = base("mixtral_f32").config
    D, F, heads, kv = c.hidden_size, c.intermediate_size, c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    shapes = {"self_attn.q_proj": (heads, D), "self_attn.k_proj": (kv, D), "self_attn.v_proj": (kv, D),
              "self_attn.o_proj": (D, heads)}
    for e in range(c.num_local_experts):
        shapes |= {f"block_sparse_moe.experts.{e}.{w}": (F, D) if w != "w2" else (D, F) for w in ("w1", "w2", "w3")}
    for layer in range(c.num_hidden_layers):
        for module, (O, I) in shapes.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            tensors[f"{name}.lora_A.weight"] = noise((r, I), len(tensors)).float()
            tensors[f"{name}.lora_B.weight"] = noise((O, r), len(tensors)).float()
    save_file(tensors, os.path.join(path, "adapter_model.safetensors"), metadata={"format": "pt"})
    config = peft.LoraConfig(r=r, lora_alpha=4, target_modules=ATTENTION + ["w1", "w2", "w3"], inference_mode=True,
                             task_type="CAUSAL_LM").to_dict()
    config |= {"base_model_name_or_path": "hf/mixtral_f32", "peft_type": "LORA", "target_modules": ATTENTION + ["w1", "w2", "w3"]}
    with open(os.path.join(path, "adapter_config.json"), "w") as file:
        json.dump(config, file, indent=2, sort_keys=True)
    return path


def make_by_peft(name, model_name, dtype, **options):
    path = folder(name)
    model = peft.get_peft_model(base(model_name), peft.LoraConfig(task_type="CAUSAL_LM", **options),
                                autocast_adapter_dtype=False)
    for i, (key, p) in enumerate(sorted(model.named_parameters())):
        if ".lora_" in key:
            p.data = noise(p.shape, i).to(dtype)
    model.save_pretrained(path)
    os.remove(os.path.join(path, "README.md"))
    with open(os.path.join(path, "adapter_config.json")) as file:
        config = json.load(file)
    config["base_model_name_or_path"] = "hf/" + model_name
    with open(os.path.join(path, "adapter_config.json"), "w") as file:
        json.dump(config, file, indent=2, sort_keys=True)
    return path


def put(out, name, model_name, path, seed):
    model, plain = load(model_name, path), base(model_name)
    with Float64(), torch.no_grad():
        for attempt in range(1000):  # no choice of an expert may hang on rounding
            generator = torch.Generator().manual_seed(1000 * seed + attempt)
            ids = torch.randint(3, plain.config.vocab_size, (1, LENGTH), generator=generator)
            if margin(model, ids) > MARGIN:
                break
        logits = model(input_ids=ids).logits[0]
        assert margin(model, ids) > MARGIN and (logits - plain(input_ids=ids).logits[0]).abs().max() > 0.5
    out.put(f"{name}/tokens", ids.int())
    out.put(f"{name}/targets", ids.int())
    out.put(f"{name}/logits", logits)


def main():
    out = Golden(os.path.join(HERE, "peft_logits.h5"), 0, transformers=hf.__version__, peft=peft.__version__)
    put(out, "per_expert", "mixtral_f32", make_per_expert(), 1)
    path = make_by_peft("fused", "mixtral_f32", torch.float32, r=2, lora_alpha=3, use_rslora=True, target_modules=ATTENTION,
                        target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])
    put(out, "fused", "mixtral_f32", path, 2)
    path = make_by_peft("dense", "llama", torch.bfloat16, r=2, lora_alpha=5, lora_dropout=0.1,
                        target_modules=["q_proj", "o_proj", "down_proj"], layers_to_transform=[1])
    put(out, "dense", "llama", path, 3)
    out.close()


if __name__ == "__main__":
    main()
