/* trainer_save.c -- a run's checkpoints: the last few steps and the best. */
#include <string.h>

#include "train/trainer.h"

static mo_status save_to(mo__trainer *t, const char *path)
{
    mo_checkpoint_array *arrays = NULL;
    int count = 0;
    MO_TRY(mo__model_arrays(t->model, true, &arrays, &count));
    mo_checkpoint_content content = {.arrays = arrays,
                                     .n_arrays = count,
                                     .state = t->state,
                                     .config = t->resolved,
                                     .tokenizer = t->file->tokenizer,
                                     .compression = (int)t->config.checkpoint.compression};
    mo_status status = mo_checkpoint_save(path, &content);
    mo_free(arrays);
    return status;
}

static void tell(mo__trainer *t, const char *path, double begin, bool best)
{
    const mo_train_events *e = &t->options->events;
    if (e->saved) e->saved(path, mo_clock() - begin, best, e->user);
}

/* Another name of a file with the same content, or a file of its own where there is none, or no hard links.
 */
static mo_status link_or_save(mo__trainer *t, const char *existing, bool same, const char *path)
{
    if (same && mo_link_file(existing, path) == MO_OK) return MO_OK;
    return save_to(t, path);
}

mo_status mo__trainer_save(mo__trainer *t)
{
    if (t->last_saved == t->state.step) return MO_OK;
    double begin = mo_clock();
    char *path = mo__step_path(t->dir, t->state.step), *best = mo_path_join(t->dir, "best.h5");
    mo_status status =
        path && best ? link_or_save(t, best, t->last_best == t->state.step, path) : MO_E_MEMORY;
    if (status == MO_OK) {
        t->last_saved = t->state.step;
        tell(t, path, begin, false);
        status = mo__prune(t->dir, t->config.checkpoint.keep, t->state.step);
    }
    mo_free(path);
    mo_free(best);
    return status;
}

/* Comes before the step file of the same step: a kill between them is made good by the replay, which the
 * other order would not allow. */
mo_status mo__trainer_save_best(mo__trainer *t)
{
    double begin = mo_clock();
    char *best = mo_path_join(t->dir, "best.h5");
    mo_status status = best ? save_to(t, best) : MO_E_MEMORY;
    if (status == MO_OK) {
        t->last_best = t->state.step;
        tell(t, best, begin, true);
    }
    mo_free(best);
    return status;
}

static mo_status check(mo__trainer *t, const mo_checkpoint *c)
{
    const mo_train_options *o = t->options;
    const mo_tokenizer *saved = mo_checkpoint_tokenizer(c);
    const mo_checkpoint_state *state = mo_checkpoint_get_state(c);
    if (o->check_resume) MO_TRY(o->check_resume(mo_checkpoint_config(c), o->config, o->user));
    if (saved && !mo_tokenizer_equal(saved, t->file->tokenizer))
        return mo_error(MO_E_MISMATCH,
                        "%s was made with another tokenizer (%s) than the run's checkpoint (%s)",
                        t->file->path, mo_tokenizer_kind(t->file->tokenizer), mo_tokenizer_kind(saved));
    if (*state->data_hash && strcmp(state->data_hash, t->file->hash) != 0)
        return mo_error(
            MO_E_MISMATCH,
            "%s is not the file that the run began with (its hash is %s, was %s); resuming needs the "
            "same data",
            t->file->path, t->file->hash, state->data_hash);
    return mo__run_extends(&t->config, state);
}

mo_status mo__trainer_find(mo__trainer *t)
{
    char *path = NULL;
    mo_status status = mo__open_latest(t->dir, &t->resumed, &path);
    if (status == MO_E_NOT_FOUND) {
        mo_log(MO_LOG_WARNING, "%s: stopped before its first checkpoint; it starts from the beginning",
               t->dir);
        mo_error_clear();
        return MO_OK;
    }
    MO_TRY(status);
    status = check(t, t->resumed);
    if (status != MO_OK) mo_error_context(status, "%s", path);
    mo_free(path);
    return status;
}

mo_status mo__trainer_load(mo__trainer *t)
{
    mo_checkpoint_array *arrays = NULL;
    int count = 0;
    MO_TRY(mo__model_arrays(t->model, true, &arrays, &count));
    mo_status status = mo_checkpoint_read(t->resumed, arrays, count);
    mo_free(arrays);
    MO_TRY(status);
    t->state = *mo_checkpoint_get_state(t->resumed);
    mo_checkpoint_close(t->resumed);
    t->resumed = NULL;
    return MO_OK;
}
