/* test_tokenfile.c -- token files: what went in comes out, at every width, and wrong files are refused. */
#include <moira/tokenfile.h>

#include <string.h>
#include <unistd.h>

#include "harness/damage.h"
#include "harness/harness.h"
#include "harness/wide_tokenizer.h"
#include "store/h5.h"
#include "store/h5_root.h"
#include "store/stamp.h"

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

static int32_t some_id(int64_t vocab_size, uint64_t split, uint64_t i)
{
    uint32_t bits[4];
    mo_rng_bits(9, MO_RNG_TEST, split, 0, i, bits);
    return (int32_t)(bits[0] % vocab_size);
}

/* Documents of 1, 2, ... 40, 1, 2, ... tokens. */
static int64_t some_length(int64_t d)
{
    return d % 40 + 1;
}

static const char *const NAMES[] = {"prose", "code"};
static const double ENTROPY[2][2] = {{0.5, 0.25}, {0.125, 1.0 / 3}};

typedef struct {
    const char *path;
    mo_tokenizer *tokenizer;
    int labels; /* 0 or 2 */
    int compression;
    int64_t documents[2];
} recipe;

static mo_status write_split(mo_tokenwriter *w, const recipe *r, mo_split split)
{
    int64_t vocab = mo_tokenizer_vocab_size(r->tokenizer);
    uint64_t at = 0;
    for (int64_t d = 0; d < r->documents[split]; d++) {
        int32_t ids[40];
        uint8_t bytes[40];
        int64_t n = some_length(d);
        for (int64_t i = 0; i < n; i++, at++) ids[i] = some_id(vocab, split, at);
        for (int64_t i = 0; i < n; i++) bytes[i] = (uint8_t)ids[i];
        if (vocab == 256 && d % 2)
            MO_TRY(mo_tokenwriter_append_bytes(w, split, bytes, n));
        else
            MO_TRY(mo_tokenwriter_append(w, split, ids, n));
        MO_TRY(mo_tokenwriter_end_document(w, split, (int)(d % 2)));
        MO_TRY(mo_tokenwriter_end_document(w, split, 0)); /* empty: dropped */
    }
    return MO_OK;
}

static mo_status write_file(const recipe *r)
{
    const mo_tokenwriter_options options = {.path = r->path,
                                            .tokenizer = r->tokenizer,
                                            .source = "a test",
                                            .domain_names = NAMES,
                                            .n_domains = r->labels,
                                            .compression = r->compression};
    mo_tokenwriter *w;
    MO_TRY(mo_tokenwriter_open(&options, &w));
    mo_status status = MO_OK;
    for (int s = 0; status == MO_OK && s < 2; s++) {
        status = write_split(w, r, (mo_split)s);
        if (status == MO_OK && r->labels) status = mo_tokenwriter_set_entropy(w, (mo_split)s, ENTROPY[s]);
    }
    if (status == MO_OK) return mo_tokenwriter_finish(w);
    mo_tokenwriter_abort(w);
    return status;
}

static void check_split(const recipe *r, const mo_tokens *t, mo_split split)
{
    int64_t vocab = mo_tokenizer_vocab_size(r->tokenizer), at = 0;
    assert_int_equal(t->documents, r->documents[split]);
    if (t->documents == 0) {
        assert_int_equal(t->count, 0);
        return;
    }
    assert_int_equal(t->width, vocab <= 256 ? 1 : vocab <= 65536 ? 2 : 4);
    for (int64_t d = 0; d < t->documents; d++) {
        assert_int_equal(t->offsets[d], at);
        if (r->labels) assert_int_equal(t->domains[d], d % 2);
        for (int64_t end = at + some_length(d); at < end; at++)
            assert_int_equal(mo_token_at(t, at), some_id(vocab, split, (uint64_t)at));
    }
    assert_int_equal(t->offsets[t->documents], at);
    assert_int_equal(t->count, at);
    assert_int_equal(t->domains != NULL, r->labels > 0);
    assert_int_equal(t->entropy_nats != NULL, r->labels > 0);
    if (r->labels) assert_memory_equal(t->entropy_nats, ENTROPY[split], sizeof ENTROPY[split]);
}

static void check_round_trip(const recipe *r)
{
    mo_tokenfile *file;
    MO_CHECK_OK(write_file(r));
    MO_CHECK_OK(mo_tokenfile_open(r->path, &file));
    assert_string_equal(file->path, r->path);
    assert_true(mo_tokenizer_equal(file->tokenizer, r->tokenizer));
    assert_int_equal(file->vocab_size, mo_tokenizer_vocab_size(r->tokenizer));
    assert_int_equal(file->n_domains, r->labels);
    for (int i = 0; i < r->labels; i++) assert_string_equal(file->domain_names[i], NAMES[i]);
    for (int s = 0; s < 2; s++) check_split(r, &file->split[s], (mo_split)s);
    mo_tokenfile_close(file);
}

/* ---- there and back ---- */

static void every_width_comes_back(void **state)
{
    const int vocabularies[] = {256, 257, 65536, 65537, 1000000, 7};
    const int levels[] = {0, 1, 6};
    for (int v = 0; v < 6; v++) {
        for (int k = 0; k < 3; k++) {
            recipe r = {temp_path(*state, "t.h5"), NULL, v % 2 * 2, levels[k], {300, 50 * (v % 3)}};
            if (v == 0)
                MO_CHECK_OK(mo_tokenizer_bytes(&r.tokenizer));
            else
                r.tokenizer = wide_tokenizer(vocabularies[v]);
            check_round_trip(&r);
            mo_tokenizer_free(r.tokenizer);
        }
    }
    assert_int_equal(damage_count_files(*state), 1);
}

/* Several rounds of every column: tokens, offsets, labels. */
static void many_chunks_come_back(void **state)
{
    recipe r = {temp_path(*state, "t.h5"), wide_tokenizer(40000), 2, 1, {120000, 3000}};
    int before = mo_threads();
    mo_threads_set(1);
    check_round_trip(&r);
    char one[33], four[33];
    MO_CHECK_OK(mo_hash_file(r.path, 0, one));
    mo_threads_set(4);
    MO_CHECK_OK(write_file(&r));
    mo_threads_set(before);
    MO_CHECK_OK(mo_hash_file(r.path, 0, four));
    assert_string_equal(one, four);
    mo_tokenizer_free(r.tokenizer);
}

static mo_status write_facts(const char *path, const mo_tokenizer *t, const mo_corpus_facts *facts)
{
    mo_tokenwriter *w;
    const mo_tokenwriter_options options = {
        .path = path, .tokenizer = t, .source = "here", .split_by = "hand"};
    MO_TRY(mo_tokenwriter_open(&options, &w));
    MO_TRY(mo_tokenwriter_append_bytes(w, MO_SPLIT_TRAIN, "abc", 3));
    MO_TRY(mo_tokenwriter_end_document(w, MO_SPLIT_TRAIN, 0));
    MO_TRY(mo_tokenwriter_append_bytes(w, MO_SPLIT_VALIDATION, "a", 1));
    MO_TRY(mo_tokenwriter_end_document(w, MO_SPLIT_VALIDATION, 0));
    if (facts) MO_TRY(mo_tokenwriter_set_facts(w, facts));
    return mo_tokenwriter_finish(w);
}

/* What is known comes back; the rest is -1, as in files of older programs. */
static void facts_come_back(void **state)
{
    const char *path = temp_path(*state, "f.h5");
    const mo_corpus_facts facts = {{3, -1}, 7, 0, 2, INT64_C(1) << 40, 3}, unknown = MO_CORPUS_FACTS_UNKNOWN;
    mo_tokenizer *t;
    mo_tokenfile *file;
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    for (int i = 0; i < 2; i++) {
        MO_CHECK_OK(write_facts(path, t, i ? &facts : NULL));
        MO_CHECK_OK(mo_tokenfile_open(path, &file));
        assert_memory_equal(&file->facts, i ? &facts : &unknown, sizeof facts);
        assert_string_equal(file->source, "here");
        assert_string_equal(file->split_by, "hand");
        mo_tokenfile_close(file);
    }
    mo_tokenizer_free(t);
    MO_CHECK_OK(mo_tokenfile_open("tests/golden/format1_tokens.h5", &file));
    assert_memory_equal(&file->facts, &unknown, sizeof facts);
    assert_string_equal(file->split_by, "");
    mo_tokenfile_close(file);
}

static mo_status open_and_close(const char *path)
{
    mo_tokenfile *file;
    MO_TRY(mo_tokenfile_open(path, &file));
    mo_tokenfile_close(file);
    return MO_OK;
}

static void write_small(const char *path)
{
    recipe r = {path, NULL, 2, 1, {20, 10}};
    MO_CHECK_OK(mo_tokenizer_bytes(&r.tokenizer));
    MO_CHECK_OK(write_file(&r));
    mo_tokenizer_free(r.tokenizer);
}

/* ---- wrong and damaged files ---- */

static void cut_short_is_refused(void **state)
{
    const char *path = temp_path(*state, "t.h5");
    write_small(path);
    damage_truncate(path, open_and_close);
}

static void a_flipped_byte_is_refused(void **state)
{
    const char *path = temp_path(*state, "t.h5");
    write_small(path);
    damage_flip(path, open_and_close);
}

static void not_a_token_file(void **state)
{
    const char *path = temp_path(*state, "t.h5");
    MO_CHECK_STATUS(open_and_close(temp_path(*state, "absent.h5")), MO_E_NOT_FOUND);
    MO_CHECK_OK(mo_write_file(path, "", 0));
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    MO_CHECK_OK(mo_write_file(path, "once upon a time", 16));
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    hid_t file;
    MO_CHECK_OK(mo__h5_create(path, &file));
    MO_CHECK_OK(mo__h5_close(file, MO_OK));
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    MO_CHECK_OK(mo__stamp_write(path, &mo__stamp_checkpoint));
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    MO_CHECK_MESSAGE("is a checkpoint, a token file is needed");
}

static void a_newer_version_is_refused(void **state)
{
    const char *path = temp_path(*state, "t.h5");
    write_small(path);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, 13, SEEK_SET);
    assert_int_equal(fputc('3', file), '3');
    assert_int_equal(fclose(file), 0);
    MO_CHECK_STATUS(open_and_close(path), MO_E_VERSION);
}

/* A file with a right stamp and these contents of /train. */
static void write_stamped(const char *path, int64_t vocab, const char *kind, int n_tokens,
                          const uint16_t *tokens, int n_offsets, const uint64_t *offsets, int n_labels,
                          const uint16_t *labels)
{
    hid_t file, group, dataset;
    mo_tokenizer *t = strcmp(kind, "wide") ? NULL : wide_tokenizer(1000);
    if (!t) MO_CHECK_OK(mo_tokenizer_bytes(&t));
    MO_CHECK_OK(mo__h5_create(path, &file));
    MO_CHECK_OK(mo__root_write(file, "moira-tokens", 1, t));
    mo_tokenizer_free(t);
    MO_CHECK_OK(mo__h5_put_int(file, "vocab_size", vocab));
    if (labels) MO_CHECK_OK(mo__h5_put_texts(file, "domain_names", NAMES, 2));
    MO_CHECK_OK(mo__h5_path_create(file, "train", &group));
    const struct {
        const char *name;
        hid_t type;
        int n;
        const void *data;
    } sets[] = {{"tokens", H5T_NATIVE_UINT16, n_tokens, tokens},
                {"documents", H5T_NATIVE_UINT64, n_offsets, offsets},
                {"domains", H5T_NATIVE_UINT16, n_labels, labels}};
    for (int i = 0; i < 3; i++) {
        if (!sets[i].data) continue;
        mo__h5_shape shape = {.ndim = 1, .dim = {(hsize_t)sets[i].n}, .chunk = {16}};
        MO_CHECK_OK(mo__h5_dataset_create(group, sets[i].name, sets[i].type, &shape, 1, true, &dataset));
        assert_true(H5Dwrite(dataset, sets[i].type, H5S_ALL, H5S_ALL, H5P_DEFAULT, sets[i].data) >= 0);
        mo__h5_release(&dataset);
    }
    mo__h5_release(&group);
    MO_CHECK_OK(mo__h5_close(file, MO_OK));
    MO_CHECK_OK(mo__stamp_write(path, &mo__stamp_tokens));
}

static void nothing_is_believed_unchecked(void **state)
{
    const char *path = temp_path(*state, "t.h5");
    const uint16_t tokens[] = {1, 2, 999, 4}, outside[] = {1, 2, 1000, 4}, labels[] = {0, 1},
                   strange[] = {0, 2};
    const uint64_t right[] = {0, 3, 4}, still[] = {0, 4, 4}, falling[] = {0, 5, 4}, late[] = {1, 3, 4},
                   early[] = {0, 3};
    write_stamped(path, 1000, "wide", 4, tokens, 3, right, 2, labels);
    MO_CHECK_OK(open_and_close(path));
    const struct {
        const uint16_t *tokens;
        int n_offsets;
        const uint64_t *offsets;
        int n_labels;
        const uint16_t *labels;
        const char *message;
    } bad[] = {
        {outside, 3, right, 2, labels, "id 1000 at 2"},
        {tokens, 3, still, 2, labels, "document 1 begins at 4 and ends at 4"},
        {tokens, 3, falling, 2, labels, "document 1 begins at 5 and ends at 4"},
        {tokens, 3, late, 2, labels, "cover tokens 1 to 4"},
        {tokens, 2, early, 1, labels, "cover tokens 0 to 3, must cover 0 to 4"},
        {tokens, 1, right, 2, labels, "1 offsets for 4 tokens"},
        {tokens, 3, right, 1, labels, "1 labels for 2 documents"},
        {tokens, 3, right, 2, strange, "document 1 has label 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_stamped(path, 1000, "wide", 4, bad[i].tokens, bad[i].n_offsets, bad[i].offsets, bad[i].n_labels,
                      bad[i].labels);
        MO_CHECK_STATUS(open_and_close(path), MO_E_CORRUPT);
        MO_CHECK_MESSAGE(bad[i].message);
        MO_CHECK_MESSAGE(path);
    }
    write_stamped(path, 256, "wide", 4, tokens, 3, right, 2, labels);
    MO_CHECK_STATUS(open_and_close(path), MO_E_CORRUPT);
    MO_CHECK_MESSAGE("vocab_size");
    write_stamped(path, 256, "bytes", 4, tokens, 3, right, 2, labels);
    MO_CHECK_STATUS(open_and_close(path), MO_E_CORRUPT);
    MO_CHECK_MESSAGE("id 999");
    write_stamped(path, 1000, "wide", 4, NULL, 3, right, 0, NULL);
    MO_CHECK_STATUS(open_and_close(path), MO_E_FORMAT);
    MO_CHECK_MESSAGE("train: tokens: is not in the file");
}

/* ---- wrong use ---- */

static void wrong_use_is_refused(void **state)
{
    mo_tokenizer *bytes, *wide = wide_tokenizer(1000);
    mo_tokenwriter *w;
    const int32_t high = 256, low = -1, right = 5;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    mo_tokenwriter_options o = {
        .path = temp_path(*state, "t.h5"), .tokenizer = bytes, .domain_names = NAMES, .n_domains = 2};
    MO_CHECK_OK(mo_tokenwriter_open(&o, &w));
    MO_CHECK_STATUS(mo_tokenwriter_append(w, MO_SPLIT_TRAIN, &high, 1), MO_E_RANGE);
    MO_CHECK_MESSAGE("256");
    MO_CHECK_STATUS(mo_tokenwriter_append(w, MO_SPLIT_TRAIN, &low, 1), MO_E_RANGE);
    MO_CHECK_OK(mo_tokenwriter_append(w, MO_SPLIT_TRAIN, &right, 1));
    MO_CHECK_STATUS(mo_tokenwriter_end_document(w, MO_SPLIT_TRAIN, 2), MO_E_RANGE);
    MO_CHECK_STATUS(mo_tokenwriter_end_document(w, MO_SPLIT_TRAIN, -1), MO_E_RANGE);
    MO_CHECK_STATUS(mo_tokenwriter_finish(w), MO_E_USAGE);
    MO_CHECK_MESSAGE("the last document of train was not ended");

    MO_CHECK_OK(mo_tokenwriter_open(&o, &w));
    MO_CHECK_STATUS(mo_tokenwriter_finish(w), MO_E_USAGE);
    MO_CHECK_MESSAGE("has no tokens");

    o.n_domains = 0;
    o.tokenizer = wide;
    MO_CHECK_OK(mo_tokenwriter_open(&o, &w));
    MO_CHECK_STATUS(mo_tokenwriter_append_bytes(w, MO_SPLIT_TRAIN, "a", 1), MO_E_USAGE);
    MO_CHECK_STATUS(mo_tokenwriter_set_entropy(w, MO_SPLIT_TRAIN, ENTROPY[0]), MO_E_USAGE);
    MO_CHECK_OK(mo_tokenwriter_append(w, MO_SPLIT_TRAIN, &right, 1));
    mo_tokenwriter_abort(w);

    o.compression = 10;
    MO_CHECK_STATUS(mo_tokenwriter_open(&o, &w), MO_E_RANGE);
    o.compression = 1;
    o.n_domains = 17;
    MO_CHECK_STATUS(mo_tokenwriter_open(&o, &w), MO_E_RANGE);
    o.n_domains = 0;
    o.path = temp_path(*state, "absent/t.h5");
    MO_CHECK_STATUS(mo_tokenwriter_open(&o, &w), MO_E_NOT_FOUND);
    o.path = *state;
    MO_CHECK_STATUS(mo_tokenwriter_open(&o, &w), MO_E_EXISTS);
    assert_int_equal(damage_count_files(*state), 0);
    mo_tokenizer_free(bytes);
    mo_tokenizer_free(wide);
}

static void nothing_is_there_before_the_end(void **state)
{
    mo_tokenizer *bytes;
    mo_tokenwriter *w;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    const mo_tokenwriter_options o = {
        .path = temp_path(*state, "t.h5"), .tokenizer = bytes, .compression = 1};
    MO_CHECK_OK(mo_tokenwriter_open(&o, &w));
    MO_CHECK_OK(mo_tokenwriter_append_bytes(w, MO_SPLIT_VALIDATION, "abc", 3));
    MO_CHECK_OK(mo_tokenwriter_end_document(w, MO_SPLIT_VALIDATION, 0));
    assert_false(mo_path_exists(o.path));
    MO_CHECK_OK(mo_tokenwriter_finish(w));
    assert_true(mo_path_exists(o.path));
    assert_int_equal(damage_count_files(*state), 1);
    mo_tokenizer_free(bytes);
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    recipe r = {temp_path(*state, "t.h5"), NULL, 2, 1, {20, 10}};
    MO_CHECK_OK(mo_tokenizer_bytes(&r.tokenizer));
    int64_t live = mo__alloc_live(), failed;
    MO_CHECK_EACH_ALLOCATION(failed, write_file(&r));
    assert_true(failed > 20);
    assert_int_equal(mo__alloc_live(), live);
    assert_int_equal(damage_count_files(*state), 1);
    MO_CHECK_EACH_ALLOCATION(failed, open_and_close(r.path));
    assert_true(failed > 8);
    assert_int_equal(mo__alloc_live(), live);
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
    mo_tokenizer_free(r.tokenizer);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(every_width_comes_back),
        WITH_FOLDER(many_chunks_come_back),
        WITH_FOLDER(facts_come_back),
        WITH_FOLDER(cut_short_is_refused),
        WITH_FOLDER(a_flipped_byte_is_refused),
        WITH_FOLDER(not_a_token_file),
        WITH_FOLDER(a_newer_version_is_refused),
        WITH_FOLDER(nothing_is_believed_unchecked),
        WITH_FOLDER(wrong_use_is_refused),
        WITH_FOLDER(nothing_is_there_before_the_end),
        WITH_FOLDER(failing_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
