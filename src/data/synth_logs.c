/* synth_logs.c -- a server's log: the clock goes on, a job ends only after its start and with its own number,
 * and the last line is the shutdown. */
#include "synth.h"

#include <string.h>

enum { ENOUGH = 200, PLENTY = 340, MOST_JOBS = 8, LONGEST_GAP = 60, MOST_SKIP = 60 };

MO__WORDS(hosts, "ant", "bat", "cod", "eel", "fox", "gnu", "hen", "jay", "koi", "owl", "ram", "yak");
static const char *const EVENT[] = {"start job ", "end job ", "disk ", "ping ", "shutdown\n"};
enum { START, END, DISK, PING, SHUTDOWN, EVENTS };

typedef struct {
    int time;                 /* seconds since midnight */
    int job[MOST_JOBS], jobs; /* that run */
    int last;                 /* number of the last one started */
} server;

static void write_two(char *digits, int value)
{
    digits[0] = (char)('0' + value / 10);
    digits[1] = (char)('0' + value % 10);
}

/* The next time of day, up to LONGEST_GAP seconds later. */
static void write_time(mo__synth *s, server *v)
{
    char text[LONGEST_GAP][9];
    const char *entries[LONGEST_GAP];
    uint8_t weight[LONGEST_GAP];
    for (int i = 0; i < LONGEST_GAP; i++) {
        int t = v->time + 1 + i;
        memcpy(text[i], "00:00:00", sizeof text[i]);
        write_two(text[i], t / 3600);
        write_two(text[i] + 3, t / 60 % 60);
        write_two(text[i] + 6, t % 60);
        entries[i] = text[i];
        weight[i] = (uint8_t)(LONGEST_GAP - i);
    }
    v->time += 1 + mo__synth_draw(s, entries, weight, LONGEST_GAP);
}

/* One of the jobs that run; all numbers have three digits (at most 12 jobs fit a document). */
static void write_end(mo__synth *s, server *v)
{
    char text[MOST_JOBS][8];
    const char *entries[MOST_JOBS];
    uint8_t weight[MOST_JOBS];
    for (int i = 0; i < v->jobs; i++) {
        snprintf(text[i], sizeof text[i], "%d", v->job[i]);
        entries[i] = text[i];
        weight[i] = 1;
    }
    int ended = mo__synth_draw(s, entries, weight, v->jobs);
    v->job[ended] = v->job[--v->jobs];
    mo__synth_say(s, "\n");
}

/* Numbers rise, so that no two jobs are alike. */
static void write_start(mo__synth *s, server *v)
{
    v->last = (int)mo__synth_number(s, v->last + 1, v->last + MOST_SKIP, "\n");
    v->job[v->jobs++] = v->last;
}

static int write_event(mo__synth *s, server *v)
{
    const uint8_t weight[EVENTS] = {
        [START] = v->jobs < MOST_JOBS ? 6 : 0,    [END] = v->jobs > 0 ? 5 : 0, [DISK] = 3, [PING] = 3,
        [SHUTDOWN] = s->length >= ENOUGH ? 3 : 0,
    };
    int event = mo__synth_draw(s, EVENT, weight, EVENTS);
    switch (event) {
    case START:
        write_start(s, v);
        break;
    case END:
        write_end(s, v);
        break;
    case DISK:
        mo__synth_number(s, 0, 99, "% full\n");
        break;
    case PING:
        mo__synth_pick(s, &hosts);
        mo__synth_say(s, " ");
        mo__synth_number(s, 1, 99, " ms\n");
        break;
    }
    return event;
}

void mo__synth_logs(mo__synth *s)
{
    server v = {.last = 100};
    mo__synth_say(s, "[");
    v.time = (int)mo__synth_number(s, 10, 22, ":") * 3600; /* the log ends on the same day */
    v.time += (int)mo__synth_number(s, 10, 59, ":00] boot ") * 60;
    const char *host = hosts.text[mo__synth_pick(s, &hosts)];
    mo__synth_say(s, "\n");
    int event;
    do {
        mo__synth_say(s, "[");
        write_time(s, &v);
        mo__synth_say(s, "] %s ", host);
        event = s->length < PLENTY ? write_event(s, &v) : EVENTS;
    } while (event < SHUTDOWN);
    if (event == EVENTS) mo__synth_say(s, "%s", EVENT[SHUTDOWN]);
}
