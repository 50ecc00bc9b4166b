/* cmd_generate.c -- moira generate: text from a checkpoint, written as it comes. */
#include <string.h>

#include "commands.h"
#include "inputs.h"
#include "session.h"

typedef struct choices {
    const char *prompt;
    int64_t max_tokens, top_k, threads;
    double temperature, top_p;
    uint64_t seed;
    bool tokens;
} choices;

static const mo__option options[] = {
    MO__OPTION_TEXT(choices, prompt, "prompt", 0, "TEXT", NULL, "the text to go on from"),
    MO__OPTION_INT(choices, max_tokens, "max-tokens", "N", "200", 0, 1e9, "tokens to add"),
    MO__OPTION_REAL(choices, temperature, "temperature", "T", "0.8", 0, 100,
                    "0 always takes the likeliest token"),
    MO__OPTION_INT(choices, top_k, "top-k", "K", "0", 1, 1e9, "choose among the K likeliest (all)"),
    MO__OPTION_REAL(choices, top_p, "top-p", "P", "1", 1e-6, 1,
                    "choose among the likeliest that have probability P together"),
    MO__OPTION_SEED(choices, seed, "seed", "S", "1337", "same seed, same text"),
    MO__OPTION_FLAG(choices, tokens, "tokens", "print token ids instead of text"),
    MO__OPTION_INT(choices, threads, "threads", "N", "0", 1, 1024, "threads (all cores)"),
    {.name = NULL},
};

typedef struct writer {
    const mo_tokenizer *tokenizer; /* NULL: ids are printed */
    mo_status status;
} writer;

static mo_status write_token(const mo_tokenizer *tokenizer, int32_t id)
{
    char *text;
    size_t size;
    MO_TRY(mo_tokenizer_decode(tokenizer, &id, 1, &text, &size));
    fwrite(text, 1, size, stdout);
    mo_free(text);
    return MO_OK;
}

static bool emit(int32_t id, void *user)
{
    writer *w = user;
    if (mo__stop) {
        w->status = mo_error(MO_E_INTERRUPTED, "interrupted");
        return false;
    }
    if (w->tokenizer)
        w->status = write_token(w->tokenizer, id);
    else
        printf(" %d", id);
    return w->status == MO_OK && mo__stdout_flush();
}

static void print_prompt(const choices *c, const int32_t *ids, int64_t count)
{
    if (!c->tokens) fputs(c->prompt, stdout);
    for (int64_t i = 0; c->tokens && i < count; i++) printf("%s%d", i ? " " : "", ids[i]);
    fflush(stdout);
}

static mo_status generate(const mo_trained *t, const choices *c, const int32_t *prompt, int64_t count)
{
    writer w = {.tokenizer = c->tokens ? NULL : t->tokenizer};
    mo_generate_options generation = {.prompt = prompt,
                                      .prompt_count = count,
                                      .max_tokens = c->max_tokens,
                                      .temperature = c->temperature,
                                      .top_k = c->top_k,
                                      .top_p = c->top_p,
                                      .seed = c->seed,
                                      .emit = emit,
                                      .user = &w};
    mo__session_begin_work();
    print_prompt(c, prompt, count);
    mo_status status = mo_generate(t->model, &generation);
    putchar('\n');
    return status == MO_OK ? w.status : status;
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    mo_trained t;
    int32_t *prompt = NULL;
    int64_t count = 0;
    if (!*c->prompt)
        return mo_error(MO_E_USAGE, "--prompt: is empty; a model goes on from at least one token");
    mo_threads_set((int)c->threads);
    MO_TRY(mo_blas_init());
    MO_TRY(mo__trained_load(words->at[0], &t));
    mo_status status = MO_OK;
    if (!t.tokenizer)
        status = mo_error(MO_E_MISMATCH, "%s: holds no tokenizer to read the prompt with", words->at[0]);
    if (status == MO_OK)
        status = mo_tokenizer_encode(t.tokenizer, c->prompt, strlen(c->prompt), &prompt, &count);
    if (status == MO_OK) status = generate(&t, c, prompt, count);
    mo_free(prompt);
    mo__trained_close(&t);
    return status;
}

const mo__command mo__cmd_generate = {
    .name = "generate",
    .summary = "continue a text with a trained model",
    .synopsis = "CHECKPOINT --prompt TEXT [options]",
    .text = "Prints the prompt and what the model makes of it, token by token as they come. The checkpoint "
            "holds\n"
            "the model and its tokenizer; nothing else is needed. The same checkpoint, options and seed give "
            "the\n"
            "same text. Past max_position_embeddings the older half of the context is forgotten.\n",
    .example =
        "  moira generate checkpoints/demo/best.h5 --prompt 'Once upon' --temperature 0.7 --top-p 0.9\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "CHECKPOINT",
    .least = 1,
    .most = 1,
    .stops = true,
    .run = run,
};
