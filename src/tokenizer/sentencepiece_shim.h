/* sentencepiece_shim.h -- the little of the SentencePiece library (C++) that is used, for C. No exception and
 * nothing printed comes out. Models must have passed mo__sp_model_check: the library ends the process, or
 * reads out of bounds, where a model is not what it takes for granted.
 *
 * Memory: a large request that is refused is MO_E_MEMORY here. A small one that is refused inside the library
 * can end the process, because its half-made messages do not survive an exception (every one was tried); that
 * is outside what can be caught. */
#ifndef MOIRA_SENTENCEPIECE_SHIM_H
#define MOIRA_SENTENCEPIECE_SHIM_H

#include <moira/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mo__sp_processor mo__sp_processor; /* any number of threads may encode with it at once */

/* model[size] is copied. MO_E_CORRUPT, MO_E_MEMORY. */
mo_status mo__sp_open(const char *model, size_t size, mo__sp_processor **out);
void mo__sp_close(mo__sp_processor *p);
int32_t mo__sp_bos(const mo__sp_processor *p); /* -1: none */
int32_t mo__sp_eos(const mo__sp_processor *p);
/* *ids is owned. */
mo_status mo__sp_encode(const mo__sp_processor *p, const char *text, size_t size, int32_t **ids,
                        int64_t *count);

typedef struct mo__sp_chunk {
    size_t at, size; /* in the bytes */
} mo__sp_chunk;
/* Learns a byte-pair model from chunks of text, each below 65536 characters. *model is owned. MO_E_RANGE with
 * the library's words if it refuses the size or the text. */
mo_status mo__sp_train(const char *bytes, const mo__sp_chunk *chunks, int64_t count, int vocab_size,
                       char **model, size_t *size);

#ifdef __cplusplus
}
#endif
#endif
