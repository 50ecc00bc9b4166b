/* example.c -- Moira as a library: a token file, a small Mixture-of-Experts model, a training loop of one's
 * own, a checkpoint that the program reads too, and text.
 *
 *     cc example.c -o example $(pkg-config --cflags --libs moira) && ./example data/demo.h5 example.h5 */
#include <math.h>
#include <moira/moira.h>

static const char yaml[] = "run: {name: example}\n"
                           "data: {path: none}\n"
                           "model: {hidden_size: 64, intermediate_size: 64, num_hidden_layers: 2,\n"
                           "        num_attention_heads: 4, num_local_experts: 4, num_experts_per_tok: 2}\n"
                           "balance: {switch: 0.01}\n"
                           "train: {steps: 60, batch_size: 8, sequence_length: 64}\n"
                           "optimizer: {learning_rate: 1.0e-2}\n"
                           "schedule: {warmup_steps: 10}\n";

static mo_status train(mo_model *model, const mo_run_config *c, mo_loader *loader, mo_model_graph *graph)
{
    mo_slabs slabs = mo_model_slabs(model); /* values, gradients, moments */
    double balance[MO_BALANCE_LOSSES];
    for (int64_t step = 0; step < c->train.steps; step++) {
        const mo_batch *batch;
        MO_TRY(mo_loader_get(loader, step, 0, &batch));
        mo_model_graph_feed(graph, batch);
        mo_model_graph_scale(graph, batch->predicted_step, batch->valid_step);
        mo_run run = {.seed = c->run.seed, .step = step, .training = true};
        mo_graph_train(graph->graph, &run); /* forward and backward: gradients are added to the slab */
        double loss = mo_model_graph_loss(graph, balance) / (double)batch->predicted_step;
        double rate = mo_schedule_rate(&c->schedule, c->optimizer.learning_rate, step, c->train.steps);
        mo_adamw_step(&slabs, &c->optimizer, rate, mo_grad_norm(&slabs), step);
        if (step % 20 == 0 || step + 1 == c->train.steps)
            printf("step %lld, loss %.3f\n", (long long)step + 1, loss);
    }
    return MO_OK;
}

static mo_status save(const mo_model *model, const mo_run_config *c, const mo_tokenfile *file,
                      const char *path)
{
    char *text;
    mo_checkpoint_content content = {.tokenizer = file->tokenizer, .compression = 1};
    content.state.step = c->train.steps;
    content.state.best_loss = (double)NAN; /* there was no evaluation */
    mo_checkpoint_array *arrays;
    MO_TRY(mo_config_dump(c, &text));
    MO_TRY(mo_model_arrays(model, true, &arrays, &content.n_arrays));
    content.arrays = arrays;
    content.config = text;
    mo_status status = mo_checkpoint_save(path, &content);
    mo_free(arrays);
    mo_free(text);
    return status;
}

static bool print(int32_t id, void *user)
{
    (void)user;
    putchar(id); /* bytes: id = byte */
    return true;
}

static mo_status run(const char *data, const char *checkpoint)
{
    static const int32_t prompt[] = {'O', 'n', 'c', 'e'};
    mo_run_config c;
    mo_tokenfile *file;
    mo_model *model;
    mo_model_graph *graph;
    mo_loader *loader;
    MO_TRY(mo_blas_init());
    MO_TRY(mo_config_parse(yaml, "example.c", &c));
    MO_TRY(mo_tokenfile_open(data, &file));
    c.model.vocab_size = file->vocab_size;
    MO_TRY(mo_model_create(&c.model, &model));
    MO_TRY(mo_model_allocate(model, MO_ALLOCATE_TRAINING));
    mo_model_init(model, c.run.seed);
    mo_model_graph_options g = mo_run_graph_options(&c, MO_GRAPH_TRAIN);
    MO_TRY(mo_model_graph_create(model, &g, &graph)); /* built and planned: its memory is known */
    MO_TRY(mo_graph_bind(graph->graph, NULL));
    mo_model_graph_attach(graph);
    mo_loader_source source = {&file->split[MO_SPLIT_TRAIN], 1};
    mo_loader_options l = {.sources = &source,
                           .n_sources = 1,
                           .tokenizer = file->tokenizer,
                           .batch_size = g.batch_size,
                           .sequence_length = g.sequence_length,
                           .accumulation = 1,
                           .seed = c.run.seed,
                           .prefetch = true};
    MO_TRY(mo_loader_open(&l, &loader));
    MO_TRY(train(model, &c, loader, graph));
    MO_TRY(save(model, &c, file, checkpoint));
    MO_TRY(mo_generate(model, &(mo_generate_options){.prompt = prompt,
                                                     .prompt_count = 4,
                                                     .max_tokens = 40,
                                                     .temperature = 0.5,
                                                     .top_p = 1,
                                                     .emit = print}));
    putchar('\n');
    mo_loader_close(loader);
    mo_model_graph_free(graph);
    mo_model_free(model);
    mo_tokenfile_close(file);
    mo_config_free(&c);
    return MO_OK;
}

int main(int argc, char **argv)
{
    if (argc == 3 && run(argv[1], argv[2]) == MO_OK) return 0;
    fprintf(stderr, "example DATA.h5 CHECKPOINT.h5: %s\n", mo_last_error());
    return 1;
}
