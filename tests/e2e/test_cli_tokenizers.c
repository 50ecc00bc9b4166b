/* test_cli_tokenizers.c -- a token file made with another tokenizer than the checkpoint's is refused, by name
 * and hash. The program knows one kind of tokenizer, so the check is called here with a second kind that only
 * this test has; the program itself must refuse the file for its kind. */
#include "harness/harness.h"
#include "harness/wide_tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/inputs.c"
#include "moira/moira.h"

static int make_folder(void **state)
{
    return (*state = temp_make()) ? 0 : 1;
}

static int remove_folder(void **state)
{
    temp_remove(*state);
    return 0;
}

static void write_tokens(const char *path, const mo_tokenizer *tokenizer)
{
    mo_tokenwriter *w;
    mo_tokenwriter_options options = {.path = path, .tokenizer = tokenizer, .source = "test"};
    MO_CHECK_OK(mo_tokenwriter_open(&options, &w));
    int32_t *ids;
    int64_t count;
    MO_CHECK_OK(mo_tokenizer_encode(tokenizer, "some text", 9, &ids, &count));
    for (int split = 0; split < 2; split++) {
        MO_CHECK_OK(mo_tokenwriter_append(w, (mo_split)split, ids, count));
        MO_CHECK_OK(mo_tokenwriter_end_document(w, (mo_split)split, 0));
    }
    MO_CHECK_OK(mo_tokenwriter_finish(w));
    mo_free(ids);
}

static void another_tokenizer_is_refused(void **state)
{
    const char *path = temp_path(*state, "other.h5");
    char hash[33];
    mo_tokenizer *bytes, *other = wide_tokenizer(256);
    mo_tokenfile *file = NULL;
    MO_CHECK_OK(mo_tokenizer_bytes(&bytes));
    write_tokens(path, other);
    mo_trained trained = {.tokenizer = bytes};
    MO_CHECK_STATUS(mo__tokens_for(&trained, "model.h5", path, &file), MO_E_MISMATCH);
    assert_null(file);
    MO_CHECK_MESSAGE(path);
    MO_CHECK_MESSAGE("the model in model.h5 was trained with tokenizer bytes");
    MO_CHECK_MESSAGE(mo_tokenizer_kind(other));
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
    if (!program) skip();
    mo_tokenizer *other = wide_tokenizer(256);
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
    assert_non_null(strstr(line, "is not known"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(another_tokenizer_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_program_refuses_a_kind_that_it_does_not_know, make_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
