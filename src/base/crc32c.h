/* crc32c.h -- CRC-32C, the checksum of iSCSI (RFC 3720, 12.1) and of TFRecord files. */
#ifndef MOIRA_BASE_CRC32C_H
#define MOIRA_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of the bytes alone: 32 bytes of zero give 0x8a9136aa. */
uint32_t mo__crc32c(const void *bytes, size_t size);

#endif
