/* mapped.c -- LoRA steps on a model folder that may be bigger than memory, against their floor:
 *
 *     mapped DIR [TOKENS [STEPS [RANK [none | block | full]]]]     512, 3, 8, none unless given
 *
 * All matrices stay in the folder's files (mo_model_map); adapters on all targets train, in one sequence of
 * random tokens. The floor of a step is the larger of
 *     bytes that it read from the disk / what the disk gives (O_DIRECT, 16 MiB at a time, two threads)
 *     floating-point operations of all its ops / the measured peak of matrix products.
 * Linux only: /proc/self/io has the bytes, /proc/self/status the anonymous memory. */
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "moira/moira.h"
#include "train/profile.h"

static void must(mo_status status)
{
    if (status == MO_OK) return;
    fprintf(stderr, "mapped: %s\n", mo_last_error());
    exit(1);
}

/* The number behind `key` in a file of /proc; 0 without. */
static double proc_value(const char *path, const char *key)
{
    char line[256];
    double value = 0;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0) value = strtod(line + strlen(key), NULL);
    if (file) fclose(file);
    return value;
}

static double bytes_read(void)
{
    return proc_value("/proc/self/io", "read_bytes:");
}

/* ---- the disk ---- */

enum { BLOCK = 16 << 20, READERS = 2, BLOCKS = 128 };

typedef struct reading {
    int file;
    int64_t blocks;
    atomic_int next;
} reading;

static void *reader(void *user)
{
    reading *d = user;
    void *buffer = NULL;
    if (posix_memalign(&buffer, 4096, BLOCK) != 0) return NULL;
    for (int i; (i = atomic_fetch_add(&d->next, 1)) < BLOCKS;)
        if (pread(d->file, buffer, BLOCK, i % d->blocks * BLOCK) != BLOCK) break;
    free(buffer);
    return NULL;
}

/* GB/s of 2 GiB from the folder's first shard. */
static double disk_rate(const char *dir)
{
    struct stat info;
    glob_t shards;
    char *pattern = mo_path_join(dir, "*.safetensors");
    if (!pattern || glob(pattern, 0, NULL, &shards) != 0) return 0;
    reading d = {.file = open(shards.gl_pathv[0], O_RDONLY | O_DIRECT | O_CLOEXEC)};
    pthread_t threads[READERS];
    globfree(&shards);
    mo_free(pattern);
    if (d.file < 0 || fstat(d.file, &info) != 0 || info.st_size < BLOCK) return 0;
    d.blocks = info.st_size / BLOCK;
    double begin = mo_clock();
    for (int i = 0; i < READERS; i++) pthread_create(&threads[i], NULL, reader, &d);
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    close(d.file);
    return (double)BLOCKS * BLOCK / (mo_clock() - begin) / 1e9;
}

/* ---- the model ---- */

static void map_weights(const mo_hf *hf, mo_model *m)
{
    double mapped = 0;
    for (int i = 0; i < m->n_params; i++) {
        const mo_stored *w = NULL;
        const mo_param *p = &m->params[i];
        if (p->ndim < 2 || !p->frozen || strstr(p->name, ".lora_")) continue;
        must(mo_hf_stored(hf, p, &w));
        mo_model_map(m, p, w);
        mapped += (double)p->count;
    }
    printf("model        %.3f billion parameters stay in their files, %.2f million train\n", mapped / 1e9,
           (double)m->trainable / 1e6);
}

static void load_norms(const mo_hf *hf, const mo_model *m)
{
    for (int i = 0; i < m->n_params; i++) {
        const mo_stored *w = NULL;
        const mo_param *p = &m->params[i];
        if (p->stored || strstr(p->name, ".lora_")) continue;
        must(mo_hf_stored(hf, p, &w));
        if (w) mo_stored_expand(w, 0, 0, p->count, m->value + p->offset);
    }
}

static void random_tokens(mo_model_graph *t, int64_t V, int64_t at)
{
    int64_t N = t->sequence_length;
    int32_t *tokens = t->tokens->data, *targets = t->targets->data;
    for (int64_t n = 0; n < N; n++) {
        tokens[n] = (int32_t)(mo_rng_uniform(1, MO_RNG_TEST, (uint64_t)at, 0, (uint64_t)n) * (double)V);
        if (n > 0) targets[n - 1] = tokens[n];
        ((int32_t *)t->positions->data)[n] = (int32_t)n;
        ((int32_t *)t->starts->data)[n] = 0;
    }
    targets[N - 1] = -1;
}

/* Floating-point operations and seconds of all that ran since the profile was begun. */
static double work(const mo_graph *g, bool stored, double *seconds)
{
    double flops = 0;
    *seconds = 0;
    for (int i = 0; i < mo_graph_node_count(g); i++)
        for (int phase = MO_FORWARD; phase <= MO_BACKWARD; phase++) {
            const mo_node *node = mo_graph_node_at(g, i);
            int64_t times;
            double spent = mo_graph_node_seconds(g, i, (mo_phase)phase, &times);
            bool is = false;
            for (int k = 0; k < node->n_in; k++) is = is || node->in[k]->stored;
            if (stored && !is) continue;
            *seconds += spent;
            if (node->op->cost) flops += (double)times * node->op->cost(node, (mo_phase)phase).flops;
        }
    return flops;
}

static void step(mo_model *m, mo_model_graph *t, const mo_optim_config *optim, int64_t s, double disk,
                 double peak)
{
    mo_slabs slabs = mo_model_slabs(m);
    random_tokens(t, m->config.vocab_size, s);
    mo_model_graph_scale(t, t->sequence_length - 1, t->sequence_length);
    mo_graph_profile(t->graph, true);
    double begin = mo_clock(), waited = mo_graph_waited(t->graph), before = bytes_read();
    mo_graph_train(t->graph, &(mo_run){.seed = 1, .step = s, .training = true});
    mo_adamw_step(&slabs, optim, optim->learning_rate, mo_grad_norm(&slabs), s);
    double seconds = mo_clock() - begin, bytes = bytes_read() - before, all, products;
    double flops = work(t->graph, false, &all), in_products = work(t->graph, true, &products);
    double balance[MO_BALANCE_LOSSES];
    double floor_disk = bytes / disk / 1e9, floor_peak = flops / peak / 1e9;
    double floor = floor_disk > floor_peak ? floor_disk : floor_peak;
    printf("step %-3lld %8.2f s  loss %.4f  read %.2f GB (%.2f GB/s)  waited %.2f s  %.2f TFLOP\n",
           (long long)s, seconds, mo_model_graph_loss(t, balance) / (double)(t->sequence_length - 1),
           bytes / 1e9, bytes / seconds / 1e9, mo_graph_waited(t->graph) - waited, flops / 1e12);
    printf("         stored products %.2f s at %.0f GFLOP/s, other ops %.2f s\n", products,
           in_products / products / 1e9, all - products);
    printf("         floor: disk %.2f s, products %.2f s; step / floor %.2f\n", floor_disk, floor_peak,
           seconds / floor);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    int64_t tokens = argc > 2 ? strtoll(argv[2], NULL, 10) : 512,
            steps = argc > 3 ? strtoll(argv[3], NULL, 10) : 3;
    const char *policy = argc > 5 ? argv[5] : "none";
    mo_recompute recompute = strcmp(policy, "full") == 0    ? MO_RECOMPUTE_FULL
                             : strcmp(policy, "block") == 0 ? MO_RECOMPUTE_BLOCK
                                                            : MO_RECOMPUTE_NONE;
    int64_t rank = argc > 4 ? strtoll(argv[4], NULL, 10) : 8;
    if (argc < 2 || tokens < 2 || steps < 1 || rank < 1) {
        fprintf(stderr, "usage: mapped DIR [TOKENS [STEPS [RANK [none | block | full]]]]\n");
        return 2;
    }
    mo_hf *hf;
    mo_model *m;
    mo_model_graph *t;
    mo_tuning_config tuning = {.lora = {.rank = rank, .alpha = 16}};
    mo_optim_config optim = {.learning_rate = 1e-4, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8};
    must(mo_blas_init());
    must(mo_hf_open(argv[1], &hf));
    must(mo_model_create_tuned(mo_hf_config(hf), &tuning, &m));
    map_weights(hf, m);
    must(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
    mo_model_init(m, 1);
    load_norms(hf, m);
    mo_model_graph_options options = {
        .kind = MO_GRAPH_TRAIN, .batch_size = 1, .sequence_length = tokens, .recompute = recompute};
    options.balance.mixtral = mo_hf_router_aux_loss_coef(hf);
    must(mo_model_graph_create(m, &options, &t));
    must(mo_graph_bind(t->graph, NULL));
    mo_model_graph_attach(t);
    double disk = disk_rate(argv[1]), peak = 0;
    must(mo__measure_peak(MO__PEAK_OWN, &peak));
    printf("disk         %.2f GB/s\npeak         %.0f GFLOP/s, %d threads\narena        %.2f GB\n", disk,
           peak, mo_threads(), (double)mo_graph_memory_use(t->graph).arena / 1e9);
    for (int64_t s = 0; s < steps; s++) step(m, t, &optim, s, disk, peak);
    printf("disk         %.2f GB/s afterwards\n", disk_rate(argv[1]));
    printf("memory       %.2f GB anonymous, %.2f GB of files mapped in, peak %.2f GB\n",
           proc_value("/proc/self/status", "RssAnon:") * 1024 / 1e9,
           proc_value("/proc/self/status", "RssFile:") * 1024 / 1e9, (double)mo_memory_peak_rss() / 1e9);
    mo_model_graph_free(t);
    mo_model_free(m);
    mo_hf_close(hf);
    return 0;
}
