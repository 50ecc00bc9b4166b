/* test_cli_tokenizers.c -- a token file made with another tokenizer than the checkpoint's is refused, by name
 * and hash. The program knows one kind of tokenizer, so the check is called here with a second kind that only
 * this test has; the program itself must refuse the file for its kind. */
#include "harness/harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/inputs.c"
#include "cli/units.c"
#include "moira/moira.h"
#include "tokenizer/tokenizer_kind.h"

static mo_status start(mo_tokenizer *t)
{
    t->vocab_size = 256;
    return MO_OK;
}

static void stop(mo_tokenizer *t)
{
    (void)t;
}

static int64_t token_bytes(const mo_tokenizer *t, int32_t id)
{
    (void)t;
    (void)id;
    return 1;
}

static const mo__tokenizer_kind other_kind = {
    .name = "other", .byte_ids = true, .start = start, .stop = stop, .token_bytes = token_bytes};

static int with_other_kind(void **state)
{
    mo__tokenizer_test_kind = &other_kind;
    return (*state = temp_make()) ? 0 : 1;
}

static int without_other_kind(void **state)
{
    mo__tokenizer_test_kind = NULL;
    temp_remove(*state);
    return 0;
}

static void write_tokens(const char *path, const mo_tokenizer *tokenizer)
{
    mo_tokenwriter *w;
    mo_tokenwriter_options options = {.path = path, .tokenizer = tokenizer, .source = "test"};
    MO_CHECK_OK(mo_tokenwriter_open(&options, &w));
    for (int split = 0; split < 2; split++) {
        MO_CHECK_OK(mo_tokenwriter_append_bytes(w, (mo_split)split, "some text", 9));
        MO_CHECK_OK(mo_tokenwriter_end_document(w, (mo_split)split, 0));
    }
    MO_CHECK_OK(mo_tokenwriter_finish(w));
}

static void another_tokenizer_is_refused(void **state)
{
    const char *path = temp_path(*state, "other.h5");
    char hash[33];
    mo_tokenizer *bytes, *other;
    mo_tokenfile *file = NULL;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    MO_CHECK_OK(mo__tokenizer_create(&other_kind, "blob", 4, &other));
    write_tokens(path, other);
    mo_trained trained = {.tokenizer = bytes};
    MO_CHECK_STATUS(mo__tokens_for(&trained, "model.h5", path, &file), MO_E_MISMATCH);
    assert_null(file);
    MO_CHECK_MESSAGE(path);
    MO_CHECK_MESSAGE("the model in model.h5 was trained with tokenizer bytes");
    MO_CHECK_MESSAGE("tokenizer other");
    mo_tokenizer_hash(bytes, hash);
    MO_CHECK_MESSAGE(hash);
    mo_tokenizer_hash(other, hash);
    MO_CHECK_MESSAGE(hash);
    /* A clash needs two tokenizers; the same one is none. */
    trained.tokenizer = NULL;
    MO_CHECK_OK(mo__tokens_for(&trained, "model.h5", path, &file));
    mo_tokenfile_close(file);
    trained.tokenizer = other;
    MO_CHECK_OK(mo__tokens_for(&trained, "model.h5", path, &file));
    mo_tokenfile_close(file);
    mo_tokenizer_free(bytes);
    mo_tokenizer_free(other);
}

static void the_program_refuses_a_kind_that_it_does_not_know(void **state)
{
    const char *path = temp_path(*state, "other.h5"), *program = getenv("MOIRA");
    char command[1024], line[1024] = "";
    mo_tokenizer *other;
    if (!program) skip();
    MO_CHECK_OK(mo__tokenizer_create(&other_kind, "blob", 4, &other));
    write_tokens(path, other);
    mo_tokenizer_free(other);
    snprintf(command, sizeof command, "'%s' inspect '%s' 2>&1", program, path);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    assert_non_null(fgets(line, sizeof line, output));
    int status = pclose(output);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 2);
    assert_non_null(strstr(line, path));
    assert_non_null(strstr(line, "kind \"other\" is not known"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(another_tokenizer_is_refused, with_other_kind, without_other_kind),
        cmocka_unit_test_setup_teardown(the_program_refuses_a_kind_that_it_does_not_know, with_other_kind,
                                        without_other_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
