#!/usr/bin/env python3
"""optim.h5: ten steps of PyTorch's AdamW with clip_grad_norm_. Run from anywhere; needs torch, h5py."""

import os

import torch

from golden import Golden

STEPS = 10
RATES = [1e-3, 2e-3, 3e-3, 4e-3, 4e-3, 3.5e-3, 3e-3, 2e-3, 1e-3, 1e-4]


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    g = Golden(os.path.join(folder, "optim.h5"), seed=5)
    parameters, grads = {}, {}
    for name, shape in {"matrix": (7, 9), "norm": (13,), "expert": (5, 4)}.items():
        parameters[name] = torch.nn.Parameter(g.normal(*shape))
        # Norms on both sides of max_grad_norm 1; the expert gets no token in steps 3 to 5.
        size = torch.tensor([0.02, 0.5] * (STEPS // 2), dtype=torch.float64).reshape(-1, *[1] * len(shape))
        grads[name] = g.normal(STEPS, *shape) * size
        grads[name] = grads[name].float().double()
    grads["expert"][3:6] = 0
    optimizer = torch.optim.AdamW(
        [{"params": [parameters["matrix"], parameters["expert"]], "weight_decay": 0.1},
         {"params": [parameters["norm"]], "weight_decay": 0.0}], lr=1, betas=(0.9, 0.95), eps=1e-3)
    for name, parameter in parameters.items():
        g.put(f"{name}/in/value", parameter.reshape(-1))
        g.put(f"{name}/in/grad", grads[name].reshape(STEPS, -1))
    g.put("rate", torch.tensor(RATES, dtype=torch.float64))

    values = {name: [] for name in parameters}
    norms = []
    for step in range(STEPS):
        for name, parameter in parameters.items():
            parameter.grad = grads[name][step].clone()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0))
        for group in optimizer.param_groups:
            group["lr"] = RATES[step]
        optimizer.step()
        for name, parameter in parameters.items():
            values[name].append(parameter.detach().reshape(-1).clone())
    norms = torch.stack(norms)
    assert (norms < 1).any() and (norms > 1).any()
    g.put("norm_of_step", norms)
    for name, parameter in parameters.items():
        g.put(f"{name}/out/value", torch.stack(values[name]))
        g.put(f"{name}/out/m", optimizer.state[parameter]["exp_avg"].reshape(-1))
        g.put(f"{name}/out/v", optimizer.state[parameter]["exp_avg_sq"].reshape(-1))
    g.close()


if __name__ == "__main__":
    main()
