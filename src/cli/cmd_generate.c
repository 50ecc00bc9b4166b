/* cmd_generate.c -- moira generate: text from a checkpoint, written as it comes. */
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "commands.h"
#include "generate_chat.h"
#include "generate_prompts.h"
#include "inputs.h"
#include "session.h"

typedef struct choices {
    const char *prompt, *prompts, *base, *adapter, *template, *system;
    int64_t max_tokens, top_k, threads, batch;
    double temperature, top_p;
    uint64_t seed;
    bool tokens, json, chat;
} choices;

/* Told apart from an empty text by its address. */
static const char NOT_GIVEN[] = "";

static const mo__option options[] = {
    MO__OPTION_TEXT(choices, prompt, "prompt", 0, "TEXT", NOT_GIVEN,
                    "the text to go on from; with --chat what is said first"),
    MO__OPTION_TEXT(choices, prompts, "prompts", 0, "FILE|-", "",
                    "many of them: a line each, or an object with a \"prompt\" in FILE.jsonl"),
    MO__OPTION_INT(choices, batch, "batch", "N", "0", 1, MO_GENERATE_MOST,
                   "of --prompts: texts that are written at once (16)"),
    MO__OPTION_FLAG(choices, json, "json", "of --prompts: print a JSON object for each, a line each"),
    MO__OPTION_FLAG(choices, chat, "chat", "a conversation: a line that is read is a turn"),
    MO__OPTION_TEXT(choices, template, "template", 0, "NAME|FILE", NOT_GIVEN,
                    "of --chat: how messages are put (mixtral)"),
    MO__OPTION_TEXT(choices, system, "system", 0, "TEXT", NOT_GIVEN, "of --chat: the system message"),
    MO__OPTION_INT(choices, max_tokens, "max-tokens", "N", "200", 0, 1e9,
                   "tokens to add; of --chat, in a reply"),
    MO__OPTION_REAL(choices, temperature, "temperature", "T", "0.8", 0, 100,
                    "0 always takes the likeliest token"),
    MO__OPTION_INT(choices, top_k, "top-k", "K", "0", 1, 1e9, "choose among the K likeliest (all)"),
    MO__OPTION_REAL(choices, top_p, "top-p", "P", "1", 1e-6, 1,
                    "choose among the likeliest that have probability P together"),
    MO__OPTION_SEED(choices, seed, "seed", "S", "1337", "same seed, same text"),
    MO__OPTION_ADAPTER(choices),
    MO__OPTION_BASE(choices),
    MO__OPTION_FLAG(choices, tokens, "tokens", "print token ids instead of text"),
    MO__OPTION_INT(choices, threads, "threads", "N", "0", 0, 1024, "threads; 0 is one for each core"),
    {.name = NULL},
};

/* Prompt and new tokens go the same way, so that what is shown is what the model has read. */
typedef struct writer {
    mo_tokenizer_stream *stream; /* NULL: ids are printed */
    int64_t vocab_size;          /* of the tokenizer: a model's may be larger */
    int32_t eos;
    bool terminal; /* stdout is one, and must be safe from what is printed */
    bool begun;
    mo_status status;
} writer;

static mo_status write_text(const writer *w, const char *text, size_t size)
{
    if (size == 0) return MO_OK;
    char *shown = w->terminal ? mo__printable(text, size) : NULL;
    if (w->terminal && !shown) return MO_E_MEMORY;
    if (shown)
        fputs(shown, stdout);
    else
        fwrite(text, 1, size, stdout);
    mo_free(shown);
    return MO_OK;
}

static mo_status write_token(writer *w, int32_t id)
{
    size_t size = 0;
    if (!w->stream) {
        printf("%s%d", w->begun ? " " : "", id);
        w->begun = true;
        return MO_OK;
    }
    if (id >= w->vocab_size) return MO_OK;
    const char *text = mo_tokenizer_stream_next(w->stream, id, &size);
    return write_text(w, text, size);
}

static mo_status write_end(writer *w)
{
    size_t size;
    const char *rest = w->stream ? mo_tokenizer_stream_end(w->stream, &size) : NULL;
    mo_status status = rest ? write_text(w, rest, size) : MO_OK;
    putchar('\n');
    return status;
}

static bool emit(int32_t id, void *user)
{
    writer *w = user;
    if (mo__stop) {
        w->status = mo_error(MO_E_INTERRUPTED, "interrupted");
        return false;
    }
    w->status = write_token(w, id);
    return w->status == MO_OK && mo__stdout_flush() && id != w->eos;
}

static mo_status generate(const mo_trained *t, const choices *c, const int32_t *prompt, int64_t count)
{
    writer w = {.vocab_size = mo_tokenizer_vocab_size(t->tokenizer),
                .eos = mo_tokenizer_eos(t->tokenizer),
                .terminal = isatty(STDOUT_FILENO)};
    mo_generate_options generation = {.prompt = prompt,
                                      .prompt_count = count,
                                      .max_tokens = c->max_tokens,
                                      .temperature = c->temperature,
                                      .top_k = c->top_k,
                                      .top_p = c->top_p,
                                      .seed = c->seed,
                                      .emit = emit,
                                      .user = &w};
    if (!c->tokens) MO_TRY(mo_tokenizer_stream_open(t->tokenizer, &w.stream));
    mo__session_begin_work();
    mo_status status = MO_OK;
    for (int64_t i = 0; status == MO_OK && i < count; i++) status = write_token(&w, prompt[i]);
    fflush(stdout);
    if (status == MO_OK) status = mo_generate(t->model, &generation);
    if (status == MO_OK) status = w.status;
    mo_status end = write_end(&w);
    mo_tokenizer_stream_close(w.stream);
    return status == MO_OK ? end : status;
}

static mo_status read_prompt(const mo_trained *t, const char *path, const char *text, int32_t **ids,
                             int64_t *count)
{
    if (!t->tokenizer) return mo_error(MO_E_MISMATCH, "%s: holds no tokenizer to read the prompt with", path);
    mo_status status = mo_generate_prompt(t->tokenizer, text, strlen(text), ids, count);
    if (status == MO_E_RANGE && !*text)
        return mo_error(MO_E_USAGE, "--prompt: is empty; this model goes on from at least one token");
    return status;
}

static mo_status go_on(const mo_trained *t, const choices *c, const char *path)
{
    int32_t *prompt = NULL;
    int64_t count = 0;
    MO_TRY(read_prompt(t, path, c->prompt, &prompt, &count));
    mo_status status = generate(t, c, prompt, count);
    mo_free(prompt);
    return status;
}

static mo_status go_on_many(const mo_trained *t, const choices *c, const char *path)
{
    mo__prompts prompts;
    mo__prompts_choices many = {.sampling = {c->temperature, c->top_k, c->top_p, c->seed},
                                .max_tokens = c->max_tokens,
                                .slots = c->batch,
                                .tokens = c->tokens,
                                .json = c->json};
    if (!t->tokenizer)
        return mo_error(MO_E_MISMATCH, "%s: holds no tokenizer to read the prompts with", path);
    MO_TRY(mo__prompts_read(c->prompts, &prompts));
    mo_status status = mo__prompts_encode(&prompts, t->tokenizer);
    if (status == MO_OK) status = mo__generate_prompts(t, &prompts, &many);
    mo__prompts_free(&prompts);
    return status;
}

static const char *given_text(const char *text)
{
    return text != NOT_GIVEN ? text : NULL;
}

static mo_status converse(const mo_trained *t, const choices *c, const char *path)
{
    if (!t->tokenizer) return mo_error(MO_E_MISMATCH, "%s: holds no tokenizer to read messages with", path);
    mo__chat_choices chat = {.template = given_text(c->template),
                             .system = given_text(c->system),
                             .prompt = given_text(c->prompt),
                             .sampling = {c->temperature, c->top_k, c->top_p, c->seed},
                             .max_tokens = c->max_tokens};
    return mo__generate_chat(t, &chat);
}

static mo_status check_choices(const choices *c)
{
    if (!*c->prompts && (c->batch || c->json))
        return mo_error(MO_E_USAGE, "--%s: is of --prompts, which is not given", c->json ? "json" : "batch");
    if (*c->prompts && (c->chat || c->prompt != NOT_GIVEN))
        return mo_error(MO_E_USAGE, "--prompts does not go with --%s", c->chat ? "chat" : "prompt");
    if (!c->chat && !*c->prompts && c->prompt == NOT_GIVEN)
        return mo_error(MO_E_USAGE, "--prompt TEXT is missing, or --prompts FILE, or --chat");
    if (c->chat && c->max_tokens == 0)
        return mo_error(MO_E_USAGE, "--max-tokens: is 0, and a reply needs some");
    if (c->chat && c->tokens) return mo_error(MO_E_USAGE, "--tokens: a conversation is shown as text");
    if (!c->chat && (given_text(c->template) || given_text(c->system)))
        return mo_error(MO_E_USAGE, "--%s: is of conversations, and --chat is not given",
                        given_text(c->template) ? "template" : "system");
    mo_chat_template *none;
    return c->chat && given_text(c->template) ? mo_chat_template_open(c->template, NULL, &none) : MO_OK;
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    mo_trained t;
    MO_TRY(check_choices(c));
    mo_threads_set((int)c->threads);
    MO_TRY(mo_blas_init());
    MO_TRY(mo__trained_load_upon(words->at[0], c->base, c->adapter, &t));
    mo_status status = mo_model_decode_check(&t.model->config);
    if (status != MO_OK) mo_error_context(status, "%s", words->at[0]);
    if (status == MO_OK)
        status = (c->chat ? converse : *c->prompts ? go_on_many : go_on)(&t, c, words->at[0]);
    mo__trained_close(&t);
    return status;
}

const mo__command mo__cmd_generate = {
    .name = "generate",
    .summary = "continue a text with a trained model",
    .synopsis = "CHECKPOINT --prompt TEXT|--prompts FILE|--chat [options]",
    .text =
        "Prints the prompt and what the model makes of it, token by token as they come. The checkpoint "
        "holds\n"
        "the model and its tokenizer; nothing else is needed. The same checkpoint, options and seed give "
        "the\n"
        "same text. Past max_position_embeddings the older half of the context is forgotten.\n"
        "\n"
        "With a SentencePiece tokenizer that has <s> and </s>, the prompt is the beginning of a document (it "
        "may\n"
        "be empty), and the text ends where the model ends it. On a terminal control characters are shown "
        "as\n"
        "U+FFFD; what goes into a file or a pipe is the text as it is.\n"
        "\n"
        "With --prompts the texts of all prompts in a file are written, up to --batch of them at once, "
        "which\n"
        "share the reading of the weights: with 16, several times the tokens in a second. The next prompt\n"
        "takes the place of a text that has ended. Each text is the one that it would be alone; its draws "
        "hang\n"
        "on --seed and on the prompt's place in the file. Each line of FILE is a prompt as it stands; of a\n"
        "FILE.jsonl each line is an object with a \"prompt\"; - is a text on standard input. Texts come in "
        "the\n"
        "order of their prompts, each below a line --- prompt N ---; with --json as objects, a line each:\n"
        "prompt, text (what the model added; ids with --tokens), tokens (how many), end (model or "
        "max-tokens).\n"
        "\n"
        "With --chat it is a conversation, put as --template says (moira help prepare): use the one that "
        "the\n"
        "model was trained with. Each line of standard input is a turn of the user's, and is answered; its "
        "end\n"
        "ends the conversation. --prompt is the first turn, and the only one where standard input is no\n"
        "terminal. A reply ends where the model ends it, or after --max-tokens. What was said stays in "
        "memory;\n"
        "where the model's context is full the oldest exchanges are forgotten, and that is told.\n",
    .example =
        "  moira generate checkpoints/demo/best.h5 --prompt 'Once upon' --temperature 0.7 --top-p 0.9\n"
        "  moira generate checkpoints/demo/best.h5 --prompts questions.jsonl --json --max-tokens 100\n"
        "  moira generate checkpoints/tuned/best.h5 --chat --system 'Be brief.'\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "CHECKPOINT",
    .least = 1,
    .most = 1,
    .stops = MO__STOPS_WATCHING,
    .run = run,
};
