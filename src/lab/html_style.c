/* html_style.c -- how pages look: one calm column, light or dark as the reader's screen is, light on paper.
 *
 * Colours of series are Okabe and Ito's (2008), which people who see few colours tell apart, darkened for
 * light ground where they would be faint, lightened for dark ground. Colours of levels go from the ground to
 * ink, so that their order shows without colour too. */
#include "lab/html.h"

const char mo__html_style[] =
    ":root{--ground:#fff;--ink:#1c2024;--quiet:#5b646d;--rule:#dfe3e7;--soft:#f5f6f8;--link:#0b62a4;"
    "--warn:#9a3d00;"
    "--s0:#0072b2;--s1:#d55e00;--s2:#00856b;--s3:#b0478a;--s4:#8a6d00;--s5:#2f9bd6;--s6:#4b5560;--s7:#6a4fb3}"
    "\n"
    "@media screen and (prefers-color-scheme:dark){:root{--ground:#15181c;--ink:#e4e7ea;--quiet:#a0a9b2;"
    "--rule:#333a42;--soft:#1d2126;--link:#7cc0f2;--warn:#ffb27a;"
    "--s0:#56b4e9;--s1:#f0894a;--s2:#3cc7a2;--s3:#e79ac8;--s4:#e3c34b;--s5:#9ad5ff;--s6:#b7c0c9;--s7:#b6a1f2}"
    "}\n"
    "*{box-sizing:border-box}\n"
    "html{-webkit-text-size-adjust:100%;text-size-adjust:100%}\n"
    "body{margin:0;background:var(--ground);color:var(--ink);"
    "font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",\"DejaVu Sans\",sans-serif;"
    "overflow-wrap:anywhere}\n"
    "main{max-width:1460px;margin:0 auto;padding:32px 20px 64px}\n"
    "h1{font-size:1.75rem;line-height:1.2;margin:0 0 8px;font-weight:650}\n"
    "h2{font-size:1.2rem;line-height:1.3;margin:0 0 12px;padding-top:20px;border-top:1px solid var(--rule);"
    "font-weight:650}\n"
    "h3{font-size:1rem;line-height:1.35;margin:0 0 2px;font-weight:600}\n"
    "section{margin-top:32px}\n"
    "p{margin:0 0 12px;max-width:46rem}\n"
    "a{color:var(--link)}\n"
    ".answer{font-size:1.2rem;line-height:1.45;max-width:50rem}\n"
    ".findings{max-width:50rem;padding-left:1.2em}.findings li{margin:6px 0;line-height:1.45}\n"
    ".note{font-size:.84rem;line-height:1.45;color:var(--quiet);margin-bottom:4px}\n"
    ".warning{color:var(--warn);border-left:3px solid currentColor;padding-left:12px}\n"
    "pre{font:.85rem/1.5 ui-monospace,SFMono-Regular,Menlo,\"DejaVu Sans "
    "Mono\",monospace;background:var(--soft);"
    "padding:12px 14px;margin:0 0 16px;white-space:pre-wrap;border-radius:4px}\n"
    ".facts{list-style:none;padding:0;display:grid;gap:12px 20px;margin:0 0 16px;"
    "grid-template-columns:repeat(auto-fill,minmax(8.4rem,1fr));font-variant-numeric:tabular-nums}"
    "\n"
    "@media (min-width:700px){.facts{grid-template-columns:repeat(auto-fill,minmax(14rem,1fr))}}\n"
    ".facts span{display:block;font-size:.84rem;color:var(--quiet)}\n"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,430px),1fr));gap:28px 40px;"
    "margin-bottom:16px}\n"
    ".note+.grid,.note+.table{margin-top:18px}\n"
    ".grid>*{min-width:0}\n"
    "figure{margin:0;min-width:0}\n"
    ".drawing{overflow-x:auto;overflow-y:hidden}\n"
    ".plot{display:block;width:100%;min-width:390px;max-width:510px;height:auto;margin:4px "
    "0;fill:none;stroke-width:1}\n"
    ".plot "
    "text{fill:var(--quiet);stroke:none;font-size:14px;font-family:inherit;font-variant-numeric:tabular-nums}"
    "\n"
    ".plot .on{fill:var(--ground)}\n"
    ".plot .off{fill:var(--ink)}\n"
    ".ax{stroke:var(--quiet)}\n"
    ".gr{stroke:var(--rule)}\n"
    ".cells{shape-rendering:crispEdges;stroke:none}\n"
    ".key{list-style:none;margin:2px 0 0;padding:0;display:flex;flex-wrap:wrap;gap:0 16px;font-size:.84rem;"
    "color:var(--quiet)}\n"
    ".key svg{width:22px;height:10px;margin-right:6px;fill:none;stroke-width:2.5;vertical-align:0}\n"
    ".scale{display:flex;align-items:center;gap:0 8px;flex-wrap:wrap;font-size:.84rem;color:var(--quiet);"
    "margin:2px 0 "
    "0;font-variant-numeric:tabular-nums}\n"
    ".scale svg{width:72px;height:10px}\n"
    ".table{overflow-x:auto;margin:0 0 16px;max-width:100%}\n"
    "table{border-collapse:collapse;font-size:.9rem;line-height:1.4;font-variant-numeric:tabular-nums}\n"
    "caption{text-align:left;font-weight:600;padding-bottom:6px}\n"
    "th,td{text-align:left;vertical-align:baseline;padding:5px 8px;border-bottom:1px solid var(--rule);"
    "overflow-wrap:normal}\n"
    "th:first-child,td:first-child{padding-left:0}\n"
    "th{font-weight:600;color:var(--quiet);vertical-align:bottom;font-size:.84rem}\n"
    ".n{text-align:right;white-space:nowrap}\n"
    "th.n{white-space:normal}\n"
    ".k{white-space:nowrap}\n"
    ".best td{font-weight:650}\n"
    ".reference td{background:var(--soft)}\n"
    ".group td{font-weight:600;padding-top:12px}\n"
    ".failed td{color:var(--quiet)}\n"
    "@media (max-width:500px){main{padding:20px 14px 48px}th,td{padding:5px 6px}}\n"
    "@page{margin:16mm 14mm}\n"
    "@media print{main{max-width:none;padding:0}body{font-size:10.5pt}.grid{grid-template-columns:1fr "
    "1fr;gap:18px "
    "28px}"
    "figure,tr,li,h2,h3{break-inside:avoid}h2,h3,caption,thead{break-after:avoid}a{color:inherit;text-"
    "decoration:none}"
    ".table{overflow:visible}table{font-size:.8em}th{font-size:1em}th,td{padding:3px 5px}"
    ".n,.k{white-space:normal}.drawing{overflow:visible}.plot{min-width:0}.plot,.key{print-color-adjust:"
    "exact;-webkit-print-color-adjust:exact}}\n";

typedef struct stop {
    int at; /* level */
    unsigned rgb;
} stop;

enum { STOPS = 5, LAST = MO__LEVELS - 1 };
static const stop MORE_LIGHT[STOPS] = {
    {0, 0xf1f4f7}, {6, 0xb9d7ea}, {12, 0x6baed6}, {18, 0x2171b5}, {LAST, 0x08306b}};
static const stop MORE_DARK[STOPS] = {
    {0, 0x20262d}, {6, 0x1f4263}, {12, 0x2f74ad}, {18, 0x62b1ea}, {LAST, 0xdcefff}};
static const stop AROUND_LIGHT[STOPS] = {
    {0, 0x8f3d00}, {6, 0xf0a868}, {12, 0xf3f3f1}, {18, 0x74b3dd}, {LAST, 0x084a86}};
static const stop AROUND_DARK[STOPS] = {
    {0, 0xffb87d}, {6, 0x96561f}, {12, 0x24282d}, {18, 0x2b6aa1}, {LAST, 0xa9d8ff}};

static unsigned channel(unsigned rgb, int shift)
{
    return rgb >> shift & 0xFF;
}

static unsigned colour_at(const stop stops[STOPS], int level)
{
    int i = 0;
    while (stops[i + 1].at < level) i++;
    unsigned from = stops[i].rgb, to = stops[i + 1].rgb, rgb = 0;
    double part = (double)(level - stops[i].at) / (stops[i + 1].at - stops[i].at);
    for (int shift = 0; shift <= 16; shift += 8) {
        double a = channel(from, shift), b = channel(to, shift);
        rgb |= (unsigned)(a + part * (b - a) + 0.5) << shift;
    }
    return rgb;
}

static void add_levels(mo__html *h, const stop more[STOPS], const stop around[STOPS])
{
    mo__html_raw(h, ":root{");
    for (int k = 0; k < MO__LEVELS; k++)
        mo__buffer_add(&h->out, "--q%d:#%06x;--d%d:#%06x%s", k, colour_at(more, k), k, colour_at(around, k),
                       k < LAST ? ";" : "}");
}

void mo__html_levels(mo__html *h)
{
    add_levels(h, MORE_LIGHT, AROUND_LIGHT);
    mo__html_raw(h, "\n@media screen and (prefers-color-scheme:dark){");
    add_levels(h, MORE_DARK, AROUND_DARK);
    mo__html_raw(h, "}\n");
    for (int k = 0; k < MO__LEVELS; k++)
        mo__buffer_add(&h->out, ".q%d{fill:var(--q%d)}.d%d{fill:var(--d%d)}.l%d{stroke:var(--q%d)}", k, k, k,
                       k, k, k);
    for (int k = 0; k < 8; k++)
        mo__buffer_add(&h->out, ".s%d{stroke:var(--s%d)}.f%d{fill:var(--s%d)}", k, k, k, k);
    mo__html_raw(h, "\n");
}
