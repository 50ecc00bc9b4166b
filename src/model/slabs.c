/* slabs.c -- where parameters lie: four slabs, values, gradients and both moments, of the same offsets.
 *   values     [ what trains | frozen and not mapped, buffers ]
 *   the others [ what trains ]
 * With nothing frozen the order is that of declaration, buffers where they were declared, and all four have
 * one size. A mapped parameter has no place in any. */
#include <string.h>

#include "model/build.h"

enum { ALIGN = 16 }; /* elements: every parameter starts on a cache line */

static void place(mo_model *m, int i)
{
    mo_param *p = &m->params[i];
    p->offset = m->elements;
    m->elements += (p->count + ALIGN - 1) / ALIGN * ALIGN;
    m->segments[i].offset = p->offset;
}

static void lay_out(mo_model *m)
{
    bool frozen = false;
    for (int i = 0; i < m->n_params; i++) frozen = frozen || m->params[i].frozen;
    m->elements = 0;
    for (int i = 0; i < m->n_params; i++)
        if (!frozen || mo_param_trains(&m->params[i])) place(m, i);
    m->trainable = m->elements;
    for (int i = 0; i < m->n_params && frozen; i++)
        if (!mo_param_trains(&m->params[i]) && !m->params[i].stored) place(m, i);
}

mo_status mo__slabs_settle(mo_model *m)
{
    int64_t total = 0;
    for (int i = 0; i < m->n_params; i++) {
        total += m->params[i].count; /* each is below the limit, so this cannot overflow */
        if (total > INT64_MAX / 64)
            return mo_error(MO_E_CONFIG, "the model would have more elements than fit any memory");
    }
    m->segments = mo_calloc((size_t)m->n_params, sizeof *m->segments);
    if (!m->segments) return MO_E_MEMORY;
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        m->segments[i] =
            (mo_segment){0, mo_param_trains(p) ? p->count : 0, p->decay, 1, (double)__builtin_nanf("")};
    }
    lay_out(m);
    return MO_OK;
}

void mo_model_freeze(mo_model *m)
{
    MO_ASSERT(!m->value);
    for (int i = 0; i < m->n_params; i++) {
        m->params[i].frozen = true;
        m->segments[i].count = 0;
    }
    lay_out(m);
}

void mo_model_map(mo_model *m, const mo_param *p, const mo_stored *stored)
{
    mo_param *own = &m->params[p - m->params];
    MO_ASSERT(!m->value && own->frozen && !own->buffer && own->ndim >= 2);
    MO_ASSERT(stored->parts * stored->part_elements == own->count);
    own->stored = stored;
    lay_out(m);
}

/* A group of nothing that trains is a misunderstanding; what does not train beside what does is passed over.
 */
static mo_status check_trained(const mo_model *m, const mo_optim_config *config, int64_t group)
{
    const char *match = config->groups.at[group].match;
    const mo_param *idle = NULL;
    for (int i = 0; i < m->n_params; i++) {
        if (!mo_optim_matches(match, m->params[i].name)) continue;
        if (mo_param_trains(&m->params[i])) return MO_OK;
        if (!idle || (idle->buffer && !m->params[i].buffer)) idle = &m->params[i];
    }
    if (!idle) return MO_OK; /* mo_optim_groups_check has more to say */
    if (idle->buffer)
        return mo_error(MO_E_CONFIG,
                        "optimizer.groups[%lld].match: '%s' fits buffers alone (%s, for one), which have no "
                        "gradient and which the optimizer never moves",
                        (long long)group, match, idle->name);
    return mo_error(
        MO_E_CONFIG,
        "optimizer.groups[%lld].match: '%s' fits only what is frozen (%s, for one) and has no rate; "
        "leave the group out, or let its parameters train (freeze, lora)",
        (long long)group, match, idle->name);
}

mo_status mo_model_group(mo_model *m, const mo_optim_config *config)
{
    if (config->groups.count == 0) return MO_OK;
    for (int64_t g = 0; g < config->groups.count; g++) MO_TRY(check_trained(m, config, g));
    const char **names = mo_malloc((size_t)m->n_params * sizeof *names);
    if (!names) return MO_E_MEMORY;
    int n = 0;
    for (int i = 0; i < m->n_params; i++)
        if (mo_param_trains(&m->params[i])) names[n++] = m->params[i].name;
    mo_status status = mo_optim_groups_check(config, names, n);
    mo_free(names);
    MO_TRY(status);
    for (int i = 0; i < m->n_params; i++) {
        int group = mo_optim_group_of(config, m->params[i].name);
        if (group < 0 || !mo_param_trains(&m->params[i])) continue;
        m->segments[i].rate_scale = config->groups.at[group].learning_rate_scale;
        m->segments[i].weight_decay = config->groups.at[group].weight_decay;
    }
    return MO_OK;
}

mo_status mo_model_allocate(mo_model *m, mo_allocate what)
{
    mo_real **slabs[] = {&m->value, &m->grad, &m->m, &m->v};
    for (int i = 0; i < (what == MO_ALLOCATE_TRAINING ? 4 : 1); i++) {
        int64_t elements = i == 0 ? m->elements : m->trainable;
        if (!*slabs[i]) MO_TRY(mo_pages_alloc((size_t)elements * sizeof(mo_real), (void **)slabs[i]));
    }
    return MO_OK;
}

void mo_model_values(const mo_model *m, const mo_param *p, int64_t first, int64_t count, mo_real *out)
{
    MO_ASSERT(first >= 0 && count >= 0 && first + count <= p->count);
    if (!p->stored) memcpy(out, m->value + p->offset + first, (size_t)count * sizeof *out);
    for (int64_t done = 0; p->stored && done < count;) {
        int64_t part = (first + done) / p->stored->part_elements,
                at = (first + done) % p->stored->part_elements;
        int64_t n =
            p->stored->part_elements - at < count - done ? p->stored->part_elements - at : count - done;
        mo_stored_expand(p->stored, part, at, n, out + done);
        done += n;
    }
}

void mo__slabs_free(mo_model *m)
{
    size_t trainable = (size_t)m->trainable * sizeof(mo_real);
    mo_pages_free(m->value, (size_t)m->elements * sizeof(mo_real));
    mo_pages_free(m->grad, trainable);
    mo_pages_free(m->m, trainable);
    mo_pages_free(m->v, trainable);
    mo_free(m->segments);
}

mo_slabs mo_model_slabs(const mo_model *m)
{
    return (mo_slabs){m->value, m->grad, m->m, m->v, m->segments, m->n_params};
}
