/* prepare_talks.c -- conversations are encoded by all threads; what went wrong is told of the first of them.
 */
#include "prepare_talks.h"

#include "corpus_talk.h"

/* ---- what is asked for ---- */

static mo_status check_talks_options(const mo_prepare_options *o)
{
    if (o->max_length < 0)
        return mo_error(MO_E_RANGE, "prepare: max_length is %lld, must not be negative",
                        (long long)o->max_length);
    if (o->truncate && !o->max_length)
        return mo_error(MO_E_USAGE, "--truncate: cuts to --max-length, which is not given");
    if (o->corpus.field)
        return mo_error(MO_E_USAGE,
                        "--field: is of texts; conversations have --prompt-field and --completion-field");
    return MO_OK;
}

/* What only conversations have a use for must not be asked of texts. */
static mo_status check_texts_options(const mo_prepare_options *o)
{
    const char *given = o->chat_template                                       ? "--template"
                        : o->corpus.prompt_field || o->corpus.completion_field ? "--prompt-field"
                        : o->max_length                                        ? "--max-length"
                        : o->truncate                                          ? "--truncate"
                                                                               : NULL;
    return given ? mo_error(MO_E_USAGE, "%s: is for conversations, and these are texts", given) : MO_OK;
}

const char *mo__prepare_talks_template(const mo_prepare_options *o)
{
    return o->chat_template ? o->chat_template : mo_chat_template_names[0];
}

static mo_status check_talks(const mo_prepare_options *o, const mo__corpus_files *files)
{
    mo_chat_template *none;
    MO_TRY(check_talks_options(o));
    for (int64_t i = 0; i < files->count; i++)
        if (!files->at[i].jsonl)
            return mo_error(MO_E_FORMAT, "%s: is a text, conversations are lines of JSONL",
                            files->at[i].path);
    return mo_chat_template_open(mo__prepare_talks_template(o), NULL, &none);
}

mo_status mo__prepare_talks_settle(const mo_prepare_options *o, const mo__corpus_files *files,
                                   mo_corpus_content *content)
{
    bool are = *content == MO_CORPUS_CONVERSATIONS;
    if (*content == MO_CORPUS_BY_FIRST_LINE) {
        if (!o->corpus.field) MO_TRY(mo__talk_look(files, &are));
        *content = are ? MO_CORPUS_CONVERSATIONS : MO_CORPUS_TEXTS;
        if (are)
            mo_log(MO_LOG_INFO,
                   "the first line is a conversation, so all are taken for such; --field prepares "
                   "the text of a field");
    }
    return are ? check_talks(o, files) : check_texts_options(o);
}

/* ---- counts ---- */

mo_status mo__prepare_talks_start(mo__prepare_talks *t)
{
    MO_TRY(mo__length_tally_create(&t->prompts));
    return mo__length_tally_create(&t->completions);
}

void mo__prepare_talks_free(mo__prepare_talks *t)
{
    mo__length_tally_free(t->prompts);
    mo__length_tally_free(t->completions);
}

void mo__prepare_talks_sum(const mo__prepare_talks *t, mo_talk_summary *s)
{
    mo__length_tally_sum(t->prompts, &s->prompts);
    mo__length_tally_sum(t->completions, &s->completions);
    s->completions_cut = t->completions_cut;
    s->turns_cut = t->turns_cut;
    s->truncated = t->truncated;
    s->too_long = t->too_long;
}

/* ---- one conversation ---- */

static mo_status refuse(const mo__talk *talk, mo_status status)
{
    return mo_error_context(status, "%s: line %lld", talk->record->file->path, (long long)talk->record->line);
}

static mo_status refuse_long(const mo__prepare_talks *t, int64_t tokens)
{
    return mo_error(
        MO_E_RANGE,
        "the conversation has %lld tokens, and --max-length is %lld; --truncate cuts it. Others may be "
        "longer: prepared without --max-length, moira inspect says what the longest needs",
        (long long)tokens, (long long)t->max_length);
}

/* Of the only exchange that is left, the completion's end goes. */
static mo_status cut_completion(const mo__prepare_talks *t, mo__talk_tokens *out)
{
    mo_chat_tokens *k = &out->tokens;
    int64_t prompt = 0;
    while (!k->mask[prompt]) prompt++;
    if (prompt >= t->max_length)
        return mo_error(
            MO_E_RANGE,
            "the first prompt has %lld tokens, and --max-length is %lld: nothing of the completion "
            "would be left",
            (long long)prompt, (long long)t->max_length);
    for (int64_t i = t->max_length; i + 1 < k->count; i++) /* the last one is the end */
        out->text_bytes -= mo_tokenizer_token_bytes(t->tokenizer, k->ids[i]);
    if (out->text_bytes < 0) out->text_bytes = 0; /* what is no UTF-8 has tokens of more bytes */
    k->count = t->max_length;
    out->completion_cut = true;
    return MO_OK;
}

static mo_status encode_first(const mo__prepare_talks *t, const mo__talk *talk, int messages,
                              mo__talk_tokens *out)
{
    mo_chat_tokens_free(&out->tokens);
    out->text_bytes = 0;
    for (int i = 0; i < messages; i++) out->text_bytes += (int64_t)talk->at[i].size;
    return mo_chat_encode(t->chat, talk->at, messages, false, &out->tokens);
}

/* Whole exchanges go from the end until it fits, or one is left: how many stay is found by halving, since one
 * line may have any number of them. */
static mo_status encode_fitting(const mo__prepare_talks *t, const mo__talk *talk, mo__talk_tokens *out)
{
    MO_TRY(encode_first(t, talk, talk->count, out));
    if (!t->max_length || out->tokens.count <= t->max_length) return MO_OK;
    if (!t->truncate) return refuse_long(t, out->tokens.count);
    int system = talk->at[0].role == MO_CHAT_SYSTEM, all = talk->count / 2, stay = 1, too_many = all;
    while (too_many - stay > 1) {
        int half = stay + (too_many - stay) / 2;
        MO_TRY(encode_first(t, talk, system + 2 * half, out));
        *(out->tokens.count <= t->max_length ? &stay : &too_many) = half;
    }
    MO_TRY(encode_first(t, talk, system + 2 * stay, out));
    out->turns_cut = all - stay;
    return out->tokens.count <= t->max_length ? MO_OK : cut_completion(t, out);
}

static mo_status encode(const mo__prepare_talks *t, const mo__talk *talk, mo__talk_tokens *out)
{
    *out = (mo__talk_tokens){.status = MO_OK};
    out->status = encode_fitting(t, talk, out);
    if (out->status == MO_OK) return MO_OK;
    mo_chat_tokens_free(&out->tokens);
    return refuse(talk, out->status);
}

/* ---- a batch ---- */

static void tally(mo__prepare_talks *t, const mo__talk_tokens *one)
{
    int64_t learnt = 0;
    for (int64_t i = 0; i < one->tokens.count; i++) learnt += one->tokens.mask[i];
    if (one->tokens.count > learnt) mo__length_tally_add(t->prompts, one->tokens.count - learnt);
    if (learnt) mo__length_tally_add(t->completions, learnt);
    t->turns_cut += one->turns_cut;
    t->completions_cut += one->completion_cut;
    t->truncated += one->turns_cut || one->completion_cut;
}

/* A failure leaves its message on the thread that met it: it is met again on this one. */
static mo_status skip(mo__prepare_talks *t, const mo__talk *talk, mo__talk_tokens *one)
{
    mo_status status = encode(t, talk, one);
    if (status != MO_E_FORMAT && status != MO_E_RANGE) return status;
    if (!t->skip_bad) return mo__refuse_bad(status);
    mo__tell_bad(t->bad + t->too_long);
    *(status == MO_E_RANGE ? &t->too_long : &t->bad) += 1;
    return MO_OK;
}

mo_status mo__prepare_talks_encode(mo__prepare_talks *t, const mo__pieces *pieces, mo__talk_tokens *out)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < pieces->count; i++) encode(t, pieces->at[i].talk, &out[i]);
    for (int64_t i = 0; i < pieces->count; i++) {
        if (out[i].status != MO_OK) MO_TRY(skip(t, pieces->at[i].talk, &out[i]));
        if (out[i].status == MO_OK) tally(t, &out[i]);
    }
    return MO_OK;
}

void mo__talk_tokens_free(mo__talk_tokens *tokens, int64_t count)
{
    for (int64_t i = 0; tokens && i < count; i++) mo_chat_tokens_free(&tokens[i].tokens);
    mo_free(tokens);
}
