/* shape.c -- shapes as text, for messages. */
#include "ops/kernels.h"

mo_shape_text mo_shape(const mo_tensor *t)
{
    mo_shape_text shape = {""};
    size_t room = sizeof shape.text, at = 0;
    if (t->dtype != MO_REAL) at += (size_t)snprintf(shape.text, room, "%s ", mo_dtype_name(t->dtype));
    for (int i = 0; i < t->ndim && at < room; i++)
        at += (size_t)snprintf(shape.text + at, room - at, "%s%lld", i ? ", " : "[", (long long)t->dim[i]);
    if (at < room) snprintf(shape.text + at, room - at, "]");
    return shape;
}
