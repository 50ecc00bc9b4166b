/* lab_view.c -- see lab_view.h. */
#include "lab_view.h"

#include <math.h>
#include <string.h>

#include "config/buffer.h"
#include "base/units.h"
#include "lab/experiment_facts.h"
#include "session.h"
#include "terminal.h"

enum { MOST_LINES = 200, LINE = 256 };
static const double PLAIN_SECONDS = 30;

/* ---- where the trials are ---- */

typedef struct tally {
    int done, failed, running, waiting, over;
    int64_t steps, left; /* done, and to be done, of trials that have not failed */
    const mo_lab_trial *best;
} tally;

/* Only losses of one step can be told from one another. */
static bool better(const mo_lab_trial *t, const mo_lab_trial *than)
{
    if (t->stage != MO_STAGE_MAIN || t->state != MO_TRIAL_DONE || isnan(t->loss)) return false;
    return !than || t->rung > than->rung || (t->rung == than->rung && t->loss < than->loss);
}

static tally count(const mo_lab_progress *p)
{
    tally n = {0};
    for (int i = 0; i < p->results->n_trials; i++) {
        const mo_lab_trial *t = &p->results->trials[i];
        n.done += t->state == MO_TRIAL_DONE;
        n.failed += t->state == MO_TRIAL_FAILED;
        n.waiting += t->state == MO_TRIAL_WAITING;
        if (better(t, n.best)) n.best = t;
        if (t->state == MO_TRIAL_FAILED) continue;
        n.steps += t->step;
        n.left += t->target_step > t->step ? t->target_step - t->step : 0;
    }
    for (int i = 0; i < p->n_live; i++) {
        int64_t more = p->live[i].step - p->results->trials[p->live[i].trial].step;
        n.steps += more;
        n.left -= more;
    }
    n.running = p->n_live;
    n.over = n.done + n.failed;
    n.waiting = p->results->n_trials - n.over - n.running;
    return n;
}

/* By the steps that were made since the beginning, whichever trials made them. */
static double seconds_left(const mo__lab_view *v, const tally *n)
{
    double spent = mo_clock() - v->begin;
    int64_t made = n->steps - v->steps;
    return made > 0 ? spent / (double)made * (double)n->left : (double)NAN;
}

/* "(router=topk, num_local_experts=4)": what tells a sweep's variant from others; "" of a comparison. Owned.
 */
static char *chosen_text(const mo_lab_results *r, int variant)
{
    const mo_lab_settings *chosen = &r->variants[variant].chosen;
    mo__buffer text = {0};
    char *out = NULL;
    for (int i = 0; i < chosen->count; i++)
        mo__buffer_add(&text, "%s%s=%s", i ? ", " : "  (", mo__lab_short_key(r, chosen->at[i].key),
                       chosen->at[i].value);
    mo__buffer_add(&text, "%s", chosen->count ? ")" : "");
    return mo__buffer_finish(&text, MO_OK, &out) == MO_OK ? out : NULL;
}

static void write_totals(const mo__lab_view *v, const mo_lab_progress *p, char *out, size_t size)
{
    tally n = count(p);
    double left = seconds_left(v, &n);
    char failed[32] = "";
    if (n.failed) snprintf(failed, sizeof failed, ", %d failed", n.failed);
    snprintf(out, size, "%d of %d trials done%s, %d running, %d waiting; %s%s", n.done, p->results->n_trials,
             failed, n.running, n.waiting,
             p->stopping   ? "stopping when they have saved"
             : isnan(left) ? "time left not known yet"
                           : mo__duration(left).text,
             p->stopping || isnan(left) ? "" : " left");
}

/* False: nothing is done yet. */
static bool write_best(const mo_lab_progress *p, char *out, size_t size)
{
    const mo_lab_trial *best = count(p).best;
    if (!best) return false;
    char *chosen = chosen_text(p->results, best->variant);
    snprintf(out, size, "best %.60s, validation loss %.4f%s", best->name, best->loss, chosen ? chosen : "");
    mo_free(chosen);
    return true;
}

/* ---- lines of what ended ---- */

/* The how manieth it is that ended. Rungs of halving end trials more than once: they have the rung's number.
 */
static void write_place(const mo__lab_view *v, const mo_lab_progress *p, const mo_lab_trial *t, char *out,
                        size_t size)
{
    if (!p->results->compare && p->results->strategy == MO_LAB_HALVING)
        snprintf(out, size, "rung %d", t->rung + 1);
    else
        snprintf(out, size, "%4d of %d", v->over, p->results->n_trials);
}

static void print_end(mo__lab_view *v, const mo_lab_progress *p, const mo_lab_trial *t)
{
    char place[48], *chosen = chosen_text(p->results, t->variant);
    const char *settings = chosen ? chosen : "";
    v->over++;
    write_place(v, p, t, place, sizeof place);
    if (t->state == MO_TRIAL_FAILED)
        mo__line("%s  %s  failed: %s%s", place, t->name,
                 t->message ? t->message : "no memory for what it said", settings);
    else
        mo__line("%s  %s  step %s  validation loss %s  %s%s", place, t->name, mo__count(t->step).text,
                 mo__fixed(t->loss, 4).text, mo__duration(t->seconds).text, settings);
    mo_free(chosen);
}

static bool over(mo_lab_state state)
{
    return state == MO_TRIAL_DONE || state == MO_TRIAL_FAILED;
}

/* Trials that were over when the view began are not told of. */
static bool make_room(mo__lab_view *v, const mo_lab_results *r)
{
    if (r->n_trials <= v->n_states) return true;
    mo_lab_state *states = mo_realloc(v->states, (size_t)r->n_trials * sizeof *states);
    if (!states) return false;
    for (int i = v->n_states; i < r->n_trials; i++)
        states[i] = v->n_states == 0 ? r->trials[i].state : MO_TRIAL_WAITING;
    v->states = states;
    v->n_states = r->n_trials;
    return true;
}

static void print_ends(mo__lab_view *v, const mo_lab_progress *p)
{
    const mo_lab_results *r = p->results;
    for (int i = 0; i < r->n_trials; i++) {
        if (over(r->trials[i].state) && !over(v->states[i])) print_end(v, p, &r->trials[i]);
        v->states[i] = r->trials[i].state;
    }
}

/* ---- those that run ---- */

static void write_live(const mo_lab_progress *p, const mo_lab_live *l, int width, char *out, size_t size)
{
    const mo_lab_trial *t = &p->results->trials[l->trial];
    int64_t made = l->step - l->from;
    double left = made > 0 ? l->since / (double)made * (double)(t->target_step - l->step) : (double)NAN;
    snprintf(out, size, "%-*.60s %9.20s of %-9.20s %10.20s  %.20s%s", width, t->name, mo__count(l->step).text,
             mo__count(t->target_step).text, mo__fixed(l->train_loss, 4).text,
             isnan(left) ? "-" : mo__duration(left).text, l->another ? "  (another process's)" : "");
}

static void draw(const mo__lab_view *v, const mo_lab_progress *p)
{
    static char text[MOST_LINES][LINE];
    char *lines[MOST_LINES];
    int room = mo__live_rows(), n = 0, width = 5;
    if (room > MOST_LINES) room = MOST_LINES;
    for (int i = 0; i < MOST_LINES; i++) lines[i] = text[i];
    for (int i = 0; i < p->n_live; i++) {
        int length = (int)strlen(p->results->trials[p->live[i].trial].name);
        if (length > width) width = length < 60 ? length : 60;
    }
    write_totals(v, p, text[n++], LINE);
    if (n < room && write_best(p, text[n], LINE)) n++;
    if (p->n_live > 0 && n < room)
        snprintf(text[n++], LINE, "%-*s %9s    %-9s %10s  left", width, "trial", "step", "", "train loss");
    int shown = p->n_live <= room - n ? p->n_live : room - n - 1;
    for (int i = 0; i < shown; i++) write_live(p, &p->live[i], width, text[n++], LINE);
    if (shown >= 0 && shown < p->n_live) snprintf(text[n++], LINE, "and %d more", p->n_live - shown);
    mo__live_lines(lines, n);
}

/* ---- the beginning ---- */

static void print_beginning(const mo__lab_view *v, const mo_lab_progress *p)
{
    static const char *const strategies[] = {"grid", "random", "halving"};
    const mo_lab_results *r = p->results;
    tally n = count(p);
    mo__line("%-12s %s, in %s", r->compare ? "comparison" : "sweep", r->name, v->spec->dir);
    mo__line("%-12s %s%s%s, %s; %s so far", "trials", mo__counted(r->n_variants, "variant").text,
             r->compare ? "" : " by ", r->compare ? "" : strategies[r->strategy],
             mo__counted(v->spec->n_seeds, "seed").text, mo__counted(r->n_trials, "trial").text);
    if (n.over > 0) mo__line("%-12s %d done, %d failed: they stay as they are", "before", n.done, n.failed);
    if (n.running + n.waiting > 0)
        mo__line("%-12s %s at a time\n", "running", mo__counted(v->jobs, "trial").text);
}

/* ---- all of it ---- */

void mo__lab_view_progress(const mo_lab_progress *p, void *user)
{
    mo__lab_view *v = user;
    double now = mo_clock();
    mo__session_begin_work();
    if (!make_room(v, p->results)) return;
    if (v->begin == 0) {
        v->begin = v->told = now;
        v->steps = count(p).steps;
        v->over = count(p).over;
        print_beginning(v, p);
    }
    print_ends(v, p);
    if (mo__live()) {
        draw(v, p);
    } else if (now - v->told >= PLAIN_SECONDS || (p->stopping && !v->stopping)) {
        char line[LINE];
        write_totals(v, p, line, sizeof line);
        mo__line("%s", line);
        if (write_best(p, line, sizeof line)) mo__line("%s", line);
        v->told = now;
    }
    v->stopping = p->stopping;
}

void mo__lab_view_free(mo__lab_view *view)
{
    mo__live_clear();
    mo_free(view->states);
    view->states = NULL;
    view->n_states = 0;
}
