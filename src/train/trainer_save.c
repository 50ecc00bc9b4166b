/* trainer_save.c -- a run's checkpoints: the last few steps and the best. */
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

mo_status mo__trainer_save(mo__trainer *t)
{
    if (t->last_saved == t->state.step) return MO_OK;
    double begin = mo_clock();
    char *path = mo__step_path(t->dir, t->state.step);
    if (!path) return MO_E_MEMORY;
    mo_status status = save_to(t, path);
    if (status == MO_OK) {
        t->last_saved = t->state.step;
        tell(t, path, begin, false);
        status = mo__prune(t->dir, t->config.checkpoint.keep);
    }
    mo_free(path);
    return status;
}

mo_status mo__trainer_save_best(mo__trainer *t)
{
    double begin = mo_clock();
    char *best = mo_path_join(t->dir, "best.h5"), *saved = mo__step_path(t->dir, t->state.step);
    mo_status status = best && saved ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK) {
        bool linked = t->last_saved == t->state.step && mo__link_replace(saved, best) == MO_OK;
        if (!linked)
            status = save_to(t, best); /* no step checkpoint here, or a file system without hard links */
    }
    if (status == MO_OK) tell(t, best, begin, true);
    mo_free(best);
    mo_free(saved);
    return status;
}

static mo_status read_state(mo__trainer *t, mo_checkpoint *c)
{
    const mo_train_options *o = t->options;
    const mo_tokenizer *saved = mo_checkpoint_tokenizer(c);
    if (o->check_resume) MO_TRY(o->check_resume(mo_checkpoint_config(c), o->config, o->user));
    if (saved && !mo_tokenizer_equal(saved, t->file->tokenizer))
        return mo_error(MO_E_MISMATCH,
                        "%s was made with another tokenizer (%s) than the run's checkpoint (%s)",
                        t->file->path, mo_tokenizer_kind(t->file->tokenizer), mo_tokenizer_kind(saved));
    mo_checkpoint_array *arrays = NULL;
    int count = 0;
    MO_TRY(mo__model_arrays(t->model, true, &arrays, &count));
    mo_status status = mo_checkpoint_read(c, arrays, count);
    mo_free(arrays);
    MO_TRY(status);
    t->state = *mo_checkpoint_get_state(c);
    t->last_saved = t->state.step;
    return MO_OK;
}

mo_status mo__trainer_load(mo__trainer *t)
{
    mo_checkpoint *c = NULL;
    char *path = NULL;
    MO_TRY(mo__open_latest(t->dir, &c, &path));
    mo_status status = read_state(t, c);
    if (status != MO_OK) mo_error_context(status, "%s", path);
    mo_checkpoint_close(c);
    mo_free(path);
    return status;
}
