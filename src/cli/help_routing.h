/* help_routing.h -- moira help routers, moira help losses: what the library says of each, and the settings
 * that follow from it. */
#ifndef MOIRA_CLI_HELP_ROUTING_H
#define MOIRA_CLI_HELP_ROUTING_H

#include <moira/model.h>

/* Every router (loss), or one. MO_E_USAGE, with the nearest name, for one that does not exist. */
mo_status mo__help_routers(const char *name);
mo_status mo__help_losses(const char *name);

/* What the letters in the formulas mean: one paragraph. */
extern const char mo__router_letters[], mo__loss_letters[];

/* Names, with commas between; "" for none. */
typedef struct mo__names {
    char text[512];
} mo__names;
mo__names mo__router_settings(int router); /* keys of `model` that it takes */
mo__names mo__router_losses(int router);   /* that go with it */
mo__names mo__loss_routers(int kind);      /* that it goes with */
mo__names mo__loss_scope(int kind);        /* over which tokens it is counted */

#endif
