#!/usr/bin/env python3
"""optim.h5: ten steps of PyTorch's AdamW with clip_grad_norm_, plain and with parameter groups.

Run from anywhere; needs torch, h5py."""

import os

import torch

from golden import Golden

STEPS = 10
RATES = [1e-3, 2e-3, 3e-3, 4e-3, 4e-3, 3.5e-3, 3e-3, 2e-3, 1e-3, 1e-4]


# name: learning-rate scale and weight decay of its group
PLAIN = {"matrix": (1, 0.1), "expert": (1, 0.1), "norm": (1, 0.0)}
GROUPED = {"matrix": (0.25, 0.3), "expert": (0, 0.1), "norm": (2, 0.05)}


def run(g, prefix, groups, start, grads):
    """Writes values after each step and the last moments under <prefix><name>/out; returns the norms."""
    parameters = {name: torch.nn.Parameter(value.clone()) for name, value in start.items()}
    optimizer = torch.optim.AdamW(
        [{"params": [parameters[name]], "weight_decay": decay} for name, (_, decay) in groups.items()],
        lr=1, betas=(0.9, 0.95), eps=1e-3)
    values = {name: [] for name in parameters}
    norms = []
    for step in range(STEPS):
        for name, parameter in parameters.items():
            parameter.grad = grads[name][step].clone()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0))
        for group, (scale, _) in zip(optimizer.param_groups, groups.values()):
            group["lr"] = RATES[step] * scale
        optimizer.step()
        for name, parameter in parameters.items():
            values[name].append(parameter.detach().reshape(-1).clone())
    for name, parameter in parameters.items():
        g.put(f"{prefix}{name}/out/value", torch.stack(values[name]))
        g.put(f"{prefix}{name}/out/m", optimizer.state[parameter]["exp_avg"].reshape(-1))
        g.put(f"{prefix}{name}/out/v", optimizer.state[parameter]["exp_avg_sq"].reshape(-1))
    return torch.stack(norms)


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    g = Golden(os.path.join(folder, "optim.h5"), seed=5)
    start, grads = {}, {}
    for name, shape in {"matrix": (7, 9), "norm": (13,), "expert": (5, 4)}.items():
        start[name] = g.normal(*shape)
        # Norms on both sides of max_grad_norm 1; the expert gets no token in steps 3 to 5.
        size = torch.tensor([0.02, 0.5] * (STEPS // 2), dtype=torch.float64).reshape(-1, *[1] * len(shape))
        grads[name] = g.normal(STEPS, *shape) * size
        grads[name] = grads[name].float().double()
    grads["expert"][3:6] = 0
    for name in start:
        g.put(f"{name}/in/value", start[name].reshape(-1))
        g.put(f"{name}/in/grad", grads[name].reshape(STEPS, -1))
    g.put("rate", torch.tensor(RATES, dtype=torch.float64))
    norms = run(g, "", PLAIN, start, grads)
    assert (norms < 1).any() and (norms > 1).any()
    g.put("norm_of_step", norms)
    run(g, "grouped/", GROUPED, start, grads)
    g.close()


if __name__ == "__main__":
    main()
