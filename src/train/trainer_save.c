/* trainer_save.c -- a run's checkpoints: the last few steps and the best. */
#include <string.h>

#include "train/trainer.h"

mo_status mo__trainer_open_writer(mo__trainer *t)
{
    uint64_t bytes = mo__saved_bytes(t->model, t->base != NULL);
    return mo_checkpoint_writer_create(bytes, t->config.checkpoint.background, &t->writer);
}

/* ---- the end of a save ---- */

static void forget(mo__trainer *t)
{
    mo_free(t->saving.step_path);
    mo_free(t->saving.best_path);
    t->saving = (mo__saving){0};
}

/* Tells of what is whole now; a step file makes the oldest one superfluous. */
static mo_status tell(mo__trainer *t, const mo_checkpoint_saved *saved)
{
    const mo_train_events *e = &t->options->events;
    mo_save_report report = {.step = t->saving.step,
                             .path = t->saving.step_path,
                             .best = t->saving.best_path,
                             .bytes = saved->bytes,
                             .blocked_seconds = saved->blocked_seconds,
                             .background_seconds = saved->background_seconds};
    if (e->saved) e->saved(&report, e->user);
    return report.path ? mo__prune(t->dir, t->config.checkpoint.keep, report.step) : MO_OK;
}

mo_status mo__trainer_settle(mo__trainer *t)
{
    mo_checkpoint_saved saved;
    if (!t->saving.under_way) return MO_OK;
    mo_status status = mo_checkpoint_writer_finish(t->writer, &saved);
    if (status == MO_OK) status = tell(t, &saved);
    forget(t);
    return status;
}

mo_status mo__trainer_poll(mo__trainer *t)
{
    return mo_checkpoint_writer_busy(t->writer) ? MO_OK : mo__trainer_settle(t);
}

/* ---- its beginning ---- */

static mo_status begin_content(mo__trainer *t, const char *const *paths, int n_paths)
{
    mo_checkpoint_array *arrays = NULL;
    mo_checkpoint_content content = {.state = t->state,
                                     .config = t->resolved,
                                     .tokenizer = t->tokenizer,
                                     .data_hashes = t->data_hashes,
                                     .compression = (int)t->config.checkpoint.compression};
    MO_TRY(mo_pretrained_content(t->base, t->model, true, t->base_path, &arrays, &content));
    mo_status status = mo_checkpoint_writer_begin(t->writer, paths, n_paths, &content);
    mo_free(arrays);
    return status;
}

/* best.h5 comes before the step file of the same step, and every file after those of the steps before it:
 * what a kill leaves out is then made good by the replay. */
static mo_status begin(mo__trainer *t)
{
    const mo__saving *s = &t->saving;
    const char *paths[2];
    int n = 0;
    if (s->best_path) paths[n++] = s->best_path;
    if (s->step_path) paths[n++] = s->step_path;
    MO_TRY(begin_content(t, paths, n));
    t->saving.under_way = true;
    if (s->best_path) t->last_best = s->step;
    if (s->step_path) t->last_saved = s->step;
    return MO_OK;
}

mo_status mo__trainer_save(mo__trainer *t, bool step_file, bool best)
{
    MO_TRY(mo__trainer_settle(t));
    t->saving.step = t->state.step;
    if (step_file) t->saving.step_path = mo__step_path(t->dir, t->state.step);
    if (best) t->saving.best_path = mo_path_join(t->dir, "best.h5");
    bool named = (!step_file || t->saving.step_path) && (!best || t->saving.best_path);
    mo_status status = named ? begin(t) : MO_E_MEMORY;
    if (status == MO_OK) return mo__trainer_poll(t);
    forget(t);
    return status;
}

mo_status mo__trainer_save_now(mo__trainer *t)
{
    if (t->last_saved != t->state.step) MO_TRY(mo__trainer_save(t, true, t->last_best == t->state.step));
    return mo__trainer_settle(t);
}

/* ---- going on from one ---- */

static mo_status check(mo__trainer *t, const mo_checkpoint *c)
{
    const mo_train_options *o = t->options;
    const mo_tokenizer *saved = mo_checkpoint_tokenizer(c);
    const mo_checkpoint_state *state = mo_checkpoint_get_state(c);
    if (o->check_resume) MO_TRY(o->check_resume(mo_checkpoint_config(c), o->config, o->user));
    if (saved && !mo_tokenizer_equal(saved, t->tokenizer))
        return mo_error(
            MO_E_MISMATCH, "%s was made with another tokenizer (%s) than the run's checkpoint (%s)",
            t->data.sources[0].file->path, mo_tokenizer_kind(t->tokenizer), mo_tokenizer_kind(saved));
    MO_TRY(mo__run_data_same(&t->data, state->data_hash, mo_checkpoint_data_hashes(c)));
    MO_TRY(mo__trainer_check_base(t, state));
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
    if (status == MO_OK) t->state = *mo_checkpoint_get_state(t->resumed);
    mo_free(path);
    return status;
}

mo_status mo__trainer_load(mo__trainer *t)
{
    mo_checkpoint_array *arrays = NULL;
    int count = 0;
    MO_TRY(t->base ? mo_model_arrays_changed(t->model, true, &arrays, &count)
                   : mo_model_arrays(t->model, true, &arrays, &count));
    mo_status status = mo_checkpoint_read(t->resumed, arrays, count);
    mo_free(arrays);
    MO_TRY(status);
    mo_checkpoint_close(t->resumed);
    t->resumed = NULL;
    return MO_OK;
}
