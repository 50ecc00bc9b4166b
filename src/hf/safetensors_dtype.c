/* safetensors_dtype.c -- the element types of the format, by name. */
#include "hf/safetensors.h"

#include <string.h>

static const mo__shard_dtype types[] = {
    {"F32", 32, MO_F32},    {"F16", 16, MO_F16},    {"BF16", 16, MO_BF16}, {"BOOL", 8, -1},
    {"F4", 4, -1},          {"F6_E2M3", 6, -1},     {"F6_E3M2", 6, -1},    {"U8", 8, -1},
    {"I8", 8, -1},          {"F8_E5M2", 8, -1},     {"F8_E4M3", 8, -1},    {"F8_E8M0", 8, -1},
    {"F8_E4M3FNUZ", 8, -1}, {"F8_E5M2FNUZ", 8, -1}, {"I16", 16, -1},       {"U16", 16, -1},
    {"I32", 32, -1},        {"U32", 32, -1},        {"C64", 64, -1},       {"F64", 64, -1},
    {"I64", 64, -1},        {"U64", 64, -1}};

const mo__shard_dtype *mo__shard_dtype_named(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}

const mo__shard_dtype *mo__shard_dtype_of(mo_dtype dtype)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == (int)dtype) return &types[i];
    return NULL;
}

mo__shape_text mo__shape_show(int ndim, const int64_t *dim)
{
    mo__shape_text shown = {"["};
    size_t used = 1;
    for (int i = 0; i < ndim && used < sizeof shown.text - 24; i++)
        used += (size_t)snprintf(shown.text + used, sizeof shown.text - used, "%s%lld", i ? ", " : "",
                                 (long long)dim[i]);
    snprintf(shown.text + used, sizeof shown.text - used, "]");
    return shown;
}
