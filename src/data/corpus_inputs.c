/* corpus_inputs.c -- from what was asked for (files, folders, patterns) to a list of files, each once. */
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/file.h"
#include "corpus_files.h"
#include "corpus_others.h"

static const char DEFAULT_EXTENSIONS[] = "txt,text,md,jsonl,ndjson,json-lines,jsonlines";

/* ---- lists of names ---- */

typedef struct {
    char **at; /* owned */
    size_t count, room;
} names;

static void names_free(names *n)
{
    for (size_t i = 0; i < n->count; i++) mo_free(n->at[i]);
    mo_free(n->at);
    *n = (names){0};
}

/* Takes `owned` over; NULL is MO_E_MEMORY. */
static mo_status names_add(names *n, char *owned)
{
    if (owned && n->count == n->room) {
        size_t room = n->room ? 2 * n->room : 64;
        char **grown = mo_realloc(n->at, room * sizeof *grown);
        if (grown) {
            n->at = grown;
            n->room = room;
        } else {
            mo_free(owned);
            owned = NULL;
        }
    }
    if (!owned) return MO_E_MEMORY;
    n->at[n->count++] = owned;
    return MO_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_sort(names *n)
{
    if (n->count) qsort(n->at, n->count, sizeof *n->at, by_bytes);
}

/* ---- files ---- */

typedef struct {
    const mo_corpus *corpus;
    mo__corpus_files *files;
    const char *extensions;
    bool folders; /* there was one */
    mo__others others;
} finder;

static mo_status add_file(finder *f, const char *path)
{
    mo__corpus_files *files = f->files;
    if (files->count == files->room) {
        int64_t room = files->room ? 2 * files->room : 64;
        mo__corpus_file *grown = mo_realloc(files->at, (size_t)room * sizeof *grown);
        if (!grown) return MO_E_MEMORY;
        files->at = grown;
        files->room = room;
    }
    MO_TRY(mo__corpus_file_look(path, f->corpus->format, &files->at[files->count]));
    files->count++;
    return MO_OK;
}

void mo__corpus_files_free(mo__corpus_files *files)
{
    for (int64_t i = 0; i < files->count; i++) mo_free(files->at[i].path);
    mo_free(files->at);
    *files = (mo__corpus_files){0};
}

/* ---- folders ---- */

static bool has_extension(const char *name, size_t length, const char *extension, size_t size)
{
    return length > size + 1 && name[length - size - 1] == '.' &&
           !strncasecmp(name + length - size, extension, size);
}

/* name ends in one of the extensions, or in one and .gz. */
static bool is_wanted(const finder *f, const char *name)
{
    size_t length = strlen(name);
    size_t inner = has_extension(name, length, "gz", 2) ? length - 3 : length;
    for (const char *e = f->extensions; *e;) {
        size_t size = strcspn(e, ",");
        if (size && (has_extension(name, length, e, size) || has_extension(name, inner, e, size)))
            return true;
        e += size + (e[size] == ',');
    }
    return false;
}

/* The folders that are being walked, innermost first: a link to one of them leads nowhere new. */
typedef struct place {
    const struct place *above;
    dev_t device;
    ino_t inode;
} place;

static mo_status walk(finder *f, const char *path, const place *above, names *found);

static mo_status visit(finder *f, const char *path, const char *name, const place *here, names *found)
{
    struct stat info;
    bool there = stat(path, &info) == 0, wanted = is_wanted(f, name);
    if (!there && !wanted && (errno == ENOENT || errno == ELOOP))
        return MO_OK; /* a link that leads nowhere */
    if (!there) return mo__corpus_file_absent(path, "look at");
    if (S_ISDIR(info.st_mode)) return walk(f, path, here, found);
    if (wanted) return names_add(found, mo_strdup(path));
    if (S_ISREG(info.st_mode)) mo__others_add(&f->others, name);
    return MO_OK;
}

static mo_status walk_entries(finder *f, DIR *folder, const char *path, const place *here, names *found)
{
    mo_status status = MO_OK;
    const struct dirent *entry;
    while (status == MO_OK && (errno = 0, entry = readdir(folder))) {
        if (entry->d_name[0] == '.') continue;
        char *inner = mo_path_join(path, entry->d_name);
        status = inner ? visit(f, inner, entry->d_name, here, found) : MO_E_MEMORY;
        mo_free(inner);
    }
    return status == MO_OK && errno ? mo__file_error(path, "list") : status;
}

static mo_status walk(finder *f, const char *path, const place *above, names *found)
{
    struct stat info;
    if (stat(path, &info) != 0) return mo__file_error(path, "look at");
    for (const place *p = above; p; p = p->above)
        if (p->device == info.st_dev && p->inode == info.st_ino) return MO_OK;
    DIR *folder = opendir(path);
    if (!folder) return mo__file_error(path, "list");
    place here = {above, info.st_dev, info.st_ino};
    mo_status status = walk_entries(f, folder, path, &here, found);
    closedir(folder);
    return status;
}

static mo_status add_folder(finder *f, const char *path)
{
    names found = {0};
    f->folders = true;
    mo_status status = walk(f, path, NULL, &found);
    names_sort(&found);
    if (status == MO_OK && found.count == 0)
        status = mo_error(MO_E_NOT_FOUND, "%s: no file in this folder or below has an extension of %s%s%s%s",
                          path, f->extensions, f->others.files ? "; left out " : "",
                          f->others.files ? mo__others_show(&f->others).text : "",
                          f->corpus->extensions ? "" : "; others can be asked for (--ext)");
    for (size_t i = 0; status == MO_OK && i < found.count; i++) status = add_file(f, found.at[i]);
    names_free(&found);
    return status;
}

static mo_status add_path(finder *f, const char *path)
{
    return mo_path_is_dir(path) ? add_folder(f, path) : add_file(f, path);
}

/* ---- patterns ---- */

static bool is_pattern(const char *input)
{
    return strpbrk(input, "*?[") && !mo_path_exists(input);
}

static mo_status expand(const char *pattern, names *found)
{
    glob_t matches;
    if (strstr(pattern, "**"))
        return mo_error(MO_E_USAGE, "%s: '**' is not known here; name the folder, and all below it is read",
                        pattern);
    int result = glob(pattern, GLOB_NOSORT | GLOB_ERR, NULL, &matches);
    mo_status status = MO_OK;
    if (result == GLOB_NOMATCH) status = mo_error(MO_E_NOT_FOUND, "%s: matches no file", pattern);
    if (result == GLOB_ABORTED) status = mo_error(MO_E_IO, "%s: a folder on its way cannot be read", pattern);
    if (result == GLOB_NOSPACE) status = mo_error(MO_E_MEMORY, "%s: no memory for its matches", pattern);
    for (size_t i = 0; result == 0 && status == MO_OK && i < matches.gl_pathc; i++)
        status = names_add(found, mo_strdup(matches.gl_pathv[i]));
    globfree(&matches);
    names_sort(found);
    return status;
}

static mo_status add_input(finder *f, const char *input)
{
    if (!is_pattern(input)) return add_path(f, input);
    names found = {0};
    mo_status status = expand(input, &found);
    for (size_t i = 0; status == MO_OK && i < found.count; i++) status = add_path(f, found.at[i]);
    names_free(&found);
    return status;
}

/* ---- each once ---- */

typedef struct {
    dev_t device;
    ino_t inode;
    int64_t place;
} identity;

static int by_identity(const void *left, const void *right)
{
    const identity *a = left, *b = right;
    if (a->device != b->device) return a->device < b->device ? -1 : 1;
    if (a->inode != b->inode) return a->inode < b->inode ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

/* Of the names of one file the first stays. */
static mo_status drop_repeated(mo__corpus_files *files)
{
    int64_t kept = 0;
    identity *ids = mo_malloc((size_t)files->count * sizeof *ids);
    if (!ids) return MO_E_MEMORY;
    for (int64_t i = 0; i < files->count; i++)
        ids[i] = (identity){files->at[i].device, files->at[i].inode, i};
    qsort(ids, (size_t)files->count, sizeof *ids, by_identity);
    for (int64_t i = 1; i < files->count; i++) {
        if (ids[i].device != ids[i - 1].device || ids[i].inode != ids[i - 1].inode) continue;
        mo_free(files->at[ids[i].place].path);
        files->at[ids[i].place].path = NULL;
    }
    mo_free(ids);
    for (int64_t i = 0; i < files->count; i++)
        if (files->at[i].path) files->at[kept++] = files->at[i];
    files->repeated = files->count - kept;
    files->count = kept;
    return MO_OK;
}

/* ---- the whole ---- */

static bool is_list(const char *extensions)
{
    return *extensions && !strpbrk(extensions, "/ *?.") && !strstr(extensions, ",,") && *extensions != ',' &&
           extensions[strlen(extensions) - 1] != ',';
}

/* What is asked for must be for something. */
static mo_status check_uses(const finder *f)
{
    const mo_corpus *c = f->corpus;
    int64_t jsonl = 0;
    for (int64_t i = 0; i < f->files->count; i++) jsonl += f->files->at[i].jsonl;
    if (c->extensions && !f->folders)
        return mo_error(MO_E_USAGE,
                        "extensions \"%s\" choose among the files of a folder, and no input is one",
                        c->extensions);
    if (c->field && jsonl == 0)
        return mo_error(MO_E_USAGE, "field \"%s\" is for JSONL, and no input is that", c->field);
    if (c->separator && jsonl == f->files->count)
        return mo_error(MO_E_USAGE, "separator \"%s\" is for texts, and no input is one", c->separator);
    return MO_OK;
}

static mo_status check_corpus(const mo_corpus *c)
{
    if (c->n_inputs < 1) return mo_error(MO_E_USAGE, "no input");
    if (c->extensions && !is_list(c->extensions))
        return mo_error(MO_E_USAGE, "extensions \"%s\": must be names between commas, as txt,jsonl",
                        c->extensions);
    if (c->field && !*c->field) return mo_error(MO_E_USAGE, "field: is empty, a name is needed");
    if (c->separator && !*c->separator) return mo_error(MO_E_USAGE, "separator: is empty, a text is needed");
    return MO_OK;
}

mo_status mo__corpus_files_find(const mo_corpus *corpus, mo__corpus_files *files)
{
    finder f = {.corpus = corpus,
                .files = files,
                .extensions = corpus->extensions ? corpus->extensions : DEFAULT_EXTENSIONS};
    MO_TRY(check_corpus(corpus));
    for (int i = 0; i < corpus->n_inputs; i++) MO_TRY(add_input(&f, corpus->inputs[i]));
    MO_TRY(drop_repeated(files));
    for (int64_t i = 0; i < files->count; i++) files->stored += files->at[i].stored;
    MO_TRY(check_uses(&f));
    if (f.others.files) mo_log(MO_LOG_INFO, "left out %s", mo__others_show(&f.others).text);
    return MO_OK;
}

mo_status mo__corpus_files_spare(const mo__corpus_files *files, const char *output)
{
    struct stat info;
    if (stat(output, &info) != 0) return MO_OK;
    for (int64_t i = 0; i < files->count; i++)
        if (files->at[i].device == info.st_dev && files->at[i].inode == info.st_ino)
            return mo_error(MO_E_USAGE, "%s: is both an input and the output", files->at[i].path);
    return MO_OK;
}
