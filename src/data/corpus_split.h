/* corpus_split.h -- which document validates. */
#ifndef MOIRA_DATA_CORPUS_SPLIT_H
#define MOIRA_DATA_CORPUS_SPLIT_H

#include <moira/tokenfile.h>

/* Of document `index` (from 0) of a corpus of several, when a share `validation` of them is to validate: run
 * k is the documents round(k / v) .. round((k + 1) / v), and of each run one document, drawn by (seed, k),
 * validates. Of the first run it is the second document, so that two documents are one of each. A share v
 * above a half is 1 - v for training, drawn likewise; of the first run the first document then trains. */
mo_split mo__split_of(double validation, uint64_t seed, int64_t index);

/* Of n bytes of a corpus of one document, those that train: the first floor((1 - v) n). */
int64_t mo__split_bytes(double validation, int64_t n);

#endif
