/* balance_info.c -- the balancing losses in words. Their formulas are in src/ops/balance_*.c and z_loss.c. */
#include "moira/model.h"

static const mo_balance_info infos[MO_BALANCE_LOSSES] = {
    [MO_BALANCE_SWITCH] =
        {.formula = "E/K sum_e f_e P_e",
         .balanced = "1",
         .source =
             "Fedus et al. 2021, arXiv:2101.03961, eq. 4-6; for K choices MegaBlocks (Gale et al. 2022, "
             "arXiv:2211.15841)",
         .about =
             "The usual one: an expert that is chosen often has its probability pushed down in proportion. "
             "Switch has 0.01 in each layer and sums over the layers, which is 0.01 times their number "
             "here; MegaBlocks, and OLMoE with it, takes the mean, and has 0.01."},
    [MO_BALANCE_MIXTRAL] =
        {.formula = "E sum_e f_e P_e, f and P over the tokens of all layers together",
         .balanced = "K",
         .source = "transformers, load_balancing_loss_func, of Mixtral (router_aux_loss_coef)",
         .about =
             "Hugging Face's form, for models that were or will be trained there. Because layers are pooled, "
             "layers whose loads are uneven in opposite ways look balanced. Its scale is K times that of "
             "switch. Mixtral 8x7B has 0.02, 8x22B 0.001, DBRX 0.05."},
    [MO_BALANCE_GSHARD] =
        {.formula = "E sum_e c_e P_e; c_e: tokens whose first choice is e, in shares of the tokens",
         .balanced = "1",
         .source = "Lepikhin et al. 2020, arXiv:2006.16668, algorithm 1",
         .about = "As switch, but only first choices count. The paper's is 1/E sum_e c_e P_e, E^2 times less "
                  "than this, and its multiplier is not published."},
    [MO_BALANCE_SEQUENCE] =
        {.formula =
             "E/K sum_e f_e P_e; of sigmoid f counts the choices without the bias, and P is of s / sum s",
         .balanced = "1",
         .over = "each sequence",
         .source =
             "DeepSeek-V3 (DeepSeek-AI 2024, arXiv:2412.19437, eq. 17-20); DeepSeekMoE (Dai et al. 2024, "
             "arXiv:2401.06066, eq. 12-14)",
         .about =
             "Keeps single sequences from leaning on a few experts. DeepSeek-V3 has it with 0.0001 in each "
             "layer beside the selection bias, which does the balancing; DeepSeekMoE 16B balances with it "
             "alone, "
             "and has 0.001. Both sum over the layers."},
    [MO_BALANCE_IMPORTANCE] =
        {.formula = "CV(X)^2, X_e: sum of e's weights over the tokens",
         .balanced = "0",
         .source = "Shazeer et al. 2017, arXiv:1701.06538, eq. 6-7; of two levels appendix B, eq. 13",
         .about =
             "Evens out how much the experts say, not how many tokens they get: one may have few tokens with "
             "large weights. The paper has it together with load, 0.1 each, in the one layer that has "
             "experts."},
    [MO_BALANCE_LOAD] =
        {.formula = "CV(X)^2, X_e: expected number of tokens that choose e if its noise were drawn again",
         .balanced = "0",
         .source = "Shazeer et al. 2017, arXiv:1701.06538, eq. 8-11; of two levels appendix B, eq. 14",
         .about =
             "Evens out how many tokens the experts get. The noise makes that number smooth, so it has a "
             "gradient. The paper has 0.1."},
    [MO_BALANCE_Z_LOSS] =
        {.formula = "mean over tokens of (log sum_e exp z_e)^2",
         .balanced = "",
         .over = "each token",
         .source = "ST-MoE (Zoph et al. 2022, arXiv:2202.08906, eq. 5)",
         .about =
             "Does not balance: it keeps the logits z small, so that rounding and single steps do not flip "
             "choices. ST-MoE and OLMoE state 0.001; OLMoE's code divides it by K."},
};

const mo_balance_info *mo_balance_describe(int kind)
{
    return &infos[kind];
}
