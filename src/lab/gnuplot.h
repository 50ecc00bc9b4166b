/* gnuplot.h -- gnuplot, asked to draw. Nothing of a user's files decides what it does: scripts are ours, and
 * texts in them go through mo__gnuplot_quote. */
#ifndef MOIRA_LAB_GNUPLOT_H
#define MOIRA_LAB_GNUPLOT_H

#include "config/buffer.h"

/* What gnuplot writes to its standard output for the script; owned. It is started without a shell and without
 * its user's settings. MO_E_UNSUPPORTED: it could not be started, or did not end in MO__GNUPLOT_SECONDS (a
 * drawing takes a tenth of one) and was ended; MO_E_INTERNAL, with the last line that it said: it did not
 * draw. */
mo_status mo__gnuplot(const char *script, char **out);
enum { MO__GNUPLOT_SECONDS = 60 };
mo_status mo__gnuplot_within(double seconds, const char *script, char **out);

/* A text of at most `most` characters as a constant of gnuplot's. All marks of ASCII are written as
 * characters of Unicode's private use, MO__GNUPLOT_MARK + mark, so that none can mean anything to gnuplot, in
 * whatever place; svg.h makes them marks again. */
#define MO__GNUPLOT_MARK 0xE000
void mo__gnuplot_quote(mo__buffer *script, const char *text, int most);

#endif
