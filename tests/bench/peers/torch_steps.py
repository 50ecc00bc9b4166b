#!/usr/bin/env python3
"""torch_steps.py CONFIG.yaml WEIGHTS BATCHES [options]: training steps in PyTorch, the other side of tests/bench/steps.c.

The same protocol: a line "N" on stdin is answered by N lines "loss seconds" and one "peak BYTES". The model is transformers'
MixtralForCausalLM (MistralForCausalLM without experts) with the sizes of the config, in float32; WEIGHTS is a folder of
save_pretrained, or - for random ones; --save FOLDER writes such a folder and leaves. The defaults of the options are the model
as transformers builds it, with its loop over experts."""

import argparse
import resource
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
import transformers as hf
import yaml

OLD = int(hf.__version__.split(".")[0]) < 5  # for PyTorch 1: eager attention only, other names


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("config")
    p.add_argument("weights")
    p.add_argument("batches", nargs="?")
    p.add_argument("--save")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--experts", default="eager", help="eager, grouped_mm, batched_mm (transformers), split, bmm (torch_experts)")
    p.add_argument("--attention", default="sdpa", choices=["sdpa", "eager"])
    p.add_argument("--compile", default="", help="default, max-autotune-no-cudagraphs: torch.compile's mode")
    p.add_argument("--adamw", default="default", choices=["default", "foreach", "fused"])
    p.add_argument("--recompute", action="store_true", help="gradient checkpointing of every layer")
    p.add_argument("--profile", action="store_true", help="show where one step's time goes, and leave")
    return p.parse_args()


def build(a, run):
    """Rotary base, norm's epsilon and balancing loss are those that Moira is told to use."""
    m = dict(run["model"])
    experts = m.pop("num_local_experts", 0)
    k = m.pop("num_experts_per_tok", 2)
    rope = {"rope_theta": 10000.0} if OLD else {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
    common = dict(max_position_embeddings=run["train"]["sequence_length"], use_cache=False, rms_norm_eps=1e-5,
                  attn_implementation="eager" if OLD else a.attention, **rope, **m)
    if experts:
        config = hf.MixtralConfig(num_local_experts=experts, num_experts_per_tok=k, output_router_logits=True,
                                  router_aux_loss_coef=0.01, **common)
    else:
        config = hf.MistralConfig(sliding_window=None, **common)
    torch.manual_seed(1337)
    kind = hf.MixtralForCausalLM if experts else hf.MistralForCausalLM
    if a.weights == "-":
        model = kind(config)
    else:
        model = kind.from_pretrained(a.weights, config=config, **{"torch_dtype" if OLD else "dtype": torch.float32})
    model.config._experts_implementation = a.experts
    if a.recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def optimizer(a, model, run):
    """Matrices decay, norms do not, as in Moira."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim == 1]
    how = {} if a.adamw == "default" else {a.adamw: True}
    return torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
                             lr=float(run["optimizer"]["learning_rate"]), betas=(0.9, 0.95), eps=1e-8, **how)


def cross_entropy(model, out):
    aux = getattr(out, "aux_loss", None)
    return out.loss.item() - (model.config.router_aux_loss_coef * aux.item() if aux is not None else 0)


class Steps:
    def __init__(self, a, run):
        self.model = build(a, run)
        self.optimizer = optimizer(a, self.model, run)
        self.call = self.model
        if a.compile:
            torch._dynamo.config.recompile_limit = 64  # transformers captures router logits by hooks: a graph for each layer
            self.call = torch.compile(self.model, mode=a.compile)
        B, T = run["train"]["batch_size"], run["train"]["sequence_length"]
        ids = np.fromfile(a.batches, dtype=np.int32).reshape(-1, B, T + 1)
        self.ids, self.done = torch.from_numpy(ids.astype(np.int64)), 0

    def step(self):
        ids = self.ids[self.done % len(self.ids)]
        x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
        begin = time.perf_counter()
        if OLD:
            out = self.call(input_ids=x)
            out.loss = F.cross_entropy(out.logits.flatten(0, 1), y.flatten())
            out.loss = out.loss + self.model.config.router_aux_loss_coef * out.aux_loss
        else:
            out = self.call(input_ids=x, labels=y, shift_labels=y)
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - begin
        self.done += 1
        return cross_entropy(self.model, out), seconds


def profile(steps):
    steps.step(), steps.step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        steps.step()
    print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))


def main():
    a = arguments()
    with open(a.config) as f:
        run = yaml.safe_load(f)
    torch.set_num_threads(a.threads)
    if not OLD:
        import torch_experts
        torch_experts.register()
    if a.save:
        build(a, run).save_pretrained(a.save)
        return
    steps = Steps(a, run)
    if a.profile:
        profile(steps)
        return
    for line in sys.stdin:
        for _ in range(int(line)):
            print("%.7f %.6f" % steps.step())
        print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


main()
