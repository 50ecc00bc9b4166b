/* load.c -- a run config from defaults, files that extend each other, and the command line. */
#include <moira/config.h>

#include <string.h>
#include <sys/stat.h>

#include "from_base.h"
#include "page.h"
#include "setting.h"

/* libyaml takes time quadratic in the length of some texts; at this length at most half a second. */
enum { MOST_BYTES = 1 << 18, MOST_FILES = 16 };

/* A config on its way: which keys something has given a value, and what. */
typedef struct build {
    mo_run_config *config;
    int *given; /* by key: the text that gave it last, counted from 1; 0 = none */
    int texts;  /* so far: files, and the command line after them */
} build;

/* The files being read, each because of the one before it. */
typedef struct chain {
    const struct chain *parent;
    const char *path;
    dev_t device;
    ino_t inode;
    int depth;
} chain;

/* ---- pages ---- */

static mo_status apply_page(build *b, const mo__page *page, const char *origin)
{
    for (int i = 0; i < mo__key_count; i++) {
        if (!page->entries[i].line) continue;
        MO_TRY(mo__entry_set(&mo__keys[i], &page->entries[i], origin, b->config));
        b->given[i] = b->texts + 1;
    }
    b->texts++;
    return MO_OK;
}

static mo_status apply_file(build *b, const char *path, const chain *parent);

/* "a.yaml -> b.yaml -> a.yaml" as an error. */
static mo_status refuse_chain(const chain *link, const char *path, const char *problem)
{
    mo__buffer names = {0};
    const char *paths[MOST_FILES + 1];
    char *text;
    int n = 0;
    for (; link; link = link->parent) paths[n++] = link->path;
    while (n > 0) mo__buffer_add(&names, "%s -> ", paths[--n]);
    mo__buffer_add(&names, "%s", path);
    MO_TRY(mo__buffer_finish(&names, MO_OK, &text));
    mo_status status = mo_error(MO_E_CONFIG, "%s: %s", text, problem);
    mo_free(text);
    return status;
}

static mo_status check_chain(const chain *link)
{
    if (link->depth >= MOST_FILES)
        return refuse_chain(link->parent, link->path, "too many files extend each other");
    for (const chain *c = link->parent; c; c = c->parent)
        if (c->device == link->device && c->inode == link->inode)
            return refuse_chain(link->parent, link->path, "files extend each other in a circle");
    return MO_OK;
}

/* Reads what `page` extends, a path relative to the file at `path`. */
static mo_status apply_base(build *b, const mo__entry *extends, const chain *link)
{
    if (*extends->text == '\0')
        return mo_error(MO_E_CONFIG, "%s:%d: extends: no path is given; name the config to build upon",
                        link->path, extends->line);
    const char *slash = strrchr(link->path, '/');
    char *dir = mo_path_dir(link->path);
    char *base = dir ? mo_path_join(slash ? dir : "", extends->text) : NULL;
    mo_status status = base ? apply_file(b, base, link) : MO_E_MEMORY;
    if (status != MO_OK && base && !mo_path_exists(base))
        mo_error_context(status, "%s:%d: extends", link->path, extends->line);
    mo_free(dir);
    mo_free(base);
    return status;
}

static mo_status apply_text(build *b, const char *text, size_t size, const chain *link)
{
    mo__page page;
    MO_TRY(mo__page_read(text, size, link->path, &page));
    mo_status status = page.extends.line ? apply_base(b, &page.extends, link) : MO_OK;
    if (status == MO_OK) status = apply_page(b, &page, link->path);
    mo__page_free(&page);
    return status;
}

/* Refuses our own files of other kinds, which are easily taken for a config. */
static mo_status check_kind(const char *path)
{
    char head[18] = "";
    FILE *file = fopen(path, "re");
    if (!file) return MO_OK; /* whoever reads it says why */
    size_t size = fread(head, 1, sizeof head - 1, file);
    fclose(file);
    head[size] = '\0';
    if (strncmp(head, "MOIRA TOKENS ", 13) == 0)
        return mo_error(MO_E_CONFIG, "%s: is a token file, not a config; a config names it as data.path",
                        path);
    if (strncmp(head, "MOIRA CHECKPOINT ", 17) == 0)
        return mo_error(
            MO_E_CONFIG,
            "%s: is a checkpoint, not a config; that of its run is config.yaml in the same folder, "
            "and with --resume the run goes on from its newest checkpoint; a new run starts from it where a "
            "config's init.from names it",
            path);
    return MO_OK;
}

static mo_status refuse_folder(const char *path)
{
    char *config = mo_path_join(path, "config.yaml");
    bool of_run = config && mo_path_exists(config);
    mo_free(config);
    return of_run
               ? mo_error(MO_E_CONFIG,
                          "%s: is the folder of a run, not a config; its config is %s/config.yaml", path,
                          path)
               : mo_error(MO_E_CONFIG,
                          "%s: is a folder, not a config; to start from the model in it, name a config and "
                          "init.from=%s",
                          path, path);
}

static mo_status apply_file(build *b, const char *path, const chain *parent)
{
    struct stat info;
    char *text;
    size_t size;
    chain link = {.parent = parent, .path = path, .depth = parent ? parent->depth + 1 : 0};
    bool there = stat(path, &info) == 0;
    if (there && S_ISDIR(info.st_mode)) return refuse_folder(path);
    if (there && S_ISREG(info.st_mode)) MO_TRY(check_kind(path)); /* a pipe can be read only once */
    mo_status status = mo_read_file(path, MOST_BYTES, &text, &size);
    if (status == MO_E_RANGE) return mo_error(MO_E_CONFIG, "%s", mo_last_error());
    if (status != MO_OK) return status;
    if (there) {
        link.device = info.st_dev;
        link.inode = info.st_ino;
    }
    status = check_chain(&link);
    if (status == MO_OK) status = apply_text(b, text, size, &link);
    mo_free(text);
    return status;
}

/* ---- the command line ---- */

/* A name without a section: a key that is written so, or one that lacks its section. */
static mo_status refuse_undotted(const char *name)
{
    const char *nearest = mo__topic_nearest(name);
    if (nearest && mo__key_find("", nearest) >= 0)
        return mo_error(MO_E_CONFIG, "unknown key; did you mean %s?", nearest);
    return mo_error(MO_E_CONFIG, "a setting is written section.key=value, such as train.steps=1000");
}

static mo_status set_override(build *b, const char *word)
{
    const char *equals = strchr(word, '='), *dot = strchr(word, '.');
    if (!equals)
        return mo_error(MO_E_CONFIG, "a setting is written section.key=value, such as train.steps=1000");
    bool dotted = dot && dot < equals;
    char *section = mo_strprintf("%.*s", dotted ? (int)(dot - word) : 0, word);
    char *leaf = dotted ? mo_strprintf("%.*s", (int)(equals - dot - 1), dot + 1)
                        : mo_strprintf("%.*s", (int)(equals - word), word);
    mo_status status = MO_E_MEMORY;
    if (section && leaf) {
        int key = dotted && !*section ? -1 : mo__key_find(section, leaf);
        if (key >= 0) {
            b->given[key] = b->texts + 1;
            status = mo__setting_set(key, equals + 1, b->config);
        } else if (!dotted)
            status = refuse_undotted(leaf);
        else
            status = mo__section_find(section) >= 0 ? mo__key_unknown(section, leaf)
                                                    : mo__section_unknown(section);
    }
    mo_free(section);
    mo_free(leaf);
    return status;
}

static mo_status apply_overrides(build *b, const char *const *words, int count)
{
    for (int i = 0; i < count; i++) {
        mo_status status = set_override(b, words[i]);
        if (status != MO_OK) return mo_error_context(status, "command line: %s", mo__show(words[i]).text);
    }
    return MO_OK;
}

/* ---- the whole ---- */

static mo_status set_defaults(mo_run_config *config)
{
    *config = (mo_run_config){0};
    for (int i = 0; i < mo__key_count; i++) MO_TRY(mo__value_set_default(&mo__keys[i], config));
    return MO_OK;
}

static mo_status check_given(const build *b)
{
    mo__buffer missing = {0};
    char *text;
    for (int i = 0; i < mo__key_count; i++)
        if (!mo__keys[i].initial && !b->given[i])
            mo__buffer_add(&missing, "%s%s", missing.size ? ", " : "", mo__keys[i].name);
    bool any = missing.size > 0;
    if (any && !b->given[mo__key_find("model", "hidden_size")])
        mo__buffer_add(&missing,
                       "; those of the model come from init.from, a checkpoint or a folder in Hugging "
                       "Face's layout, where a run starts from one, and init.from is not given");
    MO_TRY(mo__buffer_finish(&missing, MO_OK, &text));
    mo_status status = MO_OK;
    if (any) status = mo_error(MO_E_CONFIG, "these keys have no default and must be given: %s", text);
    mo_free(text);
    return status;
}

static mo_status check_data(const mo_run_config *c)
{
    const mo_mixture_source *at = c->data.mixture.at;
    if (!*c->data.path && c->data.mixture.count == 0)
        return mo_error(MO_E_CONFIG, "neither data.path nor data.mixture is given; name a token file, or "
                                     "several with weights");
    if (*c->data.path && c->data.mixture.count > 0)
        return mo_error(MO_E_CONFIG, "data.path and data.mixture are both given; keep one: data.path= or "
                                     "data.mixture=[] takes back what a file says");
    for (int64_t i = 0; i < c->data.mixture.count; i++)
        for (int64_t j = 0; j < i; j++)
            if (strcmp(at[i].path, at[j].path) == 0)
                return mo_error(
                    MO_E_CONFIG,
                    "data.mixture[%lld].path: %s is data.mixture[%lld] already; give it the sum of "
                    "their weights, once",
                    (long long)i, at[i].path, (long long)j);
    return MO_OK;
}

/* Shares over a step of several microbatches are not known while they run one by one. */
static mo_status check_scopes(const mo_run_config *c)
{
    const mo_balance_config *b = &c->balance;
    const struct {
        const char *key;
        bool batch;
    } all[] = {{"model.capacity_scope", c->model.capacity_scope == MO_SCOPE_BATCH},
               {"balance.scope", b->scope == MO_SCOPE_BATCH},
               {"balance.switch_scope", b->switch_scope == MO_LOSS_SCOPE_BATCH},
               {"balance.mixtral_scope", b->mixtral_scope == MO_LOSS_SCOPE_BATCH},
               {"balance.gshard_scope", b->gshard_scope == MO_LOSS_SCOPE_BATCH},
               {"balance.importance_scope", b->importance_scope == MO_LOSS_SCOPE_BATCH},
               {"balance.load_scope", b->load_scope == MO_LOSS_SCOPE_BATCH}};
    for (size_t i = 0; i < sizeof all / sizeof *all && c->train.gradient_accumulation_steps > 1; i++)
        if (all[i].batch)
            return mo_error(
                MO_E_CONFIG,
                "%s batch with train.gradient_accumulation_steps %lld: counts over the whole "
                "batch are not known while its microbatches run one by one; use scope microbatch or "
                "sequence, or gradient_accumulation_steps 1",
                all[i].key, (long long)c->train.gradient_accumulation_steps);
    return MO_OK;
}

/* Whether a text says what a model is, wholly, and nothing of a run: no key but of run, model and balance. */
static bool is_model_alone(const build *b)
{
    for (int i = 0; i < mo__key_count; i++) {
        const mo__key *key = &mo__keys[i];
        bool of_model = mo__key_in_section(key, "run") || mo__key_in_section(key, "model") ||
                        mo__key_in_section(key, "balance");
        bool missing = of_model && !key->initial && !b->given[i];
        if (missing || (b->given[i] && !of_model)) return false;
    }
    return true;
}

/* What a model that no run made is evaluated with, unless told otherwise. */
static mo_status settle_model_alone(build *b)
{
    mo_run_config *c = b->config;
    enum { WINDOW = 2048 };
    c->train.batch_size = 1;
    c->train.sequence_length =
        c->model.max_position_embeddings < WINDOW ? c->model.max_position_embeddings : WINDOW;
    if (c->model.max_position_embeddings < 1)
        return mo_error(MO_E_CONFIG,
                        "model.max_position_embeddings is %lld, and there is no run to take it from",
                        (long long)c->model.max_position_embeddings);
    mo_model_config_settle_router(&c->model);
    return mo_model_config_check(&c->model, &c->balance);
}

/* What is said of adapters asks for some. A rank of 0 in the same text or a later one takes them away: so do
 * resolved configs, which have all keys. */
static mo_status check_adapters(const build *b)
{
    int rank = b->given[mo__key_find("lora", "rank")];
    if (b->config->tuning.lora.rank > 0) return MO_OK;
    for (int i = 0; i < mo__key_count; i++)
        if (mo__key_in_section(&mo__keys[i], "lora") && b->given[i] > rank)
            return mo_error(MO_E_CONFIG,
                            "%s is given and lora.rank is 0, so there would be no adapters, and all of the "
                            "model would train; give lora.rank too, say lora.rank=8, or leave %s out",
                            mo__keys[i].name, mo__keys[i].name);
    return MO_OK;
}

/* Rules between keys of different sections; mo_model_config_check has those of the model. */
static mo_status check_together(mo_run_config *c)
{
    MO_TRY(check_data(c));
    if (mo_run_steps(c) == 0 && c->train.seconds <= 0)
        return mo_error(MO_E_CONFIG,
                        "train.steps, train.tokens and train.seconds are all 0, which would never "
                        "end; give one of them");
    if (c->model.max_position_embeddings == 0) c->model.max_position_embeddings = c->train.sequence_length;
    mo_model_config_settle_router(&c->model);
    if (c->train.sequence_length > c->model.max_position_embeddings)
        return mo_error(
            MO_E_CONFIG,
            "train.sequence_length %lld is longer than model.max_position_embeddings %lld; shorten "
            "the sequences or raise max_position_embeddings",
            (long long)c->train.sequence_length, (long long)c->model.max_position_embeddings);
    MO_TRY(check_scopes(c));
    MO_TRY(mo_model_config_check(&c->model, &c->balance));
    return mo_tuning_check(&c->model, &c->tuning);
}

/* alone: the text may be that of a model without a run. */
static mo_status finish(build *b, const char *origin, bool alone, mo_status status)
{
    if (status == MO_OK && alone && is_model_alone(b)) {
        status = settle_model_alone(b);
        if (status != MO_OK) mo_error_context(status, "%s", origin);
    } else if (status == MO_OK) {
        status = check_adapters(b);
        if (status == MO_OK) status = check_given(b);
        if (status == MO_OK) status = check_together(b->config);
        if (status != MO_OK) mo_error_context(status, "%s", origin);
    }
    mo_free(b->given);
    if (status != MO_OK) mo_config_free(b->config);
    return status;
}

static mo_status begin(build *b, mo_run_config *out)
{
    *b = (build){.config = out};
    MO_TRY(set_defaults(out));
    b->given = mo_calloc((size_t)mo__key_count, sizeof *b->given);
    return b->given ? MO_OK : MO_E_MEMORY;
}

mo_status mo_config_load(const char *path, const char *const *overrides, int n_overrides, mo_run_config *out)
{
    build b;
    mo_status status = begin(&b, out);
    if (status == MO_OK) status = apply_file(&b, path, NULL);
    if (status == MO_OK) status = apply_overrides(&b, overrides, n_overrides);
    if (status == MO_OK) {
        status = mo__base_apply(out, b.given);
        if (status != MO_OK) mo_error_context(status, "%s", path);
    }
    return finish(&b, path, false, status);
}

mo_status mo_config_parse(const char *text, const char *origin, mo_run_config *out)
{
    build b;
    mo__page page;
    size_t size = strlen(text);
    mo_status status = begin(&b, out);
    if (status == MO_OK && size > MOST_BYTES)
        status = mo_error(MO_E_CONFIG, "%s: is longer than %d bytes, the most that is read here", origin,
                          MOST_BYTES);
    if (status == MO_OK) status = mo__page_read(text, size, origin, &page);
    if (status == MO_OK) {
        if (page.extends.line)
            status = mo_error(MO_E_CONFIG, "%s:%d: extends: only a config in a file can extend another",
                              origin, page.extends.line);
        if (status == MO_OK) status = apply_page(&b, &page, origin);
        mo__page_free(&page);
    }
    return finish(&b, origin, true, status);
}

void mo_config_free(mo_run_config *config)
{
    for (int i = 0; i < mo__key_count; i++) mo__value_free(&mo__keys[i], config);
    *config = (mo_run_config){0};
}
