/* routing_json.h -- a mo_routing as JSON: of moira inspect --routing --json, and of routing.jsonl. */
#ifndef MOIRA_TRAIN_ROUTING_JSON_H
#define MOIRA_TRAIN_ROUTING_JSON_H

#include <jansson.h>

#include "moira/routing.h"

/* One object:
 *   layer, experts, tokens, choices
 *   load, max_vio, cv, entropy, top1, top1_weight, dropped, z, dead       as in metrics.jsonl
 *   dead_experts [which], domains [{name, choices [E]}]
 *   mutual_information, mutual_information_corrected, domain_entropy      bits
 *   coactivation [E][E]  tokens that visit both experts, on the diagonal those that visit the one
 * and with a tokenizer also
 *   share [E] of each domain's choices
 *   lift [E][E]          coactivation over what independence would give
 *   routed_tokens [E]    {frequent [{id, text, count, all, lift}], own [...]}
 * What is NaN, or was not counted, is null. NULL without memory. */
json_t *mo__routing_layer_json(const mo_routing *routing, int layer, const mo_tokenizer *tokenizer);

#endif
