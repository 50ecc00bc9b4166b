/* plot_script.h -- what scripts of all kinds of plots have in common. */
#ifndef MOIRA_LAB_PLOT_SCRIPT_H
#define MOIRA_LAB_PLOT_SCRIPT_H

#include "config/buffer.h"

/* The canvas, in CSS pixels of a page that shows it at its own size. */
void mo__plot_script_begin(int width, int height, mo__buffer *script);
/* Runs the script, frees it, and makes the drawing a part of a page; `title` is what it is called for those
 * who do not see it. */
mo_status mo__plot_draw(mo__buffer *script, const char *title, char **svg);

#endif
