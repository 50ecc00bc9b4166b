/* sp_train.c -- a new SentencePiece model from text: the text is cut into chunks, an even sample of them is
 * kept, and the library's trainer learns byte-pair merges from those.
 *
 * The trainer takes "sentences". Given lines, it would see every line's first word behind a word mark, where
 * in use it follows a newline, and never a newline itself: on Shakespeare (vocabulary 2000) chunks that keep
 * their newlines give 3.06 bytes a token, lines 2.63. */
#include <stdlib.h>
#include <string.h>

#include "sentencepiece_shim.h"
#include "tokenizer_kind.h"

/* The trainer ends the process at a word of more than 65535 characters. */
enum { CHUNK = 4000, LEAST_VOCAB = 256 + 3 + 1, MOST_VOCAB = 1000000 };
static const size_t MOST_SAMPLE = (size_t)32 * 1000 * 1000;

typedef struct sample {
    mo__sp_chunk *chunks; /* .at is an offset until all are there */
    int64_t *numbers;     /* of the chunks, in the text */
    int64_t count, capacity;
    char *bytes;
    size_t size, room, most;
    int64_t seen, stride; /* chunks so far; every stride-th is kept */
} sample;

/* Keeps every second of what is kept: those whose number is a multiple of the new stride. */
static void thin_out(sample *s)
{
    int64_t kept = 0;
    size_t size = 0;
    s->stride *= 2;
    for (int64_t i = 0; i < s->count; i++) {
        if (s->numbers[i] % s->stride) continue;
        memmove(s->bytes + size, s->bytes + s->chunks[i].at, s->chunks[i].size);
        s->chunks[kept] = (mo__sp_chunk){size, s->chunks[i].size};
        s->numbers[kept++] = s->numbers[i];
        size += s->chunks[i].size;
    }
    s->count = kept;
    s->size = size;
}

static mo_status make_room(sample *s, size_t size)
{
    if (s->count == s->capacity) {
        int64_t capacity = s->capacity ? 2 * s->capacity : 256;
        mo__sp_chunk *chunks = mo_realloc(s->chunks, (size_t)capacity * sizeof *chunks);
        if (!chunks) return MO_E_MEMORY;
        s->chunks = chunks;
        int64_t *numbers = mo_realloc(s->numbers, (size_t)capacity * sizeof *numbers);
        if (!numbers) return MO_E_MEMORY;
        s->numbers = numbers;
        s->capacity = capacity;
    }
    if (s->size + size > s->room) {
        size_t room = 2 * (s->size + size);
        char *bytes = mo_realloc(s->bytes, room);
        if (!bytes) return MO_E_MEMORY;
        s->bytes = bytes;
        s->room = room;
    }
    return MO_OK;
}

static mo_status add_chunk(sample *s, const char *text, size_t size)
{
    if (size == 0 || s->seen++ % s->stride) return MO_OK;
    MO_TRY(make_room(s, size));
    memcpy(s->bytes + s->size, text, size);
    s->chunks[s->count] = (mo__sp_chunk){s->size, size};
    s->numbers[s->count++] = s->seen - 1;
    s->size += size;
    while (s->size > s->most && s->count > 1) thin_out(s);
    return MO_OK;
}

/* Where a chunk at the start of text[size] ends: at its last space, else behind its last newline, else
 * between characters. */
static size_t chunk_end(const char *text, size_t size)
{
    if (size <= CHUNK) return size;
    const char *space = memrchr(text, ' ', CHUNK), *line = memrchr(text, '\n', CHUNK);
    if (space && space > text) return (size_t)(space - text);
    if (line) return (size_t)(line - text) + 1;
    size_t end = CHUNK;
    while (end > CHUNK - 4 && ((unsigned char)text[end] & 0xC0) == 0x80) end--;
    return end;
}

/* A chunk's first word gets a word mark in any case: that of the space in front of it, which is left out. */
static mo_status add_text(sample *s, const char *text, size_t size)
{
    while (size > 0) {
        size_t end = chunk_end(text, size);
        MO_TRY(add_chunk(s, text, end));
        if (end < size && text[end] == ' ') end++;
        text += end;
        size -= end;
    }
    return MO_OK;
}

static mo_status collect(const mo_tokenizer_train_options *o, sample *s)
{
    for (;;) {
        const char *text = NULL;
        size_t size = 0;
        MO_TRY(o->next(o->user, &text, &size));
        if (size == 0) break;
        MO_TRY(add_text(s, text, size));
    }
    return s->count ? MO_OK : mo_error(MO_E_RANGE, "tokenizer: there is no text to train on");
}

/* The trainer's two words about the size, in ours. */
static mo_status explain(mo_status status, int64_t vocab_size, size_t bytes)
{
    const char *said = mo_last_error();
    const char *most = strstr(said, "set it to a value <= "), *least = strstr(said, " vs ");
    if (status != MO_E_RANGE) return status;
    if (strstr(said, "too high") && most)
        return mo_error(
            MO_E_RANGE,
            "tokenizer: a vocabulary of %lld is more than %zu bytes of text give; at most %ld here",
            (long long)vocab_size, bytes, strtol(strstr(most, "<= ") + 3, NULL, 10));
    if (strstr(said, "smaller than required_chars") && least)
        return mo_error(
            MO_E_RANGE,
            "tokenizer: a vocabulary of %lld is too small; 256 bytes, 3 control tokens and the text's "
            "characters make %ld",
            (long long)vocab_size, strtol(least + 4, NULL, 10));
    return mo_error(MO_E_RANGE,
                    "tokenizer: SentencePiece cannot learn a vocabulary of %lld from %zu bytes of text (%s)",
                    (long long)vocab_size, bytes, said);
}

static mo_status train(const mo_tokenizer_train_options *o, sample *s, mo_tokenizer **out)
{
    char *model;
    size_t size;
    MO_TRY(collect(o, s));
    mo_status status = mo__sp_train(s->bytes, s->chunks, s->count, (int)o->vocab_size, &model, &size);
    if (status != MO_OK) return explain(status, o->vocab_size, s->size);
    status = mo__tokenizer_create(&mo__tokenizer_sentencepiece_kind, model, size, out);
    mo_free(model);
    return status;
}

mo_status mo_tokenizer_train(const mo_tokenizer_train_options *o, mo_tokenizer **out)
{
    *out = NULL;
    if (o->vocab_size < LEAST_VOCAB || o->vocab_size > MOST_VOCAB)
        return mo_error(
            MO_E_RANGE,
            "tokenizer: a vocabulary of %lld; it must be %d (256 bytes, 3 control tokens and a character) "
            "to %d",
            (long long)o->vocab_size, LEAST_VOCAB, MOST_VOCAB);
    sample s = {.stride = 1, .most = o->sample_bytes ? o->sample_bytes : MOST_SAMPLE};
    mo_status status = train(o, &s, out);
    mo_free(s.chunks);
    mo_free(s.numbers);
    mo_free(s.bytes);
    return status;
}
