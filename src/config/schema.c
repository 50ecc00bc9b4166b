/* schema.c -- every key of a run config: type, field, default, range, unit, help. */
#include "schema.h"

#include <string.h>

#include "value.h"

/* The field's offset in OWNER, and a compile error if the field is not of that type. */
#define FIELD(type, field) _Generic(((OWNER *)0)->field, type : offsetof(OWNER, field))

/* clang-format off */
#define INT_AS(name, field, initial, min, max, flags, unit, help) \
    {name, MO__INT, FIELD(int64_t, field), initial, min, max, flags, NULL, unit, help, NULL}
#define INT(field, initial, min, max, flags, unit, help) \
    INT_AS(#field, field, initial, min, max, flags, unit, help)
#define UINT64(field, initial, flags, help) \
    {#field, MO__UINT64, FIELD(uint64_t, field), initial, 0, 0, flags, NULL, "", help, NULL}
#define REAL_AS(name, field, initial, min, max, flags, help) \
    {name, MO__REAL, FIELD(double, field), initial, min, max, flags, NULL, "", help, NULL}
#define REAL(field, initial, min, max, flags, help) \
    REAL_AS(#field, field, initial, min, max, flags, help)
#define BOOL(field, initial, flags, help) \
    {#field, MO__BOOL, FIELD(bool, field), initial, 0, 0, flags, NULL, "", help, NULL}
#define STRING_AS(name, field, initial, min, max, flags, help) \
    {name, MO__STRING, FIELD(char *, field), initial, min, max, flags, NULL, "", help, NULL}
#define STRING(field, initial, min, max, flags, help) \
    STRING_AS(#field, field, initial, min, max, flags, help)
#define ENUM_AS(name, field, names, initial, flags, help) \
    {name, MO__ENUM, FIELD(int, field), initial, 0, 0, flags, names, "", help, NULL}
#define ENUM(field, names, initial, flags, help) \
    ENUM_AS(#field, field, names, initial, flags, help)
/* A list of at most `max` elements of a type; `record` says what they hold. Empty unless given. */
#define LIST(field, type, record, max, flags, help) \
    LIST_AS(#field, field, type, record, max, flags, help)
#define LIST_AS(name, field, type, record, max, flags, help) \
    {name, MO__LIST, _Generic(((OWNER *)0)->field.at, type *: offsetof(OWNER, field)), "[]", 0, max, flags, \
     NULL, "", help, &(record)}
#define RECORD(type, fields) {sizeof(type), fields, sizeof(fields) / sizeof(fields)[0], false}
#define BARE(type, field) {sizeof(type), &(field), 1, true}
#define REQUIRED NULL
/* clang-format on */

static const char *const optimizer_names[] = {"adamw", NULL};
static const char *const recompute_names[] = {
    [MO_RECOMPUTE_NONE] = "none", [MO_RECOMPUTE_BLOCK] = "block", [MO_RECOMPUTE_FULL] = "full", NULL};
static const char *const schedule_names[] = {[MO_SCHEDULE_COSINE] = "cosine",
                                             [MO_SCHEDULE_LINEAR] = "linear",
                                             [MO_SCHEDULE_WSD] = "wsd",
                                             [MO_SCHEDULE_CONSTANT] = "constant",
                                             NULL};

const mo__section mo__sections[] = {
    {"run", "what the run is called, its seed, its threads"},
    {"data", "what it learns from"},
    {"init", "what it starts from"},
    {"model", "the transformer and its experts; names are Hugging Face's"},
    {"balance",
     "coefficients of the balancing losses, added to the cross-entropy; 0 is off; see moira help losses"},
    {"", "keys at the top of a config, beside its sections"},
    {"lora", "low-rank adapters beside frozen matrices (Hu 2021)"},
    {"train", "how long, and how much at once"},
    {"optimizer", "AdamW and gradient clipping"},
    {"schedule", "the learning rate over the run"},
    {"eval", "validation loss during training"},
    {"checkpoint", "what is kept on disk"},
    {"sample", "text generated during training"},
    {"log", "progress lines"},
};
const int mo__section_count = sizeof mo__sections / sizeof mo__sections[0];

/* Upper ends: sizes stay far from overflow when multiplied, ids and positions fit in int32_t. */
#define MOST_IDS   2147483647
#define MOST_STEPS 1000000000

#define OWNER mo_mixture_source
static const mo__key mixture_fields[] = {
    STRING(path, REQUIRED, 1, 4096, MO__RESUMABLE, "Token file."),
    REAL(weight, "1", 0, 1e9, MO__ABOVE_MIN, "Of the sequences, as a share of the sum of all weights."),
};
static const mo__record mixture_record = RECORD(mo_mixture_source, mixture_fields);
#undef OWNER

#define OWNER mo_optim_group
static const mo__key group_fields[] = {
    STRING(
        match, REQUIRED, 1, 200, 0,
        "Glob over names of parameters, or router, embeddings, attention, experts, norms; the first counts."),
    REAL(learning_rate_scale, "1", 0, 1000, 0,
         "Factor on the learning rate; 0 keeps the weights as they are."),
    REAL(weight_decay, "inherited", 0, 100, MO__OPTIONAL, "In place of optimizer.weight_decay."),
};
static const mo__record group_record = RECORD(mo_optim_group, group_fields);
#undef OWNER

#define OWNER mo_text
static const mo__key pattern_field =
    STRING_AS("", text, REQUIRED, 1, 200, 0, "Glob over names of parameters, or a word.");
static const mo__record pattern_record = BARE(mo_text, pattern_field);
static const mo__key target_field = STRING_AS("", text, REQUIRED, 1, 40, 0, "Matrix that gets adapters.");
static const mo__record target_record = BARE(mo_text, target_field);
#undef OWNER

#define OWNER mo_run_config
const mo__key mo__keys[] = {
    STRING(run.name, REQUIRED, 1, 200, MO__FOLDER_NAME, "Name of the run."),
    STRING(run.dir, "", 0, 4096, MO__RESUMABLE, "Folder of the run; \"\" is checkpoints/NAME."),
    UINT64(run.seed, "1337", 0, "Seed of weights, data order, router noise and samples."),
    INT(run.threads, "0", 0, 1024, MO__RESUMABLE, "threads",
        "Threads; 0 is one for each core. Results are the same bits for any number."),

    STRING(data.path, "", 0, 4096, MO__RESUMABLE, "Token file made by moira prepare or moira synth."),
    LIST(data.mixture, mo_mixture_source, mixture_record, 256, 0,
         "Several token files in place of data.path, of which each gives its share of the sequences."),

    STRING(init.from, "", 0, 4096, MO__RESUMABLE,
           "Checkpoint, or Hugging Face's folder, to start from; it gives model and balance their defaults."),

    INT(model.vocab_size, "0", 0, MOST_IDS, MO__FROM_DATA | MO__SHAPES, "ids",
        "Token ids; 0 is the token file's own."),
    INT(model.hidden_size, REQUIRED, 1, 1 << 20, MO__SHAPES, "", "Width of the residual stream."),
    INT(model.intermediate_size, REQUIRED, 1, 1 << 24, MO__SHAPES, "",
        "Inner width of a feed-forward block, and of each expert unless moe_intermediate_size is given."),
    INT(model.moe_intermediate_size, "0", 0, 1 << 24, MO__SHAPES, "",
        "Inner width of each expert; 0 is intermediate_size."),
    INT(model.num_hidden_layers, REQUIRED, 1, 10000, MO__SHAPES, "layers", "Transformer layers."),
    INT(model.num_attention_heads, REQUIRED, 1, 65536, MO__SHAPES, "heads", "Query heads of each layer."),
    INT(model.num_key_value_heads, "0", 0, 65536, MO__SHAPES, "heads",
        "Key and value heads, each shared by a group of query heads; 0 is num_attention_heads."),
    INT(model.head_dim, "0", 0, 65536, MO__SHAPES, "",
        "Width of one head; 0 is hidden_size / num_attention_heads."),
    INT(model.max_position_embeddings, "0", 0, MOST_IDS, MO__IN_TRAINING, "tokens",
        "Longest sequence the model is for; 0 is train.sequence_length."),
    INT(model.sliding_window, "0", 0, MOST_IDS, 0, "tokens",
        "Tokens that a token attends to, itself included, as in Mistral; 0 is all before it."),
    INT(model.num_local_experts, "0", 0, 65536, MO__SHAPES, "experts",
        "Experts of each layer; 0 is a dense model."),
    INT(model.num_experts_per_tok, "0", 0, 65536, 0, "experts",
        "Experts of a token; 0 is the router's own: switch 1, gshard 2, soft all, else 2, or 1 if there is "
        "but 1."),
    INT(model.n_shared_experts, "0", 0, 65536, MO__SHAPES, "experts",
        "Experts beside the routed ones that every token visits, as one block of their joint width."),
    INT(model.first_k_dense_replace, "0", 0, 10000, MO__SHAPES, "layers", "First layers without experts."),
    INT(model.moe_layer_freq, "1", 1, 10000, MO__SHAPES, "layers",
        "Only layers whose number this divides, from 0 on, have experts."),
    ENUM(model.router, mo_router_names, "topk", MO__SHAPES,
         "How experts are chosen: see moira help routers."),
    ENUM(model.norm_topk_prob, mo_choice_names, "default", 0,
         "Whether the weights of a token's experts are scaled to sum to 1; default is the router's own."),
    INT(model.n_group, "1", 1, 65536, MO__SHAPES, "groups",
        "sigmoid, hierarchical: groups of neighbouring experts."),
    INT(model.topk_group, "0", 0, 65536, 0, "groups",
        "sigmoid, hierarchical: groups whose experts a token can visit; 0 is all."),
    REAL(model.routed_scaling_factor, "1", 0, 1e6, MO__ABOVE_MIN, "sigmoid: factor on the weights."),
    REAL(model.noise_floor, "1e-2", 0, 100, MO__IN_TRAINING,
         "noisy_topk, hierarchical: least standard deviation of the noise; the paper has 0, Tensor2Tensor "
         "1e-2."),
    REAL(model.router_jitter_noise, "0", 0, 1, MO__BELOW_MAX | MO__IN_TRAINING,
         "Router's input times U(1-e, 1+e) in training (Fedus 2021 has 1e-2); 0 is off."),
    BOOL(model.jitter_experts, "false", MO__IN_TRAINING,
         "Whether the experts get the input with jitter too, as in transformers."),
    REAL(model.capacity_factor, "null", 0, 1e6, MO__OPTIONAL | MO__ABOVE_MIN,
         "Most choices an expert takes, in fair shares; null is no limit. expert_choice: a token's experts."),
    REAL(model.eval_capacity_factor, "null", 0, 1e6, MO__OPTIONAL | MO__ABOVE_MIN,
         "The same in evaluation; null is as in training."),
    ENUM(model.capacity_drop, mo_drop_names, "position", 0,
         "Whose choice is dropped where an expert is full: later tokens, or smaller probabilities."),
    ENUM(model.capacity_scope, mo_scope_names, "microbatch", 0,
         "Over what capacity is counted; batch needs gradient_accumulation_steps 1."),
    ENUM(model.hidden_act, mo_activation_names, "swiglu", MO__SHAPES,
         "Activation of feed-forward blocks and experts."),
    ENUM(model.norm, mo_norm_names, "rmsnorm", MO__SHAPES, "Norm before each block; neither has a bias."),
    ENUM(model.qk_norm, mo_qk_norm_names, "none", MO__SHAPES,
         "RMSNorm of queries and keys: over the width of all heads (OLMoE), or of each head (Qwen3)."),
    REAL(model.clip_qkv, "null", 0, 1e6, MO__OPTIONAL | MO__ABOVE_MIN,
         "Queries, keys and values are clipped to +-this (OLMoE, DBRX); null is off."),
    REAL(model.rope_theta, "10000", 0, 1e12, MO__ABOVE_MIN, "Base of the rotary position frequencies."),
    REAL(model.rms_norm_eps, "1e-5", 0, 1, MO__ABOVE_MIN,
         "Added to the mean square in RMSNorm, to the variance in LayerNorm."),
    REAL(model.initializer_range, "0.02", 0, 10, MO__IN_TRAINING,
         "Standard deviation of the initial weights."),
    BOOL(model.tie_word_embeddings, "false", MO__SHAPES,
         "Whether the output head shares the embedding's weights."),
    REAL(model.embd_pdrop, "0", 0, 1, MO__BELOW_MAX | MO__IN_TRAINING,
         "Dropout of the token embeddings, in training."),
    REAL(model.resid_pdrop, "0", 0, 1, MO__BELOW_MAX | MO__IN_TRAINING,
         "Dropout of attention's and the feed-forward block's output before it is added to the stream."),
    REAL(model.attention_dropout, "0", 0, 1, MO__BELOW_MAX | MO__IN_TRAINING,
         "Dropout of attention's probabilities."),

    REAL_AS("balance.switch", balance.switch_loss, "0", 0, 1e6, 0,
            "Switch loss per layer, E/K sum f P: 1 when balanced (Fedus 2021)."),
    REAL(balance.mixtral, "0", 0, 1e6, 0,
         "Hugging Face's Mixtral loss, all layers' tokens pooled: K when balanced (router_aux_loss_coef)."),
    REAL(balance.gshard, "0", 0, 1e6, 0,
         "GShard's loss per layer, E sum f P of the first choices alone: 1 when balanced (Lepikhin 2020)."),
    REAL(balance.sequence, "0", 0, 1e6, 0,
         "DeepSeek's loss per layer, E/K sum f P over each sequence, f without the bias: 1 when balanced."),
    REAL(balance.importance, "0", 0, 1e6, 0,
         "Squared coefficient of variation of the experts' summed weights (Shazeer 2017)."),
    REAL(balance.load, "0", 0, 1e6, 0,
         "Squared coefficient of variation of the experts' smoothed token counts (Shazeer 2017)."),
    REAL(balance.z_loss, "0", 0, 1e6, 0,
         "Mean squared logsumexp of the router's logits (ST-MoE, Zoph 2022)."),
    REAL(balance.bias_update_rate, "0", 0, 100, 0,
         "sigmoid: how far a step moves each expert's selection bias (DeepSeek-V3 has 1e-3); 0 keeps it."),
    ENUM(balance.scope, mo_scope_names, "microbatch", 0,
         "Over what the experts' shares are counted; batch needs gradient_accumulation_steps 1."),
    ENUM(balance.switch_scope, mo_loss_scope_names, "default", 0,
         "Over what balance.switch is counted; default is balance.scope."),
    ENUM(balance.mixtral_scope, mo_loss_scope_names, "default", 0,
         "Over what balance.mixtral is counted; default is balance.scope."),
    ENUM(balance.gshard_scope, mo_loss_scope_names, "default", 0,
         "Over what balance.gshard is counted; default is balance.scope."),
    ENUM(balance.importance_scope, mo_loss_scope_names, "default", 0,
         "Over what balance.importance is counted; default is balance.scope."),
    ENUM(balance.load_scope, mo_loss_scope_names, "default", 0,
         "Over what balance.load is counted; default is balance.scope."),

    LIST_AS(
        "freeze", tuning.freeze, mo_text, pattern_record, 256, 0,
        "What stays as it is: globs or words as in optimizer.groups[].match, in order; !GLOB trains again."),

    INT_AS("lora.rank", tuning.lora.rank, "0", 0, 65536, 0, "",
           "Rank of adapters beside matrices, which with all else are frozen; 0 is no adapters."),
    REAL_AS("lora.alpha", tuning.lora.alpha, "16", 0, 1e6, MO__ABOVE_MIN,
            "Adapters' outputs are scaled by alpha / rank."),
    REAL_AS("lora.dropout", tuning.lora.dropout, "0", 0, 1, MO__BELOW_MAX,
            "Dropout of adapters' inputs, in training."),
    LIST_AS(
        "lora.targets", tuning.lora.targets, mo_text, target_record, 16, 0,
        "q_proj, k_proj, v_proj, o_proj, w1, w2, w3, gate_proj, up_proj, down_proj; [] is all there are."),

    INT(train.steps, "0", 0, MOST_STEPS, MO__RESUMABLE, "steps",
        "Optimizer steps in all; 0 is no limit. The first of steps, tokens, seconds that is reached ends "
        "it."),
    INT(train.tokens, "0", 0, 1e15, MO__RESUMABLE, "tokens",
        "Positions read in all, document ends included, rounded up to whole steps; 0 is no limit."),
    REAL(train.seconds, "0", 0, 1e9, MO__RESUMABLE,
         "Seconds of training in all, checked after each step; 0 is no limit. Not the same to the bit."),
    INT(train.batch_size, REQUIRED, 1, 1 << 20, 0, "sequences", "Sequences of one microbatch."),
    INT(train.sequence_length, REQUIRED, 2, MOST_IDS, 0, "tokens", "Tokens of one sequence."),
    INT(train.gradient_accumulation_steps, "1", 1, 1 << 20, 0, "microbatches", "Microbatches of one step."),
    ENUM(train.recompute, recompute_names, "none", 0,
         "What backward computes again to save memory: nothing, within each block, or each layer; same "
         "results."),

    ENUM_AS("optimizer.name", optimizer_name, optimizer_names, "adamw", 0, "The optimizer."),
    REAL(optimizer.learning_rate, REQUIRED, 0, 100, 0, "Peak learning rate."),
    REAL(optimizer.weight_decay, "0.1", 0, 100, 0, "Decoupled decay of matrices; norm weights do not decay."),
    REAL(optimizer.beta1, "0.9", 0, 1, MO__BELOW_MAX, "Decay of the first moment."),
    REAL(optimizer.beta2, "0.95", 0, 1, MO__BELOW_MAX, "Decay of the second moment."),
    REAL(optimizer.epsilon, "1e-8", 0, 1, MO__ABOVE_MIN, "Added to the root of the second moment."),
    REAL(optimizer.max_grad_norm, "1", 0, 1e9, 0,
         "Gradients are scaled down to this global norm; 0 is never."),
    LIST(optimizer.groups, mo_optim_group, group_record, 256, 0,
         "Parameters with other rates than the rest."),

    ENUM(schedule.kind, schedule_names, "cosine", 0,
         "Shape after warm-up; wsd holds the peak and falls at the end (warm-up, stable, decay)."),
    INT(schedule.warmup_steps, "100", 0, MOST_STEPS, 0, "steps", "Steps of linear rise to the peak."),
    REAL(schedule.min_ratio, "0.1", 0, 1, 0, "Last learning rate, as a share of the peak."),
    REAL(schedule.decay_ratio, "0.2", 0, 1, 0, "wsd: share of all steps that decay at the end."),

    INT(eval.every, "250", 1, MOST_STEPS, MO__RESUMABLE, "steps", "Steps between evaluations."),
    INT(eval.batches, "0", 0, MOST_STEPS, MO__RESUMABLE, "batches",
        "Batches of one evaluation; 0 is the whole validation split."),
    INT(eval.patience, "0", 0, MOST_STEPS, MO__RESUMABLE, "evaluations",
        "Evaluations in a row without a new best that end the run early; 0 is never."),
    REAL(eval.min_delta, "0", 0, 1000, MO__RESUMABLE,
         "Nats per token below the best so far that count as a new best for patience."),

    INT(checkpoint.every, "500", 1, MOST_STEPS, MO__RESUMABLE, "steps", "Steps between checkpoints."),
    INT(checkpoint.keep, "3", 1, 1000000, MO__RESUMABLE, "files", "Newest checkpoints that are kept."),
    INT(checkpoint.compression, "1", 0, 9, MO__RESUMABLE, "", "Deflate level; 0 stores without compression."),
    BOOL(checkpoint.background, "true", MO__RESUMABLE,
         "Whether training goes on while a checkpoint is written, from a copy that takes memory of its own."),

    INT(sample.every, "0", 0, MOST_STEPS, MO__RESUMABLE, "steps",
        "Steps between samples; 0 is at evaluations."),
    INT(sample.tokens, "200", 0, 1000000, MO__RESUMABLE, "tokens", "Length of a sample; 0 is no samples."),
    STRING(sample.prompt, "", 0, 65536, MO__RESUMABLE,
           "Text that a sample continues, as it stands; data of conversations has no samples without one."),
    REAL(sample.temperature, "0.8", 0, 100, MO__RESUMABLE,
         "Sampling temperature; 0 takes the likeliest token."),

    INT(log.every, "10", 1, MOST_STEPS, MO__RESUMABLE, "steps", "Steps between progress lines."),
    REAL(log.spike, "8", 0, 1e6, MO__RESUMABLE,
         "Robust standard deviations above the recent losses from which a step is told of; 0 is never."),
    INT(log.collapse_window, "100", 0, MOST_STEPS, MO__RESUMABLE, "steps",
        "Steps after which each router is judged; a collapsed one is warned of once. 0 is never."),
    BOOL(log.routing, "true", MO__RESUMABLE,
         "Whether routing.jsonl gets a line at each evaluation: experts by domain, co-activation."),
    BOOL(log.tensorboard, "true", MO__RESUMABLE, "Whether a file of TensorBoard events is written."),
};
const int mo__key_count = sizeof mo__keys / sizeof mo__keys[0];

const char *mo__key_leaf(const mo__key *key)
{
    const char *dot = strchr(key->name, '.');
    return dot ? dot + 1 : key->name;
}

bool mo__key_in_section(const mo__key *key, const char *section)
{
    size_t length = strlen(section);
    if (length == 0) return !strchr(key->name, '.');
    return strncmp(key->name, section, length) == 0 && key->name[length] == '.';
}

int mo__section_find(const char *name)
{
    for (int i = 0; i < mo__section_count; i++)
        if (*name && strcmp(mo__sections[i].name, name) == 0) return i;
    return -1;
}

int mo__key_find(const char *section, const char *leaf)
{
    for (int i = 0; i < mo__key_count; i++)
        if (mo__key_in_section(&mo__keys[i], section) && strcmp(mo__key_leaf(&mo__keys[i]), leaf) == 0)
            return i;
    return -1;
}

/* The first key of that name in any section, or NULL. */
static const mo__key *find_elsewhere(const char *leaf)
{
    for (int i = 0; i < mo__key_count; i++)
        if (strcmp(mo__key_leaf(&mo__keys[i]), leaf) == 0) return &mo__keys[i];
    return NULL;
}

enum { SECTIONS = sizeof mo__sections / sizeof mo__sections[0], KEYS = sizeof mo__keys / sizeof mo__keys[0] };

/* What can stand at the top of a file. */
static size_t add_top_names(const char **names)
{
    size_t count = 0;
    for (int s = 0; s < SECTIONS; s++)
        if (*mo__sections[s].name) names[count++] = mo__sections[s].name;
    for (int i = 0; i < KEYS; i++)
        if (mo__key_in_section(&mo__keys[i], "")) names[count++] = mo__keys[i].name;
    return count;
}

mo_status mo__section_unknown(const char *name)
{
    const char *names[SECTIONS + KEYS];
    size_t count = add_top_names(names);
    for (int i = 0; i < mo__key_count; i++)
        if (strchr(name, '.') && strcmp(mo__keys[i].name, name) == 0)
            return mo_error(MO_E_CONFIG,
                            "dotted keys are for the command line; in a file write %s under %.*s:",
                            mo__key_leaf(&mo__keys[i]), (int)(strchr(name, '.') - name), name);
    const mo__key *key = find_elsewhere(name);
    if (key) return mo_error(MO_E_CONFIG, "unknown section; did you mean the key %s?", key->name);
    const char *nearest = mo_nearest_name(name, names, count);
    if (nearest) return mo_error(MO_E_CONFIG, "unknown section; did you mean %s?", nearest);
    return mo_error(MO_E_CONFIG, "unknown section; moira help config lists all sections");
}

/* What PEFT's LoraConfig calls our keys. */
static const mo__key *find_peft(const char *section, const char *leaf)
{
    static const char *const names[][2] = {
        {"r", "rank"}, {"lora_alpha", "alpha"}, {"lora_dropout", "dropout"}, {"target_modules", "targets"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(section, "lora") == 0 && strcmp(leaf, names[i][0]) == 0)
            return &mo__keys[mo__key_find("lora", names[i][1])];
    return NULL;
}

mo_status mo__key_unknown(const char *section, const char *leaf)
{
    const mo__key *key = find_peft(section, leaf);
    if (!key) key = find_elsewhere(leaf);
    if (key) return mo_error(MO_E_CONFIG, "unknown key; did you mean %s?", key->name);
    const char *names[KEYS];
    size_t count = 0;
    for (int i = 0; i < mo__key_count; i++)
        if (mo__key_in_section(&mo__keys[i], section)) names[count++] = mo__key_leaf(&mo__keys[i]);
    const char *nearest = mo_nearest_name(leaf, names, count);
    if (nearest) return mo_error(MO_E_CONFIG, "unknown key; did you mean %s?", nearest);
    return mo_error(MO_E_CONFIG, "unknown key; moira help config lists all keys");
}

mo_status mo__field_unknown(const mo__record *record, const char *name)
{
    const char *names[64];
    size_t count = 0;
    for (int f = 0; f < record->n_fields && count < 64; f++) names[count++] = record->fields[f].name;
    const char *nearest = mo_nearest_name(name, names, count);
    if (nearest) return mo_error(MO_E_CONFIG, "unknown key; did you mean %s?", nearest);
    mo__buffer all = {0};
    char *text;
    mo__record_add_shape(record, &all);
    MO_TRY(mo__buffer_finish(&all, MO_OK, &text));
    mo_status status = mo_error(MO_E_CONFIG, "unknown key; expected %s", text);
    mo_free(text);
    return status;
}

const char *mo__topic_nearest(const char *topic)
{
    const char *names[SECTIONS + 3 * KEYS];
    size_t count = add_top_names(names);
    for (int i = 0; i < KEYS; i++) {
        names[count++] = mo__keys[i].name;
        names[count++] = mo__key_leaf(&mo__keys[i]);
    }
    return mo_nearest_name(topic, names, count);
}
