#!/usr/bin/env python3
"""check_export.py [MOIRA]: what moira export writes, loaded by transformers. Not run by make test: needs torch, transformers,
h5py.

Every folder of hf/ goes through moira import and moira export, in both layouts, as it is and as float32: transformers must
load it without a warning of missing or unexpected weights, and its logits in double must be those of the folder that make_hf.py
saved (hf_logits.h5), to which tests/unit/test_hf.c holds Moira's own. Then models that Moira itself has trained, of whose
config.json nothing is carried: the mean cross-entropy of transformers over the validation windows against moira eval."""

import json
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch
import transformers as hf

from make_hf import HERE, Float64

MOIRA = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "../../build/moira")
FOLDERS = {"mixtral_shards": "mixtral", "mixtral_fused": "mixtral", "mixtral_f32": "mixtral_f32", "fused_f32": "mixtral_f32",
           "mistral": "mistral", "llama": "llama"}


def moira(*words):
    done = subprocess.run([MOIRA, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(path):
    model, info = hf.AutoModelForCausalLM.from_pretrained(path, dtype="auto", attn_implementation="eager",
                                                         output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[what], (path, what, info[what])
    model.config._experts_implementation = "eager"
    with Float64():
        exact = type(model)(model.config).double().eval()
        exact.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
    return exact


def logits(model, ids):
    with Float64(), torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


def check_folders(work):
    worst = 0.0
    with h5py.File(os.path.join(HERE, "hf_logits.h5")) as golden:
        for folder, group in FOLDERS.items():
            checkpoint = os.path.join(work, folder + ".h5")
            moira("import", os.path.join(HERE, "hf", folder), "-o", checkpoint)
            ids = torch.tensor(np.asarray(golden[group]["tokens"]), dtype=torch.long)
            want = torch.tensor(np.asarray(golden[group]["logits"]))
            for layout in ("per-expert", "fused"):
                for dtype, shard in (("auto", "5"), ("f32", "2e-5")):
                    out = os.path.join(work, f"{folder}-{layout}-{dtype}")
                    moira("export", checkpoint, "-o", out, "--layout", layout, "--dtype", dtype, "--shard-size", shard)
                    error = (logits(load(out), ids)[0] - want).abs().max().item()
                    print(f"{folder:15} {layout:10} {dtype:4}  largest difference of logits {error:.1e}")
                    worst = max(worst, error)
    return worst


WORDS = "Clotho Lachesis Atropos thread spindle weaver shears loom router expert gate token gradient".split()
SETTINGS = {
    "moe": "model.num_local_experts=4 model.num_experts_per_tok=2 balance.mixtral=0.01",
    "moe-window": "model.num_local_experts=3 model.sliding_window=7 model.rope_theta=2000 model.head_dim=10",
    "dense-window": "model.sliding_window=5 model.num_key_value_heads=1",
    "dense-tied": "model.tie_word_embeddings=true model.rms_norm_eps=1e-4",
}
CONFIG = """run: {name: check, threads: 1}
model: {hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 4, max_position_embeddings: 64}
train: {steps: 60, batch_size: 4, sequence_length: 32}
optimizer: {learning_rate: 1.0e-2}
schedule: {warmup_steps: 5}
sample: {tokens: 0}
"""


def loss_of(model, path, length):
    """As moira eval: windows that do not overlap, all tokens but the first of each predicted."""
    with h5py.File(path) as file:
        tokens = torch.tensor(np.asarray(file["validation/tokens"]).astype(np.int64))
    windows = tokens[:len(tokens) // length * length].view(-1, length)
    sums = 0.0
    for part in windows.split(16):
        z = logits(model, part)[:, :-1]
        sums += torch.nn.functional.cross_entropy(z.flatten(0, 1), part[:, 1:].flatten(), reduction="sum").item()
    return sums / (windows.numel() - len(windows))


def check_trained(work):
    worst = 0.0
    text, tokens, config = (os.path.join(work, name) for name in ("text.txt", "text.h5", "check.yaml"))
    with open(text, "w") as file:
        file.writelines(f"Line {i} of {i * 7919 % 1000}: the quick brown fox jumps over the lazy dog, {WORDS[i % 13]} "
                        f"measures {WORDS[i * 5 % 13]} and {WORDS[i * i % 13]} draws lots.\n" for i in range(640))
    with open(config, "w") as file:
        file.write(CONFIG)
    moira("prepare", text, "-o", tokens, "--train-tokenizer", "380")
    for name, settings in SETTINGS.items():
        run, out = os.path.join(work, name), os.path.join(work, name + "-hf")
        moira("train", config, f"run.dir={run}", f"data.path={tokens}", *settings.split())
        moira("export", os.path.join(run, "best.h5"), "-o", out)
        ours = json.loads(moira("eval", os.path.join(run, "best.h5"), "--data", tokens, "--json"))["loss"]
        model = load(out)
        theirs = loss_of(model, tokens, 32)
        print(f"{name:15} {type(model).__name__:20} loss {ours:.6f}, of transformers {theirs:.6f}")
        worst = max(worst, abs(ours - theirs))
    return worst


def main():
    hf.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as work:
        trained, folders = check_trained(work), check_folders(work)
    print(f"transformers {hf.__version__}: logits within {folders:.1e}, losses within {trained:.1e}")
    assert folders < 1e-9 and trained < 1e-5


if __name__ == "__main__":
    main()
