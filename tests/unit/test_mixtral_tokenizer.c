/* Mixtral's own tokenizer.model against SentencePiece's programs, where both are there: ids and texts of
 * lines, and long texts in pieces. Skipped, saying so, without ../shared/tokenizers or spm_encode. */
#include <moira/checkpoint.h>
#include <moira/tokenizer.h>

#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "tokenizer/sentencepiece_shim.h"

static const char MODEL[] = "../shared/tokenizers/mixtral-8x7b.tokenizer.model";

typedef struct fixture {
    mo_tokenizer *tokenizer;
    mo__sp_processor *whole; /* the same model, given texts uncut */
    char *dir;
} fixture;

static int start(void **state)
{
    static fixture f;
    if (!mo_path_exists(MODEL)) {
        print_message("%s is not there\n", MODEL);
    } else {
        size_t size;
        MO_CHECK_OK(mo_tokenizer_open(MODEL, &f.tokenizer));
        const void *model = mo_tokenizer_blob(f.tokenizer, &size);
        MO_CHECK_OK(mo__sp_open(model, size, &f.whole));
    }
    f.dir = temp_make();
    *state = &f;
    return 0;
}

static int finish(void **state)
{
    fixture *f = *state;
    mo_tokenizer_free(f->tokenizer);
    mo__sp_close(f->whole);
    temp_remove(f->dir);
    return 0;
}

static const mo_tokenizer *model_or_skip(const fixture *f)
{
    if (!f->tokenizer) skip();
    return f->tokenizer;
}

static void need_program(const char *name)
{
    char command[128];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", name);
    if (system(command) == 0) return;
    print_message("%s is not installed\n", name);
    skip();
}

/* The whole lines in the first `most` bytes of a shared text, or NULL with a word. */
static char *shared_text(const char *name, size_t most, size_t *size)
{
    char path[256], *text;
    snprintf(path, sizeof path, "../shared/data/%s", name);
    if (!mo_path_exists(path)) {
        print_message("%s is not there\n", path);
        return NULL;
    }
    MO_CHECK_OK(mo_read_file(path, (size_t)1 << 30, &text, size));
    const char *end = *size > most ? memrchr(text, '\n', most) : NULL;
    if (end) *size = (size_t)(end - text) + 1;
    return text;
}

/* Lines of characters from all over Unicode, spaces, tabs, control characters. */
static char *torture_text(size_t lines, size_t *size)
{
    static const uint32_t FIRST[] = {0x20,   0x20,   0x21,   0x61,   0x00A0,  0x0300,  0x0391,  0x0410,
                                     0x05D0, 0x0627, 0x0905, 0x0E01, 0x2000,  0x2570,  0x3041,  0x4E00,
                                     0xAC00, 0xE000, 0xFE00, 0xFFF9, 0x1F300, 0x1F600, 0x20000, 0xE0100};
    char *text = malloc(lines * 90 * 4);
    assert_non_null(text);
    *size = 0;
    for (size_t line = 0; line < lines; line++) {
        for (uint32_t i = 0; i < 80; i++) {
            uint32_t bits[4];
            mo_rng_bits(11, MO_RNG_TEST, line, 0, i, bits);
            uint32_t c = FIRST[bits[0] % (sizeof FIRST / sizeof *FIRST)] + (bits[1] % 4 ? bits[2] % 40 : 0);
            if (bits[3] % 50 == 0) c = 1 + bits[2] % 9;
            char *to = text + *size;
            int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
            to[0] = (char)(n == 1 ? c : ((0xF00u >> n) & 0xFF) | c >> (6 * (n - 1)));
            for (int j = 1; j < n; j++) to[j] = (char)(0x80 | (c >> (6 * (n - 1 - j)) & 0x3F));
            *size += (size_t)n;
        }
        text[(*size)++] = '\n';
    }
    return text;
}

/* ---- lines through the programs ---- */

static char *run_program(const char *dir, const char *program, const char *input, size_t size,
                         size_t *out_size)
{
    char command[1024], *output;
    const char *in = temp_path(dir, "in.txt"), *out = temp_path(dir, "out.txt");
    MO_CHECK_OK(mo_write_file(in, input, size));
    snprintf(command, sizeof command, "%s --model=%s <%s >%s 2>/dev/null", program, MODEL, in, out);
    assert_int_equal(system(command), 0);
    MO_CHECK_OK(mo_read_file(out, (size_t)1 << 30, &output, out_size));
    return output;
}

static int64_t split_lines(const char *text, size_t size, mo_text_piece **lines)
{
    int64_t n = 0;
    for (size_t i = 0; i < size; i++) n += text[i] == '\n';
    *lines = malloc((size_t)(n + 1) * sizeof **lines);
    assert_non_null(*lines);
    n = 0;
    for (const char *at = text, *end; (end = memchr(at, '\n', (size_t)(text + size - at))); at = end + 1)
        (*lines)[n++] = (mo_text_piece){at, (size_t)(end - at), false};
    return n;
}

/* strtol, but for the checkers' strlen of what it is given. */
static int32_t next_number(char **at)
{
    int32_t value = 0;
    while (**at == ' ') (*at)++;
    if (**at < '0' || **at > '9') return -1;
    for (; **at >= '0' && **at <= '9'; (*at)++) value = 10 * value + (**at - '0');
    return value;
}

static void check_line_ids(const fixture *f, const char *name, const char *text, size_t size)
{
    mo_text_piece *lines;
    size_t printed_size;
    int64_t n = split_lines(text, size, &lines);
    int64_t *counts = malloc((size_t)n * sizeof *counts);
    int32_t *ids;
    assert_non_null(counts);
    char *printed = run_program(f->dir, "spm_encode --output_format=id", text, size, &printed_size),
         *at = printed;
    MO_CHECK_OK(mo_tokenizer_encode_batch(f->tokenizer, lines, n, &ids, counts));
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < counts[i]; j++) {
            int32_t want = next_number(&at);
            if (ids[k++] != want)
                fail_msg("%s: line %lld, token %lld is %d, spm_encode has %d", name, (long long)i + 1,
                         (long long)j, ids[k - 1], want);
        }
        if (*at++ != '\n') fail_msg("%s: line %lld has too few tokens", name, (long long)i + 1);
    }
    assert_int_equal(at - printed, printed_size);
    char *again;
    size_t again_size;
    /* And back: spm_decode's lines. */
    char *decoded = run_program(f->dir, "spm_decode --input_format=id", printed, printed_size, &again_size);
    at = decoded;
    k = 0;
    for (int64_t i = 0; i < n; k += counts[i++]) {
        size_t one;
        MO_CHECK_OK(mo_tokenizer_decode(f->tokenizer, ids + k, counts[i], &again, &one));
        if (memcmp(at, again, one) != 0 || at[one] != '\n')
            fail_msg("%s: line %lld comes back as \"%s\"", name, (long long)i + 1, again);
        at += one + 1;
        mo_free(again);
    }
    assert_int_equal(at - decoded, again_size);
    mo_free(decoded);
    mo_free(printed);
    mo_free(ids);
    free(counts);
    free(lines);
}

static void lines_are_as_the_programs_have_them(void **state)
{
    const fixture *f = *state;
    static const char *const NAMES[] = {"tinyshakespeare.txt", "gsm8k-test.jsonl"};
    model_or_skip(f);
    need_program("spm_encode");
    need_program("spm_decode");
    size_t size;
    char *text = torture_text(300, &size);
    check_line_ids(f, "torture", text, size);
    free(text);
    for (int i = 0; i < 2; i++) {
        if (!(text = shared_text(NAMES[i], 150000, &size))) continue;
        check_line_ids(f, NAMES[i], text, size);
        mo_free(text);
    }
}

/* ---- long texts ---- */

/* The one character that does not come back: U+2581, the word mark itself, is a space. */
static bool comes_back(const char *text, size_t size, const char *again, size_t again_size)
{
    size_t at = 0;
    for (size_t i = 0; i < size; i++) {
        bool mark = size - i >= 3 && memcmp(text + i, "\xE2\x96\x81", 3) == 0;
        if (at >= again_size || again[at++] != (mark ? ' ' : text[i])) return false;
        if (mark) i += 2;
    }
    return at == again_size;
}

static void check_pieces(const fixture *f, const char *name, const char *text, size_t size)
{
    char *again;
    size_t again_size;
    int32_t *whole, *ids;
    int64_t want, count;
    MO_CHECK_OK(mo__sp_encode(f->whole, text, size, &whole, &want));
    for (int threads = 1; threads <= 3; threads += 2) {
        mo_threads_set(threads);
        MO_CHECK_OK(mo_tokenizer_encode(f->tokenizer, text, size, &ids, &count));
        if (count != want || memcmp(ids, whole, (size_t)want * sizeof *ids) != 0)
            fail_msg("%s: pieces give other ids than the whole with %d threads", name, threads);
        mo_free(ids);
    }
    mo_threads_set(0);
    MO_CHECK_OK(mo_tokenizer_decode(f->tokenizer, whole, want, &again, &again_size));
    assert_true(comes_back(text, size, again, again_size));
    mo_free(again);
    mo_free(whole);
}

static void long_texts_are_as_if_whole_and_come_back(void **state)
{
    enum { RUN = 20000 };
    const fixture *f = *state;
    static const char *const NAMES[] = {"tinyshakespeare.txt", "gsm8k-test.jsonl"};
    model_or_skip(f);
    size_t size;
    char *text = torture_text(200, &size);
    check_pieces(f, "torture", text, size);
    free(text);
    for (int i = 0; i < 2; i++) {
        if (!(text = shared_text(NAMES[i], 100000, &size))) continue;
        check_pieces(f, NAMES[i], text, size);
        mo_free(text);
    }
    text = malloc(RUN);
    assert_non_null(text);
    memset(text, 'a', RUN);
    check_pieces(f, "one word", text, RUN);
    memset(text, ' ', RUN);
    check_pieces(f, "one run of spaces", text, RUN);
    free(text);
}

/* Random cuts, with bytes that are no UTF-8. */
static void random_cuts_change_nothing(void **state)
{
    enum { SIZE = 20000 };
    const fixture *f = *state;
    const mo_tokenizer *t = model_or_skip(f);
    static char text[SIZE];
    static mo_text_piece pieces[SIZE];
    static int64_t counts[SIZE];
    size_t torture_size;
    char *torture = torture_text(200, &torture_size);
    assert_true(torture_size > SIZE + 4000);
    for (uint64_t seed = 0; seed < 4; seed++) {
        int64_t n = 0, count = 0, want;
        int32_t *ids, *whole;
        for (uint64_t i = 0; i < SIZE; i++) {
            double u = mo_rng_uniform(seed, MO_RNG_TEST, 2, 0, i);
            text[i] = torture[i + seed * 1000];
            if (u < 0.01) text[i] = (char)(int)(u * 25600);
        }
        for (size_t at = 0; at < SIZE;) {
            size_t wish = 1 + (size_t)(200 * mo_rng_uniform(seed, MO_RNG_TEST, 3, 0, at)), end = 0;
            if (wish > SIZE - at) wish = SIZE - at;
            while (end == 0 && at + wish < SIZE && (end = mo_tokenizer_cut(t, text + at, wish)) == 0) wish++;
            if (end == 0) end = SIZE - at;
            pieces[n++] = (mo_text_piece){text + at, end, at > 0};
            at += end;
        }
        MO_CHECK_OK(mo__sp_encode(f->whole, text, SIZE, &whole, &want));
        MO_CHECK_OK(mo_tokenizer_encode_batch(t, pieces, n, &ids, counts));
        for (int64_t i = 0; i < n; i++) count += counts[i];
        assert_int_equal(count, want);
        assert_memory_equal(ids, whole, (size_t)want * sizeof *ids);
        assert_true(n > 100);
        mo_free(ids);
        mo_free(whole);
    }
    free(torture);
}

/* Half a megabyte in an attribute, and no waiting for it. */
static void a_checkpoint_holds_it(void **state)
{
    const fixture *f = *state;
    const mo_tokenizer *t = model_or_skip(f);
    const char *path = temp_path(f->dir, "model.h5");
    mo_checkpoint_content content = {.config = "", .tokenizer = t};
    mo_checkpoint *c;
    MO_CHECK_OK(mo_checkpoint_save(path, &content));
    double begin = mo_clock();
    MO_CHECK_OK(mo_checkpoint_open(path, &c));
    assert_true(mo_clock() - begin < 2);
    assert_true(mo_tokenizer_equal(mo_checkpoint_tokenizer(c), t));
    mo_checkpoint_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_as_the_programs_have_them),
        cmocka_unit_test(long_texts_are_as_if_whole_and_come_back),
        cmocka_unit_test(random_cuts_change_nothing),
        cmocka_unit_test(a_checkpoint_holds_it),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
