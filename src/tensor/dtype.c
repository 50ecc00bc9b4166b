#include "moira/tensor.h"

size_t mo_dtype_size(mo_dtype dtype)
{
    switch (dtype) {
    case MO_REAL:
        return sizeof(mo_real);
    case MO_F64:
        return sizeof(double);
    case MO_I32:
        return sizeof(int32_t);
    case MO_F32:
        return sizeof(float);
    case MO_F16:
    case MO_BF16:
        return sizeof(uint16_t);
    }
    return 0;
}

const char *mo_dtype_name(mo_dtype dtype)
{
    switch (dtype) {
    case MO_REAL:
        return sizeof(mo_real) == sizeof(float) ? "float32" : "float64";
    case MO_F64:
        return "float64";
    case MO_I32:
        return "int32";
    case MO_F32:
        return "float32";
    case MO_F16:
        return "float16";
    case MO_BF16:
        return "bfloat16";
    }
    return "unknown";
}
