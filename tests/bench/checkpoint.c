/* checkpoint.c -- what a save costs training: `checkpoint [CONFIG [section.key=value...]]`.
 *
 * Trains in a folder of its own and notes when each step ends and when each save begins and is whole. A step
 * is disturbed if a save was under way in it; the slowdown of a save is the time of its disturbed steps,
 * waits included, less that of as many undisturbed ones (their median). The first step, which touches memory
 * for the first time, counts nowhere. */
#include "harness/harness.h"

#include <stdlib.h>
#include <string.h>

#include "moira/moira.h"

enum { MOST_STEPS = 1000 };

typedef struct record {
    int64_t steps, save_step;
    double begin, ends[MOST_STEPS + 1]; /* ends[s]: of step s */
    double raw_bytes;
    double saved_at; /* 0: the first save is not whole yet */
    mo_save_report save;
} record;

static void on_start(const mo_run_config *config, const mo_run_data *data, const mo_model *model,
                     const mo_run_memory *memory, int64_t first_step, bool over, void *user)
{
    (void)data;
    (void)first_step, (void)over;
    record *r = user;
    r->begin = mo_clock();
    r->save_step = config->checkpoint.every;
    r->raw_bytes = 3.0 * (double)model->elements * sizeof(mo_real);
    printf(
        "model        %lld parameters, with moments %.3f GB; memory of the run %.2f GB, snapshot %.2f GB\n",
        (long long)mo_model_counts(model, config->train.sequence_length).total, r->raw_bytes / 1e9,
        (double)memory->total / 1e9, (double)memory->snapshot / 1e9);
    printf("threads      %d, compression %d, background %s\n", mo_threads(),
           (int)config->checkpoint.compression, config->checkpoint.background ? "true" : "false");
}

static void on_tick(int64_t step, double loss, double rate, void *user)
{
    (void)loss, (void)rate;
    record *r = user;
    if (step > MOST_STEPS) return;
    r->ends[step] = mo_clock();
    r->steps = step;
}

static void on_saved(const mo_save_report *save, void *user)
{
    record *r = user;
    double raw = r->raw_bytes / 1e6, seconds = save->blocked_seconds + save->background_seconds;
    printf("saved        step %lld: %.3f GB, %.3f of raw; training waited %.3f s, background %.2f s: %.0f "
           "MB/s\n",
           (long long)save->step, (double)save->bytes / 1e9, (double)save->bytes / r->raw_bytes,
           save->blocked_seconds, save->background_seconds, raw / seconds);
    if (r->saved_at > 0) return;
    r->saved_at = mo_clock();
    r->save = *save;
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print_result(const record *r)
{
    double quiet[MOST_STEPS], disturbed = 0;
    int n_quiet = 0, n_disturbed = 0;
    for (int64_t s = 2; s <= r->steps; s++) {
        double seconds = r->ends[s] - r->ends[s - 1];
        bool is_quiet = s <= r->save_step || r->ends[s - 1] >= r->saved_at;
        if (is_quiet)
            quiet[n_quiet++] = seconds;
        else
            disturbed += seconds, n_disturbed++;
        printf("step %-4lld %8.3f s%s\n", (long long)s, seconds, is_quiet ? "" : "  disturbed");
    }
    qsort(quiet, (size_t)n_quiet, sizeof *quiet, rising);
    double step = quiet[n_quiet / 2], slowdown = disturbed - n_disturbed * step;
    printf("step         %.3f s undisturbed (median of %d, %.3f to %.3f)\n", step, n_quiet, quiet[0],
           quiet[n_quiet - 1]);
    printf("blocked      %.3f s, %.1f%% of a step (must be below 5%%)\n", r->save.blocked_seconds,
           100 * r->save.blocked_seconds / step);
    printf("slowdown     %.3f s in all, over %d disturbed steps (must be at most 10 s)\n", slowdown,
           n_disturbed);
}

static mo_status bench(const char *dir, const char *config_path, const char *const *settings, int n)
{
    static record r;
    const char *data = temp_path(dir, "data.h5");
    mo_synth_options synth = {.output = data, .domains = 2, .tokens = 1000000, .seed = 1};
    mo_corpus_summary summary;
    mo_run_config config;
    mo_step_report last;
    const char *all[64];
    MO_TRY(mo_synth(&synth, &summary));
    char *path = mo_strprintf("data.path=%s", data), *place = mo_strprintf("run.dir=%s/run", dir);
    all[0] = path;
    all[1] = place;
    for (int i = 0; i < n && i < 62; i++) all[2 + i] = settings[i];
    mo_status status = mo_config_load(config_path, all, n + 2, &config);
    mo_free(path);
    mo_free(place);
    MO_TRY(status);
    mo_train_options options = {
        .config = &config,
        .dump = mo_config_dump,
        .events = {.start = on_start, .tick = on_tick, .saved = on_saved, .user = &r}};
    status = mo_train(&options, &last);
    mo_config_free(&config);
    if (status == MO_OK) print_result(&r);
    return status;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    char *dir = temp_make();
    mo_status status = bench(dir, argc > 1 ? argv[1] : "configs/bench-checkpoint.yaml",
                             (const char *const *)(argv + 2), argc > 2 ? argc - 2 : 0);
    if (status != MO_OK) fprintf(stderr, "checkpoint: %s\n", mo_last_error());
    temp_remove(dir);
    return status == MO_OK ? 0 : 1;
}
