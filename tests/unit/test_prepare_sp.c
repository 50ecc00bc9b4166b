/* test_prepare_sp.c -- corpora with a SentencePiece tokenizer: ids are those of whole documents, begins and
 * ends are where they belong, a tokenizer is learnt from what trains. */
#include <string.h>

#include <moira/data.h>

#include "harness/damage.h"
#include "harness/harness.h"

enum { VOCABULARY = 340 };

static int make_folder(void **state)
{
    *state = temp_make();
    return 0;
}

static int remove_folder(void **state)
{
    temp_remove(*state);
    return 0;
}

/* About `size` bytes of lines of made-up words, some with characters of several bytes; owned. */
static char *make_text(uint64_t seed, size_t size)
{
    static const char *const PARTS[] = {"ba", "ko", "ri", "né",  "tal", "  ",
                                        "on", "ß",  "vi", "sch", "42",  "😀"};
    char *text = mo_malloc(size + 64), *end = text;
    for (uint64_t i = 0; (size_t)(end - text) < size; i++) {
        uint32_t bits[4];
        mo_rng_bits(seed, MO_RNG_TEST, 0, 0, i, bits);
        uint32_t word = bits[0] % 200;
        for (uint32_t k = 0; k < 1 + word % 3; k++) end = stpcpy(end, PARTS[(word / 3 + k * 5) % 12]);
        end = stpcpy(end, bits[1] % 11 ? " " : ".\n");
    }
    *end = '\0';
    return text;
}

typedef struct {
    const char *text;
    size_t size;
} source;

static mo_status give_once(void *user, const char **text, size_t *size)
{
    source *s = user;
    *text = s->text;
    *size = s->size;
    s->size = 0;
    return MO_OK;
}

static mo_tokenizer *learn(const char *text, size_t size)
{
    source s = {text, size};
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_train(
        &(mo_tokenizer_train_options){.vocab_size = VOCABULARY, .next = give_once, .user = &s}, &t));
    return t;
}

/* `bos` and `eos` stand only where a document begins and ends. */
static void check_document(const mo_tokens *split, int64_t d, const mo_tokenizer *t,
                           const mo_text_piece *text, bool begins, bool ends)
{
    int32_t *ids;
    int64_t count, at = (int64_t)split->offsets[d], end = (int64_t)split->offsets[d + 1];
    MO_CHECK_OK(mo_tokenizer_encode_batch(t, text, 1, &ids, &count));
    assert_int_equal(end - at, count + begins + ends);
    if (begins) assert_int_equal(mo_token_at(split, at++), mo_tokenizer_bos(t));
    for (int64_t i = 0; i < count; i++) assert_int_equal(mo_token_at(split, at++), ids[i]);
    if (ends) assert_int_equal(mo_token_at(split, at), mo_tokenizer_eos(t));
    mo_free(ids);
}

/* A document of several pieces among short ones. */
static void documents_have_begins_and_ends(void **state)
{
    const size_t sizes[] = {3000, 1300000, 1, 200};
    const char *names[] = {"0.txt", "1.txt", "2.txt", "3.txt"}, *inputs[4];
    char *texts[4], *sample = make_text(9, 60000);
    mo_tokenizer *t = learn(sample, strlen(sample));
    for (int i = 0; i < 4; i++) {
        texts[i] = make_text((uint64_t)i, sizes[i]);
        inputs[i] = temp_path(*state, names[i]);
        MO_CHECK_OK(mo_write_file(inputs[i], texts[i], strlen(texts[i])));
    }
    mo_prepare_options o = {.corpus = {.inputs = inputs, .n_inputs = 4},
                            .output = temp_path(*state, "o.h5"),
                            .tokenizer = t,
                            .validation_fraction = 0.25};
    mo_prepare_summary summary;
    mo_tokenfile *file;
    MO_CHECK_OK(mo_prepare(&o, &summary));
    MO_CHECK_OK(mo_tokenfile_open(o.output, &file));
    assert_true(mo_tokenizer_equal(file->tokenizer, t));
    for (int i = 0; i < 4; i++) {
        const mo_text_piece whole = {texts[i], strlen(texts[i]), false};
        check_document(&file->split[i == 1], i == 1 ? 0 : i - (i > 1), t, &whole, true, true);
    }
    assert_int_equal(summary.tokens[1], file->split[1].count);
    assert_int_equal(summary.facts.text_bytes[1], strlen(texts[1]));
    mo_tokenfile_close(file);
    mo_tokenizer_free(t);
    for (int i = 0; i < 4; i++) mo_free(texts[i]);
    mo_free(sample);
}

/* It begins in one split and ends in the other; the tokenizer knows the first part alone. */
static void the_only_document_is_cut_in_two(void **state)
{
    const char *input = temp_path(*state, "a.txt");
    char *text = make_text(5, 1170000); /* cut in its second piece */
    size_t size = strlen(text), cut = (size_t)(0.9 * (double)size);
    memcpy(strchr(text + cut - 1000, ' '), "字", 3); /* in train alone: learnt */
    memset(text + cut - 1, 'x', 5);
    memcpy(text + cut - 1, "😀", 4); /* the cut is within it */
    for (size_t i = cut + 100; i < size; i += 300) memcpy(strchr(text + i, '.'), "q", 1);
    MO_CHECK_OK(mo_write_file(input, text, size));
    mo_prepare_options o = {.corpus = {.inputs = &input, .n_inputs = 1},
                            .output = temp_path(*state, "o.h5"),
                            .train_vocabulary = VOCABULARY,
                            .save_tokenizer = temp_path(*state, "o.model"),
                            .validation_fraction = 0.1};
    mo_prepare_summary summary;
    mo_tokenfile *file;
    MO_CHECK_OK(mo_prepare(&o, &summary));
    MO_CHECK_OK(mo_tokenfile_open(o.output, &file));
    cut--; /* where the character begins */
    mo_tokenizer *t = file->tokenizer, *saved;
    MO_CHECK_OK(mo_tokenizer_open(o.save_tokenizer, &saved));
    assert_true(mo_tokenizer_equal(t, saved));
    check_document(&file->split[0], 0, t, &(mo_text_piece){text, cut, false}, true, false);
    check_document(&file->split[1], 0, t, &(mo_text_piece){text + cut, size - cut, true}, false, true);
    assert_int_equal(summary.vocab_size, VOCABULARY);
    assert_string_equal(summary.tokenizer_kind, "sentencepiece");
    int32_t *ids;
    int64_t count;
    MO_CHECK_OK(mo_tokenizer_encode(t, "q", 1, &ids, &count));
    assert_int_equal(mo_tokenizer_token_bytes(t, ids[count - 1]), 1);
    assert_string_equal(mo_tokenizer_piece(t, ids[count - 1]), "<0x71>"); /* not among what was learnt */
    mo_free(ids);
    mo_tokenizer_free(saved);
    mo_tokenfile_close(file);
    mo_free(text);
}

static void bytes_that_are_not_text_are_counted(void **state)
{
    const char *input = temp_path(*state, "a.txt");
    char *text = make_text(1, 50000);
    size_t size = strlen(text);
    text[100] = (char)0xFF;
    text[20000] = (char)0xC3;
    text[20001] = 'x';
    int64_t invalid = mo_utf8_invalid(text, size);
    assert_true(invalid >= 2);
    MO_CHECK_OK(mo_write_file(input, text, size));
    mo_prepare_options o = {.corpus = {.inputs = &input, .n_inputs = 1},
                            .output = temp_path(*state, "o.h5"),
                            .train_vocabulary = VOCABULARY,
                            .validation_fraction = 0.1};
    mo_prepare_summary summary;
    MO_CHECK_OK(mo_prepare(&o, &summary));
    assert_int_equal(summary.facts.invalid_utf8, invalid);
    mo_free(text);
}

static void bad_requests_are_refused(void **state)
{
    const char *input = temp_path(*state, "a.txt");
    char *text = make_text(1, 2000);
    MO_CHECK_OK(mo_write_file(input, text, strlen(text)));
    mo_free(text);
    mo_prepare_options o = {.corpus = {.inputs = &input, .n_inputs = 1},
                            .output = temp_path(*state, "o.h5"),
                            .validation_fraction = 0.1};
    mo_prepare_summary summary;
    mo_tokenizer *t;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_USAGE);
    o.tokenizer = t;
    o.train_vocabulary = VOCABULARY;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_USAGE);
    MO_CHECK_MESSAGE("not both");
    o.train_vocabulary = 0;
    o.save_tokenizer = temp_path(*state, "t.model");
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_USAGE);
    MO_CHECK_MESSAGE("has no model to save");
    o.tokenizer = NULL;
    o.train_vocabulary = 5000;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_RANGE);
    MO_CHECK_MESSAGE("a vocabulary of 5000 is more than");
    o.train_vocabulary = VOCABULARY;
    o.save_tokenizer = o.output;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_USAGE);
    MO_CHECK_MESSAGE("both the token file and the tokenizer's");
    o.save_tokenizer = temp_path(*state, "./o.h5"); /* the same place by another spelling */
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_USAGE);
    MO_CHECK_MESSAGE("both the token file and the tokenizer's");
    o.save_tokenizer = input;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_USAGE);
    o.save_tokenizer = temp_path(*state, "none/t.model");
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_NOT_FOUND);
    o.save_tokenizer = NULL;
    o.output = temp_path(*state, "none/o.h5"); /* told before a tokenizer is trained */
    o.train_vocabulary = 5000;
    MO_CHECK_STATUS(mo_prepare(&o, &summary), MO_E_NOT_FOUND);
    assert_int_equal(damage_count_files(*state), 1);
    mo_tokenizer_free(t);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(documents_have_begins_and_ends),
        WITH_FOLDER(the_only_document_is_cut_in_two),
        WITH_FOLDER(bytes_that_are_not_text_are_counted),
        WITH_FOLDER(bad_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
