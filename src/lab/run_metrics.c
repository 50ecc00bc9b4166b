/* run_metrics.c -- reading a run folder: config.yaml, metrics.jsonl, the end of routing.jsonl. */
#include "lab/run_metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "lab/run_json.h"
#include "train/train_internal.h"

static const size_t MOST_BYTES = (size_t)4 << 30;
enum { CONFIG_BYTES = 1 << 20, TAIL_BYTES = 1 << 18 };

/* The file as text; *out stays NULL where there is none. */
static mo_status read_if_there(const char *dir, const char *name, size_t limit, char **path, char **out,
                               size_t *size)
{
    *path = mo_path_join(dir, name);
    if (!*path) return MO_E_MEMORY;
    if (!mo_path_exists(*path)) return MO_OK;
    mo_status status = mo_read_file(*path, limit, out, size);
    return status == MO_E_NOT_FOUND ? MO_OK : status; /* it has just been taken away */
}

/* ---- config.yaml ---- */

static mo_status read_config(const char *dir, mo__run_metrics *m)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    mo_status status = read_if_there(dir, "config.yaml", CONFIG_BYTES, &path, &text, &size);
    if (status == MO_OK && !text)
        status =
            mo_path_is_dir(dir)
                ? mo_error(MO_E_NOT_FOUND,
                           "%s: is no run folder: it has no config.yaml (a run writes it when it begins)",
                           dir)
                : mo_error(MO_E_NOT_FOUND, "%s: no such folder", dir);
    if (status == MO_OK) status = mo_config_parse(text, path, &m->config);
    mo_free(text);
    mo_free(path);
    return status;
}

static mo_status count_model(mo__run_metrics *m)
{
    mo_model *model = NULL;
    m->step_tokens = mo_run_step_tokens(&m->config);
    if (m->config.model.vocab_size <= 0) return MO_OK;
    MO_TRY(mo_model_create_tuned(&m->config.model, &m->config.tuning, &model));
    m->count = mo_model_counts(model, m->config.train.sequence_length);
    mo_model_free(model);
    return MO_OK;
}

/* ---- metrics.jsonl ---- */

typedef struct walk {
    const char *path;
    const char *at, *end; /* of the text that is left */
    int64_t number;       /* of the line, from 1 */
    int64_t step;         /* of the line before */
} walk;

static mo_status add_line(mo__run_metrics *m, int64_t *room, const json_t *line, bool loads)
{
    if (m->n_lines == *room) {
        *room = *room ? 2 * *room : 64;
        mo_step_report *grown = mo_realloc(m->lines, (size_t)*room * sizeof *grown);
        if (!grown) return MO_E_MEMORY;
        m->lines = grown;
    }
    MO_TRY(mo__run_report_read(line, loads, &m->blocks, &m->lines[m->n_lines]));
    m->n_lines++;
    return MO_OK;
}

static mo_status take_line(walk *w, size_t length, bool last, bool loads, int64_t *room, mo__run_metrics *m)
{
    json_t *line;
    int64_t step;
    MO_TRY(mo__run_line_parse(w->at, length, &line, &step));
    if (!line) {
        m->torn = last;
        return last ? MO_OK : mo_error(MO_E_CORRUPT, "is no JSON object with a step");
    }
    mo_status status =
        step > w->step ? add_line(m, room, line, loads)
                       : mo_error(MO_E_CORRUPT, "is of step %lld, after one of step %lld; steps have to rise",
                                  (long long)step, (long long)w->step);
    json_decref(line);
    w->step = step;
    return status;
}

static mo_status read_lines(const char *dir, bool loads, mo__run_metrics *m)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    int64_t room = 0;
    mo_status status = read_if_there(dir, "metrics.jsonl", MOST_BYTES, &path, &text, &size);
    walk w = {.path = path, .at = text, .end = text ? text + size : NULL, .number = 1, .step = -1};
    for (const char *end; status == MO_OK && w.at < w.end; w.at = end + 1, w.number++) {
        end = memchr(w.at, '\n', (size_t)(w.end - w.at));
        if (!end) {
            m->torn = true;
            break;
        }
        status = take_line(&w, (size_t)(end - w.at), end + 1 == w.end, loads, &room, m);
        if (status != MO_OK && status != MO_E_MEMORY)
            mo_error_context(status, "%s: line %lld", path, (long long)w.number);
    }
    mo_free(text);
    mo_free(path);
    return status;
}

/* What a checkpoint would say after the last line. The evaluation of a base at step 0 counts nowhere. */
static void find_end(mo__run_metrics *m)
{
    mo_checkpoint_state state = {.patience_loss = (double)NAN};
    double base = (double)NAN;
    for (int64_t i = 0; i < m->n_lines; i++) {
        mo_step_report *r = &m->lines[i];
        if (r->step == 0) base = r->validation_loss;
        r->base_loss = base;
        state.step = r->step;
        state.seconds = r->seconds;
        if (r->evaluated && r->step > 0) mo__run_evaluated(&m->config, r->validation_loss, &state);
    }
    m->end = m->n_lines > 0 ? mo__run_end(&m->config, &state) : MO_RUN_GOES_ON;
}

/* ---- routing.jsonl ---- */

/* The last line of the text that can be read; a torn one behind it is passed over. */
static mo_status find_last(const char *text, size_t size, json_t **out, int64_t *step)
{
    *out = NULL;
    while (size > 0 && !*out) {
        while (size > 0 && text[size - 1] != '\n') size--; /* to the end of a whole line */
        if (size == 0) break;
        size_t begin = size - 1;
        while (begin > 0 && text[begin - 1] != '\n') begin--;
        MO_TRY(mo__run_line_parse(text + begin, size - 1 - begin, out, step));
        size = begin;
    }
    return MO_OK;
}

static mo_status read_routing(const char *dir, mo__run_metrics *m)
{
    char *path = NULL, *text = NULL;
    size_t size = 0;
    json_t *line = NULL;
    mo_status status = read_if_there(dir, "routing.jsonl", MOST_BYTES, &path, &text, &size);
    if (status == MO_OK && text) status = find_last(text, size, &line, &m->routing_step);
    if (status == MO_OK && line) {
        m->routing = mo__run_take(&m->blocks, 1, sizeof *m->routing);
        status = m->routing ? mo__run_routing_read(line, &m->blocks, m->routing) : MO_E_MEMORY;
        if (status == MO_OK) m->routing->experts_per_token = m->config.model.num_experts_per_tok;
    }
    if (status != MO_OK && status != MO_E_MEMORY && text) mo_error_context(status, "%s: its last line", path);
    json_decref(line);
    mo_free(text);
    mo_free(path);
    return status;
}

/* ---- all of it ---- */

mo_status mo__run_metrics_read(const char *dir, mo__run_parts parts, mo__run_metrics *out)
{
    *out = (mo__run_metrics){0};
    MO_TRY(read_config(dir, out));
    out->dir = mo_strdup(dir);
    mo_status status = out->dir ? count_model(out) : MO_E_MEMORY;
    if (status == MO_OK) status = read_lines(dir, parts & MO__RUN_LAYERS, out);
    if (status == MO_OK && parts & MO__RUN_ROUTING) status = read_routing(dir, out);
    if (status == MO_OK) find_end(out);
    if (status != MO_OK) mo__run_metrics_free(out);
    return status;
}

void mo__run_metrics_free(mo__run_metrics *m)
{
    mo_config_free(&m->config);
    mo__run_blocks_free(m->blocks);
    mo_free(m->lines);
    mo_free(m->dir);
    *m = (mo__run_metrics){0};
}

const mo_step_report *mo__run_metrics_at(const mo__run_metrics *m, int64_t step)
{
    int64_t low = 0, high = m->n_lines;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (m->lines[middle].step < step)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->n_lines && m->lines[low].step == step ? &m->lines[low] : NULL;
}

/* ---- the end alone ---- */

/* text[0 .. *got): the last bytes of the file, at most `want` of them. */
static mo_status read_tail(int file, const char *path, size_t want, char *text, size_t *got, bool *all)
{
    struct stat info;
    if (fstat(file, &info) != 0) return mo__file_error(path, "read");
    off_t from = info.st_size > (off_t)want ? info.st_size - (off_t)want : 0;
    *all = from == 0;
    for (*got = 0; *got < want;) {
        ssize_t n = pread(file, text + *got, want - *got, from + (off_t)*got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return mo__file_error(path, "read");
        if (n == 0) break;
        *got += (size_t)n;
    }
    return MO_OK;
}

/* A line that begins in the middle of it is no JSON, and so is passed over like a torn one. */
static mo_status last_line(int file, const char *path, json_t **out)
{
    mo_status status = MO_OK;
    bool all = false;
    int64_t step;
    *out = NULL;
    for (size_t want = TAIL_BYTES; status == MO_OK && !*out && !all && want <= MOST_BYTES; want *= 8) {
        size_t got = 0;
        char *text = mo_malloc(want);
        status = text ? read_tail(file, path, want, text, &got, &all) : MO_E_MEMORY;
        if (status == MO_OK) status = find_last(text, got, out, &step);
        mo_free(text);
    }
    return status;
}

mo_status mo__run_last_line(const char *dir, mo_step_report *out)
{
    char *path = mo_path_join(dir, "metrics.jsonl");
    if (!path) return MO_E_MEMORY;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    json_t *line = NULL;
    mo_status status = file < 0 ? mo__file_error(path, "read") : last_line(file, path, &line);
    if (file >= 0) close(file);
    if (status == MO_OK && !line) status = mo_error(MO_E_NOT_FOUND, "%s: has no whole line yet", path);
    if (status == MO_OK) status = mo__run_report_read(line, false, NULL, out);
    json_decref(line);
    mo_free(path);
    return status;
}
