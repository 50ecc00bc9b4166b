/* prepare.c -- texts to a token file: pieces of text in (corpus_pass.h), ids of each split out. */
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include <moira/data.h>

#include "base/file.h"
#include "prepare_learn.h"
#include "prepare_tokens.h"
#include "tokenizer/tokenizer_kind.h"

typedef struct {
    const mo_prepare_options *options;
    mo_corpus corpus; /* options->corpus, its content settled */
    mo_prepare_summary *summary;
    mo__corpus_files files;
    mo__pass_plan plan;
    const mo_tokenizer *tokenizer; /* the one that is given, or `trained` */
    mo_tokenizer *trained;
    mo_chat_template *chat; /* of conversations */
} job;

static bool talks(const job *j)
{
    return j->corpus.content == MO_CORPUS_CONVERSATIONS;
}

/* ---- the file ---- */

static mo_status copy(job *j, mo__pass *pass, mo__prepare_tokens *tokens)
{
    const mo_prepare_options *o = j->options;
    mo__pieces pieces = {.last = false};
    MO_TRY(mo__prepare_tokens_start(tokens));
    while (!pieces.last) {
        MO_TRY(mo__pass_next(pass, &pieces));
        MO_TRY(mo__prepare_tokens_add(tokens, &pieces));
        if (o->progress) o->progress((double)pieces.stored, (double)j->files.stored, "bytes", o->user);
    }
    return o->stop && *o->stop ? mo_error(MO_E_INTERRUPTED, "interrupted") : MO_OK;
}

static mo_status write_tokens(job *j, mo_tokenwriter *writer)
{
    const mo_prepare_options *o = j->options;
    mo__prepare_tokens tokens = {.writer = writer,
                                 .tokenizer = j->tokenizer,
                                 .stop = o->stop,
                                 .talks = {.chat = j->chat,
                                           .tokenizer = j->tokenizer,
                                           .max_length = o->max_length,
                                           .truncate = o->truncate,
                                           .skip_bad = o->corpus.skip_bad}};
    mo__pass *pass;
    mo__pass_plan plan = j->plan;
    plan.tells = true;
    MO_TRY(mo__pass_open(&plan, &pass));
    mo_status status = copy(j, pass, &tokens);
    if (status == MO_OK) {
        mo__prepare_tokens_sum(&tokens, j->summary);
        mo__pass_facts(pass, &j->summary->facts, &j->summary->byte_order_marks);
    }
    mo__prepare_tokens_free(&tokens);
    mo__pass_close(pass);
    return status;
}

static mo_status refuse_empty(const job *j)
{
    const mo__corpus_files *f = &j->files;
    const char *why =
        j->options->corpus.skip_bad ? "; without --skip-bad the first line that is left out is named" : "";
    if (f->count == 1 && f->stored == 0)
        return mo_error(MO_E_FORMAT, "%s: is empty, a text is needed", f->at[0].path);
    if (f->count == 1) return mo_error(MO_E_FORMAT, "%s: has no text%s", f->at[0].path, why);
    return mo_error(MO_E_FORMAT, "the corpus is empty: none of its %lld files has text%s",
                    (long long)f->count, why);
}

static mo_status refuse_untrainable(const job *j)
{
    return mo_error(MO_E_FORMAT,
                    "%s: of its %lld byte%s of text none is left to train on when a share of %g validates",
                    j->plan.size.only->path, (long long)j->plan.size.bytes,
                    j->plan.size.bytes == 1 ? "" : "s", j->options->validation_fraction);
}

static mo_status refuse_left_out(const job *j)
{
    return mo_error(MO_E_FORMAT, "%s: no conversation is left to train on, %lld %s left out",
                    j->files.at[0].path,
                    (long long)(j->summary->talks.too_long + j->summary->facts.bad_lines),
                    j->summary->talks.too_long + j->summary->facts.bad_lines == 1 ? "is" : "are");
}

/* Owned: "prepared from a.txt, b.txt and 3 more". */
static char *describe_source(const job *j)
{
    const mo_corpus *c = &j->corpus;
    const char *second = c->n_inputs > 1 ? c->inputs[1] : "", *template = j->summary->talks.chat_template;
    char more[32] = "";
    if (c->n_inputs > 2) snprintf(more, sizeof more, " and %d more", c->n_inputs - 2);
    return mo_strprintf("prepared from %s%s%s%s%s%s", c->inputs[0], *second ? ", " : "", second, more,
                        talks(j) ? ", conversations by " : "", template);
}

static char *describe_split(const job *j)
{
    const mo_prepare_options *o = j->options;
    if (j->plan.validation <= 0) return mo_strdup("all train");
    if (j->plan.size.documents < 2)
        return mo_strprintf("by position, a share of %g validates", o->validation_fraction);
    return mo_strprintf("by document, a share of %g validates, seed %llu", o->validation_fraction,
                        (unsigned long long)o->seed);
}

static mo_status open_writer(const job *j, mo_tokenwriter **out)
{
    const mo_prepare_options *o = j->options;
    char *source = describe_source(j), *split = describe_split(j);
    mo_tokenwriter_options writer = {.path = o->output,
                                     .tokenizer = j->tokenizer,
                                     .source = source,
                                     .split_by = split,
                                     .compression = o->compression,
                                     .masked = talks(j),
                                     .whole = talks(j)};
    mo_status status = source && split ? mo_tokenwriter_open(&writer, out) : MO_E_MEMORY;
    mo_free(source);
    mo_free(split);
    return status;
}

/* Whole documents are split: few of them, or of very different lengths, may miss the share by far. */
static void tell_share(const job *j)
{
    const mo_prepare_summary *s = j->summary;
    double asked = j->plan.validation, total = (double)(s->tokens[0] + s->tokens[1]);
    double got = (double)s->tokens[MO_SPLIT_VALIDATION] / total;
    bool far = got > 2 * asked || got < asked / 2;
    if (asked <= 0 || j->plan.size.documents < 2 || !far || fabs(got - asked) < 0.05) return;
    mo_log(MO_LOG_WARNING,
           "%.3g%% of the tokens validate, %.3g%% was asked for: the documents are few or of very different "
           "lengths. Give more of them (--separator cuts texts into documents), or another --validation",
           100 * got, 100 * asked);
}

static mo_status write_file(job *j)
{
    mo_tokenwriter *writer;
    const mo_corpus_facts *facts = &j->summary->facts;
    MO_TRY(open_writer(j, &writer));
    mo_status status = write_tokens(j, writer);
    if (status == MO_OK && talks(j) && j->summary->tokens[MO_SPLIT_TRAIN] == 0) status = refuse_left_out(j);
    if (status == MO_OK && !talks(j) && facts->text_bytes[MO_SPLIT_TRAIN] == 0)
        status = refuse_untrainable(j);
    if (status == MO_OK) status = mo_tokenwriter_set_facts(writer, facts);
    if (status == MO_OK) return mo_tokenwriter_finish(writer);
    mo_tokenwriter_abort(writer);
    return status;
}

/* ---- the tokenizer ---- */

static mo_status check_tokenizer(const mo_prepare_options *o)
{
    if (!o->tokenizer == !o->train_vocabulary)
        return mo_error(MO_E_USAGE,
                        "prepare: a tokenizer is given, or a vocabulary to train one of, not both");
    if (!o->save_tokenizer) return MO_OK;
    if (!*o->save_tokenizer)
        return mo_error(MO_E_USAGE, "the file for the tokenizer: is empty, a name is needed");
    if (o->tokenizer && mo__tokenizer_byte_ids(o->tokenizer))
        return mo_error(MO_E_USAGE, "%s: the bytes tokenizer has no model to save", o->save_tokenizer);
    return MO_OK;
}

static const char *name_in(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* What stands in a file's way is told before the work. */
static mo_status check_place(const char *path, struct stat *folder)
{
    mo_replace replace;
    MO_TRY(mo_replace_begin(&replace, path));
    mo_replace_abort(&replace);
    char *dir = mo_path_dir(path);
    if (!dir) return MO_E_MEMORY;
    mo_status status = stat(dir, folder) == 0 ? MO_OK : mo__file_error(dir, "look at");
    mo_free(dir);
    return status;
}

/* Two spellings may be one place: that is its folder, and its name there. */
static mo_status check_outputs(const mo_prepare_options *o)
{
    struct stat of_output, of_tokenizer;
    MO_TRY(check_place(o->output, &of_output));
    if (!o->save_tokenizer) return MO_OK;
    MO_TRY(check_place(o->save_tokenizer, &of_tokenizer));
    if (of_output.st_dev == of_tokenizer.st_dev && of_output.st_ino == of_tokenizer.st_ino &&
        !strcmp(name_in(o->output), name_in(o->save_tokenizer)))
        return mo_error(MO_E_USAGE, "%s: cannot be both the token file and the tokenizer's",
                        o->save_tokenizer);
    return MO_OK;
}

static mo_status choose_tokenizer(job *j)
{
    const mo_prepare_options *o = j->options;
    mo_prepare_summary *s = j->summary;
    if (!o->tokenizer) MO_TRY(mo__prepare_learn(o, &j->plan, &j->trained));
    j->tokenizer = j->plan.tokenizer = o->tokenizer ? o->tokenizer : j->trained;
    s->vocab_size = mo_tokenizer_vocab_size(j->tokenizer);
    snprintf(s->tokenizer_kind, sizeof s->tokenizer_kind, "%s", mo_tokenizer_kind(j->tokenizer));
    mo_tokenizer_hash(j->tokenizer, s->tokenizer_hash);
    return MO_OK;
}

static mo_status save_tokenizer(const job *j)
{
    size_t size;
    const void *blob = mo_tokenizer_blob(j->tokenizer, &size);
    return j->options->save_tokenizer ? mo_write_file(j->options->save_tokenizer, blob, size) : MO_OK;
}

/* ---- conversations ---- */

static mo_status open_template(job *j)
{
    const char *name = mo__prepare_talks_template(j->options);
    if (!talks(j)) return MO_OK;
    snprintf(j->summary->talks.chat_template, sizeof j->summary->talks.chat_template, "%s", name_in(name));
    return mo_chat_template_open(name, j->tokenizer, &j->chat);
}

/* ---- the whole ---- */

static mo_status start(job *j)
{
    const mo_prepare_options *o = j->options;
    MO_TRY(check_tokenizer(o));
    MO_TRY(mo__corpus_files_find(&o->corpus, &j->files));
    MO_TRY(mo__prepare_talks_settle(o, &j->files, &j->corpus.content));
    MO_TRY(check_outputs(o));
    MO_TRY(mo__corpus_files_spare(&j->files, o->output));
    if (o->save_tokenizer) MO_TRY(mo__corpus_files_spare(&j->files, o->save_tokenizer));
    j->summary->files = j->summary->facts.files = j->files.count;
    j->summary->files_repeated = j->files.repeated;
    j->plan = (mo__pass_plan){.corpus = &j->corpus,
                              .files = &j->files,
                              .validation = o->validation_fraction,
                              .seed = o->seed,
                              .stop = o->stop};
    MO_TRY(mo__corpus_scout(&j->plan));
    if (talks(j) && j->plan.size.documents == 1) j->plan.validation = 0;
    return j->plan.size.documents ? MO_OK : refuse_empty(j);
}

static mo_status run(job *j)
{
    MO_TRY(start(j));
    MO_TRY(choose_tokenizer(j));
    MO_TRY(open_template(j));
    MO_TRY(write_file(j));
    tell_share(j);
    return save_tokenizer(j);
}

static void forget(job *j)
{
    mo__corpus_files_free(&j->files);
    mo_chat_template_free(j->chat);
    mo_tokenizer_free(j->trained);
}

mo_status mo_prepare(const mo_prepare_options *options, mo_prepare_summary *summary)
{
    double begin = mo_clock();
    *summary = (mo_prepare_summary){.files = 0};
    if (!(options->validation_fraction >= 0 && options->validation_fraction < 1))
        return mo_error(MO_E_RANGE, "prepare: validation_fraction is %g, must be at least 0 and below 1",
                        options->validation_fraction);
    job j = {.options = options, .corpus = options->corpus, .summary = summary};
    mo_status status = run(&j);
    forget(&j);
    summary->seconds = mo_clock() - begin;
    if (status != MO_E_INTERRUPTED) return status;
    return mo_error(status, "prepare: interrupted; %s is not written", options->output);
}
