#!/usr/bin/env python3
"""hf/NAME: folders of tiny random models as transformers saves them, and hf_logits.h5: what it computes with them.

    mixtral_shards   bf16, a tensor for each expert, several shards, grouped-query heads, tokenizer.model
    mixtral_fused    the same weights in the newer layout, experts in one tensor, one file
    mixtral_f32      f32, a tensor for each expert, one file, tied head, head_dim of its own; config.json as transformers 4
                     wrote it (rope_theta, torch_dtype), with a key that nobody knows
    fused_f32        the same weights in the newer layout, several shards
    mistral          f16, sliding window of 5
    llama            f32, tied head, as many key heads as query heads

Layout of hf_logits.h5: a group for each set of weights, with tokens int32 [1, T] and logits float64 [T, V], computed
in double from the stored values (targets: the tokens again). Run from anywhere; needs torch, transformers, h5py."""

import json
import os
import shutil

import h5py
import numpy as np
import torch
import transformers as hf

from golden import Golden
from precision import Float64

HERE = os.path.dirname(os.path.abspath(__file__))
LENGTH, MARGIN = 12, 2e-3
COMMON = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
              max_position_embeddings=64, initializer_range=0.25, attn_implementation="eager")
MOE = dict(num_local_experts=4, num_experts_per_tok=2, router_aux_loss_coef=0.02)


def randomise(model, seed):
    """Of a spread that makes logits of some size; norms that are not all one."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        p.data = (1 + 0.2 * noise if "norm" in name else 0.25 * noise).to(p.dtype)


def margin(model, ids):
    """The smallest gap, of all tokens and layers, between the last expert chosen and the first that is not."""
    seen = []
    hooks = [m.register_forward_hook(lambda m, i, o: seen.append(o[0])) for n, m in model.named_modules()
             if n.endswith("mlp.gate")]
    model(input_ids=ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    gaps = [z.softmax(-1).sort(descending=True).values for z in seen]
    return min((p[:, 1] - p[:, 2]).min().item() for p in gaps) if gaps else 1.0


def reference(model, ids):
    """Logits in double of the model's own weights."""
    model.config._experts_implementation = "eager"
    with Float64(), torch.no_grad():
        exact = type(model)(model.config).double()
        exact.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
        assert margin(exact, ids) > MARGIN
        return exact(input_ids=ids, use_cache=False).logits[0]


def clear(name):
    path = os.path.join(HERE, "hf", name)
    shutil.rmtree(path, ignore_errors=True)
    return path


def save(model, name, **options):
    path = clear(name)
    model.save_pretrained(path, **options)
    os.remove(os.path.join(path, "generation_config.json"))
    return path


def put(out, name, model, seed):
    vocabulary = model.config.vocab_size
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, vocabulary, (1, LENGTH), generator=generator)
    out.put(f"{name}/tokens", ids.int())
    out.put(f"{name}/targets", ids.int())
    out.put(f"{name}/logits", reference(model, ids))


def as_version_4(path):
    """config.json with the names that transformers had before version 5."""
    with open(os.path.join(path, "config.json")) as file:
        config = json.load(file)
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.36.0"
    config["note_of_somebody"] = {"kept": [1, 2.5e-07, None, "ü"]}
    with open(os.path.join(path, "config.json"), "w") as file:
        json.dump(config, file, indent=2, sort_keys=True)


def add_tokenizer(path):
    with h5py.File(os.path.join(HERE, "tokenizer.h5")) as file:
        model = bytes(np.asarray(file["mixtral/model"]))
    with open(os.path.join(path, "tokenizer.model"), "wb") as file:
        file.write(model)
    with open(os.path.join(path, "tokenizer_config.json"), "w") as file:
        json.dump({"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "LlamaTokenizer"}, file, indent=2)


def make(model_class, config, dtype, seed):
    model = model_class(config).to(dtype).eval()
    randomise(model, seed)
    return model


def main():
    out = Golden(os.path.join(HERE, "hf_logits.h5"), 0, transformers=hf.__version__)
    model = make(hf.MixtralForCausalLM, hf.MixtralConfig(vocab_size=608, **COMMON, **MOE), torch.bfloat16, 6)
    add_tokenizer(save(model, "mixtral_shards", max_shard_size="24KB"))
    save(model, "mixtral_fused", save_original_format=False)
    put(out, "mixtral", model, 1)
    config = hf.MixtralConfig(vocab_size=48, **COMMON, **MOE, head_dim=6, tie_word_embeddings=True,
                              rope_parameters={"rope_type": "default", "rope_theta": 5000.0})
    model = make(hf.MixtralForCausalLM, config, torch.float32, 4)
    as_version_4(save(model, "mixtral_f32"))
    save(model, "fused_f32", save_original_format=False, max_shard_size="12KB")
    put(out, "mixtral_f32", model, 2)
    config = hf.MistralConfig(vocab_size=48, **COMMON, sliding_window=5)
    model = make(hf.MistralForCausalLM, config, torch.float16, 3)
    save(model, "mistral")
    put(out, "mistral", model, 3)
    config = hf.LlamaConfig(vocab_size=48, **{**COMMON, "num_key_value_heads": 4}, tie_word_embeddings=True)
    model = make(hf.LlamaForCausalLM, config, torch.float32, 4)
    save(model, "llama")
    put(out, "llama", model, 4)
    out.close()


if __name__ == "__main__":
    main()
