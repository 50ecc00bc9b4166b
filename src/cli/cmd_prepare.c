/* cmd_prepare.c -- moira prepare: texts to a token file. */
#include <string.h>

#include "commands.h"
#include "corpus_view.h"
#include "inputs.h"
#include "json_out.h"
#include "output.h"
#include "session.h"
#include "terminal.h"
#include "base/units.h"

typedef struct choices {
    const char *output, *tokenizer, *save_tokenizer, *extensions, *format, *field, *separator;
    const char *template, *prompt_field, *completion_field;
    double validation;
    int64_t train_tokenizer, compression, max_length;
    uint64_t seed;
    bool chat, truncate, skip_bad, json;
} choices;

/* Told apart from an empty text by its address. */
static const char NOT_GIVEN[] = "";

static const mo__option options[] = {
    MO__OPTION_TEXT(choices, output, "output", 'o', "FILE.h5", NULL, "token file to write"),
    MO__OPTION_TEXT(choices, tokenizer, "tokenizer", 0, "bytes|FILE", NOT_GIVEN,
                    "how text becomes ids (bytes)"),
    MO__OPTION_INT(choices, train_tokenizer, "train-tokenizer", "N", "0", 260, 1e6,
                   "train a SentencePiece tokenizer of N ids on what trains"),
    MO__OPTION_TEXT(choices, save_tokenizer, "save-tokenizer", 0, "FILE.model", NOT_GIVEN,
                    "write the tokenizer there too"),
    MO__OPTION_TEXT(choices, format, "format", 0, "auto|text|jsonl", "auto",
                    "what files are; auto: by extension"),
    MO__OPTION_TEXT(choices, extensions, "ext", 0, "LIST", NOT_GIVEN,
                    "what to take from folders, as txt,jsonl"),
    MO__OPTION_TEXT(choices, field, "field", 0, "NAME", NOT_GIVEN,
                    "of JSONL: the field with the text (text)"),
    MO__OPTION_TEXT(choices, separator, "separator", 0, "TEXT", NOT_GIVEN,
                    "of texts: what stands between documents"),
    MO__OPTION_FLAG(choices, chat, "chat", "of JSONL: lines are conversations"),
    MO__OPTION_TEXT(choices, template, "template", 0, "NAME|FILE", NOT_GIVEN,
                    "of conversations: how messages are put (mixtral)"),
    MO__OPTION_TEXT(choices, prompt_field, "prompt-field", 0, "NAME", NOT_GIVEN,
                    "of conversations: the field with the prompt (prompt)"),
    MO__OPTION_TEXT(choices, completion_field, "completion-field", 0, "NAME", NOT_GIVEN,
                    "the field with what is learnt (completion)"),
    MO__OPTION_INT(choices, max_length, "max-length", "L", "0", 1, 1e9,
                   "of conversations: no longer than L tokens (any)"),
    MO__OPTION_FLAG(choices, truncate, "truncate", "cut longer ones to --max-length, and count them"),
    MO__OPTION_FLAG(choices, skip_bad, "skip-bad", "leave out bad lines of JSONL, and count them"),
    MO__OPTION_REAL(choices, validation, "validation", "SHARE", "0.1", 0, 0.99,
                    "share that validates; 0 is none"),
    MO__OPTION_SEED(choices, seed, "seed", "S", "1337", "draws the documents that validate"),
    MO__OPTION_INT(choices, compression, "compression", "N", "1", 0, 9, "deflate level; 0 stores as it is"),
    MO__OPTION_FLAG(choices, json, "json", "print JSON"),
    {.name = NULL},
};

/* ---- results ---- */

static double text_bytes(const mo_prepare_summary *s)
{
    return (double)(s->facts.text_bytes[0] + s->facts.text_bytes[1]);
}

static double rate(const mo_prepare_summary *s)
{
    return s->seconds > 0 ? text_bytes(s) / s->seconds : 0;
}

static mo_status print_text(const choices *c, const mo_prepare_summary *s)
{
    bool talks = *s->talks.chat_template;
    printf("wrote        %s%s%s\n", c->output, *c->save_tokenizer ? ", " : "", c->save_tokenizer);
    printf("tokenizer    %s, %s, %s\n", s->tokenizer_kind, mo__counted(s->vocab_size, "id").text,
           s->tokenizer_hash);
    if (talks) printf("template     %s\n", s->talks.chat_template);
    printf("files        %s", mo__count(s->files).text);
    if (s->files_repeated) printf("; %s named again, counted once", mo__count(s->files_repeated).text);
    putchar('\n');
    for (int i = 0; i < 2; i++)
        printf("%-12s %s in %s\n", mo__split_names[i], mo__counted(s->tokens[i], "token").text,
               mo__counted(s->documents[i], talks ? "conversation" : "document").text);
    mo__print_facts(&s->facts, s->tokens, s->tokenizer_kind, s->vocab_size, talks);
    if (s->byte_order_marks)
        printf("             %s left out\n", mo__counted(s->byte_order_marks, "byte order mark").text);
    if (talks) mo__print_talks(&s->talks);
    printf("took         %s, %.1f MB/s\n", mo__duration(s->seconds).text, rate(s) / 1e6);
    return mo__print_lengths(s->lengths, talks ? "conversations" : "documents");
}

static mo_status print_json(const char *output, const mo_prepare_summary *s)
{
    json_t *root = json_object(), *tokenizer = json_object();
    mo__json_set(root, "path", mo__json_text(output));
    mo__json_set(root, "vocab_size", mo__json_integer(s->vocab_size));
    mo__json_set(tokenizer, "kind", json_string(s->tokenizer_kind));
    mo__json_set(tokenizer, "hash", json_string(s->tokenizer_hash));
    mo__json_set(root, "tokenizer", tokenizer);
    for (int i = 0; i < 2; i++)
        mo__json_set(root, mo__split_names[i], mo__split_json(&s->lengths[i], s->facts.text_bytes[i]));
    mo__facts_json(root, &s->facts, s->tokens);
    if (*s->talks.chat_template) mo__json_set(root, "conversations", mo__talks_json(&s->talks));
    mo__json_set(root, "files_repeated", mo__json_integer(s->files_repeated));
    mo__json_set(root, "byte_order_marks", mo__json_integer(s->byte_order_marks));
    mo__json_set(root, "seconds", mo__json_real(s->seconds));
    mo__json_set(root, "bytes_per_second", mo__json_real(rate(s)));
    return mo__json_print(root);
}

/* ---- the command ---- */

static mo_status parse_format(const char *name, mo_corpus_format *out)
{
    static const char *const NAMES[] = {"auto", "text", "jsonl"};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, NAMES[i]) == 0) {
            *out = (mo_corpus_format)i;
            return MO_OK;
        }
    return mo_error(MO_E_USAGE, "--format: '%.60s' is none; it is auto, text or jsonl", name);
}

static const char *given(const char *text)
{
    return text != NOT_GIVEN ? text : NULL;
}

static mo_status open_file(const char *path, mo_tokenizer **out)
{
    mo_status status = mo_tokenizer_from_file(path, out);
    return status == MO_E_FORMAT ? mo_tokenizer_open(path, out) : status;
}

/* None where one is to be trained. */
static mo_status open_tokenizer(const choices *c, mo_tokenizer **out)
{
    const char *which = given(c->tokenizer);
    *out = NULL;
    if (which && c->train_tokenizer)
        return mo_error(MO_E_USAGE, "--tokenizer and --train-tokenizer: only one of them can be given");
    if (c->train_tokenizer) return MO_OK;
    if (!which || strcmp(which, "bytes") == 0) return mo_tokenizer_bytes(out);
    if (!mo_path_exists(which))
        return mo_error(MO_E_NOT_FOUND,
                        "--tokenizer: '%.200s' is not bytes, and there is no file of this name", which);
    char *inside = mo_strprintf("%s/tokenizer.model", which);
    if (!inside) return MO_E_MEMORY;
    mo_status status = mo_path_exists(inside) ? mo_tokenizer_open(inside, out) : open_file(which, out);
    mo_free(inside);
    return status;
}

/* Any of these says it; without them the first line does. */
static mo_corpus_content content_of(const choices *c)
{
    bool said = c->chat || given(c->template) || given(c->prompt_field) || given(c->completion_field) ||
                c->max_length || c->truncate;
    return said ? MO_CORPUS_CONVERSATIONS : MO_CORPUS_BY_FIRST_LINE;
}

static void show_phase(const char *what, void *user)
{
    mo__progress_of *progress = user;
    progress->what = what;
    progress->begin = 0; /* each has a progress of its own */
    mo__live_clear();
    if (mo__live())
        mo__live_line("%s", what);
    else
        mo__say("%s", what);
}

/* Of the texts the library says it. */
static mo_status check_outputs(const choices *c, const mo__words *words)
{
    const char *outputs[] = {c->output, given(c->save_tokenizer)};
    const mo__output_kind *kinds[] = {&mo__output_tokens, &mo__output_tokenizer};
    for (int i = 0; i < 2 && outputs[i] && *outputs[i]; i++) {
        for (int k = 0; k < words->count; k++) MO_TRY(mo__check_not_input(outputs[i], words->at[k]));
        MO_TRY(mo__check_not_input(outputs[i], given(c->tokenizer)));
        MO_TRY(mo__check_not_input(outputs[i], given(c->template)));
        MO_TRY(mo__check_output(outputs[i], kinds[i]));
    }
    return MO_OK;
}

static mo_status prepare(const choices *c, const mo__words *words, const mo_tokenizer *tokenizer)
{
    mo__progress_of progress = {.what = "preparing", .input = true};
    mo_prepare_summary summary;
    mo_prepare_options o = {.corpus = {.inputs = words->at,
                                       .n_inputs = words->count,
                                       .extensions = given(c->extensions),
                                       .field = given(c->field),
                                       .separator = given(c->separator),
                                       .content = content_of(c),
                                       .prompt_field = given(c->prompt_field),
                                       .completion_field = given(c->completion_field),
                                       .skip_bad = c->skip_bad},
                            .output = c->output,
                            .tokenizer = tokenizer,
                            .train_vocabulary = c->train_tokenizer,
                            .save_tokenizer = given(c->save_tokenizer),
                            .chat_template = given(c->template),
                            .max_length = c->max_length,
                            .truncate = c->truncate,
                            .validation_fraction = c->validation,
                            .seed = c->seed,
                            .compression = (int)c->compression,
                            .stop = &mo__stop,
                            .progress = mo__progress,
                            .phase = show_phase,
                            .user = &progress};
    MO_TRY(parse_format(c->format, &o.corpus.format));
    mo_status status = mo_prepare(&o, &summary);
    mo__live_clear();
    if (progress.begin > 0 && (status == MO_E_IO || status == MO_E_MEMORY)) mo__session_begin_work();
    MO_TRY(status);
    return c->json ? print_json(c->output, &summary) : print_text(c, &summary);
}

static mo_status run(const void *options_given, const mo__words *words)
{
    const choices *c = options_given;
    mo_tokenizer *tokenizer;
    MO_TRY(check_outputs(c, words));
    MO_TRY(open_tokenizer(c, &tokenizer));
    mo_status status = prepare(c, words, tokenizer);
    mo_tokenizer_free(tokenizer);
    return status;
}

const mo__command mo__cmd_prepare = {
    .name = "prepare",
    .summary = "turn texts and JSONL into a token file",
    .synopsis = "INPUT... -o FILE.h5 [options]",
    .text =
        "Reads a corpus and writes one compressed, checksummed token file. An existing FILE.h5 is replaced\n"
        "if it is a token file and no input, and only when the new one is whole. Memory does not grow with "
        "the corpus.\n"
        "\n"
        "INPUT is a file, a folder (all below it is read, in the order of its paths, hidden files apart;\n"
        "files that end in .txt .text .md .jsonl .ndjson .json-lines .jsonlines or in one of these and .gz,\n"
        "unless --ext says others; the rest is counted), or a quoted pattern: 'books/*.txt'. A file that is "
        "named twice is read\n"
        "once. What is packed with gzip is unpacked, whatever its name.\n"
        "\n"
        "A document is a text file, or what lies between two separators in it (--separator '<|endoftext|>';\n"
        "a line's end right behind one belongs to it), or the text in field --field of a line of JSONL\n"
        "(a.b is field b of the object in field a); .json is read as JSONL. A line without such a text is an "
        "error that names it, "
        "or\n"
        "with --skip-bad is left out and counted, the first three named. Documents without text and byte "
        "order marks are left out\n"
        "and counted in any case.\n"
        "\n"
        "Of several documents one in each run of 1 / SHARE validates, drawn by --seed; of two documents the\n"
        "second does. Of an only one the end validates: with 0.1, its first floor(0.9 n) of n bytes train.\n"
        "\n"
        "Instruction data: a line of JSONL is a conversation if it has \"messages\", a list of {role, "
        "content},\n"
        "or \"prompt\" and \"completion\", or the fields that --prompt-field and --completion-field name.\n"
        "--template says how messages are put: mixtral is Mixtral-Instruct's [INST], or a file of JSON\n"
        "(configs/templates has some). What the assistant says, with the token that ends it, is learnt; the\n"
        "rest is only read. Conversations are never cut, and none sees another. One that is longer than\n"
        "--max-length is an error; with --truncate its last exchanges are left out until it fits, and of an\n"
        "only exchange the end of the completion. --chat says that lines are conversations; the first line\n"
        "tells too.\n"
        "\n"
        "--tokenizer is bytes (each byte is an id), a SentencePiece model, a folder with a tokenizer.model, "
        "or\n"
        "a token file or checkpoint of Moira's that has the wanted one inside.\n"
        "\n"
        "--train-tokenizer reads the corpus twice: first to train a SentencePiece tokenizer (byte-pair\n"
        "encoding with byte pieces, nothing normalized) on an even sample of what trains, of at most\n"
        "32 MB. The token file has it inside; --save-tokenizer writes it as a file of its own.\n"
        "\n"
        "Bytes that are not UTF-8 are counted and shown; the bytes tokenizer keeps them, SentencePiece\n"
        "replaces each by U+FFFD. A SentencePiece model with <s> and </s> has them at a document's begin\n"
        "and end.\n",
    .example = "  moira prepare shakespeare.txt -o data/shakespeare.h5\n"
               "  moira prepare corpus/ 'more/*.jsonl.gz' -o data/corpus.h5 --train-tokenizer 8000\n"
               "  moira prepare chats.jsonl -o data/chats.h5 --tokenizer mixtral/tokenizer.model\n"
               "  moira prepare TinyStories-train.txt -o data/stories.h5 --separator '<|endoftext|>'\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "INPUT",
    .least = 1,
    .most = -1,
    .stops = MO__STOPS_WATCHING,
    .run = run,
};
