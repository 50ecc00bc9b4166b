/* places.c -- names of parameters as names of tensors, in both layouts. */
#include "hf/places.h"

#include <stdarg.h>
#include <string.h>

static const char moe_block[] = "block_sparse_moe.";

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

bool mo__is_experts(const mo_param *p)
{
    return p->ndim == 3 && strstr(p->name, ".block_sparse_moe.experts.");
}

bool mo__is_fused_name(const char *name)
{
    return ends_with(name, ".mlp.experts.gate_up_proj") || ends_with(name, ".mlp.experts.down_proj") ||
           ends_with(name, ".mlp.gate.weight");
}

int64_t mo__place_count(const mo_param *p, bool fused)
{
    return mo__is_experts(p) && !fused ? p->dim[0] : 1;
}

/* "model.layers.3." of a layer's parameter. */
static int layer_prefix(const char *name)
{
    return (int)(strstr(name, moe_block) - name);
}

static void set_name(mo__place *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void set_name(mo__place *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out->name, sizeof out->name, format, arguments);
    va_end(arguments);
}

static void fused_experts(const mo_param *p, mo__place *out)
{
    bool down = ends_with(p->name, ".w2.weight");
    int64_t matrix = p->dim[1] * p->dim[2];
    set_name(out, "%.*smlp.experts.%s", layer_prefix(p->name), p->name, down ? "down_proj" : "gate_up_proj");
    out->parts = p->dim[0];
    out->part_stride = down ? matrix : 2 * matrix;
    out->first = ends_with(p->name, ".w3.weight") ? matrix : 0;
    if (!down) out->dim[1] *= 2;
}

/* experts.w1.weight -> experts.M.w1.weight, of two dimensions. */
static void one_expert(const mo_param *p, int64_t i, mo__place *out)
{
    const char *end = strstr(p->name, ".experts.") + strlen(".experts.");
    set_name(out, "%.*s%lld.%s", (int)(end - p->name), p->name, (long long)i, end);
    out->ndim = 2;
    out->dim[0] = p->dim[1];
    out->dim[1] = p->dim[2];
}

void mo__place_of(const mo_param *p, bool fused, int64_t i, mo__place *out)
{
    *out = (mo__place){.ndim = p->ndim, .parts = 1};
    memcpy(out->dim, p->dim, sizeof out->dim);
    if (mo__is_experts(p) && fused)
        fused_experts(p, out);
    else if (mo__is_experts(p))
        one_expert(p, i, out);
    else if (fused && ends_with(p->name, ".block_sparse_moe.gate.weight"))
        set_name(out, "%.*smlp.gate.weight", layer_prefix(p->name), p->name);
    else
        set_name(out, "%s", p->name);
}
