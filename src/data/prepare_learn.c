/* prepare_learn.c -- the pieces of a pass that train, one after the other, are what a tokenizer learns from.
 */
#include "prepare_learn.h"

typedef struct {
    const mo_prepare_options *options;
    const mo__pass_plan *plan;
    mo__pass *pass;
    mo__pieces pieces;
    int64_t next; /* piece */
    int message;  /* of a piece that is a conversation */
} learner;

static void tell_phase(const mo_prepare_options *o, const char *what)
{
    if (o->phase) o->phase(what, o->user);
}

static mo_status next_batch(learner *l)
{
    const mo_prepare_options *o = l->options;
    MO_TRY(mo__pass_next(l->pass, &l->pieces));
    l->next = 0;
    if (o->progress) o->progress((double)l->pieces.stored, (double)l->plan->files->stored, "bytes", o->user);
    if (l->pieces.last) tell_phase(o, "training the tokenizer");
    return MO_OK;
}

/* The next piece, or the next message of one; of what does not train, nothing. */
static void take(learner *l, const char **text, size_t *size)
{
    const mo__piece *p = &l->pieces.at[l->next];
    const mo_chat_message *m = p->talk ? &p->talk->at[l->message] : NULL;
    bool last = !p->talk || ++l->message == p->talk->count;
    if (p->split == MO_SPLIT_TRAIN) {
        *text = m ? m->content : p->text;
        *size = m ? m->size : p->size;
    }
    if (!last) return;
    l->next++;
    l->message = 0;
}

/* A mo_text_source. */
static mo_status next_text(void *user, const char **text, size_t *size)
{
    learner *l = user;
    *text = NULL;
    *size = 0;
    for (;;) {
        while (l->next < l->pieces.count) {
            take(l, text, size);
            if (*size) return MO_OK;
        }
        if (l->pieces.last) return MO_OK;
        MO_TRY(next_batch(l));
    }
}

mo_status mo__prepare_learn(const mo_prepare_options *options, const mo__pass_plan *plan, mo_tokenizer **out)
{
    learner l = {.options = options, .plan = plan};
    mo_tokenizer_train_options train = {
        .vocab_size = options->train_vocabulary, .next = next_text, .user = &l};
    *out = NULL;
    tell_phase(options, "reading for the tokenizer");
    MO_TRY(mo__pass_open(plan, &l.pass));
    mo_status status = mo_tokenizer_train(&train, out);
    mo__pass_close(l.pass);
    if (status == MO_OK) tell_phase(options, "preparing");
    return status;
}
