/* sp_model.c -- a SentencePiece model's pieces and settings out of its bytes. */
#include "sp_model.h"

#include <string.h>

#include "sp_wire.h"

static const size_t MOST_BYTES = (size_t)256 << 20;

/* where: a part of the model; NULL: all of it. */
static mo_status damaged(const char *where)
{
    return mo_error(MO_E_CORRUPT, "%s%sis cut short or damaged", where ? where : "", where ? ": " : "");
}

/* The type that a field must have to be the one that the format means. */
static mo_status expect(const mo__wire_field *f, int type, const char *where)
{
    return f->type == type ? MO_OK : damaged(where);
}

static mo__wire inside(const mo__wire_field *f)
{
    return (mo__wire){f->bytes, f->bytes + f->size};
}

static mo__sp_text text_of(const mo__wire_field *f)
{
    return (mo__sp_text){(const char *)f->bytes, f->size};
}

static mo_status read_piece(const mo__wire_field *message, mo__sp_piece *out)
{
    static const char WHERE[] = "pieces";
    mo__wire w = inside(message);
    mo__wire_field f;
    bool bad = false;
    *out = (mo__sp_piece){.type = MO__SP_NORMAL, .text = {"", 0}};
    while (mo__wire_next(&w, &f, &bad)) {
        if (f.number == 1) {
            MO_TRY(expect(&f, MO__WIRE_BYTES, WHERE));
            out->text = text_of(&f);
        } else if (f.number == 2) {
            MO_TRY(expect(&f, MO__WIRE_32, WHERE));
            uint32_t bits = (uint32_t)f.value;
            memcpy(&out->score, &bits, sizeof bits);
        } else if (f.number == 3) {
            MO_TRY(expect(&f, MO__WIRE_VARINT, WHERE));
            if (f.value < MO__SP_NORMAL || f.value > MO__SP_BYTE) return damaged(WHERE);
            out->type = (mo__sp_type)f.value;
        }
    }
    return bad ? damaged(WHERE) : MO_OK;
}

static mo_status read_trainer(const mo__wire_field *message, mo__sp_model *m)
{
    static const char WHERE[] = "trainer_spec";
    mo__wire w = inside(message);
    mo__wire_field f;
    bool bad = false;
    while (mo__wire_next(&w, &f, &bad)) {
        if (f.number == 3 || f.number == 24 || f.number == 35) MO_TRY(expect(&f, MO__WIRE_VARINT, WHERE));
        if (f.number == 3) {
            if (f.value < MO__SP_UNIGRAM || f.value > MO__SP_CHAR) return damaged(WHERE);
            m->model_type = (int)f.value;
        } else if (f.number == 24) {
            m->suffix = f.value != 0;
        } else if (f.number == 35) {
            m->byte_fallback = f.value != 0;
        } else if (f.number == 44) {
            MO_TRY(expect(&f, MO__WIRE_BYTES, WHERE));
            m->unk_surface = text_of(&f);
        }
    }
    return bad ? damaged(WHERE) : MO_OK;
}

static mo_status read_normalizer(const mo__wire_field *message, mo__sp_model *m)
{
    static const char WHERE[] = "normalizer_spec";
    mo__wire w = inside(message);
    mo__wire_field f;
    bool bad = false;
    while (mo__wire_next(&w, &f, &bad)) {
        if (f.number == 3 || f.number == 4) MO_TRY(expect(&f, MO__WIRE_VARINT, WHERE));
        if (f.number == 2) {
            MO_TRY(expect(&f, MO__WIRE_BYTES, WHERE));
            m->charsmap = text_of(&f);
        } else if (f.number == 3) {
            m->dummy_prefix = f.value != 0;
        } else if (f.number == 4) {
            m->remove_spaces = f.value != 0;
        }
    }
    return bad ? damaged(WHERE) : MO_OK;
}

static mo_status read_denormalizer(const mo__wire_field *message, mo__sp_model *m)
{
    mo__wire w = inside(message);
    mo__wire_field f;
    bool bad = false;
    while (mo__wire_next(&w, &f, &bad))
        if (f.number == 2 && f.type == MO__WIRE_BYTES) m->denormalizer = text_of(&f);
    return bad ? damaged("denormalizer_spec") : MO_OK;
}

static mo_status read_field(const mo__wire_field *f, mo__sp_model *m)
{
    if (f->number > 5) return MO_OK;
    MO_TRY(expect(f, MO__WIRE_BYTES, NULL));
    switch (f->number) {
    case 1:
        return read_piece(f, &m->pieces[m->count++]);
    case 2:
        return read_trainer(f, m);
    case 3:
        return read_normalizer(f, m);
    case 5:
        return read_denormalizer(f, m);
    default:
        return MO_OK;
    }
}

static mo_status count_pieces(const void *blob, size_t size, int64_t *count)
{
    mo__wire w = {blob, (const unsigned char *)blob + size};
    mo__wire_field f;
    bool bad = false;
    for (*count = 0; mo__wire_next(&w, &f, &bad);) *count += f.number == 1;
    if (bad) return damaged(NULL);
    return *count > 0 ? MO_OK : mo_error(MO_E_CORRUPT, "has no pieces");
}

mo_status mo__sp_model_read(const void *blob, size_t size, mo__sp_model *out)
{
    int64_t count;
    *out = (mo__sp_model){.model_type = MO__SP_UNIGRAM,
                          .dummy_prefix = true,
                          .remove_spaces = true,
                          .unk_surface = {" \xE2\x81\x87 ", 5}};
    if (size > MOST_BYTES)
        return mo_error(MO_E_UNSUPPORTED, "has %zu bytes, at most %zu are read", size, MOST_BYTES);
    MO_TRY(count_pieces(blob, size, &count));
    out->pieces = mo_malloc((size_t)count * sizeof *out->pieces);
    if (!out->pieces) return MO_E_MEMORY;
    mo__wire w = {blob, (const unsigned char *)blob + size};
    mo__wire_field f;
    bool bad = false;
    mo_status status = MO_OK;
    while (status == MO_OK && mo__wire_next(&w, &f, &bad)) status = read_field(&f, out);
    if (status != MO_OK) mo__sp_model_free(out);
    return status;
}

void mo__sp_model_free(mo__sp_model *m)
{
    mo_free(m->pieces);
    *m = (mo__sp_model){0};
}

/* Embedded messages that come twice are merged: the last add_dummy_prefix holds. */
mo_status mo__sp_model_continuing(const void *blob, size_t size, char **out, size_t *out_size)
{
    static const char NO_DUMMY_PREFIX[] = {0x1A, 2, 0x18, 0}; /* normalizer_spec {add_dummy_prefix: false} */
    char *made = *out = mo_malloc(size + sizeof NO_DUMMY_PREFIX);
    if (!made) return MO_E_MEMORY;
    mo__wire w = {blob, (const unsigned char *)blob + size};
    mo__wire_field f;
    bool bad = false;
    size_t used = 0;
    for (const unsigned char *from = w.at; mo__wire_next(&w, &f, &bad); from = w.at) {
        if (f.number == 4) continue;
        memcpy(made + used, from, (size_t)(w.at - from));
        used += (size_t)(w.at - from);
    }
    memcpy(made + used, NO_DUMMY_PREFIX, sizeof NO_DUMMY_PREFIX);
    *out_size = used + sizeof NO_DUMMY_PREFIX;
    return MO_OK;
}
