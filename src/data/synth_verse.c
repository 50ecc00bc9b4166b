/* synth_verse.c -- rhymed couplets. The second line of a couplet rhymes with the first by another word; a
 * full stop ends the poem, a semicolon goes on. */
#include "synth.h"

enum { RHYMES = 8, PER_RHYME = 7, ENOUGH = 150, PLENTY = 290 };

MO__WORDS(openings, "The ", "A ", "My ", "One ", "His ", "Her ", "Our ", "No ");
MO__WORDS(seconds, "And ", "While ", "But ", "As ", "Till ", "For ", "So ", "Then ");
MO__WORDS(articles, "the ", "my ", "each ", "a ", "no ", "that ", "her ", "his ");
MO__WORDS(tones, "pale ", "wild ", "soft ", "dark ", "sweet ", "cold ", "lost ", "slow ", "deep ", "shy ",
          "red ", "bold ", "faint ", "wide ", "dim ", "bare ", "calm ", "keen ", "warm ", "lone ", "fair ",
          "grey ", "tall ", "mad ");
MO__WORDS(singers, "wind ", "rose ", "lark ", "fox ", "star ", "wave ", "ghost ", "leaf ", "king ", "moth ",
          "child ", "bell ", "swan ", "ship ", "cloud ", "lamb ", "hare ", "song ", "dream ", "fish ",
          "queen ", "thief ", "monk ", "dove ", "stag ", "bride ", "clock ", "crow ");
MO__WORDS(moves, "sings ", "falls ", "waits ", "turns ", "hides ", "sleeps ", "runs ", "glows ", "drifts ",
          "weeps ", "calls ", "flies ", "fades ", "stands ", "burns ", "walks ", "leans ", "wakes ", "rests ",
          "spins ", "creeps ", "rides ", "prays ", "swings ");
MO__WORDS(where, "by ", "near ", "past ", "in ", "on ", "for ", "with ", "at ", "below ", "behind ");
/* Rhyme by rhyme, PER_RHYME words each. */
static const char *const RHYME[RHYMES * PER_RHYME] = {
    "day",   "bay",   "hay",   "clay",   "spray", "way",   "May",   "tree",   "sea",   "bee",
    "knee",  "quay",  "pea",   "glee",   "night", "light", "sight", "flight", "fight", "kite",
    "white", "stone", "bone",  "throne", "cone",  "loan",  "drone", "groan",  "rain",  "lane",
    "plain", "train", "grain", "chain",  "mane",  "snow",  "foe",   "row",    "glow",  "blow",
    "toe",   "woe",   "moon",  "tune",   "dune",  "June",  "spoon", "noon",   "rune",  "shore",
    "door",  "floor", "lore",  "roar",   "store", "core",
};

static int write_line(mo__synth *s, uint64_t rhymes, uint64_t without)
{
    mo__synth_pick(s, &tones);
    mo__synth_pick(s, &singers);
    mo__synth_pick(s, &moves);
    mo__synth_pick(s, &where);
    mo__synth_pick(s, &articles);
    uint8_t weight[RHYMES * PER_RHYME];
    for (int i = 0; i < RHYMES * PER_RHYME; i++)
        weight[i] = (uint8_t)((rhymes & ~without) >> i & 1 ? PER_RHYME + 2 - i % PER_RHYME : 0);
    return mo__synth_draw(s, RHYME, weight, RHYMES * PER_RHYME);
}

void mo__synth_verse(mo__synth *s)
{
    static const char *const END[] = {";\n", ".\n"};
    for (int end = 0, couplet = 0; end == 0; couplet++) {
        if (couplet == 0)
            mo__synth_say(s, "The ");
        else
            mo__synth_pick(s, &openings);
        int word = write_line(s, ~UINT64_C(0), 0), first = word - word % PER_RHYME;
        mo__synth_say(s, ",\n");
        mo__synth_pick(s, &seconds);
        mo__synth_pick(s, &articles);
        write_line(s, ((UINT64_C(1) << PER_RHYME) - 1) << first, UINT64_C(1) << word);
        const uint8_t weight[] = {s->length < PLENTY ? 2 : 0, s->length >= ENOUGH ? 1 : 0};
        end = mo__synth_draw(s, END, weight, 2);
    }
}
