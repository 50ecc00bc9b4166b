/* test_hf_digest.c -- what a folder's digest tells apart: every bit of a tensor of up to 4 MiB, of a larger
 * one the ends and whatever is as long as the gap between two pieces. */
#include "harness/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "moira/hf.h"

enum {
    VOCAB = 6000,
    HIDDEN = 256,
    FFN = 64,
    LARGE = VOCAB * HIDDEN * 4, /* bytes of the embedding, the first tensor */
    SMALL = HIDDEN * HIDDEN * 4,
    PIECE = 1 << 16,
    STEP = (LARGE - PIECE) / 63, /* between begins of pieces, or one more */
    GAP = STEP - PIECE
};

static char *dir;
static long data; /* where the first tensor begins in its file */

static const char *weights(void)
{
    return temp_path(dir, "model.safetensors");
}

static void add(char *header, const char *name, int rows, int columns, long *at)
{
    char shape[40];
    long end = *at + 4L * (rows ? rows : 1) * columns;
    if (rows)
        snprintf(shape, sizeof shape, "%d,%d", rows, columns);
    else
        snprintf(shape, sizeof shape, "%d", columns);
    sprintf(header + strlen(header),
            "%s\"%s.weight\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%ld,%ld]}", *at ? "," : "",
            name, shape, *at, end);
    *at = end;
}

/* A Llama of one layer and of zeros. */
static void make_folder(void)
{
    char header[4000] = "{";
    long end = 0;
    add(header, "model.embed_tokens", VOCAB, HIDDEN, &end);
    add(header, "model.layers.0.self_attn.q_proj", HIDDEN, HIDDEN, &end);
    add(header, "model.layers.0.self_attn.k_proj", HIDDEN, HIDDEN, &end);
    add(header, "model.layers.0.self_attn.v_proj", HIDDEN, HIDDEN, &end);
    add(header, "model.layers.0.self_attn.o_proj", HIDDEN, HIDDEN, &end);
    add(header, "model.layers.0.mlp.gate_proj", FFN, HIDDEN, &end);
    add(header, "model.layers.0.mlp.up_proj", FFN, HIDDEN, &end);
    add(header, "model.layers.0.mlp.down_proj", HIDDEN, FFN, &end);
    add(header, "model.layers.0.input_layernorm", 0, HIDDEN, &end);
    add(header, "model.layers.0.post_attention_layernorm", 0, HIDDEN, &end);
    add(header, "model.norm", 0, HIDDEN, &end);
    strcat(header, "}");
    FILE *file = fopen(weights(), "wb");
    assert_non_null(file);
    for (int i = 0; i < 8; i++) fputc((int)(strlen(header) >> 8 * i & 255), file);
    fputs(header, file);
    fclose(file);
    data = 8 + (long)strlen(header);
    assert_int_equal(truncate(weights(), data + end), 0);
    static const char config[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 256, \"intermediate_size\": 64, "
        "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"vocab_size\": 6000, "
        "\"tie_word_embeddings\": true}";
    MO_CHECK_OK(mo_write_file(temp_path(dir, "config.json"), config, strlen(config)));
}

static void get_digest(char out[33])
{
    mo_hf *hf = NULL;
    MO_CHECK_OK(mo_hf_open(dir, &hf));
    snprintf(out, 33, "%s", mo_hf_digest(hf));
    mo_hf_close(hf);
}

static void fill(long at, long size, int byte)
{
    FILE *file = fopen(weights(), "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, data + at, SEEK_SET), 0);
    for (long i = 0; i < size; i++) fputc(byte, file);
    fclose(file);
}

/* Whether bytes of the first tensors that are others make the digest another; they are put back. */
static bool is_noticed(long at, long size)
{
    char before[33], after[33];
    get_digest(before);
    fill(at, size, 1);
    get_digest(after);
    fill(at, size, 0);
    return strcmp(before, after) != 0;
}

static void test_small(void **state)
{
    (void)state;
    for (long at = 0; at < SMALL; at += SMALL / 7) assert_true(is_noticed(LARGE + at, 1));
    assert_true(is_noticed(LARGE + SMALL - 1, 1));
}

static void test_large(void **state)
{
    (void)state;
    assert_true(is_noticed(0, 1));
    assert_true(is_noticed(LARGE - 1, 1));
    for (long i = 0; i < 64; i += 9) {
        long begin = (LARGE - PIECE) * i / 63;
        assert_true(is_noticed(begin, 1));
        assert_true(is_noticed(begin + PIECE - 1, 1));
        if (i < 63) assert_false(is_noticed(begin + PIECE, 1));      /* the gap behind it */
        if (i < 63) assert_true(is_noticed(begin + PIECE, GAP + 2)); /* no longer than that */
    }
}

static void append(const char *path, int byte)
{
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    fputc(byte, file);
    fclose(file);
}

/* The rest of what it is of, and nothing else: not its path, not the number of threads. */
static void test_rest(void **state)
{
    (void)state;
    char first[33], other[33];
    get_digest(first);
    int threads = mo_threads();
    mo_threads_set(1);
    get_digest(other);
    mo_threads_set(threads);
    assert_string_equal(first, other);
    append(temp_path(dir, "config.json"), ' ');
    get_digest(other);
    assert_string_not_equal(first, other);
}

int main(void)
{
    dir = temp_make();
    make_folder();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small), cmocka_unit_test(test_large),
                                       cmocka_unit_test(test_rest)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    temp_remove(dir);
    return failed;
}
