/* report_experiment.c -- the answer, how far it can be trusted, and what was asked; then the parts. */
#include "lab/report_experiment.h"

#include <string.h>
#include <time.h>

#include "base/units.h"
#include "lab/experiment_facts.h"

double *mo__report_numbers(mo__report *report, int64_t count)
{
    double *numbers = mo_calloc((size_t)count + 1, sizeof *numbers);
    if (!numbers && report->status == MO_OK) report->status = MO_E_MEMORY;
    return numbers;
}

void mo__report_csv_end(mo__report *report, const char *name, mo__csv *csv)
{
    char *text;
    mo_status status = mo__buffer_finish(&csv->out, MO_OK, &text);
    if (status == MO_OK) {
        mo__report_csv(report, name, text);
        mo_free(text);
    } else if (report->status == MO_OK) {
        report->status = status;
    }
}

/* ---- head ---- */

/* What keeps the answer from being the last word. */
static void warn(const mo__experiment_page *page, const mo__tally *tally)
{
    mo__html *h = &page->report->html;
    if (tally->waiting || tally->running)
        mo__html_paragraph(
            h, "warning",
            "Not over yet: %d of %d trials are done, %d run, %d wait, %d have failed. What is here is of "
            "the trials that are done, and will change.",
            tally->done, tally->all, tally->running, tally->waiting, tally->failed);
    else if (tally->failed)
        mo__html_paragraph(h, "warning",
                           "%d of %d trials have failed and are in no figure; why is said below.",
                           tally->failed, tally->all);
}

static void fact_range(mo__html *h, const char *what, const char *unit, double low, double high)
{
    if (low == high)
        mo__html_fact(h, what, "%s %s", mo__short(low).text, unit);
    else
        mo__html_fact(h, what, "%s to %s %s", mo__short(low).text, mo__short(high).text, unit);
}

static void say_lengths(const mo__experiment_page *page)
{
    const mo_lab_results *r = page->results;
    mo__html *h = &page->report->html;
    double steps[2] = {0}, tokens[2] = {0};
    for (int i = 0; i < r->n_variants; i++) {
        double s = (double)r->variants[i].steps, t = s * (double)r->variants[i].step_tokens;
        if (i == 0 || s < steps[0]) steps[0] = s;
        if (i == 0 || s > steps[1]) steps[1] = s;
        if (i == 0 || t < tokens[0]) tokens[0] = t;
        if (i == 0 || t > tokens[1]) tokens[1] = t;
    }
    if (r->n_variants == 0) return;
    fact_range(h, "A whole trial", "steps", steps[0], steps[1]);
    fact_range(h, "It reads", "tokens", tokens[0], tokens[1]);
}

static void say_facts(const mo__experiment_page *page, const mo__tally *tally)
{
    static const char *const strategies[] = {
        [MO_LAB_GRID] = "grid", [MO_LAB_RANDOM] = "random", [MO_LAB_HALVING] = "successive halving"};
    const mo_lab_results *r = page->results;
    mo__html *h = &page->report->html;
    char begun[48] = "";
    time_t created = (time_t)r->created;
    struct tm utc;
    if (gmtime_r(&created, &utc)) strftime(begun, sizeof begun, "%e %B %Y, %H:%M UTC", &utc);
    mo__html_facts_begin(h);
    mo__html_fact(h, "Kind", "%s%s",
                  r->compare ? "comparison" : "sweep: ", r->compare ? "" : strategies[r->strategy]);
    mo__html_fact(h, "Variants", "%d", r->n_variants);
    mo__html_fact(h, "Seeds of each", "%d", mo__lab_seeds(r));
    mo__html_fact(h, "Trials done", "%d of %d", tally->done, tally->all);
    say_lengths(page);
    mo__html_fact(h, "Begun", "%s", begun);
    if (r->machine) mo__html_fact(h, "Machine", "%s", r->machine);
    if (r->path) mo__html_fact(h, "Results", "%s", r->path);
    mo__html_facts_end(h);
}

static void list_texts(mo__html *h, const char *begin, char **texts, int count)
{
    mo__html_raw(h, begin);
    for (int i = 0; i < count; i++) mo__html_element(h, "li", NULL, "%s", texts[i]);
    mo__html_raw(h, "</ul>\n");
}

/* What is best, with the uncertainty of that; then what else there is to say. */
static void say_answer(const mo__experiment_page *page)
{
    mo__html *h = &page->report->html;
    const mo_answer *a = page->answer;
    const char *rest = page->results->compare ? NULL : strstr(a->sentence, ". What matters");
    int first = rest ? (int)(rest + 1 - a->sentence) : (int)strlen(a->sentence);
    mo__html_paragraph(h, "answer", "%.*s", first, a->sentence);
    if (rest) mo__html_paragraph(h, NULL, "%s", rest + 2);
    if (a->n_findings) list_texts(h, "<ul class=\"findings\">\n", a->findings, a->n_findings);
}

static void say_head(const mo__experiment_page *page)
{
    mo__tally tally = mo__tally_of(page->results);
    say_answer(page);
    warn(page, &tally);
    say_facts(page, &tally);
}

void mo__report_notes(const mo__experiment_page *page)
{
    mo__html *h = &page->report->html;
    if (page->answer->n_notes == 0) return;
    mo__html_section_begin(h, "What this rests on");
    list_texts(h, "<ul>\n", page->answer->notes, page->answer->n_notes);
    mo__html_section_end(h);
}

/* All that the figures were made of. */
static void give_data(const mo__experiment_page *page)
{
    mo__html *h = &page->report->html;
    if (page->report->status == MO_OK)
        page->report->status = mo_lab_results_csv(page->results, page->report->folder);
    mo__html_section_begin(h, "Data");
    mo__html_raw(h, "<p>");
    mo__report_csv_link(page->report, "variants");
    mo__html_text(h, ", what was tried; ");
    mo__report_csv_link(page->report, "trials");
    mo__html_text(h, ", each run; ");
    mo__report_csv_link(page->report, "evaluations");
    mo__html_text(h, ", each validation loss of each.");
    mo__html_raw(h, "</p>\n");
    mo__html_section_end(h);
}

/* ---- all of it ---- */

static void say_what_was_asked(const mo__experiment_page *page)
{
    mo__html *h = &page->report->html;
    if (!page->results->text) return;
    mo__html_section_begin(h, "What was asked");
    mo__html_pre(h, page->results->text);
    mo__html_section_end(h);
}

static mo_status write_page(const mo_lab_results *results, const mo_answer *answer, const char *output,
                            mo_report_made *made)
{
    mo__report report;
    MO_TRY(mo__report_begin(output, results->name, &report));
    mo__experiment_page page = {&report, results, answer};
    say_head(&page);
    if (results->compare)
        mo__report_compare(&page);
    else
        mo__report_sweep(&page);
    mo__report_trials(&page);
    give_data(&page);
    say_what_was_asked(&page);
    return mo__report_end(&report, made);
}

mo_status mo__report_experiment(const mo_lab_results *results, const char *output, mo_report_made *made)
{
    mo_answer answer;
    MO_TRY(mo_answer_of(results, &answer));
    mo_status status = write_page(results, &answer, output, made);
    mo_answer_free(&answer);
    return status;
}
