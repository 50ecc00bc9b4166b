/* generate_chat.c -- lines of the user's and replies, in turn. */
#include "generate_chat.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "session.h"

enum { LONGEST_LINE = 16 << 20 };

typedef struct conversation {
    mo_chat *chat;
    bool asks;     /* both ends are terminals: a prompt is shown, and mistakes are told and forgiven */
    bool terminal; /* stdout is one */
    bool gone;     /* nobody reads standard output any more, and what was read was enough */
    mo_status status;
    char *bytes; /* read, and not used yet */
    size_t size, room;
    bool over; /* standard input */
} conversation;

/* ---- lines ---- */

/* A signal ends the wait: poll, unlike read, does not begin again. */
static mo_status wait_for_input(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (poll(&input, 1, -1) < 0)
        if (errno != EINTR || mo__stop) break;
    return mo__stop ? mo_error(MO_E_INTERRUPTED, "interrupted") : MO_OK;
}

static mo_status read_more(conversation *c)
{
    if (c->room - c->size < 4096) {
        size_t room = 2 * c->room + 8192;
        char *grown = mo_realloc(c->bytes, room);
        if (!grown) return MO_E_MEMORY;
        c->bytes = grown;
        c->room = room;
    }
    MO_TRY(wait_for_input());
    ssize_t got = read(STDIN_FILENO, c->bytes + c->size, c->room - c->size);
    if (got < 0 && errno == EINTR) return MO_OK;
    if (got < 0) return mo_error(MO_E_IO, "standard input: cannot be read: %s", strerror(errno));
    c->over = got == 0;
    c->size += (size_t)got;
    return MO_OK;
}

/* The next line, without its end; *length -1 at the end of the input. It is c->bytes[*length], and taken with
 * take_line. */
static mo_status next_line(conversation *c, ssize_t *length, size_t *taken)
{
    for (;;) {
        const char *end = c->size ? memchr(c->bytes, '\n', c->size) : NULL;
        if (end || (c->over && c->size)) {
            *taken = end ? (size_t)(end - c->bytes) + 1 : c->size;
            size_t text = end ? *taken - 1 : c->size;
            *length = (ssize_t)(text > 0 && c->bytes[text - 1] == '\r' ? text - 1 : text);
            return MO_OK;
        }
        *length = -1;
        if (c->over) return MO_OK;
        if (c->size > LONGEST_LINE)
            return mo_error(MO_E_RANGE, "standard input: a line of more than %d MiB", LONGEST_LINE >> 20);
        MO_TRY(read_more(c));
    }
}

static void take_line(conversation *c, size_t taken)
{
    c->size -= taken;
    memmove(c->bytes, c->bytes + taken, c->size);
}

/* ---- turns ---- */

static bool emit(const char *text, size_t size, void *user)
{
    conversation *c = user;
    char *shown = c->terminal ? mo__printable(text, size) : NULL;
    if (mo__stop) {
        c->status = mo_error(MO_E_INTERRUPTED, "interrupted");
    } else if (c->terminal && !shown) {
        c->status = MO_E_MEMORY;
    } else {
        if (shown)
            fputs(shown, stdout);
        else
            fwrite(text, 1, size, stdout);
        c->gone = !mo__stdout_flush();
    }
    mo_free(shown);
    return c->status == MO_OK && !c->gone;
}

static void tell_end(const mo_reply *reply, int64_t max_tokens)
{
    if (reply->forgotten)
        mo__say("the context is full: the oldest %s forgotten",
                reply->forgotten == 1 ? "exchange is" : "exchanges are");
    if (reply->end == MO_REPLY_CUT)
        mo__say("the reply is cut after %lld tokens (--max-tokens)", (long long)max_tokens);
    if (reply->end == MO_REPLY_FULL) mo__say("the reply is cut: it fills the model's context");
}

static mo_status say(conversation *c, const mo__chat_choices *o, const char *text, size_t size)
{
    mo_reply reply;
    mo_status status = mo_chat_say(c->chat, text, size, &reply);
    if (status == MO_OK) {
        putchar('\n');
        if (c->asks) putchar('\n');
        fflush(stdout);
        status = c->status;
    }
    if (status == MO_OK) tell_end(&reply, o->max_tokens);
    bool mistake = status == MO_E_FORMAT || status == MO_E_RANGE;
    if (!mistake || !c->asks) return status;
    mo__say("%s", mo_last_error());
    return MO_OK;
}

static void ask(const conversation *c)
{
    if (!c->asks) return;
    fputs("> ", stdout);
    fflush(stdout);
}

static mo_status say_lines(conversation *c, const mo__chat_choices *o)
{
    ssize_t length = 0;
    size_t taken;
    while (!c->gone) {
        ask(c);
        MO_TRY(next_line(c, &length, &taken));
        if (length < 0) break;
        if (length > 0) MO_TRY(say(c, o, c->bytes, (size_t)length));
        take_line(c, taken);
    }
    if (c->asks) putchar('\n');
    return MO_OK;
}

static mo_status converse(conversation *c, const mo__chat_choices *o)
{
    if (o->prompt && c->asks) printf("> %s\n", o->prompt);
    if (o->prompt) MO_TRY(say(c, o, o->prompt, strlen(o->prompt)));
    if (o->prompt && !isatty(STDIN_FILENO)) return MO_OK;
    return say_lines(c, o);
}

mo_status mo__generate_chat(const mo_trained *t, const mo__chat_choices *o)
{
    conversation c = {.terminal = isatty(STDOUT_FILENO)};
    mo_chat_template *chat;
    c.asks = c.terminal && isatty(STDIN_FILENO);
    MO_TRY(mo_chat_template_open(o->template ? o->template : mo_chat_template_names[0], t->tokenizer, &chat));
    mo_chat_options options = {.model = t->model,
                               .tokenizer = t->tokenizer,
                               .chat = chat,
                               .system = o->system,
                               .sampling = o->sampling,
                               .max_tokens = o->max_tokens,
                               .emit = emit,
                               .user = &c};
    mo_status status = mo_chat_open(&options, &c.chat);
    if (status == MO_OK) status = converse(&c, o);
    /* Anything else is the fault of what was said. */
    if (status == MO_E_IO || status == MO_E_MEMORY) mo__session_begin_work();
    mo_chat_close(c.chat);
    mo_chat_template_free(chat);
    mo_free(c.bytes);
    return status;
}
