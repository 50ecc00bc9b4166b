/* prepare_learn.h -- a tokenizer learnt from the documents of a corpus that train. */
#ifndef MOIRA_DATA_PREPARE_LEARN_H
#define MOIRA_DATA_PREPARE_LEARN_H

#include "corpus_pass.h"

/* One pass over the corpus, then the training; tells progress of the former and the begin of each. */
mo_status mo__prepare_learn(const mo_prepare_options *options, const mo__pass_plan *plan, mo_tokenizer **out);

#endif
