/* chat.h -- conversations as tokens: templates, and which tokens a model is to learn.
 *
 *     mo_chat_template *t; MO_TRY(mo_chat_template_open("mixtral", tokenizer, &t));
 *     mo_chat_tokens tokens;
 *     MO_TRY(mo_chat_encode(t, messages, n, false, &tokens));
 *     ... mo_chat_tokens_free(&tokens); mo_chat_template_free(t); */
#ifndef MOIRA_CHAT_H
#define MOIRA_CHAT_H

#include "moira/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mo_chat_role { MO_CHAT_SYSTEM, MO_CHAT_USER, MO_CHAT_ASSISTANT, MO_CHAT_ROLES } mo_chat_role;
extern const char *const mo_chat_role_names[]; /* "system", "user", "assistant", NULL */
typedef struct mo_chat_message {
    mo_chat_role role;
    const char *content;
    size_t size;
} mo_chat_message;

typedef struct mo_chat_tokens {
    int32_t *ids;
    uint8_t *mask; /* 1: said by the assistant, its end included: what is learnt */
    int64_t count;
} mo_chat_tokens;

typedef struct mo_chat_template mo_chat_template;
/* Names of the templates that are built in, NULL at the end. */
extern const char *const mo_chat_template_names[];
/* A built-in template, or a file of JSON. MO_E_NOT_FOUND, MO_E_FORMAT; MO_E_MISMATCH for a special token that
 * the tokenizer does not have. The tokenizer is borrowed while the template lives. */
mo_status mo_chat_template_open(const char *name_or_path, const mo_tokenizer *tokenizer,
                                mo_chat_template **out);
void mo_chat_template_free(mo_chat_template *t);
/* The whole conversation, or, with `reply`, what an assistant's next message goes on from. MO_E_FORMAT: roles
 * that the template cannot say in this order. */
mo_status mo_chat_encode(const mo_chat_template *t, const mo_chat_message *messages, int n, bool reply,
                         mo_chat_tokens *out);
void mo_chat_tokens_free(mo_chat_tokens *tokens);
/* The token that ends an assistant's message. */
int32_t mo_chat_end(const mo_chat_template *t);

#ifdef __cplusplus
}
#endif
#endif
