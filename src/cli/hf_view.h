/* hf_view.h -- a model folder of Hugging Face's layout in our own terms. */
#ifndef MOIRA_CLI_HF_VIEW_H
#define MOIRA_CLI_HF_VIEW_H

#include <moira/config.h>
#include <moira/hf.h>

/* The config of a checkpoint that is made of it: run.name is the folder's, balance.mixtral its
 * router_aux_loss_coef. YAML, owned. */
mo_status mo__hf_dump_config(const mo_hf *hf, const char *dir, char **out);

#endif
