/* routing_json.h -- a mo_routing as JSON: of moira inspect --routing --json, and of routing.jsonl. */
#ifndef MOIRA_TRAIN_ROUTING_JSON_H
#define MOIRA_TRAIN_ROUTING_JSON_H

#include <jansson.h>

#include "moira/routing.h"

/* One object: layer, experts, tokens, choices; load, max_vio, cv, entropy, top1, dropped, z; dead: the
 * experts that are; domains: [{name, choices: [E]}], mutual_information, mutual_information_corrected
 * and domain_entropy in bits; coactivation: [E][E] tokens that visit both experts, on the diagonal those that
 * visit the one. What is NaN, or was not counted, is null. With a tokenizer also lift: [E][E] coactivation
 * over what independence would give, and of each expert routed_tokens: {frequent: [{id, text, count, all,
 * lift}], own: [...]}. NULL without memory. */
json_t *mo__routing_layer_json(const mo_routing *routing, int layer, const mo_tokenizer *tokenizer);

#endif
