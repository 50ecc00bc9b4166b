/* variant.h -- one variant of an experiment, made of a config and settings. */
#ifndef MOIRA_LAB_VARIANT_H
#define MOIRA_LAB_VARIANT_H

#include "lab/match.h"
#include "settings.h"

/* What all variants of an experiment are made with. */
typedef struct mo__variant_maker {
    const mo_lab_spec *spec;
    const mo_lab_variants_options *options;
    mo_run_data data;
    struct mo__known_memory *known; /* estimates so far: most variants of a sweep need the same memory */
    int n_known;
} mo__variant_maker;

/* A config file with what the spec sets for all: what variants' own settings come upon. */
typedef struct mo__variant_base {
    const char *path;
    mo_run_config config; /* its vocab_size is known */
} mo__variant_base;
/* Opens the data too, unless that is done. */
mo_status mo__variant_base_load(mo__variant_maker *m, const char *path, mo__variant_base *out);
void mo__variant_base_free(mo__variant_base *base);

/* What it is to be made equal to. */
typedef struct mo__variant_target {
    mo_lab_match match;
    const char *to;
    double wanted;
} mo__variant_target;

/* Builds the variant of base and own settings; out->name and out->chosen are left to the caller. A rule may
 * leave it out: *taken is false then, and there is nothing to free. config gets what its trials run with; it
 * is the caller's to free if the variant is taken. Messages have no place in front. */
mo_status mo__variant_make(mo__variant_maker *m, const mo__variant_base *base, const mo_lab_settings *own,
                           const mo__variant_target *target, mo_lab_variant *out, mo_run_config *config,
                           bool *taken);
void mo__variant_free(mo_lab_variant *variant);
void mo__variant_maker_free(mo__variant_maker *m);

/* Whether two variants learn and are evaluated alike, as far as their losses need that; of a comparison also
 * in all that is to be equal. MO_E_MISMATCH says what differs. */
mo_status mo__variants_alike(mo__variant_maker *m, const mo_run_config *a, const mo_run_config *b);

/* Whether all rules hold, looked up in `config`, or where that could not be loaded (NULL) in the settings and
 * else in the base; counts NULL: not known yet. */
mo_status mo__rules_hold(const mo_lab_spec *spec, const mo__variant_base *base, const mo_lab_settings *own,
                         const mo_run_config *config, const mo_model_count *counts, bool *out);

#endif
