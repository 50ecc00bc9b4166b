/* routing_view.h -- a mo_routing in tables. */
#ifndef MOIRA_CLI_ROUTING_VIEW_H
#define MOIRA_CLI_ROUTING_VIEW_H

#include <moira/routing.h>

/* All layers, a line each. */
mo_status mo__routing_print_layers(const mo_routing *r);
/* One layer: experts and domains, experts that go together, tokens. whole: however many experts there are. */
mo_status mo__routing_print_layer(const mo_routing *r, int layer, const mo_tokenizer *tokenizer, bool whole);

#endif
