/* chat_template.h -- a template and its tokenizer. */
#ifndef MOIRA_DATA_CHAT_TEMPLATE_H
#define MOIRA_DATA_CHAT_TEMPLATE_H

#include "chat_pieces.h"

/* A token that a text may give: messages must not have that text. */
typedef struct mo__chat_guard {
    char *text;
    size_t size;
    const char *name; /* of an element */
} mo__chat_guard;

struct mo_chat_template {
    const mo_tokenizer *tokenizer;
    mo__chat_piece pieces[MO__CHAT_PIECES];
    mo__chat_guard *guards;
    int n_guards;
    int32_t end;
};

#endif
