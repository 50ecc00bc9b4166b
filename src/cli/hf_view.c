/* hf_view.c -- the config of a model that came in a folder. */
#include "hf_view.h"

#include <string.h>

/* The folder's own name, where a run can be called so. */
static char *name_of(const char *dir)
{
    size_t end = strlen(dir);
    while (end > 1 && dir[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && dir[begin - 1] != '/') begin--;
    bool good = begin < end && end - begin <= 200 && dir[begin] != '.';
    for (size_t i = begin; i < end && good; i++)
        good = (unsigned char)dir[i] >= ' ' && dir[i] != 127 && dir[i] != '/';
    return good ? mo_strprintf("%.*s", (int)(end - begin), dir + begin) : mo_strdup("imported");
}

mo_status mo__hf_dump_config(const mo_hf *hf, const char *dir, char **out)
{
    mo_balance_config balance = {.mixtral = mo_hf_router_aux_loss_coef(hf), .scope = MO_SCOPE_MICROBATCH};
    char *name = name_of(dir);
    if (!name) return MO_E_MEMORY;
    mo_status status = mo_config_dump_model(name, mo_hf_config(hf), &balance, out);
    mo_free(name);
    return status;
}
