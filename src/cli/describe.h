/* describe.h -- a model and the memory of its training, in words and tables. */
#ifndef MOIRA_CLI_DESCRIBE_H
#define MOIRA_CLI_DESCRIBE_H

#include <jansson.h>

#include <moira/train.h>

/* Two lines: shape and parameters. */
void mo__describe_model(const mo_model *m);
json_t *mo__model_json(const mo_model_config *c);

/* Every parameter with its shape and whether weight decay applies; folded: layers of equal shape as one line.
 */
mo_status mo__describe_parameters(const mo_model *m, const mo_optim_config *optimizer, bool folded);
json_t *mo__parameters_json(const mo_model *m, const mo_optim_config *optimizer);

/* tuning_view.c: what trains, by kinds of parameters. */
mo_status mo__describe_tuning(const mo_model *m);
json_t *mo__tuning_json(const mo_model *m);

mo_status mo__describe_memory(const mo_run_memory *memory);
json_t *mo__memory_json(const mo_run_memory *memory);

#endif
