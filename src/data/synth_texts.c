/* synth_texts.c -- synthetic documents as JSONL (RFC 8259, section 7: what a string must escape). */
#include "synth_texts.h"

#include "base/file.h"

mo_status mo__synth_texts_open(mo__synth_texts *t, const char *path)
{
    *t = (mo__synth_texts){.file = NULL};
    if (!path) return MO_OK;
    MO_TRY(mo_replace_begin(&t->replace, path));
    t->file = fopen(t->replace.path, "wb");
    if (t->file) return MO_OK;
    mo_status status = mo__replace_error(&t->replace, mo__file_error(t->replace.path, "write"));
    mo_replace_abort(&t->replace);
    return status;
}

void mo__synth_texts_append(mo__synth_texts *t, const char *text, int length, const char *domain)
{
    if (!t->file) return;
    fputs("{\"text\": \"", t->file);
    for (int i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n')
            fputs("\\n", t->file);
        else if (c < ' ')
            fprintf(t->file, "\\u%04x", c);
        else {
            if (c == '"' || c == '\\') putc('\\', t->file);
            putc(c, t->file);
        }
    }
    fprintf(t->file, "\", \"domain\": \"%s\"}\n", domain);
}

mo_status mo__synth_texts_close(mo__synth_texts *t)
{
    if (!t->file) return MO_OK;
    bool failed = ferror(t->file) != 0;
    failed = fclose(t->file) != 0 || failed;
    t->file = NULL;
    return failed ? mo__replace_error(&t->replace, mo__file_error(t->replace.path, "write")) : MO_OK;
}

mo_status mo__synth_texts_commit(mo__synth_texts *t)
{
    return t->replace.path ? mo_replace_commit(&t->replace) : MO_OK;
}

void mo__synth_texts_abort(mo__synth_texts *t)
{
    if (t->file) fclose(t->file);
    t->file = NULL;
    mo_replace_abort(&t->replace);
}
