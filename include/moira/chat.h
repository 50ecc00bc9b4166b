/* chat.h -- conversations as tokens: templates, and which tokens a model is to learn.
 *
 *     mo_chat_template *t; MO_TRY(mo_chat_template_open("mixtral", tokenizer, &t));
 *     mo_chat_tokens tokens;
 *     MO_TRY(mo_chat_encode(t, messages, n, false, &tokens));
 *     ... mo_chat_tokens_free(&tokens); mo_chat_template_free(t);
 *
 * A template is an object of JSON (a file of at most 64 KiB), of texts:
 *     bos        in front of everything
 *     system     how a system message is put; without it there can be none
 *     user       around a user's message
 *     reply      in front of an assistant's message; not learnt
 *     assistant  an assistant's message, learnt: text, if any, {content}, and the token that ends it
 *     between    after an assistant's message if another one follows; not learnt
 *     comment    for people
 * user and assistant must be there; {content} is where a message goes, once in user, assistant and system. In
 * a user's text, {system} is where the system message goes, in front of the first user's message only; if it
 * has no {system}, the system message is on its own, before the first user's. {bos} is the tokenizer's begin,
 * or nothing; {eos} its end, or the byte 0 where it has none; {NAME} any other token as the vocabulary writes
 * it, "{<|im_end|>}". {{ and }} are braces.
 *
 * Roles are an optional system message, then user and assistant in turn. Text between two tokens is encoded
 * as one, as it stands: no word mark is put in front. What a message says never becomes a control token:
 * "</s>" in it is four characters. Where a template names a token that a text may give (a symbol, a byte), a
 * message with that text is refused.
 *
 * "mixtral" is Mixtral-8x7B-Instruct-v0.1's,
 *     <s> [INST] user [/INST] assistant</s> [INST] user [/INST] ...
 * with the system message and an empty line in front of the first user's: what Mistral documents for its
 * version-1 tokenizer (mistralai/cookbook, concept-deep-dive/tokenization/templates.md). An older version in
 * circulation, without the spaces, has other tokens than that tokenizer gives. */
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
 * the tokenizer does not have. The tokenizer is borrowed while the template lives; NULL only checks the
 * template, and *out is NULL. Any number of threads may use a template at once. */
mo_status mo_chat_template_open(const char *name_or_path, const mo_tokenizer *tokenizer,
                                mo_chat_template **out);
void mo_chat_template_free(mo_chat_template *t);
/* The whole conversation, or, with `reply`, what an assistant's next message goes on from: the tokens of a
 * reply's conversation begin with those. MO_E_FORMAT: roles that the template cannot say in this order, or a
 * text that it refuses. */
mo_status mo_chat_encode(const mo_chat_template *t, const mo_chat_message *messages, int n, bool reply,
                         mo_chat_tokens *out);
/* What follows an assistant's message when the user says `content` next, up to where the reply begins. */
mo_status mo_chat_encode_next(const mo_chat_template *t, const char *content, size_t size,
                              mo_chat_tokens *out);
void mo_chat_tokens_free(mo_chat_tokens *tokens);
/* The token that ends an assistant's message. */
int32_t mo_chat_end(const mo_chat_template *t);
/* Whether the template names the token: what an assistant says is over where one comes, be it the end or not.
 */
bool mo_chat_is_mark(const mo_chat_template *t, int32_t id);
/* The text that an assistant's message begins with before its content: *size bytes, borrowed. */
const char *mo_chat_lead(const mo_chat_template *t, size_t *size);

#ifdef __cplusplus
}
#endif
#endif
