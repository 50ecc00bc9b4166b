/* slice.c -- a model folder as wide as Mixtral 8x7B, with fewer layers and random weights:
 *
 *     slice DIR LAYERS [HIDDEN INTERMEDIATE EXPERTS VOCABULARY]         4096 14336 8 32000 unless given
 *
 * bfloat16, in shards of at most 5 GB, tensors in the order in which transformers saves them. 12 layers are
 * 17.68 billion parameters, 35.4 GB. Weights are near normal with deviation 0.02 (the sum of a random word's
 * four bytes), norms are 1: a pure function of tensor and element. Heads are HIDDEN / 128, a quarter of them
 * for keys. For measuring training that maps more than fits into memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "moira/moira.h"

enum { MAX_TENSORS = 4096, CHUNK = 1 << 23 };
static const uint64_t SHARD = 5000000000u;
static const double STD = 0.02;

typedef struct entry {
    char name[96];
    int64_t dim[2]; /* dim[1] 0: of one dimension, a norm */
    int shard;
    uint64_t bytes;
} entry;

typedef struct folder {
    const char *dir;
    int64_t layers, hidden, intermediate, experts, vocabulary;
    entry tensors[MAX_TENSORS];
    int n, shards;
    uint64_t bytes;
} folder;

static void fail(const char *what, const char *path)
{
    fprintf(stderr, "slice: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

__attribute__((format(printf, 4, 5))) static void add(folder *f, int64_t rows, int64_t columns,
                                                      const char *name, ...)
{
    if (f->n == MAX_TENSORS) {
        fprintf(stderr, "slice: more than %d tensors\n", MAX_TENSORS);
        exit(2);
    }
    entry *e = &f->tensors[f->n++];
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(e->name, sizeof e->name, name, arguments);
    va_end(arguments);
    e->dim[0] = rows;
    e->dim[1] = columns;
    e->bytes = 2 * (uint64_t)rows * (uint64_t)(columns ? columns : 1);
    static uint64_t in_shard;
    if (in_shard + e->bytes > SHARD) {
        in_shard = 0;
        f->shards++;
    }
    in_shard += e->bytes;
    e->shard = f->shards;
    f->bytes += e->bytes;
}

static void add_all(folder *f)
{
    int64_t D = f->hidden, F = f->intermediate, kv = D / 4;
    add(f, f->vocabulary, D, "model.embed_tokens.weight");
    for (int l = 0; l < f->layers; l++) {
        add(f, D, D, "model.layers.%d.self_attn.q_proj.weight", l);
        add(f, kv, D, "model.layers.%d.self_attn.k_proj.weight", l);
        add(f, kv, D, "model.layers.%d.self_attn.v_proj.weight", l);
        add(f, D, D, "model.layers.%d.self_attn.o_proj.weight", l);
        add(f, f->experts, D, "model.layers.%d.block_sparse_moe.gate.weight", l);
        for (int e = 0; e < f->experts; e++) {
            add(f, F, D, "model.layers.%d.block_sparse_moe.experts.%d.w1.weight", l, e);
            add(f, D, F, "model.layers.%d.block_sparse_moe.experts.%d.w2.weight", l, e);
            add(f, F, D, "model.layers.%d.block_sparse_moe.experts.%d.w3.weight", l, e);
        }
        add(f, D, 0, "model.layers.%d.input_layernorm.weight", l);
        add(f, D, 0, "model.layers.%d.post_attention_layernorm.weight", l);
    }
    add(f, D, 0, "model.norm.weight");
    add(f, f->vocabulary, D, "lm_head.weight");
    f->shards++;
}

static void shard_name(const folder *f, int shard, char name[64])
{
    snprintf(name, 64, "model-%05d-of-%05d.safetensors", shard + 1, f->shards);
}

static FILE *create(const folder *f, const char *name)
{
    char *path = mo_path_join(f->dir, name);
    FILE *file = path ? fopen(path, "wx") : NULL;
    if (!file) fail("cannot create", path);
    mo_free(path);
    return file;
}

static void finish(FILE *file, const char *name)
{
    if (ferror(file) || fflush(file) || fsync(fileno(file)) || fclose(file)) fail("cannot write", name);
}

static void write_config(const folder *f)
{
    FILE *file = create(f, "config.json");
    int64_t heads = f->hidden / 128 > 4 ? f->hidden / 128 : 4;
    fprintf(
        file,
        "{\n  \"architectures\": [\"MixtralForCausalLM\"],\n  \"model_type\": \"mixtral\",\n"
        "  \"vocab_size\": %lld,\n  \"hidden_size\": %lld,\n  \"intermediate_size\": %lld,\n"
        "  \"num_hidden_layers\": %lld,\n  \"num_attention_heads\": %lld,\n  \"num_key_value_heads\": %lld,\n"
        "  \"num_local_experts\": %lld,\n  \"num_experts_per_tok\": 2,\n  \"hidden_act\": \"silu\",\n"
        "  \"max_position_embeddings\": 32768,\n  \"sliding_window\": null,\n  \"rms_norm_eps\": 1e-05,\n"
        "  \"rope_theta\": 1000000.0,\n  \"initializer_range\": 0.02,\n  \"router_aux_loss_coef\": 0.02,\n"
        "  \"router_jitter_noise\": 0.0,\n  \"attention_dropout\": 0.0,\n  \"tie_word_embeddings\": false,\n"
        "  \"bos_token_id\": 1,\n  \"eos_token_id\": 2,\n  \"torch_dtype\": \"bfloat16\"\n}\n",
        (long long)f->vocabulary, (long long)f->hidden, (long long)f->intermediate, (long long)f->layers,
        (long long)heads, (long long)(heads / 4), (long long)f->experts);
    finish(file, "config.json");
}

static void write_index(const folder *f)
{
    const char *name = "model.safetensors.index.json";
    FILE *file = create(f, name);
    fprintf(file, "{\n  \"metadata\": {\"total_size\": %llu},\n  \"weight_map\": {\n",
            (unsigned long long)f->bytes);
    for (int i = 0; i < f->n; i++) {
        char shard[64];
        shard_name(f, f->tensors[i].shard, shard);
        fprintf(file, "    \"%s\": \"%s\"%s\n", f->tensors[i].name, shard, i + 1 < f->n ? "," : "");
    }
    fprintf(file, "  }\n}\n");
    finish(file, name);
}

/* count elements from `first` on of tensor t: the sum of four bytes has mean 510 and variance 4 (256^2-1)/12.
 */
static void fill(uint32_t t, bool norm, int64_t first, int64_t count, uint16_t *out)
{
    enum { PART = 4096 };
    mo_real scale = norm ? 0 : MO_C(STD / 147.800315741);
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < count; at += PART) {
        uint32_t words[PART];
        mo_real x[PART];
        int64_t n = count - at < PART ? count - at : PART;
        mo_rng_words(1, MO_RNG_TEST, 0, t, (uint64_t)(first + at) / 4, (n + 3) / 4, words);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            uint32_t w = words[i];
            int32_t sum = (int32_t)((w & 255) + (w >> 8 & 255) + (w >> 16 & 255) + (w >> 24)) - 510;
            x[i] = (mo_real)sum * scale + (norm ? MO_C(1) : MO_C(0));
        }
        mo_narrow(MO_BF16, x, n, out + at);
    }
}

static void write_shard(const folder *f, int shard, uint16_t *buffer)
{
    char name[64];
    shard_name(f, shard, name);
    size_t room = 256 * (size_t)f->n + 64, size = 0;
    char *header = calloc(room, 1);
    uint64_t at = 0;
    if (!header) fail("no memory for", name);
    size += (size_t)snprintf(header, room, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = 0; i < f->n; i++) {
        const entry *e = &f->tensors[i];
        char shape[48];
        if (e->shard != shard) continue;
        snprintf(shape, sizeof shape, e->dim[1] ? "[%lld,%lld]" : "[%lld]", (long long)e->dim[0],
                 (long long)e->dim[1]);
        size += (size_t)snprintf(header + size, room - size,
                                 ",\"%s\":{\"dtype\":\"BF16\",\"shape\":%s,\"data_offsets\":[%llu,%llu]}",
                                 e->name, shape, (unsigned long long)at, (unsigned long long)(at + e->bytes));
        at += e->bytes;
    }
    header[size++] = '}';
    while (size % 8) header[size++] = ' ';
    FILE *file = create(f, name);
    uint64_t length = size; /* little-endian, as everything here */
    fwrite(&length, sizeof length, 1, file);
    fwrite(header, size, 1, file);
    for (int i = 0; i < f->n; i++) {
        const entry *e = &f->tensors[i];
        int64_t count = (int64_t)(e->bytes / 2);
        for (int64_t first = 0; e->shard == shard && first < count; first += CHUNK) {
            int64_t n = count - first < CHUNK ? count - first : CHUNK;
            fill((uint32_t)i, e->dim[1] == 0, first, n, buffer);
            if (fwrite(buffer, 2, (size_t)n, file) != (size_t)n) fail("cannot write", name);
        }
    }
    finish(file, name);
    free(header);
    printf("%s: %.2f GB\n", name, (double)at / 1e9);
}

static int64_t argument(int argc, char **argv, int i, int64_t otherwise)
{
    return argc > i ? strtoll(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    static folder f;
    static uint16_t buffer[CHUNK];
    struct statvfs disk;
    setvbuf(stdout, NULL, _IOLBF, 0);
    f = (folder){.dir = argc > 1 ? argv[1] : NULL,
                 .layers = argument(argc, argv, 2, 0),
                 .hidden = argument(argc, argv, 3, 4096),
                 .intermediate = argument(argc, argv, 4, 14336),
                 .experts = argument(argc, argv, 5, 8),
                 .vocabulary = argument(argc, argv, 6, 32000)};
    if (f.layers < 1 || f.hidden < 16 || f.hidden % 16 || f.intermediate < 1 || f.experts < 2 ||
        f.vocabulary < 3) {
        fprintf(stderr, "usage: slice DIR LAYERS [HIDDEN INTERMEDIATE EXPERTS VOCABULARY]\n");
        return 2;
    }
    add_all(&f);
    if (mkdir(f.dir, 0777) != 0) fail("cannot make", f.dir);
    if (statvfs(f.dir, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < f.bytes + (1u << 30)) {
        fprintf(stderr, "slice: %s has room for %.1f GB, the folder takes %.1f GB\n", f.dir,
                (double)disk.f_bavail * (double)disk.f_frsize / 1e9, (double)f.bytes / 1e9);
        return 2;
    }
    printf("%s: %d tensors, %.3f billion parameters, %.2f GB in %d shards\n", f.dir, f.n,
           (double)f.bytes / 2e9, (double)f.bytes / 1e9, f.shards);
    write_config(&f);
    for (int s = 0; s < f.shards; s++) write_shard(&f, s, buffer);
    write_index(&f);
    return 0;
}
