/* spec_content.c -- which data trials learn from and which model they begin with, by content: files may lie
 * elsewhere when an experiment is gone on with, but must be the same. */
#include <string.h>

#include "config/setting.h"
#include "moira/pretrained.h"
#include "spec.h"

static mo_status add_model(const char *name, const char *path, mo__buffer *out)
{
    mo_pretrained *p;
    MO_TRY(mo_pretrained_open(path, NULL, NULL, &p));
    mo__buffer_add(out, "%s model of init.from (hash of its content): %s\n", name, mo_pretrained_digest(p));
    mo_pretrained_close(p);
    return MO_OK;
}

static void add_weights(const char *name, const mo_run_config *c, mo__buffer *out)
{
    if (c->data.mixture.count == 0) return;
    mo__buffer_add(out, "%s weights of data.mixture: ", name);
    for (int64_t i = 0; i < c->data.mixture.count; i++)
        mo__buffer_add(out, "%s%.17g", i ? ", " : "", c->data.mixture.at[i].weight);
    mo__buffer_add(out, "\n");
}

static const char *data_key(const mo_run_config *c)
{
    return c->data.mixture.count > 0 ? "data.mixture" : "data.path";
}

static mo_status add_content(const char *name, const mo_run_config *c, mo__buffer *out)
{
    mo_run_data data;
    mo_status status = mo_run_data_open(c, &data);
    if (status != MO_OK)
        return mo_error_context(status, "%s%s", data_key(c),
                                status == MO_E_NOT_FOUND ? " (`moira prepare` makes such a file from text)"
                                                         : "");
    mo__buffer_add(out, "%s data (hash of its content): %s\n", name, data.hash);
    add_weights(name, c, out);
    mo_run_data_close(&data);
    return c->init.from && *c->init.from ? add_model(name, c->init.from, out) : MO_OK;
}

static mo_status add_config(const mo_lab_spec *s, const char *name, const char *path,
                            const mo_lab_settings *own, mo__buffer *out)
{
    mo_lab_settings all = {0};
    mo_run_config config;
    mo_status status = mo__spec_common(s, &all);
    if (status == MO_OK && own) status = mo__settings_put_all(&all, own);
    if (status == MO_OK) status = mo__settings_load(path, &all, &config);
    mo__settings_free(&all);
    MO_TRY(status);
    status = add_content(name, &config, out);
    mo_config_free(&config);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s: %s: %s", s->path, name, path);
}

static bool is_elsewhere(const mo_lab_spec *s, const mo_lab_entry *e)
{
    if (strcmp(e->config, s->base) != 0) return true;
    for (int i = 0; i < e->settings.count; i++)
        if (mo__setting_is_place(e->settings.at[i].key)) return true;
    return false;
}

static mo_status add_entries(const mo_lab_spec *s, mo__buffer *out)
{
    for (int i = 0; i < s->n_entries; i++) {
        const mo_lab_entry *e = &s->entries[i];
        if (!is_elsewhere(s, e)) continue;
        char *name = mo_strprintf("variant %s", e->name);
        mo_status status = name ? add_config(s, name, e->config, &e->settings, out) : MO_E_MEMORY;
        mo_free(name);
        MO_TRY(status);
    }
    return MO_OK;
}

/* Models that a sweep begins with by turns. */
static mo_status add_values(const mo_lab_spec *s, const mo_lab_parameter *p, mo__buffer *out)
{
    if (strcmp(p->key, "init.from") != 0) return MO_OK;
    for (int i = 0; i < p->count; i++) {
        mo_status status = *p->values[i] ? add_model(p->values[i], p->values[i], out) : MO_OK;
        if (status != MO_OK) return mo_error_context(status, "%s: init.from", s->path);
    }
    return MO_OK;
}

mo_status mo__spec_content(const mo_lab_spec *s, char **out)
{
    mo__buffer text = {0};
    mo__buffer_add(&text, "%s", s->asked);
    mo_status status = add_config(s, "base", s->base, NULL, &text);
    if (status == MO_OK) status = add_entries(s, &text);
    for (int i = 0; i < s->n_parameters && status == MO_OK; i++)
        status = add_values(s, &s->parameters[i], &text);
    return mo__buffer_finish(&text, status, out);
}
