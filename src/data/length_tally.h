/* length_tally.h -- counts lengths of documents as they come, in constant memory (mo_lengths in
 * moira/data.h). */
#ifndef MOIRA_DATA_LENGTH_TALLY_H
#define MOIRA_DATA_LENGTH_TALLY_H

#include <moira/data.h>

typedef struct mo__length_tally mo__length_tally;
mo_status mo__length_tally_create(mo__length_tally **out);
void mo__length_tally_add(mo__length_tally *t, int64_t length); /* at least 1 */
void mo__length_tally_sum(const mo__length_tally *t, mo_lengths *out);
void mo__length_tally_free(mo__length_tally *t);

#endif
