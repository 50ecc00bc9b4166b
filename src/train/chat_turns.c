/* chat_turns.c -- a conversation with a model: what is said is read, replies are drawn, both stay in the
 * cache.
 *
 * Messages are kept as text too. Where the cache is full, the oldest exchanges are dropped, and the template
 * puts the others anew: so a system message stays, and no message is read in part. */
#include <string.h>

#include "train/train_internal.h"

struct mo_chat {
    mo_chat_options options;
    mo_generator *generator;
    mo_chat_message *messages; /* what is still known; contents owned */
    int count, room;
    bool read;         /* all but the newest message are in the cache, and `unread` */
    int32_t unread[2]; /* the last tokens of the last reply */
    int n_unread;
    uint64_t drawn;
    /* of the reply at work */
    mo_tokenizer_stream *stream;
    int32_t *ids;
    int64_t n_ids, ids_room;
    char *text;
    size_t size, text_room, lead; /* bytes of the template's lead that have come */
    bool leading;
};

/* ---- messages ---- */

static mo_status add_message(mo_chat *c, mo_chat_role role, const char *text, size_t size)
{
    if (c->count == c->room) {
        int room = 2 * c->room + 8;
        mo_chat_message *grown = mo_realloc(c->messages, (size_t)room * sizeof *grown);
        if (!grown) return MO_E_MEMORY;
        c->messages = grown;
        c->room = room;
    }
    char *copy = mo_malloc(size + 1);
    if (!copy) return MO_E_MEMORY;
    if (size) memcpy(copy, text, size);
    c->messages[c->count++] = (mo_chat_message){role, copy, size};
    return MO_OK;
}

static void free_message(mo_chat_message *m)
{
    mo_free((void *)(uintptr_t)m->content);
}

static int first_turn(const mo_chat *c)
{
    return c->options.system != NULL;
}

/* The oldest exchange, unless the newest message is of it. */
static bool forget_exchange(mo_chat *c)
{
    int first = first_turn(c);
    if (c->count - first < 3) return false;
    free_message(&c->messages[first]);
    free_message(&c->messages[first + 1]);
    c->count -= 2;
    memmove(&c->messages[first], &c->messages[first + 2], (size_t)(c->count - first) * sizeof *c->messages);
    return true;
}

/* ---- reading ---- */

/* Tokens that are to be free for a reply, where exchanges can be forgotten for it. */
static int64_t reserve(const mo_chat *c)
{
    int64_t quarter = mo_generator_capacity(c->generator) / 4;
    return c->options.max_tokens < quarter ? c->options.max_tokens : quarter;
}

/* The newest message by itself, with the system's. */
static mo_status check_alone(const mo_chat *c)
{
    mo_chat_message both[2] = {c->messages[0], c->messages[c->count - 1]};
    mo_chat_tokens tokens;
    int64_t capacity = mo_generator_capacity(c->generator);
    MO_TRY(
        mo_chat_encode(c->options.chat, first_turn(c) ? both : both + 1, first_turn(c) + 1, true, &tokens));
    int64_t count = tokens.count;
    mo_chat_tokens_free(&tokens);
    if (count < capacity) return MO_OK;
    return mo_error(MO_E_RANGE,
                    "the message has %lld tokens with what the template adds, and the model's context "
                    "holds %lld",
                    (long long)count, (long long)capacity);
}

/* Reads all messages and what there is of the reply into an empty cache, less the exchanges that it takes. */
static mo_status read_anew(mo_chat *c, mo_chat_tokens *tokens, int *forgotten)
{
    MO_TRY(check_alone(c));
    for (;; ++*forgotten) {
        mo_status status = mo_chat_encode(c->options.chat, c->messages, c->count, true, tokens);
        int64_t needed = tokens->count + c->n_ids + reserve(c);
        /* A reply may have spelled out what no message can have. */
        bool fits = status != MO_E_FORMAT && needed <= mo_generator_capacity(c->generator);
        if (fits || !forget_exchange(c)) {
            MO_TRY(status);
            break;
        }
        mo_chat_tokens_free(tokens);
    }
    c->read = false;
    mo_generator_clear(c->generator);
    MO_TRY(mo_generator_read(c->generator, tokens->ids, tokens->count));
    return mo_generator_read(c->generator, c->ids, c->n_ids);
}

static mo_status read_on(mo_chat *c, const mo_chat_tokens *tokens)
{
    c->read = false;
    MO_TRY(mo_generator_read(c->generator, c->unread, c->n_unread));
    return mo_generator_read(c->generator, tokens->ids, tokens->count);
}

/* Up to where the reply begins; tokens: what was read for it. */
static mo_status read_message(mo_chat *c, mo_chat_tokens *tokens, int *forgotten)
{
    const mo_chat_message *m = &c->messages[c->count - 1];
    if (c->read) {
        MO_TRY(mo_chat_encode_next(c->options.chat, m->content, m->size, tokens));
        int64_t needed = mo_generator_length(c->generator) + c->n_unread + tokens->count + reserve(c);
        if (needed <= mo_generator_capacity(c->generator)) return read_on(c, tokens);
        mo_chat_tokens_free(tokens);
    }
    return read_anew(c, tokens, forgotten);
}

/* ---- the reply's text ---- */

static mo_status keep_text(mo_chat *c, const char *text, size_t size)
{
    if (c->size + size > c->text_room) {
        size_t room = 2 * (c->size + size) + 64;
        char *grown = mo_realloc(c->text, room);
        if (!grown) return MO_E_MEMORY;
        c->text = grown;
        c->text_room = room;
    }
    if (size) memcpy(c->text + c->size, text, size);
    c->size += size;
    return MO_OK;
}

static mo_status tell(mo_chat *c, const char *text, size_t size, bool *go_on)
{
    if (size == 0) return MO_OK;
    MO_TRY(keep_text(c, text, size));
    if (!c->options.emit(text, size, c->options.user)) *go_on = false;
    return MO_OK;
}

/* The template's lead in front of the content is none of it; where something else comes, that is. */
static mo_status take_text(mo_chat *c, const char *text, size_t size, bool *go_on)
{
    size_t lead_size;
    const char *lead = mo_chat_lead(c->options.chat, &lead_size);
    while (c->leading && size > 0) {
        if (c->lead < lead_size && *text == lead[c->lead]) {
            c->lead++, text++, size--;
            continue;
        }
        c->leading = false;
        if (c->lead < lead_size) MO_TRY(tell(c, lead, c->lead, go_on));
    }
    return tell(c, text, size, go_on);
}

static mo_status keep_id(mo_chat *c, int32_t id)
{
    if (c->n_ids == c->ids_room) {
        int64_t room = 2 * c->ids_room + 64;
        int32_t *grown = mo_realloc(c->ids, (size_t)room * sizeof *grown);
        if (!grown) return MO_E_MEMORY;
        c->ids = grown;
        c->ids_room = room;
    }
    c->ids[c->n_ids++] = id;
    return MO_OK;
}

/* A word mark at a text's begin is no space; the text of the reply begins after that of the prompt. */
static mo_status begin_text(mo_chat *c, const mo_chat_tokens *tokens)
{
    size_t size;
    c->size = c->lead = 0;
    c->leading = true;
    MO_TRY(mo_tokenizer_stream_open(c->options.tokenizer, &c->stream));
    for (int64_t i = 0; i < tokens->count; i++) mo_tokenizer_stream_next(c->stream, tokens->ids[i], &size);
    return MO_OK;
}

/* ---- the reply ---- */

/* The drawn token is read where there is room for it, if need be by forgetting. */
static mo_status read_drawn(mo_chat *c, int32_t id, mo_reply *reply)
{
    mo_chat_tokens tokens = {0};
    if (mo_generator_length(c->generator) < mo_generator_capacity(c->generator))
        return mo_generator_read(c->generator, &id, 1);
    if (c->count - first_turn(c) < 3) {
        reply->end = MO_REPLY_FULL;
        return MO_OK;
    }
    mo_status status = read_anew(c, &tokens, &reply->forgotten);
    mo_chat_tokens_free(&tokens);
    return status;
}

static mo_status take_id(mo_chat *c, int32_t id, mo_reply *reply)
{
    size_t size;
    bool go_on = true;
    MO_TRY(keep_id(c, id));
    if (id >= mo_tokenizer_vocab_size(c->options.tokenizer)) return MO_OK; /* the model may have more */
    const char *text = mo_tokenizer_stream_next(c->stream, id, &size);
    MO_TRY(take_text(c, text, size, &go_on));
    if (!go_on) reply->end = MO_REPLY_STOPPED;
    return MO_OK;
}

static mo_status draw_reply(mo_chat *c, mo_reply *reply)
{
    reply->end = MO_REPLY_CUT;
    while (reply->end == MO_REPLY_CUT && reply->tokens < c->options.max_tokens) {
        if (reply->tokens > 0) MO_TRY(read_drawn(c, c->ids[c->n_ids - 1], reply));
        if (reply->end == MO_REPLY_FULL) break;
        int32_t id = mo_generator_draw(c->generator, &c->options.sampling, c->drawn++);
        reply->tokens++;
        if (mo_chat_is_mark(c->options.chat, id))
            reply->end = MO_REPLY_ENDED;
        else
            MO_TRY(take_id(c, id, reply));
    }
    return MO_OK;
}

/* Of a character that never became whole. */
static mo_status end_text(mo_chat *c, const mo_reply *reply)
{
    size_t size;
    bool go_on;
    const char *rest = mo_tokenizer_stream_end(c->stream, &size);
    return reply->end == MO_REPLY_STOPPED ? MO_OK : take_text(c, rest, size, &go_on);
}

/* What is left to read: the last token of a reply that did not end, and the end. */
static void leave_unread(mo_chat *c, const mo_reply *reply)
{
    c->n_unread = 0;
    if (reply->end != MO_REPLY_ENDED && c->n_ids > 0) c->unread[c->n_unread++] = c->ids[c->n_ids - 1];
    c->unread[c->n_unread++] = mo_chat_end(c->options.chat);
}

static mo_status reply_to(mo_chat *c, mo_reply *reply)
{
    mo_chat_tokens tokens = {0};
    c->n_ids = 0;
    mo_status status = read_message(c, &tokens, &reply->forgotten);
    if (status == MO_OK) status = begin_text(c, &tokens);
    mo_chat_tokens_free(&tokens);
    if (status == MO_OK) status = draw_reply(c, reply);
    if (status == MO_OK) status = end_text(c, reply);
    mo_tokenizer_stream_close(c->stream);
    c->stream = NULL;
    if (status == MO_OK) status = add_message(c, MO_CHAT_ASSISTANT, c->text, c->size);
    if (status != MO_OK) return status;
    leave_unread(c, reply);
    c->read = true;
    return MO_OK;
}

mo_status mo_chat_say(mo_chat *c, const char *text, size_t size, mo_reply *reply)
{
    *reply = (mo_reply){0};
    MO_TRY(add_message(c, MO_CHAT_USER, text, size));
    mo_status status = reply_to(c, reply);
    if (status != MO_OK) free_message(&c->messages[--c->count]);
    return status;
}

/* ---- the whole ---- */

/* That the template can say it. */
static mo_status check_system(const mo_chat_options *o)
{
    mo_chat_message both[2] = {{MO_CHAT_SYSTEM, o->system, strlen(o->system)}, {MO_CHAT_USER, "", 0}};
    mo_chat_tokens tokens;
    MO_TRY(mo_chat_encode(o->chat, both, 2, true, &tokens));
    mo_chat_tokens_free(&tokens);
    return MO_OK;
}

static mo_status start(mo_chat *c)
{
    const mo_chat_options *o = &c->options;
    int64_t ids = mo_tokenizer_vocab_size(o->tokenizer), of_model = o->model->config.vocab_size;
    MO_TRY(mo_sampling_check(&o->sampling));
    if (ids > of_model)
        return mo_error(MO_E_MISMATCH, "the tokenizer has %lld ids, the model %lld", (long long)ids,
                        (long long)of_model);
    if (o->system) MO_TRY(check_system(o));
    if (o->system) MO_TRY(add_message(c, MO_CHAT_SYSTEM, o->system, strlen(o->system)));
    return mo_generator_create(o->model, 0, &c->generator);
}

mo_status mo_chat_open(const mo_chat_options *options, mo_chat **out)
{
    *out = NULL;
    mo_chat *c = mo_calloc(1, sizeof *c);
    if (!c) return MO_E_MEMORY;
    c->options = *options;
    mo_status status = start(c);
    if (status == MO_OK)
        *out = c;
    else
        mo_chat_close(c);
    return status;
}

void mo_chat_close(mo_chat *c)
{
    if (!c) return;
    for (int i = 0; i < c->count; i++) free_message(&c->messages[i]);
    mo_free(c->messages);
    mo_generator_free(c->generator);
    mo_free(c->ids);
    mo_free(c->text);
    mo_free(c);
}
