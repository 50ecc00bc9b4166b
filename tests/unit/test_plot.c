/* test_plot.c -- plots: that texts stay texts on their way through gnuplot, that what is drawn is what was
 * given, that of a drawing only shapes get into a page, that there may be no gnuplot. */
#include "harness/harness.h"
#include "harness/html_check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lab/gnuplot.h"
#include "lab/plot.h"
#include "lab/svg.h"

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = temp_make();
    return folder ? 0 : 1;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_remove(folder);
    return 0;
}

/* ---- drawings into pages ---- */

static char *inlined(const char *drawing)
{
    mo__buffer out = {0};
    char *text;
    MO_CHECK_OK(mo__svg_inline(drawing, "a &lt; b", &out));
    MO_CHECK_OK(mo__buffer_finish(&out, MO_OK, &text));
    return text;
}

static void shapes_become_classes(void **state)
{
    (void)state;
    char *svg = inlined(
        "<?xml version=\"1.0\"?><svg width='1' viewBox=\"0 0 460 290\" "
        "xmlns=\"x\"><title>Gnuplot</title><defs><path "
        "id='a' d='M0,0'/></defs>\n"
        "<g id=\"gnuplot_canvas\"><g fill=\"none\" stroke-width=\"2.00\">\n"
        "<path stroke='rgb(  1,   0,   3)' stroke-dasharray=' 5,8' d='M1.00,2.00 L3,4  '/></g>"
        "<g stroke-width=\"1.00\"><path stroke='rgb(3,0,1)' stroke-dasharray='2,4' d='M1,2 L3,4'/></g>"
        "<polygon fill = 'rgb(  2,   0,  24)' points = '1,2 3,4 '/>\n<polygon fill = 'rgb(2,0,24)' points = "
        "'5,6 7,8 '/>"
        "<polygon fill = 'rgb(4,0,0)' points = '1,9 3.25,9 3.25,4 1,4 '/>"
        "<polygon fill = 'rgb(1,0,1)' fill-opacity = '0.18' points = '1,2 3,4 '/>"
        "<use xlink:href='#gpPt6' transform='translate(1.50,2.50) scale(2.62)' color='rgb(  1,   0,   2)'/>"
        "<g transform=\"translate(3,4) rotate(270)\" fill=\"rgb(3,0,2)\" text-anchor=\"middle\">\n<text> a "
        "&amp; "
        "b</text></g></g></svg>");
    assert_string_equal(
        svg, "<svg class=\"plot\" viewBox=\"0 0 460 290\" role=\"img\" aria-label=\"a &lt; b\">\n"
             "<path class=\"s3\" stroke-width=\"2.00\" stroke-dasharray=\" 5,8\" d=\"M1.00,2.00 L3,4\"/>\n"
             "<path class=\"gr\" d=\"M1,2 L3,4\"/>\n"
             "<path class=\"cells q24\" d=\"M1,2 3,4ZM5,6 7,8Z\"/>\n<path class=\"cells d0\" d=\"M1.0 "
             "9.0H3.2V4.0H1.0Z\"/>\n"
             "<path class=\"f1\" opacity=\"0.18\" d=\"M1,2 3,4Z\"/>\n"
             "<circle class=\"f2\" cx=\"1.50\" cy=\"2.50\" r=\"2.62\"/>\n"
             "<text transform=\"translate(3,4) rotate(270)\" text-anchor=\"middle\" class=\"on\">a &amp; "
             "b</text>\n"
             "</svg>\n");
    mo_free(svg);
}

/* Whatever else a drawing has, and whatever its shapes are made of, stays out. */
static void nothing_else_gets_through(void **state)
{
    (void)state;
    char *svg =
        inlined("<svg viewBox=\"0 0 1 1\" onload=\"alert(1)\"><script>alert(2)</script>"
                "<image href='http://x/'/><a xlink:href='javascript:x'><path d='M1,2' onclick='x'/></a>"
                "<path d='M1,2\"/><script>' stroke='rgb(1,0,1)'/><path stroke='rgb(1,0,1)' d=''/>"
                "<g transform='translate(1,2)\" onload=\"x' text-anchor='middle'><text>a</text></g>"
                "<g transform='translate(1,2)' text-anchor='x\"y'><text>b</text></g>"
                "<polygon points='1,2\"3' fill='rgb(1,0,1)'/><use transform='x' color='rgb(1,0,1)'/>"
                "<foreignObject><body onload='x'/></foreignObject></svg>");
    assert_string_equal(svg, "<svg class=\"plot\" viewBox=\"0 0 1 1\" role=\"img\" aria-label=\"a &lt; b\">\n"
                             "<path class=\"ax\" d=\"M1,2\"/>\n</svg>\n");
    mo_free(svg);
}

static mo__curve line(const char *name, const double *x, const double *y, int64_t count)
{
    return (mo__curve){.name = name, .x = x, .y = y, .count = count};
}

static mo__plot plot_of(const mo__curve *curves, int n)
{
    return (mo__plot){.name = "plot",
                      .title = "A plot",
                      .x_label = "steps",
                      .y_label = "nats per token",
                      .curves = curves,
                      .n_curves = n};
}

static void a_drawing_may_be_cut_anywhere(void **state)
{
    (void)state;
    double x[] = {0, 1, 2}, y[] = {3, 1, 2};
    mo__curve curve = {.x = x, .y = y, .low = y, .high = x, .count = 3, .style = MO__CURVE_LINE_POINTS};
    mo__buffer script = {0};
    char *text, *drawing;
    mo__buffer_add(&script, "set terminal svg size 100,100\nplot sin(x) with linespoints lc rgb 65536, "
                            "'+' using 1:1:2 with filledcurves lc rgb 65537 fs transparent solid 0.2\n");
    MO_CHECK_OK(mo__buffer_finish(&script, MO_OK, &text));
    MO_CHECK_OK(mo__gnuplot(text, &drawing));
    size_t size = strlen(drawing), whole = (size_t)(strstr(drawing, "</svg>") - drawing) + strlen("</svg>");
    for (size_t n = 0; n <= size; n += n + 300 < whole ? 37 : 1) {
        char *part = mo_calloc(n + 1, 1);
        mo__buffer out = {0};
        memcpy(part, drawing, n);
        MO_CHECK_STATUS(mo__svg_inline(part, "x", &out), n < whole ? MO_E_FORMAT : MO_OK);
        mo_free(out.text);
        mo_free(part);
    }
    mo_free(drawing);
    mo_free(text);
    mo__plot plot = plot_of(&curve, 1);
    MO_CHECK_OK(mo__plot_svg(&plot, &text));
    mo_free(text);
}

/* ---- gnuplot ---- */

/* Each of these would do something if it were a part of the script, or of the page. */
static const char *const HOSTILE[] = {
    "'; system('touch MARK'); print '",
    "\"; system('touch MARK') #",
    "`touch MARK`",
    "$(touch MARK)",
    "@HOME",
    "a'.system('touch MARK').'",
    "end\nsystem('touch MARK')\n",
    "\\",
    "'\\\n!touch MARK\n",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "&amp; & &#0;",
    "100% %s %n %g",
    "END\nEND",
    "_{x} ^2 {/Symbol a}",
    "\xFF\xFE\x01\x1B[2J",
    "\xEE\x80\x80\xEE\x80\xA7 private",
    "a name that is much longer than there is room for at an axis",
};
enum { N_HOSTILE = sizeof HOSTILE / sizeof *HOSTILE };

static void texts_stay_texts(void **state)
{
    (void)state;
    double x[N_HOSTILE], y[N_HOSTILE];
    mo__report r;
    mo_report_made made;
    const char *page_path = temp_path(folder, "a '\"<b>$`%&#?.html");
    MO_CHECK_OK(mo__report_begin(page_path, "<script>'\"&`$(id)", &r));
    mo__html_section_begin(&r.html, "</section><script>");
    for (int i = 0; i < N_HOSTILE; i++) x[i] = y[i] = i;
    for (int i = 0; i < N_HOSTILE; i++) {
        char name[16];
        snprintf(name, sizeof name, "plot-%d", i);
        mo__curve curve = line(HOSTILE[i], x, y, N_HOSTILE);
        mo__plot plot = plot_of(&curve, 1);
        plot.name = name;
        plot.title = plot.note = plot.x_label = plot.y_label = HOSTILE[i];
        if (i == 0) {
            plot.x_names = HOSTILE;
            plot.n_x_names = N_HOSTILE;
        }
        mo__report_plot(&r, &plot);
    }
    mo__heat heat = {.name = "heat",
                     .title = HOSTILE[0],
                     .x_label = HOSTILE[1],
                     .y_label = HOSTILE[2],
                     .value_label = HOSTILE[9],
                     .x_names = HOSTILE,
                     .row_names = HOSTILE,
                     .rows = 1,
                     .columns = N_HOSTILE,
                     .value = x,
                     .high = 20,
                     .numbers = true};
    mo__report_heat(&r, &heat);
    mo__html_section_end(&r.html);
    MO_CHECK_OK(mo__report_end(&r, &made));
    assert_int_equal(made.plots, N_HOSTILE + 1);
    assert_false(mo_path_exists("MARK"));
    char *page = html_check(made.html);
    assert_int_equal(html_count(page, "<svg class=\"plot\""), N_HOSTILE + 1);
    assert_non_null(strstr(page, ">&#39;; system(&#39;touch MARK&#39;); print &#39;</h3>"));
    /* On an axis: cut, but as they are. */
    assert_non_null(strstr(page, ">100% %s %n %g</text>"));
    assert_non_null(strstr(page, ">$(touch MARK)</text>"));
    assert_non_null(strstr(page, ">a name that is much l\xE2\x80\xA6</text>"));
    mo_free(page);
    mo_report_made_free(&made);
}

static void what_cannot_be_drawn_says_so(void **state)
{
    (void)state;
    char *drawing = NULL;
    MO_CHECK_STATUS(mo__gnuplot("set terminal svg\nplot nonsense\n", &drawing), MO_E_INTERNAL);
    MO_CHECK_MESSAGE("gnuplot: did not draw: ");
    MO_CHECK_MESSAGE("nonsense");
}

/* Settings of theirs are not read. */
static void the_users_surroundings_do_not_matter(void **state)
{
    (void)state;
    char *drawing, *home = mo_strdup(getenv("HOME") ? getenv("HOME") : "");
    MO_CHECK_OK(mo_write_file(temp_path(folder, ".gnuplot"), "nonsense\n", 9));
    setenv("HOME", folder, 1);
    setenv("GNUTERM", "dumb", 1);
    MO_CHECK_OK(mo__gnuplot("set terminal svg noenhanced\nset yrange [0:1]\nplot 0.5\n", &drawing));
    setenv("HOME", home, 1);
    unsetenv("GNUTERM");
    assert_non_null(strstr(drawing, "<text> 0.2</text>"));
    mo_free(drawing);
    mo_free(home);
}

/* ---- what is drawn ---- */

static void numbers_that_are_hard(void **state)
{
    (void)state;
    double nan = (double)NAN, inf = (double)INFINITY;
    static const double zero[] = {0, 0, 0};
    double steps[] = {1, 2, 3}, holes[] = {nan, 2, inf}, same[] = {5, 5, 5},
           small[] = {1e-300, 2e-300, 1e-310};
    double large[] = {1e300, 3e300, 2e300}, negative[] = {-1, 0, 1};
    const double *const hard[] = {zero, steps, holes, same, small, large, negative};
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++)
        for (int kind = 0; kind < 8; kind++) {
            char *svg;
            mo__curve curve = line(NULL, kind & 1 ? hard[i] : steps, hard[i], kind & 2 ? 1 : 3);
            mo__plot plot = plot_of(&curve, 1);
            plot.log_x = plot.log_y = kind & 4;
            if (isnan(hard[i][0]) && kind & 2) continue; /* nothing at all: mo__report_plot leaves it out */
            MO_CHECK_OK(mo__plot_svg(&plot, &svg));
            assert_null(strstr(svg, "nan"));
            mo_free(svg);
        }
}

static void nothing_to_draw_is_left_out(void **state)
{
    (void)state;
    double nan[] = {(double)NAN, (double)INFINITY}, x[] = {0, 1};
    mo__report r;
    mo_report_made made;
    mo__curve curve = line("nothing", x, nan, 2);
    mo__plot plot = plot_of(&curve, 1);
    mo__curve level = line("a reference", x, x, 2), nowhere = line("nowhere", nan, x, 2);
    level.dashed = true;
    mo__curve both[] = {nowhere, level};
    mo__heat heat = {.name = "heat",
                     .title = "",
                     .x_label = "",
                     .y_label = "",
                     .value_label = "",
                     .rows = 1,
                     .columns = 2,
                     .value = nan};
    MO_CHECK_OK(mo__report_begin(temp_path(folder, "empty.html"), "Empty", &r));
    mo__report_plot(&r, &plot);
    plot = plot_of(both, 2);
    mo__report_plot(&r, &plot);
    mo__report_heat(&r, &heat);
    MO_CHECK_OK(mo__report_end(&r, &made));
    char *page = html_check(made.html);
    assert_int_equal(made.plots, 0);
    assert_null(strstr(page, "<figure"));
    assert_false(mo_path_exists(temp_path(folder, "empty/plot.csv")));
    mo_free(page);
    mo_report_made_free(&made);
}

/* Rounded to few digits both ends of the line would lie beyond its axis, which begins and ends with them. */
static void ends_of_an_axis_are_drawn(void **state)
{
    (void)state;
    double x[] = {3.0555384300096193, 3.2606750619888771}, y[] = {1, 2};
    char *svg;
    mo__curve curve = line(NULL, x, y, 2);
    mo__plot plot = plot_of(&curve, 1);
    MO_CHECK_OK(mo__plot_svg(&plot, &svg));
    assert_int_equal(html_count(svg, "class=\"s0\""), 1);
    mo_free(svg);
}

static void one_value_is_a_point(void **state)
{
    (void)state;
    double x[] = {1, 2}, y[] = {(double)NAN, 2};
    char *svg;
    mo__curve curve = line(NULL, x, y, 2);
    mo__plot plot = plot_of(&curve, 1);
    MO_CHECK_OK(mo__plot_svg(&plot, &svg));
    assert_int_equal(html_count(svg, "<circle class=\"f0\""), 1);
    mo_free(svg);
}

static void counts_have_whole_tics(void **state)
{
    (void)state;
    double x[] = {0.5, 1, 2, 3.5}, y[] = {1, 2, 3, 4};
    char *svg;
    mo__curve curve = line(NULL, x, y, 4);
    mo__plot plot = plot_of(&curve, 1);
    plot.whole_x = true;
    MO_CHECK_OK(mo__plot_svg(&plot, &svg));
    assert_int_equal(html_count(svg, ">2</text>"), 2); /* of x and of y */
    assert_null(strstr(svg, "0.5</text>"));
    mo_free(svg);
}

/* A line of many points is thinned out; what stands out of it stays. */
static void long_lines_keep_their_peaks(void **state)
{
    (void)state;
    enum { N = 100000 };
    double *x = mo_calloc(N, sizeof *x), *y = mo_calloc(N, sizeof *y);
    char *with, *without;
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = 1 + 1e-3 * (i % 7);
    }
    mo__curve curve = line(NULL, x, y, N);
    mo__plot plot = plot_of(&curve, 1);
    y[31415] = 3;
    MO_CHECK_OK(mo__plot_svg(&plot, &with));
    y[31415] = 1;
    y[N - 1] = 3; /* so that the axes are the same */
    MO_CHECK_OK(mo__plot_svg(&plot, &without));
    assert_in_range(strlen(with), 8000, 40000);
    /* The peak's pixel: 31415 of 100000 steps of the way, at the height of a 3. */
    char *at = strstr(with, "class=\"s0\"");
    double left = 0, top = 1e9, peak = 0, px, py;
    for (at = strchr(strstr(at, " d=\"") + 4, 'M'); at; at = strpbrk(at + 1, "ML\"")) {
        if (*at == '"' || sscanf(at + 1, "%lf,%lf", &px, &py) != 2) break;
        if (left == 0) left = px;
        if (py < top) top = py, peak = px;
    }
    MO_CHECK_NEAR((peak - left) / (px - left), 0.31415, 2e-3);
    mo_free(with);
    mo_free(without);
    mo_free(x);
    mo_free(y);
}

static int cells_of(const char *svg, const char *class)
{
    char begin[48];
    snprintf(begin, sizeof begin, "<path class=\"cells %s\" d=\"", class);
    const char *at = strstr(svg, begin), *end = at ? strstr(at, "\"/>") : NULL;
    int count = 0;
    for (; at && at < end; at++) count += *at == 'Z';
    return count;
}

static void colours_are_the_values(void **state)
{
    (void)state;
    double nan = (double)NAN, value[] = {0, 0.5, 1, nan, 1.5, 2, 3, 2};
    char *svg;
    mo__heat heat = {.name = "heat",
                     .title = "Heat",
                     .x_label = "x",
                     .y_label = "y",
                     .value_label = "v",
                     .rows = 2,
                     .columns = 4,
                     .value = value,
                     .scale = MO__HEAT_AROUND,
                     .low = 0,
                     .middle = 1,
                     .high = 2};
    MO_CHECK_OK(mo__heat_svg(&heat, &svg));
    assert_int_equal(cells_of(svg, "d0"), 1);
    assert_int_equal(cells_of(svg, "d6"), 1);
    assert_int_equal(cells_of(svg, "d12"), 1);
    assert_int_equal(cells_of(svg, "d18"), 1);
    assert_int_equal(cells_of(svg, "d24"), 3); /* 2, 2, and 3, which is beyond */
    assert_int_equal(html_count(svg, "Z"), 7);
    mo_free(svg);
    heat.scale = MO__HEAT_MORE;
    heat.high = 4;
    MO_CHECK_OK(mo__heat_svg(&heat, &svg));
    assert_int_equal(cells_of(svg, "q0"), 1);
    assert_int_equal(cells_of(svg, "q12"), 2);
    assert_int_equal(cells_of(svg, "q18"), 1);
    mo_free(svg);
}

/* Names lean where they would run into one another, and only there. */
static void names_lean_where_they_must(void **state)
{
    (void)state;
    static const char *const some[] = {"topk", "noisy_topk", "sigmoid", "hash"}, *const many[] = {
                                                                                     "dense-active",
                                                                                     "dense-total",
                                                                                     "dense-flops", "moe"};
    double x[] = {0, 1, 2, 3};
    mo__curve curve = line(NULL, x, x, 4);
    mo__plot plot = plot_of(&curve, 1);
    plot.n_x_names = 4;
    for (int lean = 0; lean < 2; lean++) {
        char *svg;
        plot.x_names = lean ? many : some;
        MO_CHECK_OK(mo__plot_svg(&plot, &svg));
        assert_int_equal(html_count(svg, "rotate(-35"), lean ? 4 : 0);
        mo_free(svg);
    }
}

/* Long names of rows and columns take their room from the page, not from the cells. */
static void cells_keep_their_size(void **state)
{
    (void)state;
    static const char *const names[] = {"0.0032 to 0.00367", "0.00614 to 0.0064", "0.0111 to 0.0115",
                                        "a name of more letters than an axis has"};
    double value[16], left, right, top, bottom;
    char *svg;
    for (int i = 0; i < 16; i++) value[i] = i;
    mo__heat heat = {.name = "heat",
                     .title = "Heat",
                     .x_label = "x",
                     .y_label = "y",
                     .value_label = "v",
                     .x_names = names,
                     .row_names = names,
                     .rows = 4,
                     .columns = 4,
                     .value = value,
                     .high = 15,
                     .numbers = true};
    MO_CHECK_OK(mo__heat_svg(&heat, &svg));
    const char *cell = strstr(svg, "<path class=\"cells q24\" d=\"M");
    assert_non_null(cell);
    assert_int_equal(sscanf(strchr(cell, 'M'), "M%lf %lfH%lfV%lfH", &left, &bottom, &right, &top), 4);
    assert_true(fabs(right - left) >= 40);
    assert_true(fabs(top - bottom) >= 20);
    assert_int_equal(html_count(svg, "\xE2\x80\xA6</text>"), 2);
    mo_free(svg);
}

static void csv_has_what_was_drawn(void **state)
{
    (void)state;
    static const char *const names[] = {"a,b", "c"};
    double x[] = {0, 1}, y[] = {1.25, (double)NAN}, low[] = {1, 0};
    char *csv;
    mo__curve curves[] = {{.name = "one \"1\"", .x = x, .y = low, .count = 2},
                          {.name = "two", .x = x, .y = y, .low = low, .high = y, .count = 2}};
    mo__plot plot = plot_of(curves, 2);
    MO_CHECK_OK(mo__plot_csv(&plot, &csv));
    assert_string_equal(
        csv, "series,steps,nats per token,low,high\n\"one \"\"1\"\"\",0,1,,\n\"one \"\"1\"\"\",1,0,,\n"
             "two,0,1.25,1,1.25\n");
    mo_free(csv);
    plot.x_names = names;
    plot.n_x_names = 2;
    plot.n_curves = 1;
    MO_CHECK_OK(mo__plot_csv(&plot, &csv));
    assert_string_equal(csv, "series,steps,nats per token,low,high\n\"one \"\"1\"\"\",\"a,b\",1,,\n"
                             "\"one \"\"1\"\"\",c,0,,\n");
    mo_free(csv);
}

/* Spreadsheets compute what begins so; numbers are to stay numbers. */
static void csv_has_no_formulas(void **state)
{
    (void)state;
    static const char *const texts[] = {"=1+1", "@a", "+a,b", "-2+3",           "-2.5e-3",
                                        "+4",   "-",  "a=1",  "\033[1mred\377", "\tx"};
    mo__csv csv = {0};
    char *text;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) mo__csv_text(&csv, texts[i]);
    MO_CHECK_OK(mo__buffer_finish(&csv.out, MO_OK, &text));
    assert_string_equal(text, "'=1+1,'@a,\"'+a,b\",'-2+3,-2.5e-3,+4,'-,a=1,"
                              "\xEF\xBF\xBD[1mred\xEF\xBF\xBD,'\tx");
    mo_free(text);
}

/* ---- without gnuplot, memory, a place for the page ---- */

static mo_status report_without_drawings(mo_report_made *made)
{
    double x[] = {0, 1, 2}, y[] = {3, 1, 2};
    mo__report r;
    mo__curve curve = line("<name>", x, y, 3);
    mo__plot plot = plot_of(&curve, 1);
    mo__heat heat = {.name = "heat",
                     .title = "Heat",
                     .x_label = "x",
                     .y_label = "y",
                     .value_label = "v",
                     .rows = 1,
                     .columns = 3,
                     .value = y,
                     .high = 3};
    MO_TRY(mo__report_begin(temp_path(folder, "none.html"), "None", &r));
    mo__html_section_begin(&r.html, "Plots");
    mo__html_grid_begin(&r.html);
    mo__report_plot(&r, &plot);
    mo__report_heat(&r, &heat);
    mo__html_grid_end(&r.html);
    mo__html_section_end(&r.html);
    return mo__report_end(&r, made);
}

static mo_status whole_report(void)
{
    mo_report_made made;
    MO_TRY(report_without_drawings(&made));
    assert_int_equal(made.plots, 0);
    assert_true(made.without_plots);
    mo_report_made_free(&made);
    return MO_OK;
}

static void there_may_be_no_gnuplot(void **state)
{
    (void)state;
    char *path = mo_strdup(getenv("PATH")), *drawing;
    setenv("PATH", folder, 1);
    MO_CHECK_STATUS(mo__gnuplot("plot 1\n", &drawing), MO_E_UNSUPPORTED);
    MO_CHECK_OK(whole_report());
    char *page = html_check(temp_path(folder, "none.html"));
    assert_int_equal(html_count(page, "gnuplot could not be started"), 1);
    assert_int_equal(html_count(page, ".csv</a>"), 2);
    mo_free(page);
    int64_t failed, before = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(failed, whole_report());
    assert_in_range(failed, 12, 1000);
    assert_int_equal(mo__alloc_live(), before);
    setenv("PATH", path, 1);
    mo_free(path);
}

/* One that hangs, or waits to be asked, is ended, and is no more than one that is not there. */
static void gnuplot_may_hang(void **state)
{
    (void)state;
    static const char program[] = "#!/bin/sh\nexec sleep 100\n";
    char *path = mo_strdup(getenv("PATH")), *with = mo_strprintf("%s:%s", folder, path), *drawing = NULL;
    MO_CHECK_OK(mo_write_file(temp_path(folder, "gnuplot"), program, strlen(program)));
    assert_int_equal(chmod(temp_path(folder, "gnuplot"), 0755), 0);
    setenv("PATH", with, 1);
    double begin = mo_clock();
    MO_CHECK_STATUS(mo__gnuplot_within(0.2, "plot 1\n", &drawing), MO_E_UNSUPPORTED);
    MO_CHECK_MESSAGE("gnuplot: had not drawn after 0.2 s, and was ended");
    assert_true(mo_clock() - begin < 50);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left of it */
    assert_int_equal(errno, ECHILD);
    setenv("PATH", path, 1);
    assert_int_equal(remove(temp_path(folder, "gnuplot")), 0);
    mo_free(with);
    mo_free(path);
}

/* What it says is in the place of the drawing; the rest of the report is there. */
static void gnuplot_may_fail(void **state)
{
    (void)state;
    static const char program[] = "#!/bin/sh\ncat >/dev/null\necho 'line 3: <none>' >&2\nexit 1\n";
    char *path = mo_strdup(getenv("PATH")), *with = mo_strprintf("%s:%s", folder, path);
    MO_CHECK_OK(mo_write_file(temp_path(folder, "gnuplot"), program, strlen(program)));
    assert_int_equal(chmod(temp_path(folder, "gnuplot"), 0755), 0);
    setenv("PATH", with, 1);
    mo_report_made made;
    MO_CHECK_OK(report_without_drawings(&made));
    assert_int_equal(made.plots, 0);
    assert_false(made.without_plots);
    char *page = html_check(temp_path(folder, "none.html"));
    assert_int_equal(html_count(page, "Not drawn: gnuplot: did not draw: "), 2);
    assert_int_equal(html_count(page, ".csv</a>"), 2);
    mo_free(page);
    mo_report_made_free(&made);
    setenv("PATH", path, 1);
    assert_int_equal(remove(temp_path(folder, "gnuplot")), 0);
    mo_free(with);
    mo_free(path);
}

/* A signal to the group of this program lets a drawing end. */
static void gnuplot_is_in_a_group_of_its_own(void **state)
{
    (void)state;
    static const char program[] = "#!/bin/sh\nread -r a b c d group e </proc/$$/stat\n"
                                  "[ \"$group\" = $$ ] && echo own\nexit 0\n";
    char *path = mo_strdup(getenv("PATH")), *with = mo_strprintf("%s:%s", folder, path), *drawing = NULL;
    MO_CHECK_OK(mo_write_file(temp_path(folder, "gnuplot"), program, strlen(program)));
    assert_int_equal(chmod(temp_path(folder, "gnuplot"), 0755), 0);
    setenv("PATH", with, 1);
    MO_CHECK_OK(mo__gnuplot("plot 1\n", &drawing));
    assert_string_equal(drawing, "own\n");
    setenv("PATH", path, 1);
    assert_int_equal(remove(temp_path(folder, "gnuplot")), 0);
    mo_free(drawing);
    mo_free(with);
    mo_free(path);
}

static mo_status drawn(const mo__plot *plot)
{
    char *svg;
    MO_TRY(mo__plot_svg(plot, &svg));
    mo_free(svg);
    return MO_OK;
}

static void memory_may_run_out(void **state)
{
    (void)state;
    double x[] = {0, 1, 2};
    mo__curve curve = line("line", x, x, 3);
    mo__plot plot = plot_of(&curve, 1);
    int64_t failed, before = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(failed, drawn(&plot));
    assert_in_range(failed, 6, 100);
    assert_int_equal(mo__alloc_live(), before);
}

static void pages_have_their_place(void **state)
{
    (void)state;
    mo__report r;
    mo_report_made made;
    MO_CHECK_STATUS(mo__report_begin("page.txt", "t", &r), MO_E_USAGE);
    MO_CHECK_MESSAGE("page.txt: a report is an HTML file");
    MO_CHECK_STATUS(mo__report_begin(".html", "t", &r), MO_E_USAGE);
    MO_CHECK_STATUS(mo__report_begin("a/.html", "t", &r), MO_E_USAGE);
    MO_CHECK_OK(mo_write_file(temp_path(folder, "file"), "x", 1));
    assert_int_not_equal(mo__report_begin(temp_path(folder, "file/page.html"), "t", &r), MO_OK);
    /* A page that cannot be written leaves what was there. */
    MO_CHECK_OK(mo_make_dirs(temp_path(folder, "taken.html")));
    MO_CHECK_OK(mo__report_begin(temp_path(folder, "taken.html"), "t", &r));
    MO_CHECK_STATUS(mo__report_end(&r, &made), MO_E_EXISTS);
    assert_true(mo_path_is_dir(temp_path(folder, "taken.html")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_become_classes),
        cmocka_unit_test(nothing_else_gets_through),
        cmocka_unit_test(a_drawing_may_be_cut_anywhere),
        cmocka_unit_test(texts_stay_texts),
        cmocka_unit_test(what_cannot_be_drawn_says_so),
        cmocka_unit_test(the_users_surroundings_do_not_matter),
        cmocka_unit_test(numbers_that_are_hard),
        cmocka_unit_test(nothing_to_draw_is_left_out),
        cmocka_unit_test(ends_of_an_axis_are_drawn),
        cmocka_unit_test(one_value_is_a_point),
        cmocka_unit_test(counts_have_whole_tics),
        cmocka_unit_test(long_lines_keep_their_peaks),
        cmocka_unit_test(colours_are_the_values),
        cmocka_unit_test(names_lean_where_they_must),
        cmocka_unit_test(cells_keep_their_size),
        cmocka_unit_test(csv_has_what_was_drawn),
        cmocka_unit_test(csv_has_no_formulas),
        cmocka_unit_test(there_may_be_no_gnuplot),
        cmocka_unit_test(gnuplot_may_hang),
        cmocka_unit_test(gnuplot_may_fail),
        cmocka_unit_test(gnuplot_is_in_a_group_of_its_own),
        cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(pages_have_their_place),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
