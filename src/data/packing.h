/* packing.h -- what the data module asks of packing beside mo_packing_create (data.h). */
#ifndef MOIRA_DATA_PACKING_H
#define MOIRA_DATA_PACKING_H

#include <moira/data.h>

/* Memory that a packing of so many documents takes, at most, while it is made. */
uint64_t mo__packing_bytes(int64_t documents, int64_t sequence_length);
/* MO_E_RANGE: a document is longer than a window. */
mo_status mo__packing_fits(const mo_tokens *tokens, int64_t sequence_length);

#endif
