"""Experts in PyTorch as fast as we can write them for a CPU: choices for MixtralForCausalLM's experts_implementation.

    split   rows sorted by expert; one pair of products for each expert on its slice, no masks, no index_add
    bmm     rows sorted by expert and padded to the busiest expert's number; one batched product for all experts

Both gather back and add a token's K rows in order."""

import torch
import torch.nn.functional as F
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS


def sort_rows(experts, ids_NK):
    order = ids_NK.flatten().argsort(stable=True)
    counts = torch.bincount(ids_NK.flatten(), minlength=experts)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order))
    return order, counts, inverse


def combine(y_RD, inverse, weights_NK):
    N, K = weights_NK.shape
    return (y_RD.index_select(0, inverse).view(N, K, -1) * weights_NK.unsqueeze(-1)).sum(1)


def split(self, x_ND, ids_NK, weights_NK):
    order, counts, inverse = sort_rows(self.num_experts, ids_NK)
    parts = x_ND.index_select(0, order // ids_NK.shape[1]).split(counts.tolist())
    out = []
    for x, w13, w2 in zip(parts, self.gate_up_proj.unbind(), self.down_proj.unbind()):
        gate, up = F.linear(x, w13).chunk(2, -1)
        out.append(F.linear(F.silu(gate) * up, w2))
    return combine(torch.cat(out), inverse, weights_NK)


def bmm(self, x_ND, ids_NK, weights_NK):
    order, counts, inverse = sort_rows(self.num_experts, ids_NK)
    most = int(counts.max())
    begin = counts.cumsum(0) - counts
    sorted_ids = ids_NK.flatten()[order]
    slot = sorted_ids * most + torch.arange(len(order)) - begin[sorted_ids]
    x = x_ND.new_zeros(self.num_experts * most, x_ND.shape[1])
    x = x.index_copy(0, slot, x_ND.index_select(0, order // ids_NK.shape[1])).view(self.num_experts, most, -1)
    gate, up = torch.bmm(x, self.gate_up_proj.transpose(1, 2)).chunk(2, -1)
    y = torch.bmm(F.silu(gate) * up, self.down_proj.transpose(1, 2)).flatten(0, 1)
    return combine(y, slot[inverse], weights_NK)


def register():
    ALL_EXPERTS_FUNCTIONS["split"] = split
    ALL_EXPERTS_FUNCTIONS["bmm"] = bmm
