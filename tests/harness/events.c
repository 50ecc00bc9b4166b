/* events.c -- TFRecord framing and protocol buffers' wire format, by their documents alone. */
#include "events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

typedef struct span {
    const unsigned char *at;
    size_t size;
} span;

/* ---- framing ---- */

static uint64_t little(span s, size_t offset, size_t bytes)
{
    uint64_t value = 0;
    assert_true(offset + bytes <= s.size);
    for (size_t i = 0; i < bytes; i++) value |= (uint64_t)s.at[offset + i] << 8 * i;
    return value;
}

/* RFC 3720, bit by bit. */
static uint32_t masked_crc(span s)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < s.size; i++) {
        crc ^= s.at[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

/* The content of the record at *offset, which moves behind it. */
static span next_record(span file, size_t *offset)
{
    uint64_t length = little(file, *offset, 8);
    assert_int_equal(masked_crc((span){file.at + *offset, 8}), little(file, *offset + 8, 4));
    assert_true(length <= file.size - *offset - 12);
    span content = {file.at + *offset + 12, (size_t)length};
    *offset += 12 + content.size;
    assert_int_equal(masked_crc(content), little(file, *offset, 4));
    *offset += 4;
    return content;
}

/* ---- wire format ---- */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

typedef struct field {
    uint64_t number, value; /* value: of every type but BYTES */
    int type;
    span bytes;
} field;

static uint64_t varint(span *s)
{
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(s->size > 0 && shift < 64);
        unsigned char byte = *s->at++;
        s->size--;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return value;
    }
}

static span take(span *s, size_t size)
{
    assert_true(size <= s->size);
    span taken = {s->at, size};
    s->at += size;
    s->size -= size;
    return taken;
}

static field next_field(span *message)
{
    uint64_t key = varint(message);
    field f = {.number = key >> 3, .type = (int)(key & 7)};
    if (f.type == VARINT)
        f.value = varint(message);
    else if (f.type == FIXED64)
        f.value = little(take(message, 8), 0, 8);
    else if (f.type == FIXED32)
        f.value = little(take(message, 4), 0, 4);
    else if (f.type == BYTES)
        f.bytes = take(message, (size_t)varint(message));
    else
        fail_msg("wire type %d", f.type);
    return f;
}

/* The last field of that number; none: a field of type -1. */
static field find(span message, uint64_t number, int type)
{
    field found = {.type = -1};
    while (message.size > 0) {
        field f = next_field(&message);
        if (f.number != number) continue;
        assert_int_equal(f.type, type);
        found = f;
    }
    return found;
}

static double as_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double as_float(uint64_t bits)
{
    uint32_t half = (uint32_t)bits;
    float value;
    memcpy(&value, &half, sizeof value);
    return (double)value;
}

/* ---- messages: field numbers of TensorFlow's event.proto, summary.proto, tensor.proto ---- */

static bool is(span s, const char *text)
{
    return s.size == strlen(text) && memcmp(s.at, text, s.size) == 0;
}

static void print_bytes(FILE *out, span s)
{
    fwrite(s.at, 1, s.size, out);
}

static void print_histogram(FILE *out, span tensor)
{
    span shape = find(tensor, 2, BYTES).bytes;
    uint64_t rows = find(next_field(&shape).bytes, 1, VARINT).value;
    assert_int_equal(find(next_field(&shape).bytes, 1, VARINT).value, 3);
    assert_int_equal(shape.size, 0);
    assert_int_equal(find(tensor, 1, VARINT).value, 2); /* DT_DOUBLE */
    span values = find(tensor, 6, BYTES).bytes;
    assert_int_equal(values.size, rows * 3 * 8);
    for (size_t i = 0; i < rows; i++)
        fprintf(out, " %g:%g:%.17g", as_double(little(values, 24 * i, 8)),
                as_double(little(values, 24 * i + 8, 8)), as_double(little(values, 24 * i + 16, 8)));
}

static void print_text(FILE *out, span tensor)
{
    assert_int_equal(find(tensor, 1, VARINT).value, 7); /* DT_STRING */
    assert_int_equal(find(tensor, 2, BYTES).bytes.size, 0);
    fputc(' ', out);
    print_bytes(out, find(tensor, 8, BYTES).bytes);
}

static void print_value(FILE *out, uint64_t step, span value)
{
    span tag = find(value, 1, BYTES).bytes, metadata = find(value, 9, BYTES).bytes,
         tensor = find(value, 8, BYTES).bytes;
    field scalar = find(value, 2, FIXED32);
    span plugin = find(find(metadata, 1, BYTES).bytes, 1, BYTES).bytes;
    bool text = is(plugin, "text");
    assert_true(tag.size > 0);
    fprintf(out, "%llu %s ", (unsigned long long)step,
            scalar.type >= 0 ? "scalar"
            : text           ? "text"
                             : "histogram");
    print_bytes(out, tag);
    if (scalar.type >= 0) {
        assert_int_equal(metadata.size + tensor.size, 0);
        fprintf(out, " %.9g", as_float(scalar.value));
    } else {
        assert_int_equal(find(metadata, 4, VARINT).value, 2); /* DATA_CLASS_TENSOR */
        assert_true(text || is(plugin, "histograms"));
        (text ? print_text : print_histogram)(out, tensor);
    }
    fputc('\n', out);
}

static double print_event(FILE *out, span event)
{
    field version = find(event, 3, BYTES);
    uint64_t step = find(event, 2, VARINT).value;
    span summary = find(event, 5, BYTES).bytes;
    if (version.type >= 0) {
        assert_int_equal(summary.size, 0);
        fprintf(out, "%llu version ", (unsigned long long)step);
        print_bytes(out, version.bytes);
        fputc('\n', out);
    }
    while (summary.size > 0) {
        field f = next_field(&summary);
        assert_true(f.number == 1 && f.type == BYTES);
        print_value(out, step, f.bytes);
    }
    return as_double(find(event, 1, FIXED64).value);
}

char *events_list(const char *path, size_t *ends, size_t room, size_t *count)
{
    char *bytes = NULL, *list = NULL;
    size_t size = 0, list_size = 0, n = 0;
    double before = 1.7e9; /* 2023 */
    MO_CHECK_OK(mo_read_file(path, SIZE_MAX / 4, &bytes, &size));
    FILE *out = open_memstream(&list, &list_size);
    span file = {(const unsigned char *)bytes, size};
    for (size_t offset = 0; offset < size; n++) {
        double time = print_event(out, next_record(file, &offset));
        assert_true(time >= before);
        before = time;
        assert_true(!ends || n < room);
        if (ends) ends[n] = offset;
    }
    fclose(out);
    mo_free(bytes);
    if (count) *count = n;
    return list;
}
