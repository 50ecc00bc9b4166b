/* results.c -- mo_lab_results: read from wherever they are, freed. */
#include "moira/lab.h"

#include "lab/store_file.h"

void mo_lab_results_free(mo_lab_results *r)
{
    for (int i = 0; i < r->n_trials; i++) {
        mo_free(r->trials[i].name);
        mo_free(r->trials[i].dir);
        mo_free(r->trials[i].tuned);
        mo_free(r->trials[i].message);
        mo_free(r->trials[i].evaluations);
    }
    mo_free(r->trials);
    mo_lab_variants_free(r->variants, r->n_variants);
    mo_free(r->path);
    mo_free(r->name);
    mo_free(r->text);
    mo_free(r->machine);
    mo_free(r->reference);
    mo_free(r->tune_key);
    *r = (mo_lab_results){0};
}

static mo_status read_file(const char *path, mo_lab_results *out)
{
    mo__sql sql;
    MO_TRY(mo__sql_open(path, MO__SQL_READ, &sql));
    mo_status status = mo__store_check(&sql);
    if (status == MO_OK) status = mo__sql_run(&sql, "BEGIN");
    if (status == MO_OK) status = mo__store_load(&sql, out);
    mo__sql_close(&sql); /* ends the transaction, in which nothing was written */
    return status;
}

mo_status mo_lab_results_read(const char *path, mo_lab_results *out)
{
    *out = (mo_lab_results){0};
    if (!mo_path_is_dir(path)) return read_file(path, out);
    char *inside = mo_path_join(path, "results.db");
    mo_status status = inside ? read_file(inside, out) : MO_E_MEMORY;
    mo_free(inside);
    return status;
}
