/* help_routers.h -- moira help routers: what the library says of each, and the settings that follow from it.
 */
#ifndef MOIRA_CLI_HELP_ROUTERS_H
#define MOIRA_CLI_HELP_ROUTERS_H

#include <moira/model.h>

/* Every router, or one. MO_E_USAGE, with the nearest name, for one that does not exist. */
mo_status mo__help_routers(const char *name);
/* What the letters in the formulas mean. */
extern const char mo__router_letters[];
/* The config's keys that a router takes, in `text`. */
typedef struct mo__router_settings {
    char text[512];
} mo__router_settings;
mo__router_settings mo__router_settings_of(const mo_router_info *info);

#endif
