/* corpus_others.c -- a sorted list of a few extensions. Folders are listed in no order: which ones are kept
 * must not hang on it. */
#include "corpus_others.h"

#include <ctype.h>
#include <string.h>

/* ".csv", ".csv.gz", in small letters; of a name with none, or with an odd or long one, "no extension". */
static void kind_of(const char *name, char kind[16])
{
    size_t length = strlen(name), end = length;
    if (length > 3 && !strcmp(name + length - 3, ".gz")) end -= 3;
    size_t dot = end;
    while (dot > 0 && (name[dot] != '.' || dot == end)) dot--;
    if (dot == 0) dot = end;
    bool plain = length - dot >= 2 && length - dot < 16;
    for (size_t i = dot; plain && i < length; i++) {
        plain = isalnum((unsigned char)name[i]) || strchr("._-+", name[i]);
        kind[i - dot] = (char)tolower((unsigned char)name[i]);
    }
    kind[plain ? length - dot : 0] = '\0';
    if (!plain) strcpy(kind, "no extension");
}

void mo__others_add(mo__others *o, const char *name)
{
    char kind[16];
    int at = 0;
    o->files++;
    kind_of(name, kind);
    while (at < o->kinds && strcmp(o->kind[at], kind) < 0) at++;
    if (at < o->kinds && !strcmp(o->kind[at], kind)) return;
    if (o->kinds == MO__OTHERS_SHOWN)
        o->more = true;
    else
        o->kinds++;
    if (at >= o->kinds) return;
    memmove(o->kind[at + 1], o->kind[at], (size_t)(o->kinds - 1 - at) * sizeof *o->kind);
    memcpy(o->kind[at], kind, sizeof kind);
}

mo__others_text mo__others_show(const mo__others *o)
{
    mo__others_text shown;
    int used = snprintf(shown.text, sizeof shown.text, "%lld file%s of other kinds: ", (long long)o->files,
                        o->files == 1 ? "" : "s");
    for (int i = 0; i < o->kinds; i++)
        used +=
            snprintf(shown.text + used, sizeof shown.text - (size_t)used, "%s%s", i ? ", " : "", o->kind[i]);
    snprintf(shown.text + used, sizeof shown.text - (size_t)used, "%s", o->more ? ", ..." : "");
    return shown;
}
