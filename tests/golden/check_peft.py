#!/usr/bin/env python3
"""Has PEFT load the adapters that `moira export` writes, in both layouts, and compares logits with those of
peft_logits.h5; and has transformers load what `moira export --merge` writes. Not a test of the suite: needs torch,
transformers, peft, h5py. check_peft.py MOIRA prints the largest difference of each; exit status 1 above 1e-4."""

import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch

from make_peft import HERE, exact, load
from precision import Float64

LIMIT = 1e-4


def difference(model, name):
    with h5py.File(os.path.join(HERE, "peft_logits.h5")) as file:
        ids, wanted = np.asarray(file[f"{name}/tokens"]), np.asarray(file[f"{name}/logits"])
    with Float64(), torch.no_grad():
        return (model(input_ids=torch.tensor(ids).long()).logits[0] - torch.tensor(wanted)).abs().max().item()


def main(moira):
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, model_name in (("per_expert", "mixtral_f32"), ("fused", "mixtral_f32"), ("dense", "llama")):
            whole, adapter = os.path.join(HERE, "hf", model_name), os.path.join(HERE, "peft", name)
            for how in (["--layout", "per-expert"], ["--layout", "fused"], ["--merge", "--dtype", "f32"]):
                out = os.path.join(folder, name + how[-1])
                subprocess.run([moira, "export", whole, "--adapter", adapter, "-o", out, *how], check=True,
                               stdout=subprocess.DEVNULL)
                off = difference(exact(out) if "--merge" in how else load(model_name, out), name)
                worst = max(worst, off)
                print(f"{name:12s} {' '.join(how):22s} {off:.2e}")
    return worst


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("check_peft.py MOIRA: which program is to be checked?")
    sys.exit(0 if main(sys.argv[1]) <= LIMIT else 1)
