/* tokenfile_facts.h -- the facts of mo_corpus_facts that are integer attributes of a token file's root, by
 * name. */
#ifndef MOIRA_DATA_TOKENFILE_FACTS_H
#define MOIRA_DATA_TOKENFILE_FACTS_H

#define MO__CORPUS_FACTS(X) X(files) X(empty_documents) X(bad_lines) X(invalid_utf8) X(vocabulary_used)

#endif
