/* report_run_texts.c -- what a run folder has in words: steps whose loss jumped, the last sample, the config.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/units.h"
#include "lab/report_run.h"

enum { MOST_SPIKES = 10 };
static const size_t MOST_TEXT = (size_t)64 << 20;

/* The file of the run folder as text; NULL: there is none, or it is of no use. */
static char *text_of(const mo__run_page *p, const char *name, size_t *size)
{
    char *path = mo_path_join(p->m->dir, name), *text = NULL;
    if (path && mo_path_exists(path) && mo_read_file(path, MOST_TEXT, &text, size) != MO_OK) text = NULL;
    mo_free(path);
    return text;
}

/* ---- spikes ---- */

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* The highest, in the order of the file; returns how many there are in all. */
static int64_t highest(const char *text, size_t size, json_t *kept[MOST_SPIKES], int *n_kept)
{
    int64_t count = 0;
    for (const char *at = text, *end; (end = memchr(at, '\n', (size_t)(text + size - at))); at = end + 1) {
        json_t *spike = json_loadb(at, (size_t)(end - at), 0, NULL);
        if (!isfinite(number_of(spike, "height"))) {
            json_decref(spike);
            continue;
        }
        count++;
        if (*n_kept == MOST_SPIKES) {
            int least = 0;
            for (int i = 1; i < MOST_SPIKES; i++)
                if (number_of(kept[i], "height") < number_of(kept[least], "height")) least = i;
            if (number_of(spike, "height") <= number_of(kept[least], "height")) least = -1;
            json_decref(least < 0 ? spike : kept[least]);
            if (least < 0) continue;
            memmove(kept + least, kept + least + 1, sizeof *kept * (size_t)(MOST_SPIKES - 1 - least));
            --*n_kept;
        }
        kept[(*n_kept)++] = spike;
    }
    return count;
}

static void spike_row(mo__html *h, const json_t *spike)
{
    const json_t *worst = json_array_get(json_object_get(spike, "sequences"), 0);
    const char *source = json_string_value(json_object_get(worst, "source"));
    const char *text = json_string_value(json_object_get(worst, "text"));
    mo__html_cell(h, "%s", mo__count((int64_t)number_of(spike, "step")).text);
    mo__html_cell(h, "%s", mo__fixed(number_of(spike, "loss"), 4).text);
    mo__html_cell(h, "%s", mo__fixed(number_of(spike, "median"), 4).text);
    mo__html_cell(h, "%s", mo__fixed(number_of(spike, "height"), 1).text);
    mo__html_cell(h, "%s", mo__fixed(number_of(spike, "grad_norm"), 2).text);
    mo__html_cell(h, "%s", mo__fixed(100 * number_of(worst, "share"), 0).text);
    mo__html_cell(h, "%s", source ? source : "");
    mo__html_cell(h, "%.80s", text ? text : "");
}

void mo__run_report_spikes(const mo__run_page *p)
{
    mo__html *h = &p->report->html;
    size_t size = 0;
    char *text = text_of(p, "spikes.jsonl", &size);
    json_t *kept[MOST_SPIKES] = {NULL};
    int n = 0;
    int64_t count = text ? highest(text, size, kept, &n) : 0;
    if (n > 0) {
        mo__html_section_begin(h, "Steps whose loss jumped");
        mo__html_paragraph(
            h, NULL,
            "%s with a loss far above the median of the 64 before%s. Height is in robust standard "
            "deviations above it.",
            mo__counted(count, "step").text, count > n ? "; the highest are here" : "");
        mo__html_table_begin(
            h, NULL,
            ">Step|>Loss, nats per token|>Median before|>Height|>Gradient norm|>Share of the worst "
            "sequence, %|<Its source|<How it begins");
        for (int i = 0; i < n; i++) spike_row(h, kept[i]);
        mo__html_table_end(h);
        mo__html_section_end(h);
    }
    for (int i = 0; i < n; i++) json_decref(kept[i]);
    mo_free(text);
}

/* ---- texts ---- */

/* samples.txt is a heading "--- step N ---" and a text, again and again. */
static void report_sample(const mo__run_page *p)
{
    static const char HEADING[] = "--- step ";
    size_t size = 0;
    char *text = text_of(p, "samples.txt", &size), *last = NULL;
    for (char *at = text; at && (at = strstr(at, HEADING)); at++)
        if (at == text || at[-1] == '\n') last = at;
    if (last) {
        mo__html_section_begin(&p->report->html, "What the model writes");
        mo__html_paragraph(&p->report->html, NULL, "The last sample of the run, at temperature %g.",
                           p->m->config.sample.temperature);
        mo__html_pre(&p->report->html, last);
        mo__html_section_end(&p->report->html);
    }
    mo_free(text);
}

static void report_config(const mo__run_page *p)
{
    size_t size = 0;
    char *text = text_of(p, "config.yaml", &size);
    if (text) {
        mo__html_section_begin(&p->report->html, "Config");
        mo__html_paragraph(&p->report->html, "note", "%s/config.yaml: every setting, as the run has it.",
                           p->m->dir);
        mo__html_pre(&p->report->html, text);
        mo__html_section_end(&p->report->html);
    }
    mo_free(text);
}

void mo__run_report_texts(const mo__run_page *p)
{
    report_sample(p);
    report_config(p);
}
