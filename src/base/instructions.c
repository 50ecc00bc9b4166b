/* instructions.c -- what the compiler was allowed to use when it built this library. */
#include <moira/base.h>

const char *mo_instructions(void)
{
#if defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512DQ__ && defined __AVX512VL__
    return "AVX-512, vectors of 512 bits";
#elif defined __AVX2__ && defined __FMA__
    return "AVX2 and FMA, vectors of 256 bits";
#elif defined __AVX__
    return "AVX, vectors of 256 bits";
#elif defined __x86_64__
    return "SSE2 (any x86-64), vectors of 128 bits";
#elif defined __aarch64__
    return "NEON, vectors of 128 bits";
#else
    return "those of the compiler's default";
#endif
}
