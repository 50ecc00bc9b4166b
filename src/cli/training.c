/* training.c -- a run from a config, or the rest of one: what train and finetune share. */
#include "training.h"

#include <moira/config.h>

#include "session.h"
#include "shell_word.h"
#include "train_view.h"

static mo_status check_resume(const char *saved, const mo_run_config *wanted, void *user)
{
    (void)user;
    mo_run_config config;
    MO_TRY(mo_config_parse(saved, "the saved config", &config));
    mo_status status = mo_config_check_resume(&config, wanted);
    mo_config_free(&config);
    return status;
}

/* Adds the command that goes on with the run; its folder has all settings. */
static mo_status say_how_to_resume(const mo_run_config *config, const char *command)
{
    char *dir = mo_run_dir(config), *path = dir ? mo_path_join(dir, "config.yaml") : NULL;
    char *word = path ? mo__shell_word(path) : NULL, *program = mo__shell_word(mo__program());
    char *message = mo_strdup(mo_last_error());
    if (word && program && message)
        mo_error(MO_E_INTERRUPTED, "%s\n  %s %s %s --resume", message, program, command, word);
    mo_free(message);
    mo_free(program);
    mo_free(word);
    mo_free(path);
    mo_free(dir);
    return MO_E_INTERRUPTED;
}

mo_status mo__training(const mo_run_config *config, const mo__training_options *o)
{
    mo_step_report last;
    mo__train_view view = {.steps = 0};
    mo_train_options train = {.config = config,
                              .dump = mo_config_dump,
                              .parse = mo_config_parse,
                              .release = mo_config_free,
                              .check_resume = check_resume,
                              .resume = o->resume,
                              .pause_at = o->pause_at,
                              .stop = &mo__stop,
                              .events = mo__train_view_events(&view)};
    if (o->profile) train.events.profile = mo__train_view_profile;
    mo_status status = mo_train(&train, &last);
    if (status == MO_E_INTERRUPTED) status = say_how_to_resume(config, o->command);
    if (status == MO_OK) status = mo__train_view_end(&view, config, &last);
    mo__train_view_free(&view);
    return status;
}
