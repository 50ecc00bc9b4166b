/* corpus_jsonl.c -- the text in a field of a line. */
#include "corpus_jsonl.h"

#include "corpus_line.h"

static mo_status take(const mo__record *r, json_t *object, const char *field, mo__record_text *out)
{
    char what[MO__LINE_SHOWN + 32], shown[MO__LINE_SHOWN];
    const json_t *text = mo__line_find(object, field);
    mo__line_show(shown, field);
    snprintf(what, sizeof what, text ? "field \"%s\"" : "has no field \"%s\"", shown);
    if (!text)
        return mo__line_refuse_absent(r, object, what,
                                      "--field names another; --prompt-field and "
                                      "--completion-field name a prompt and what answers it");
    return mo__line_text(r, text, what, &out->text, &out->size);
}

mo_status mo__record_text_parse(const mo__record *record, const char *line, const char *field,
                                mo__record_text *out)
{
    json_t *object;
    *out = (mo__record_text){.text = NULL};
    MO_TRY(mo__line_object(record, line, &object));
    out->owner = object;
    mo_status status = take(record, object, field, out);
    if (status != MO_OK) mo__record_text_free(out);
    return status;
}

void mo__record_text_free(mo__record_text *t)
{
    json_decref(t->owner);
    mo_free(t->talk);
    *t = (mo__record_text){.text = NULL};
}
