/* synth_recipes.c -- recipes: a dish named after its first ingredient, amounts for so many people, and steps
 * that take the ingredients in order. */
#include "synth.h"

enum { MOST = 5 };

MO__WORDS(styles, "hot ", "mild ", "thick ", "quick ", "cold ", "crisp ", "spicy ", "plain ", "sweet ",
          "rustic ", "sour ", "baked ", "smoky ", "green ", "light ", "rich ");
MO__WORDS(ingredients, "rice", "leek", "corn", "kale", "lamb", "tofu", "beef", "plum", "lime", "oats", "crab",
          "yam", "mint", "dill", "figs", "ham", "cod", "duck", "peas", "basil", "beet", "chard", "garlic",
          "onion", "pear", "sage", "thyme", "bacon", "cumin", "apple", "honey", "butter");
MO__WORDS(dishes, " soup", " stew", " pie", " curry", " bake", " salad", " roll", " toast", " hash", " dip",
          " tart", " bowl");
MO__WORDS(units, "cups of ", "g of ", "spoons of ", "pinches of ", "slices of ", "jars of ");
MO__WORDS(works, "Chop", "Boil", "Fry", "Wash", "Mash", "Peel", "Roast", "Grate", "Soak", "Stir in", "Slice",
          "Salt", "Steam", "Melt", "Whisk", "Drain");
static const char *const HOW[] = {" for ",     ". ",         " well. ",    " twice. ",
                                  " in oil. ", " by hand. ", " in milk. ", " in a pan. "};
static const uint8_t HOW_WEIGHT[] = {8, 4, 2, 2, 2, 1, 1, 1};
MO__WORDS(serve, "Serve warm.\n", "Serve cold.\n", "Eat at once.\n", "Keep it covered.\n",
          "Serve on toast.\n", "Let it rest.\n", "Serve with tea.\n", "Freeze the rest.\n");

/* "8 cups of ": a multiple of the number of people. */
static void write_amount(mo__synth *s, int people)
{
    static const uint8_t WEIGHT[9] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
    char text[9][8];
    const char *entries[9];
    for (int i = 0; i < 9; i++) {
        snprintf(text[i], sizeof text[i], "%d ", (i + 1) * people);
        entries[i] = text[i];
    }
    mo__synth_draw(s, entries, WEIGHT, 9);
    mo__synth_pick(s, &units);
}

void mo__synth_recipes(mo__synth *s)
{
    static const char *const MORE[] = {", ", " and "};
    int used[MOST], n = 0;
    mo__synth_say(s, "Recipe: ");
    mo__synth_pick(s, &styles);
    used[n++] = mo__synth_pick(s, &ingredients);
    mo__synth_pick(s, &dishes);
    mo__synth_say(s, " for ");
    int people = (int)mo__synth_number(s, 2, 9, ".\nTake ");
    write_amount(s, people);
    mo__synth_say(s, "%s", ingredients.text[used[0]]);
    uint64_t taken = UINT64_C(1) << used[0];
    for (int last = 0; !last; n++) {
        last = mo__synth_draw(s, MORE, (const uint8_t[]){n < MOST - 1 ? 4 : 0, 1}, 2);
        write_amount(s, people);
        used[n] = mo__synth_pick_other(s, &ingredients, taken);
        taken |= UINT64_C(1) << used[n];
    }
    mo__synth_say(s, ".\n");
    for (int i = 0; i < n; i++) {
        mo__synth_pick(s, &works);
        mo__synth_say(s, " the %s", ingredients.text[used[i]]);
        if (mo__synth_draw(s, HOW, HOW_WEIGHT, sizeof HOW_WEIGHT) == 0) mo__synth_number(s, 2, 60, " min. ");
    }
    mo__synth_pick(s, &serve);
}
