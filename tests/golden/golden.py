"""Writes reference values for the op tests: see tests/harness/golden.h for the layout.

Inputs and weights are rounded to float32 first, so that the float and the double build start from the same numbers;
everything else is computed in float64.
"""

import platform
import sys

import h5py
import numpy as np
import torch


def rounded(x):
    return x.float().double() if x.is_floating_point() else x.clone()


class Golden:
    def __init__(self, path, seed, **versions):
        self.file = h5py.File(path, "w", libver=("earliest", "v110"))
        self.generator = torch.Generator().manual_seed(seed)
        attributes = {"format": "moira-golden-1", "seed": str(seed), "made_by": sys.argv[0].split("/")[-1],
                      "python": platform.python_version(), "torch": torch.__version__, **versions}
        for name, value in attributes.items():
            self.file.attrs[name] = np.bytes_(value)

    def uniform(self, low, high, *shape):
        x = low + (high - low) * torch.rand(*shape, generator=self.generator, dtype=torch.float64)
        return rounded(x)

    def normal(self, *shape, std=1.0):
        x = std * torch.randn(*shape, generator=self.generator, dtype=torch.float64)
        return rounded(x)

    def integers(self, low, high, *shape):
        return torch.randint(low, high, shape, generator=self.generator, dtype=torch.int32)

    def case(self, name, function, inputs, frozen=()):
        """function(**inputs) gives one tensor or several; a scalar is a loss, and integers have no gradient."""
        inputs = {key: rounded(value) for key, value in inputs.items()}
        for key, value in inputs.items():
            value.requires_grad_(value.is_floating_point() and key not in frozen)
        outputs = function(**inputs)
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        loss = 0
        for i, output in enumerate(outputs):
            self.put(f"{name}/out/{i}", output)
            if not output.is_floating_point():
                continue
            if output.ndim == 0:
                weight = torch.tensor(-0.75, dtype=torch.float64)
            else:
                weight = self.normal(*output.shape)
            self.put(f"{name}/weight/{i}", weight)
            loss = loss + (output * weight).sum()
        if isinstance(loss, torch.Tensor) and loss.requires_grad:
            loss.backward()
        for key, value in inputs.items():
            self.put(f"{name}/in/{key}", value)
            if value.grad is not None:
                self.put(f"{name}/grad/{key}", value.grad)

    def put(self, path, tensor):
        array = tensor.detach().numpy()
        if "/in/" in path or "/weight/" in path:
            array = array.astype(np.float32) if array.dtype == np.float64 else array
        self.file.create_dataset(path, data=array, track_times=False)

    def close(self):
        self.file.close()
