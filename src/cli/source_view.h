/* source_view.h -- what a run learns from, and what it costs by source. */
#ifndef MOIRA_CLI_SOURCE_VIEW_H
#define MOIRA_CLI_SOURCE_VIEW_H

#include <jansson.h>

#include <moira/train.h>

/* A line, and of a mixture a table: shares, tokens, and how often the whole run goes through each source. */
mo_status mo__describe_data(const mo_run_config *config, const mo_run_data *data);
json_t *mo__data_json(const mo_run_config *config, const mo_run_data *data);
/* "web 2.3512 2.4012, code 1.1931 1.2210": training and validation loss of each. Owned; NULL without memory.
 */
char *mo__source_losses(const mo_step_report *report);

#endif
