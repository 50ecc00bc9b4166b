/* sp_wire.h -- Protocol Buffers' wire format, read field by field. */
#ifndef MOIRA_SP_WIRE_H
#define MOIRA_SP_WIRE_H

#include <moira/base.h>

enum { MO__WIRE_VARINT = 0, MO__WIRE_64 = 1, MO__WIRE_BYTES = 2, MO__WIRE_32 = 5 };

typedef struct mo__wire { /* starts as {bytes, bytes + size} */
    const unsigned char *at, *end;
} mo__wire;

typedef struct mo__wire_field {
    int number, type;
    uint64_t value;             /* varint and fixed types */
    const unsigned char *bytes; /* MO__WIRE_BYTES: borrowed */
    size_t size;
} mo__wire_field;

/* The next field; false at the end, and, with *bad set, where the bytes are no message. */
bool mo__wire_next(mo__wire *w, mo__wire_field *out, bool *bad);

#endif
