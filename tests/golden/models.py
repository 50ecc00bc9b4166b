"""Whole models of Hugging Face's transformers as reference: weights, a forward in double, gradients, a small file."""

import copy
import os
import re

import h5py
import numpy as np
import torch
import torch.nn.functional as F
import transformers

from precision import Float64


def initialise(model, generator):
    """Matrices normal(0, 1 / (2 sqrt(inputs))), six times that in the router, norms near 1, all multiples of
    2^-7."""
    for name, p in model.named_parameters():
        x = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        router = re.search(r"mlp\.gate\.|router", name)
        x = 1 + 0.1 * x if p.dim() == 1 else x * (6 if router else 1) * 0.5 / p.shape[-1] ** 0.5
        p.data = torch.round(x * 128) / 128


def losses(model, tokens, targets):
    with Float64():
        out = model(input_ids=tokens, use_cache=False)
        cross_entropy = F.cross_entropy(out.logits.flatten(0, 1), targets.flatten())
    assert out.logits.dtype == cross_entropy.dtype == out.aux_loss.dtype == next(model.parameters()).dtype
    return cross_entropy, out.aux_loss, out


def gradients(model, tokens, targets, coefficient):
    """Of cross_entropy + coefficient * aux_loss, left in the model."""
    model.zero_grad()
    cross_entropy, aux, out = losses(model, tokens, targets)
    (cross_entropy + coefficient * aux).backward()
    return cross_entropy.item(), aux.item(), out


def check_in_float(model, tokens, logits, aux):
    """The library as it is, in float32, gives the same to its precision: turning its casts off changed nothing else."""
    out = copy.deepcopy(model).float()(input_ids=tokens, use_cache=False)
    torch.testing.assert_close(out.logits.double(), logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out.aux_loss.double(), aux, rtol=1e-5, atol=1e-5)


def margin(router_logits, choices, first=None):
    """Smallest gap between the chosen and the rest; from choice `first` on, so 0 includes the order of the chosen."""
    z = torch.sort(torch.stack(tuple(router_logits)).detach(), descending=True).values
    first = choices - 1 if first is None else first
    return (z[..., first:choices] - z[..., first + 1 : choices + 1]).min().item()


def moira_names(name, tensor):
    """Our name for a parameter of most models of transformers, and its value or gradient in our layout."""
    name = re.sub(r"\.mlp\.(gate|experts)\.", r".block_sparse_moe.\1.", name)
    if name.endswith("experts.gate_up_proj"):
        w1, w3 = tensor.chunk(2, dim=1)
        return [(name.replace("gate_up_proj", "w1.weight"), w1), (name.replace("gate_up_proj", "w3.weight"), w3)]
    return [(re.sub(r"(?<=moe\.)experts\.down_proj$", "experts.w2.weight", name), tensor)]


def rounded(array, bits):
    """To multiples of 2^-bits of the power of two above the largest."""
    unit = 2.0 ** (np.ceil(np.log2(np.abs(array).max())) - bits)
    return (np.round(array / unit) * unit).astype(np.float32)


def stored(path, array, bits):
    """As it is written: parameters exactly, what `bits` names by the last folder or name of its path rounded."""
    kind = next((part for part in path.split("/") if part == "parameters" or part in bits), None)
    if kind == "parameters":
        assert (array.astype(np.float32) == array).all()
        return array.astype(np.float32)
    return rounded(array, bits[kind]) if kind else array


def write(name, made_by, configs, data, bits):
    """configs: attributes by the path of their group; data: arrays by their path."""
    for path, array in data.items():
        if "gradients/" in path:
            assert np.abs(array).max() > 1e-5, f"{path} is all but zero"
    folder = os.path.dirname(os.path.abspath(__file__))
    with h5py.File(os.path.join(folder, name), "w", libver=("v110", "v110")) as file:
        file.attrs["format"] = np.bytes_("moira-golden-1")
        file.attrs["made_by"] = np.bytes_(made_by)
        file.attrs["torch"] = np.bytes_(torch.__version__)
        file.attrs["transformers"] = np.bytes_(transformers.__version__)
        for path, config in configs.items():
            group = file.create_group(path)
            for key, value in config.items():
                group.attrs[key] = value
        for path, array in data.items():
            packed = dict(chunks=array.shape, compression="gzip", compression_opts=9, shuffle=True)
            file.create_dataset(path, data=stored(path, array, bits), track_times=False,
                                **(packed if array.size > 256 else {}))
