/* report_curves.c -- losses of variants along what they cost, with the seeds' spread. */
#include "lab/experiment_facts.h"
#include "lab/loss_curves.h"
#include "lab/report_experiment.h"

static const char *label_of(mo_axis axis)
{
    static const char *const labels[] = {[MO_AXIS_TOKENS] = "tokens read",
                                         [MO_AXIS_FLOPS] = "training FLOPs",
                                         [MO_AXIS_SECONDS] = "training seconds"};
    return labels[axis];
}

static const char *column_of(mo_axis axis)
{
    static const char *const columns[] = {
        [MO_AXIS_TOKENS] = "tokens", [MO_AXIS_FLOPS] = "flops", [MO_AXIS_SECONDS] = "seconds"};
    return columns[axis];
}

static void fail_with(mo__report *report, mo_status status)
{
    if (report->status == MO_OK) report->status = status;
}

static mo__curve drawn(const mo__losses *l, const char *name, int colour)
{
    return (mo__curve){.name = name,
                       .x = l->x,
                       .y = l->mean,
                       .low = l->seeds > 1 ? l->low : NULL,
                       .high = l->seeds > 1 ? l->high : NULL,
                       .count = l->count,
                       .colour = colour};
}

static bool several_seeds(const mo__losses *losses, int count)
{
    for (int i = 0; i < count; i++)
        if (losses[i].seeds > 1) return true;
    return false;
}

void mo__report_losses(const mo__experiment_page *page, const int *variants, int count, mo_axis axis)
{
    mo__losses losses[MO__COLOURS] = {{0}};
    mo__curve curves[MO__COLOURS];
    char name[32], title[64], note[160];
    if (count > MO__COLOURS) count = MO__COLOURS;
    for (int i = 0; i < count; i++) {
        mo_status status = mo__losses_of(page->results, variants[i], axis, &losses[i]);
        fail_with(page->report, status);
        curves[i] = drawn(&losses[i], page->results->variants[variants[i]].name, i);
    }
    snprintf(name, sizeof name, "loss-%s", column_of(axis));
    snprintf(title, sizeof title, "Validation loss against %s", mo__lab_axis(axis));
    snprintf(note, sizeof note, "%s%s",
             several_seeds(losses, count) ? "Lines: mean over seeds. Bands: lowest to highest seed."
                                          : "One seed: nothing here says how far chance goes.",
             axis == MO_AXIS_SECONDS && !page->answer->timed
                 ? " Seconds are as trained, perhaps beside other trials."
             : axis == MO_AXIS_SECONDS && !page->answer->steady
                 ? " Seconds are not to be relied on: the machine was not left alone."
                 : "");
    mo__plot plot = {.name = name,
                     .title = title,
                     .note = note,
                     .x_label = label_of(axis),
                     .y_label = "validation loss, nats per token",
                     .log_x = true,
                     .curves = curves,
                     .n_curves = count};
    mo__report_plot(page->report, &plot);
    for (int i = 0; i < count; i++) mo__losses_free(&losses[i]);
}

void mo__report_distances(const mo__experiment_page *page, mo_axis axis)
{
    const mo_lab_results *r = page->results;
    mo__losses losses[MO__COLOURS] = {{0}};
    mo__curve curves[MO__COLOURS];
    double ends[2] = {0, 0}, zero[2] = {0, 0};
    char name[32], title[160], note[320];
    int reference = page->answer->contrasts[0].reference, count = 1;
    for (int i = 0; i < page->answer->n_contrasts && count < MO__COLOURS; i++) {
        int variant = page->answer->contrasts[i].variant;
        if (page->answer->contrasts[i].reference != reference) continue;
        mo__losses *l = &losses[count];
        fail_with(page->report, mo__losses_between(r, variant, reference, axis, l));
        if (l->count == 0) continue;
        if (ends[0] == 0 || l->x[0] < ends[0]) ends[0] = l->x[0];
        if (l->x[l->count - 1] > ends[1]) ends[1] = l->x[l->count - 1];
        curves[count++] = drawn(l, r->variants[variant].name, variant % MO__COLOURS);
    }
    curves[0] = (mo__curve){.name = r->variants[reference].name,
                            .x = ends,
                            .y = zero,
                            .count = 2,
                            .colour = reference % MO__COLOURS,
                            .dashed = true};
    snprintf(name, sizeof name, "distance-%s", column_of(axis));
    snprintf(title, sizeof title, "Distance to %.100s at equal %s", r->variants[reference].name,
             mo__lab_axis(axis));
    snprintf(note, sizeof note,
             "Below 0 is better. Lines: mean of the differences seed by seed. Bands: its 95%% interval.%s",
             axis == MO_AXIS_TOKENS
                 ? ""
                 : " Who spends more in all is read early here, with a learning rate that has not come "
                   "down, and looks worse than a run planned for that length.");
    mo__plot plot = {.name = name,
                     .title = title,
                     .note = note,
                     .x_label = label_of(axis),
                     .y_label = "difference, nats per token",
                     .log_x = true,
                     .curves = curves,
                     .n_curves = count};
    if (count > 1) mo__report_plot(page->report, &plot);
    for (int i = 1; i < MO__COLOURS; i++) mo__losses_free(&losses[i]);
}
