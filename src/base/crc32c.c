/* crc32c.c -- CRC-32C: Castagnoli's polynomial 0x1EDC6F41, bits reflected, register and result inverted. */
#include "crc32c.h"

#include <pthread.h>

static uint32_t table[256]; /* what a byte leaves of the register */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
    const uint32_t reflected = 0x82F63B78;
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t rest = byte;
        for (int bit = 0; bit < 8; bit++) rest = rest >> 1 ^ (rest & 1 ? reflected : 0);
        table[byte] = rest;
    }
}

uint32_t mo__crc32c(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint32_t crc = UINT32_MAX;
    pthread_once(&once, fill_table);
    for (size_t i = 0; i < size; i++) crc = table[(crc ^ at[i]) & 0xFF] ^ crc >> 8;
    return ~crc;
}
