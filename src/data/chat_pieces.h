/* chat_pieces.h -- the texts of a template, taken apart; no tokenizer is known yet. */
#ifndef MOIRA_DATA_CHAT_PIECES_H
#define MOIRA_DATA_CHAT_PIECES_H

#include <moira/chat.h>

typedef enum mo__chat_kind {
    MO__CHAT_TEXT,
    MO__CHAT_TOKEN,   /* by name; {bos} and {eos} are settled with the tokenizer */
    MO__CHAT_CONTENT, /* {content} */
    MO__CHAT_SYSTEM   /* {system} */
} mo__chat_kind;

typedef struct mo__chat_element {
    mo__chat_kind kind;
    char *text; /* a text, or a token's name; NUL-terminated */
    size_t size;
    int32_t id; /* of a token, once it is bound; -1: nothing */
} mo__chat_element;

typedef struct mo__chat_piece {
    mo__chat_element *at;
    int count;
    bool given;
} mo__chat_piece;

enum {
    MO__CHAT_BOS,
    MO__CHAT_SYSTEM_PIECE,
    MO__CHAT_USER_PIECE,
    MO__CHAT_REPLY,
    MO__CHAT_ASSISTANT_PIECE,
    MO__CHAT_BETWEEN,
    MO__CHAT_PIECES
};
extern const char *const mo__chat_piece_names[MO__CHAT_PIECES];

/* A built-in template's, or a file's. Starts anew; free what there is whatever the status. */
mo_status mo__chat_pieces_read(const char *name_or_path, mo__chat_piece pieces[MO__CHAT_PIECES]);
void mo__chat_pieces_free(mo__chat_piece pieces[MO__CHAT_PIECES]);

#endif
