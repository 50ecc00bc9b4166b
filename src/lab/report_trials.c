/* report_trials.c -- every trial and where it is; those that failed first, with what they said. */
#include <math.h>

#include "base/units.h"
#include "lab/experiment_facts.h"
#include "lab/report_experiment.h"

enum { MOST_FAILED = 100, MOST_TRIALS = 300 };

static void list_failed(const mo__experiment_page *page)
{
    const mo_lab_results *r = page->results;
    mo__html *h = &page->report->html;
    int failed = mo__tally_of(r).failed, shown = 0;
    if (failed == 0) return;
    mo__html_section_begin(h, "Trials that failed");
    mo__html_table_begin(h, NULL, "=Trial|>Seed|>Step|<What it said");
    for (int i = 0; i < r->n_trials && shown < MOST_FAILED; i++) {
        const mo_lab_trial *t = &r->trials[i];
        if (t->state != MO_TRIAL_FAILED) continue;
        shown++;
        mo__html_row(h, "failed");
        mo__html_cell(h, "%s", t->name);
        mo__html_cell(h, "%llu", (unsigned long long)t->seed);
        mo__html_cell(h, "%s", mo__count(t->step).text);
        mo__html_cell(h, "%s", t->message ? t->message : "");
    }
    mo__html_table_end(h);
    if (shown < failed)
        mo__html_paragraph(h, "note", "The first %d of %d; all of them are in trials.csv.", shown, failed);
    mo__html_paragraph(h, "note",
                       "Their run folders are in %s, with all that they said in log.txt. The same command "
                       "with --retry tries them once more.",
                       "trials/");
    mo__html_section_end(h);
}

static void row_of(const mo__experiment_page *page, const mo_lab_trial *t, bool tuned, bool routed)
{
    mo__html *h = &page->report->html;
    if (t->state == MO_TRIAL_FAILED) mo__html_row(h, "failed");
    mo__html_cell(h, "%s", t->name);
    mo__html_cell(h, "%s", mo__lab_stage(t->stage));
    mo__html_cell(h, "%llu", (unsigned long long)t->seed);
    if (tuned) mo__html_cell(h, "%s", t->tuned ? t->tuned : "-");
    mo__html_cell(h, "%s", mo__lab_state(t->state));
    mo__html_cell(h, "%s of %s", mo__count(t->step).text, mo__count(t->target_step).text);
    mo__html_cell(h, "%s", mo__fixed(t->loss, 4).text);
    mo__html_cell(h, "%s", t->seconds > 0 ? mo__duration(t->seconds).text : "-");
    mo__html_cell(h, "%s", mo__fixed(1000 * t->step_seconds, 1).text);
    if (!routed) return;
    mo__html_cell(h, "%s", mo__fixed(t->max_vio, 3).text);
    mo__html_cell(h, "%s", mo__fixed(t->entropy, 3).text);
    mo__html_cell(h, "%s%s", mo__fixed(100 * t->dropped, 1).text, isnan(t->dropped) ? "" : "%");
}

void mo__report_trials(const mo__experiment_page *page)
{
    const mo_lab_results *r = page->results;
    mo__html *h = &page->report->html;
    bool tuned = false, routed = false;
    list_failed(page);
    if (r->n_trials == 0) return;
    for (int i = 0; i < r->n_trials; i++) {
        tuned = tuned || r->trials[i].tuned;
        routed = routed || !isnan(r->trials[i].max_vio);
    }
    mo__html_section_begin(h, "All trials");
    mo__html_table_begin(h, NULL, "=Trial|=Stage|>Seed");
    if (tuned) mo__html_column(h, true, r->tune_key ? mo__lab_short_key(r, r->tune_key) : "Tuned");
    mo__html_column(h, false, "State");
    mo__html_column(h, true, "Step");
    mo__html_column(h, true, "Loss, nats per token");
    mo__html_column(h, true, "Training time");
    mo__html_column(h, true, "Milliseconds per step");
    if (routed) {
        mo__html_column(h, true, "Max violation");
        mo__html_column(h, true, "Entropy, nats");
        mo__html_column(h, true, "Dropped");
    }
    for (int i = 0; i < r->n_trials && i < MOST_TRIALS; i++) row_of(page, &r->trials[i], tuned, routed);
    mo__html_table_end(h);
    if (r->n_trials > MOST_TRIALS)
        mo__html_paragraph(h, "note", "The first %d of %d trials; all of them are in trials.csv.",
                           MOST_TRIALS, r->n_trials);
    mo__html_paragraph(h, "note", "Loss: validation loss at the step that the trial had to get to.");
    mo__html_section_end(h);
}
