/* gnuplot.h -- gnuplot, asked to draw. Nothing of a user's files decides what it does: scripts are ours, and
 * texts in them go through mo__gnuplot_quote. */
#ifndef MOIRA_LAB_GNUPLOT_H
#define MOIRA_LAB_GNUPLOT_H

#include "config/buffer.h"

/* What gnuplot writes to its standard output for the script; owned. It is started without a shell and without
 * its user's settings. MO_E_UNSUPPORTED: it could not be started; MO_E_INTERNAL, with the last line that it
 * said: it did not draw. */
mo_status mo__gnuplot(const char *script, char **out);

/* A text of at most `most` characters as a constant of gnuplot's, on one line. tic: it names a place on an
 * axis.
 */
void mo__gnuplot_quote(mo__buffer *script, const char *text, bool tic, int most);

#endif
