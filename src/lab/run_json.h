/* run_json.h -- lines of metrics.jsonl and routing.jsonl as the structs that they were written from, in
 * memory that is freed as one. */
#ifndef MOIRA_LAB_RUN_JSON_H
#define MOIRA_LAB_RUN_JSON_H

#include <jansson.h>

#include "moira/routing.h"

/* Blocks that items are cut from, the newest first. */
struct mo__run_block {
    struct mo__run_block *before;
    size_t used, room; /* bytes of content */
    _Alignas(16) unsigned char content[];
};
/* Zeroed; NULL without memory. */
void *mo__run_take(struct mo__run_block **blocks, int64_t count, size_t size);
void mo__run_blocks_free(struct mo__run_block *blocks);

/* The object of text[size]; *step is its step. NULL, with MO_OK: it is no such line. MO_E_VERSION. */
mo_status mo__run_line_parse(const char *text, size_t size, json_t **out, int64_t *step);

/* loads: those of layers are kept. Pointers go into blocks; blocks NULL: layers and sources are left out.
 * MO_E_CORRUPT: a part of the line is of another kind than it has to be. */
mo_status mo__run_report_read(const json_t *line, bool loads, struct mo__run_block **blocks,
                              mo_step_report *out);
/* A line of routing.jsonl; the caller sets experts_per_token. */
mo_status mo__run_routing_read(const json_t *line, struct mo__run_block **blocks, mo_routing *out);

#endif
