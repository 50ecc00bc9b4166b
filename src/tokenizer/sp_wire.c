/* sp_wire.c -- https://protobuf.dev/programming-guides/encoding: a field is a varint (number << 3 | type) and
 * its value. */
#include "sp_wire.h"

static bool varint(mo__wire *w, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 70 && w->at < w->end; shift += 7) {
        unsigned char byte = *w->at++;
        if (shift < 64) *out |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

static bool fixed(mo__wire *w, size_t size, uint64_t *out)
{
    *out = 0;
    if ((size_t)(w->end - w->at) < size) return false;
    for (size_t i = 0; i < size; i++) *out |= (uint64_t)*w->at++ << (8 * i);
    return true;
}

static bool bytes(mo__wire *w, mo__wire_field *out)
{
    uint64_t size;
    if (!varint(w, &size) || size > (uint64_t)(w->end - w->at)) return false;
    out->bytes = w->at;
    out->size = (size_t)size;
    w->at += size;
    return true;
}

static bool value(mo__wire *w, mo__wire_field *out)
{
    switch (out->type) {
    case MO__WIRE_VARINT:
        return varint(w, &out->value);
    case MO__WIRE_64:
        return fixed(w, 8, &out->value);
    case MO__WIRE_BYTES:
        return bytes(w, out);
    case MO__WIRE_32:
        return fixed(w, 4, &out->value);
    default:
        return false;
    }
}

bool mo__wire_next(mo__wire *w, mo__wire_field *out, bool *bad)
{
    uint64_t tag;
    *out = (mo__wire_field){0};
    if (w->at == w->end) return false;
    bool good = varint(w, &tag) && tag >> 3 > 0 && tag >> 3 < (uint64_t)1 << 29;
    if (good) {
        out->number = (int)(tag >> 3);
        out->type = (int)(tag & 7);
        good = value(w, out);
    }
    *bad = !good;
    return good;
}
