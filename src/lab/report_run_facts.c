/* report_run_facts.c -- the head of a run's report: how the run is, in a sentence, and what it is of. */
#include <math.h>

#include "base/units.h"
#include "lab/report_run.h"
#include "lab/run_facts.h"

static const mo_step_report *last_line(const mo__run_page *p)
{
    return p->m->n_lines > 0 ? &p->m->lines[p->m->n_lines - 1] : NULL;
}

static void say_best(const mo__run_page *p)
{
    const mo_step_report *best = mo__run_best(p->m);
    if (!best) return;
    char bits[48] = "";
    if (isfinite(best->bits_per_byte))
        snprintf(bits, sizeof bits, "; %.4f bits per byte", best->bits_per_byte);
    mo__html_paragraph(&p->report->html, "answer",
                       "Lowest validation loss: %.4f nats per token at step %s (perplexity %.4g%s).",
                       best->validation_loss, mo__count(best->step).text, exp(best->validation_loss), bits);
}

/* Whether the run is over, and if not, how far it is. */
static void say_state(const mo__run_page *p)
{
    mo__html *h = &p->report->html;
    const mo_step_report *last = last_line(p);
    int64_t steps = mo_run_steps(&p->m->config);
    if (!last) {
        mo__html_paragraph(h, "warning",
                           "Nothing is known of this run yet: it has not written a line of metrics.");
    } else if (p->m->end != MO_RUN_GOES_ON) {
        mo__html_paragraph(h, NULL, "The run is over: %s.", mo__run_end_words(p->m->end));
    } else if (mo_run_held(p->m->dir)) {
        mo__html_paragraph(h, NULL, "The run goes on: when this page was made it was at step %s%s%s.",
                           mo__count(last->step).text, steps ? " of " : "",
                           steps ? mo__count(steps).text : "");
    } else {
        mo__html_paragraph(
            h, "warning", "The run was stopped before its end: its last line of metrics is of step %s%s%s.",
            mo__count(last->step).text, steps ? " of " : "", steps ? mo__count(steps).text : "");
        mo__html_paragraph(h, "note", "To go on with it: moira train %s/config.yaml --resume", p->m->dir);
    }
    if (p->m->torn)
        mo__html_paragraph(h, "note", "metrics.jsonl ends in the middle of a line, which is left out.");
}

static void say_model(const mo__run_page *p)
{
    mo__html *h = &p->report->html;
    mo_model_config resolved = p->m->config.model, *c = &resolved;
    const mo_model_count *n = &p->m->count;
    mo_model_config_resolve(c);
    if (n->total > 0) {
        mo__html_fact(h, "Parameters", "%s", mo__count(n->total).text);
        mo__html_fact(h, "Parameters that a token uses", "%s", mo__count(n->active).text);
        if (n->trainable < n->total)
            mo__html_fact(h, "Parameters that train", "%s", mo__count(n->trainable).text);
        mo__html_fact(h, "Training FLOPs per token", "%s", mo__short(n->flops_per_token).text);
    }
    mo__html_fact(h, "Layers", "%s of width %s", mo__count(c->num_hidden_layers).text,
                  mo__count(c->hidden_size).text);
    if (c->num_local_experts == 0) {
        mo__html_fact(h, "Experts", "none, feed-forward of %s", mo__count(c->intermediate_size).text);
        return;
    }
    mo__html_fact(h, "Experts", "%s of width %s", mo__count(c->num_local_experts).text,
                  mo__count(c->moe_intermediate_size).text);
    mo__html_fact(h, "Router", "%s, %g experts per token", mo_router_names[c->router],
                  mo_model_config_experts_per_token(c));
    if (c->n_shared_experts > 0)
        mo__html_fact(h, "Shared experts", "%s", mo__count(c->n_shared_experts).text);
    if (c->capacity_factor > 0) mo__html_fact(h, "Capacity factor", "%g", c->capacity_factor);
}

static void say_balance(const mo__run_page *p)
{
    const mo_balance_config *c = &p->m->config.balance;
    mo__buffer text = {0};
    char *words = NULL;
    if (p->m->config.model.num_local_experts == 0) return;
    for (int k = 0; k < MO_BALANCE_LOSSES; k++)
        if (mo_balance_coefficient(c, k) > 0)
            mo__buffer_add(&text, "%s%s %g", text.size ? ", " : "", mo_balance_names[k],
                           mo_balance_coefficient(c, k));
    if (c->bias_update_rate > 0)
        mo__buffer_add(&text, "%sbias at rate %g", text.size ? ", " : "", c->bias_update_rate);
    mo_status status = mo__buffer_finish(&text, MO_OK, &words);
    if (status == MO_OK)
        mo__html_fact(&p->report->html, "Balancing, with coefficients", "%s", *words ? words : "none");
    else
        p->report->status = status;
    mo_free(words);
}

static void say_training(const mo__run_page *p)
{
    static const char *const schedules[] = {[MO_SCHEDULE_COSINE] = "cosine",
                                            [MO_SCHEDULE_LINEAR] = "linear",
                                            [MO_SCHEDULE_WSD] = "warm-up, stable, decay",
                                            [MO_SCHEDULE_CONSTANT] = "constant"};
    mo__html *h = &p->report->html;
    const mo_run_config *c = &p->m->config;
    for (int64_t i = 0; i < c->data.mixture.count; i++)
        mo__html_fact(h, "Data", "%s (weight %g)", c->data.mixture.at[i].path, c->data.mixture.at[i].weight);
    if (c->data.mixture.count == 0) mo__html_fact(h, "Data", "%s", c->data.path);
    if (*c->init.from) mo__html_fact(h, "Begun from", "%s", c->init.from);
    mo__html_fact(h, "A step reads", "%s of %s",
                  mo__counted(p->m->step_tokens / c->train.sequence_length, "sequence").text,
                  mo__counted(c->train.sequence_length, "token").text);
    mo__html_fact(h, "Learning rate, peak", "%g, %s", c->optimizer.learning_rate,
                  schedules[c->schedule.kind]);
    mo__html_fact(h, "Seed", "%llu", (unsigned long long)c->run.seed);
}

static void say_course(const mo__run_page *p)
{
    mo__html *h = &p->report->html;
    const mo_step_report *last = last_line(p);
    if (!last) return;
    int64_t steps = mo_run_steps(&p->m->config);
    if (steps > 0)
        mo__html_fact(h, "Steps", "%s of %s", mo__count(last->step).text, mo__count(steps).text);
    else
        mo__html_fact(h, "Steps", "%s", mo__count(last->step).text);
    mo__html_fact(h, "Tokens read", "%s", mo__short(mo__run_tokens(p->m, last)).text);
    if (p->m->count.flops_per_token > 0)
        mo__html_fact(h, "Training FLOPs", "%s",
                      mo__short(mo__run_tokens(p->m, last) * p->m->count.flops_per_token).text);
    mo__html_fact(h, "Time of training", "%s", mo__duration(last->seconds).text);
    double tokens = mo__run_median(p->m, MO__RUN_SPEED), gflops = mo__run_median(p->m, MO__RUN_GFLOPS);
    if (isfinite(tokens))
        mo__html_fact(h, "Tokens per second, median", "%s", mo__count(llround(tokens)).text);
    if (isfinite(gflops)) mo__html_fact(h, "GFLOP/s, median", "%.1f", gflops);
}

void mo__run_report_facts(const mo__run_page *p)
{
    mo__html *h = &p->report->html;
    say_best(p);
    say_state(p);
    mo__html_facts_begin(h);
    say_course(p);
    say_model(p);
    say_balance(p);
    say_training(p);
    mo__html_facts_end(h);
}
