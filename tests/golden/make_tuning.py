#!/usr/bin/env python3
"""ops_tuning.h5: the ops of adapters, with the masks that src/ops/dropout_rows.c defines made again here.
Run from anywhere; needs torch, h5py."""

import os

import torch

from golden import Golden
from make_dropout import factors

STREAM = 9  # of test_dropout_rows.c
IDS = [[0, 3], [3, 1], [-1, -1], [1, 0], [3, 0]]


def dispatch(ids):
    """(token, choice) of each row, sorted by expert, ties in order."""
    pairs = [(e, n, k) for n, row in enumerate(ids) for k, e in enumerate(row) if e >= 0]
    return [(n, k) for _, n, k in sorted(pairs, key=lambda pair: pair[0])]


def dropped(rows, p, width, choices):
    """rows [R, I], of which those past the last come out 0."""
    out = torch.zeros(len(IDS) * choices, width)
    mask = factors(p, STREAM, 0, len(IDS) * choices * width).reshape(len(IDS), choices, width)
    for r, (n, k) in enumerate(dispatch(IDS)):
        out[r] = rows[r] * mask[n, k]
    return out


def main():
    torch.set_default_dtype(torch.float64)
    folder = os.path.dirname(os.path.abspath(__file__))
    g = Golden(os.path.join(folder, "ops_tuning.h5"), seed=23)
    ids = torch.tensor(IDS, dtype=torch.int32)
    g.case("scale", lambda x: -1.75 * x, {"x": g.normal(5, 7)})
    g.case("dropout_rows", lambda x, ids: dropped(x, 0.3, 6, 2), {"x": g.normal(10, 6), "ids": ids})
    g.close()


if __name__ == "__main__":
    main()
