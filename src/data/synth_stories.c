/* synth_stories.c -- short stories: a child, a thing, one or two turns, an end that remembers all of them. */
#include "synth.h"

MO__WORDS(traits, "shy ", "kind ", "bold ", "wise ", "poor ", "rich ", "calm ", "slow ", "tiny ", "tall ",
          "sad ", "glad ", "lazy ", "keen ", "proud ", "loud ", "mild ", "quick ", "vain ", "meek ");
MO__WORDS(children, "girl of ", "boy of ");
MO__WORDS(girls, "Mia", "Ada", "Zoe", "Eva", "Ida", "Amy", "Uma", "Ivy", "Sue", "Fay", "Kim", "Liz", "Nia",
          "Pam", "Tess", "Rosa", "Vera", "Gwen", "Hope", "Jane", "Olga", "Beth", "Cleo", "Dora");
MO__WORDS(boys, "Tom", "Max", "Leo", "Ben", "Sam", "Gus", "Ned", "Jim", "Kai", "Abe", "Rex", "Cal", "Hal",
          "Pip", "Otto", "Finn", "Dirk", "Erik", "Ivan", "Luke", "Umar", "Vito", "Walt", "Zack");
MO__WORDS(gains, "found a ", "made a ", "hid a ", "lost a ", "got a ", "took a ", "saw a ", "won a ",
          "bought a ", "dug up a ", "drew a ", "kept a ");
MO__WORDS(looks, "red", "big", "bad", "new", "wet", "dry", "fat", "wee", "neat", "blue", "gold", "flat",
          "soft", "warm", "dark", "pink", "thin", "cold", "long", "torn", "loud", "grey", "bent", "tin",
          "round", "shiny", "heavy", "muddy");
MO__WORDS(things, "cup", "hat", "key", "box", "bell", "kite", "drum", "ring", "book", "coin", "map", "jar",
          "fan", "net", "rug", "pan", "toy", "egg", "lamp", "shoe", "boat", "doll", "rope", "flag", "sock",
          "vase", "wand", "pipe", "nut", "gem", "mask", "whistle");
MO__WORDS(beside, " by the ", " in the ", " at the ", " near the ", " under the ", " behind the ", " on the ",
          " below the ");
MO__WORDS(manners, "old ", "big ", "dim ", "wet ", "red ", "far ", "low ", "icy ", "open ", "tall ", "dusty ",
          "long ", "wild ", "quiet ", "empty ", "green ");
MO__WORDS(places, "mill", "hill", "barn", "lake", "well", "road", "shed", "gate", "wood", "pond", "farm",
          "cave", "tent", "dock", "park", "nest", "oak", "inn", "fort", "zoo", "yard", "tower", "stall",
          "ferry", "hedge", "bridge", "school", "market");
MO__WORDS(turns, "Near it ", "Then ", "Soon ", "But ", "At last ");
enum { FINDS, ENDS = 4 };
MO__WORDS(goes, "ran to ", "went to ", "rode to ", "sped to ", "flew to ", "crept to ", "swam to ",
          "hiked to ", "walked to ", "skipped to ");
MO__WORDS(kin, "aunt", "uncle", "sister", "brother", "mother", "father", "granny", "cousin", "niece",
          "teacher", "nurse", "twin");
MO__WORDS(speaks, " and said, \"", " and sang, \"", " and cried, \"", " and asked, \"", " and yelled, \"",
          " and sobbed, \"");
MO__WORDS(calls, "Oh, ", "See, ", "Look, ", "Help, ", "Well, ", "No, ", "Yes, ", "Ha, ");
MO__WORDS(states, "lost", "mine", "hot", "safe", "gone", "cold", "yours", "open", "full", "stuck", "ugly",
          "magic", "asleep", "dirty", "broken", "here");
MO__WORDS(beasts, "cat", "dog", "fox", "hen", "pig", "cow", "owl", "ape", "rat", "bee", "crow", "frog",
          "goat", "bear", "wolf", "duck", "mole", "swan", "toad", "horse");
MO__WORDS(deeds, " bit ", " ate ", " hit ", " took ", " hid ", " sat on ", " kissed ", " kicked ", " licked ",
          " broke ", " fixed ", " buried ", " washed ", " shook ");
MO__WORDS(falls, "fell ", "slid ", "flew ", "sank ", "rolled ", "hopped ", "slipped ", "bounced ", "spun ",
          "drifted ");
MO__WORDS(into, "into the ", "under the ", "past the ", "off the ", "down the ", "over the ", "behind the ",
          "up the ");
MO__WORDS(feelings, "sad", "mad", "glad", "shy", "upset", "happy", "tired", "proud", "cross", "scared",
          "lonely", "calm", "hungry", "brave", "jolly", "confused");
MO__WORDS(gives, "gave ", "sold ", "lent ", "showed ", "sent ", "brought ", "handed ", "threw ");
MO__WORDS(joys, "danced", "ate", "sang", "slept", "played", "laughed", "swam", "ran", "rested", "cooked",
          "hid", "drew", "sat", "wept", "cheered", "fished", "jumped", "yawned", "knitted", "waved");
MO__WORDS(times, " all day.\n", " till noon.\n", " at home.\n", " for hours.\n", " by the fire.\n",
          " in peace.\n", " until dawn.\n", " in the rain.\n");

/* What the story has said, and so must keep to. */
typedef struct {
    const mo__words *names;
    int hero, look, thing;
    const char *other[2]; /* article and name of the last one met */
} story;

static const char *hero(const story *t)
{
    return t->names->text[t->hero];
}

static const char *her(const story *t)
{
    return t->names == &girls ? "her" : "his";
}

static void begin(mo__synth *s, story *t)
{
    mo__synth_say(s, "Once a ");
    mo__synth_pick(s, &traits);
    t->names = mo__synth_pick(s, &children) == 0 ? &girls : &boys;
    mo__synth_number(s, 3, 12, " named ");
    t->hero = mo__synth_pick(s, t->names);
    mo__synth_say(s, " ");
    mo__synth_pick(s, &gains);
    t->look = mo__synth_pick(s, &looks);
    mo__synth_say(s, " ");
    t->thing = mo__synth_pick(s, &things);
    mo__synth_pick(s, &beside);
    mo__synth_pick(s, &manners);
    mo__synth_pick(s, &places);
    mo__synth_say(s, ". ");
}

/* "Near it lay a red key, a wet nut and a thin drum. " */
static void find(mo__synth *s, story *t)
{
    static const char *const BEFORE[] = {"lay a ", ", a ", " and a "};
    uint64_t seen = UINT64_C(1) << t->thing;
    for (int i = 0; i < 3; i++) {
        mo__synth_say(s, "%s", BEFORE[i]);
        mo__synth_pick(s, &looks);
        mo__synth_say(s, " ");
        seen |= UINT64_C(1) << mo__synth_pick_other(s, &things, seen);
    }
    mo__synth_say(s, ". ");
}

/* "Then she ran to her aunt Mia and said, "Oh, the cup is gone!" " Kin at even places are women. */
static void meet(mo__synth *s, story *t)
{
    mo__synth_say(s, t->names == &girls ? "she " : "he ");
    mo__synth_pick(s, &goes);
    mo__synth_say(s, "%s ", her(t));
    const mo__words *names = mo__synth_pick(s, &kin) % 2 == 0 ? &girls : &boys;
    mo__synth_say(s, " ");
    int name = mo__synth_pick_other(s, names, names == t->names ? UINT64_C(1) << t->hero : 0);
    t->other[0] = "";
    t->other[1] = names->text[name];
    mo__synth_pick(s, &speaks);
    mo__synth_pick(s, &calls);
    mo__synth_say(s, "the %s is ", things.text[t->thing]);
    uint64_t first = UINT64_C(1) << mo__synth_pick(s, &states);
    mo__synth_say(s, " and ");
    mo__synth_pick_other(s, &states, first);
    mo__synth_say(s, "!\" ");
}

/* "Soon a wet fox bit the cup by the well. " */
static void come(mo__synth *s, story *t)
{
    mo__synth_say(s, "a ");
    mo__synth_pick_other(s, &looks, UINT64_C(1) << t->look);
    mo__synth_say(s, " ");
    t->other[0] = "the ";
    t->other[1] = beasts.text[mo__synth_pick(s, &beasts)];
    mo__synth_pick(s, &deeds);
    mo__synth_say(s, "the %s", things.text[t->thing]);
    mo__synth_pick(s, &beside);
    mo__synth_pick(s, &places);
    mo__synth_say(s, ". ");
}

/* "But the cup fell into the icy lake, and Tom was sad. " */
static void slip(mo__synth *s, story *t)
{
    mo__synth_say(s, "the %s ", things.text[t->thing]);
    mo__synth_pick(s, &falls);
    mo__synth_pick(s, &into);
    mo__synth_pick(s, &manners);
    mo__synth_pick(s, &places);
    mo__synth_say(s, ", and %s was ", hero(t));
    mo__synth_pick(s, &feelings);
    mo__synth_say(s, ". ");
}

/* "At last Tom gave the cup to Mia, and they sang and ate all day." */
static void end(mo__synth *s, story *t)
{
    mo__synth_say(s, "%s ", hero(t));
    mo__synth_pick(s, &gives);
    mo__synth_say(s, "the %s to %s%s, and they ", things.text[t->thing], t->other[0], t->other[1]);
    uint64_t first = UINT64_C(1) << mo__synth_pick(s, &joys);
    mo__synth_say(s, " and ");
    mo__synth_pick_other(s, &joys, first);
    mo__synth_pick(s, &times);
}

/* Each turn at most once, one or two of them, then the end. */
void mo__synth_stories(mo__synth *s)
{
    static void (*const WRITE[])(mo__synth *, story *) = {find, meet, come, slip, end};
    story t = {.names = &girls, .other = {"a ", "friend"}};
    begin(s, &t);
    uint64_t without = 1 << ENDS;
    int turn = FINDS;
    for (int n = 0; n < 2 && turn != ENDS; n++) {
        turn = mo__synth_pick_other(s, &turns, without);
        without = (without | UINT64_C(1) << turn) & ~(UINT64_C(1) << ENDS);
        WRITE[turn](s, &t);
    }
    if (turn == ENDS) return;
    mo__synth_say(s, "%s", turns.text[ENDS]);
    end(s, &t);
}
