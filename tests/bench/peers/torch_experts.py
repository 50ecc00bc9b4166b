"""Experts in PyTorch as fast as we can write them for a CPU: choices for MixtralForCausalLM's experts_implementation.

    split    rows sorted by expert; one pair of products for each expert on its slice, no masks, no index_add
    grouped  the same, the products of all experts writing into one tensor, so that nothing is concatenated, and permutations
             whose backward are gathers; of operations that torch.compile can see through, so that it fuses what is between
    bmm      rows sorted by expert and padded to the busiest expert's number; one batched product for all experts

All gather back and add a token's K rows in order."""

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


@torch.library.custom_op("peers::product", mutates_args=())
def product(x_RI: torch.Tensor, w_EOI: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """y_r = W_e x_r, e the expert of row r."""
    y = x_RI.new_empty(len(x_RI), w_EOI.shape[1])
    n = counts.tolist()
    for x, w, out in zip(x_RI.split(n), w_EOI, y.split(n)):
        torch.mm(x, w.t(), out=out)
    return y


@torch.library.custom_op("peers::product_dx", mutates_args=())
def product_dx(dy_RO: torch.Tensor, w_EOI: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    dx = dy_RO.new_empty(len(dy_RO), w_EOI.shape[2])
    n = counts.tolist()
    for dy, w, out in zip(dy_RO.split(n), w_EOI, dx.split(n)):
        torch.mm(dy, w, out=out)
    return dx


@torch.library.custom_op("peers::product_dw", mutates_args=())
def product_dw(dy_RO: torch.Tensor, x_RI: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    dw = x_RI.new_empty(len(counts), dy_RO.shape[1], x_RI.shape[1])
    n = counts.tolist()
    for dy, x, out in zip(dy_RO.split(n), x_RI.split(n), dw):
        torch.mm(dy.t(), x, out=out)
    return dw


@product.register_fake
def _(x, w, counts):
    return x.new_empty(len(x), w.shape[1])


@product_dx.register_fake
def _(dy, w, counts):
    return dy.new_empty(len(dy), w.shape[2])


@product_dw.register_fake
def _(dy, x, counts):
    return x.new_empty(len(counts), dy.shape[1], x.shape[1])


def product_backward(ctx, dy):
    x, w, counts = ctx.saved_tensors
    dy = dy.contiguous()
    return product_dx(dy, w, counts), product_dw(dy, x, counts), None


product.register_autograd(product_backward, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))


class Spread(torch.autograd.Function):
    """x_r = x_{order_r / K}"""

    @staticmethod
    def forward(ctx, x_ND, order, inverse, K):
        ctx.save_for_backward(inverse)
        ctx.K = K
        return x_ND.index_select(0, order // K)

    @staticmethod
    def backward(ctx, dx_RD):
        inverse, = ctx.saved_tensors
        return dx_RD.index_select(0, inverse).view(-1, ctx.K, dx_RD.shape[1]).sum(1), None, None, None


class Combine(torch.autograd.Function):
    """y_n = sum_k w_nk y_{inverse_nk}"""

    @staticmethod
    def forward(ctx, y_RD, weights_NK, order, inverse):
        ctx.save_for_backward(y_RD, weights_NK, order, inverse)
        return combine(y_RD, inverse, weights_NK)

    @staticmethod
    def backward(ctx, dy_ND):
        y_RD, weights_NK, order, inverse = ctx.saved_tensors
        N, K = weights_NK.shape
        dy_RD = dy_ND.index_select(0, order // K) * weights_NK.flatten().index_select(0, order).unsqueeze(1)
        dweights = (y_RD.index_select(0, inverse).view(N, K, -1) * dy_ND.unsqueeze(1)).sum(-1)
        return dy_RD, dweights, None, None


def grouped(self, x_ND, ids_NK, weights_NK):
    order, counts, inverse = sort_rows(self.num_experts, ids_NK)
    x = Spread.apply(x_ND, order, inverse, ids_NK.shape[1])
    gate, up = product(x, self.gate_up_proj, counts).chunk(2, -1)
    y = product((F.silu(gate) * up).contiguous(), self.down_proj, counts)
    return Combine.apply(y, weights_NK, order, inverse)


def register():
    for experts in (split, grouped, bmm):
        ALL_EXPERTS_FUNCTIONS[experts.__name__] = experts
