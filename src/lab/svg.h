/* svg.h -- a drawing of gnuplot's as a part of a page.
 *
 * The drawing is read tag by tag, and what is known is written anew: lines, areas, points, texts. Colours in
 * it are numbers of things (below), which become classes of the page's style; nothing else of it is kept, no
 * ids, no links, no fonts. So whatever a text in a drawing says, it stays a text. */
#ifndef MOIRA_LAB_SVG_H
#define MOIRA_LAB_SVG_H

#include "config/buffer.h"

/* A colour in a script, as gnuplot's number 0xRRGGBB: what it stands for, and which. */
enum {
    MO__INK_SERIES = 0x010000, /* + series: classes s0.. of lines, f0.. of areas and points */
    MO__INK_MORE = 0x020000,   /* + level: l0.. of lines, q0.. of areas and points */
    MO__INK_AROUND = 0x040000, /* + level: d0.. */
    MO__INK_AXIS = 0x030000,   /* ax */
    MO__INK_GRID = 0x030001,   /* gr */
    MO__INK_ON = 0x030002,     /* text upon what is far from the ground */
    MO__INK_OFF = 0x030003     /* text upon what is near to it */
};

/* Adds <svg class="plot" ...>, which is called `label`, escaped already. MO_E_FORMAT: the drawing is not
 * whole. */
mo_status mo__svg_inline(const char *drawing, const char *label, mo__buffer *out);

#endif
