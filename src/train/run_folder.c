/* run_folder.c -- the names in a run folder, and which checkpoints stay. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/lock_file.h"
#include "train/train_internal.h"

char *mo_run_dir(const mo_run_config *config)
{
    return *config->run.dir ? mo_strdup(config->run.dir) : mo_strprintf("checkpoints/%s", config->run.name);
}

char *mo__step_path(const char *dir, int64_t step)
{
    return mo_strprintf("%s/step-%08lld.h5", dir, (long long)step);
}

/* Step of a file name "step-00000500.h5", or -1. */
static int64_t step_of(const char *name)
{
    long long step = 0;
    int used = 0;
    if (sscanf(name, "step-%lld.h5%n", &step, &used) != 1 || used == 0 || name[used] != '\0') return -1;
    return step;
}

typedef struct step_list {
    int64_t *steps;
    int count, room;
} step_list;

static int falling(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Steps that the folder has checkpoints of, newest first. */
static mo_status list_steps(const char *dir, step_list *out)
{
    *out = (step_list){0};
    DIR *d = opendir(dir);
    if (!d) return mo_error(errno == ENOENT ? MO_E_NOT_FOUND : MO_E_IO, "%s: %s", dir, strerror(errno));
    for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
        int64_t step = step_of(entry->d_name);
        if (step < 0) continue;
        if (out->count == out->room) {
            out->room = out->room ? 2 * out->room : 16;
            int64_t *grown = mo_realloc(out->steps, (size_t)out->room * sizeof *grown);
            if (!grown) {
                mo_free(out->steps);
                closedir(d);
                return MO_E_MEMORY;
            }
            out->steps = grown;
        }
        out->steps[out->count++] = step;
    }
    closedir(d);
    if (out->count) qsort(out->steps, (size_t)out->count, sizeof *out->steps, falling);
    return MO_OK;
}

mo_status mo__prune(const char *dir, int64_t keep, int64_t step)
{
    step_list list;
    int kept = 0;
    MO_TRY(list_steps(dir, &list));
    for (int i = 0; i < list.count; i++) {
        if (list.steps[i] > step || kept++ < keep) continue;
        char *path = mo__step_path(dir, list.steps[i]);
        if (path && unlink(path) != 0)
            mo_log(MO_LOG_WARNING, "%s: cannot be removed: %s", path, strerror(errno));
        mo_free(path);
    }
    mo_free(list.steps);
    return MO_OK;
}

mo_status mo__run_lock(const char *dir, int *lock)
{
    char *path = mo_path_join(dir, "lock"), *holder = NULL;
    if (!path) return MO_E_MEMORY;
    mo_status status = mo__lock_file_take(path, 2, lock);
    mo_free(path);
    if (status == MO_E_EXISTS && (holder = mo_strdup(mo_last_error())))
        mo_error(status,
                 "%s: another process is training in this folder (%s); stop it first, or choose another "
                 "run.name",
                 dir, holder);
    mo_free(holder);
    return status;
}

void mo__run_unlock(const char *dir, int lock)
{
    char *path = mo_path_join(dir, "lock");
    if (path) mo__lock_file_release(path, lock);
    mo_free(path);
}

bool mo_run_held(const char *dir)
{
    char *path = mo_path_join(dir, "lock");
    bool held = path && mo__lock_file_held(path);
    mo_free(path);
    return held;
}

void mo__remove_leftovers(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) return;
    for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
        if (entry->d_name[0] != '.' || !strstr(entry->d_name, ".tmp.")) continue;
        char *path = mo_path_join(dir, entry->d_name);
        if (path && unlink(path) == 0) mo_log(MO_LOG_INFO, "%s: left by a killed save; removed", path);
        mo_free(path);
    }
    closedir(d);
}

/* Newest step checkpoint that is whole. A damaged one is passed over; any other trouble is returned.
 * MO_E_CORRUPT if all are damaged, MO_E_NOT_FOUND if there are none. */
static mo_status open_step(const char *dir, const step_list *list, mo_checkpoint **out, char **path)
{
    for (int i = 0; i < list->count; i++) {
        char *candidate = mo__step_path(dir, list->steps[i]);
        if (!candidate) return MO_E_MEMORY;
        mo_status status = mo_checkpoint_open(candidate, out);
        if (status == MO_OK) {
            *path = candidate;
            return MO_OK;
        }
        mo_free(candidate);
        if (status != MO_E_CORRUPT && status != MO_E_FORMAT) return status;
        mo_log(MO_LOG_WARNING, "%s; going back to the one before", mo_last_error());
    }
    return mo_error(list->count ? MO_E_CORRUPT : MO_E_NOT_FOUND, "%s: holds no whole checkpoint", dir);
}

/* best.h5 takes its place if it is newer, or there is no other. */
static mo_status prefer_best(const char *dir, mo_status found, mo_checkpoint **out, char **path)
{
    char *best = mo_path_join(dir, "best.h5");
    mo_checkpoint *c = NULL;
    if (!best) return MO_E_MEMORY;
    bool there = mo_path_exists(best), usable = there && mo_checkpoint_open(best, &c) == MO_OK;
    if (there && !usable) mo_log(MO_LOG_WARNING, "%s", mo_last_error());
    if (usable &&
        (found != MO_OK || mo_checkpoint_get_state(c)->step > mo_checkpoint_get_state(*out)->step)) {
        if (found == MO_OK) {
            mo_checkpoint_close(*out);
            mo_free(*path);
        }
        *out = c;
        *path = best;
        return MO_OK;
    }
    if (usable) mo_checkpoint_close(c);
    mo_free(best);
    if (found == MO_OK) return MO_OK;
    if (there && found == MO_E_NOT_FOUND) found = MO_E_CORRUPT;
    return mo_error(found, "%s: holds no whole checkpoint", dir);
}

mo_status mo__open_latest(const char *dir, mo_checkpoint **out, char **path)
{
    step_list list;
    MO_TRY(list_steps(dir, &list));
    mo_status status = open_step(dir, &list, out, path);
    mo_free(list.steps);
    bool settled = status != MO_OK && status != MO_E_NOT_FOUND && status != MO_E_CORRUPT;
    return settled ? status : prefer_best(dir, status, out, path);
}

mo_status mo_run_latest(const char *dir, char **path)
{
    mo_checkpoint *c = NULL;
    MO_TRY(mo__open_latest(dir, &c, path));
    mo_checkpoint_close(c);
    return MO_OK;
}

mo_status mo__check_writable(const char *dir)
{
    char *path = mo_strdup(dir);
    while (path && !mo_path_exists(path)) {
        char *parent = mo_path_dir(path);
        bool top = parent && strcmp(parent, path) == 0;
        mo_free(path);
        path = parent;
        if (top) break;
    }
    if (!path) return MO_E_MEMORY;
    mo_status status = MO_OK;
    if (!mo_path_is_dir(path))
        status = mo_error(MO_E_IO, "%s: is a file, a folder is needed here", path);
    else if (access(path, W_OK | X_OK) != 0)
        status = mo_error(MO_E_IO, "%s: cannot be written: %s: %s", dir, path, strerror(errno));
    mo_free(path);
    return status;
}

bool mo__run_exists(const char *dir)
{
    static const char *const marks[] = {"config.yaml", "metrics.jsonl", "best.h5"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        char *path = mo_path_join(dir, marks[i]);
        bool there = path && mo_path_exists(path);
        mo_free(path);
        if (there) return true;
    }
    step_list list;
    if (list_steps(dir, &list) != MO_OK) {
        mo_error_clear();
        return false;
    }
    mo_free(list.steps);
    return list.count > 0;
}
