/* synth_strings.c -- small tasks on strings of letters: copy, reverse, sort, double. The first line says how
 * long the strings are; "done" is the last. */
#include "synth.h"

enum { ENOUGH = 100, PLENTY = 340 };

static const char *const TASK[] = {"copy ", "flip ", "sort ", "twin ", "done\n"};
enum { COPY, FLIP, SORT, TWIN, DONE, TASKS };
MO__WORDS(letters, "e", "t", "a", "o", "n", "r", "i", "s", "h", "d", "l", "u", "c", "m", "f", "g");

static void sort(char *text, int n)
{
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && text[j - 1] > text[j]; j--) {
            char c = text[j];
            text[j] = text[j - 1];
            text[j - 1] = c;
        }
}

static void write_task(mo__synth *s, int task, int length)
{
    char text[16] = "", answer[16] = "";
    for (int i = 0; i < length; i++) text[i] = letters.text[mo__synth_pick(s, &letters)][0];
    for (int i = 0; i < length; i++) answer[i] = text[task == FLIP ? length - 1 - i : i];
    if (task == SORT) sort(answer, length);
    mo__synth_say(s, " is %s", answer);
    if (task == TWIN) mo__synth_say(s, "%s", answer);
    mo__synth_say(s, "\n");
}

void mo__synth_strings(mo__synth *s)
{
    mo__synth_say(s, "Strings of ");
    int length = (int)mo__synth_number(s, 2, 6, ":\n");
    while (s->length < PLENTY) {
        const uint8_t weight[TASKS] = {
            [COPY] = 3, [FLIP] = 3, [SORT] = 3, [TWIN] = 3, [DONE] = s->length >= ENOUGH ? 1 : 0};
        int task = mo__synth_draw(s, TASK, weight, TASKS);
        if (task == DONE) return;
        write_task(s, task, length);
    }
    mo__synth_say(s, "%s", TASK[DONE]);
}
