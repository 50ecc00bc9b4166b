/* setting.h -- one setting upon a config: "section.key" and a word, as on the command line. */
#ifndef MOIRA_CONFIG_SETTING_H
#define MOIRA_CONFIG_SETTING_H

#include "value.h"

/* Index in mo__keys of "section.key". MO_E_CONFIG names the nearest. */
mo_status mo__setting_find(const char *name, int *key);
/* Sets the key's field from one word, a list as YAML. */
mo_status mo__setting_set(int key, const char *word, mo_run_config *config);
/* Whether the key takes the word, by its type and range; `canonical` (NULL: not asked for) is the one way of
 * writing that value. Owned. */
mo_status mo__setting_check(int key, const char *word, char **canonical);
/* What a config has, written in that one way. Owned. */
mo_status mo__setting_text(int key, const mo_run_config *config, char **out);

#endif
