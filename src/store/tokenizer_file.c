/* tokenizer_file.c -- the tokenizer out of any file of ours that embeds one. */
#include <moira/checkpoint.h>

#include "h5_root.h"
#include "stamp.h"

static mo_status read_root(const char *path, const char *format, int version, mo_tokenizer **out)
{
    MO__H5_LOCK();
    MO__H5_ID(file);
    MO_TRY(mo__h5_open(path, &file));
    MO_TRY(mo__root_read(file, format, version, out));
    return *out ? MO_OK : mo_error(MO_E_NOT_FOUND, "holds no tokenizer");
}

mo_status mo_tokenizer_from_file(const char *path, mo_tokenizer **out)
{
    static const struct {
        const mo__stamp_kind *stamp;
        const char *format;
    } KINDS[] = {{&mo__stamp_tokens, "moira-tokens"}, {&mo__stamp_checkpoint, "moira-checkpoint"}};
    *out = NULL;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        mo_status status = mo__stamp_check(path, KINDS[i].stamp, NULL);
        if (status == MO_E_FORMAT) continue;
        MO_TRY(status);
        status = read_root(path, KINDS[i].format, KINDS[i].stamp->version, out);
        return status == MO_OK ? MO_OK : mo_error_context(status, "%s", path);
    }
    return mo_error(MO_E_FORMAT, "%s: is neither a token file nor a checkpoint, which would hold a tokenizer",
                    path);
}
