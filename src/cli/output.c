/* output.c -- what may be written over. */
#include "output.h"

#include "bench_view.h"
#include <moira/tokenizer.h>

#include <string.h>
#include <sys/stat.h>

const mo__output_kind mo__output_tokens = {"a token file", "MOIRA TOKENS "},
                      mo__output_texts = {"JSONL of moira synth", "{\"text\": \""},
                      mo__output_tokenizer = {"a SentencePiece model", NULL},
                      mo__output_dot = {"a graph for Graphviz", "digraph "},
                      mo__output_bench = {"figures of moira bench", MO__BENCH_BEGINS};

static bool begins_with(const char *path, const char *begin)
{
    char head[32];
    size_t length = strlen(begin);
    MO_ASSERT(length <= sizeof head);
    FILE *file = fopen(path, "re");
    bool same = file && fread(head, 1, length, file) == length && memcmp(head, begin, length) == 0;
    if (file) fclose(file);
    return same;
}

static bool is_tokenizer(const char *path)
{
    mo_tokenizer *tokenizer = NULL;
    bool is = mo_tokenizer_open(path, &tokenizer) == MO_OK;
    mo_tokenizer_free(tokenizer);
    return is;
}

mo_status mo__check_output(const char *path, const mo__output_kind *kind)
{
    mo_replace probe;
    MO_TRY(mo_replace_begin(&probe, path));
    mo_replace_abort(&probe);
    if (!mo_path_exists(path)) return MO_OK;
    if (!kind) return mo_error(MO_E_EXISTS, "%s: is there already; remove it, or name another file", path);
    if (kind->begins ? begins_with(path, kind->begins) : is_tokenizer(path)) return MO_OK;
    return mo_error(MO_E_EXISTS,
                    "%s: is there already and is not %s, so it is not replaced by one; remove it, or name "
                    "another file",
                    path, kind->noun);
}

mo_status mo__check_not_input(const char *path, const char *input)
{
    struct stat a, b;
    bool same =
        input && stat(path, &a) == 0 && stat(input, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    return same ? mo_error(MO_E_USAGE, "%s: is both an input and the output", path) : MO_OK;
}
