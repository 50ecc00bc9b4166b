/* SentencePiece models: ids and texts against Python's sentencepiece (tests/golden/make_tokenizer.py), cuts
 * that change nothing, streams, what is refused, failing memory. */
#include <moira/tokenizer.h>

#include <stdlib.h>
#include <string.h>

#include "harness/golden_tokenizer.h"
#include "harness/harness.h"
#include "tokenizer/sentencepiece_shim.h"

static const char *const MODELS[] = {"mixtral", "symbols", "bare", "suffix", "trimmed",
                                     "unigram", "char",    "word", "rules"};
enum { N_MODELS = sizeof MODELS / sizeof *MODELS };

static golden_items items_of(const char *model, const char *what)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", model, what);
    return golden_items_read(path);
}

static void check_ids(const char *what, int64_t item, const int32_t *got, int64_t count, const int32_t *want,
                      int64_t expected)
{
    if (count == expected && (count == 0 || memcmp(got, want, (size_t)count * sizeof *got) == 0)) return;
    fail_msg("%s, item %lld: %lld ids, expected %lld, or others", what, (long long)item, (long long)count,
             (long long)expected);
}

static void check_text(const char *what, int64_t item, const char *got, size_t size, const char *want,
                       int64_t expected)
{
    if (size == (size_t)expected && memcmp(got, want, size) == 0) return;
    fail_msg("%s, item %lld: \"%.*s\", expected \"%.*s\"", what, (long long)item, (int)size, got,
             (int)expected, want);
}

static void ids_are_those_of_sentencepiece(void **state)
{
    (void)state;
    golden_items texts = golden_items_read("text");
    for (int m = 0; m < N_MODELS; m++) {
        golden_items want = items_of(MODELS[m], "ids");
        mo_tokenizer *t = golden_tokenizer(MODELS[m]);
        for (int64_t i = 0; i < texts.count; i++) {
            int32_t *ids;
            int64_t count;
            MO_CHECK_OK(mo_tokenizer_encode(t, texts.bytes + golden_item_at(&texts, i),
                                            (size_t)golden_item_size(&texts, i), &ids, &count));
            check_ids(MODELS[m], i, ids, count, want.ids + golden_item_at(&want, i),
                      golden_item_size(&want, i));
            mo_free(ids);
        }
        mo_tokenizer_free(t);
        golden_items_free(&want);
    }
    golden_items_free(&texts);
}

/* As a whole and id by id; a stream never gives a part of a character. */
static void check_decoding(const char *model, const char *ids_name, const char *text_name)
{
    golden_items ids = items_of(model, ids_name), texts = items_of(model, text_name);
    mo_tokenizer *t = golden_tokenizer(model);
    mo_tokenizer_stream *s;
    MO_CHECK_OK(mo_tokenizer_stream_open(t, &s));
    for (int64_t i = 0; i < ids.count; i++) {
        const int32_t *item = ids.ids + golden_item_at(&ids, i);
        const char *want = texts.bytes + golden_item_at(&texts, i);
        int64_t count = golden_item_size(&ids, i), expected = golden_item_size(&texts, i);
        char *whole;
        size_t size, at = 0, add;
        MO_CHECK_OK(mo_tokenizer_decode(t, item, count, &whole, &size));
        check_text(model, i, whole, size, want, expected);
        for (int64_t j = 0; j <= count; j++) {
            const char *text =
                j < count ? mo_tokenizer_stream_next(s, item[j], &add) : mo_tokenizer_stream_end(s, &add);
            assert_true(at + add <= size);
            check_text(model, i, text, add, whole + at, (int64_t)add);
            assert_int_equal(mo_utf8_invalid(text, add), 0);
            at += add;
        }
        assert_int_equal(at, size);
        mo_free(whole);
    }
    mo_tokenizer_stream_close(s);
    mo_tokenizer_free(t);
    golden_items_free(&ids);
    golden_items_free(&texts);
}

static void texts_are_those_of_sentencepiece(void **state)
{
    (void)state;
    for (int m = 0; m < N_MODELS; m++) {
        check_decoding(MODELS[m], "ids", "decoded");
        check_decoding(MODELS[m], "random_ids", "random_text");
    }
}

static void what_a_model_says_of_itself(void **state)
{
    (void)state;
    for (int m = 0; m < N_MODELS; m++) {
        mo_tokenizer *t = golden_tokenizer(MODELS[m]);
        assert_int_equal(mo_tokenizer_bos(t), (int)golden_tokenizer_attribute(MODELS[m], "bos"));
        assert_int_equal(mo_tokenizer_eos(t), (int)golden_tokenizer_attribute(MODELS[m], "eos"));
        mo_tokenizer_free(t);
    }
    mo_tokenizer *t = golden_tokenizer("mixtral");
    assert_string_equal(mo_tokenizer_kind(t), "sentencepiece");
    assert_int_equal(mo_tokenizer_vocab_size(t), 600);
    assert_string_equal(mo_tokenizer_piece(t, 0), "<unk>");
    assert_string_equal(mo_tokenizer_piece(t, 1), "<s>");
    assert_string_equal(mo_tokenizer_piece(t, 3 + '\n'), "<0x0A>");
    assert_int_equal(mo_tokenizer_token_bytes(t, 0), 1);
    assert_int_equal(mo_tokenizer_token_bytes(t, 1), 0);
    assert_int_equal(mo_tokenizer_token_bytes(t, 2), 0);
    assert_int_equal(mo_tokenizer_token_bytes(t, 3 + 0xC3), 1);
    int seen = 0;
    for (int32_t id = 259; id < 600; id++) {
        int marks = strncmp(mo_tokenizer_piece(t, id), "\xE2\x96\x81", 3) == 0;
        if (strstr(mo_tokenizer_piece(t, id) + 3 * marks, "\xE2\x96\x81")) continue; /* runs of spaces */
        assert_int_equal(mo_tokenizer_token_bytes(t, id),
                         (int64_t)strlen(mo_tokenizer_piece(t, id)) - 2 * marks);
        seen += marks;
    }
    assert_true(seen > 50);
    mo_tokenizer_free(t);
}

/* The bytes that a text's ids stand for are those of the text and its word mark in front. */
static void token_bytes_add_up(void **state)
{
    (void)state;
    static const char TEXT[] = "The loom spins 365 threads;\n  na\xC3\xAFve \xF0\x9F\x99\x82.";
    mo_tokenizer *t = golden_tokenizer("mixtral");
    int32_t *ids;
    int64_t count, bytes = 0;
    MO_CHECK_OK(mo_tokenizer_encode(t, TEXT, sizeof TEXT - 1, &ids, &count));
    for (int64_t i = 0; i < count; i++) bytes += mo_tokenizer_token_bytes(t, ids[i]);
    assert_int_equal(bytes, sizeof TEXT);
    mo_free(ids);
    mo_tokenizer_free(t);
}

/* ---- cuts ---- */

/* Random text that is hard on cuts: few characters, many spaces, words of the vocabulary, symbols, bad UTF-8.
 */
static size_t hard_text(uint64_t seed, char *out, size_t size)
{
    static const char *const PARTS[] = {" ",
                                        " ",
                                        "  ",
                                        "\n",
                                        "\n\n",
                                        "\t",
                                        "the",
                                        "loom",
                                        "th",
                                        "e",
                                        "a",
                                        "\xC3",
                                        "b",
                                        "\xC3\xA9",
                                        "1",
                                        "7",
                                        "\xE2\x96\x81",
                                        "<sep>",
                                        "<s>",
                                        "\x80",
                                        "\xF0\x9F\x99\x82",
                                        "\xE6\x97\xA5",
                                        "sp",
                                        "in",
                                        ".",
                                        ",",
                                        "\xEF\xBF\xBD"};
    size_t used = 0;
    for (uint64_t i = 0; used + 8 < size; i++) {
        double u = mo_rng_uniform(seed, MO_RNG_TEST, 0, 0, i);
        const char *part = PARTS[(size_t)(u * (double)(sizeof PARTS / sizeof *PARTS))];
        memcpy(out + used, part, strlen(part));
        used += strlen(part);
    }
    return used;
}

/* The ids of a text in one go, whatever its length: straight from the library. */
static int32_t *encode_whole(const mo_tokenizer *t, const char *text, size_t size, int64_t *count)
{
    mo__sp_processor *p;
    size_t blob_size;
    int32_t *ids;
    const void *blob = mo_tokenizer_blob(t, &blob_size);
    MO_CHECK_OK(mo__sp_open(blob, blob_size, &p));
    MO_CHECK_OK(mo__sp_encode(p, text, size, &ids, count));
    mo__sp_close(p);
    return ids;
}

static bool can_be_cut(const char *model)
{
    return !strcmp(model, "mixtral") || !strcmp(model, "symbols") || !strcmp(model, "bare");
}

/* Cuts text wherever mo_tokenizer_cut allows for random sizes; the pieces' ids must be the whole's. */
static void check_cuts(const char *model, uint64_t seed)
{
    enum { SIZE = 3000 };
    char text[SIZE];
    mo_text_piece pieces[SIZE];
    int64_t counts[SIZE], n = 0, want, got = 0;
    size_t size = hard_text(seed, text, sizeof text);
    mo_tokenizer *t = golden_tokenizer(model);
    int32_t *whole = encode_whole(t, text, size, &want), *ids;
    for (size_t at = 0; at < size;) {
        size_t wish = 1 + (size_t)(40 * mo_rng_uniform(seed, MO_RNG_TEST, 1, 0, at)), end = 0;
        if (wish > size - at) wish = size - at;
        /* `wish` bytes are known, as if the rest had not been read yet; more are read until there is a place.
         */
        while (end == 0 && at + wish < size && (end = mo_tokenizer_cut(t, text + at, wish)) == 0) wish++;
        if (end == 0) end = size - at;
        pieces[n++] = (mo_text_piece){text + at, end, at > 0};
        at += end;
    }
    MO_CHECK_OK(mo_tokenizer_encode_batch(t, pieces, n, &ids, counts));
    for (int64_t i = 0; i < n; i++) got += counts[i];
    check_ids(model, (int64_t)seed, ids, got, whole, want);
    assert_true(n > 50);
    mo_free(ids);
    mo_free(whole);
    mo_tokenizer_free(t);
}

static void cuts_change_nothing(void **state)
{
    (void)state;
    for (int m = 0; m < N_MODELS; m++)
        for (uint64_t seed = 0; can_be_cut(MODELS[m]) && seed < 30; seed++) check_cuts(MODELS[m], seed);
}

/* Long texts are cut inside mo_tokenizer_encode; models of other kinds are given them whole. */
static void long_texts_are_as_if_whole(void **state)
{
    (void)state;
    enum { SIZE = 60000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (int m = 0; m < N_MODELS; m++) {
        size_t size = hard_text(77, text, SIZE);
        mo_tokenizer *t = golden_tokenizer(MODELS[m]);
        for (int threads = 1; threads <= 3; threads += 2) {
            int64_t count, want;
            int32_t *ids, *whole = encode_whole(t, text, size, &want);
            mo_threads_set(threads);
            MO_CHECK_OK(mo_tokenizer_encode(t, text, size, &ids, &count));
            check_ids(MODELS[m], threads, ids, count, whole, want);
            mo_free(ids);
            mo_free(whole);
        }
        assert_int_equal(mo_tokenizer_cut(t, text, size) > 0, can_be_cut(MODELS[m]));
        mo_tokenizer_free(t);
    }
    mo_threads_set(0);
    free(text);
}

static void a_cut_is_known_before_the_rest_is(void **state)
{
    (void)state;
    mo_tokenizer *t = golden_tokenizer("mixtral");
    /* No piece has a newline in it: whatever follows one, there may be a cut. A word may go on. */
    assert_int_equal(mo_tokenizer_cut(t, "one\n", 4), 4);
    assert_int_equal(mo_tokenizer_cut(t, "the loom", 8), 3);
    assert_int_equal(mo_tokenizer_cut(t, "a  ", 3), 1);
    assert_int_equal(mo_tokenizer_cut(t, "the", 3), 0);
    assert_int_equal(mo_tokenizer_cut(t, "", 0), 0);
    /* Not inside a character, nor next to bytes that may yet become one. */
    assert_int_equal(mo_tokenizer_cut(t, "\xF0\x9F\x99\x82\xF0\x9F\x99\x82", 8), 8);
    assert_int_equal(mo_tokenizer_cut(t, "\xF0\x9F\x99\x82\xF0\x9F\x99", 7), 4);
    assert_int_equal(mo_tokenizer_cut(t, "\xF0\x9F\x99", 3), 0);
    mo_tokenizer_free(t);
    /* Without byte pieces unknown neighbours are one token. */
    t = golden_tokenizer("symbols");
    assert_int_equal(mo_tokenizer_cut(t, "\xF0\x9F\x99\x82\xF0\x9F\x99\x82", 8), 0);
    assert_int_equal(mo_tokenizer_cut(t, "e\xF0\x9F\x99\x82\xF0\x9F\x99\x82", 9), 1);
    mo_tokenizer_free(t);
}

static void pieces_start_documents_unless_they_continue(void **state)
{
    (void)state;
    const mo_text_piece pieces[] = {
        {"the loom", 8, false}, {"", 0, false}, {"the loom", 8, true}, {"the loom", 8, false}};
    mo_tokenizer *t = golden_tokenizer("mixtral");
    int32_t *ids;
    int64_t counts[4];
    MO_CHECK_OK(mo_tokenizer_encode_batch(t, pieces, 4, &ids, counts));
    assert_int_equal(counts[1], 0);
    assert_int_equal(counts[0], counts[3]);
    assert_memory_equal(ids, ids + counts[0] + counts[2], (size_t)counts[0] * sizeof *ids);
    assert_string_equal(mo_tokenizer_piece(t, ids[0]), "\xE2\x96\x81the");
    assert_string_not_equal(mo_tokenizer_piece(t, ids[counts[0]]), "\xE2\x96\x81the");
    mo_free(ids);
    MO_CHECK_OK(mo_tokenizer_encode_batch(t, NULL, 0, &ids, NULL));
    assert_non_null(ids);
    mo_free(ids);
    mo_tokenizer_free(t);
}

/* ---- what is refused ---- */

/* A field of bytes; returns its end. */
static char *put_field(char *to, int number, const void *bytes, size_t size)
{
    *to++ = (char)(number << 3 | 2);
    for (size_t left = size;; left >>= 7) {
        *to++ = (char)((left & 0x7F) | (left > 0x7F ? 0x80 : 0));
        if (left <= 0x7F) break;
    }
    memcpy(to, bytes, size);
    return to + size;
}

/* A piece of the model: text, type, score. Returns the end. */
static char *put_piece(char *to, const char *text, size_t size, int type, float score)
{
    char *piece = malloc(size + 32), *end = piece;
    assert_non_null(piece);
    end = put_field(end, 1, text, size);
    *end++ = 2 << 3 | 5;
    memcpy(end, &score, 4);
    end += 4;
    *end++ = 3 << 3;
    *end++ = (char)type;
    to = put_field(to, 1, piece, (size_t)(end - piece));
    free(piece);
    return to;
}

/* The golden model `name` with room behind it. */
static char *model_with_room(const char *name, size_t room, size_t *size)
{
    char *model = golden_model(name, size);
    model = realloc(model, *size + room);
    assert_non_null(model);
    return model;
}

static void check_refused(const char *model, size_t size, mo_status status, const char *message)
{
    mo_tokenizer *t;
    int64_t live = mo__alloc_live();
    MO_CHECK_STATUS(mo_tokenizer_restore("sentencepiece", model, size, &t), status);
    MO_CHECK_MESSAGE(message);
    assert_null(t);
    assert_int_equal(mo__alloc_live(), live);
}

static void check_extra_piece(const char *base, const char *text, size_t text_size, int type, float score,
                              mo_status status, const char *message)
{
    size_t size;
    char *model = model_with_room(base, text_size + 64, &size);
    char *end = put_piece(model + size, text, text_size, type, score);
    check_refused(model, (size_t)(end - model), status, message);
    free(model);
}

enum { NORMAL = 1, USER_DEFINED = 4, BYTE = 6 };

static void models_that_the_library_trusts_are_refused(void **state)
{
    (void)state;
    static const float nan = __builtin_nanf("");
    char *giant = calloc(1, 10000);
    assert_non_null(giant);
    memset(giant, 'z', 10000);
    check_extra_piece("mixtral", "a\0b", 3, USER_DEFINED, 0, MO_E_CORRUPT, "piece 600 has a NUL");
    check_extra_piece("mixtral", "", 0, NORMAL, 0, MO_E_CORRUPT, "piece 600 is empty");
    check_extra_piece("mixtral", "\xC3", 1, NORMAL, 0, MO_E_CORRUPT, "piece 600 is not UTF-8");
    check_extra_piece("mixtral", "qq", 2, NORMAL, nan, MO_E_CORRUPT, "piece 600 has a score");
    check_extra_piece("mixtral", "qq", 2, 7, 0, MO_E_CORRUPT, "pieces: is cut short or damaged");
    check_extra_piece("mixtral", "<0xZZ>", 6, BYTE, 0, MO_E_CORRUPT, "<0xZZ>");
    check_extra_piece("mixtral", "<s>", 3, 3, 0, MO_E_CORRUPT, "already defined");
    check_extra_piece("unigram", giant, 10000, NORMAL, 0, MO_E_UNSUPPORTED, "piece 350 has 10000 bytes");
    free(giant);
    check_refused("", 0, MO_E_CORRUPT, "has no pieces");
    check_refused("hello, this is a text and no model", 34, MO_E_CORRUPT, "cut short or damaged");
    /* trainer_spec {byte_fallback: false}: there are byte pieces then. */
    size_t size;
    char *model = model_with_room("mixtral", 16, &size);
    memcpy(model + size, "\x12\x03\x98\x02\x00", 5);
    check_refused(model, size + 5, MO_E_CORRUPT, "byte_fallback");
    /* denormalizer_spec {precompiled_charsmap: "x"} */
    memcpy(model + size, "\x2A\x03\x12\x01x", 5);
    check_refused(model, size + 5, MO_E_UNSUPPORTED, "denormalizer_spec");
    /* self_test_data {samples {input: "a", expected: "b"}} */
    memcpy(model + size,
           "\x22\x08\x0A\x06\x0A\x01"
           "a\x12\x01"
           "b",
           10);
    check_refused(model, size + 10, MO_E_CORRUPT, "Self-test");
    free(model);
    /* One that holds; it would not for text that continues, which has no word mark in front. */
    static const char SAMPLE[] = "\x22\x0F\x0A\x0D\x0A\x03the\x12\x06\xE2\x96\x81the";
    mo_tokenizer *t;
    model = model_with_room("mixtral", sizeof SAMPLE, &size);
    memcpy(model + size, SAMPLE, sizeof SAMPLE - 1);
    MO_CHECK_OK(mo_tokenizer_restore("sentencepiece", model, size + sizeof SAMPLE - 1, &t));
    mo_tokenizer_free(t);
    free(model);
}

/* What an unused piece is split into is remembered over the whole text: no cuts. */
static void a_model_with_an_unused_piece_is_not_cut(void **state)
{
    (void)state;
    enum { UNUSED = 5 };
    size_t size;
    mo_tokenizer *t;
    char *model = model_with_room("mixtral", 64, &size);
    MO_CHECK_OK(mo_tokenizer_restore("sentencepiece", model, size, &t));
    assert_int_equal(mo_tokenizer_cut(t, "a b", 3), 1);
    mo_tokenizer_free(t);
    char *end = put_piece(model + size, "zzzz", 4, UNUSED, 0);
    MO_CHECK_OK(mo_tokenizer_restore("sentencepiece", model, (size_t)(end - model), &t));
    assert_int_equal(mo_tokenizer_cut(t, "a b", 3), 0);
    mo_tokenizer_free(t);
    free(model);
}

/* The library keeps 64 symbols that begin at one place, and writes past its array at more. */
static void nested_symbols_are_counted(void **state)
{
    (void)state;
    char text[128];
    size_t size;
    memset(text, '~', sizeof text);
    char *model = model_with_room("mixtral", 64 * 200, &size), *end = model + size;
    for (size_t n = 1; n <= 64; n++) end = put_piece(end, text, n, USER_DEFINED, 0);
    mo_tokenizer *t;
    int32_t *ids;
    int64_t count;
    MO_CHECK_OK(mo_tokenizer_restore("sentencepiece", model, (size_t)(end - model), &t));
    MO_CHECK_OK(mo_tokenizer_encode(t, text, 64, &ids, &count));
    assert_int_equal(ids[count - 1], 600 + 63);
    mo_free(ids);
    mo_tokenizer_free(t);
    end = put_piece(end, text, 65, USER_DEFINED, 0);
    check_refused(model, (size_t)(end - model), MO_E_UNSUPPORTED, "64 user-defined symbols");
    free(model);
}

/* The golden model with other normalization rules: a second normalizer_spec, whose rules replace the first's.
 */
static char *model_with_rules(const void *map, size_t map_size, size_t *size)
{
    char *model = model_with_room("rules", map_size + 32, size), *spec = malloc(map_size + 16);
    assert_non_null(spec);
    char *end = put_field(spec, 2, map, map_size);
    *size = (size_t)(put_field(model + *size, 3, spec, (size_t)(end - spec)) - model);
    free(spec);
    return model;
}

/* A trie with one way, q, qq, qqq, ..., and a rule, to nothing, at each of its `nested` stops. */
static char *nested_rules(uint32_t nested, size_t *size)
{
    uint32_t count = 256 * (nested + 2), bytes = 4 * count;
    char *map = malloc(4 + bytes + 1);
    uint32_t *units = malloc(bytes);
    assert_true(map && units);
    for (uint32_t i = 0; i < count; i++) units[i] = 1u << 31;
    units[0] = 256u << 10;
    for (uint32_t d = 0; d < nested; d++) {
        uint32_t at = 256 * (d + 1) ^ 'q', base = 256 * (d + 2);
        units[at] = 'q' | 1u << 8 | (at ^ base) << 10;
        units[base] = 1u << 31;
    }
    memcpy(map, &bytes, 4);
    memcpy(map + 4, units, bytes);
    map[4 + bytes] = '\0';
    free(units);
    *size = 4 + bytes + 1;
    return map;
}

/* The library keeps 32 rules that begin at one place, and reads past its array at more. */
static void nested_rules_are_counted(void **state)
{
    (void)state;
    size_t size, map_size;
    mo_tokenizer *t;
    int32_t *ids;
    int64_t count;
    char *map = nested_rules(32, &map_size), *model = model_with_rules(map, map_size, &size), text[32];
    memset(text, 'q', sizeof text);
    MO_CHECK_OK(mo_tokenizer_restore("sentencepiece", model, size, &t));
    MO_CHECK_OK(mo_tokenizer_encode(t, text, 32, &ids, &count));
    assert_int_equal(count, 1); /* the word mark: all 32 went by one rule */
    mo_free(ids);
    mo_tokenizer_free(t);
    free(model);
    /* The trie may not take all there is: then a rule has no text. */
    uint32_t all = (uint32_t)map_size - 4;
    memcpy(map, &all, 4);
    model = model_with_rules(map, map_size, &size);
    check_refused(model, size, MO_E_CORRUPT, "normalization rules are damaged");
    free(model);
    free(map);
    /* Ways past the end, though not past the model; a rule's text past all texts. */
    map = nested_rules(1, &map_size);
    all = 4 * 512;
    memcpy(map, &all, 4);
    model = model_with_rules(map, map_size, &size);
    check_refused(model, size, MO_E_CORRUPT, "normalization rules are damaged");
    free(model);
    all = 4 * 768;
    memcpy(map, &all, 4);
    map[4 + 4 * 512] = 1;
    model = model_with_rules(map, map_size, &size);
    check_refused(model, size, MO_E_CORRUPT, "normalization rules are damaged");
    free(model);
    map[4 + 4 * 512] = 0;
    model = model_with_rules(map, map_size, &size);
    MO_CHECK_OK(mo_tokenizer_restore("sentencepiece", model, size, &t));
    mo_tokenizer_free(t);
    free(model);
    free(map);
    map = nested_rules(33, &map_size);
    model = model_with_rules(map, map_size, &size);
    check_refused(model, size, MO_E_CORRUPT, "normalization rules are damaged");
    free(model);
    free(map);
}

static char *find_rules(char *model, size_t size, uint32_t *trie)
{
    /* normalizer_spec {name: "user_defined", precompiled_charsmap: ...}; the rules begin with their trie's
     * size. */
    static const char KEY[] = "user_defined\x12";
    char *map = memmem(model, size, KEY, sizeof KEY - 1);
    assert_non_null(map);
    map += sizeof KEY - 1;
    size_t map_size = 0;
    for (int shift = 0;; shift += 7) {
        map_size |= (size_t)(*map & 0x7F) << shift;
        if (!(*map++ & 0x80)) break;
    }
    memcpy(trie, map, 4);
    assert_true(*trie >= 1024 && *trie + 4 < map_size);
    return map;
}

/* Whether the model is refused with one unit of its rules' trie changed. */
static bool refused_with(char *model, size_t size, char *unit, uint32_t value)
{
    char old[4];
    mo_tokenizer *t;
    memcpy(old, unit, 4);
    memcpy(unit, &value, 4);
    mo_status status = mo_tokenizer_restore("sentencepiece", model, size, &t);
    assert_true(status == MO_OK || status == MO_E_CORRUPT);
    mo_tokenizer_free(t);
    memcpy(unit, old, 4);
    return status != MO_OK;
}

/* Every unit of the trie in turn points far away, just past the end, to a text far away: where it is on a
 * way, the model is refused. */
static void damaged_rules_are_refused(void **state)
{
    (void)state;
    size_t size;
    uint32_t trie;
    char *model = golden_model("rules", &size), *map = find_rules(model, size, &trie);
    int far = 0, near = 0, texts = 0;
    for (uint32_t i = 0; i < trie / 4; i++) {
        uint32_t unit;
        char *at = map + 4 + 4 * i;
        memcpy(&unit, at, 4);
        if (unit >> 31) {
            texts += refused_with(model, size, at, 0xFFFFFFFF);
            continue;
        }
        far += refused_with(model, size, at, (unit & 0x1FF) | 0x3FFu << 20);
        near += refused_with(model, size, at, (unit & 0x1FF) | (i ^ (trie / 4)) << 10);
    }
    assert_int_equal(far, 14); /* bytes on the way of the six rules, and the root */
    assert_int_equal(near, 14);
    assert_int_equal(texts, 6);
    memset(map, 0xFF, 4);
    check_refused(model, size, MO_E_CORRUPT, "normalization rules are damaged");
    memset(map, 0, 4);
    check_refused(model, size, MO_E_CORRUPT, "normalization rules are damaged");
    free(model);
}

static void check_usable(mo_tokenizer *t, const char *text, size_t size)
{
    int32_t *ids;
    int64_t count;
    char *again;
    size_t again_size;
    MO_CHECK_OK(mo_tokenizer_encode(t, text, size, &ids, &count));
    MO_CHECK_OK(mo_tokenizer_decode(t, ids, count, &again, &again_size));
    mo_free(again);
    mo_free(ids);
}

/* Cut short or with some bytes changed, a model is refused or works; nothing crashes. */
static void damaged_models_are_refused_or_work(void **state)
{
    (void)state;
    static const char TEXT[] = "The loom, three sisters\n\n  na\xC3\xAFve \xF0\x9F\x99\x82 <sep>";
    for (int m = 0; m < N_MODELS; m++) {
        size_t size;
        char *model = golden_model(MODELS[m], &size), *damaged = malloc(size);
        assert_non_null(damaged);
        int works = 0;
        for (uint64_t i = 0; i < 300; i++) {
            mo_tokenizer *t;
            size_t kept =
                i % 3 ? size : (size_t)((double)size * mo_rng_uniform(9, MO_RNG_TEST, (uint64_t)m, 1, i));
            memcpy(damaged, model, size);
            for (uint64_t j = 0; i % 3 && j <= i % 4; j++) {
                uint32_t bits[4];
                mo_rng_bits(9, MO_RNG_TEST, i, (uint32_t)m, j, bits);
                char *at = damaged + bits[0] % size;
                *at = bits[1] % 3 ? (char)bits[2] : (char)(*at ^ 1);
            }
            mo_status status = mo_tokenizer_restore("sentencepiece", damaged, kept, &t);
            assert_true(status == MO_OK || status == MO_E_CORRUPT || status == MO_E_UNSUPPORTED);
            if (status == MO_OK) check_usable(t, TEXT, sizeof TEXT - 1);
            works += status == MO_OK;
            mo_tokenizer_free(t);
        }
        assert_true(works > 0 && works < 300);
        free(damaged);
        free(model);
    }
}

static void a_file_that_is_no_model_is_named(void **state)
{
    mo_tokenizer *t;
    const char *path = temp_path(*state, "notes.txt");
    MO_CHECK_STATUS(mo_tokenizer_open(path, &t), MO_E_NOT_FOUND);
    MO_CHECK_MESSAGE(path);
    MO_CHECK_OK(mo_write_file(path, "{\"version\": \"1.0\"}", 18));
    MO_CHECK_STATUS(mo_tokenizer_open(path, &t), MO_E_FORMAT);
    MO_CHECK_MESSAGE(path);
    MO_CHECK_MESSAGE("expected is a .model file");
    assert_null(t);
    size_t size;
    char *model = golden_model("mixtral", &size);
    MO_CHECK_OK(mo_write_file(path, model, size));
    MO_CHECK_OK(mo_tokenizer_open(path, &t));
    mo_tokenizer *same = golden_tokenizer("mixtral");
    assert_true(mo_tokenizer_equal(t, same));
    mo_tokenizer_free(same);
    mo_tokenizer_free(t);
    free(model);
}

/* ---- memory ---- */

static mo_status everything(const char *model, size_t size, const char *text, size_t text_size)
{
    mo_tokenizer *t;
    int32_t *ids = NULL;
    int64_t count;
    char *again = NULL;
    mo_tokenizer_stream *s = NULL;
    MO_TRY(mo_tokenizer_restore("sentencepiece", model, size, &t));
    mo_status status = mo_tokenizer_encode(t, text, text_size, &ids, &count);
    if (status == MO_OK) status = mo_tokenizer_decode(t, ids, count, &again, &text_size);
    if (status == MO_OK) status = mo_tokenizer_stream_open(t, &s);
    mo_tokenizer_stream_close(s);
    mo_free(again);
    mo_free(ids);
    mo_tokenizer_free(t);
    return status;
}

static void no_leak_when_memory_fails(void **state)
{
    (void)state;
    static char text[7000];
    size_t size, text_size = hard_text(5, text, sizeof text);
    char *model = golden_model("rules", &size), *cuttable = golden_model("mixtral", &size);
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, everything(cuttable, size, text, text_size));
    assert_true(failed > 15);
    free(cuttable);
    free(model);
    model = golden_model("rules", &size);
    MO_CHECK_EACH_ALLOCATION(failed, everything(model, size, text, text_size));
    assert_true(failed > 10);
    assert_int_equal(mo__alloc_live(), live);
    free(model);
}

static mo_status encode_and_free(const mo_tokenizer *t, const char *text, size_t size)
{
    int32_t *ids;
    int64_t count;
    MO_TRY(mo_tokenizer_encode(t, text, size, &ids, &count));
    mo_free(ids);
    return MO_OK;
}

/* A long text that cannot be cut is begun only where there is memory for it. */
static void a_long_piece_needs_room(void **state)
{
    (void)state;
    const size_t size = (size_t)1 << 20;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'x', size);
    mo_tokenizer *t = golden_tokenizer("word");
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, encode_and_free(t, text, size));
    assert_int_equal(failed, 3); /* parts, room, ids */
    mo__alloc_fail_after(1);
    MO_CHECK_STATUS(encode_and_free(t, text, size), MO_E_MEMORY);
    mo__alloc_fail_after(-1);
    MO_CHECK_MESSAGE("262144000 more bytes");
    assert_int_equal(mo__alloc_live(), live);
    mo_tokenizer_free(t);
    free(text);
}

static void more_than_can_be_taken_uncut_is_refused(void **state)
{
    (void)state;
    const size_t size = ((size_t)16 << 20) + 1;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, ' ', size);
    mo_tokenizer *t = golden_tokenizer("unigram");
    int32_t *ids;
    int64_t count;
    MO_CHECK_STATUS(mo_tokenizer_encode(t, text, size, &ids, &count), MO_E_RANGE);
    MO_CHECK_MESSAGE("16777217 bytes of text that cannot be cut");
    assert_null(ids);
    mo_tokenizer_free(t);
    free(text);
}

static int make_folder(void **state)
{
    return (*state = temp_make()) ? 0 : 1;
}

static int remove_folder(void **state)
{
    temp_remove(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_sentencepiece),
        cmocka_unit_test(texts_are_those_of_sentencepiece),
        cmocka_unit_test(what_a_model_says_of_itself),
        cmocka_unit_test(token_bytes_add_up),
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(long_texts_are_as_if_whole),
        cmocka_unit_test(a_cut_is_known_before_the_rest_is),
        cmocka_unit_test(pieces_start_documents_unless_they_continue),
        cmocka_unit_test(models_that_the_library_trusts_are_refused),
        cmocka_unit_test(a_model_with_an_unused_piece_is_not_cut),
        cmocka_unit_test(nested_symbols_are_counted),
        cmocka_unit_test(nested_rules_are_counted),
        cmocka_unit_test(damaged_rules_are_refused),
        cmocka_unit_test(damaged_models_are_refused_or_work),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_model_is_named, make_folder, remove_folder),
        cmocka_unit_test(no_leak_when_memory_fails),
        cmocka_unit_test(a_long_piece_needs_room),
        cmocka_unit_test(more_than_can_be_taken_uncut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
